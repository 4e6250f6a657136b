"""Calls whose results come from outside: deferred, handed to the caller, answered later or in another process."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

import mellite
from mellite import Approval, Message, Run, stop
from mellite.errors import InvalidRequest, RunStopped
from mellite.events import ToolResultEvent
from mellite.messages import ToolCall, ToolResult
from tests.strategies.agent.played import Played, add, asks, results_of, shouts

pytestmark = pytest.mark.anyio

ran: list[str] = []


@mellite.tool
def pay(to: str) -> str:
    """Pay somebody."""
    ran.append(to)
    return f"paid {to}"


@pytest.fixture(autouse=True)
def _nothing_ran() -> None:
    ran.clear()


def waits(call: ToolCall) -> Approval:
    """Let somebody else decide on payments to Eve."""
    return Approval.defer() if call.arguments == {"to": "Eve"} else Approval.run()


def payments() -> Played:
    """Two payments at once, one more, and an answer."""
    return Played(
        ["Paying.", asks("c1", "pay", to="Eve"), asks("c2", "pay", to="Bob")],
        [asks("c3", "pay", to="Ann")],
        ["All paid."],
    )


def run_of(backend: Played, **options: Any) -> Run[str]:
    """A run that may pay."""
    return mellite.run(backend, "Pay.", tools=[pay, add, shouts], **{"approve": waits, **options})


async def test_a_deferred_call_ends_the_run() -> None:
    """The other calls have run; what waits is told; the history holds what there is."""
    run = run_of(payments())
    assert await run == "Paying."
    assert (run.stop_reason, ran) == ("pending", ["Bob"])
    assert run.pending_calls == (asks("c1", "pay", to="Eve"),)
    assert [result and result.id for result in run.steps[0].results] == [None, "c2"]
    assert run.steps[0].values == (None, "paid Bob")
    assert results_of(run.messages) == [("c2", "paid Bob")]
    assert [event.result.id async for event in run.events() if isinstance(event, ToolResultEvent)] == ["c2"]


async def test_resumed_with_a_result() -> None:
    """The run goes on; what has run is not run again; the step is complete then."""
    backend = payments()
    run = run_of(backend)
    await run
    again = run.resume({"c1": "paid by hand"})
    assert (again.state, len(again.steps), len(backend.requests)) == ("pending", 1, 1)
    assert await again == "All paid."
    assert ran == ["Bob", "Ann"]
    assert results_of(again.messages) == [("c1", "paid by hand"), ("c2", "paid Bob"), ("c3", "paid Ann")]
    roles = ["user", "assistant", "tool", "assistant", "tool", "assistant"]
    assert [message.role for message in again.messages] == roles
    assert again.thunks[0] is run.thunks[0]
    assert again.usage is not None
    assert again.usage.total_tokens == 42
    assert (len(again.steps), again.call.lineage) == (3, ())
    told = [event.result.id async for event in again.events() if isinstance(event, ToolResultEvent)]
    assert told == ["c1", "c3"]
    assert [result and result.id for result in run.steps[0].results] == [None, "c2"]  # the first stays what it was


async def test_resumed_after_a_decision() -> None:
    """What is given may be a decision; a call that is left out is decided on once more."""
    run = run_of(payments())
    await run
    assert await run.resume({"c1": Approval.run()}) == "All paid."
    assert ran == ["Bob", "Eve", "Ann"]
    still = run.resume({})
    assert await still == ""
    assert (still.stop_reason, still.pending_calls, len(still.steps)) == ("pending", run.pending_calls, 1)
    failed = run.resume({"c1": ToolResult("c1", "pay", mellite.ToolValue("error", "no funds"))})
    await failed
    assert results_of(failed.messages)[0] == ("c1", "no funds")


async def test_in_another_process() -> None:
    """The history alone goes along: with the results, the run goes on, and nothing is run twice."""
    run = run_of(payments())
    await run
    messages = pickle.loads(pickle.dumps(run.messages))
    again = mellite.run(payments(), messages, tools=[pay], results={"c1": {"paid": True}})
    assert await again == "All paid."
    assert ran == ["Bob", "Ann"]
    assert results_of(again.messages) == [("c2", "paid Bob"), ("c1", {"paid": True}), ("c3", "paid Ann")]
    assert len(again.steps) == 2
    asked = again.thunks[0].call.request.messages
    assert {part.id for message in asked for part in message.content if isinstance(part, ToolResult)} == {"c1", "c2"}


async def test_a_pending_run_is_pickled_whole() -> None:
    """Pickled with its steps, it is resumed like the original."""
    run = run_of(payments())
    await run
    kept = pickle.loads(pickle.dumps(run))
    assert kept.pending_calls == run.pending_calls
    assert await kept.resume({"c1": "ok"}) == "All paid."


async def test_calls_without_results_are_run_first() -> None:
    """A history that ends with calls is gone on with by running them."""
    history = [Message.user("Pay."), Message.assistant("Paying.", asks("x1", "pay", to="Bob"))]
    backend = Played([], ["Done."])
    run = mellite.run(backend, history, tools=[pay])
    assert await run == "Done."
    assert ran == ["Bob"]
    assert results_of(backend.requests[0].messages) == [("x1", "paid Bob")]


async def test_execution_none_hands_calls_to_the_caller() -> None:
    """Nothing runs here; the caller gives all results, and gets the next calls."""
    run = run_of(payments(), execution="none")
    await run
    assert (run.stop_reason, ran) == ("pending", [])
    assert [call.id for call in run.pending_calls] == ["c1", "c2"]
    assert run.steps[0].results == (None, None)
    half = run.resume({"c1": "one"})
    await half
    assert [call.id for call in half.pending_calls] == ["c2"]  # what was given is not lost
    assert results_of(half.messages) == [("c1", "one")]
    second = half.resume({"c2": "two"})
    await second
    assert [call.id for call in second.pending_calls] == ["c3"]
    third = second.resume({"c3": "three"})
    assert await third == "All paid."
    assert results_of(third.messages) == [("c1", "one"), ("c2", "two"), ("c3", "three")]
    assert ran == []


async def test_results_one_after_the_other_for_a_history() -> None:
    """Where nothing runs here, the results of a history that was given come as they come, too."""
    history = [Message.user("Pay."), Message.assistant(asks("c1", "pay", to="Eve"), asks("c2", "pay", to="Bob"))]
    backend = Played([], ["All paid."])
    half = mellite.run(backend, history, tools=[pay], execution="none", results={"c2": "two"})
    await half
    assert ([call.id for call in half.pending_calls], backend.requests) == (["c1"], [])
    whole = half.resume({"c1": "one"})
    assert await whole == "All paid."
    assert sorted(results_of(whole.messages)) == [("c1", "one"), ("c2", "two")]
    assert ran == []


@pytest.mark.parametrize("execution", ["local", "none"])
async def test_more_results_than_calls_may_run(execution: Any) -> None:
    """A limit of what is run is none of what was done elsewhere."""
    calls = [asks(f"c{number}", "pay", to="Bob") for number in range(4)]
    run = run_of(Played(calls, ["All paid."]), execution="none", max_calls=2)
    await run
    again = run.fork(1, execution=execution, results={call.id: f"paid {call.id}" for call in calls})
    assert await again == "All paid."
    assert results_of(again.messages) == [(call.id, f"paid {call.id}") for call in calls]


@pytest.mark.parametrize("given", ["by hand", Approval.run()])
async def test_forks_forget_results_of_earlier_calls(given: Any) -> None:
    """What was decided on one call holds for no later one that has its id again."""
    backend = Played([asks("c1", "pay", to="Eve")], [asks("c1", "pay", to="Eve")], ["Done."])
    run = run_of(backend)
    await run
    again = run.resume({"c1": given})
    forked = again.fork(1)  # it is not begun: the call waits still
    await forked
    assert (forked.stop_reason, len(forked.steps)) == ("pending", 2)
    await again
    ran.clear()
    forked = again.fork(2)
    await forked
    assert (forked.stop_reason, len(forked.steps), ran) == ("pending", 2, [])
    assert await again.fork(2, results={"c1": "ok"}) == "Done."
    with pytest.raises(InvalidRequest, match="'C1', and no call with this id waits for one; did you mean 'c1'"):
        again.fork(2, results={"C1": "ok"})


async def test_pending_with_an_output_type() -> None:
    """It has not answered yet: that is said, and the run can be resumed."""
    backend = Played([asks("c1", "pay", to="Eve")], ['{"ok": true}'])
    run = mellite.run(backend, "Pay.", tools=[pay], approve=waits, output=dict)
    with pytest.raises(RunStopped) as caught:
        await run
    assert caught.value.stop_reason == run.stop_reason == "pending"
    assert await run.resume({"c1": "ok"}) == {"ok": True}


async def test_a_refusal_is_for_the_model() -> None:
    """A refused call is an error that the model reads; the run goes on."""
    run = run_of(payments(), approve=lambda call: call.id != "c1")
    assert await run == "All paid."
    assert ran == ["Bob", "Ann"]
    assert "refused" in str(results_of(run.messages)[0][1])


async def test_results_count_for_the_waiting_calls_only() -> None:
    """An id that a later step uses again is another call."""
    backend = Played([asks("c1", "pay", to="Eve")], [asks("c1", "pay", to="Bob")], ["Done."])
    run = run_of(backend)
    await run
    again = run.resume({"c1": "by hand"})
    assert await again == "Done."
    assert results_of(again.messages) == [("c1", "by hand"), ("c1", "paid Bob")]


async def test_a_forced_call_is_forced_once() -> None:
    """A tool choice has had its effect when a run is resumed or forked; one that is given anew holds again."""
    backend = payments()
    run = run_of(backend, tool_choice="required")
    await run
    await run.resume({"c1": "ok"})
    await run.fork(1, tool_choice="none", results={"c1": "ok"})
    await run.fork(1, results={"c1": "ok"})
    chosen = [request.tool_choice and request.tool_choice.type for request in backend.requests]
    assert chosen == ["required", None, None, "none", None, None, None]


async def test_resuming_asks_at_least_once() -> None:
    """Whoever resumes a run wants it to go on: conditions are looked at behind the next step."""
    backend = payments()
    run = run_of(backend, stop_when=stop.steps(1))
    await run
    assert run.stop_reason == "pending"
    again = run.resume({"c1": "ok"})
    await again
    assert (again.stop_reason, len(again.steps), len(backend.requests)) == ("steps", 2, 2)


async def test_what_is_refused() -> None:
    """Results for calls that do not wait are refused, with the nearest id."""
    run = run_of(payments())
    with pytest.raises(InvalidRequest, match="no call of this run waits"):
        run.resume({})
    await run
    with pytest.raises(InvalidRequest, match="'C1', and no call with this id waits for one; did you mean 'c1'"):
        run.resume({"C1": 1})
    with pytest.raises(InvalidRequest, match="the history ends with none"):
        mellite.run(payments(), "Pay.", tools=[pay], results={"c1": 1})
    with pytest.raises(InvalidRequest, match="'results'"):
        run.resume([1])  # type: ignore[arg-type]
    done = run_of(Played(["Yes."]), stop_when=stop.steps(1))
    await done
    with pytest.raises(InvalidRequest, match="it is done"):
        done.resume({})


async def test_one_result_for_two_calls() -> None:
    """Two different calls with one id cannot share a result; the same call, twice, does."""
    pending = [asks("c1", "pay", to="Ann"), asks("c1", "pay", to="Bob")]
    run = mellite.run(Played([*pending], ["Done."]), "Pay.", tools=[pay], execution="none")
    await run
    with pytest.raises(InvalidRequest, match="the id of 2 different calls"):
        run.resume({"c1": "paid"})
    twice = [asks("c1", "pay", to="Ann"), asks("c1", "pay", to="Ann")]
    again = mellite.run(Played([*twice], ["Done."]), "Pay.", tools=[pay], execution="none")
    await again
    assert await again.resume({"c1": "paid"}) == "Done."
