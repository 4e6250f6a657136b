"""T6, the reader of an iterator: when its task is over and was cancelled it has left, though something refers to it."""

from __future__ import annotations

import asyncio
from functools import partial

import anyio
import pytest
import trio

import mellite
from tests.thunk.support import Consumer, Gate, Source, blocked, collect

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_collector")]

ITERATORS = {
    "iterate": aiter,
    "events": lambda thunk: aiter(thunk.events()),
    "astream": lambda thunk: aiter(thunk.astream()),
    "words": lambda thunk: aiter(thunk.astream("words")),
}
every_iterator = pytest.mark.parametrize("kind", ITERATORS)


def text_of(item):
    """The text of what an iterator gave; none of what has none."""
    return item if isinstance(item, str) else getattr(item, "text", "")


class Ring:
    """What a web framework makes of a response: an object that refers to itself, and to the iterator."""

    def __init__(self, iterator):
        self.iterator = iterator
        self.ring = self


async def read_on(iterator):
    async for _ in iterator:
        pass


async def read_and_send(iterator):
    async for _ in iterator:
        await anyio.sleep_forever()


async def cancel_asyncio_task(read, gate):
    task = asyncio.create_task(read())
    await gate.reached(1)
    await blocked()
    task.cancel()
    await asyncio.wait([task])


async def cancel_by_failing_sibling(read, gate):
    with pytest.raises(ExceptionGroup):  # noqa: PT012
        async with asyncio.TaskGroup() as group:
            group.create_task(read())
            await gate.reached(1)
            await blocked()
            msg = "a sibling fails"
            raise RuntimeError(msg)


async def cancel_anyio_group(read, gate):
    async with anyio.create_task_group() as group:
        group.start_soon(read)
        await gate.reached(1)
        await blocked()
        group.cancel_scope.cancel()


async def cancel_around_nursery(read, gate):
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            await gate.reached(1)
            await blocked()
            scope.cancel()


async def cancel_in_a_group_of_its_own(read, gate):
    async def with_helpers():
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep_forever)
            await read()

    await cancel_anyio_group(with_helpers, gate)


WAYS = [
    pytest.param(loop, way, id=f"{loop}-{way.__name__}")
    for loop, ways in {
        "asyncio": [cancel_asyncio_task, cancel_by_failing_sibling, cancel_anyio_group, cancel_in_a_group_of_its_own],
        "trio": [cancel_anyio_group, cancel_around_nursery, cancel_in_a_group_of_its_own],
    }.items()
    for way in ways
]


class TestGone:
    @pytest.mark.parametrize(("anyio_backend", "cancel"), WAYS)
    @pytest.mark.parametrize("read", [read_on, read_and_send])
    @every_iterator
    async def test_referenced_or_not(self, cancel, read, kind):
        """A reader whose task was cancelled, in a step or in its loop body, takes the generation with it."""
        gate = Gate()
        source = Source(gate=gate)
        thunk = mellite.generate(source, "hi")
        ring = Ring(ITERATORS[kind](thunk))
        gate.allow(1)
        await cancel(lambda: read(ring.iterator), gate)
        await blocked()
        assert (thunk.state, source.open, thunk.partial) == ("cancelled", 0, "one ")
        ring.ring = None

    @every_iterator
    async def test_beside_others(self, kind):
        """It leaves the others untouched; and who goes on with its iterator loses nothing, and counts again."""
        gate = Gate()
        source = Source(gate=gate)
        thunk = mellite.generate(source, "hi")
        iterator = ITERATORS[kind](thunk)
        async with anyio.create_task_group() as group:
            other = Consumer(group, thunk.avalue)
            gate.allow(1)
            await cancel_anyio_group(lambda: read_on(iterator), gate)
            await blocked()
            assert (thunk.state, source.open) == ("running", 1)
            second = Consumer(group, partial(collect, iterator))
            await blocked()
            other.cancel()
            await other.over()
            await blocked()
            assert (thunk.state, source.open) == ("running", 1)
            gate.allow(9)
        assert "".join(map(text_of, second.value)).lstrip() == "two three"
        assert thunk.value == source.text


class TestStillThere:
    @every_iterator
    async def test_handed_to_another_task(self, kind):
        """The task that last waited is the reader: one that has handed the iterator on may be cancelled."""
        gate = Gate()
        source = Source(gate=gate)
        thunk = mellite.generate(source, "hi")
        iterator = ITERATORS[kind](thunk)
        async with anyio.create_task_group() as group:

            async def begin():
                await anext(iterator)
                await anyio.sleep_forever()

            first = group_of_its_own(group, begin)
            gate.allow(2)
            await gate.reached(2)
            await blocked()
            second = Consumer(group, partial(collect, iterator))
            await blocked()
            first.cancel()
            await blocked()
            assert (thunk.state, source.open) == ("running", 1)
            gate.allow(9)
        assert second.error is None
        assert thunk.value == source.text

    @pytest.mark.parametrize("anyio_backend", ["trio"])
    @every_iterator
    async def test_ended_well_among_the_cancelled(self, kind):
        """A trio task that ends well, though its nursery is cancelled and its siblings are, has only paused."""
        gate = Gate()
        source = Source(gate=gate)
        thunk = mellite.generate(source, "hi")
        iterator = ITERATORS[kind](thunk)
        gate.allow(1)
        async with trio.open_nursery() as nursery:

            async def read_one():
                async for _ in iterator:
                    nursery.cancel_scope.cancel()
                    break

            nursery.start_soon(trio.sleep_forever)
            nursery.start_soon(read_one)
        await blocked()
        assert (thunk.state, source.open) == ("running", 1)
        gate.allow(9)
        await read_on(iterator)
        assert thunk.value == source.text

    @every_iterator
    async def test_failed(self, kind):
        """A reader whose task failed was not cancelled."""
        gate = Gate()
        source = Source(gate=gate)
        thunk = mellite.generate(source, "hi")
        iterator = ITERATORS[kind](thunk)
        gate.allow(1)

        async def read_one():
            async for item in iterator:
                raise ValueError(item)

        with pytest.raises(ExceptionGroup):
            async with anyio.create_task_group() as group:
                group.start_soon(read_one)
        await blocked()
        assert (thunk.state, source.open) == ("running", 1)
        gate.allow(9)
        await read_on(iterator)
        assert thunk.value == source.text


def group_of_its_own(group, function):
    """Run it in a task that can be cancelled as a whole; gives the scope that does so."""
    scope = anyio.CancelScope()

    async def run():
        with scope:
            async with anyio.create_task_group() as inner:
                inner.start_soon(function)

    group.start_soon(run)
    return scope


SOON = 0.01
"""A deadline that passes while a step waits before a gate that stays shut, in seconds."""


async def by_wait_for(iterator):
    try:
        return await asyncio.wait_for(anext(iterator), SOON)
    except TimeoutError:
        return None


async def by_wait_for_with_a_default(iterator):
    try:
        return await asyncio.wait_for(anext(iterator, None), SOON)
    except TimeoutError:
        return None


async def by_a_task_for_each_step(iterator):
    task = asyncio.ensure_future(anext(iterator))
    await asyncio.wait([task], timeout=SOON)
    task.cancel()
    await asyncio.wait([task])
    return None if task.cancelled() else task.result()


async def by_a_trio_task_for_each_step(iterator):
    with trio.move_on_after(SOON):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(iterator.__anext__)


POLLS = [
    *[("asyncio", poll) for poll in (by_wait_for, by_wait_for_with_a_default, by_a_task_for_each_step)],
    ("trio", by_a_trio_task_for_each_step),
]


@pytest.mark.slow
@pytest.mark.parametrize(("anyio_backend", "poll"), POLLS)
@every_iterator
async def test_a_task_of_one_step_is_no_reader(poll, kind):
    """Polling in tasks that consist of nothing but one step, to the end, loses nothing however many are cancelled."""
    gate = Gate()
    source = Source(gate=gate)
    thunk = mellite.generate(source, "hi")
    iterator = ITERATORS[kind](thunk)
    got = []
    for _ in range(3):
        for _ in range(3):
            assert await poll(iterator) is None
        await blocked()
        assert (thunk.state, source.open) == ("running", 1)
        gate.allow(1)
        await blocked()
        got.append(await poll(iterator))
    gate.allow(1)
    got += await collect(iterator)
    if poll is not by_a_trio_task_for_each_step:  # which throws away what it gets
        assert "".join(map(text_of, got)) == source.text
    assert (thunk.state, thunk.value, source.calls) == ("done", source.text, 1)


@every_iterator
async def test_reading_in_turns_costs_nothing(kind):
    """Two tasks that take turns at one iterator a thousand times leave no trace of the turns in each other."""
    source = Source([f"{n} " for n in range(1_000)])
    iterator = ITERATORS[kind](mellite.generate(source, "hi"))
    turns = [anyio.Event() for _ in range(201)]
    got = []

    async def take(first):
        for turn in range(first, 200, 2):
            await turns[turn].wait()
            got.append(await anext(iterator))
            turns[turn + 1].set()

    async with anyio.create_task_group() as group:
        group.start_soon(take, 0)
        group.start_soon(take, 1)
        turns[0].set()
    assert len(got) == 200
    assert (
        "".join(getattr(item, "text", item) for item in [*got, *await collect(iterator)] if not hasattr(item, "reason"))
        == source.text
    )


async def one_of(iterator):
    return await anext(iterator)


@every_iterator
@pytest.mark.parametrize("step", [one_of, anext], ids=["reader", "step"])
async def test_tasks_of_two_loops_wait_in_turn(kind, step):
    """A task, one of another loop and thread, and the first again wait at one iterator; each gets what is next."""
    gate = Gate()
    source = Source([f"{n} " for n in range(9)], gate=gate)
    iterator = ITERATORS[kind](mellite.generate(source, "hi"))
    got = []

    async def let_pass():
        await blocked()
        gate.allow(1)

    async def abroad():
        return await anyio.to_thread.run_sync(lambda: asyncio.run(in_task(step, iterator)))

    gate.allow(kind == "words")  # which gives each with the one after it
    here = partial(anext, iterator)
    for take in (here, here, abroad, here, abroad):
        async with anyio.create_task_group() as group:
            group.start_soon(let_pass)
            got.append(await take())
    gate.allow(20)
    got += await collect(iterator)
    assert "".join(map(text_of, got)) == source.text


async def in_task(step, iterator):
    return await asyncio.create_task(coroutine_of(step, iterator))


def coroutine_of(step, iterator):
    return iterator.__anext__() if step is anext else step(iterator)
