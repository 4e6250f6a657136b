"""Which event loop runs this code, and what a generation needs of one: asyncio and trio behind one small face."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol, cast

from .asyncio_loop import AsyncioLoop, AsyncioWaiter, current_asyncio_task, is_cleaning_up
from .trio_loop import TrioLoop, TrioWaiter

__all__ = [
    "Loop",
    "Waiter",
    "Waker",
    "checkpoint",
    "clock",
    "current",
    "forget_library",
    "imported_trio",
    "in_trio_task",
    "is_being_cancelled",
    "is_own_cancellation",
    "next_turn",
    "running",
    "uses_anyio_on_asyncio",
    "waiter",
]


class Waker(Protocol):
    """An object that can be woken, once what it waits for has happened."""

    def wake(self) -> None:
        """Note that it has happened; called from any thread, any number of times."""
        ...


class Waiter(Waker, Protocol):
    """One wait for one wake-up, in one task.

    Attributes:
        home: the loop that it waits in, as `running` names it.
    """

    @property
    def home(self) -> object:
        """The loop itself, as `running` names it."""
        ...

    def task(self) -> object | None:
        """Return the task that runs this code, which is the one that is about to wait; None outside of any."""
        ...

    def wait(self) -> Awaitable[None]:
        """Return what waits for the wake-up when it is awaited, which has to follow at once."""
        ...

    def renew(self, task: object) -> bool:
        """Get ready for another wait, once the last one is over; return False, and do nothing, if that cannot be.

        Args:
            task: the task that waited last, if that is known. Another one has to make a waiter of its own.
        """
        ...


class Loop(Protocol):
    """An event loop as the pump of a generation needs it.

    Attributes:
        home: the loop itself, as `running` names it.
        process: the number of the process that it runs in, as in `mellite.loops.forking`.
    """

    process: int

    @property
    def home(self) -> object:
        """The loop itself, as `running` names it."""
        ...

    @property
    def clock(self) -> Callable[[], float]:
        """The clock of the loop, in seconds from an arbitrary start."""
        ...

    def waiter(self) -> Waiter:
        """Make a waiter for a task of this loop."""
        ...

    def spawn(self, main: Callable[[], Coroutine[object, object, None]], done: Callable[[], None]) -> None:
        """Run `main` as a task of its own; call `done` when that is over, even if it was cancelled before it began.

        Called once, in this loop.
        """
        ...

    def release(self) -> None:
        """Let go of the task that was spawned, from its last step, which raises nothing; `done` need not be called."""
        ...

    def cancel(self) -> None:
        """Cancel the task that was spawned; only from the loop's own thread."""
        ...

    def is_cancelling(self) -> bool:
        """Whether the spawned task was asked to end; only from the loop's own thread."""
        ...

    def call_soon(self, function: Callable[..., object], *args: object) -> bool:
        """Have `function` called in this loop; return False if the loop is gone.

        May be called from any thread, from signal handlers and from ``__del__``.
        """
        ...

    def is_here(self) -> bool:
        """Whether the calling thread is the one that the loop belongs to."""
        ...

    def is_closed(self) -> bool:
        """Whether the loop will never run again in this process."""
        ...

    def is_ending(self) -> bool:
        """Whether the loop is closed, or has begun to clean up after its last task."""
        ...

    def note_end(self) -> None:
        """Note that the loop has begun to clean up."""
        ...

    def when_closed(self, function: Callable[[], None]) -> Callable[[], None]:
        """Have `function` called if the loop is closed by hand; return a function that takes this back."""
        ...

    def is_cancellation(self, error: BaseException) -> bool:
        """Whether `error` means that the spawned task was cancelled from outside."""
        ...

    async def checkpoint(self) -> None:
        """Let other tasks run, and let a cancellation arrive."""
        ...

    async def turns(self, count: int) -> None:
        """Let other tasks run for so many turns of the loop."""
        ...


def imported_trio() -> Any:
    """Return trio if the program has imported it, else None; never import it here.

    While another thread is importing trio, `sys.modules` has it half made. Nothing can run on it yet, so it counts as
    not imported until ``trio.lowlevel`` is there. No code but this module looks into `sys.modules`.
    """
    trio = sys.modules.get("trio")
    return trio if hasattr(trio, "lowlevel") else None


def forget_library() -> None:
    """Note in the context variables that this code runs in no loop: in a thread, with those of a task, it does not.

    Where the program has loaded sniffio, anyio asks it, and would refuse to run a loop in that thread.
    """
    variable = getattr(sys.modules.get("sniffio"), "current_async_library_cvar", None)
    if variable is not None:
        variable.set(None)


def uses_anyio_on_asyncio() -> bool:
    """Whether the program has loaded anyio's asyncio backend, without which it has no scope of anyio's on asyncio.

    While another thread is importing it, that counts as well: anyio waits until it is there.
    """
    return "anyio._backends._asyncio" in sys.modules


def in_trio_task() -> bool:
    """Whether this code runs in a task of trio."""
    return _trio_of_task() is not None


def _trio_of_task() -> Any:
    """Return trio if this code runs in a task of it, else None: in one call, because every generation asks."""
    if "trio" not in sys.modules:  # as in most programs
        return None
    trio = imported_trio()
    return trio if trio is not None and trio.lowlevel.in_trio_task() else None


def current() -> Loop:
    """Return the loop that this code runs in.

    Raises:
        RuntimeError: outside of any.
    """
    trio = _trio_of_task()
    if trio is not None:
        return TrioLoop(trio.lowlevel.current_trio_token())
    return AsyncioLoop(asyncio.get_running_loop())


def waiter() -> Waiter:
    """Make a waiter for the current task: ``current().waiter()`` in half the time.

    Raises:
        RuntimeError: outside of any loop.
    """
    trio = _trio_of_task()
    if trio is not None:
        return TrioWaiter(trio.lowlevel.current_trio_token())
    return AsyncioWaiter(asyncio.get_running_loop())


def clock() -> Callable[[], float]:
    """Return what tells the time of the running loop, in seconds from some beginning of its own.

    Raises:
        RuntimeError: outside of any loop.
    """
    trio = _trio_of_task()
    if trio is not None:
        return cast("Callable[[], float]", trio.current_time)
    return asyncio.get_running_loop().time


async def checkpoint() -> None:
    """Let other tasks run, and let a cancellation arrive."""
    trio = _trio_of_task()
    if trio is not None:
        await trio.lowlevel.checkpoint()
    else:
        await asyncio.sleep(0)


def running() -> object | None:
    """Return a key for the running loop: asyncio's loop itself, or trio's token; None outside of any."""
    trio = _trio_of_task()
    if trio is not None:
        return cast("object", trio.lowlevel.current_trio_token())
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def next_turn() -> Callable[[Callable[[], None]], object] | None:
    """Return what has a function called in the next turn of the running asyncio loop, in whose thread this is.

    None on trio, which runs nothing but tasks, and outside of any loop.
    """
    trio = _trio_of_task()
    if trio is not None:
        return None
    try:
        return asyncio.get_running_loop().call_soon
    except RuntimeError:
        return None


def is_being_cancelled(task: object | None) -> bool:
    """Whether a task is being cancelled, or was.

    Args:
        task: a task of asyncio's; None for the current one.
    """
    trio = _trio_of_task()
    if trio is not None:
        return bool(trio.current_effective_deadline() == -float("inf"))
    if task is None:
        task = current_asyncio_task()
    if not isinstance(task, asyncio.Task):  # none; or one of trio's, whose end `mellite.loops.readers` notices
        return False
    return task.cancelled() if task.done() else task.cancelling() > 0


def is_own_cancellation() -> bool:
    """Whether a cancellation that was just raised was asked of the current task, and not of what that waited for."""
    return is_being_cancelled(None) or is_cleaning_up()
