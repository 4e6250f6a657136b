"""Whether a request is the one that was recorded, and in what they differ.

Compared are the method, the URL with its query, the headers that cassettes keep, and the body: as JSON, in which the
order of keys does not count, or else as text. Both sides are redacted first. Everything here is a function of values.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias, cast

import msgspec
from attrs import field, frozen

from ...values.public_names import publish
from ...values.secrets.shapes import looks_secret
from ..bodies import decoded
from ..secrets.redaction import REDACTED, Redaction

__all__ = [
    "Difference",
    "Snapshot",
    "canonical_body",
    "canonical_url",
    "compared_headers",
    "differences",
    "explained",
    "same_json",
    "same_target",
    "snapshot",
]

#: At most this many differences of headers, and of the body, are told.
MOST: Final = 8

#: At most this many characters of a value are shown.
LONGEST: Final = 300


class _Nothing:
    """Stands for a header, key or item that one side does not have."""

    def __repr__(self) -> str:
        return "nothing"


NOTHING: Final = _Nothing()

Section: TypeAlias = Literal["method", "url", "headers", "body"]


@frozen
class Difference:
    """One difference: where it is, what was recorded, what came instead.

    Args:
        section: ``method``, ``url``, ``headers`` or ``body``.
        path: the header's name, or the JSON path, as in ``$.messages[0].content``; empty for the whole section.
        expected: what was recorded, as it is shown.
        received: what came.

    Example:
        >>> str(Difference("body", "$.step", expected="2", received="3"))
        '$.step expected 2, received 3'
    """

    section: Section
    path: str
    expected: str = field(kw_only=True)
    received: str = field(kw_only=True)

    def __str__(self) -> str:
        name = self.path or self.section
        if self.section == "headers":
            name = f"header {self.path!r}"
        return f"{name} expected {self.expected}, received {self.received}"


@frozen
class Snapshot:
    """A request as it is compared: redacted, and in one canonical form.

    Args:
        method: in upper case.
        url: with scheme and host in lower case, without a default port.
        headers: those that are kept, by lower-case name.
        body: decoded JSON, or the text if it is none.
        is_json: which of the two.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(kw_only=True)
    body: Any = field(kw_only=True, repr=False)
    is_json: bool = field(kw_only=True)


def snapshot(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    body: str | bytes,
    redaction: Redaction,
    also: Collection[str] = (),
) -> Snapshot:
    """Bring a request into the form in which it is compared.

    Args:
        method: the HTTP method.
        url: the absolute URL.
        headers: all headers.
        body: as it is sent, or as it is stored.
        redaction: what is kept and what is taken out.
        also: names of more headers to keep: those that the recording has.

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
        canonical_url(redaction.url(url)),
        headers=compared_headers(headers, recorded=also, redaction=redaction),
        body=_unversioned(redaction.json(value)) if is_json else text,
        is_json=is_json,
    )


#: Two ways to send the same key: a service that takes both gets whichever the client's release prefers.
_KEY_HEADERS: Final = frozenset({"authorization", "x-api-key"})

#: The version of an API, in a header or at the top of a body. A client's next release asks in another version.
_VERSION_HEADERS: Final = frozenset({"anthropic-version"})
_VERSION_FIELDS: Final = frozenset({"anthropic_version"})


def compared_headers(headers: Mapping[str, str], *, recorded: Collection[str], redaction: Redaction) -> dict[str, str]:
    """Return the headers of a request that are compared, by lower-case name, without secrets.

    A key counts as the same in whichever header it is sent; the version of an API only counts where the redaction
    keeps it.

    Args:
        headers: of the request that was recorded, or of the one that came.
        recorded: the names of the headers that the recording has.
        redaction: what is kept and what is taken out.

    Example:
        >>> compared_headers({"Authorization": "Bearer sk-1"}, recorded=["X-Api-Key"], redaction=Redaction())
        {'x-api-key': '[REDACTED]'}
    """
    names = redaction.request_headers.union([name.lower() for name in recorded])
    names -= _VERSION_HEADERS - redaction.request_headers
    keys = sorted(names & _KEY_HEADERS)
    kept = redaction.headers(headers, names | _KEY_HEADERS if keys else names)
    sent = [kept.pop(name) for name in sorted(_KEY_HEADERS) if keys and name in kept]
    return {**kept, keys[0]: sent[0]} if sent else kept


def _unversioned(value: Any) -> Any:
    """The JSON of a body without the version of the API at its top."""
    if isinstance(value, dict) and not _VERSION_FIELDS.isdisjoint(cast("dict[str, object]", value)):
        fields = cast("dict[str, object]", value)
        return {name: field for name, field in fields.items() if name not in _VERSION_FIELDS}
    return value


_URL: Final = re.compile(r"(?is)([a-z][a-z0-9+.-]*)://([^/?#]*)([^?#]*)(\?[^#]*)?(?:#.*)?")
_DEFAULT_PORT: Final = {"http": ":80", "https": ":443", "ws": ":80", "wss": ":443"}
_ESCAPE: Final = re.compile(r"%([0-9a-fA-F]{2})")
_UNRESERVED: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


def canonical_url(url: str) -> str:
    """The URL in the normal form of RFC 3986 section 6.2.2, so far as that is safe, and without its fragment.

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
    """Whether two URLs ask for the same thing, whatever host and base path they do it at: `other` has no base path.

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
    """Whether two bodies are the same bytes, or JSON that is plainly the same. False proves nothing.

    Example:
        >>> same_json(b'{"a": 1, "b": 2}', b'{"b":2,"a":1}'), same_json(b"1", b"1.0")
        (True, False)
    """
    if one == other:
        return True
    try:
        decode, encode = msgspec.json.decode, msgspec.json.encode
        return encode(decode(one), order="deterministic") == encode(decode(other), order="deterministic")
    except (ValueError, RecursionError):
        return False


def _integral(literal: str) -> float | int | str:
    """A number with a point or an exponent; as an int if it is one, so that 1.0 counts as 1."""
    number = float(literal)
    if number.is_integer():
        return int(number)
    return number if math.isfinite(number) else literal


_DECODER: Final = msgspec.json.Decoder(float_hook=_integral)


def canonical_body(body: bytes, redaction: Redaction) -> bytes:
    """A body in a form that is the same for bodies in which no difference is told.

    Args:
        body: as it is sent, or as it is stored.
        redaction: what is taken out of it.

    Example:
        >>> canonical_body(b'{"b": 1.0, "a": "x", "token": "y"}', Redaction())
        b'{"a":"x","b":1,"token":"[REDACTED]"}'
    """
    if not body:
        return b""
    try:
        return msgspec.json.encode(_unversioned(redaction.json(_DECODER.decode(body))), order="deterministic")
    except (ValueError, RecursionError):
        pass  # also what msgspec alone refuses, as in `decoded`
    try:
        text = body.decode("utf-8", "surrogateescape")
        value = json.loads(text, parse_constant=_refuse, parse_float=_integral)
        return json.dumps(_unversioned(redaction.json(value)), sort_keys=True, separators=(",", ":")).encode()
    except (ValueError, RecursionError):
        return body


def _refuse(constant: str) -> Any:
    raise ValueError(constant)


def differences(expected: Snapshot, received: Snapshot, *, secrets: Collection[str] = ()) -> list[Difference]:
    """In what two requests differ; an empty list if they are the same.

    Args:
        expected: the recorded one.
        received: the one that came.
        secrets: texts that are not shown, whatever they look like.

    Returns:
        At most one for the method and the URL each, and at most eight for the headers and the body each.
    """
    found: list[Difference] = []

    def differ(section: Section, path: str, one: object, other: object) -> None:
        shown, also = _shown(one, other, secrets)
        place = REDACTED if looks_secret(path, secrets) else path
        found.append(Difference(section, place, expected=shown, received=also))

    if expected.method != received.method:
        differ("method", "", expected.method, received.method)
    if expected.url != received.url:
        differ("url", "", expected.url, received.url)
    for name, one, other in _take(_header_differences(expected.headers, received.headers)):
        differ("headers", name, one, other)
    for path, one, other in _take(_body_differences(expected, received)):
        differ("body", path, one, other)
    return found


def explained(found: Sequence[Difference]) -> str:
    """The differences in one line each, with the sections in their order."""
    return "\n".join([f"  {difference}" for difference in found])


_Found: TypeAlias = tuple[str, object, object]


def _take(found: Iterator[_Found]) -> list[_Found]:
    return [one for one, _ in zip(found, range(MOST), strict=False)]


def _header_differences(expected: Mapping[str, str], received: Mapping[str, str]) -> Iterator[_Found]:
    for name in sorted({*expected, *received}):
        one, other = expected.get(name, NOTHING), received.get(name, NOTHING)
        if one != other:
            yield name, one, other


def _body_differences(expected: Snapshot, received: Snapshot) -> Iterator[_Found]:
    if expected.is_json and received.is_json:
        yield from _json_differences(expected.body, received.body)
    elif expected.is_json or received.is_json or expected.body != received.body:
        yield "", _body(expected), _body(received)


def _body(side: Snapshot) -> object:
    return side.body if side.is_json or side.body else NOTHING


def _json_differences(expected: object, received: object) -> Iterator[_Found]:
    waiting: list[_Found] = [("$", expected, received)]
    while waiting:
        found = waiting.pop()
        path, one, other = found
        if isinstance(one, dict) and isinstance(other, dict):
            waiting.extend(reversed(_fields(path, cast("dict[str, object]", one), cast("dict[str, object]", other))))
        elif isinstance(one, list) and isinstance(other, list):
            waiting.extend(reversed(_items(path, cast("list[object]", one), cast("list[object]", other))))
        elif not _same(*found[1:]):
            yield found


def _fields(path: str, one: dict[str, object], other: dict[str, object]) -> list[_Found]:
    names = [*one, *[name for name in other if name not in one]]
    return [(f"{path}{_step(name)}", one.get(name, NOTHING), other.get(name, NOTHING)) for name in names]


def _items(path: str, one: list[object], other: list[object]) -> list[_Found]:
    length = max(len(one), len(other))
    padding = [NOTHING] * length
    pairs = zip([*one, *padding][:length], [*other, *padding][:length], strict=True)
    return [(f"{path}[{index}]", left, right) for index, (left, right) in enumerate(pairs)]


def _same(one: object, other: object) -> bool:
    """Whether two JSON scalars are the same; 1 is 1.0, as in JSON, but not true, as in Python."""
    return isinstance(one, bool) == isinstance(other, bool) and one == other


_NAME: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")


def _step(name: str) -> str:
    return f".{name}" if _NAME.fullmatch(name) else f"[{json.dumps(name)}]"


def _shown(expected: object, received: object, secrets: Collection[str]) -> tuple[str, str]:
    one, other = _text(expected, secrets), _text(received, secrets)
    if one is not None and other is not None and max(len(one), len(other)) > LONGEST:
        return _around(one, other)
    return one or f'"{REDACTED}"', other or f'"{REDACTED}"'


def _text(value: object, secrets: Collection[str]) -> str | None:
    """A value as JSON; None if it looks secret."""
    if value is NOTHING:
        return "nothing"
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except (ValueError, RecursionError):
        text = f"<{type(value).__name__}>"
    if looks_secret(text, secrets):
        return None
    return text.encode(errors="backslashreplace").decode()  # a lone surrogate could not be printed


def _around(one: str, other: str) -> tuple[str, str]:
    """Both texts cut to where they begin to differ, with a few characters before it."""
    same = next((index for index, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), 0)
    start = max(0, same - 40) if min(len(one), len(other)) > same else 0
    return _cut(one, start), _cut(other, start)


def _cut(text: str, start: int) -> str:
    if start >= len(text):
        start = 0
    piece = text[start : start + LONGEST]
    before = "..." if start else ""
    after = "..." if start + LONGEST < len(text) else ""
    return f"{before}{piece}{after}"


publish(globals(), "mellite.cassettes", "Difference", "Snapshot", "differences", "snapshot")
