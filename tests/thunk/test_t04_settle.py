"""T4, settle: it gives the thunk itself and never raises for how the generation ended; ``gather`` does so for many."""

from __future__ import annotations

import inspect

import anyio
import pytest

import mellite
from mellite.backends.fake import Constant
from mellite.errors import ConnectionLost, GenerationCancelled
from tests.thunk.support import Consumer, Gate, Source, blocked

pytestmark = pytest.mark.anyio


async def test_gives_the_thunk_when_done():
    """`settle()` of a good generation gives the thunk, whose value is in place."""
    thunk = mellite.generate(Source(), "hi")
    assert await thunk.settle() is thunk
    assert (thunk.state, thunk.value) == ("done", "one two three")


@pytest.mark.parametrize("error", [ConnectionLost("gone"), ValueError("odd")])
async def test_gives_the_thunk_when_failed(error):
    """`settle()` of a failed generation gives the thunk, with its error, and raises nothing."""
    thunk = mellite.generate(Source(["half"], error=error), "hi")
    assert await thunk.settle() is thunk
    assert thunk.state == "failed"
    assert thunk.error is error or thunk.error.__cause__ is error
    assert thunk.cancelled is False
    assert await thunk.settle() is thunk


async def test_gives_the_thunk_when_cancelled():
    """`settle()` of a cancelled generation gives the thunk, and raises nothing."""
    thunk = mellite.generate(Source(), "hi")
    await thunk.cancel_generation()
    assert await thunk.settle() is thunk
    assert (thunk.state, thunk.cancelled, thunk.error) == ("cancelled", True, None)


async def test_who_waits_when_it_is_cancelled():
    """A pending `settle()` ends normally when somebody cancels the generation."""
    gate = Gate()
    thunk = mellite.generate(Source(gate=gate), "hi")
    async with anyio.create_task_group() as group:
        consumer = Consumer(group, thunk.settle)
        await gate.reached(0)
        await thunk.cancel_generation()
    assert consumer.value is thunk
    assert consumer.error is None


async def test_answer_that_does_not_fit_the_output():
    """`settle()` does not raise for an answer that cannot be parsed."""
    thunk = await mellite.generate(Constant("x"), "hi", output=int).settle()
    assert thunk.state == "failed"


def test_is_an_async_def():
    """`settle` and `avalue` are coroutine functions, so that `create_task` and `asyncio.run` take what they give."""
    thunk = mellite.generate(Source(), "hi")
    for function in (thunk.settle, thunk.avalue, thunk.cancel_generation):
        assert inspect.iscoroutinefunction(function)


async def test_settle_drives():
    """`settle()` starts a pending generation."""
    source = Source()
    await mellite.generate(source, "hi").settle()
    assert source.calls == 1


async def test_gather_keeps_the_order():
    """`gather` gives the thunks themselves, in the order given, whichever is ready first."""
    gates = [Gate() for _ in range(3)]
    thunks = [mellite.generate(Source([str(n)], gate=gate), "hi") for n, gate in enumerate(gates)]
    async with anyio.create_task_group() as group:
        consumer = Consumer(group, lambda: mellite.gather(*thunks))
        for gate in reversed(gates):
            await gate.reached(0)
            gate.allow(5)
            await blocked()
    assert isinstance(consumer.value, list)
    assert [a is b for a, b in zip(consumer.value, thunks, strict=True)] == [True] * 3
    assert [thunk.value for thunk in consumer.value] == ["0", "1", "2"]


async def test_gather_never_raises():
    """A failed and a cancelled generation leave the others alone; the loop of the contract is all a caller needs."""
    cancelled = mellite.generate(Source(), "hi")
    await cancelled.cancel_generation()
    failing = mellite.generate(Source(["half"], error=ConnectionLost("gone")), "hi")
    thunks = [mellite.generate(Source(["a"]), "hi"), failing, cancelled, mellite.generate(Source(["b"]), "hi")]
    seen = []
    for r in await mellite.gather(*thunks):
        if r.error is not None:
            seen.append(r.error)
        elif r.cancelled:
            seen.append("cancelled")
        else:
            seen.append(r.value)
    assert seen == ["a", failing.error, "cancelled", "b"]


async def test_gather_runs_all_at_once():
    """`gather` starts all before it waits for any."""
    arrived, everybody = [], anyio.Event()

    class Meeting(Source):
        async def stream(self, request):
            arrived.append(request.text)
            if len(arrived) == 10:
                everybody.set()
            await everybody.wait()
            async for event in super().stream(request):
                yield event

    source = Meeting()
    results = await mellite.gather(*[mellite.generate(source, str(n)) for n in range(10)])
    assert [thunk.state for thunk in results] == ["done"] * 10


async def test_gather_of_nothing():
    """`gather()` of nothing is an empty list."""
    assert await mellite.gather() == []


async def test_gather_of_one_twice():
    """The same thunk given twice is generated once and given back twice."""
    source = Source()
    thunk = mellite.generate(source, "hi")
    assert await mellite.gather(thunk, thunk) == [thunk, thunk]
    assert source.calls == 1


async def test_gather_takes_settled_and_running_thunks():
    """`gather` takes thunks in any state."""
    gate = Gate()
    done, running = mellite.generate(Source(["a"]), "hi"), mellite.generate(Source(["b"], gate=gate), "hi")
    await done
    async with anyio.create_task_group() as group:
        Consumer(group, running.avalue)
        await gate.reached(0)
        consumer = Consumer(group, lambda: mellite.gather(done, running, mellite.generate(Source(["c"]), "hi")))
        gate.allow(5)
    assert [thunk.value for thunk in consumer.value] == ["a", "b", "c"]


async def test_gather_that_is_cancelled():
    """A cancelled `gather` cancels what nobody else waits for, and keeps what is settled."""
    gates = [Gate(), Gate()]
    done, alone = mellite.generate(Source(["a"]), "hi"), mellite.generate(Source(["b"], gate=gates[0]), "hi")
    wanted = mellite.generate(Source(["c"], gate=gates[1]), "hi")
    async with anyio.create_task_group() as group:
        other = Consumer(group, wanted.avalue)
        consumer = Consumer(group, lambda: mellite.gather(done, alone, wanted))
        for gate in gates:
            await gate.reached(0)
        await blocked()
        consumer.cancel()
        await consumer.over()
        await blocked()
        assert consumer.was_cancelled
        assert (done.state, alone.state, wanted.state) == ("done", "cancelled", "running")
        gates[1].allow(5)
    assert other.value == "c"


async def test_own_cancellation_is_not_swallowed():
    """`settle()` does raise the cancellation of the task that waits: that is not an outcome of the generation."""
    gate = Gate()
    thunk = mellite.generate(Source(gate=gate), "hi")
    async with anyio.create_task_group() as group:
        consumer = Consumer(group, thunk.settle)
        await gate.reached(0)
        consumer.cancel()
    assert consumer.was_cancelled
    assert consumer.value is None


def test_error_and_cancelled_together_are_never_set():
    """For the loop of the contract: at most one of `error` and `cancelled` is set by one generation."""
    thunk = mellite.generate(Source(["a"], error=GenerationCancelled("from the backend")), "hi")
    with pytest.raises(GenerationCancelled):
        thunk.result()
    assert (thunk.error is not None) != thunk.cancelled
