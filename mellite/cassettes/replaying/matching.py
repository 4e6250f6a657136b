"""In what a request differs from the recorded one, told without secrets. Everything here is a function of values."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final, Literal, TypeAlias, cast

from attrs import field, frozen

from ...values.public_names import publish
from ...values.secrets.shapes import looks_secret
from ..secrets.redaction import REDACTED
from .canonical import Snapshot

__all__ = ["Difference", "differences", "explained"]

#: How many differences of headers are told at most, and how many of the body.
_MOST: Final = 8

#: How many characters of a value are shown at most.
_LONGEST: Final = 300

#: A key that can follow a point in a JSON path; others stand in brackets.
_NAME: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")

Section: TypeAlias = Literal["method", "url", "headers", "body"]

_Found: TypeAlias = tuple[str, object, object]
"""A path, what was recorded there and what came."""


class _Nothing:
    """Stand-in for a header, key or item that one side does not have."""

    def __repr__(self) -> str:
        return "nothing"


_NOTHING: Final = _Nothing()


@frozen
class Difference:
    """One difference: where it is, what was recorded there, and what came instead.

    Args:
        section: ``method``, ``url``, ``headers`` or ``body``.
        path: the header's name, or the JSON path, as in ``$.messages[0].content``; empty for the whole section.
        expected: the recorded value, as it is shown.
        received: the value that came, as it is shown.

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


def differences(expected: Snapshot, received: Snapshot, *, secrets: Collection[str] = ()) -> list[Difference]:
    """Compare two requests.

    Args:
        expected: the recorded one.
        received: the one that came.
        secrets: texts that must not be shown, whatever they look like.

    Returns:
        The differences: at most one each for the method and the URL, and at most eight each for the headers and the
        body. An empty list if the requests are the same.
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
    """Format differences, one per line."""
    return "\n".join([f"  {difference}" for difference in found])


def _take(found: Iterator[_Found]) -> list[_Found]:
    return [one for one, _ in zip(found, range(_MOST), strict=False)]


def _header_differences(expected: Mapping[str, str], received: Mapping[str, str]) -> Iterator[_Found]:
    for name in sorted({*expected, *received}):
        one, other = expected.get(name, _NOTHING), received.get(name, _NOTHING)
        if one != other:
            yield name, one, other


def _body_differences(expected: Snapshot, received: Snapshot) -> Iterator[_Found]:
    if expected.is_json and received.is_json:
        yield from _json_differences(expected.body, received.body)
    elif expected.is_json or received.is_json or expected.body != received.body:
        yield "", _body(expected), _body(received)


def _body(side: Snapshot) -> object:
    return side.body if side.is_json or side.body else _NOTHING


def _json_differences(expected: object, received: object) -> Iterator[_Found]:
    """Walk through two JSON values side by side. Not recursive: a body may be nested deeper than Python can call."""
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
    return [(f"{path}{_step(name)}", one.get(name, _NOTHING), other.get(name, _NOTHING)) for name in names]


def _items(path: str, one: list[object], other: list[object]) -> list[_Found]:
    length = max(len(one), len(other))
    padding = [_NOTHING] * length
    pairs = zip([*one, *padding][:length], [*other, *padding][:length], strict=True)
    return [(f"{path}[{index}]", left, right) for index, (left, right) in enumerate(pairs)]


def _same(one: object, other: object) -> bool:
    """Whether two JSON scalars are equal. 1 equals 1.0, as in JSON, but not true, as in Python."""
    return isinstance(one, bool) == isinstance(other, bool) and one == other


def _step(name: str) -> str:
    return f".{name}" if _NAME.fullmatch(name) else f"[{json.dumps(name)}]"


def _shown(expected: object, received: object, secrets: Collection[str]) -> tuple[str, str]:
    """Return both values as they are shown: as JSON, cut if long, without secrets."""
    one, other = _text(expected, secrets), _text(received, secrets)
    if one is not None and other is not None and max(len(one), len(other)) > _LONGEST:
        return _around(one, other)
    return one or f'"{REDACTED}"', other or f'"{REDACTED}"'


def _text(value: object, secrets: Collection[str]) -> str | None:
    """Return a value as JSON; None if it looks secret."""
    if value is _NOTHING:
        return "nothing"
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except (ValueError, RecursionError):
        text = f"<{type(value).__name__}>"
    if looks_secret(text, secrets):
        return None
    return text.encode(errors="backslashreplace").decode()  # a lone surrogate could not be printed


def _around(one: str, other: str) -> tuple[str, str]:
    """Cut both texts to the place where they begin to differ, with a few characters before it."""
    same = next((index for index, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), 0)
    start = max(0, same - 40) if min(len(one), len(other)) > same else 0
    return _cut(one, start), _cut(other, start)


def _cut(text: str, start: int) -> str:
    if start >= len(text):
        start = 0
    piece = text[start : start + _LONGEST]
    before = "..." if start else ""
    after = "..." if start + _LONGEST < len(text) else ""
    return f"{before}{piece}{after}"


publish(globals(), "mellite.cassettes", "Difference", "differences")
