"""What must hold in a forked child: its locks are open, and what its parent had in flight is told from its own.

Only the thread that forks goes on in the child. A lock that another one held would stay shut there for ever, so every
lock of mellite is made here. Nor does any event loop of the parent go on: its sockets, and the selector that it waits
with, are shared with the parent, so the child leaves them alone.
"""

from __future__ import annotations

import os
import threading
from typing import Any, Final, Protocol, TypeVar
from weakref import WeakSet

__all__ = ["Renewable", "condition", "lock", "process", "renewed", "rlock"]


class Renewable(Protocol):
    """What has to be put right in a forked child; the locks of `threading` have this method, too."""

    def _at_fork_reinit(self) -> None: ...


class _Process:
    """This process, as far as forks go.

    Attributes:
        number: how many forks lie between the first process and this one; what keeps it knows later where it was made.
    """

    __slots__ = ("number",)

    def __init__(self) -> None:
        self.number = 0


#: The process that this code runs in.
process: Final = _Process()

_renewed: Final[WeakSet[Any]] = WeakSet()

R = TypeVar("R")


def renewed(thing: R) -> R:
    """Have ``thing._at_fork_reinit()`` called in every forked child, as long as `thing` lives; give it back."""
    _renewed.add(thing)
    return thing


def lock() -> threading.Lock:
    """Make a lock that is open in a forked child."""
    return renewed(threading.Lock())


def rlock() -> Any:
    """Make a reentrant lock that is open in a forked child."""
    return renewed(threading.RLock())


def condition() -> threading.Condition:
    """Make a condition variable whose lock is open in a forked child, and for which nobody waits there."""
    return renewed(threading.Condition())


def _in_child() -> None:
    process.number += 1
    for thing in list(_renewed):
        thing._at_fork_reinit()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
