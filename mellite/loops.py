"""asyncio and trio behind one small face: run a task, wake a waiter, from any thread; and a loop for sync callers."""

from __future__ import annotations

import asyncio
import math
import sys
import threading
import weakref
from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol, cast, final

from . import forking
from .errors import InvalidRequest, SyncInsideLoop
from .trio_loop import TrioLoop, TrioWaiter

__all__ = [
    "Loop",
    "Waiter",
    "check_timeout",
    "current",
    "forbid_inside_loop",
    "imported_trio",
    "in_trio_task",
    "portal",
    "running",
    "thread_waiter",
    "waiter",
]


class Waiter(Protocol):
    """One wait for one wake-up; `wake` may be called from any thread, any number of times."""

    def wake(self) -> None:
        """Wake whoever waits, or will."""
        ...

    async def wait(self) -> None:
        """Wait for the wake-up."""
        ...


class Loop(Protocol):
    """An event loop as the pump of a generation needs it.

    Attributes:
        process: the number of the process that it runs in, as in `mellite.forking`.
    """

    process: int

    def waiter(self) -> Waiter:
        """A waiter for a task of this loop."""
        ...

    def spawn(self, main: Callable[[], Coroutine[Any, Any, None]], done: Callable[[], None]) -> None:
        """Run `main` as a task of its own; call `done` when it is over, however it ended, even before it began."""
        ...

    def cancel(self) -> None:
        """Cancel the task that was spawned; only from this loop's own thread."""
        ...

    def call_soon(self, function: Callable[..., Any], *args: Any) -> bool:
        """Have `function` called in this loop, from any thread or `__del__`; False if the loop is gone."""
        ...

    def is_here(self) -> bool:
        """Whether this is the thread the loop belongs to."""
        ...

    def is_closed(self) -> bool:
        """Whether nothing will ever run here again, in this process."""
        ...

    def when_closed(self, function: Callable[[], None]) -> Callable[[], None]:
        """Have `function` called once the loop is closed by hand, if it is; give what takes that back."""
        ...

    def is_cancellation(self, error: BaseException) -> bool:
        """Whether `error` means that the spawned task was cancelled from outside."""
        ...

    async def checkpoint(self) -> None:
        """Let others run, and let a cancellation arrive."""
        ...

    def in_task(self) -> bool:
        """Whether the code that asks runs in the spawned task itself."""
        ...


def imported_trio() -> Any:
    """Return trio if the program has imported it, else None; never import it here.

    A module that another thread is just importing stands in `sys.modules` half made. Nothing can run on it yet, so it
    counts as not imported until ``trio.lowlevel`` is there. No other code looks into `sys.modules`.
    """
    trio = sys.modules.get("trio")
    return trio if hasattr(trio, "lowlevel") else None


def in_trio_task() -> bool:
    """Whether this code runs in a task of trio."""
    trio = imported_trio()
    return trio is not None and trio.lowlevel.in_trio_task()


def current() -> Loop:
    """Return the loop this code runs in.

    Raises:
        RuntimeError: outside of any.
    """
    trio = imported_trio()
    if trio is not None and trio.lowlevel.in_trio_task():
        return TrioLoop(trio.lowlevel.current_trio_token())
    return _AsyncioLoop(asyncio.get_running_loop())


def waiter() -> Waiter:
    """Make a waiter for the task that asks; the same as ``current().waiter()``, at half the price.

    Raises:
        RuntimeError: outside of any loop.
    """
    trio = imported_trio()
    if trio is not None and trio.lowlevel.in_trio_task():
        return TrioWaiter(trio.lowlevel.current_trio_token())
    return _AsyncioWaiter(asyncio.get_running_loop())


def running() -> object | None:
    """Return what identifies the running loop, as a key: the asyncio loop, or trio's token; None outside of any."""
    trio = imported_trio()
    if trio is not None and trio.lowlevel.in_trio_task():
        return cast("object", trio.lowlevel.current_trio_token())
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def is_being_cancelled(task: object | None) -> bool:
    """Whether the current task, or `task` where it is known, is on its way out by cancellation."""
    trio = imported_trio()
    if trio is not None and trio.lowlevel.in_trio_task():
        return bool(trio.current_effective_deadline() == -float("inf"))
    if task is None:
        task = current_asyncio_task()
    if not isinstance(task, asyncio.Task):  # none, or one of trio's, whose end is noticed elsewhere
        return False
    return task.cancelled() if task.done() else task.cancelling() > 0


def current_asyncio_task() -> asyncio.Task[Any] | None:
    """The asyncio task that runs this code; None on trio."""
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


def running_here() -> str | None:
    """Return the name of the loop that runs in this thread and that blocking would hold up; None if there is none."""
    trio = imported_trio()
    if trio is not None and trio.lowlevel.in_trio_run():
        return "trio"
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return None
    # Threads that are greenlets (gevent) share one thread of the system, and asyncio sees in all of them the loop that
    # runs in one. That of the portal is ours: whoever is not its thread may wait for it.
    for one in _portals:
        if loop is one.loop and threading.get_ident() != one.thread.ident:
            return None
    return "asyncio"


def forbid_inside_loop(call: str, instead: str) -> None:
    """Raise `SyncInsideLoop` if an event loop runs in this thread: blocking it would block everything."""
    name = running_here()
    if name is not None:
        msg = f"{call} would block the running {name} event loop; write {instead} instead"
        raise SyncInsideLoop(msg)


def check_timeout(value: Any) -> None:
    """Refuse what is no number of seconds, before anything is begun that would then be cancelled.

    Raises:
        InvalidRequest: for anything but None, for no limit, and an int or float that is a number.
    """
    if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float)) or math.isnan(value)):
        msg = f"'timeout' must be a number of seconds, or None for no limit, not {value!r:.80}"
        raise InvalidRequest(msg, parameter="timeout")


#: Whether this thread is about to make a task: where tasks are eager, that may run code that makes more.
_eager: Final = threading.local()


@final
class _AsyncioLoop:
    __slots__ = ("asked", "loop", "process", "task", "thread")

    def __init__(self, loop: asyncio.AbstractEventLoop, *, thread: int | None = None) -> None:
        self.loop = loop
        self.process = forking.process.number
        self.asked = False  # for cancellation, out of the first step of an eager task
        self.task: asyncio.Task[None] | None = None
        self.thread = threading.get_ident() if thread is None else thread

    def waiter(self) -> _AsyncioWaiter:
        return _AsyncioWaiter(self.loop)

    def spawn(self, main: Callable[[], Coroutine[Any, Any, None]], done: Callable[[], None]) -> None:
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
        if self.task is not None:
            self.task.cancel()
        else:
            self.asked = True

    def call_soon(self, function: Callable[..., Any], *args: Any) -> bool:
        if self.process != forking.process.number:
            return False  # what wakes the loop up is shared with the parent
        try:
            self.loop.call_soon_threadsafe(function, *args)
        except RuntimeError:  # the loop is closed
            return False
        return True

    def is_here(self) -> bool:
        return threading.get_ident() == self.thread

    def is_closed(self) -> bool:
        return self.process != forking.process.number or self.loop.is_closed()

    def when_closed(self, function: Callable[[], None]) -> Callable[[], None]:
        # Loops tell nobody that they are closed. But they drop their timers then, and what the timers hold.
        timer = weakref.ref(self.loop.call_later(_NEVER, _Farewell.hold, _Farewell(self.loop, function)))

        def take_back() -> None:
            running = timer()
            if running is not None:
                running.cancel()

        return take_back

    def is_cancellation(self, error: BaseException) -> bool:
        # A CancelledError that nobody sent to this task comes out of the backend: an error like any other.
        return isinstance(error, asyncio.CancelledError) and self.task is not None and self.task.cancelling() > 0

    async def checkpoint(self) -> None:
        await asyncio.sleep(0)

    def in_task(self) -> bool:
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
class _AsyncioWaiter:
    __slots__ = ("future", "loop", "thread")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.future: asyncio.Future[None] = loop.create_future()
        self.thread = threading.get_ident()

    def wake(self) -> None:
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
        await self.future


@final
class ThreadWaiter:
    """A wake-up for code without a loop."""

    __slots__ = ("event",)

    def __init__(self) -> None:
        self.event = threading.Event()

    def wake(self) -> None:
        self.event.set()

    async def wait(self) -> None:
        msg = "a thread waits with block()"
        raise SyncInsideLoop(msg)

    def block(self, timeout: float | None) -> bool:
        """Wait in this thread, at most `timeout` seconds; whether it was woken."""
        return self.event.wait(None if timeout is None else min(timeout, threading.TIMEOUT_MAX))


def thread_waiter() -> ThreadWaiter:
    """A waiter for the thread that asks."""
    return ThreadWaiter()


@final
class _Portal:
    """The one background loop for callers without a loop: an asyncio loop on a daemon thread."""

    def __init__(self) -> None:
        import atexit

        self.process = forking.process.number
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._run, name="mellite", daemon=True)
        self.thread.start()
        atexit.register(self.close)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
        finally:
            self._finish()

    def _finish(self) -> None:
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        if tasks:
            self.loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()

    def close(self) -> None:
        if self.process == forking.process.number and not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.loop.stop)
            self.thread.join(5)

    def face(self) -> _AsyncioLoop:
        return _AsyncioLoop(self.loop, thread=self.thread.ident)


_portals: Final[list[_Portal]] = []  # the one of this process, once somebody needed it
_inherited: Final[list[_Portal]] = []  # those of the processes before: kept, or their ends would reach the parent
_starting: Final = forking.lock()


def portal() -> Loop:
    """The background loop of this process, started on first need; a forked child starts its own."""
    with _starting:
        if _portals and _portals[0].process != forking.process.number:
            _inherited.append(_portals.pop())
        if _portals and not _portals[0].thread.is_alive():
            _portals.clear()
        if not _portals:
            _portals.append(_Portal())
        return _portals[0].face()
