"""Take secrets out of what a cassette holds or an error shows: headers, URLs, JSON fields, texts.

Redacting twice gives the same as redacting once, so that a live request can be compared with a stored one.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, Final, cast
from urllib.parse import quote, unquote_plus, urlsplit, urlunsplit

from attrs import field, frozen

from .keyshapes import environment_secrets, shapes_in

__all__ = ["REDACTED", "Redaction", "environment_secrets", "looks_secret"]

#: What stands where a secret was.
REDACTED: Final = "[REDACTED]"
_QUOTED: Final = quote(REDACTED, safe="")

_REQUEST_HEADERS: Final = frozenset({"content-type", "accept", "openai-beta"})
_RESPONSE_HEADERS: Final = frozenset({"content-type"})
_SENSITIVE_HEADERS: Final = frozenset(
    {
        "authorization",
        "cookie",
        "proxy-authorization",
        "set-cookie",
        "x-api-key",
        "x-amz-security-token",
        "x-goog-api-key",
    }
)
# x-amz-security-token, api-key, cf-aig-authorization; not idempotency-key, x-amz-content-sha256
_SECRET_HEADER: Final = re.compile(r"authorization$|api-?key$|subscription-key$|token$|secret$|^cookie$|password$")
_QUERY: Final = frozenset(
    {
        "access_token",
        "api-key",
        "api_key",
        "apikey",
        "code",
        "key",
        "signature",
        "sig",
        "token",
        "x-amz-credential",
        "x-amz-security-token",
        "x-amz-signature",
    }
)
_JSON_FIELDS: Final = frozenset(
    {"accesstoken", "apikey", "clientsecret", "password", "refreshtoken", "secret", "token"}
)
_NOT_ALPHANUMERIC: Final = re.compile(r"[^a-z0-9]")


def looks_secret(text: str, known: Collection[str] = ()) -> bool:
    """Whether a text has something of the shape of a key in it, or one of the `known` secrets.

    Example:
        >>> looks_secret("Authorization: Bearer abcdefghijklmnop"), looks_secret("Say hello.")
        (True, False)
    """
    return any(secret in text for secret in known) or next(shapes_in(text), None) is not None


def _plain(name: str) -> str:
    return _NOT_ALPHANUMERIC.sub("", name.lower())


def _request_headers(names: Collection[str]) -> frozenset[str]:
    return _REQUEST_HEADERS.union([name.lower() for name in names])


def _response_headers(names: Collection[str]) -> frozenset[str]:
    return _RESPONSE_HEADERS.union([name.lower() for name in names])


def _sensitive_headers(names: Collection[str]) -> frozenset[str]:
    return _SENSITIVE_HEADERS.union([name.lower() for name in names])


def _query(names: Collection[str]) -> frozenset[str]:
    return _QUERY.union([name.lower() for name in names])


def _json_fields(names: Collection[str]) -> frozenset[str]:
    return _JSON_FIELDS.union([_plain(name) for name in names])


@frozen(kw_only=True)
class Redaction:
    """What is kept of a request and a response, and what is taken out of it. The arguments add to the defaults.

    Args:
        request_headers: names of request headers to keep beside content-type, accept and openai-beta.
        response_headers: names of response headers to keep beside content-type.
        sensitive_headers: names of headers whose value is never kept.
        query: names of query parameters whose value is never kept.
        json_fields: names of JSON fields, at any depth, whose value is never kept; only letters and digits count.

    Example:
        >>> Redaction().url("https://example.com/v1?key=abc&alt=sse")
        'https://example.com/v1?key=%5BREDACTED%5D&alt=sse'
    """

    request_headers: frozenset[str] = field(default=frozenset(), converter=_request_headers)
    response_headers: frozenset[str] = field(default=frozenset(), converter=_response_headers)
    sensitive_headers: frozenset[str] = field(default=frozenset(), converter=_sensitive_headers)
    query: frozenset[str] = field(default=frozenset(), converter=_query)
    json_fields: frozenset[str] = field(default=frozenset(), converter=_json_fields)

    def headers(self, headers: Mapping[str, str], allowed: Collection[str]) -> dict[str, str]:
        """The allowed headers by lower-case name, sorted; a sensitive one keeps its name only."""
        kept = {name.lower(): value for name, value in headers.items() if name.lower() in allowed}
        return {name: REDACTED if name in self.sensitive_headers else kept[name] for name in sorted(kept)}

    def secret_header(self, name: str) -> bool:
        """Whether the value of a header is a secret, by its name: one that is listed, or sounds like a key."""
        plain = name.lower()
        return plain in self.sensitive_headers or _SECRET_HEADER.search(plain) is not None

    def url(self, url: str) -> str:
        """The URL without user and password, and without the values of secret query parameters.

        What is no URL is redacted whole.
        """
        try:
            parts = urlsplit(url)
        except ValueError:
            return REDACTED
        user, _, host = parts.netloc.rpartition("@")
        netloc = f"{_QUOTED}@{host}" if user else parts.netloc
        query = "&".join([self._parameter(pair) for pair in parts.query.split("&")])
        if netloc == parts.netloc and query == parts.query:
            return url
        return urlunsplit(parts._replace(netloc=netloc, query=query))

    def _parameter(self, pair: str) -> str:
        name, equals, _ = pair.partition("=")
        return f"{name}={_QUOTED}" if equals and unquote_plus(name).lower() in self.query else pair

    def json(self, value: Any) -> Any:
        """Replace, in place, the values of secret fields at any depth of decoded JSON; gives it back."""
        waiting: list[object] = [value]
        while waiting:  # not recursive: what a parser accepts may be deeper than Python can call
            item = waiting.pop()
            if isinstance(item, dict):
                fields = cast("dict[str, object]", item)
                piece = "logprob" in fields  # a token of an answer, with its probability, is a piece of text
                for name in fields:
                    if _plain(name) in self.json_fields and not (piece and name == "token"):
                        fields[name] = REDACTED
                waiting.extend(fields.values())
            elif isinstance(item, list):
                waiting.extend(cast("list[object]", item))
        return value
