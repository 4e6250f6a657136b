"""Run a call of a tool through those who stand in between."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from .observing import Interceptor, ToolRunner, in_force

if TYPE_CHECKING:
    from ..values.messages import ToolCall, ToolResult

__all__ = ["call_tool", "run_tool"]


async def call_tool(call: ToolCall, run: ToolRunner) -> ToolResult:
    """Have those in between run a call of a tool; ``run(call)`` is what runs it in the end."""
    force = in_force()
    for interceptor in force.interceptors if force is not None else ():
        if type(interceptor).call_tool is not Interceptor.call_tool:
            run = partial(_handed_on, interceptor, run)
    return await run(call)


async def _handed_on(interceptor: Interceptor, run: ToolRunner, call: ToolCall) -> ToolResult:
    return await interceptor.call_tool(call, run)


async def run_tool(call: ToolCall, run: Callable[[], Awaitable[Any]], *, once: bool) -> Any:
    """Have those in between run the code of a tool that was approved; ``run()`` is what runs it in the end.

    Args:
        call: as the model wrote it.
        run: runs the code.
        once: whether it must not run twice for the same call.
    """
    force = in_force()
    for interceptor in force.interceptors if force is not None else ():
        if type(interceptor).run_tool is not Interceptor.run_tool:
            run = partial(interceptor.run_tool, call, run, once=once)
    return await run()
