"""Notice when the task that reads an iterator is over and was cancelled, on asyncio and trio.

Web frameworks keep the iterator that they read in an object that is part of a reference cycle. When the client has hung
up and the reading task was cancelled, the iterator lives on until the garbage collector comes by. The end of the task
tells at once that nothing reads it any more.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
from typing import TYPE_CHECKING, Final, Protocol, cast, final
from weakref import WeakKeyDictionary, WeakSet

if TYPE_CHECKING:
    from types import CodeType, FrameType

    import trio

__all__ = ["Reading", "follow", "is_a_step"]


class Reading(Protocol):
    """An iterator that tasks read."""

    def reader_cancelled(self, task: object) -> None:
        """Take note that `task`, which has read here, was cancelled and is over; called in the thread of that task."""
        ...


#: What each task has read, until the task is over. Weak on both sides: it keeps neither tasks nor iterators alive.
_read_by: Final[WeakKeyDictionary[object, WeakSet[Reading]]] = WeakKeyDictionary()


def follow(task: object, reading: Reading) -> None:
    """Have `reading` told if `task`, the current one, ends by cancellation. Weakly: `reading` is not kept alive."""
    read = _read_by.get(task)
    if read is None:
        read = _read_by[task] = WeakSet()
        if isinstance(task, asyncio.Future):
            task.add_done_callback(_asyncio_task_over)
        else:
            import trio

            trio.lowlevel.add_instrument(cast("trio.abc.Instrument", _trio_exits))  # a no-op if this run has it already
    read.add(reading)


def is_a_step(task: object, steps: frozenset[CodeType]) -> bool:
    """Whether `task`, the current one, runs nothing but one step of an iterator, and so reads for another task.

    `asyncio.wait_for(anext(iterator), 1)` makes such a task on Python 3.11, `create_task(anext(iterator))` everywhere.

    Args:
        task: asyncio's or trio's.
        steps: the code of those ``__anext__``; the frame that calls the caller of this function runs one of them.
    """
    coroutine = task.get_coro() if isinstance(task, asyncio.Task) else cast("trio.lowlevel.Task", task).coro
    first: FrameType | None = getattr(coroutine, "cr_frame", None) or getattr(coroutine, "gi_frame", None)
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - documented; inspect has no caller's frame
    while frame is not None and frame.f_code not in steps:
        frame = frame.f_back
    while frame is not None and frame is not first:
        frame = frame.f_back
        if frame is None or frame.f_code in steps:
            continue
        if first is None and not frame.f_code.co_flags & _SUSPENDS:
            return True  # called by the loop itself: ``anext(iterator, None)`` is a coroutine without a frame
        if frame.f_globals.get("__name__", "").partition(".")[0] not in _MACHINERY:
            return False
    return frame is not None


_SUSPENDS: Final = (
    inspect.CO_COROUTINE | inspect.CO_GENERATOR | inspect.CO_ITERABLE_COROUTINE | inspect.CO_ASYNC_GENERATOR
)
#: Packages that wrap an awaitable in coroutines of their own to make a task of it.
_MACHINERY: Final = frozenset({"anyio", "asyncio", "trio"})


def _asyncio_task_over(task: asyncio.Future[object]) -> None:
    read = _read_by.pop(task, ())
    if task.cancelled() or (isinstance(task, asyncio.Task) and task.cancelling() > 0):
        for reading in list(read):
            reading.reader_cancelled(task)


@final
class _TrioExits:
    """An instrument of trio: trio tells nothing else that a task is over."""

    def task_exited(self, task: trio.lowlevel.Task) -> None:
        """Tell the iterators that the task has read, if it ended with `trio.Cancelled`."""
        read = _read_by.pop(task, ())
        if read and _ended_cancelled(task):
            for reading in list(read):
                reading.reader_cancelled(task)


_trio_exits: Final = _TrioExits()


def _ended_cancelled(task: trio.lowlevel.Task) -> bool:
    import trio

    nursery = task.parent_nursery
    if nursery is None or not nursery.cancel_scope.cancel_called:  # as it is once a task has ended with an error
        return False
    # Trio tells only its nursery how a task ended: its error is the last that came there.
    errors: list[BaseException] = getattr(nursery, "_pending_excs", [])
    if not errors or not _began_in(errors[-1], task):
        return False
    error = errors[-1]
    if isinstance(error, BaseExceptionGroup):
        return error.split(trio.Cancelled)[1] is None
    return isinstance(error, trio.Cancelled)


def _began_in(error: BaseException, task: trio.lowlevel.Task) -> bool:
    """Whether the outermost frame of an error is that of the task."""
    traceback = error.__traceback__
    return traceback is not None and traceback.tb_frame.f_code is getattr(task.coro, "cr_code", None)
