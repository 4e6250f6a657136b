"""A run that waits for a later step over HTTP: its own task has ended, and begins again with the answer, or not."""

from __future__ import annotations

import gc
import weakref
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import pytest
import sniffio

import mellite
from mellite import Run
from mellite.errors import GenerationCancelled
from mellite.events import Finish, StepFinish, StepStart, ToolResultEvent
from tests.benchmarks.server import running, text
from tests.thunk.support import blocked, live_tasks

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


class Asked:
    """A run whose tool says when it was called."""

    def __init__(self, backend: mellite.Backend, model: str, **options: Any) -> None:
        self.called = called = anyio.Event()

        async def look(at: str) -> str:
            called.set()  # it does not know the run, which could not be dropped then
            return f"It is {at}."

        self.run: Run[Any] = mellite.run(backend, "What is it?", tools=[look], model=model, stream=False, **options)

    async def second_step(self) -> Run[Any]:
        """Wait until the second step is on its way, and return the run."""
        with anyio.fail_after(10):
            await self.called.wait()
            await blocked()
        return self.run


async def test_no_task_while_it_waits(backend: mellite.Backend) -> None:
    """While a later step is on its way, the run needs no task, and its events come all the same."""
    one = backend.generate("What is it?", model="slow-300", stream=False)
    asked = Asked(backend, "tool-slow-300")
    async with anyio.create_task_group() as group:
        group.start_soon(one.settle)
        await blocked()
        alone = len(live_tasks())
    async with anyio.create_task_group() as group:
        group.start_soon(asked.run.settle)
        run = await asked.second_step()
        own = 0 if sniffio.current_async_library() == "asyncio" else 1  # on trio, a step is a task that its run reads
        assert (len(live_tasks()), run.state, run.steps[0].values) == (alone + own, "running", ("It is the fox.",))
        kinds = [type(event) async for event in run.events()]
    assert (run.value, run.stop_reason, len(run.steps)) == (text(40), "answered", 2)
    marks = [kind for kind in kinds if kind in (StepStart, StepFinish, ToolResultEvent, Finish)]
    assert marks == [StepStart, StepFinish, ToolResultEvent, StepStart, StepFinish, Finish]


async def test_cancelled_meanwhile(backend: mellite.Backend) -> None:
    """A run that is cancelled, or given up, cancels its later step, and keeps those before; a copy of it runs."""
    asked = Asked(backend, "tool-slow-20000")
    async with anyio.create_task_group() as group:
        group.start_soon(asked.run.settle)
        run = await asked.second_step()
        await run.cancel("enough")
    with pytest.raises(GenerationCancelled, match="enough"):
        await run
    assert ([thunk.state for thunk in run.thunks], len(run.steps)) == (["done", "cancelled"], 1)
    other = Asked(backend, "tool-slow-20000")
    async with anyio.create_task_group() as group:
        group.start_soon(other.run.settle)
        given_up = await other.second_step()
        group.cancel_scope.cancel()
    assert (given_up.state, given_up.thunks[1].state) == ("cancelled", "cancelled")
    (copy,) = given_up.resample(1, model="tool")
    assert await copy == text(40)


async def test_dropped_meanwhile(backend: mellite.Backend) -> None:
    """A run that nobody has any more leaves its later step, which is cancelled."""
    asked = Asked(backend, "tool-slow-20000")
    reader = asked.run.events()
    while type(await anext(reader)) is not ToolResultEvent:
        pass
    step = (await asked.second_step()).thunks[1]
    del asked, reader
    gc.collect()
    await blocked()
    assert step.cancelled


async def test_later_step_that_others_wait_for(backend: mellite.Backend) -> None:
    """A step that somebody else awaits goes on when its run is cancelled."""
    asked = Asked(backend, "tool-slow-300")
    async with anyio.create_task_group() as group:
        group.start_soon(asked.run.settle)
        run = await asked.second_step()
        group.start_soon(run.thunks[1].settle)
        await blocked()
        await run.cancel()
    assert (run.state, run.thunks[1].value) == ("cancelled", text(40))


async def test_tool_that_cancels_its_run(backend: mellite.Backend) -> None:
    """Where a tool stops its own run, and does not wait, no more is said to the model, or nobody hears the answer."""
    runs: list[Run[Any]] = []

    async def stop(at: str) -> str:
        runs[0].cancel(f"not {at}")
        return "stopped"

    tool = mellite.tool(stop, name="look")
    runs.append(mellite.run(backend, "What is it?", tools=[tool], model="tool-slow-20000", stream=False))
    with anyio.fail_after(10), pytest.raises(GenerationCancelled, match="not the fox"):
        await runs[0]
    assert [thunk.state for thunk in runs[0].thunks] in (["done"], ["done", "cancelled"])


async def test_calls_after_calls(backend: mellite.Backend) -> None:
    """A later step that asks for a tool again is gone on with, in a task of its own."""
    run = Asked(backend, "tool-call", stop_when=mellite.stop.steps(4) | mellite.stop.repeats(9)).run
    kinds = [type(event) async for event in run.events()]
    assert (run.stop_reason, len(run.steps), kinds.count(StepStart)) == ("steps", 4, 4)
    assert [kind for kind in kinds if kind in (StepStart, StepFinish, ToolResultEvent)] == [
        StepStart,
        StepFinish,
        ToolResultEvent,
    ] * 4


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_no_work_for_the_collector(backend: mellite.Backend, stream: bool) -> None:
    """A run that is over and dropped is freed at once: it is in no cycle, which the collector would have to find."""

    async def look(at: str) -> str:
        return f"It is {at}."

    async def one() -> list[weakref.ref[Any]]:
        run = mellite.run(backend, "What is it?", tools=[look], model="tool", stream=stream)
        await run
        return [weakref.ref(run), *map(weakref.ref, run.thunks)]

    await one()  # what is made once is made
    await blocked()
    gc.collect()
    gc.disable()
    try:
        left = await one()
        await blocked()
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        found = [each for each in gc.garbage if type(each).__module__.startswith("mellite")]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert (found, [each() for each in left]) == ([], [None] * 3)
