"""The registry of observers that start by themselves: higher rooms register, `mellite.thunk.observing` asks.

It stands in a module that loads nothing and below all that generates, because ``import mellite`` writes into it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import is_not as _is_not
from typing import Final, TypeAlias, final

__all__ = ["Finder", "noticing"]

#: Returns who is to look on, or to stand in between, from now on: one, a tuple of several, or None. It is asked before
#: anything begins that could be looked at, so it must cost next to nothing, and raise nothing. As long as nothing
#: changes, it returns the same object.
Finder: TypeAlias = Callable[[], object | None]


@final
class _Noticing:
    """The registered finder.

    Attributes:
        find: the function that is asked.
        variable: the environment variable that names a log file, whose observer looks on as long as it is set.
        by_name: returns the observer for the file of this name, or None.
    """

    __slots__ = ("by_name", "find", "variable")

    def __init__(self) -> None:
        self.find: Finder = _nobody
        self.variable: Final = "MELLITE_LOG_DB"
        self.by_name: Callable[[str], object | None] = _no_one

    def by(self, *loads: Callable[[], Finder | None]) -> None:
        """Have the functions that these return asked from now on; they are loaded when something begins.

        Args:
            *loads: each returns a function to ask, or None where nobody will ever look on: it has looked at the
                environment, for instance, or has installed for good what looks on.
        """

        def first() -> object | None:
            self.find = _nobody  # for what is generated while they are loaded
            self.find = found = _one_of([finder for load in loads if (finder := load()) is not None])
            return found()

        self.find = first


def _one_of(finders: Sequence[Finder]) -> Finder:
    """Return one function that asks all of these."""
    if len(finders) < 2:
        return finders[0] if finders else _nobody
    latest: tuple[object | None, ...] = ()
    known: object | None = None

    def find() -> object | None:
        nonlocal latest, known
        found = tuple([finder() for finder in finders])
        if any(map(_is_not, found, latest)) or len(found) != len(latest):
            flat = [one for each in found if each is not None for one in (each if isinstance(each, tuple) else (each,))]
            latest, known = found, tuple(flat) or None
        return known

    return find


def _nobody() -> None:
    return None


def _no_one(said: str) -> None:
    del said


noticing: Final = _Noticing()
