"""Who looks on by itself: the place where a higher room says how to find it, for `mellite.thunk.observing` to ask.

It stands in a module that loads nothing and below all that generates, because ``import mellite`` writes into it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias, final

__all__ = ["Finder", "noticing"]

#: Returns the observer that is to look on from now on, or None. It is asked before anything begins that could be looked
#: at, so it must cost next to nothing, and raise nothing.
Finder: TypeAlias = Callable[[], object | None]


@final
class _Noticing:
    """Whom to ask.

    Attributes:
        find: the function that is asked.
    """

    __slots__ = ("find",)

    def __init__(self) -> None:
        self.find: Finder = _nobody

    def by(self, load: Callable[[], Finder]) -> None:
        """Have the function that `load` returns asked from now on; it is loaded when something begins."""

        def first() -> object | None:
            self.find = found = load()
            return found()

        self.find = first


def _nobody() -> None:
    return None


noticing: Final = _Noticing()
