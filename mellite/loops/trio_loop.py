"""Trio as the pump of a generation needs it: a `mellite.loops.Loop`, and its waiters."""

from __future__ import annotations

import contextvars
import threading
import weakref
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Final, final

from . import forking

if TYPE_CHECKING:
    import trio

__all__ = ["TrioLoop", "TrioWaiter", "note_end"]

#: The tokens of runs that have cancelled their system tasks.
_ending: Final[weakref.WeakSet[trio.lowlevel.TrioToken]] = weakref.WeakSet()


def note_end(token: trio.lowlevel.TrioToken) -> None:
    """Note that a run has cancelled its system tasks."""
    _ending.add(token)


@final
class TrioLoop:
    """One run of trio, and the task of one generation in it.

    The generation runs in a system task, which the run cancels before it ends:
    https://trio.readthedocs.io/en/stable/reference-lowlevel.html#trio.lowlevel.spawn_system_task
    """

    __slots__ = ("asked", "home", "process", "scope", "thread", "token")

    def __init__(self, token: trio.lowlevel.TrioToken) -> None:
        self.home = self.token = token
        self.process = forking.process.number
        self.asked = False  # to cancel, before there was anything to cancel
        self.scope: trio.CancelScope | None = None
        self.thread = threading.get_ident()

    @property
    def clock(self) -> Callable[[], float]:
        """The clock of the run."""
        import trio

        return trio.current_time

    def waiter(self) -> TrioWaiter:
        """Make a waiter for a task of this run."""
        return TrioWaiter(self.token)

    def spawn(self, main: Callable[[], Coroutine[object, object, None]], done: Callable[[], None]) -> None:
        """Run `main` as a system task; call `done` when that is over, however it ended."""
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
                self.scope = None
                done()
                del main, done  # both know the pump, whose error may know this frame: see "Cycles" in `mellite.thunk`

        trio.lowlevel.spawn_system_task(scoped, context=contextvars.copy_context())

    def release(self) -> None:
        """Do nothing: calling `done` costs no turn of the run."""

    def cancel(self) -> None:
        """Cancel the task that was spawned, or will be; only from the thread of this run."""
        self.asked = True
        if self.scope is not None:
            self.scope.cancel()

    def is_cancelling(self) -> bool:
        """Whether the spawned task was asked to end."""
        return self.asked

    def call_soon(self, function: Callable[..., object], *args: object) -> bool:
        """Have `function` called in this run; return False if the run is over.

        May be called from any thread, from signal handlers and from ``__del__``.
        """
        import trio

        if self.process != forking.process.number:
            return False
        try:
            self.token.run_sync_soon(function, *args)
        except trio.RunFinishedError:
            return False
        return True

    def is_here(self) -> bool:
        """Whether the calling thread is that of the run."""
        return threading.get_ident() == self.thread

    def is_closed(self) -> bool:
        """Whether the run stayed behind in the process that this one was forked from.

        A run that has ended needs no looking for: it cancelled the generation first.
        """
        return self.process != forking.process.number

    def is_ending(self) -> bool:
        """Whether the run is over, or has cancelled its system tasks."""
        return self.is_closed() or self.token in _ending

    def note_end(self) -> None:
        """Do nothing: trio lets tasks run to its very end."""

    def when_closed(self, function: Callable[[], None]) -> Callable[[], None]:  # noqa: ARG002
        """Do nothing, and return a function that takes this back: a run of trio always cleans up."""
        return _nothing

    def is_cancellation(self, error: BaseException) -> bool:
        """Whether `error` means that the spawned task was cancelled from outside."""
        import trio

        if isinstance(error, BaseExceptionGroup):  # out of a nursery of the backend's own
            return error.split(trio.Cancelled)[1] is None
        return isinstance(error, trio.Cancelled)

    async def checkpoint(self) -> None:
        """Let other tasks run, and let a cancellation arrive."""
        import trio

        await trio.lowlevel.checkpoint()

    async def turns(self, count: int) -> None:
        """Let other tasks run for so many turns of the run."""
        import trio

        for _ in range(count):
            await trio.lowlevel.checkpoint()


@final
class TrioWaiter:
    """A wake-up for a task of trio."""

    __slots__ = ("event", "home", "thread")

    def __init__(self, token: trio.lowlevel.TrioToken) -> None:
        import trio

        self.home = token
        self.event = trio.Event()
        self.thread = threading.get_ident()

    def wake(self) -> None:
        """Wake the task, now or when it starts waiting; from any thread, any number of times."""
        import trio

        if threading.get_ident() == self.thread:
            self.event.set()
            return
        try:
            self.home.run_sync_soon(self.event.set)
        except trio.RunFinishedError:  # the run is over, and no task waits in it
            return

    def task(self) -> object | None:
        """Return the current task."""
        import trio

        return trio.lowlevel.current_task()

    def wait(self) -> Coroutine[object, object, None]:
        """Return what waits for the wake-up."""
        return self.event.wait()

    def renew(self, task: object) -> bool:
        """Get ready for another wait of `task`, if that runs this code."""
        import trio

        if task is None or not trio.lowlevel.in_trio_task() or trio.lowlevel.current_task() is not task:
            return False
        self.event = trio.Event()
        return True


def _nothing() -> None:
    pass
