"""Who decides whether a call runs: the run's function, the tool's, and what they may say."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from mellite import Approval, loops
from mellite.errors import InvalidRequest, ToolDefect, ToolFailure
from mellite.messages import ToolCall, ToolResult, ToolValue
from mellite.strategies.agent.calling import Called, run_calls
from mellite.values.function_tools import Tool
from tests.strategies.agent.support import asked, called

pytestmark = pytest.mark.anyio

ran: list[Any] = []


@pytest.fixture(autouse=True)
def _nothing_ran() -> None:
    ran.clear()


def delete(path: str) -> str:
    """Delete a file."""
    ran.append(path)
    return f"deleted {path}"


CALL = asked("delete", {"path": "a.txt"})


async def decided(answer: object, *, sync: bool = True, of_tool: bool = False) -> Called:
    """What becomes of a call about which this is said."""

    def say(call: ToolCall) -> object:
        assert call == CALL
        return answer

    async def asay(call: ToolCall) -> object:
        await checkpoint()
        return say(call)

    approve: Callable[[ToolCall], object] = say if sync else asay
    if of_tool:
        return await called(CALL, Tool(delete, "delete", approve=approve))
    return await called(CALL, delete, approve=approve)


@pytest.mark.parametrize("of_tool", [False, True])
@pytest.mark.parametrize("sync", [False, True])
async def test_what_they_may_say(sync: bool, of_tool: bool) -> None:
    """Run, refuse, replace, answer and defer, by the run's function or the tool's, sync or async."""
    for answer in (Approval.run(), True, None):
        one = await decided(answer, sync=sync, of_tool=of_tool)
        assert (one.value, one.failed) == ("deleted a.txt", False)
    assert ran == ["a.txt"] * 3
    one = await decided(Approval.replace({"path": "b.txt"}), sync=sync, of_tool=of_tool)
    assert (one.value, one.call) == ("deleted b.txt", CALL)
    ran.clear()
    for answer in (Approval.refuse("not today"), False, Approval.refuse()):
        one = await decided(answer, sync=sync, of_tool=of_tool)
        assert one.failed
        assert one.value is None
        assert isinstance(one.error, ToolFailure)
    one = await decided(Approval.answer({"kept": True}), sync=sync, of_tool=of_tool)
    assert one.result == ToolResult("call_1", "delete", {"kept": True})
    assert (one.value, one.failed) == ({"kept": True}, False)
    one = await decided(Approval.defer(), sync=sync, of_tool=of_tool)
    assert one == Called(CALL, None)
    assert ran == []


async def test_what_the_model_is_told() -> None:
    """The model reads why a call was refused, and that it was."""
    one = await decided(Approval.refuse("not today"))
    assert one.result == ToolResult("call_1", "delete", ToolValue("error", "The call was refused: not today"))
    one = await decided(Approval.refuse())
    assert one.result == ToolResult("call_1", "delete", ToolValue("error", "The call was refused."))


async def test_the_first_that_is_not_run_decides() -> None:
    """The run's function is asked first; the tool's is asked if that says run."""
    order: list[str] = []

    def says(who: str, answer: object) -> Callable[[ToolCall], object]:
        def approve(call: ToolCall) -> object:
            order.append(who)
            return answer

        return approve

    async def ask(run: object, tool: object) -> str:
        order.clear()
        one = await called(CALL, Tool(delete, "delete", approve=says("tool", tool)), approve=says("run", run))
        return "deferred" if one.result is None else one.result.result.value

    assert await ask(True, Approval.answer("kept")) == "kept"
    assert order == ["run", "tool"]
    assert await ask(Approval.answer("first"), Approval.answer("second")) == "first"
    assert order == ["run"]
    assert await ask(Approval.replace({"path": "b"}), False) == "deleted b"
    assert order == ["run"]
    assert await ask(None, Approval.defer()) == "deferred"


async def test_only_calls_that_can_be_made() -> None:
    """Nobody is asked about a call that cannot be made; what is put in place of its arguments is checked, too."""

    def approve(call: ToolCall) -> object:
        pytest.fail("asked")

    assert (await called(asked("delete", {}), delete, approve=approve)).failed
    assert (await called(asked("delte", {}), delete, approve=approve)).failed
    one = await decided(Approval.replace({"pat": "b.txt"}))
    assert one.result is not None
    assert "in place of yours" in one.result.result.value
    assert "pat" in one.result.result.value
    assert ran == []


@pytest.mark.parametrize("answer", ["yes", 1, 0, "", [], Approval])
async def test_what_is_no_decision(answer: object) -> None:
    """Anything else never runs the tool: the run fails, and says what is to be returned."""
    with pytest.raises(ToolDefect) as caught:
        await decided(answer)
    assert isinstance(caught.value.__cause__, InvalidRequest)
    assert "mellite.Approval" in str(caught.value)
    assert "'say'" in str(caught.value)
    assert ran == []


@pytest.mark.parametrize("sync", [True, False])
async def test_what_is_raised(sync: bool) -> None:
    """A function that raises does not run the tool: a ToolFailure refuses the call, anything else fails the run."""

    def approve(error: Exception) -> Callable[[ToolCall], object]:
        def fail(call: ToolCall) -> None:
            raise error

        async def afail(call: ToolCall) -> None:
            raise error

        return fail if sync else afail

    one = await called(CALL, delete, approve=approve(ToolFailure("not now")))
    assert one.result == ToolResult("call_1", "delete", ToolValue("error", "not now"))
    with pytest.raises(ToolDefect) as caught:
        await called(CALL, delete, approve=approve(ValueError("no")))
    assert "the approval of tool 'delete' raised ValueError: no" in str(caught.value)
    assert ran == []


async def test_one_question_at_a_time() -> None:
    """Functions that may block are asked about one call at a time, in order, in a thread; async ones at once."""
    here = threading.get_ident()
    asked_about: list[str] = []
    asking = threading.Lock()

    def approve(call: ToolCall) -> bool:
        assert threading.get_ident() != here
        assert asking.acquire(blocking=False)
        asked_about.append(call.id)
        asking.release()
        return True

    calls = [asked("delete", {"path": str(number)}, id=str(number)) for number in range(6)]
    tools = {"delete": Tool(delete, "delete")}
    found = await run_calls(calls, tools, approve=approve)
    assert [one.value for one in found] == [f"deleted {number}" for number in range(6)]
    assert asked_about == [str(number) for number in range(6)]

    together = 0

    async def aapprove(call: ToolCall) -> bool:
        nonlocal together
        together += 1
        while together < 6:
            await checkpoint()
        return True

    assert len(await run_calls(calls, tools, approve=aapprove)) == 6


async def test_left_while_asking() -> None:
    """A run that is cancelled while somebody is asked leaves at once, and asks about no other call."""
    begun, release = threading.Event(), threading.Event()
    asked_about: list[str] = []

    def approve(call: ToolCall) -> bool:
        asked_about.append(call.id)
        begun.set()
        return release.wait(20)

    calls = [asked("delete", {"path": "a"}, id=str(number)) for number in range(3)]
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(run_calls, calls, {"delete": Tool(delete, "delete", approve=approve)})
            assert await loops.run_in_thread(begun.wait, 20)
            group.cancel_scope.cancel()
        assert group.cancel_scope.cancelled_caught
        assert not release.is_set()
    finally:
        release.set()
    assert asked_about == ["0"]
    assert ran == []


def test_an_approval_is_a_value() -> None:
    """Approvals are equal if they say the same, and say what they are."""
    assert Approval.refuse("no") == Approval.refuse("no") != Approval.refuse("never")
    assert Approval.__module__ == "mellite"
    assert "refuse" in repr(Approval.refuse("no"))


async def test_an_answer_that_is_no_json() -> None:
    """What a call is answered with and cannot be sent is told as such: the tool has not run."""
    one = await called(asked("delete", {"path": "a"}), delete, approve=lambda _: Approval.answer(object()))
    assert one.failed
    assert one.result is not None
    said = str(one.result.result.value)
    assert said.startswith("The tool was not called, and what it was answered with cannot be sent as JSON: at $ ")
    assert ran == []
