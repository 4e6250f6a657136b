"""Call functions that block in threads, which hold neither the task that waits for them nor the end of the process.

The threads are daemons: the interpreter ends although a function still runs. Those of `asyncio.to_thread` and, on
asyncio, of `anyio.to_thread.run_sync` are joined when the process ends, for as long as their functions take:
https://docs.python.org/3/library/threading.html#thread-objects

A function cannot be stopped from outside. A task that is cancelled while it waits leaves at once, and the function runs
on for nothing. So the number of threads has no limit here, which functions that hang would use up.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any, Final, Generic, ParamSpec, TypeVar, cast, final

from . import forking
from .detection import Waiter, forget_library, waiter

__all__ = ["Threads", "run_in_thread"]

P = ParamSpec("P")
T = TypeVar("T")


@final
class _Job(Generic[T]):
    """One call of a function."""

    __slots__ = ("_context", "_error", "_function", "_value", "waiter")

    def __init__(self, function: Callable[[], T], context: Context, waiter: Waiter) -> None:
        self._function: Callable[[], T] | None = function
        self._context = context
        self._value: T | None = None
        self._error: BaseException | None = None
        self.waiter = waiter

    def run(self) -> None:
        """Call the function, in the thread."""
        function, self._function = self._function, None
        if function is None:
            return
        try:
            self._value = self._context.run(function)
        except BaseException as error:  # the task that waits raises it
            self._error = error

    def result(self) -> T:
        """Return what the function returned, or raise what it raised; once, in the task."""
        error, self._error = self._error, None
        if error is None:
            return cast("T", self._value)
        try:
            raise error
        finally:
            del error, self  # see "Cycles" in `mellite.thunk`


@final
class _Worker:
    """A thread that calls one function after another."""

    __slots__ = ("_given", "_idle", "_idle_time", "_job")

    def __init__(self, job: _Job[Any], idle: dict[_Worker, None], idle_time: float) -> None:
        self._job: _Job[Any] | None = job
        self._idle = idle
        self._idle_time = idle_time
        self._given = forking.lock()
        self._given.acquire()
        threading.Thread(target=self._work, name="mellite-worker", daemon=True).start()

    def give(self, job: _Job[Any]) -> None:
        """Hand the thread its next function; it must be idle."""
        self._job = job
        self._given.release()

    def _work(self) -> None:
        while (job := self._job) is not None:  # None in a child that was forked in this thread, with the lock open
            self._call(job)
            del job  # an idle thread keeps nothing of the function
            if self._given.acquire(timeout=self._idle_time):
                continue
            try:
                del self._idle[self]
            except KeyError:  # taken in this moment: a function is on its way
                self._given.acquire()
            else:
                return

    def _call(self, job: _Job[Any]) -> None:
        self._job = None
        job.run()
        self._idle[self] = None  # before the task is woken, so that its next call finds this thread
        job.waiter.wake()


@final
class Threads:
    """Threads that call functions, made when they are needed and used again.

    There is no lock: single operations on a dict are atomic.

    Args:
        idle_time: how long a thread waits for its next function, in seconds, before it ends.
    """

    __slots__ = ("__weakref__", "_idle", "_idle_time")

    def __init__(self, idle_time: float = 10.0) -> None:
        self._idle: dict[_Worker, None] = {}
        self._idle_time = idle_time

    async def run(self, function: Callable[P, T], /, *args: P.args, **options: P.kwargs) -> T:
        """Call a function in a thread, with the context variables of this task, and return what it returns.

        What it raises is raised here, `KeyboardInterrupt` and `SystemExit` as well. If this task is cancelled, it
        leaves at once; the function runs on, and what comes of it is dropped.

        Raises:
            RuntimeError: if no thread can be started.
        """
        context = copy_context()
        context.run(forget_library)
        job: _Job[T] = _Job(lambda: function(*args, **options), context, waiter())
        try:
            self._start(job)
            await job.waiter.wait()
            return job.result()
        finally:
            del job  # what the function raised refers to this frame: see "Cycles" in `mellite.thunk`

    def _start(self, job: _Job[Any]) -> None:
        """Hand the function to the thread that became idle last, else to a new one."""
        try:
            worker, _ = self._idle.popitem()
        except KeyError:
            _Worker(job, self._idle, self._idle_time)
        else:
            worker.give(job)

    def _at_fork_reinit(self) -> None:
        self._idle = {}  # the threads stayed behind in the parent


#: Calls a function in a thread of those that all of the process shares.
run_in_thread: Final = forking.renewed(Threads()).run
