"""Bring a request into the one form in which it is compared with a recorded one.

Compared are the method, the URL with its query, the headers that cassettes keep, and the body: as JSON, in which the
order of keys does not count, or else as text. Both sides are redacted first. Everything here is a function of values.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Mapping
from functools import partial
from typing import Final, NoReturn, cast

import msgspec
from attrs import field, frozen

from ...values.provider_json import Json
from ...values.public_names import publish
from ..bodies import decoded
from ..secrets.redaction import Redaction
from .varying import steady_body, steady_headers, steady_text, steady_url

__all__ = [
    "Snapshot",
    "canonical_body",
    "canonical_url",
    "compared_headers",
    "compared_url",
    "same_json",
    "same_target",
    "snapshot",
]

#: Two ways to send the same key. Where a service takes both, releases of a client differ in which one they send.
_KEY_HEADERS: Final = frozenset({"authorization", "x-api-key"})

#: The version of an API, in a header or at the top of a body. The next release of a client asks for another version.
_VERSION_HEADERS: Final = frozenset({"anthropic-version"})

#: What a cassette keeps by default, and nobody has asked to compare.
_BY_DEFAULT: Final = Redaction().request_headers
_VERSION_FIELDS: Final = frozenset({"anthropic_version"})

_URL: Final = re.compile(r"(?is)([a-z][a-z0-9+.-]*)://([^/?#]*)([^?#]*)(\?[^#]*)?(?:#.*)?")
_DEFAULT_PORT: Final = {"http": ":80", "https": ":443", "ws": ":80", "wss": ":443"}
_ESCAPE: Final = re.compile(r"%([0-9a-fA-F]{2})")
_UNRESERVED: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


@frozen
class Snapshot:
    """A request in the form in which it is compared: redacted and canonical.

    Args:
        method: in upper case.
        url: with scheme and host in lower case, without a default port.
        headers: those that are kept, by lower-case name.
        body: the decoded JSON, or the text of a body that is not JSON.
        is_json: whether the body is JSON.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(kw_only=True)
    body: Json = field(kw_only=True, repr=False)
    is_json: bool = field(kw_only=True)


def snapshot(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    body: str | bytes,
    redaction: Redaction,
    also: Collection[str] = (),
    lenient: bool = False,
) -> Snapshot:
    """Bring a request into the form in which it is compared.

    Args:
        method: the HTTP method.
        url: the absolute URL.
        headers: all headers.
        body: as it is sent, or as it is stored.
        redaction: what is kept and what is taken out.
        also: names of further headers to keep, which the recording has.
        lenient: whether to leave out what differs between equal runs of other people's clients, as session ids.

    Example:
        >>> body = '{"b": 1, "a": 2}'
        >>> one = snapshot("post", "HTTPS://Example.com:443/v1", headers={}, body=body, redaction=Redaction())
        >>> one.method, one.url, one.body
        ('POST', 'https://example.com/v1', {'b': 1, 'a': 2})
    """
    text = body if isinstance(body, str) else body.decode("utf-8", "surrogateescape")
    is_json, value = decoded(text)
    return Snapshot(
        method.upper(),
        compared_url(url, redaction, lenient=lenient),
        headers=compared_headers(headers, recorded=also, redaction=redaction, lenient=lenient),
        body=_compared(redaction.json(value), lenient=lenient) if is_json else steady_text(text) if lenient else text,
        is_json=is_json,
    )


def compared_url(url: str, redaction: Redaction, *, lenient: bool = False) -> str:
    """Return a URL in the form in which it is compared; see `snapshot`."""
    redacted = redaction.url(url)
    return canonical_url(steady_url(redacted) if lenient else redacted)


def compared_headers(
    headers: Mapping[str, str], *, recorded: Collection[str], redaction: Redaction, lenient: bool = False
) -> dict[str, str]:
    """Return the headers of a request that are compared, by lower-case name, without secrets.

    A key counts as the same in whichever header it is sent; the version of an API only counts where the redaction
    keeps it.

    Args:
        headers: those of the recorded request, or of the one that came.
        recorded: the names of the headers that the recording has.
        redaction: what is kept and what is taken out.
        lenient: whether a header only counts that the redaction was told to keep, or that says what is asked.

    Example:
        >>> compared_headers({"Authorization": "Bearer sk-1"}, recorded=["X-Api-Key"], redaction=Redaction())
        {'x-api-key': '[REDACTED]'}
    """
    names = redaction.request_headers.union([name.lower() for name in recorded])
    if lenient:
        return steady_headers(redaction.headers(headers, names), wanted=redaction.request_headers - _BY_DEFAULT)
    names -= _VERSION_HEADERS - redaction.request_headers
    keys = sorted(names & _KEY_HEADERS)
    kept = redaction.headers(headers, names | _KEY_HEADERS if keys else names)
    sent = [kept.pop(name) for name in sorted(_KEY_HEADERS) if keys and name in kept]
    return {**kept, keys[0]: sent[0]} if sent else kept


def _compared(value: Json, *, lenient: bool) -> Json:
    return steady_body(value) if lenient else _unversioned(value)


def _unversioned(value: Json) -> Json:
    """Return the JSON of a body without the version of the API at its top."""
    if isinstance(value, dict) and not _VERSION_FIELDS.isdisjoint(cast("dict[str, object]", value)):
        fields = cast("dict[str, object]", value)
        return {name: field for name, field in fields.items() if name not in _VERSION_FIELDS}
    return value


def canonical_url(url: str) -> str:
    """Normalize a URL as in RFC 3986 section 6.2.2, as far as that is safe, and drop its fragment.

    https://datatracker.ietf.org/doc/html/rfc3986#section-6.2.2

    Example:
        >>> canonical_url("HTTPS://Example.com:443/%7Euser#top")
        'https://example.com/~user'
    """
    match = _URL.fullmatch(url)
    if match is None:
        return url
    scheme, host, path, query = match[1].lower(), match[2], match[3] or "/", match[4] or ""
    user, at, host = host.rpartition("@")
    host = host.lower().removesuffix(_DEFAULT_PORT.get(scheme, ":"))
    return f"{scheme}://{user}{at}{host}{_ESCAPE.sub(_escape, path)}{_ESCAPE.sub(_escape, query)}".removesuffix("?")


def same_target(one: str, other: str) -> bool:
    """Whether two URLs differ only in their host and base path. `other` has no base path.

    Example:
        >>> same_target("https://mine.example.com/v1/ask?v=2", "https://unknown.invalid/ask?v=2")
        True
    """
    sides = [_URL.fullmatch(canonical_url(url)) for url in (one, other)]
    if sides[0] is None or sides[1] is None:
        return False
    return sides[0][3].endswith(sides[1][3]) and sides[0][4] == sides[1][4]


def _escape(match: re.Match[str]) -> str:
    character = chr(int(match[1], 16))
    return character if character in _UNRESERVED else match[0].upper()


def same_json(one: bytes, other: bytes) -> bool:
    """Cheap check that two bodies are the same bytes or the same JSON; may return False for the same JSON.

    Example:
        >>> same_json(b'{"a": 1, "b": 2}', b'{"b":2,"a":1}'), same_json(b"1", b"1.0")
        (True, False)
    """
    if one == other:
        return True
    try:
        if msgspec.json.format(one, indent=-1) == other:  # white space apart: files have it, backends write none
            return True
        value = msgspec.json.decode(one)
        if msgspec.json.encode(value) == other:  # the same but for what is escaped, too
            return True
        encode = partial(msgspec.json.encode, order="deterministic")
        return encode(value) == encode(msgspec.json.decode(other))
    except (ValueError, RecursionError):
        return False


def _integral(literal: str) -> float | int | str:
    """Decode a number with a point or an exponent; a whole one becomes an int, so that 1.0 equals 1."""
    number = float(literal)
    if number.is_integer():
        return int(number)
    return number if math.isfinite(number) else literal


_DECODER: Final = msgspec.json.Decoder(float_hook=_integral)


def canonical_body(body: bytes, redaction: Redaction, *, lenient: bool = False) -> bytes:
    """Return a body in a canonical form, equal for all bodies between which `differences` finds none.

    Args:
        body: as it is sent, or as it is stored.
        redaction: what is taken out of it.
        lenient: as in `snapshot`.

    Example:
        >>> canonical_body(b'{"b": 1.0, "a": "x", "token": "y"}', Redaction())
        b'{"a":"x","b":1,"token":"[REDACTED]"}'
    """
    if not body:
        return b""
    try:
        value = _compared(redaction.json(_DECODER.decode(body)), lenient=lenient)
        return msgspec.json.encode(value, order="deterministic")
    except (ValueError, RecursionError):
        pass  # not JSON; or JSON that only msgspec refuses, as in `decoded`
    try:
        text = body.decode("utf-8", "surrogateescape")
        value = json.loads(text, parse_constant=_refuse, parse_float=_integral)
        compared = _compared(redaction.json(value), lenient=lenient)
        return json.dumps(compared, sort_keys=True, separators=(",", ":")).encode()
    except (ValueError, RecursionError):
        if not lenient:
            return body
        return steady_text(body.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


publish(globals(), "mellite.cassettes", "Snapshot", "snapshot")
