"""Keep locks and event loops apart after a fork.

Only the thread that forks goes on in the child. A lock that another thread held would stay locked there for ever
(https://github.com/python/cpython/issues/50970), so every lock of mellite is made here, and open in the child.

No event loop of the parent goes on in the child. Its sockets, and the selector that it waits with, are shared with the
parent, so the child must not touch them, not even to close them. What belongs to a loop keeps the number of its process
(`process`), and counts as gone where that is another one.
"""

from __future__ import annotations

import os
import threading
from contextlib import AbstractContextManager
from typing import Final, Protocol, TypeVar, cast
from weakref import WeakSet

__all__ = ["Renewable", "condition", "held_lock", "lock", "process", "renewed", "rlock"]


class Renewable(Protocol):
    """An object that a forked child must renew, by the method that locks of `threading` have for it.

    https://github.com/python/cpython/issues/84270
    """

    def _at_fork_reinit(self) -> None: ...


class _Process:
    """The process that this code runs in.

    Attributes:
        number: how many forks lie between the first process and this one.
    """

    __slots__ = ("number",)

    def __init__(self) -> None:
        self.number = 0


#: This process. An object that keeps its number can tell later whether it was made before a fork.
process: Final = _Process()

_renewed: Final[WeakSet[object]] = WeakSet()
_held: Final[WeakSet[threading.Lock]] = WeakSet()

#: The locks that each thread holds while it forks.
_taken: Final[dict[int, list[threading.Lock]]] = {}

#: How long, in seconds, a fork waits for such a lock: for ever it would wait for itself.
_PATIENCE: Final = 5.0

R = TypeVar("R")


def renewed(thing: R) -> R:
    """Have ``thing._at_fork_reinit()`` called in every forked child, as long as `thing` lives; return `thing`."""
    _renewed.add(thing)
    return thing


def lock() -> threading.Lock:
    """Make a lock that is open in a forked child."""
    return renewed(threading.Lock())


def held_lock() -> threading.Lock:
    """Make a lock that is held while this process forks, so that what it guards is not half done in the child."""
    made = lock()
    _held.add(made)
    return made


def rlock() -> AbstractContextManager[bool]:
    """Make a reentrant lock that is open in a forked child."""
    return renewed(threading.RLock())


def condition(under: threading.Lock | None = None) -> threading.Condition:
    """Make a condition variable whose lock is open in a forked child, without waiters there.

    Args:
        under: its lock; by default one of its own, which is reentrant.
    """
    return renewed(threading.Condition(under))


def _before() -> None:
    _taken[threading.get_ident()] = [each for each in list(_held) if each.acquire(timeout=_PATIENCE)]


def _in_parent() -> None:
    for each in _taken.pop(threading.get_ident(), ()):
        each.release()


def _in_child() -> None:
    process.number += 1
    _taken.clear()
    for thing in list(_renewed):
        cast("Renewable", thing)._at_fork_reinit()  # noqa: SLF001 - so locks of threading call it


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
