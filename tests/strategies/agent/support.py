"""Calls and tools for the tests of runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from mellite.messages import ToolCall
from mellite.strategies.agent.calling import Called, run_calls
from mellite.values.function_tools import Tool, tool_of

__all__ = ["asked", "called", "result_of", "tools_of"]


def asked(name: str, arguments: Any = None, *, id: str = "call_1", raw: str | None = None) -> ToolCall:
    """A call as a model wrote it."""
    return ToolCall(id, name, arguments, raw_arguments=json.dumps(arguments) if raw is None else raw)


def tools_of(*functions: Callable[..., Any]) -> dict[str, Tool[..., Any]]:
    """Tools by their names."""
    made = [tool_of(function) for function in functions]
    return {each.name: each for each in made}


async def called(call: ToolCall, *functions: Callable[..., Any], **options: Any) -> Called:
    """What became of one call."""
    (one,) = await run_calls([call], tools_of(*functions), **options)
    return one


async def result_of(function: Callable[[], Any], **options: Any) -> Any:
    """What the model gets for a call of a tool without arguments."""
    one = await called(asked("tool", {}), Tool(function, "tool", **options))
    assert one.result is not None
    assert one.failed == (one.result.result.type == "error")
    return one.result.result
