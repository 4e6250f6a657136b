"""Why a JSON value does not fit a type: the path to the offending place, the value there, and what was expected."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Final

from ..provider_json import Json
from ..shortened import shortened

__all__ = ["Mismatch", "kinds_of", "listed", "said", "segment"]

#: How much of a value is shown in a message, in characters.
SHOWN: Final = 60


class Mismatch(Exception):
    r"""A JSON value does not fit a type.

    Args:
        message: what was expected at that place and what stands there.
        value: the offending value.
        path: where it stands, as in ``$.items[2].price``; ``$`` is the whole value.

    Example:
        >>> raise Mismatch("expected an integer, not the string \"3\"", "3").under(2).under("items")
        Traceback (most recent call last):
        mellite.values.shapes.mismatches.Mismatch: $.items[2]: expected an integer, not the string "3"
    """

    def __init__(self, message: str, value: Json = None, path: str = "$", *, final: bool = False) -> None:
        super().__init__(message, value, path)
        self.message = message
        self.value = value
        self.path = path
        self.final = final
        """Whether no other member of a union is to be tried."""

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"

    def under(self, key: str | int) -> Mismatch:
        """Return this mismatch as seen from the array or object that holds the value under `key`."""
        self.path = "$" + segment(key) + self.path[1:]
        self.args = (self.message, self.value, self.path)
        return self


def segment(key: str | int) -> str:
    """Return a key or index as a part of a path.

    Example:
        >>> segment("price"), segment("a b"), segment(2)
        ('.price', '["a b"]', '[2]')
    """
    if isinstance(key, int):
        return f"[{key}]"
    if re.fullmatch(r"[^\W\d]\w*", key):
        return f".{key}"
    return f"[{_quoted(key)}]"


def said(value: Json) -> str:
    """Return a JSON value as a message shows it: its kind, and as much of it as fits.

    Example:
        >>> said("3"), said(True), said({"a": 1})
        ('the string "3"', 'true', 'an object')
    """
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            return f"the number {value}" if value.bit_length() < 128 else "a number of many digits"
        case float():
            return f"the number {value}"
        case str():
            return f"the string {_quoted(value)}"
        case Mapping():
            return "an object"
        case list() | tuple():
            return "an array"
        case _:
            return f"a value that is not JSON ({type(value).__name__})"


def listed(values: Iterable[Json]) -> str:
    """Return values as a message lists those that are allowed.

    Example:
        >>> listed(["red", 1, None])
        '"red", 1, null'
    """
    return ", ".join([_quoted(value) if isinstance(value, str) else json.dumps(value) for value in values])


def kinds_of(value: Json) -> tuple[str, ...]:
    """Return what JSON Schema calls a value; nothing for a value that is not JSON.

    Example:
        >>> kinds_of(3.0), kinds_of(3.5), kinds_of(True)
        (('number', 'integer'), ('number',), ('boolean',))
    """
    if type(value) in _KINDS:
        return _KINDS[type(value)]
    if isinstance(value, float):
        return ("number", "integer") if value.is_integer() else ("number",)
    if isinstance(value, (list, tuple)):
        return ("array",)
    return ("object",) if isinstance(value, Mapping) else ()


#: Of the types whose values are all of one kind.
_KINDS: Final[Mapping[type, tuple[str, ...]]] = {
    type(None): ("null",),
    bool: ("boolean",),
    int: ("integer", "number"),
    str: ("string",),
    dict: ("object",),
    list: ("array",),
}


def _quoted(text: str) -> str:
    escaped = shortened(text, SHOWN).replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join([char if char.isprintable() else repr(char)[1:-1] for char in escaped]) + '"'
