"""One call of a tool: what the handler is given, what the model is told, and what fails the run."""

from __future__ import annotations

import asyncio
import gc
import pickle
import threading
import weakref
from collections.abc import Callable
from contextvars import ContextVar
from functools import partial, wraps
from typing import Any, Literal

import anyio
import attrs
import pytest
from anyio.lowlevel import checkpoint

import mellite
from mellite import loops
from mellite.backends import Echo, Failing
from mellite.errors import MelliteError, ToolDefect, ToolFailure
from mellite.messages import ToolCall, ToolResult, ToolValue
from mellite.strategies.agent.calling import run_calls
from mellite.thunk import observing
from mellite.values.function_tools import Tool
from mellite.values.tools import ToolDefinition
from tests.strategies.agent.support import asked, called, tools_of
from tests.thunk.support import run_child

pytestmark = pytest.mark.anyio


def weather(city: str, unit: Literal["C", "F"] = "C", days: int = 1) -> str:
    """Tell the weather."""
    return f"{city}: 21 {unit}, {days}"


async def aweather(city: str) -> str:
    """Tell the weather, async."""
    await checkpoint()
    return f"{city}: 21"


async def test_a_call() -> None:
    """A tool is called with its arguments, converted; the model gets what it returns, the caller the value."""
    one = await called(asked("weather", {"city": "Paris", "days": 3.0}), weather)
    assert one.result == ToolResult("call_1", "weather", "Paris: 21 C, 3")
    assert (one.value, one.failed, one.error) == ("Paris: 21 C, 3", False, None)
    two = await called(asked("aweather", {"city": "Rome"}), aweather)
    assert two.value == "Rome: 21"


# --- what the model can mend (case 104) -----------------------------------------------------------

DEEP: list[Any] = []
for _ in range(1000):
    DEEP = [DEEP]

WRONG: dict[str, tuple[ToolCall, list[str]]] = {
    "unknown tool": (asked("wether", {"city": "Paris"}), ["'wether'", "'weather'"]),
    "wrong type": (asked("weather", {"city": 5}), ["$.city", "string"]),
    "number as text": (asked("weather", {"city": "Paris", "days": "3"}), ["$.days", "integer"]),
    "missing": (asked("weather", {}), ["city"]),
    "extra": (asked("weather", {"city": "Paris", "when": "now"}), ["when"]),
    "not allowed": (asked("weather", {"city": "Paris", "unit": "K"}), ["$.unit", '"C"', '"F"']),
    "null": (asked("weather", {"city": None}), ["$.city", "null"]),
    "all null": (asked("weather", None, raw="null"), ["city"]),
    "an array": (asked("weather", ["Paris"]), ["object"]),
    "NaN": (asked("weather", None, raw='{"city": "Paris", "days": NaN}'), ["NaN", "character 26"]),
    "too large": (asked("weather", None, raw='{"days": 1e999}'), ["1e999", "character 9"]),
    "NaN inside": (asked("weather", {"city": "Paris", "days": float("nan")}), ["$.days"]),
    "huge int": (asked("weather", {"city": 10**400}, raw="..."), ["$.city"]),
    "deep": (asked("weather", {"city": DEEP}, raw="[..."), ["deep"]),
    "too deep": (asked("weather", None, raw=f'{{"city": {"[" * 100_000}'), ["deep"]),
    "cut": (asked("weather", None, raw='{"city": "Par'), ["end", '\'{"city": "Par\'']),
    "no comma": (asked("weather", None, raw='{"city": "Paris" "days": 3}'), ["character 17", "'\"days\": 3}'"]),
    "words": (asked("weather", None, raw="Paris, please"), ["not JSON", "'Paris, please'"]),
}


@pytest.mark.parametrize("case", WRONG)
async def test_what_the_model_can_mend(case: str) -> None:
    """A call that cannot be made is an error for the model, which names what is wrong; the tool is not called."""
    call, words = WRONG[case]
    one = await called(call, _uncalled(weather))
    assert one.failed
    assert one.result is not None
    assert (one.result.id, one.result.name, one.result.result.type) == (call.id, call.name, "error")
    text = one.result.result.value
    assert [word for word in words if word not in text] == [], text
    assert len(text) < 500
    assert isinstance(one.error, ToolFailure)
    assert str(one.error) == text
    assert one.error.__traceback__ is None
    assert one.value is None


def _uncalled(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function with the same parameters, which fails the test when it is called."""

    @wraps(function)
    def uncalled(*args: Any, **options: Any) -> None:
        pytest.fail("called")

    return uncalled


async def test_no_arguments() -> None:
    """Nothing at all, and null, stand for no arguments."""

    def now() -> str:
        return "noon"

    for call in (asked("now", {}), asked("now", None, raw=""), asked("now", None, raw="null"), ToolCall("a", "now")):
        assert (await called(call, now)).value == "noon"


async def test_no_tools() -> None:
    """Where there are no tools, the model is told so."""
    one = await called(asked("weather", {}))
    assert one.result is not None
    assert one.result.result == ToolValue("error", "There is no tool 'weather'; there are no tools")


async def test_no_handler() -> None:
    """A definition without a function cannot be called; who approves calls may answer it."""
    tools = {"weather": ToolDefinition("weather")}
    (one,) = await run_calls([asked("weather", {"city": "Paris"})], tools)
    assert one.failed
    assert one.result is not None
    assert "no handler" in one.result.result.value
    (one,) = await run_calls(
        [asked("weather", {"city": "Paris"})], tools, approve=lambda _: mellite.Approval.answer("fine")
    )
    assert one.result == ToolResult("call_1", "weather", "fine")


INJECTIONS = ["; rm -rf", "../../etc/passwd", "{{config}}", "{0.__class__}", "\r\nX-A: b", "${HOME}", "%s%n", "\ud800"]


@pytest.mark.parametrize("text", INJECTIONS)
async def test_arguments_are_plain_data(text: str) -> None:
    """Whatever stands in an argument reaches the tool as it is, and comes back as it is (case 111)."""

    def echo(text: str) -> str:
        return text

    one = await called(asked("echo", {"text": text}), echo)
    assert one.value == text
    assert one.result is not None
    assert one.result.result == ToolValue("text", text)


# --- failures and defects (cases 105, 106) --------------------------------------------------------


def failing(error: BaseException | type[BaseException], *, sync: bool) -> Callable[[], Any]:
    """A handler that raises."""

    def fail() -> None:
        raise error

    async def afail() -> None:
        await checkpoint()
        raise error

    return fail if sync else afail


@pytest.mark.parametrize("approve", [None, "sync", "async"])
@pytest.mark.parametrize("by_schema", [True, False])
async def test_what_a_model_wrote_stays(by_schema: bool, approve: str | None) -> None:
    """Neither a tool nor an approval that changes the arguments changes the history, nor what the tool gets."""
    got: list[Any] = []

    def take(rows: list[Any]) -> int:
        """Take the rows."""
        got.append([list(row) for row in rows])
        while rows:
            rows.pop().clear()
        return 1

    def spoils(call: ToolCall) -> None:
        call.arguments["rows"][0].append("no")
        call.arguments["rows"].append("no")

    async def spoils_later(call: ToolCall) -> None:
        spoils(call)

    schema = {"type": "object", "properties": {"rows": {"type": "array"}}}
    made = (
        Tool.from_schema("take", schema, lambda arguments: take(arguments["rows"])) if by_schema else mellite.tool(take)
    )
    call = asked("take", {"rows": [[1], [2, 3]]})
    found = await run_calls(
        [call], {"take": made}, approve={None: None, "sync": spoils, "async": spoils_later}[approve]
    )
    assert (found[0].value, got) == (1, [[[1], [2, 3]]])
    assert found[0].call is call
    assert call.arguments == {"rows": [[1], [2, 3]]}


@pytest.mark.parametrize("sync", [True, False])
async def test_a_failure_is_for_the_model(sync: bool) -> None:
    """What a tool raises as ToolFailure is the result, and the error is kept with the tool's own frames."""
    handler = failing(ToolFailure("No such city."), sync=sync)
    one = await called(asked(handler.__name__, {}), handler)
    assert one.failed
    assert one.result is not None
    assert one.result.result == ToolValue("error", "No such city.")
    assert isinstance(one.error, ToolFailure)
    assert one.error.__traceback__ is not None
    assert one.error.__traceback__.tb_frame.f_code.co_name == handler.__name__


async def test_a_failure_without_words() -> None:
    """A failure that says nothing still tells the model that it is one."""
    one = await called(asked("fail", {}), failing(ToolFailure, sync=True))
    assert one.result is not None
    assert one.result.result == ToolValue("error", "The tool failed.")


async def test_failures_in_a_group() -> None:
    """Failures that come out of a task group are failures; beside another error they are a defect."""

    async def both() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(failing(ToolFailure("one"), sync=False))

    one = await called(asked("both", {}), both)
    assert one.result is not None
    assert one.result.result == ToolValue("error", "one")

    def mixed() -> None:
        raise ExceptionGroup("", [ToolFailure("one"), ValueError("two")])

    with pytest.raises(ToolDefect):
        await called(asked("mixed", {}), mixed)


@pytest.mark.parametrize("sync", [True, False])
async def test_anything_else_is_a_defect(sync: bool) -> None:
    """Any other error fails the run, says which tool and which call, and keeps no key."""
    key = "sk-abcdefghijklmnopqrstuvwxyz0123456789"
    handler = failing(ValueError(f"bad key {key}"), sync=sync)
    name = handler.__name__
    takes_any = Tool.from_schema(name, {"type": "object"}, lambda arguments: handler())
    arguments = {"city": "Paris", "password": "hunter2", "notes": [f"use {key}"], key: None}
    with pytest.raises(ToolDefect) as caught:
        await called(asked(name, arguments), takes_any)
    error = caught.value
    assert isinstance(error, MelliteError)
    assert (error.tool, error.call_id, error.retryable) == (name, "call_1", False)
    assert error.arguments == {
        "city": "Paris",
        "password": "[REDACTED]",
        "notes": ["use [REDACTED]"],
        "[REDACTED]": None,
    }
    assert isinstance(error.__cause__, ValueError)
    assert f"tool {name!r} raised ValueError: bad key [REDACTED]" in str(error)
    assert key not in str(error) + repr(error) + repr(vars(error))
    again = pickle.loads(pickle.dumps(error))
    assert (again.tool, again.arguments, str(again)) == (error.tool, error.arguments, str(error))


async def test_a_defect_is_told_in_short() -> None:
    """A long message of an error, and deep arguments, do not fill the logs."""
    deep: Any = {}
    for _ in range(60):
        deep = {"a": deep}
    tool = Tool.from_schema("tool", {"type": "object"}, lambda _: failing(ValueError("x" * 10_000), sync=True)())
    with pytest.raises(ToolDefect) as caught:
        await called(asked("tool", deep), tool)
    assert len(str(caught.value)) < 1000
    assert len(repr(caught.value.arguments)) < 1000
    pickle.dumps(caught.value)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("sync", [True, False])
async def test_errors_make_no_cycles(sync: bool, count: int) -> None:
    """What a tool raised is dropped as soon as nobody holds it: a defect, and a failure with its call."""

    class Mine(Exception):
        pass

    class Failure(ToolFailure):
        pass

    def tools(error: type[Exception]) -> dict[str, Tool[..., Any]]:
        def fail() -> None:
            raise error

        async def afail() -> None:
            raise error

        return {"tool": Tool(fail if sync else afail, "tool")}

    calls = [asked("tool", {}, id=str(number)) for number in range(count)]
    gc.disable()
    try:
        try:
            await run_calls(calls, tools(Mine))
        except ToolDefect as error:
            kept = [weakref.ref(error), weakref.ref(error.__cause__)] if error.__cause__ is not None else []
        found = await run_calls(calls, tools(Failure))
        kept += [weakref.ref(one.error) for one in found if one.error is not None]
        del found
        assert [reference() for reference in kept] == [None] * (2 + count)
    finally:
        gc.enable()


@pytest.mark.parametrize("beside", [0, 1])
@pytest.mark.parametrize("sync", [True, False])
@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
async def test_what_ends_the_program_goes_on(kind: type[BaseException], sync: bool, beside: int) -> None:
    """KeyboardInterrupt and SystemExit out of a tool reach whoever waits for the calls, alone or beside others."""
    mine = kind()
    handler = failing(mine, sync=sync)
    calls = [asked(handler.__name__, {}), *[asked("hang", {}, id=str(number)) for number in range(beside)]]
    with pytest.raises(kind) as caught:
        await run_calls(calls, tools_of(handler, hang))
    assert caught.value is mine


async def hang() -> None:
    """Wait for ever."""
    await loops.waiter().wait()


@pytest.mark.parametrize("sync", [True, False])
async def test_a_cancellation_of_its_own(sync: bool) -> None:
    """A CancelledError that nobody asked for is an error of the tool, not the end of the run."""
    handler = failing(asyncio.CancelledError(), sync=sync)
    with pytest.raises(ToolDefect) as caught:
        await called(asked(handler.__name__, {}), handler)
    assert isinstance(caught.value.__cause__, asyncio.CancelledError)


async def test_siblings_of_a_defect() -> None:
    """When a tool fails the run, the others are cancelled and waited for; those that wait never begin."""
    said: list[str] = []

    async def sibling(number: int) -> None:
        said.append(f"begun {number}")
        try:
            await hang()
        finally:
            with loops.move_on_after(5, shield=True):
                await checkpoint()
                said.append(f"over {number}")

    async def broken() -> None:
        while len(said) < 2:
            await checkpoint()
        raise ValueError

    calls = [asked("sibling", {"number": number}, id=str(number)) for number in range(2)]
    calls += [asked("broken", {}), asked("sibling", {"number": 5}, id="5")]
    with pytest.raises(ToolDefect) as caught:
        await run_calls(calls, tools_of(sibling, broken), concurrency=3)
    assert caught.value.tool == "broken"
    assert sorted(said) == ["begun 0", "begun 1", "over 0", "over 1"]


async def test_the_first_defect_counts() -> None:
    """What others raise while they are cancelled does not take the place of the error that it is about."""

    async def sibling() -> None:
        try:
            await hang()
        finally:
            raise KeyError

    async def broken() -> None:
        await checkpoint()
        raise ValueError

    calls = [asked("sibling", {}, id="a"), asked("broken", {}, id="b")]
    with pytest.raises(ToolDefect) as caught:
        await run_calls(calls, tools_of(sibling, broken))
    assert isinstance(caught.value.__cause__, ValueError)


async def test_deep_arguments_of_any_kind() -> None:
    """Arguments that are deeper than code can follow are refused, whatever the schema allows."""
    one = await called(asked("any", {"a": DEEP}, raw="..."), Tool.from_schema("any", {"type": "object"}, str))
    assert one.failed
    assert one.result is not None
    assert "deep" in one.result.result.value


@pytest.mark.parametrize("count", [1, 3])
async def test_cancelled_from_outside(count: int) -> None:
    """A cancellation of the run reaches the tools, and goes on when they are over."""
    begun: list[int] = []
    over: list[int] = []

    async def wait(number: int) -> None:
        begun.append(number)
        try:
            await hang()
        finally:
            over.append(number)

    calls = [asked("wait", {"number": number}, id=str(number)) for number in range(count)]
    async with anyio.create_task_group() as group:
        group.start_soon(run_calls, calls, tools_of(wait))
        while len(begun) < count:
            await checkpoint()
        group.cancel_scope.cancel()
    assert group.cancel_scope.cancelled_caught
    assert sorted(over) == list(range(count))


# --- time -----------------------------------------------------------------------------------------


async def test_time_is_up() -> None:
    """A tool that takes too long is left, and the model is told; each tool has a time of its own."""
    release = threading.Event()

    def block() -> None:
        release.wait(20)

    tools = {
        "hang": Tool(hang, "hang", timeout=0.02),
        "block": Tool(block, "block", timeout=0.02),
        "aweather": Tool(aweather, "aweather", timeout=60),
    }
    calls = [asked("hang", {}, id="a"), asked("block", {}, id="b"), asked("aweather", {"city": "Paris"}, id="c")]
    try:
        slow, blocked, fast = await run_calls(calls, tools)
    finally:
        release.set()
    for one in (slow, blocked):
        assert one.failed
        assert one.result is not None
        assert "within 0.02 seconds" in one.result.result.value
    assert fast.value == "Paris: 21"


async def test_a_timeout_of_the_tool_itself() -> None:
    """A TimeoutError that a tool raises is not the limit of the call."""
    handler = failing(TimeoutError(), sync=False)
    with pytest.raises(ToolDefect) as caught:
        await called(asked("afail", {}), Tool(handler, "afail", timeout=60))
    assert isinstance(caught.value.__cause__, TimeoutError)


async def test_a_tool_that_blocks_delays_nobody() -> None:
    """While a tool blocks its thread, others stream on (the heartbeat)."""
    release = threading.Event()
    beats: list[str] = []

    def block() -> str:
        release.wait(20)
        return "done"

    async def beat() -> None:
        beats.extend(["".join([delta async for delta in Echo().generate("a b c")]) for _ in range(20)])
        release.set()

    async with anyio.create_task_group() as group:
        group.start_soon(beat)
        one = await called(asked("block", {}), block)
    assert one.value == "done"
    assert beats == ["a b c"] * 20


@pytest.mark.parametrize("loop", ["asyncio", "trio", "uvloop"])
@pytest.mark.parametrize("way", ["timeout", "cancelled", "interrupted"])
@pytest.mark.slow
def test_a_tool_that_sleeps_holds_no_process(loop: str, way: str) -> None:
    """A tool that sleeps for a minute holds neither the run nor the end of the process."""
    done = run_child(
        """
        import os, signal, time
        import anyio
        from mellite import ToolCall, loops
        from mellite.strategies.agent.calling import run_calls
        from mellite.values.function_tools import tool

        limit = 0.05 if os.environ["way"] == "timeout" else None

        @tool(timeout=limit)
        def sleep() -> None:
            if os.environ["way"] == "interrupted":
                os.kill(os.getpid(), signal.SIGINT)
            time.sleep(60)

        async def main():
            with loops.move_on_after(0.05 if os.environ["way"] == "cancelled" else None):
                (one,) = await run_calls([ToolCall("a", "sleep", {})], {"sleep": sleep})
                assert one.failed

        loop = os.environ["loop"]
        backend, options = ("asyncio", {"use_uvloop": True}) if loop == "uvloop" else (loop, {})
        try:
            anyio.run(main, backend=backend, backend_options=options)
        except KeyboardInterrupt:
            assert os.environ["way"] == "interrupted"
        print("the run is over")
        """,
        loop=loop,
        way=way,
    )
    assert done.stdout == "the run is over\n"


# --- where it runs --------------------------------------------------------------------------------

variable: ContextVar[str] = ContextVar("variable", default="unset")


async def test_context_variables_do_not_stay() -> None:
    """What one tool sets is not there for the next, and not in the task of the run: as where several calls run."""

    async def sets() -> str:
        seen = variable.get()
        variable.set("set")
        return seen

    for _ in range(2):
        assert (await called(asked("sets", {}), sets)).value == "unset"
    assert variable.get() == "unset"


async def test_context_variables() -> None:
    """A tool sees the context variables of the run, in a thread, too."""

    def sync() -> str:
        return variable.get()

    async def async_() -> str:
        return variable.get()

    token = variable.set("set")
    try:
        calls = [asked("sync", {}, id="a"), asked("async_", {}, id="b")]
        assert [one.value for one in await run_calls(calls, tools_of(sync, async_))] == ["set", "set"]
    finally:
        variable.reset(token)


async def test_a_single_async_call_needs_no_task() -> None:
    """One call of an async tool runs in the task that waits for it."""

    async def task() -> int:
        return id(loops.waiter().task())

    one = await called(asked("task", {}), task)
    assert one.value == id(loops.waiter().task())


async def test_what_is_awaited() -> None:
    """A thunk that a tool returns is awaited, and so is whatever else can be."""

    def thunk() -> Any:
        return Echo().generate("hello")

    async def athunk() -> Any:
        return Echo().generate("hello")

    def coroutine() -> Any:
        return athunk()

    calls = [asked(name, {}, id=name) for name in ("thunk", "athunk", "coroutine", "part")]
    tools = {**tools_of(thunk, athunk, coroutine), "part": Tool(partial(aweather, "Rome"), "part")}
    values = [one.value for one in await run_calls(calls, tools)]
    assert values == ["hello", "hello", "hello", "Rome: 21"]


async def test_waiting_without_await() -> None:
    """A plain function may wait for a thunk in its thread."""

    def block() -> str:
        return Echo().generate("hello").result(20)

    assert (await called(asked("block", {}), block)).value == "hello"


async def test_a_thunk_that_fails() -> None:
    """A thunk that fails fails the tool that returned it."""

    def thunk() -> Any:
        return Failing(mellite.errors.RateLimited("no")).generate("hello")

    with pytest.raises(ToolDefect) as caught:
        await called(asked("thunk", {}), thunk)
    assert isinstance(caught.value.__cause__, mellite.errors.RateLimited)


# --- several calls (cases 107 to 110) -------------------------------------------------------------


async def test_the_order_of_the_calls() -> None:
    """Results come in the order of the calls, however long each takes."""

    async def wait(number: int) -> int:
        for _ in range(10 - number):
            await checkpoint()
        return number

    calls = [asked("wait", {"number": number}, id=str(number)) for number in range(10)]
    found = await run_calls(calls, tools_of(wait))
    assert [one.call for one in found] == calls
    assert [one.value for one in found] == list(range(10))
    assert [one.result.id for one in found if one.result is not None] == [str(number) for number in range(10)]


@pytest.mark.parametrize("concurrency", [1, 3, 8, None])
async def test_so_many_at_a_time(concurrency: int | None) -> None:
    """No more calls than allowed run at the same time, and they begin in order."""
    running, most, begun = 0, 0, []

    async def wait(number: int) -> None:
        nonlocal running, most
        begun.append(number)
        running += 1
        most = max(most, running)
        for _ in range(3):
            await checkpoint()
        running -= 1

    calls = [asked("wait", {"number": number}, id=str(number)) for number in range(12)]
    await run_calls(calls, tools_of(wait), concurrency=concurrency)
    assert most == (12 if concurrency is None else concurrency)
    assert begun == list(range(12))


async def test_the_same_call_twice() -> None:
    """The same id, name and arguments run once; another name or other arguments are another call."""
    ran: list[Any] = []

    async def note(value: Any = None, more: Any = None) -> int:
        ran.append(value)
        return len(ran)

    async def other(value: Any = None) -> str:
        ran.append("other")
        return "other"

    calls = [
        asked("note", {"value": 1, "more": 2}),
        asked("note", {"more": 2, "value": 1}),
        asked("note", {"value": True, "more": 2}),
        asked("note", {"value": 1, "more": 2}, id="call_2"),
        asked("other", {"value": 1}),
        asked("note", None, raw='{"value": 1, "more"'),
        asked("note", None, raw='{"value": 1, "mor'),
    ]
    found = await run_calls(calls, tools_of(note, other))
    assert [one.call for one in found] == calls
    assert [one.value for one in found] == [1, 1, 2, 3, "other", None, None]
    assert ran == [1, True, 1, "other"]
    assert found[0].result == found[1].result
    assert found[5].result != found[6].result


async def test_too_many_calls() -> None:
    """Of a thousand calls a hundred run; each of the others gets an error (case 109)."""
    ran: list[int] = []

    async def note(number: int) -> int:
        ran.append(number)
        return number

    calls = [asked("note", {"number": number}, id=str(number)) for number in range(1000)]
    found = await run_calls(calls, tools_of(note))
    assert ran == list(range(100))
    assert [one.value for one in found[:100]] == ran
    assert all(one.failed for one in found[100:])
    assert [one.call for one in found] == calls
    last = found[-1].result
    assert last is not None
    assert last.result.value.startswith("Not run: 1000 calls")
    assert [one.failed for one in await run_calls(calls[:3], tools_of(note), max_calls=1)] == [False, True, True]


async def test_provider_executed_calls() -> None:
    """What the provider runs itself is never run here, and has no result here (case 107)."""
    call = ToolCall("call_1", "aweather", {"city": "Paris"}, provider_executed=True)
    assert await run_calls([call], tools_of(aweather)) == []
    found = await run_calls([call, asked("aweather", {"city": "Rome"}, id="b")], tools_of(aweather))
    assert [one.value for one in found] == ["Rome: 21"]


async def test_no_calls() -> None:
    """Nothing to run is nothing."""
    assert await run_calls([], {}) == []


# --- results from elsewhere -----------------------------------------------------------------------


async def test_results_from_elsewhere() -> None:
    """A call whose result is known already does not run; an approval that was given elsewhere counts."""
    approved: list[str] = []
    calls = [asked("weather", {"city": "Paris"}, id=id) for id in "abcdef"]
    found = await run_calls(
        calls,
        tools_of(weather),
        approve=lambda call: approved.append(call.id),
        results={
            "a": {"temperature": 4},
            "b": None,
            "c": ToolFailure("No answer."),
            "d": mellite.Approval.run(),
            "e": mellite.Approval.refuse("no"),
        },
    )
    assert [one.value for one in found] == [{"temperature": 4}, None, None, "Paris: 21 C, 1", None, "Paris: 21 C, 1"]
    assert [one.failed for one in found] == [False, False, True, False, True, False]
    assert [one.result.result.value for one in found if one.result is not None][2] == "No answer."
    assert approved == ["f"]


# --- who looks on ---------------------------------------------------------------------------------


class Looker(observing.Observer):
    """Notes what it is told of tools."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def started(self, activity: observing.Activity) -> None:
        self.seen.append(("started", activity.kind, activity.subject.name))

    def settled(self, activity: observing.Activity) -> None:
        error = activity.error
        self.seen.append(("settled", activity.result.result.value if error is None else type(error)))


class Veto(observing.Interceptor):
    """Answers calls of weather itself, and hands others on with other arguments."""

    async def call_tool(self, call: ToolCall, proceed: observing.ToolRunner) -> ToolResult:
        if call.arguments.get("city") == "Atlantis":
            return ToolResult("", "", ToolValue("error", "sunk"))
        return await proceed(attrs.evolve(call, arguments={"city": call.arguments["city"].upper()}))


async def test_who_looks_on() -> None:
    """Observers are told of each call and what came of it, tool errors included."""
    looker = Looker()
    with observing.using(looker):
        await called(asked("aweather", {"city": "Paris"}), aweather)
        await called(asked("aweather", {}), aweather)
        with pytest.raises(ToolDefect):
            await called(asked("afail", {}), failing(ValueError(), sync=False))
    started = [each for each in looker.seen if each[0] == "started"]
    assert started == [("started", "tool", "aweather"), ("started", "tool", "aweather"), ("started", "tool", "afail")]
    assert looker.seen[1] == ("settled", "Paris: 21")
    assert "city" in looker.seen[3][1]
    assert looker.seen[5] == ("settled", ToolDefect)


async def test_who_stands_in_between() -> None:
    """Interceptors may answer a call, or hand on another one; the result bears the id of the call."""
    calls = [asked("aweather", {"city": city}, id=city) for city in ("Paris", "Atlantis")]
    with observing.using(Veto()):
        shouted, sunk = await run_calls(calls, tools_of(aweather))
    assert (shouted.call, shouted.value, shouted.failed) == (calls[0], "PARIS: 21", False)
    assert (sunk.call, sunk.value, sunk.failed) == (calls[1], None, True)
    assert sunk.result == ToolResult("Atlantis", "aweather", ToolValue("error", "sunk"))


async def test_a_deferred_call_past_those_in_between() -> None:
    """A deferred call has no result, whoever stands in between."""
    looker = Looker()
    with observing.using(looker, Veto()):
        one = await called(asked("aweather", {"city": "Paris"}), aweather, approve=lambda _: mellite.Approval.defer())
    assert one.result is None
    assert [each[0] for each in looker.seen] == ["started"]


async def test_time_is_measured_from_the_call() -> None:
    """What approval takes does not count against the time of the tool."""

    async def approve(call: ToolCall) -> bool:
        await anyio.sleep(0.05)
        return True

    async def at_once() -> str:
        return "done"

    one = await called(asked("at_once", {}), Tool(at_once, "at_once", timeout=0.02, approve=approve))
    assert not one.failed
