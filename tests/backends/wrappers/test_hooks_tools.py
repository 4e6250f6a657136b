"""Hooks of tools and runs: other arguments, vetoes, other results; and what is told of a run."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from attrs import evolve

import mellite
from mellite import hooks
from mellite.backends import Scripted
from mellite.errors import HookFailed, ToolDefect, ToolFailure
from mellite.events import Finish, TextDelta, ToolCallEvent
from mellite.messages import ToolCall, ToolResult, ToolValue
from tests.thunk.support import blocked

pytestmark = pytest.mark.anyio

called: list[Any] = []


@pytest.fixture(autouse=True)
def forget() -> None:
    called.clear()


@mellite.tool
def double(number: int) -> int:
    """Double a number."""
    called.append(number)
    return 2 * number


@mellite.tool
def fail(number: int) -> int:
    """Fail."""
    if number:
        raise ToolFailure("not today")
    raise KeyError(number)


def asks(name: str = "double", number: int = 2) -> Scripted:
    """A backend that calls a tool, and then answers."""
    call = ToolCall("call_1", name, {"number": number})
    return Scripted([[ToolCallEvent(call), Finish("tool-calls")], [TextDelta("done"), Finish("stop")]])


async def ran(*given: Any, name: str = "double", number: int = 2, errors: Any = "log") -> Any:
    with hooks.use(*given, errors=errors):
        run = mellite.run(asks(name, number), "x", tools=[double, fail])
        await run.settle()
    return run


def result_of(run: Any) -> ToolResult:
    [result] = [part for message in run.messages for part in message.content if isinstance(part, ToolResult)]
    return result


async def test_it_sees_the_call_and_its_result() -> None:
    """Before with the call, after with both."""
    seen: list[Any] = []

    async def after(call: ToolCall, result: ToolResult) -> None:
        await blocked()
        seen.append((call.name, result.result.value))

    before = hooks.before("tool")(lambda call: seen.append(call.arguments))
    run = await ran(before, hooks.after("tool")(after))
    assert (run.value, seen, called) == ("done", [{"number": 2}, ("double", 4)], [2])


async def test_it_changes_the_call() -> None:
    """The tool gets the other arguments, the model a result for its own call."""
    other = hooks.before("tool")(lambda call: evolve(call, arguments={"number": 5}))
    run = await ran(other, hooks.before("tool")(lambda call: called.append(call.arguments)))
    assert called == [{"number": 5}, 5]
    assert (result_of(run).result.value, result_of(run).id) == (10, "call_1")


async def test_it_vetoes_the_call() -> None:
    """The tool is not called, and the model reads what the hook returned."""
    after: list[Any] = []

    @hooks.before("tool")
    async def veto(call: ToolCall) -> ToolResult:
        await blocked()
        return ToolResult("any", "any", ToolValue("error", "Not allowed."))

    run = await ran(veto, hooks.after("tool")(lambda _, result: after.append(result.result.value)))
    assert (called, after, run.value) == ([], ["Not allowed."], "done")
    result = result_of(run)
    assert (result.id, result.name, result.result) == ("call_1", "double", ToolValue("error", "Not allowed."))


async def test_it_changes_the_result() -> None:
    """A hook behind a tool, or around it, may give another result."""
    hidden = hooks.after("tool")(lambda call, result: evolve(result, result="hidden"))

    @hooks.around("tool")
    async def around(call: ToolCall, proceed: Any) -> ToolResult:
        called.append("around")
        return await proceed(call)

    run = await ran(hidden, around)
    assert (called, result_of(run).result.value) == (["around", 2], "hidden")


async def test_failures_are_told() -> None:
    """Both what the model reads and what fails the run."""
    errors: list[Any] = []
    on_error = hooks.on_error("tool")(lambda error, call: errors.append((type(error), str(error), call.name)))
    run = await ran(on_error, name="fail", number=1)
    assert (run.value, errors) == ("done", [(ToolFailure, "not today", "fail")])
    errors.clear()
    run = await ran(on_error, name="fail", number=0)
    assert isinstance(run.error, ToolDefect)
    assert [kind for kind, *_ in errors] == [ToolDefect]


@pytest.mark.parametrize("moment", ["before", "around", "after"])
@pytest.mark.parametrize("given", ["a text", ValueError("broken")])
async def test_where_it_fails(moment: str, given: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Logged, the call goes on; raised, the run fails."""

    async def function(*_: Any) -> Any:
        if isinstance(given, Exception):
            raise given
        return given

    hook = getattr(hooks, moment)("tool")(function)
    with caplog.at_level(logging.WARNING, "mellite"):
        run = await ran(hook)
    assert (run.value, called, result_of(run).result.value) == ("done", [2], 4)
    assert len(caplog.records) == 1
    assert ("ValueError: broken" if isinstance(given, Exception) else "it returned a str") in caplog.text
    run = await ran(hook, errors="raise")
    assert isinstance(run.error, HookFailed)
    assert "function" in str(run.error)


async def test_runs_are_told_and_the_copy_is_a_run() -> None:
    """With its steps and why it stopped."""
    seen: list[Any] = []
    with hooks.use(
        hooks.before("run")(lambda request: seen.append(request.text)),
        hooks.after("run")(seen.append),
        hooks.on_error("run")(lambda error, run: seen.append(error)),
    ):
        run = mellite.run(asks(), "x", tools=[double])
        assert await run == "done"
        assert (seen[0], len(seen)) == ("x", 2)
        copied = seen[1]
        assert isinstance(copied, mellite.Run)
        assert (copied.value, copied.stop_reason, len(copied.steps), copied.state) == ("done", "answered", 2, "done")
        assert copied.usage == run.usage
        failed = mellite.run(asks("fail", 0), "x", tools=[fail])
        await failed.settle()
    assert isinstance(seen[3], ToolDefect)
    assert (seen[4].state, seen[4].stop_reason) == ("failed", "failed")


async def test_a_run_hook_that_fails_fails_the_run_and_keeps_its_text() -> None:
    """The steps that were taken stay."""

    def broken(_: Any) -> None:
        raise ValueError("broken")

    run = await ran(hooks.after("run")(broken), errors="raise")
    assert isinstance(run.error, HookFailed)
    assert (run.partial, len(run.steps)) == ("done", 2)
    run = await ran(hooks.before("run")(broken), errors="raise")
    assert isinstance(run.error, HookFailed)
    assert called == [2]


async def test_hooks_of_the_backend_are_in_force_for_the_tools_of_its_runs() -> None:
    """Also where another wrapper stands around it."""
    seen: list[Any] = []
    hook = hooks.before("tool")(lambda call: seen.append(call.name))
    asked = hooks.before("generation")(lambda request: seen.append(len(request.messages)))
    for backend in (mellite.Hooked(asks(), hook, asked), mellite.Retry(mellite.Hooked(asks(), hook, asked))):
        seen.clear()
        assert await mellite.run(backend, "x", tools=[double]) == "done"
        assert seen == [1, "double", 3]
    await mellite.run(asks(), "x", tools=[double])
    assert len(seen) == 3


async def test_what_a_hook_generates_for_a_tool_is_not_hooked() -> None:
    """A hook that starts runs does not call itself."""
    told: list[str] = []

    @hooks.before("tool")
    @hooks.before("generation")
    async def note(thing: Any) -> None:
        told.append(type(thing).__name__)
        await mellite.run(asks(), "inner", tools=[double])

    await ran(note)
    assert told == ["Request", "ToolCall", "Request"]
