"""Hooks around the calls of tools: other arguments, a veto, another result."""

from __future__ import annotations

from typing import final

from ...thunk.observing import Interceptor, ToolRunner
from ...values.errors import HookFailed, MelliteError, ToolFailure
from ...values.messages import ToolCall, ToolResult
from .hook_arounds import result_around
from .hook_calls import HookSet

__all__ = ["tool_hooks"]


def tool_hooks(hooks: HookSet) -> tuple[Interceptor, ...]:
    """Return what calls the hooks of tools; nothing if there are none."""
    return (_ToolHooks(hooks),) if any(kind == "tool" for hook in hooks.hooks for _, kind in hook.marks) else ()


@final
class _ToolHooks(Interceptor):
    """Stands between calls and their tools."""

    def __init__(self, hooks: HookSet) -> None:
        self._hooks = hooks
        self._before = hooks.of("before", "tool")
        self._around = hooks.of("around", "tool")
        self._after = hooks.of("after", "tool")
        self._on_error = hooks.of("on_error", "tool")

    async def call_tool(self, call: ToolCall, proceed: ToolRunner) -> ToolResult:
        """Return the result of a call, with the hooks around it."""
        if not self._hooks.are_called_here():
            return await proceed(call)
        result: ToolResult | None = None
        for hook in self._before:
            given: object = self._hooks.taken(hook, await self._hooks.call(hook, call), (ToolCall, ToolResult))
            if isinstance(given, ToolResult):
                result = given
                break
            call = given if isinstance(given, ToolCall) else call
        if result is None:
            result = await self._called(call, proceed)
        if self._on_error and result.result.type == "error":
            await self._hooks.each(self._on_error, ToolFailure(str(result.result.value)), call)
        for hook in self._after:
            changed = self._hooks.taken(hook, await self._hooks.call(hook, call, result), (ToolResult,))
            result = result if changed is None else changed
        return result

    async def _called(self, call: ToolCall, proceed: ToolRunner) -> ToolResult:
        try:
            return await result_around(self._hooks, self._around, proceed, call)
        except MelliteError as error:
            if self._on_error and not isinstance(error, HookFailed):
                try:
                    await self._hooks.each(self._on_error, error, call)
                except HookFailed as failure:
                    raise failure from error
            raise
