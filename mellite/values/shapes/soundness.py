"""Refuse JSON that is nested too deeply, or has numbers that are none."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias

from ..provider_json import Json
from .mismatches import Mismatch, said, segment

__all__ = ["check_sound"]

#: How deeply a value may be nested: reading it takes a few of Python's 1,000 frames a level.
DEEPEST: Final = 128

#: A JSON number beyond what a double holds is infinity to most readers.
_LARGEST: Final = int(sys.float_info.max)


def check_sound(value: Json) -> None:
    """Check that a value is JSON which can be read safely; types are not looked at.

    Raises:
        Mismatch: if it is nested more than 128 levels deep, or holds NaN, infinity, a number that no double can hold,
            a key that is not a str, or anything that is not JSON.

    Example:
        >>> check_sound({"a": [1, 2.5, None]})
        >>> check_sound([float("nan")])
        Traceback (most recent call last):
        mellite.values.shapes.mismatches.Mismatch: $[0]: NaN is not a JSON number
    """
    if type(value) is dict and _SOUND.issuperset(map(type, value.values())) and _KEYS.issuperset(map(type, value)):
        return  # what most answers and arguments are
    if type(value) not in _SOUND:
        _check(value, None)
    waiting: list[tuple[Json, _Place | None, int]] = [(value, None, 1)]
    while waiting:  # a loop, because recursion is what the check protects from
        holder, place, depth = waiting.pop()
        for key, item in _members(holder, place):
            if type(item) in _SOUND:
                continue
            here = (place, key)
            if _check(item, here):
                if depth == DEEPEST:
                    msg = f"nested more than {DEEPEST} levels deep"
                    raise Mismatch(msg, item, _path(here))
                waiting.append((item, here, depth + 1))


#: Types whose values are all sound.
_SOUND: Final = frozenset({str, bool, type(None)})
_KEYS: Final = frozenset({str})


def _check(value: Json, place: _Place | None) -> bool:
    """Return whether a value is an array or an object; raise Mismatch if it is not sound in itself."""
    if isinstance(value, (Mapping, list, tuple)):
        return True
    if (wrong := _wrong(value)) is not None:
        raise Mismatch(wrong, value, _path(place))
    return False


#: The place that holds the value, and the key or index there: a path is written only when something is wrong.
_Place: TypeAlias = tuple["_Place | None", str | int]


def _path(place: _Place | None) -> str:
    keys: list[str] = []
    while place is not None:
        place, key = place
        keys.append(segment(key))
    return "$" + "".join(reversed(keys))


def _members(holder: Json, place: _Place | None) -> Iterable[tuple[str | int, Json]]:
    if not isinstance(holder, Mapping):
        return enumerate(holder) if isinstance(holder, (list, tuple)) else ()
    for key in holder:
        if not isinstance(key, str):
            msg = f"a key of a JSON object is a string, not {said(key)}"
            raise Mismatch(msg, holder, _path(place))
    return holder.items()


def _wrong(value: Json) -> str | None:
    if value is None or isinstance(value, (bool, str)):
        return None
    if isinstance(value, int):
        return None if -_LARGEST <= value <= _LARGEST else "a number of too many digits: no double can hold it"
    if isinstance(value, float):
        return None if math.isfinite(value) else f"{_NAMES[str(value)]} is not a JSON number"
    return f"expected JSON, not {said(value)}"


_NAMES: Final = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
