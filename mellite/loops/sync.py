"""Callers without `await`: one background loop for all of them, and an error where blocking would hold up a loop."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar, TypeVarTuple, cast, final

from ..values.errors import InvalidRequest, SyncInsideLoop
from ..values.finite_numbers import is_finite
from . import forking
from .asyncio_loop import AsyncioLoop
from .detection import Loop, imported_trio

__all__ = [
    "ThreadWaiter",
    "check_timeout",
    "forbid_inside_loop",
    "portal",
    "run_blocking",
    "running_here",
]

_Args = TypeVarTuple("_Args")
_Result = TypeVar("_Result")


def running_here() -> str | None:
    """Return the name of the event loop that blocking this thread would hold up; None if there is none."""
    trio = imported_trio()
    if trio is not None and trio.lowlevel.in_trio_run():
        return "trio"
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return None
    # Under gevent, threads are greenlets of one system thread, and asyncio sees in all of them the loop that runs in
    # one. Where that is the background loop, any greenlet but its own may wait for it.
    for one in _portals:
        if loop is one.loop and threading.get_ident() != one.thread.ident:
            return None
    return "asyncio"


def forbid_inside_loop(call: str, instead: str) -> None:
    """Refuse to block a thread in which an event loop runs.

    Args:
        call: what would block, for the error.
        instead: what to write instead.

    Raises:
        SyncInsideLoop: if one runs.
    """
    name = running_here()
    if name is not None:
        msg = f"{call} would block the running {name} event loop; write {instead} instead"
        raise SyncInsideLoop(msg)


def check_timeout(value: object) -> None:
    """Refuse what is not a number of seconds. Callers check first, so that nothing is begun only to be cancelled.

    Raises:
        InvalidRequest: for anything but None, for no limit, and an int or float that is a number.
    """
    if value is None:
        return
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if is_number and (is_finite(cast("float", value)) or value in (math.inf, -math.inf)):
        return
    msg = f"'timeout' must be a number of seconds, or None for no limit, not {value!r:.80}"
    raise InvalidRequest(msg, parameter="timeout")


@final
class ThreadWaiter:
    """A wake-up for a thread without a loop."""

    __slots__ = ("event",)

    def __init__(self) -> None:
        self.event = threading.Event()

    def wake(self) -> None:
        """Wake the thread, now or when it starts waiting; from any thread, any number of times."""
        self.event.set()

    def block(self, timeout: float | None) -> bool:
        """Wait in this thread, at most `timeout` seconds; return whether it was woken."""
        return self.event.wait(None if timeout is None else min(timeout, threading.TIMEOUT_MAX))


@final
class _Portal:
    """The background loop of a process: an asyncio loop on a daemon thread, closed at exit."""

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
        _cancel_all_tasks(self.loop)
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()

    def close(self) -> None:
        if self.process == forking.process.number and not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.loop.stop)
            self.thread.join(5)

    def face(self) -> AsyncioLoop:
        return AsyncioLoop(self.loop, thread=self.thread.ident)


def _cancel_all_tasks(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel what is left in a loop, and wait for it; by its name `AsyncioLoop.is_cancellation` knows it."""
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))


#: That of this process, once it was needed.
_portals: Final[list[_Portal]] = []
#: Those of the processes before this one. Kept for ever: closing them would reach into the parent.
_inherited: Final[list[_Portal]] = []
#: Held while a portal starts. Nothing else is locked meanwhile.
_starting: Final = forking.lock()


def portal() -> Loop:
    """Return the background loop of this process, and start it on first need; a forked child starts its own."""
    with _starting:
        if _portals and _portals[0].process != forking.process.number:
            _inherited.append(_portals.pop())
        if _portals and not _portals[0].thread.is_alive():
            _portals.clear()
        if not _portals:
            _portals.append(_Portal())
        return _portals[0].face()


def run_blocking(function: Callable[[*_Args], Coroutine[Any, Any, _Result]], *args: *_Args) -> _Result:
    """Call an async function from code without await, on the background loop, and wait for what it returns.

    For functions that wait for no event loop but their own. Inside a running loop the thread is blocked all the same:
    that is up to the caller, whose client has no other way. If the wait is interrupted, the function is cancelled.

    Args:
        function: what to call.
        *args: its arguments.

    Raises:
        Exception: what the function raises.
    """
    face = portal()
    if not face.is_here():
        future = asyncio.run_coroutine_threadsafe(function(*args), cast("asyncio.AbstractEventLoop", face.home))
        try:
            return future.result()
        finally:
            future.cancel()
    # The background loop itself is blocked by its caller: another one, for this once.
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as executor:
        return executor.submit(lambda: asyncio.run(function(*args))).result()
