"""A run whose first step is asked at once, over HTTP, and whose own task begins with the answer, or not at all."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import anyio.lowlevel
import pytest

import mellite
from mellite import Run
from mellite.errors import GenerationCancelled, RunStopped, TransportError
from mellite.events import Finish, StepFinish, StepStart, ToolResultEvent
from tests.benchmarks.server import running, text
from tests.thunk.support import blocked

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def base() -> Iterator[str]:
    """A server that answers as the model says."""
    with running() as url:
        yield url


@pytest.fixture
async def backend(base: str) -> AsyncIterator[mellite.Backend]:
    """It, as a backend, which has connected: what is asked then is sent at once."""
    async with mellite.backend("openai-chat:m", base_url=base, api_key="x") as made:
        await made.generate("Hi.", model="unary", stream=False)
        yield made


@mellite.tool
async def look(at: str) -> str:
    """Look at something."""
    return f"It is {at}."


def asked(backend: mellite.Backend, model: str, **options: Any) -> Run[Any]:
    """A run with a tool."""
    return mellite.run(backend, "What is it?", tools=[look], model=model, stream=False, **options)


async def test_events_are_in_order(backend: mellite.Backend) -> None:
    """Each step begins before its events, whoever waits: the events while it runs are those of one that was awaited."""
    run = asked(backend, "tool")
    kinds = [type(event) async for event in run.events()]
    assert (run.value, run.stop_reason, len(run.steps)) == (text(40), "answered", 2)
    marks = [kind for kind in kinds if kind in (StepStart, StepFinish, ToolResultEvent, Finish)]
    assert marks == [StepStart, StepFinish, ToolResultEvent, StepStart, StepFinish, Finish]
    again = asked(backend, "tool")
    assert await again == text(40)
    assert [type(event) async for event in again.events()] == kinds


async def test_one_text(backend: mellite.Backend) -> None:
    """A run that is one text has its step, and its events are those of any run."""
    run = asked(backend, "unary")
    assert await run == text(40)
    assert (run.stop_reason, len(run.steps), run.steps[0].thunk.value) == ("answered", 1, text(40))
    kinds = [type(event) async for event in run.events()]
    assert (kinds[0], kinds[-2:]) == (StepStart, [StepFinish, Finish])


async def test_text_of_another_type(backend: mellite.Backend) -> None:
    """What is to be read as another type is, also where that fails."""
    run = asked(backend, "unary", output=dict[str, int], output_mode="text")
    await run.settle()
    assert run.state == "failed"
    assert not isinstance(run.error, RunStopped)


async def is_running(run: Run[Any]) -> None:
    """Wait until its first step is being generated."""
    with anyio.fail_after(10):
        while [thunk.state for thunk in run.thunks] != ["running"]:
            await anyio.lowlevel.checkpoint()


async def test_cancelled_on_its_way(backend: mellite.Backend) -> None:
    """A run that is cancelled, or given up, before there is an answer cancels its step; a copy of it runs."""
    run = asked(backend, "slow-20000")
    async with anyio.create_task_group() as group:
        group.start_soon(run.avalue)
        await is_running(run)
        group.cancel_scope.cancel()
    assert (run.state, run.stop_reason) == ("cancelled", "cancelled")
    assert [thunk.state for thunk in run.thunks] == ["cancelled"]
    other = asked(backend, "slow-20000")
    async with anyio.create_task_group() as group:
        group.start_soon(other.settle)
        await is_running(other)
        assert other.state == "running"
        await other.cancel("enough")
    with pytest.raises(GenerationCancelled, match="enough"):
        await other
    assert [thunk.state for thunk in other.thunks] == ["cancelled"]
    (copy,) = other.resample(1, model="unary")
    assert await copy == text(40)


async def test_dropped_on_its_way(backend: mellite.Backend) -> None:
    """A run that nobody has any more leaves its step, which is cancelled."""
    run = asked(backend, "slow-20000")
    reader = run.events()
    with anyio.move_on_after(0.05):
        await anext(reader)
    (step,) = run.thunks
    del run, reader
    gc.collect()
    await blocked()
    assert step.cancelled


async def test_step_that_others_wait_for(backend: mellite.Backend) -> None:
    """A step that somebody else awaits goes on when its run is cancelled."""
    run = asked(backend, "slow-200")
    async with anyio.create_task_group() as group:
        group.start_soon(run.settle)
        await is_running(run)
        group.start_soon(run.thunks[0].settle)
        await blocked()
        await run.cancel()
    assert (run.state, run.thunks[0].value) == ("cancelled", text(40))


async def test_failing() -> None:
    """A first step that fails, fails the run, whose events say that it had begun."""
    async with mellite.backend("openai-chat:m", base_url="http://127.0.0.1:9", api_key="x") as nowhere:
        run = asked(nowhere, "unary")
        reader = run.events()
        assert type(await anext(reader)) is StepStart
        with pytest.raises(TransportError):
            await anext(reader)
    assert [thunk.error for thunk in run.thunks] == [run.error]
