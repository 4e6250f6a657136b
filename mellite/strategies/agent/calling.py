"""Run the calls of tools that one answer asks for: check, ask for approval, call, and write the results."""

from __future__ import annotations

import inspect
import json
from collections.abc import Awaitable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeAlias, TypeVar, final

import anyio
from attrs import define, evolve, field, setters

from ... import loops
from ...loops.own_context import in_own_context
from ...thunk import observing
from ...thunk.tool_interception import call_tool, run_tool
from ...values.callables import is_async
from ...values.empty import EMPTY
from ...values.errors import OutcomeUnknown, ToolFailure
from ...values.function_tools import MAX_RESULT_CHARS, Approve, Tool
from ...values.json_texts import copied_json
from ...values.messages import ToolCall, ToolResult
from ...values.provider_json import Json
from ...values.shapes import Mismatch
from .approving import Approval, decide
from .defects import defect_of, failure_in, without_our_frames
from .refusals import arguments_of, no_handler, not_bound, surplus, too_late, unknown_tool
from .results import PLAIN, RAN, error_result, result_of

__all__ = ["Called", "run_calls"]

T = TypeVar("T")

_RUN: Final = Approval.run()

_Bound: TypeAlias = tuple[tuple[Any, ...], Mapping[str, Any]]


@define(on_setattr=setters.NO_OP)  # not frozen: that takes twice as long, for every call
class Called:
    """The outcome of one call.

    Args:
        call: as the model wrote it.
        result: what the model gets; None if the call is deferred.
        value: what the tool returned; None if it was not called or failed.
        failed: whether the result is an error.
        error: why, where something was raised for it.
    """

    call: ToolCall
    result: ToolResult | None
    value: Any = field(default=None, kw_only=True)
    failed: bool = field(default=False, kw_only=True)
    error: Exception | None = field(default=None, kw_only=True)


async def run_calls(
    calls: Iterable[ToolCall],
    tools: Mapping[str, object],
    *,
    approve: Approve | None = None,
    concurrency: int | None = 8,
    max_calls: int | None = 100,
    results: Mapping[str, object] = EMPTY,
) -> list[Called]:
    """Run the calls of one answer and return what became of each, in their order.

    What the model can mend comes as the error of a call. If a tool raises anything else, the others are cancelled and
    waited for. Calls that the provider executes are left out. The same call, by id, name and arguments, is run once.

    Args:
        calls: as the model wrote them.
        tools: the tools by their names; a definition without a handler is one that cannot be called.
        approve: asked about each call before the tool's own ``approve``.
        concurrency: how many calls run at the same time; None for all.
        max_calls: how many of the calls run; the others get an error. Those whose result is given do not count.
        results: by the ids of calls, what came of them elsewhere, or an `Approval` that was given there.

    Raises:
        ToolDefect: if a tool, or an ``approve`` function, raises something that is not meant for the model, or
            an ``approve`` function returns no decision.
    """
    local = [call for call in calls if not call.provider_executed]
    batch = _Batch(tools, approve, results)
    if len(local) == 1 and (max_calls is None or max_calls):
        return [await batch.run_one(local[0])]  # most answers ask for one: it needs no task
    firsts = _first_of_each(local)
    distinct = sorted(set(firsts))
    to_run = [index for index in distinct if isinstance(results.get(local[index].id, _RUN), Approval)]
    left_out = set(to_run[max_calls:]) if max_calls is not None else set[int]()
    taken = [index for index in distinct if index not in left_out] if left_out else distinct
    called = await batch.run([local[index] for index in taken], concurrency)
    if left_out:
        found = dict(zip(taken, called, strict=True))
        failure = surplus(len(to_run), len(to_run) - len(left_out))
        for index in left_out:
            found[index] = Called(local[index], error_result(local[index], str(failure)), failed=True, error=failure)
        called = [found[index] for index in distinct]
    if len(distinct) == len(local):
        return called
    by_index = dict(zip(distinct, called, strict=True))
    return [evolve(by_index[first], call=call) for first, call in zip(firsts, local, strict=True)]


def _first_of_each(calls: Sequence[ToolCall]) -> list[int]:
    """Return for each call the index of the first one that is the same."""
    if len({call.id for call in calls}) == len(calls):
        return list(range(len(calls)))
    seen: dict[tuple[str, str, str], int] = {}
    return [seen.setdefault((call.id, call.name, _arguments_text(call)), index) for index, call in enumerate(calls)]


def _arguments_text(call: ToolCall) -> str:
    """Return the arguments as text that is the same for the same JSON: 1 and true, which Python holds equal, differ."""
    if call.arguments is not None:
        try:
            return json.dumps(call.arguments, sort_keys=True)
        except (TypeError, ValueError, RecursionError):
            pass
    return call.raw_arguments or ""


@final
class _Batch:
    """The calls of one answer, while they run."""

    __slots__ = ("_approve", "_asking", "_called", "_error", "_results", "_tools")

    def __init__(self, tools: Mapping[str, object], approve: Approve | None, results: Mapping[str, object]) -> None:
        self._tools = tools
        self._approve = approve
        self._results = results
        self._called: dict[int, Called] = {}
        self._error: BaseException | None = None
        self._asking: anyio.Lock | None = None

    async def run_one(self, call: ToolCall) -> Called:
        """Run the only call, in a context of its own, as each of several has."""
        return await in_own_context(self._one(call))

    async def run(self, calls: Sequence[ToolCall], concurrency: int | None) -> list[Called]:
        """Run the calls, at most so many at a time; return what became of each, in their order."""
        if not calls:
            return []
        waiting = iter(enumerate(calls))
        async with anyio.create_task_group() as group:
            for _ in range(len(calls) if concurrency is None else min(concurrency, len(calls))):
                group.start_soon(self._work, waiting, group.cancel_scope)
        error, self._error = self._error, None
        if error is not None:
            try:
                raise error
            finally:
                del error, self  # see "Cycles" in `mellite.thunk`
        called, self._called = self._called, {}  # the frames of the tools' errors may know this object
        return [called[index] for index in range(len(calls))]

    async def _work(self, waiting: Iterator[tuple[int, ToolCall]], scope: anyio.CancelScope) -> None:
        """Run one call after another, beside others that do so; keep the first error and stop all."""
        for index, call in waiting:
            try:
                self._called[index] = await self._one(call)
            except (Exception, KeyboardInterrupt, SystemExit) as error:
                if self._error is None or not isinstance(error, Exception):
                    self._error = error
                scope.cancel()
                return

    async def _one(self, call: ToolCall) -> Called:
        """Run a call; those who look on are told, and those who stand in between are asked."""
        if observing.in_force() is None:
            return await self._run(call)
        latest: list[Called] = []

        async def run(handed: ToolCall) -> ToolResult:
            latest[:] = [await self._run(handed, seen=True)]
            result = latest[0].result
            if result is None:
                raise _Deferred
            return result

        with observing.activity("tool", call) as activity:
            try:
                result = await call_tool(call, run)
            except (_Deferred, OutcomeUnknown):
                return Called(call, None)
            if activity is not None:
                activity.result = result
        if latest and latest[0].result is result:
            return evolve(latest[0], call=call)
        if (result.id, result.name) != (call.id, call.name):
            result = evolve(result, id=call.id, name=call.name)
        failed = result.result.type == "error"
        return Called(call, result, value=None if failed else result.result.value, failed=failed)

    async def _run(self, call: ToolCall, *, seen: bool = False) -> Called:
        """Run a call; return what became of it, also where that is a failure for the model to read.

        Args:
            call: as it was handed on.
            seen: whether there may be somebody who looks on, or stands in between.
        """
        tool = self._tools.get(call.name)
        most = tool.max_result_chars if isinstance(tool, Tool) else MAX_RESULT_CHARS
        try:
            decision: Approval | None = None
            if call.id in self._results:
                given = self._results[call.id]
                if not isinstance(given, Approval):
                    return _answered(call, given, most)
                decision = given
            return await self._decided(call, tool, most, decision, seen=seen)
        except ToolFailure as failure:
            result = error_result(call, str(failure) or "The tool failed.", most)
            return Called(call, result, failed=True, error=without_our_frames(failure))

    async def _decided(
        self, call: ToolCall, tool: object, most: int, decision: Approval | None, *, seen: bool
    ) -> Called:
        if tool is None and call.name not in self._tools:
            raise unknown_tool(call.name, self._tools)
        arguments = copied_json(arguments_of(call))  # a tool may change its own, and the history must not change
        bound = _bind(tool, arguments)
        if decision is None:
            own = tool.approve if isinstance(tool, Tool) else None
            if own is not None or self._approve is not None:
                decision = await self._decision(call, own, arguments)
        if decision is not None and decision.decision != "run":
            if decision.decision == "defer":
                return Called(call, None)
            if decision.decision == "refuse":
                msg = "The call was refused" + (f": {decision.reason}" if decision.reason else ".")
                raise ToolFailure(msg)
            if decision.decision == "answer":
                return _answered(call, decision.result, most)
            arguments = copied_json(decision.arguments)
            bound = _bind(tool, arguments, replaced=True)
        if bound is None or not isinstance(tool, Tool):
            raise no_handler(call.name)
        if seen:
            run = partial(_run_code, tool, bound, call, arguments)
            value = await run_tool(call, run, once=tool.once)
        else:
            value = await _run_code(tool, bound, call, arguments)
        result = result_of(call, value, most)
        return Called(call, result, value=value, failed=result.result.type == "error")

    async def _decision(self, call: ToolCall, own: Approve | None, arguments: Json) -> Approval:
        """Ask the run's function and then the tool's; those that may block a thread about one call at a time."""
        asked = [approve for approve in (self._approve, own) if approve is not None]
        who = f"the approval of tool {call.name!r}"
        shown = evolve(call, arguments=copied_json(call.arguments))
        if all(is_async(approve) for approve in asked):
            return await _guarded(decide(shown, asked), who, call, arguments)
        if self._asking is None:
            self._asking = anyio.Lock()
        async with self._asking:
            return await _guarded(decide(shown, asked), who, call, arguments)


class _Deferred(Exception):
    """A call is deferred: no result of it gets past those who stand in between."""


def _answered(call: ToolCall, value: object, most: int) -> Called:
    """Return a call as answered with a value from elsewhere.

    Raises:
        ToolFailure: if that has no JSON form.
    """
    try:
        result = result_of(call, value, most)
    except ToolFailure as failure:
        msg = str(failure).replace(RAN, "The tool was not called, and what it was answered with")
        raise ToolFailure(msg) from None
    failed = result.result.type == "error"
    return Called(call, result, value=None if failed else value, failed=failed)


def _bind(tool: object, arguments: Json, *, replaced: bool = False) -> _Bound | None:
    """Return the arguments as the tool takes them; None if it cannot be called.

    Raises:
        ToolFailure: if they do not fit.
    """
    if not isinstance(tool, Tool):
        return None
    try:
        return tool.bind(arguments)
    except Mismatch as error:
        raise not_bound(error, replaced=replaced) from None


def _run_code(tool: Tool[..., Any], bound: _Bound, call: ToolCall, arguments: Json) -> Awaitable[Any]:
    """Return what runs the code of a tool, and waits for what it returns."""
    code = _called(tool, bound) if tool.timeout is None else _handled(tool, bound, tool.timeout)
    return _guarded(code, f"tool {call.name!r}", call, arguments)


async def _handled(tool: Tool[..., Any], bound: _Bound, timeout: float) -> Any:
    """Call a tool within its time.

    Raises:
        ToolFailure: if its time is over.
    """
    with loops.move_on_after(timeout):
        return await _called(tool, bound)
    raise too_late(timeout)


async def _called(tool: Tool[..., Any], bound: _Bound) -> Any:
    """Call a tool, and wait for what it returns, if that can be awaited."""
    args, options = bound
    if tool.is_async:
        value = await tool.function(*args, **options)
    else:
        value = await loops.run_in_thread(tool.function, *args, **options)
    # A thunk, a run, the coroutine of a function that only hands one on.
    while type(value) not in PLAIN and inspect.isawaitable(value):
        value = await value
    return value


async def _guarded(code: Awaitable[T], who: str, call: ToolCall, arguments: Json) -> T:
    """Wait for code of the user's.

    Raises:
        ToolFailure: if the code raised one.
        ToolDefect: if it raised something else. Not for a cancellation of this task, nor for what ends the program.
    """
    try:
        return await code
    except ToolFailure:
        raise
    except Exception as error:
        failure = failure_in(error)
        raise (failure if failure is not None else defect_of(who, call, arguments, error)) from error
    except BaseException as error:
        if isinstance(error, _ENDS) or loops.is_own_cancellation():
            raise
        raise defect_of(who, call, arguments, error) from error  # a cancellation that nobody asked of this task


#: What ends the program, or this task without a cancellation; and groups, which may have such in them.
_ENDS: Final = (KeyboardInterrupt, SystemExit, GeneratorExit, BaseExceptionGroup)
