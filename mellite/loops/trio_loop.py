"""Trio as the pump of a generation needs it: a `mellite.loops.Loop`, and its waiters."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, final

from . import forking

if TYPE_CHECKING:
    import trio

__all__ = ["TrioLoop", "TrioWaiter"]


@final
class TrioLoop:
    """One run of trio."""

    __slots__ = ("asked", "process", "scope", "task", "thread", "token")

    def __init__(self, token: trio.lowlevel.TrioToken) -> None:
        self.token = token
        self.process = forking.process.number
        self.asked = False  # for cancellation, before there was anything to cancel
        self.scope: trio.CancelScope | None = None
        self.task: trio.lowlevel.Task | None = None
        self.thread = threading.get_ident()

    def waiter(self) -> TrioWaiter:
        """Make a waiter for a task of this run."""
        return TrioWaiter(self.token)

    def spawn(self, main: Callable[[], Coroutine[Any, Any, None]], done: Callable[[], None]) -> None:
        """Run `main` as a system task; call `done` when it is over, however it ended."""
        import trio

        scope = self.scope = trio.CancelScope()
        if self.asked:
            scope.cancel()

        async def scoped() -> None:
            nonlocal main, done
            try:
                with scope:
                    await main()
            finally:
                self.task = self.scope = None
                done()
                del main, done  # both know the pump, and its error may know this frame: keep no cycle

        self.task = trio.lowlevel.spawn_system_task(scoped, context=contextvars.copy_context())

    def cancel(self) -> None:
        """Cancel the task that was spawned, or will be; only from the thread of this run."""
        self.asked = True
        if self.scope is not None:
            self.scope.cancel()

    def call_soon(self, function: Callable[..., Any], *args: Any) -> bool:
        """Have `function` called in this run, from any thread; False if the run is over."""
        import trio

        if self.process != forking.process.number:
            return False
        try:
            self.token.run_sync_soon(function, *args)
        except trio.RunFinishedError:
            return False
        return True

    def is_here(self) -> bool:
        """Whether this is the thread of the run."""
        return threading.get_ident() == self.thread

    def is_closed(self) -> bool:
        """Whether nothing will ever run here again, in this process."""
        # The run cancels its system tasks before it ends, so a generation never outlives it unsettled; but in a fork.
        return self.process != forking.process.number

    def when_closed(self, function: Callable[[], None]) -> Callable[[], None]:  # noqa: ARG002
        """Do nothing, and give what takes that back: a run of trio always cleans up."""
        return _nothing  # trio cleans up in every case

    def is_cancellation(self, error: BaseException) -> bool:
        """Whether `error` means that the spawned task was cancelled from outside."""
        import trio

        if isinstance(error, BaseExceptionGroup):  # out of a nursery of the backend's own
            return error.split(trio.Cancelled)[1] is None
        return isinstance(error, trio.Cancelled)

    async def checkpoint(self) -> None:
        """Let others run, and let a cancellation arrive."""
        import trio

        await trio.lowlevel.checkpoint()

    def in_task(self) -> bool:
        """Whether the code that asks runs in the spawned task itself."""
        import trio

        return trio.lowlevel.in_trio_task() and trio.lowlevel.current_task() is self.task


@final
class TrioWaiter:
    """A wake-up for a task of trio."""

    __slots__ = ("event", "thread", "token")

    def __init__(self, token: trio.lowlevel.TrioToken) -> None:
        import trio

        self.token = token
        self.event = trio.Event()
        self.thread = threading.get_ident()

    def wake(self) -> None:
        """Wake the waiter, now or when it starts waiting."""
        import trio

        if threading.get_ident() == self.thread:
            self.event.set()
            return
        try:
            self.token.run_sync_soon(self.event.set)
        except trio.RunFinishedError:  # that run is over: nobody waits there any more
            return

    async def wait(self) -> None:
        """Wait for the wake-up."""
        await self.event.wait()


def _nothing() -> None:
    pass
