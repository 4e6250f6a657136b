"""Tools in a journal: results are kept, and what must run once runs once, whatever becomes of its process."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest

import mellite
from mellite.errors import InvalidRequest, OutcomeUnknown
from tests.archive.journal.support import ByStep, Counting

pytestmark = pytest.mark.anyio


def asks(*names: str, **arguments: Any) -> list[mellite.ToolCall]:
    """An answer that calls tools, with other ids each time, as providers give them."""
    return [mellite.ToolCall(f"call_{os.urandom(4).hex()}", name, arguments) for name in names]


class Till:
    """Tools that count how often they ran.

    Attributes:
        ran: their names, and what they were called with.
        dies: whether `pay` kills its process when it has paid.
    """

    def __init__(self, *, dies: bool = False) -> None:
        self.ran: list[tuple[str, object]] = []
        self.dies = dies

    @property
    def tools(self) -> list[mellite.Tool[Any, Any]]:
        """The tools."""

        @mellite.tool(once=True)
        def pay(amount: int) -> str:
            self.ran.append(("pay", amount))
            if self.dies:
                os._exit(9)
            return f"paid {amount}"

        @mellite.tool
        async def look(amount: int) -> Mapping[str, int]:
            self.ran.append(("look", amount))
            return {"seen": amount}

        @mellite.tool
        def fail(amount: int) -> str:
            self.ran.append(("fail", amount))
            raise mellite.ToolFailure(f"no {amount}")

        return [pay, look, fail]


def died(directory: Path) -> None:
    """Leave a journal whose process died when it had paid."""
    child = os.fork()
    if not child:
        with mellite.journal(directory):
            mellite.run(ByStep(asks("look", "pay", amount=5), "done"), "Pay.", tools=Till(dies=True).tools).result()
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def program(directory: Path) -> tuple[mellite.Run[str], Till, mellite.Journal]:
    """The program that had died, started again."""
    till = Till()
    with mellite.journal(directory) as journal:
        run = mellite.run(ByStep(asks("look", "pay", amount=5), "done"), "Pay.", tools=till.tools)
        run.result()
    return run, till, journal


async def test_results_are_kept(tmp_path: Path) -> None:
    """Those of tools that failed, too; the model's ids may be others, and the values are there again."""
    seen = []
    for attempt in range(2):
        till = Till()
        backend = ByStep(asks("look", "pay", "fail", amount=5), asks("look", "look", amount=6), "done")
        async with mellite.journal(tmp_path) as journal:
            run = mellite.run(backend, "Go.", tools=till.tools)
            assert await run == "done"
        seen.append(([step.values for step in run.steps], [[r and r.result for r in s.results] for s in run.steps]))
        assert len(till.ran) == (0 if attempt else 5)
        assert (journal.replayed, journal.live) == ((8, 0) if attempt else (0, 8))
    assert seen[0] == seen[1]
    assert seen[0][0] == [({"seen": 5}, "paid 5", None), ({"seen": 6}, {"seen": 6}), ()]


async def test_the_same_step_of_another_run_is_another_call(tmp_path: Path) -> None:
    till = Till()
    async with mellite.journal(tmp_path):
        for _ in range(2):
            backend = ByStep(asks("pay", amount=5), "done")
            await mellite.run(backend, "Go.", tools=till.tools)
    assert till.ran == [("pay", 5), ("pay", 5)]


async def test_a_run_in_a_tool_knows_its_parent(tmp_path: Path) -> None:
    @mellite.tool
    async def delegate(task: str) -> str:
        return await mellite.run(ByStep("inner answer"), task)

    async with mellite.journal(tmp_path) as journal:
        await mellite.run(ByStep(asks("delegate", task="x"), "done"), "Go.", tools=[delegate])
    outer, tool, inner, last = sorted(journal.calls, key=lambda call: call.number)
    assert (outer.run, outer.step, tool.run, tool.step, last.step) == (outer.run, 1, outer.run, 1, 2)
    assert inner.run not in ("", outer.run)


def test_what_may_have_run_is_not_run_again(tmp_path: Path) -> None:
    """The run ends with the call among its pending ones, as often as it is started, and the journal names it."""
    died(tmp_path)
    run, till, journal = program(tmp_path)
    assert run.stop_reason == "pending"
    assert [call.name for call in run.pending_calls] == ["pay"]
    assert till.ran == []
    (interrupted,) = journal.interrupted
    assert (interrupted.tool, interrupted.arguments) == ("pay", {"amount": 5})
    assert interrupted.call_id in [call.number for call in journal.calls]
    again, till, _ = program(tmp_path)
    assert (again.stop_reason, till.ran) == ("pending", [])


def test_it_is_resolved_with_a_result(tmp_path: Path) -> None:
    """The run goes on with what somebody found out; only such a call can be resolved."""
    died(tmp_path)
    with mellite.journal(tmp_path) as journal:
        with pytest.raises(InvalidRequest, match="there is no call 77"):
            journal.resolve(77, "x")
        with pytest.raises(InvalidRequest, match="waits for no decision"):
            journal.resolve(1, "x")
        journal.resolve(journal.interrupted[0].call_id, "it was paid")
        assert journal.interrupted == ()
    run, till, _ = program(tmp_path)
    assert (run.value, till.ran) == ("done", [])
    assert run.steps[0].values == ({"seen": 5}, "it was paid")


def test_it_is_resolved_by_the_run_that_goes_on(tmp_path: Path) -> None:
    """`Run.resume` takes a result; a call that is left out there is decided on once more, and still not run again."""
    died(tmp_path)
    till = Till()
    for attempt in range(2):
        with mellite.journal(tmp_path) as journal:
            run = mellite.run(ByStep(asks("look", "pay", amount=5), "done"), "Pay.", tools=till.tools)
            run.result()
            if not attempt:
                left = run.resume({})
                left.result()
                assert left.stop_reason == "pending"
                resumed = run.resume({run.pending_calls[0].id: "seen on the account"})
                assert resumed.result() == "done"
                assert journal.interrupted == ()
    assert (run.value, run.steps[0].values) == ("done", ({"seen": 5}, "seen on the account"))
    assert till.ran == []


async def test_a_run_that_was_cancelled_in_a_tool_leaves_it_open(tmp_path: Path) -> None:
    """Nobody knows how far the tool had come."""
    ran: list[int] = []

    @mellite.tool(once=True)
    async def slow(amount: int) -> str:
        ran.append(amount)
        scope.cancel()
        await anyio.sleep(30)
        return "never"

    for _ in range(2):
        async with mellite.journal(tmp_path) as journal:
            run = mellite.run(ByStep(asks("slow", amount=1), "done"), "Go.", tools=[slow])
            with anyio.CancelScope() as scope:
                await run
            await run.settle()
            assert len(journal.interrupted) == 1
    assert (run.stop_reason, ran) == ("pending", [1])


async def test_approvals_are_not_asked_again_and_leave_no_intent(tmp_path: Path) -> None:
    """While somebody thinks about a call, nothing has begun: what dies then is asked again."""
    asked: list[str] = []
    decisions: list[Any] = [mellite.Approval.defer(), mellite.Approval.run(), mellite.Approval.refuse("never")]
    for attempt in range(3):
        till = Till()

        async def approve(call: mellite.ToolCall) -> Any:
            asked.append(call.name)
            return decisions[len(asked) - 1]

        backend = ByStep(asks("pay", amount=5), "done")
        async with mellite.journal(tmp_path) as journal:
            run = mellite.run(backend, "Go.", tools=till.tools, approve=approve)
            await run
            assert run.stop_reason == ("answered" if attempt else "pending")
            assert (journal.interrupted, till.ran) == ((), [("pay", 5)] if attempt == 1 else [])
    assert asked == ["pay", "pay"]


async def test_functions_that_run_once(tmp_path: Path) -> None:
    """Outside a run, `OutcomeUnknown` says that nobody knows; the decision holds from then on."""
    directory = tmp_path / "run"

    @mellite.recorded(once=True, name="charge")
    def charge(amount: int) -> str:
        if amount == 5:
            raise SystemError("in the middle")
        return f"charged {amount}"

    with mellite.journal(directory), pytest.raises(SystemError):
        charge(5)
    with mellite.journal(directory) as journal:
        with pytest.raises(OutcomeUnknown, match="mellite journal resolve") as caught:
            charge(5)
        assert (caught.value.tool, caught.value.arguments) == ("charge", {"amount": 5})
        assert caught.value.call_id is not None
        journal.resolve(caught.value.call_id, "seen")
        assert charge(6) == "charged 6"
    with mellite.journal(directory):
        assert (charge(5), charge(6)) == ("seen", "charged 6")


def test_the_intent_is_on_the_disk_before(tmp_path: Path) -> None:
    """Whatever the durability is, and with it the answer that holds the call."""
    till = Till()
    seen: list[Any] = []

    @mellite.tool(once=True)
    def peek(amount: int) -> str:
        lines = (tmp_path / "records").read_bytes().split(b"\n")
        seen.extend([json.loads(line.split(b" ", 3)[3]) for line in lines if line])
        return f"saw {amount}"

    with mellite.journal(tmp_path, durability="end"):
        mellite.run(ByStep(asks("peek", amount=1), "done"), "Go.", tools=[peek]).result()
    assert [line["kind"] for line in seen if line["kind"] in ("begun", "settled")] == ["begun", "settled", "begun"]
    assert (seen[-1]["name"], seen[-1]["once"]) == ("peek", True)
    assert till.ran == []


async def test_without_a_journal_nothing_changes(tmp_path: Path) -> None:
    """What is driven outside of the block is neither kept nor held up."""
    till = Till()
    async with mellite.journal(tmp_path):
        thunk = Counting().generate("x")
    assert await thunk == "X 1"
    run = mellite.run(ByStep(asks("pay", amount=5), "done"), "Go.", tools=till.tools)
    assert (await run, till.ran) == ("done", [("pay", 5)])


async def test_calls_that_were_refused_are_counted(tmp_path: Path) -> None:
    """A call of no tool, or with arguments that do not fit, counts as one that ran, made and given again."""
    till, counts = Till(), []
    for _ in range(2):
        with mellite.journal(tmp_path / "run") as journal:
            answers = ByStep(asks("nothing", amount=1), asks("look", amount="many"), asks("look", amount=1), "done")
            assert await mellite.run(answers, "Look.", tools=till.tools) == "done"
        counts.append((journal.live, journal.replayed))
    assert counts == [(7, 0), (0, 7)]
    assert till.ran == [("look", 1)]
