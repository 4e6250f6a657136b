"""asyncio, trio and callers without a loop, behind one small face: run a task, wake a waiter, from any thread."""

from __future__ import annotations

from .asyncio_loop import current_asyncio_task
from .detection import Loop, Waiter, Waker, current, imported_trio, in_trio_task, is_being_cancelled, running, waiter
from .sync import check_timeout, forbid_inside_loop, portal, running_here, thread_waiter

__all__ = [
    "Loop",
    "Waiter",
    "Waker",
    "check_timeout",
    "current",
    "current_asyncio_task",
    "forbid_inside_loop",
    "imported_trio",
    "in_trio_task",
    "is_being_cancelled",
    "portal",
    "running",
    "running_here",
    "thread_waiter",
    "waiter",
]
