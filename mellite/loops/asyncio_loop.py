"""asyncio as the pump of a generation needs it: a `mellite.loops.Loop`, and its waiters.

Eager tasks, named here once: where a loop has such a task factory, ``create_task`` runs the first step of the task
before it returns: https://docs.python.org/3/library/asyncio-task.html#asyncio.eager_task_factory. So a generation may
have begun, been cancelled or ended before `AsyncioLoop.spawn` knows its task, and a backend that asks another one
spawns a task from inside that first step.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import sys
import threading
import weakref
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Final, final

from . import forking

__all__ = ["AsyncioLoop", "AsyncioWaiter", "current_asyncio_task", "is_cleaning_up"]


def current_asyncio_task() -> asyncio.Task[object] | None:
    """Return the asyncio task that runs this code; None on trio, and outside of any task."""
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


#: Loops that have cancelled their tasks, and close what is open.
_ending: Final[weakref.WeakSet[asyncio.AbstractEventLoop]] = weakref.WeakSet()

#: Per thread: ``depth`` is 1 while a task is being made, which may run its first step.
_eager: Final = threading.local()


@final
class AsyncioLoop:
    """One event loop of asyncio, and the task of one generation in it.

    Args:
        loop: the event loop.
        thread: the number of the thread it belongs to; by default the current one.
    """

    __slots__ = ("_over", "asked", "clock", "home", "loop", "process", "task", "thread")

    def __init__(self, loop: asyncio.AbstractEventLoop, *, thread: int | None = None) -> None:
        self.home = self.loop = loop
        self.clock = loop.time
        self.process = forking.process.number
        self.asked = False  # to cancel, before the task was known: from its own first step
        self.task: asyncio.Task[None] | None = None
        self._over: Callable[[asyncio.Task[None]], None] | None = None
        self.thread = threading.get_ident() if thread is None else thread

    def waiter(self) -> AsyncioWaiter:
        """Make a waiter for a task of this loop."""
        return AsyncioWaiter(self.loop)

    def spawn(self, main: Callable[[], Coroutine[object, object, None]], done: Callable[[], None]) -> None:
        """Run `main` as a task of its own; call `done` when that is over, however it ended."""
        if self.loop.get_task_factory() is None:
            self._spawn(main, done)
        elif getattr(_eager, "depth", 0):
            # In the first step of an eager task. A chain of thunks, one inside another, would exhaust the stack.
            self.loop.call_soon(self._spawn, main, done)
        else:
            _eager.depth = 1
            try:
                self._spawn(main, done)
            finally:
                _eager.depth = 0

    def _spawn(self, main: Callable[[], Coroutine[object, object, None]], done: Callable[[], None]) -> None:
        task = self.task = self.loop.create_task(main())
        # A loop that is closed without asyncio.run's clean-up would complain about the pending task; the thunk
        # settles as cancelled in that case, so there is nothing to complain about.
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001 - asyncio has no other way

        def over(task: asyncio.Task[None]) -> None:
            if not task.cancelled():
                task.exception()  # retrieved here, so that asyncio does not log that it never was
            self.task = self._over = None  # the task's context knows the pump, which knows this loop: break the cycle
            done()

        self._over = over
        task.add_done_callback(over)
        if self.asked:
            task.cancel()

    def release(self) -> None:
        """Let go of the task, from its last step: one turn of the loop less than hearing that it is done."""
        task, over = self.task, self._over
        if task is not None and over is not None:
            task.remove_done_callback(over)
            self.task = self._over = None  # as in `_spawn`

    def cancel(self) -> None:
        """Cancel the task that was spawned; only from this loop's own thread."""
        if self.task is not None:
            self.task.cancel()
        else:
            self.asked = True

    def is_cancelling(self) -> bool:
        """Whether the spawned task was asked to end."""
        return self.task is not None and self.task.cancelling() > 0

    def call_soon(self, function: Callable[..., object], *args: object) -> bool:
        """Have `function` called in this loop; return False if the loop is gone.

        May be called from any thread, from signal handlers and from ``__del__``; that asyncio allows all of these is
        documented since https://github.com/python/cpython/issues/79149.
        """
        if self.process != forking.process.number:
            return False  # the pipe that wakes the loop is shared with the parent
        try:
            self.loop.call_soon_threadsafe(function, *args)
        except RuntimeError:  # the loop is closed
            return False
        return True

    def is_here(self) -> bool:
        """Whether the calling thread is the one that the loop belongs to."""
        return threading.get_ident() == self.thread

    def is_closed(self) -> bool:
        """Whether the loop will never run again in this process."""
        return self.process != forking.process.number or self.loop.is_closed()

    def is_ending(self) -> bool:
        """Whether the loop is closed, or has begun to clean up after its last task."""
        return self.is_closed() or self.loop in _ending

    def note_end(self) -> None:
        """Note that the loop has begun to clean up."""
        _ending.add(self.loop)

    def when_closed(self, function: Callable[[], None]) -> Callable[[], None]:
        """Have `function` called if the loop is closed by hand; return a function that takes this back."""
        # A loop has no hook for being closed. But it drops its timers then, and with them what they hold; until then it
        # would hold the context of whoever asked for this, too.
        farewell = _Farewell(self.loop, function)
        timer = weakref.ref(self.loop.call_later(_NEVER, _Farewell.hold, farewell, context=contextvars.Context()))

        def take_back() -> None:
            running = timer()
            if running is not None:
                running.cancel()

        return take_back

    def is_cancellation(self, error: BaseException) -> bool:
        """Whether `error` means that the spawned task was cancelled from outside."""
        # A CancelledError without a request to cancel this task comes from the backend: an error like any other.
        if not isinstance(error, asyncio.CancelledError) or self.task is None:
            return False
        return self.task.cancelling() > 0 or is_cleaning_up()

    async def checkpoint(self) -> None:
        """Let other tasks run, and let a cancellation arrive."""
        await asyncio.sleep(0)

    async def turns(self, count: int) -> None:
        """Let other tasks run for so many turns of the loop; this one is not woken in each of them."""
        over = asyncio.Future[None](loop=self.loop)
        self.loop.call_soon(_turn, self.loop, over, count - 2)
        await over


def _turn(loop: asyncio.AbstractEventLoop, over: asyncio.Future[None], left: int) -> None:
    if over.done():
        return
    if left > 0:
        loop.call_soon(_turn, loop, over, left - 1)
    else:
        over.set_result(None)


def is_cleaning_up() -> bool:
    """Whether this code is called by what runs the loop while it cancels all tasks that are left.

    Where task groups of anyio are nested, it takes back more requests to cancel a task than it made, and
    `asyncio.Task.cancelling` gives 0 though the loop has cancelled the task.
    """
    # Only the stack tells: asyncio says nowhere that a runner cleans up, all_tasks() has those left of a loop that goes
    # on, too, and the error is that of any future that was cancelled. A Task class of our own could note who cancels
    # it, but task factories, and patches of asyncio that nest loops, make tasks of another class.
    frame: FrameType | None = sys._getframe()  # noqa: SLF001 - the documented way costs a list of all frames
    while frame is not None and not (frame.f_code.co_name in _CLEANING_UP and _runs_a_loop(frame)):
        frame = frame.f_back
    return frame is not None


#: The functions that cancel what is left: of asyncio, by which uvloop and anyio run, too, of its many copies in servers
#: and in `mellite.loops.sync`; and of aiohttp.web.run_app.
_CLEANING_UP: Final = frozenset({"_cancel_all_tasks", "_cancel_tasks"})


def _runs_a_loop(frame: FrameType) -> bool:
    """Whether this is a call of a plain function that runs its `loop`, and not of one that the loop runs.

    Programs have coroutines and methods of these names, which cancel some tasks of their own.
    """
    if frame.f_code.co_flags & _OF_COROUTINES:
        return False
    loop = frame.f_locals.get("loop")
    return isinstance(loop, asyncio.AbstractEventLoop) and loop.is_running()


_OF_COROUTINES: Final = inspect.CO_COROUTINE | inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR


#: When the timer would go off that is only there to be dropped: in ten years, in seconds.
_NEVER: Final = 10 * 365 * 24 * 3600.0


@final
class _Farewell:
    """Calls `function` when this object is dropped, if `loop` is closed by then."""

    __slots__ = ("function", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop, function: Callable[[], None]) -> None:
        self.loop = loop
        self.function = function

    def hold(self) -> None:
        """Do nothing: the timer holds this method, and by it the object."""

    def __del__(self) -> None:
        if self.loop.is_closed():
            self.function()


@final
class AsyncioWaiter:
    """A wake-up for one task of asyncio."""

    __slots__ = ("future", "home", "thread")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.home = loop
        self.future: asyncio.Future[None] = asyncio.Future(loop=loop)  # one call less than `loop.create_future`
        self.thread = threading.get_ident()

    def wake(self) -> None:
        """Wake the task, now or when it starts waiting; from any thread, any number of times."""
        try:
            if threading.get_ident() == self.thread:
                self.future.set_result(None)
            else:
                self.home.call_soon_threadsafe(self._set)
        except asyncio.InvalidStateError:  # it is awake already
            return
        except RuntimeError:  # the loop is closed, and no task waits in it
            return

    def _set(self) -> None:
        if not self.future.done():
            self.future.set_result(None)

    def task(self) -> object | None:
        """Return the current task; None outside of any."""
        return asyncio.current_task(self.home)

    def wait(self) -> asyncio.Future[None]:
        """Return what waits for the wake-up; not a coroutine, which would be one step more for every turn."""
        return self.future

    def renew(self, task: object) -> bool:
        """Get ready for another wait of `task`, if that runs this code."""
        try:
            if task is None or asyncio.current_task() is not task:
                return False
        except RuntimeError:  # outside of any loop of asyncio
            return False
        self.future = asyncio.Future(loop=self.home)
        return True
