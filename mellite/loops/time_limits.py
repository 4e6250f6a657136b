"""Time limits on asyncio and trio: leave a block, or raise TimeoutError, once it has taken too long.

Trio's own scopes on trio. On asyncio anyio's, where the program uses anyio: a block of ours may stand in a cancelled
scope of anyio's, which only anyio's scopes know and only they can shield from. Where nothing has loaded anyio's asyncio
backend, there is no such scope, and the limit is made with asyncio alone: loading that backend would be a tenth of the
first call of a process.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Generator
from contextlib import contextmanager
from types import TracebackType
from typing import Protocol, Self, cast, final

from .detection import imported_trio, uses_anyio_on_asyncio

__all__ = ["TimeLimit", "fail_after", "move_on_after"]


class TimeLimit(Protocol):
    """A block with a limited time.

    Attributes:
        cancelled_caught: whether the block was left early, because its time was over.
    """

    @property
    def cancelled_caught(self) -> bool:
        """Whether the block was left early."""
        ...

    def __enter__(self) -> Self:
        """Begin the block."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> bool:
        """End the block; return whether `error` was the cancellation by this limit."""
        ...


def move_on_after(seconds: float | None, *, shield: bool = False) -> TimeLimit:
    """Return a context manager that leaves its block after some seconds, counted from this call.

    Args:
        seconds: None for no limit; none are left where it is zero or less.
        shield: whether the block goes on although a scope around it, of anyio's or trio's, has been cancelled.

    Raises:
        RuntimeError: outside of any loop.
    """
    trio = imported_trio()
    if trio is not None and trio.lowlevel.in_trio_task():
        at = math.inf if seconds is None else trio.current_time() + seconds
        return cast("TimeLimit", trio.CancelScope(deadline=at, shield=shield))
    if uses_anyio_on_asyncio():
        import anyio

        return anyio.move_on_after(seconds, shield=shield)
    return _AsyncioLimit(asyncio.get_running_loop(), seconds)


@contextmanager
def fail_after(seconds: float | None) -> Generator[None]:
    """Raise TimeoutError where the block takes longer than some seconds; otherwise as `move_on_after`."""
    with move_on_after(seconds) as limit:
        yield
    if limit.cancelled_caught:
        raise TimeoutError


@final
class _AsyncioLimit:
    """Cancels the task in its block, in each turn of the loop until it leaves, as scopes of anyio and trio do."""

    __slots__ = ("_asked", "_at", "_cancelling", "_loop", "_task", "_timer", "cancelled_caught")

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float | None) -> None:
        self._loop = loop
        self._at = None if seconds is None else loop.time() + seconds
        self._task: asyncio.Task[object] | None = None
        self._timer: asyncio.Handle | None = None
        self._asked = 0  # how often the task was asked to cancel
        self._cancelling = 0  # how often others had asked before
        self.cancelled_caught = False

    def __enter__(self) -> _AsyncioLimit:
        task = self._task = asyncio.current_task()
        if task is None:
            msg = "a time limit needs a task"
            raise RuntimeError(msg)
        self._cancelling = task.cancelling()
        if self._at is not None:
            over = self._at <= self._loop.time()
            self._timer = self._loop.call_soon(self._expire) if over else self._loop.call_at(self._at, self._expire)
        return self

    def _expire(self) -> None:
        task = self._task
        if task is None:
            return
        waits_for = getattr(task, "_fut_waiter", None)
        # What the task waited for wins where it has come: a connection, say, that would be lost.
        if (waits_for is None or not waits_for.done()) and task.cancel():
            self._asked += 1
        self._timer = self._loop.call_soon(self._expire)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> bool:
        if self._timer is not None:
            self._timer.cancel()
        task, self._task, self._timer = self._task, None, None
        if not self._asked or task is None:
            return False
        for _ in range(self._asked):
            task.uncancel()
        # If others asked, too, in the same turn or later, the cancellation is theirs as well, and goes on.
        self.cancelled_caught = isinstance(error, asyncio.CancelledError) and task.cancelling() <= self._cancelling
        return self.cancelled_caught
