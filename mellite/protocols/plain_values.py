"""The types by which `plain` of each protocol reads an answer of text: JSON of a known depth, without surprises.

A field that is typed so is decoded like any other JSON, never passed over: what msgspec passes over it does not check.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final, TypeAlias, TypeVar

import msgspec

__all__ = ["Few", "Flat", "Nothing", "Word", "decoded"]

T = TypeVar("T")

#: The most bytes of a body that is worth trying: for a longer answer, one decoding more or less counts.
_LONGEST: Final = 64 * 1024

#: A value that holds no others.
Word: TypeAlias = str | int | float | bool | None

#: An object of words.
Flat: TypeAlias = dict[str, Word]

#: What is told of an answer beside what it says: objects and lists, one in the other, a few deep.
Few: TypeAlias = dict[str, Word | list[Word | Flat] | dict[str, Word | list[Word | Flat] | Flat]]

#: A list where nothing is told.
Nothing: TypeAlias = Annotated[list[None], msgspec.Meta(max_length=0)]


def decoded(decode: Callable[[bytes], T], body: bytes) -> T | None:
    """Return an answer as a decoder reads it; None where it does not fit: the long way finds out what it is."""
    if len(body) > _LONGEST:
        return None
    try:
        return decode(body)
    except (ValueError, RecursionError):
        return None
