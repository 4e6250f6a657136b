"""Take secrets out of what a cassette holds or an error shows: headers, URLs, JSON fields, texts.

Redacting twice gives the same as redacting once, so that a live request can be compared with a stored one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any, Final, cast
from urllib.parse import quote, unquote_plus, urlsplit, urlunsplit

import msgspec
from attrs import field, frozen

from ...values.public_names import publish
from ...values.secrets.names import FIELDS, HEADERS, QUERY, is_secret_header, plain_name
from ...values.secrets.shapes import REDACTED

__all__ = ["REDACTED", "Redaction"]

_QUOTED: Final = quote(REDACTED, safe="")

_REQUEST_HEADERS: Final = frozenset({"content-type", "accept", "openai-beta"})
_RESPONSE_HEADERS: Final = frozenset({"content-type"})
#: How deep JSON in a string of JSON in a string of JSON is looked at.
_DEEPEST: Final = 4
_MOST_BLANKS: Final = 16
_SHORTEST_JSON: Final = len('{"jwt":""}')


#: The same few headers come with every call.
_plain_header: Final = lru_cache(maxsize=256)(plain_name)


def _request_headers(names: Collection[str]) -> frozenset[str]:
    return _REQUEST_HEADERS.union([name.lower() for name in names])


def _response_headers(names: Collection[str]) -> frozenset[str]:
    return _RESPONSE_HEADERS.union([name.lower() for name in names])


def _sensitive_headers(names: Collection[str]) -> frozenset[str]:
    return HEADERS.union(map(plain_name, names))


def _query(names: Collection[str]) -> frozenset[str]:
    return QUERY.union(map(plain_name, names))


def _json_fields(names: Collection[str]) -> frozenset[str]:
    return FIELDS.union(map(plain_name, names))


@frozen(kw_only=True)
class Redaction:
    """Rules for what a cassette keeps of a request and a response, and what it redacts. Arguments add to the defaults.

    Args:
        request_headers: names of request headers to keep beside content-type, accept and openai-beta.
        response_headers: names of response headers to keep beside content-type.
        sensitive_headers: names of headers whose value is never kept.
        query: names of query parameters whose value is never kept.
        json_fields: names of JSON fields, at any depth, whose value is never kept, also in JSON that is a string in it,
            as the arguments of tools are.

    Names of secrets are compared by their letters and digits: ``api_key`` is ``apiKey`` and ``API-Key``.

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
        """Return the allowed headers by lower-case name, sorted. A sensitive one keeps its name only."""
        kept = {name.lower(): value for name, value in headers.items() if name.lower() in allowed}
        return {name: REDACTED if self._is_sensitive(name) else kept[name] for name in sorted(kept)}

    def _is_sensitive(self, name: str) -> bool:
        return _plain_header(name) in self.sensitive_headers

    def secret_header(self, name: str) -> bool:
        """Whether the value of a header is a secret, judged by its name: listed, or like that of a key."""
        return self._is_sensitive(name) or is_secret_header(name)

    def secret_parameter(self, name: str) -> bool:
        """Whether the value of a query parameter is a secret, by its name."""
        return plain_name(name) in self.query

    def url(self, url: str) -> str:
        """Return a URL without user, password and the values of secret query parameters.

        A text that is not a URL is redacted whole.
        """
        try:
            parts = urlsplit(url)
        except ValueError:
            return REDACTED
        user, _, host = parts.netloc.rpartition("@")
        netloc = f"{_QUOTED}@{host}" if user else parts.netloc
        query = "&".join([self._parameter(pair) for pair in parts.query.split("&")])
        # OAuth's implicit flow puts a token there; https://datatracker.ietf.org/doc/html/rfc6749#section-4.2.2.
        fragment = "&".join([self._parameter(pair) for pair in parts.fragment.split("&")])
        if (netloc, query, fragment) == (parts.netloc, parts.query, parts.fragment):
            return url
        # Once more, until nothing changes: urlunsplit may drop the slashes before a path, which makes a host of it;
        # https://github.com/python/cpython/issues/67693.
        return self.url(urlunsplit((parts.scheme, netloc, parts.path, query, fragment)))

    def _parameter(self, pair: str) -> str:
        name, equals, _ = pair.partition("=")
        return f"{name}={_QUOTED}" if equals and self.secret_parameter(unquote_plus(name)) else pair

    def secret_field(self, name: str) -> bool:
        """Whether the value of a JSON field is a secret, by its name."""
        return plain_name(name) in self.json_fields

    def text(self, text: str) -> str:
        """Return a text without the values of secret fields, if it is JSON.

        Example:
            >>> Redaction().text('{"passwd": "hunter2"}'), Redaction().text("passwd")
            ('{"passwd":"[REDACTED]"}', 'passwd')
        """
        return self._text(text, _DEEPEST)[0]

    def json(self, value: Any) -> Any:
        """Replace the values of secret fields at any depth of decoded JSON, in place, and return it."""
        self._redact(value, _DEEPEST)
        return value

    def _redact(self, value: object, deepest: int) -> bool:
        """Redact decoded JSON in place; return whether it has a secret field."""
        found = False
        waiting: list[object] = [value]
        while waiting:  # not recursive: what a parser accepts may be deeper than Python can call
            item = waiting.pop()
            if isinstance(item, dict):
                fields = cast("dict[Any, object]", item)
                piece = "logprob" in fields  # a token of an answer, with its probability, is a piece of text
                for name, inner in fields.items():
                    if self.secret_field(name) and not (piece and name == "token"):
                        fields[name] = REDACTED
                        found = True
                    elif isinstance(inner, str):
                        fields[name], inside = self._text(inner, deepest)
                        found = found or inside
                    else:
                        waiting.append(inner)
            elif isinstance(item, list):
                items: list[Any] = item
                for place, inner in enumerate(items):
                    if isinstance(inner, str):
                        items[place], inside = self._text(inner, deepest)
                        found = found or inside
                    else:
                        waiting.append(inner)
        return found

    def _text(self, text: str, deepest: int) -> tuple[str, bool]:
        """Redact a string that is JSON itself; return it, and whether it has a secret field.

        A string that has one is encoded anew, so that differences in white space do not show.
        """
        if not deepest or len(text) < _SHORTEST_JSON or text[:_MOST_BLANKS].lstrip()[:1] not in ("{", "["):
            return text, False
        try:
            value = msgspec.json.decode(text)
            if not self._redact(value, deepest - 1):
                return text, False
            return msgspec.json.encode(value).decode(), True
        except (ValueError, RecursionError):
            return text, False


publish(globals(), "mellite.cassettes", "Redaction")
