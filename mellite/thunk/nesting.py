"""Copy and pickle thunks inside thunks: the innermost first, so that depth does not exhaust the stack."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol, TypeVar, cast
from weakref import WeakKeyDictionary

from .call import CallInfo
from .resolving import thunks_in

__all__ = ["Nested", "innermost_first", "shortcut"]


class Nested(Protocol):
    """A thunk, as far as this module looks at it."""

    @property
    def call(self) -> CallInfo:
        """The call that the thunk stands for."""
        ...


T = TypeVar("T", bound=Nested)


def innermost_first(thunk: T, is_known: Callable[[T], bool]) -> list[T]:
    """List `thunk` and all thunks in its prompt, at whatever depth, each once and after those in its own prompt.

    Args:
        thunk: the outermost.
        is_known: tells which thunks to leave out, with what is in them.
    """
    found: dict[T, None] = {}
    open_ones = [(thunk, iter(_directly_in(thunk)))]
    while open_ones:
        last, inside = open_ones[-1]
        for part in inside:
            if part not in found and not is_known(part):
                open_ones.append((part, iter(_directly_in(part))))
                break
        else:
            found[last] = None
            open_ones.pop()
    return list(found)


def _directly_in(thunk: T) -> list[T]:
    return cast("list[T]", thunks_in(thunk.call.request))


#: Thunk -> how deep its nesting is, and its shortcut; once asked for.
_ways: Final[WeakKeyDictionary[Nested, tuple[int, Nested | None]]] = WeakKeyDictionary()


def shortcut(thunk: Nested) -> Nested | None:
    """Return a thunk further in, to be pickled before `thunk`; None if there is none in it.

    Pickle recurses into each object before it goes on to the next, some calls deeper each time. The shortcuts are the
    jump pointers of a skew-binary list: where each thunk is pickled after its shortcut, pickle is never more than about
    log2(depth) thunks deep. See E. W. Myers, "An applicative random-access stack" (1983).
    """
    if thunk not in _ways:
        for each in innermost_first(thunk, _ways.__contains__):
            _ways[each] = _way(each)
    return _ways[thunk][1]


def _way(thunk: Nested) -> tuple[int, Nested | None]:
    deepest, depth, far = None, -1, None
    for part in _directly_in(thunk):
        its_depth, its_shortcut = _ways[part]
        if its_depth > depth:
            deepest, depth, far = part, its_depth, its_shortcut
    if deepest is None or far is None:
        return depth + 1, deepest
    far_depth, farther = _ways[far]
    if farther is not None and depth - far_depth == far_depth - _ways[farther][0]:
        return depth + 1, farther
    return depth + 1, deepest
