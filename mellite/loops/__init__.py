"""asyncio, trio and callers without a loop, behind one small face: run a task, wake a waiter, from any thread.

Names load when they are first used, so that making a thunk, or a lock that a fork may find, does not import asyncio.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .asyncio_loop import current_asyncio_task as current_asyncio_task
    from .detection import (
        Loop as Loop,
        Waiter as Waiter,
        Waker as Waker,
        checkpoint as checkpoint,
        clock as clock,
        current as current,
        imported_trio as imported_trio,
        in_trio_task as in_trio_task,
        is_being_cancelled as is_being_cancelled,
        is_own_cancellation as is_own_cancellation,
        next_turn as next_turn,
        running as running,
        waiter as waiter,
    )
    from .sync import (
        ThreadWaiter as ThreadWaiter,
        check_timeout as check_timeout,
        forbid_inside_loop as forbid_inside_loop,
        portal as portal,
        run_blocking as run_blocking,
        running_here as running_here,
    )
    from .threads import run_in_thread as run_in_thread
    from .time_limits import fail_after as fail_after, move_on_after as move_on_after
else:
    from ..values.lazily import attach

    __getattr__, __dir__, __all__ = attach(
        __name__,
        {
            ".asyncio_loop": "current_asyncio_task",
            ".detection": (
                "Loop Waiter Waker checkpoint clock current imported_trio in_trio_task is_being_cancelled "
                "is_own_cancellation next_turn running waiter"
            ),
            ".sync": "ThreadWaiter check_timeout forbid_inside_loop portal run_blocking running_here",
            ".threads": "run_in_thread",
            ".time_limits": "fail_after move_on_after",
        },
    )
