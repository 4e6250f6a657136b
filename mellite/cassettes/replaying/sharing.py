"""Recorded answers that several readers have at the same time, of whose bodies there is one copy for all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final
from weakref import WeakValueDictionary

from .cutting import Pieces

__all__ = ["Laid", "SharedAnswers"]

_SMALL: Final = 64 * 1024
_MOST: Final = 16 * 1024 * 1024


class Laid:
    """What is the same in all answers from one interaction.

    Args:
        headers: by lower-case name.
        pieces: the body, and how it is cut.
    """

    __slots__ = ("__weakref__", "headers", "pieces")

    def __init__(self, headers: Mapping[str, str], pieces: Pieces) -> None:
        self.headers = headers
        self.pieces = pieces


class SharedAnswers:
    """Keeps small answers, and large ones while they have readers.

    Several threads may use it: at worst two of them make the same thing.

    Example:
        >>> shared = SharedAnswers()
        >>> first = shared.get(0, lambda: Laid({}, (b"Hello.", (6,), ())))
        >>> shared.get(0, lambda: Laid({}, (b"", (), ()))) is first
        True
    """

    __slots__ = ("_kept", "_left", "_read")

    def __init__(self) -> None:
        self._read: WeakValueDictionary[int, Laid] = WeakValueDictionary()
        self._kept: dict[int, Laid] = {}
        self._left = _MOST

    def get(self, index: int, make: Callable[[], Laid]) -> Laid:
        """Return the answer from an interaction, made unless it is there."""
        found = self._kept.get(index)
        if found is None:
            found = self._read.get(index)
        if found is None:
            found = self._read[index] = make()
            size = len(found.pieces[0])
            if size <= _SMALL and size <= self._left:
                self._left -= size
                self._kept[index] = found
        return found
