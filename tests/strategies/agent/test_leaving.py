"""Leaving and cancelling a run: in a step, in a tool, by dropping it; nothing outlives it."""

from __future__ import annotations

import gc
import weakref
from collections.abc import AsyncIterator
from typing import Any

import anyio
import anyio.lowlevel
import pytest

import mellite
from mellite import Run
from mellite.errors import GenerationCancelled
from tests.strategies.agent.played import Played, add, asks
from tests.thunk.support import Gate, blocked, live_tasks

pytestmark = pytest.mark.anyio


def gated() -> tuple[Played, Gate]:
    """A backend with one round of calls, which stops before each event."""
    gate = Gate()
    return Played(["One. ", asks("c1", a=1, b=2)], ["Two. ", "Three."], gate=gate), gate


def run_of(backend: Any, **options: Any) -> Run[str]:
    """A run with a tool."""
    return mellite.run(backend, "Go.", tools=[add], **options)


SECOND_STEP = 9
"""The index of the event before which the second step stands with its first text told."""


async def in_second_step(backend: Played, gate: Gate, group: Any, run: Run[str]) -> None:
    """Let a run go on into its second step."""
    group.start_soon(run.settle)
    gate.allow(SECOND_STEP)
    await gate.reached(SECOND_STEP)
    await blocked()


async def test_cancelled_in_a_step() -> None:
    """The step in flight is cancelled, and its stream closed, before the run has settled; earlier steps stay."""
    backend, gate = gated()
    run = run_of(backend)
    async with anyio.create_task_group() as group:
        await in_second_step(backend, gate, group, run)
        await run.cancel("enough")
        assert backend.open == 0
    assert (run.state, run.stop_reason, run.partial) == ("cancelled", "cancelled", "Two. ")
    with pytest.raises(GenerationCancelled, match="enough"):
        await run
    assert (len(run.steps), len(run.thunks), len(run.messages)) == (1, 2, 3)
    assert (run.thunks[0].state, run.thunks[1].state) == ("done", "cancelled")
    assert run.thunks[1].partial == "Two. "


class Lingers(mellite.Backend):
    """A backend that takes its time to close."""

    closed = False

    async def stream(self, request: mellite.Request) -> AsyncIterator[Any]:
        """Wait, and close slowly."""
        try:
            yield mellite.events.TextDelta("x")
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                for _ in range(20):
                    await anyio.lowlevel.checkpoint()
            self.closed = True


async def test_the_stream_is_closed_before_the_run_has_settled() -> None:
    """However long that takes."""
    backend = Lingers()
    run = run_of(backend)
    deltas = aiter(run)
    assert await anext(deltas) == "x"
    await run.cancel()
    assert backend.closed


async def test_the_last_consumer_leaves() -> None:
    """A consumer that is cancelled leaves the others untouched; with the last one, the step is cancelled."""
    backend, gate = gated()
    run = run_of(backend)
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:
            await in_second_step(backend, gate, group, run)
            with anyio.move_on_after(0):
                await run
            assert run.state == "running"
            scope.cancel()
    assert run.state == "cancelled"
    assert run.thunks[1].state == "cancelled"
    assert backend.open == 0


async def test_a_step_that_others_wait_for_goes_on() -> None:
    """Steps count their own consumers: the run goes, the step stays."""
    backend, gate = gated()
    run = run_of(backend)
    async with anyio.create_task_group() as group:
        await in_second_step(backend, gate, group, run)
        step = run.thunks[1]
        group.start_soon(step.settle)
        await blocked()
        await run.cancel()
        assert (run.state, step.state) == ("cancelled", "running")
        gate.allow(20)
    assert step.value == "Two. Three."


async def test_dropped() -> None:
    """A running run that nobody refers to closes its stream, without a cycle to wait for."""
    backend, gate = gated()
    run = run_of(backend)
    deltas = aiter(run)
    gate.allow(SECOND_STEP)
    assert [await anext(deltas), await anext(deltas)] == ["One. ", "Two. "]
    dead = weakref.ref(run)
    before = live_tasks()
    gc.disable()
    try:
        del run, deltas
        assert dead() is None
        await blocked()
    finally:
        gc.enable()
    assert backend.open == 0
    assert len(live_tasks()) <= len(before)


async def test_a_break_pauses() -> None:
    """A loop that is left with the run kept loses nothing: it goes on later."""
    backend, gate = gated()
    gate.allow(100)
    run = run_of(backend)
    async for delta in run:
        assert delta == "One. "
        break
    await blocked()
    assert await run == "Two. Three."


async def test_async_with() -> None:
    """The run is cancelled at the end of its block."""
    backend, gate = gated()
    gate.allow(SECOND_STEP)
    async with run_of(backend) as run:
        deltas = aiter(run)
        assert await anext(deltas) == "One. "
    assert run.cancelled
    assert backend.open == 0


async def test_cancelled_in_a_tool() -> None:
    """Tools are cancelled and waited for."""
    begun = anyio.Event()
    ended: list[str] = []

    @mellite.tool
    async def wait(who: str) -> None:
        """Wait for ever."""
        begun.set()
        try:
            await anyio.sleep_forever()
        finally:
            ended.append(who)

    backend = Played([asks("c1", "wait", who="a"), asks("c2", "wait", who="b")], ["never"])
    run = mellite.run(backend, "Go.", tools=[wait])
    async with anyio.create_task_group() as group:
        group.start_soon(run.settle)
        await begun.wait()
        await blocked()
        await run.cancel()
        assert sorted(ended) == ["a", "b"]
    assert (run.stop_reason, len(run.steps), len(run.thunks)) == ("cancelled", 0, 1)
    assert run.messages == run.call.request.messages


@pytest.mark.parametrize("beside", [0, 1])
async def test_a_tool_that_takes_no_cancellation(beside: int) -> None:
    """It does not hold the run for ever, and nothing is asked after it."""
    begun = anyio.Event()

    async def stubborn() -> str:
        """Catch everything, as tools may."""
        begun.set()
        try:
            await anyio.sleep_forever()
        except BaseException:
            return "caught"

    backend = Played([asks(str(number), "stubborn") for number in range(1 + beside)], ["Done."])
    run = mellite.run(backend, "q", tools=[stubborn])
    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(run.settle)
            await begun.wait()
            await run.cancel("enough")
    assert (run.state, run.stop_reason, len(backend.requests)) == ("cancelled", "cancelled", 1)


async def test_a_tool_may_cancel_its_run() -> None:
    """From inside, cancelling asks and does not wait."""

    @mellite.tool
    async def quit() -> str:
        """Quit."""
        await run.cancel("a tool said so")
        await anyio.sleep_forever()
        return "never"

    run: Run[str] = mellite.run(Played([asks("c1", "quit")], ["never"]), "Go.", tools=[quit])
    await run.settle()
    assert run.cancelled
    assert run.stop_reason == "cancelled"


async def test_a_step_cancelled_by_hand_fails_the_run() -> None:
    """Somebody took the step away: the run has no answer, and says why."""
    backend, gate = gated()
    run = run_of(backend)
    async with anyio.create_task_group() as group:
        await in_second_step(backend, gate, group, run)
        await run.thunks[1].cancel("not this one")
    with pytest.raises(GenerationCancelled, match="not this one"):
        await run
    assert (run.state, len(run.steps)) == ("failed", 1)


async def test_runs_in_tools() -> None:
    """A tool that gives a run, or awaits one, is a part of the outer run: cancelling goes all the way down."""
    inner_backend, gate = gated()

    @mellite.tool
    async def deeper() -> str:
        """Ask somebody else."""
        return await run_of(inner_backend)

    outer = mellite.run(Played([asks("c1", "deeper")], ["Done."]), "Go.", tools=[deeper])
    async with anyio.create_task_group() as group:
        group.start_soon(outer.settle)
        gate.allow(SECOND_STEP)
        await gate.reached(SECOND_STEP)
        await blocked()
        await outer.cancel()
        assert inner_backend.open == 0
    assert outer.cancelled


class Stalls(mellite.Backend):
    """Waits until the loop ends."""

    async def stream(self, request: mellite.Request) -> AsyncIterator[Any]:
        """Wait."""
        yield mellite.events.TextDelta("x")
        await anyio.sleep_forever()


def test_the_loop_ends() -> None:
    """A run whose loop is over is settled as cancelled, with its text."""
    run = run_of(Stalls())

    async def main() -> None:
        deltas = aiter(run)
        assert await anext(deltas) == "x"

    anyio.run(main)
    assert (run.state, run.partial, run.stop_reason) == ("cancelled", "x", "cancelled")
