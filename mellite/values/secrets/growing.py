"""Mask keys in a text that comes in pieces: nothing is handed on that may still turn out to be a part of a key."""

from __future__ import annotations

import re
import string
from functools import lru_cache
from typing import Final, final

from .keyshape import KeyShape
from .shapes import END_OF_PRIVATE_KEY, SHAPES, begun_private_key, masked

__all__ = ["GrowingMask"]

#: What may stand anywhere in a key. Behind any other character a text may be cut, if no key is open there: `KeyShape`.
_IN_KEYS: Final = "".join(sorted({*map(chr, range(128))} - {*string.whitespace, *"\x1c\x1d\x1e\x1f<>{}],"}))

#: The longest beginning of a key with other characters in it that is not over yet, with some to spare.
_LONGEST_OPEN: Final = 600

#: What the end of a private key may take.
_LONGEST_END: Final = 80


@final
class GrowingMask:
    """Masks a text while it grows, each character once.

    What it has handed on is always the beginning of what `masked` makes of the whole text. The last word waits until
    it is over, and so does what may become a key, such as the word ``Bearer``.

    Example:
        >>> mask = GrowingMask()
        >>> [mask.add(piece) for piece in ("It is sk-abcdefgh", "ijklmnopqrstuvwxyz", ", says", " it")]
        ['It is ', '', '[REDACTED], ', 'says ']
        >>> mask.end()
        'it'
    """

    def __init__(self) -> None:
        self._waiting: list[str] = []
        self._is_in_key = False  # a private key, which goes on over many lines

    def add(self, text: str) -> str:
        """Return what can be said now, when a text has come, of this and of what had waited."""
        if self._is_in_key:
            return self._behind_key(text)
        place = len(text.rstrip(_IN_KEYS))
        if not place:
            self._waiting.append(text)
            return ""
        whole = "".join([*self._waiting, text])
        cut = _closed(whole, len(whole) - len(text) + place)
        self._waiting = [whole[cut:]]
        return self._said(whole[:cut])

    def end(self) -> str:
        """Return the rest: no more comes."""
        rest = "" if self._is_in_key else "".join(self._waiting)
        self._waiting, self._is_in_key = [], False
        return masked(rest)

    def _said(self, text: str) -> str:
        """Mask what cannot become a part of a key any more, unless it is one that goes on."""
        said = masked(text)
        begun = begun_private_key(text)
        if begun is None:
            return said
        self._is_in_key = True
        self._waiting.insert(0, text[max(begun, len(text) - _LONGEST_END) :])
        return said + self._behind_key("")

    def _behind_key(self, text: str) -> str:
        """Pass over a private key up to its end, and go on behind that."""
        whole = "".join([*self._waiting, text])
        end = END_OF_PRIVATE_KEY.search(whole)
        if end is None:
            self._waiting = [whole[-_LONGEST_END:]]
            return ""
        self._waiting, self._is_in_key = [], False
        return self.add(whole[end.end() :])


def _closed(text: str, place: int) -> int:
    """Return the last place at or before another one at which no key may be open.

    Args:
        text: what has come and is not said yet.
        place: where the last word begins, which may go on.
    """
    found = _open_key().search(text[max(0, place - _LONGEST_OPEN) : place])
    if found is None:
        return place
    start: int | None = max(0, place - _LONGEST_OPEN) + found.start()
    while start is not None:
        place = len(text[:start].rstrip(_IN_KEYS))
        start = _over(text, place)
    return place


def _over(text: str, place: int) -> int | None:
    """Return where a key begins that goes on over a place; None if there is none."""
    first = max(0, place - _LONGEST_OPEN)
    around = text[first : place + _LONGEST_OPEN]
    starts = [
        first + found.start()
        for shape in _with_openings()
        for found in shape.matches(around)
        if found.start() < place - first < found.end()
    ]
    return min(starts, default=None)


@lru_cache(maxsize=1)
def _with_openings() -> tuple[KeyShape, ...]:
    return tuple([shape for shape in SHAPES if shape.opening])


@lru_cache(maxsize=1)
def _open_key() -> re.Pattern[str]:
    """Return the pattern of what stands at the end of a text and may become a key, with blanks or the like in it."""
    marks = [f"(?:{'|'.join(map(re.escape, shape.marks))}){shape.opening}" for shape in _with_openings()]
    return re.compile(rf"(?:{'|'.join(marks)})\Z")
