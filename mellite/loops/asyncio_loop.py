"""asyncio as the pump of a generation needs it: a `mellite.loops.Loop`, and its waiters."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Callable, Coroutine
from typing import Any, Final, final

from . import forking

__all__ = ["AsyncioLoop", "AsyncioWaiter", "current_asyncio_task"]


def current_asyncio_task() -> asyncio.Task[Any] | None:
    """The asyncio task that runs this code; None on trio."""
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


#: Whether this thread is about to make a task: where tasks are eager, that may run code that makes more.
_eager: Final = threading.local()


@final
class AsyncioLoop:
    """One event loop of asyncio."""

    __slots__ = ("asked", "loop", "process", "task", "thread")

    def __init__(self, loop: asyncio.AbstractEventLoop, *, thread: int | None = None) -> None:
        self.loop = loop
        self.process = forking.process.number
        self.asked = False  # for cancellation, out of the first step of an eager task
        self.task: asyncio.Task[None] | None = None
        self.thread = threading.get_ident() if thread is None else thread

    def waiter(self) -> AsyncioWaiter:
        """Make a waiter for a task of this loop."""
        return AsyncioWaiter(self.loop)

    def spawn(self, main: Callable[[], Coroutine[Any, Any, None]], done: Callable[[], None]) -> None:
        """Run `main` as a task of its own; call `done` when it is over, however it ended."""
        if self.loop.get_task_factory() is None:
            self._spawn(main, done)
        elif getattr(_eager, "depth", 0):
            # Out of the first step of an eager task: each of a chain of them would be some calls deeper.
            self.loop.call_soon(self._spawn, main, done)
        else:
            _eager.depth = 1
            try:
                self._spawn(main, done)
            finally:
                _eager.depth = 0

    def _spawn(self, main: Callable[[], Coroutine[Any, Any, None]], done: Callable[[], None]) -> None:
        task = self.task = self.loop.create_task(main())
        # A loop that is closed without asyncio.run's clean-up would complain about the pending task; the thunk
        # settles as cancelled in that case, so there is nothing to complain about.
        task._log_destroy_pending = False  # type: ignore[attr-defined]

        def over(task: asyncio.Task[None]) -> None:
            if not task.cancelled():
                task.exception()  # looked at, so that nobody says it was never retrieved
            self.task = None  # its context knows the pump, which knows this: keep no cycle
            done()

        task.add_done_callback(over)
        if self.asked:
            task.cancel()

    def cancel(self) -> None:
        """Cancel the task that was spawned; only from this loop's own thread."""
        if self.task is not None:
            self.task.cancel()
        else:
            self.asked = True

    def call_soon(self, function: Callable[..., Any], *args: Any) -> bool:
        """Have `function` called in this loop, from any thread or `__del__`; return False if the loop is gone."""
        if self.process != forking.process.number:
            return False  # what wakes the loop up is shared with the parent
        try:
            self.loop.call_soon_threadsafe(function, *args)
        except RuntimeError:  # the loop is closed
            return False
        return True

    def is_here(self) -> bool:
        """Whether this is the thread the loop belongs to."""
        return threading.get_ident() == self.thread

    def is_closed(self) -> bool:
        """Whether nothing will ever run here again, in this process."""
        return self.process != forking.process.number or self.loop.is_closed()

    def when_closed(self, function: Callable[[], None]) -> Callable[[], None]:
        """Have `function` called if the loop is closed by hand; return what takes that back."""
        # Loops tell nobody that they are closed. But they drop their timers then, and what the timers hold.
        timer = weakref.ref(self.loop.call_later(_NEVER, _Farewell.hold, _Farewell(self.loop, function)))

        def take_back() -> None:
            running = timer()
            if running is not None:
                running.cancel()

        return take_back

    def is_cancellation(self, error: BaseException) -> bool:
        """Whether `error` means that the spawned task was cancelled from outside."""
        # A CancelledError that nobody sent to this task comes out of the backend: an error like any other.
        return isinstance(error, asyncio.CancelledError) and self.task is not None and self.task.cancelling() > 0

    async def checkpoint(self) -> None:
        """Let others run, and let a cancellation arrive."""
        await asyncio.sleep(0)

    def in_task(self) -> bool:
        """Whether the code that asks runs in the spawned task itself."""
        return self.task is not None and self.task is current_asyncio_task()


#: Seconds until a timer that is only there to be dropped, ten years.
_NEVER: Final = 10 * 365 * 24 * 3600.0


@final
class _Farewell:
    """Calls a function when it is dropped, if its loop is closed by then."""

    __slots__ = ("function", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop, function: Callable[[], None]) -> None:
        self.loop = loop
        self.function = function

    def hold(self) -> None:
        """Called by the timer, which is ten years off."""

    def __del__(self) -> None:
        if self.loop.is_closed():
            self.function()


@final
class AsyncioWaiter:
    """A wake-up for one task of asyncio."""

    __slots__ = ("future", "loop", "thread")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.future: asyncio.Future[None] = loop.create_future()
        self.thread = threading.get_ident()

    def wake(self) -> None:
        """Wake whoever waits, or will; from any thread, any number of times."""
        try:
            if threading.get_ident() == self.thread:
                self._set()
            else:
                self.loop.call_soon_threadsafe(self._set)
        except RuntimeError:  # that loop is closed: nobody waits there any more
            return

    def _set(self) -> None:
        if not self.future.done():
            self.future.set_result(None)

    async def wait(self) -> None:
        """Wait for the wake-up."""
        await self.future
