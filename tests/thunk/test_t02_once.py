"""T2, once: any number of consumers, concurrent or later, cause at most one call of ``backend.stream``."""

from __future__ import annotations

import asyncio
import threading

import anyio
import pytest

import mellite
from mellite.errors import ConnectionLost, GenerationCancelled
from tests.thunk.support import Consumer, Gate, Source, blocked, caught, collect, collected_then

KINDS = {
    "await": lambda thunk: thunk.avalue(),
    "settle": lambda thunk: thunk.settle(),
    "gather": lambda thunk: mellite.gather(thunk, thunk),
    "iterate": collect,
    "events": lambda thunk: collect(thunk.events()),
    "astream": lambda thunk: collect(thunk.astream()),
    "part of a prompt": lambda thunk: mellite.generate(Source(), ["say ", thunk]).avalue(),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.anyio
async def test_many_concurrent_consumers(kind):
    """Twenty consumers at once, of one kind, make one call."""
    source = Source()
    thunk = mellite.generate(source, "hi")
    async with anyio.create_task_group() as group:
        consumers = [Consumer(group, lambda: KINDS[kind](thunk)) for _ in range(20)]
    assert source.calls == 1
    assert [consumer.error for consumer in consumers] == [None] * 20
    assert source.ends == ["exhausted"]


@pytest.mark.anyio
async def test_a_hundred_awaiters_get_the_same_value():
    """A hundred awaiters make one call and get the very same value."""
    gate = Gate()
    source = Source(gate=gate)
    thunk = mellite.generate(source, "hi")
    async with anyio.create_task_group() as group:
        consumers = [Consumer(group, thunk.avalue) for _ in range(100)]
        await blocked()
        assert source.calls == 1
        gate.allow(10)
    assert source.calls == 1
    assert {id(consumer.value) for consumer in consumers} == {id(consumers[0].value)}
    assert consumers[0].value == source.text


@pytest.mark.anyio
async def test_all_kinds_at_once():
    """Consumers of every kind, at the same time and joining in the middle, make one call."""
    gate = Gate()
    source = Source(gate=gate)
    thunk = mellite.generate(source, "hi")
    async with anyio.create_task_group() as group:
        consumers = [Consumer(group, lambda kind=kind: kind(thunk)) for kind in KINDS.values()]
        await gate.reached(0)
        gate.allow(2)
        await gate.reached(2)
        consumers += [Consumer(group, lambda kind=kind: kind(thunk)) for kind in KINDS.values()]
        await blocked()
        gate.allow(10)
    assert source.calls == 1
    assert [consumer.error for consumer in consumers] == [None] * (2 * len(KINDS))


@pytest.mark.parametrize("first", KINDS)
@pytest.mark.parametrize("second", KINDS)
@pytest.mark.anyio
async def test_later_consumers(first, second):
    """A consumer that comes when all is over makes no second call."""
    source = Source()
    thunk = mellite.generate(source, "hi")
    await KINDS[first](thunk)
    await KINDS[second](thunk)
    await KINDS[second](thunk)
    assert source.calls == 1


@pytest.mark.anyio
async def test_a_failure_is_not_tried_again():
    """A failed generation is not started again by later consumers."""
    source = Source(["a"], error=ConnectionLost("gone"))
    thunk = mellite.generate(source, "hi")
    for _ in range(3):
        assert isinstance(await caught(thunk), ConnectionLost)
        assert isinstance((await collected_then(thunk))[1], ConnectionLost)
    assert source.calls == 1


@pytest.mark.anyio
async def test_a_cancelled_one_is_not_started_again():
    """A cancelled generation is not started again by later consumers."""
    gate = Gate()
    source = Source(gate=gate)
    thunk = mellite.generate(source, "hi")
    async with anyio.create_task_group() as group:
        consumer = Consumer(group, thunk.avalue)
        await gate.reached(0)
        await thunk.cancel_generation()
    assert isinstance(consumer.error, GenerationCancelled)
    for _ in range(3):
        assert isinstance(await caught(thunk), GenerationCancelled)
        assert isinstance((await collected_then(thunk.events()))[1], GenerationCancelled)
    assert source.calls == 1


def in_threads(count, function):
    """Run a function in threads that begin at the same time; gives what they returned."""
    barrier = threading.Barrier(count)
    results = []

    def run():
        barrier.wait()
        results.append(function())

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


DRIVERS = {
    "result": lambda thunk: thunk.result(),
    "iter": lambda thunk: "".join(thunk.iter()),
    "asyncio": lambda thunk: asyncio.run(thunk.avalue()),
    "trio": lambda thunk: anyio.run(thunk.avalue, backend="trio"),
}


@pytest.mark.parametrize("driver", ["result", "iter"])
def test_threads_race(driver):
    """Threads that drive one thunk for the first time at the same moment make one call."""
    for _ in range(30):
        source = Source()
        thunk = mellite.generate(source, "hi")
        assert in_threads(8, lambda thunk=thunk: DRIVERS[driver](thunk)) == [source.text] * 8
        assert source.calls == 1


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_loops_race(loop):
    """Event loops in several threads that await one thunk at the same moment make one call."""

    async def settled(thunk):
        return await thunk.settle()

    for _ in range(15):
        source = Source()
        thunk = mellite.generate(source, "hi")
        results = in_threads(4, lambda thunk=thunk: anyio.run(settled, thunk, backend=loop))
        assert results == [thunk] * 4
        assert source.calls == 1
        # The loop in which it ran may have ended before the others were served: then it took the thunk with it.
        assert thunk.state in ("done", "cancelled")


def test_every_driver_of_threads_at_once():
    """Sync callers and loops of both kinds that race for one thunk make one call."""
    for _ in range(10):
        source = Source()
        thunk = mellite.generate(source, "hi")
        names = [*DRIVERS, *DRIVERS]
        in_threads(len(names), lambda thunk=thunk, names=names: safely(DRIVERS[names.pop()], thunk))
        assert source.calls == 1


def safely(function, thunk):
    """Call it; a loop that ended early may have cancelled the thunk."""
    try:
        return function(thunk)
    except GenerationCancelled:
        return None
