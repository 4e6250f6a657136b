"""T6, cancellation counts consumers: one that goes leaves the others alone, the last one takes the call with it."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import time
import weakref
from contextlib import suppress
from functools import partial

import anyio
import pytest
import trio
from anyio.lowlevel import checkpoint

import mellite
from mellite.errors import ConnectionLost, GenerationCancelled
from mellite.events import TextDelta
from tests.thunk.support import Consumer, Gate, Source, blocked, caught, collect, collected_then, run_child

pytestmark = pytest.mark.anyio

SOON = 0.05
"""A deadline that passes while the consumer waits before a gate that stays shut, in seconds."""


async def by_anyio_scope(wait):
    with anyio.move_on_after(SOON) as scope:
        await wait()
    assert scope.cancelled_caught


async def by_anyio_fail_after(wait):
    with pytest.raises(TimeoutError), anyio.fail_after(SOON):
        await wait()


async def by_anyio_task_group(wait):
    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        await blocked()
        group.cancel_scope.cancel()


async def by_asyncio_timeout(wait):
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(SOON):
            await wait()


async def by_asyncio_wait_for(wait):
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(wait(), SOON)


async def by_asyncio_task_group(wait):
    with pytest.raises(ExceptionGroup):  # noqa: PT012
        async with asyncio.TaskGroup() as group:
            group.create_task(wait())
            await blocked()
            msg = "a sibling fails"
            raise RuntimeError(msg)


async def by_asyncio_cancel(wait):
    task = asyncio.create_task(wait())
    await blocked()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def by_asyncio_gather(wait):
    both = asyncio.gather(wait(), asyncio.sleep(3600))
    await blocked()
    both.cancel()
    with pytest.raises(asyncio.CancelledError):
        await both
    del both  # it keeps the error, and with it every frame on the way


async def by_trio_scope(wait):
    with trio.move_on_after(SOON) as scope:
        await wait()
    assert scope.cancelled_caught


async def by_trio_fail_after(wait):
    with pytest.raises(trio.TooSlowError), trio.fail_after(SOON):
        await wait()


async def by_trio_nursery(wait):
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await blocked()
        nursery.cancel_scope.cancel()


async def by_trio_nursery_failure(wait):
    with pytest.raises(ExceptionGroup):  # noqa: PT012
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await blocked()
            msg = "a sibling fails"
            raise RuntimeError(msg)


ANY = [by_anyio_scope, by_anyio_fail_after, by_anyio_task_group]
ASYNCIO = [by_asyncio_timeout, by_asyncio_wait_for, by_asyncio_task_group, by_asyncio_cancel, by_asyncio_gather]
TRIO = [by_trio_scope, by_trio_fail_after, by_trio_nursery, by_trio_nursery_failure]
WAYS = [
    pytest.param(loop, way, id=f"{loop}-{way.__name__}")
    for loop, ways in {"asyncio": ANY + ASYNCIO, "trio": ANY + TRIO}.items()
    for way in ways
]
every_way = pytest.mark.parametrize(("anyio_backend", "leave"), WAYS)
"""Each way in which a task stops waiting, on the loops that have it."""


async def awaiting(thunk):
    return await thunk


CONSUMERS = {
    "await": awaiting,
    "avalue": mellite.ModelOutputThunk.avalue,
    "settle": mellite.ModelOutputThunk.settle,
    "gather": mellite.gather,
    "iterate": collect,
    "events": lambda thunk: collect(thunk.events()),
    "astream": lambda thunk: collect(thunk.astream()),
}
every_consumer = pytest.mark.parametrize("kind", CONSUMERS)

ITERATORS = {
    "iterate": aiter,
    "events": lambda thunk: aiter(thunk.events()),
    "astream": lambda thunk: aiter(thunk.astream()),
}
every_iterator = pytest.mark.parametrize("kind", ITERATORS)


def waiting(kind, thunk):
    """A coroutine function that consumes the thunk in this way."""

    async def wait():
        return await CONSUMERS[kind](thunk)

    return wait


def text_of(item):
    """The text of a delta, whether it comes as one or as an event."""
    return item if isinstance(item, str) else getattr(item, "text", "")


class TestOneOfSeveral:
    @pytest.mark.slow
    @every_way
    @every_consumer
    async def test_the_others_are_untouched(self, leave, kind):
        """A consumer that is cancelled, in whichever way, leaves the others waiting and takes no text from them."""
        gate = Gate()
        source = Source(gate=gate)
        thunk = mellite.generate(source, "hi")
        async with anyio.create_task_group() as group:
            others = [Consumer(group, thunk.avalue), Consumer(group, lambda: collect(thunk))]
            gate.allow(1)
            await gate.reached(1)
            await blocked()
            await leave(waiting(kind, thunk))
            await blocked()
            assert (thunk.state, source.open) == ("running", 1)
            gate.allow(9)
        assert others[0].value == source.text
        assert others[1].value == ["one ", "two ", "three"]
        assert source.calls == 1

    @every_consumer
    async def test_first_comer_leaves(self, kind):
        """It makes no difference whether the one that leaves is the one that started the generation."""
        gate = Gate()
        source = Source(gate=gate)
        thunk = mellite.generate(source, "hi")
        async with anyio.create_task_group() as group:
            first = Consumer(group, waiting(kind, thunk))
            await gate.reached(0)
            second = Consumer(group, thunk.avalue)
            await blocked()
            first.cancel()
            await blocked()
            assert first.was_cancelled
            assert thunk.state == "running"
            gate.allow(9)
        assert second.value == source.text

    @every_consumer
    async def test_all_but_one_of_many(self, kind):
        """Forty-nine of fifty may go."""
        gate = Gate()
        source = Source(gate=gate)
        thunk = mellite.generate(source, "hi")
        async with anyio.create_task_group() as group:
            consumers = [Consumer(group, waiting(kind, thunk)) for _ in range(50)]
            await gate.reached(0)
            for consumer in consumers[1:]:
                consumer.cancel()
            await blocked()
            assert [consumer.is_over for consumer in consumers] == [False] + [True] * 49
            gate.allow(9)
        assert consumers[0].error is None
        assert thunk.value == source.text

    async def test_its_text_is_not_lost(self):
        """What a cancelled consumer has read stays there for those that come later."""
        gate = Gate()
        thunk = mellite.generate(Source(gate=gate), "hi")
        async with anyio.create_task_group() as group:
            other = Consumer(group, thunk.avalue)
            reader = Consumer(group, lambda: collect(thunk))
            gate.allow(2)
            await gate.reached(2)
            await blocked()
            reader.cancel()
            await reader.over()
            late = Consumer(group, lambda: collect(thunk))
            gate.allow(9)
        assert other.value == "one two three"
        assert late.value == ["one ", "two ", "three"]


class TestTheLast:
    @pytest.mark.slow
    @every_way
    @every_consumer
    async def test_cancels_the_generation(self, leave, kind):
        """When the last consumer is cancelled, the generation is, and its source is closed; text so far is kept."""
        gate = Gate()
        source = Source(gate=gate)
        thunk = mellite.generate(source, "hi")
        gate.allow(2)
        await first_of(aiter(thunk))
        await gate.reached(2)
        await leave(waiting(kind, thunk))
        await blocked()
        assert (thunk.state, thunk.cancelled, thunk.error) == ("cancelled", True, None)
        assert source.open == 0
        assert source.ends in (["cancelled"], ["closed"])
        assert (thunk.partial, thunk.value) == ("one two ", None)
        assert isinstance(await caught(thunk), GenerationCancelled)
        assert source.calls == 1

    @every_consumer
    async def test_only_the_last(self, kind):
        """Of two that are cancelled one after the other, the second one takes the generation with it."""
        gate = Gate()
        source = Source(gate=gate)
        thunk = mellite.generate(source, "hi")
        async with anyio.create_task_group() as group:
            first, second = [Consumer(group, waiting(kind, thunk)) for _ in range(2)]
            await gate.reached(0)
            await blocked()
            first.cancel()
            await blocked()
            assert (thunk.state, source.open) == ("running", 1)
            second.cancel()
            await blocked()
            assert (thunk.state, source.open) == ("cancelled", 0)

    async def test_all_at_once(self):
        """Consumers of every kind that are cancelled together take it with them."""
        gate = Gate()
        source = Source(gate=gate)
        thunk = mellite.generate(source, "hi")
        async with anyio.create_task_group() as group:
            for kind in CONSUMERS:
                group.start_soon(waiting(kind, thunk))
            await gate.reached(0)
            await blocked()
            group.cancel_scope.cancel()
        await blocked()
        assert (thunk.state, source.open) == ("cancelled", 0)

    @every_consumer
    @pytest.mark.parametrize("steps", range(6))
    async def test_at_any_step(self, kind, steps):
        """A consumer that is cancelled before or soon after its first step leaves nothing behind and nothing hangs."""
        gate = Gate()
        source = Source(gate=gate)
        thunk = mellite.generate(source, "hi")
        async with anyio.create_task_group() as group:
            consumer = Consumer(group, waiting(kind, thunk))
            for _ in range(steps):
                await checkpoint()
            consumer.cancel()
        await blocked()
        assert source.open == 0
        assert source.calls == len(source.ends)
        assert thunk.state in ("pending", "cancelled")
        if thunk.state == "cancelled":
            assert isinstance(await caught(thunk), GenerationCancelled)

    @pytest.mark.parametrize("steps", range(5))
    @pytest.mark.parametrize("anyio_backend", ["asyncio"])
    async def test_asyncio_task_at_any_step(self, steps):
        """An asyncio task that is cancelled before or soon after its first step leaves nothing behind."""
        source = Source(gate=Gate())
        thunk = mellite.generate(source, "hi")
        task = asyncio.create_task(thunk.avalue())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await blocked()
        assert source.open == 0
        assert thunk.state in ("pending", "cancelled")

    async def test_in_a_scope_that_is_cancelled_already(self):
        """Awaiting in a scope that is cancelled already leaves nothing running."""
        source = Source(gate=Gate())
        thunk = mellite.generate(source, "hi")
        with anyio.CancelScope() as scope:
            scope.cancel()
            await thunk
        await blocked()
        assert source.open == 0
        assert thunk.state in ("pending", "cancelled")

    @pytest.mark.parametrize("steps", range(8))
    async def test_while_it_settles(self, steps):
        """A consumer that is cancelled just when the answer is complete loses nothing."""
        gate = Gate()
        source = Source(gate=gate)
        thunk = mellite.generate(source, "hi")
        gate.allow(3)
        async with anyio.create_task_group() as group:
            consumer = Consumer(group, thunk.avalue)
            await gate.reached(3)
            await blocked()
            gate.allow(1)
            for _ in range(steps):
                await checkpoint()
            consumer.cancel()
        await blocked()
        assert thunk.partial == source.text
        assert source.open == 0
        assert thunk.state in ("done", "cancelled")
        assert (thunk.state == "done") == (thunk.value == source.text)

    async def test_one_who_comes_too_late(self):
        """Who joins while the cancelled generation is still being closed gets GenerationCancelled."""
        closing, go_on = anyio.Event(), anyio.Event()

        class Slow(Source):
            async def stream(self, request):
                try:
                    async for event in super().stream(request):
                        yield event
                finally:
                    with anyio.CancelScope(shield=True):
                        closing.set()
                        await go_on.wait()

        gate = Gate()
        thunk = mellite.generate(Slow(gate=gate), "hi")
        async with anyio.create_task_group() as group:
            consumer = Consumer(group, thunk.avalue)
            await gate.reached(0)
            consumer.cancel()
            await closing.wait()
            assert thunk.state == "running"
            late = Consumer(group, thunk.avalue)
            await blocked()
            go_on.set()
        assert isinstance(late.error, GenerationCancelled)

    async def test_the_reason_says_so(self):
        """The reason of a generation that was cancelled with its last consumer says that it was."""
        gate = Gate()
        thunk = mellite.generate(Source(gate=gate), "hi")
        await by_anyio_scope(waiting("await", thunk))
        await blocked()
        error = await caught(thunk)
        assert error.reason
        assert error.reason in str(error)

    async def test_the_others_of_a_gather(self):
        """Each thunk that only the cancelled `gather` waited for is cancelled."""
        sources = [Source(gate=Gate()) for _ in range(5)]
        thunks = [mellite.generate(source, "hi") for source in sources]
        await by_anyio_task_group(lambda: mellite.gather(*thunks))
        await blocked()
        assert [thunk.state for thunk in thunks] == ["cancelled"] * 5
        assert [source.open for source in sources] == [0] * 5


async def poll_by_anyio(step):
    with anyio.move_on_after(SOON):
        return await step()
    return None


async def poll_by_wait_for(step):
    with suppress(TimeoutError):
        return await asyncio.wait_for(step(), SOON)
    return None


async def poll_by_asyncio_timeout(step):
    with suppress(TimeoutError):
        async with asyncio.timeout(SOON):
            return await step()
    return None


async def poll_by_trio(step):
    with trio.move_on_after(SOON):
        return await step()
    return None


POLLS = [
    pytest.param(loop, poll, id=f"{loop}-{poll.__name__}")
    for loop, poll in [
        ("asyncio", poll_by_anyio),
        ("asyncio", poll_by_wait_for),
        ("asyncio", poll_by_asyncio_timeout),
        ("trio", poll_by_anyio),
        ("trio", poll_by_trio),
    ]
]
every_poll = pytest.mark.parametrize(("anyio_backend", "poll"), POLLS)


class TestPolling:
    @pytest.mark.slow
    @every_poll
    @every_iterator
    async def test_loses_nothing(self, poll, kind):
        """One iterator polled with a timeout again and again gives every delta once, and the generation runs on."""
        gate = Gate()
        source = Source(gate=gate)
        thunk = mellite.generate(source, "hi")
        iterator = ITERATORS[kind](thunk)
        got = []
        for _ in range(3):
            assert await poll(partial(anext, iterator)) is None
            assert await poll(partial(anext, iterator)) is None
            assert (thunk.state, source.open) == ("running", 1)
            gate.allow(1)
            await blocked()
            got.append(await poll(partial(anext, iterator)))
        gate.allow(1)
        got += await collect(iterator)
        assert "".join(map(text_of, got)) == source.text
        assert (thunk.state, source.calls) == ("done", 1)

    @every_iterator
    @pytest.mark.parametrize("steps", range(8))
    async def test_cancelled_just_when_a_delta_arrives(self, kind, steps):
        """A step that is cancelled at the moment a delta arrives either returns it or leaves it to the next step."""
        gate = Gate()
        source = Source(gate=gate)
        thunk = mellite.generate(source, "hi")
        iterator = ITERATORS[kind](thunk)
        got = []
        async with anyio.create_task_group() as group:
            for index in range(3):
                consumer = Consumer(group, partial(anext, iterator))
                await gate.reached(index)
                await blocked()
                gate.allow(1)
                for _ in range(steps):
                    await checkpoint()
                consumer.cancel()
                await consumer.over()
                await blocked()
                if consumer.value is None:
                    consumer = Consumer(group, partial(anext, iterator))
                    await consumer.over()
                got.append(consumer.value)
            gate.allow(1)
        assert [text_of(item) for item in got] == ["one ", "two ", "three"]
        assert await thunk == source.text

    @every_iterator
    async def test_dropped_after_a_cancelled_step(self, kind):
        """An iterator whose last step was cancelled leaves by cancellation when it is dropped."""
        gate = Gate()
        source = Source(gate=gate)
        thunk = mellite.generate(source, "hi")
        iterator = ITERATORS[kind](thunk)
        gate.allow(1)
        await anext(iterator)
        assert await poll_by_anyio(partial(anext, iterator)) is None
        await blocked()
        assert thunk.state == "running"
        del iterator
        await blocked()
        assert (thunk.state, source.open, thunk.partial) == ("cancelled", 0, "one ")

    @every_iterator
    async def test_dropped_after_a_step_that_was_not(self, kind):
        """If its last step was not cancelled, an iterator that is dropped only pauses the generation."""
        gate = Gate()
        source = Source(gate=gate)
        thunk = mellite.generate(source, "hi")
        iterator = ITERATORS[kind](thunk)
        assert await poll_by_anyio(partial(anext, iterator)) is None
        gate.allow(1)
        await anext(iterator)
        del iterator
        await blocked()
        assert thunk.state == "running"
        gate.allow(9)
        assert await thunk == source.text

    @every_iterator
    async def test_dropped_while_others_wait(self, kind):
        """An iterator that leaves by cancellation leaves the others untouched too."""
        gate = Gate()
        source = Source(gate=gate)
        thunk = mellite.generate(source, "hi")
        async with anyio.create_task_group() as group:
            other = Consumer(group, thunk.avalue)
            iterator = ITERATORS[kind](thunk)
            assert await poll_by_anyio(partial(anext, iterator)) is None
            del iterator
            await blocked()
            assert thunk.state == "running"
            gate.allow(9)
        assert other.value == source.text

    @pytest.mark.slow
    @every_way
    @every_iterator
    async def test_as_a_local_variable(self, leave, kind):
        """An iterator in a local variable leaves by cancellation when its task is cancelled in a step."""
        gate = Gate()
        source = Source(gate=gate)
        thunk = mellite.generate(source, "hi")

        async def read():
            iterator = ITERATORS[kind](thunk)
            await anext(iterator)
            await anext(iterator)

        gate.allow(1)
        await leave(read)
        for _ in range(2):  # the error has the frame, the frame the variable; and the loops keep errors in cycles
            gc.collect()
            await blocked()
        assert (thunk.state, source.open, thunk.partial) == ("cancelled", 0, "one ")


class TestIterators:
    @every_iterator
    async def test_counts_while_it_is_referenced(self, kind):
        """An iterator that is not exhausted counts, whether or not anybody waits on it just now."""
        gate = Gate()
        source = Source(gate=gate)
        thunk = mellite.generate(source, "hi")
        iterator = ITERATORS[kind](thunk)
        gate.allow(1)
        first = await anext(iterator)
        await by_anyio_scope(waiting("await", thunk))
        await blocked()
        assert (thunk.state, source.open) == ("running", 1)
        gate.allow(9)
        assert "".join(map(text_of, [first, *await collect(iterator)])) == source.text

    @every_iterator
    async def test_counts_before_its_first_step(self, kind):
        """An iterator over a running thunk counts from when it is made."""
        gate = Gate()
        source = Source(gate=gate)
        thunk = mellite.generate(source, "hi")
        async with anyio.create_task_group() as group:
            consumer = Consumer(group, thunk.avalue)
            await gate.reached(0)
            await blocked()
            iterator = ITERATORS[kind](thunk)
            consumer.cancel()
            await consumer.over()
            await blocked()
        assert (thunk.state, source.open) == ("running", 1)
        gate.allow(9)
        assert "".join(map(text_of, await collect(iterator))) == source.text

    @every_iterator
    async def test_counts_while_its_loop_body_runs(self, kind):
        """An iterator counts while the body of its loop runs, so that another one's cancellation is not the last."""
        gate = Gate()
        source = Source(gate=gate)
        thunk = mellite.generate(source, "hi")
        in_body, go_on = anyio.Event(), anyio.Event()
        got = []

        async def read():
            async for item in ITERATORS[kind](thunk):
                got.append(text_of(item))
                in_body.set()
                await go_on.wait()

        gate.allow(1)
        async with anyio.create_task_group() as group:
            group.start_soon(read)
            await in_body.wait()
            await by_anyio_scope(waiting("await", thunk))
            await blocked()
            assert (thunk.state, source.open) == ("running", 1)
            gate.allow(9)
            go_on.set()
        assert "".join(got) == source.text

    @pytest.mark.slow
    @every_way
    @every_iterator
    async def test_task_cancelled_in_its_loop_body(self, leave, kind):
        """A loop whose task is cancelled in the body, not in a step, leaves by cancellation too."""
        gate = Gate()
        source = Source(gate=gate)
        thunk = mellite.generate(source, "hi")

        async def read():
            async for _ in ITERATORS[kind](thunk):
                await anyio.sleep_forever()

        gate.allow(1)
        await leave(read)
        await blocked()
        assert (thunk.state, source.open, thunk.partial) == ("cancelled", 0, "one ")

    @every_iterator
    async def test_handed_to_another_task(self, kind):
        """An iterator that one task has begun and another one reads leaves as that other task does."""
        gate = Gate()
        source = Source(gate=gate)
        thunk = mellite.generate(source, "hi")
        async with anyio.create_task_group() as group:
            held = [ITERATORS[kind](thunk)]
            begun, over = anyio.Event(), anyio.Event()

            async def begin():
                await anext(held[0])
                begun.set()
                await over.wait()

            async def read():
                async for _ in held.pop():
                    await anyio.sleep_forever()

            group.start_soon(begin)
            await gate.reached(0)
            await blocked()
            gate.allow(2)
            await begun.wait()
            reader = Consumer(group, read)
            await blocked()
            reader.cancel()
            await reader.over()
            await blocked()
            assert (thunk.state, source.open) == ("cancelled", 0)
            over.set()

    @every_iterator
    async def test_exception_in_its_loop_body(self, kind):
        """An exception in the body is not a cancellation: it leaves the loop as `break` does."""
        gate = Gate()
        source = Source(gate=gate)
        thunk = mellite.generate(source, "hi")

        async def read():
            async for _ in ITERATORS[kind](thunk):
                msg = "not good enough"
                raise ValueError(msg)

        gate.allow(1)
        with pytest.raises(ValueError, match="not good"):
            await read()
        await blocked()
        assert (thunk.state, source.open) == ("running", 1)
        gate.allow(9)
        assert await thunk == source.text

    @every_iterator
    async def test_no_more_after_it_is_dropped(self, kind):
        """An iterator that was dropped counts no longer."""
        gate = Gate()
        source = Source(gate=gate)
        thunk = mellite.generate(source, "hi")
        gate.allow(1)
        await first_of(ITERATORS[kind](thunk))
        await by_anyio_scope(waiting("await", thunk))
        await blocked()
        assert (thunk.state, source.open) == ("cancelled", 0)

    @every_iterator
    async def test_keeps_the_thunk_it_came_from(self, kind):
        """An iterator goes on when the thunk that it came from is referred to by nothing else."""
        source = Source()
        items = await collect(ITERATORS[kind](mellite.generate(source, "hi")))
        assert "".join(map(text_of, items)) == source.text


async def first_of(iterator):
    async for item in iterator:
        return item
    return None


LOOK_AHEAD = 1_000
"""More than a paused source may run ahead of its readers, in events."""


class TestBreak:
    @every_iterator
    async def test_pauses(self, kind):
        """After a plain `break` the source is pulled no further than a bounded look-ahead."""
        source = Source([f"{n} " for n in range(5_000)])
        thunk = mellite.generate(source, "hi")
        await first_of(ITERATORS[kind](thunk))
        await blocked()
        assert source.handed < LOOK_AHEAD
        assert (thunk.state, source.open) == ("running", 1)
        await thunk.cancel_generation()

    @pytest.mark.slow
    @every_iterator
    async def test_a_reader_that_stops_reading(self, kind):
        """The source does not run away from an iterator that is kept but not read."""
        source = Source([f"{n} " for n in range(5_000)])
        thunk = mellite.generate(source, "hi")
        iterator = ITERATORS[kind](thunk)
        for count in range(1, 1_500):
            await anext(iterator)
            assert source.handed < count + LOOK_AHEAD
        await blocked()
        assert source.handed < 1_500 + LOOK_AHEAD
        assert len([1 async for item in iterator if text_of(item)]) == 5_000 - 1_499

    @pytest.mark.slow
    @every_consumer
    async def test_a_later_consumer_goes_on(self, kind):
        """After a `break` a later consumer of any kind goes on where it stopped, and nothing is lost."""
        source = Source([f"{n} " for n in range(3_000)])
        thunk = mellite.generate(source, "hi")
        await first_of(aiter(thunk))
        await blocked()
        await CONSUMERS[kind](thunk)
        assert (thunk.value, source.calls) == (source.text, 1)

    @every_iterator
    async def test_breaking_again_and_again(self, kind):
        """Each new loop begins with the first delta again, and each `break` pauses."""
        source = Source([f"{n} " for n in range(3_000)])
        thunk = mellite.generate(source, "hi")
        for stop in (1, 5, 300, 700):
            got = []
            async for item in ITERATORS[kind](thunk):
                got.append(text_of(item))
                if len(got) == stop:
                    break
            assert got == [f"{n} " for n in range(stop)]
            await blocked()
            assert source.handed < 700 + LOOK_AHEAD
        assert await thunk == source.text
        assert source.calls == 1

    async def test_then_cancelled(self):
        """A consumer that wakes a paused generation and is cancelled as the last one takes it with it."""
        gate = Gate()
        source = Source(gate=gate)
        thunk = mellite.generate(source, "hi")
        gate.allow(1)
        await first_of(aiter(thunk))
        await by_anyio_scope(waiting("await", thunk))
        await blocked()
        assert (thunk.state, source.open, thunk.partial) == ("cancelled", 0, "one ")

    async def test_paused_before_it_failed(self):
        """A paused generation that would fail fails when it is waited for, not before."""
        source = Source([f"{n} " for n in range(3_000)], error=ConnectionLost("gone"))
        thunk = mellite.generate(source, "hi")
        await first_of(aiter(thunk))
        await blocked()
        assert thunk.state == "running"
        got, error = await collected_then(thunk)
        assert len(got) == 3_000
        assert isinstance(error, ConnectionLost)


class TestAsyncWith:
    async def test_gives_the_thunk(self):
        """`async with thunk as t` gives the thunk, and does not start it."""
        source = Source()
        thunk = mellite.generate(source, "hi")
        async with thunk as same:
            assert same is thunk
            await blocked()
            assert (thunk.state, source.calls) == ("pending", 0)
            await thunk
        assert thunk.state == "done"

    async def test_cancels_what_is_unfinished(self):
        """Leaving the block cancels a generation that is not finished, and its source is closed by then."""
        gate = Gate()
        source = Source(gate=gate)
        gate.allow(1)
        async with mellite.generate(source, "hi") as thunk:
            async for _ in thunk:
                break
        assert (thunk.state, source.open, thunk.partial) == ("cancelled", 0, "one ")

    async def test_leaves_what_is_finished(self):
        """Leaving the block with a finished generation changes nothing."""
        async with mellite.generate(Source(), "hi") as thunk:
            await thunk
        assert (thunk.state, thunk.value) == ("done", "one two three")

    async def test_never_started(self):
        """Leaving the block with a generation that was never started sends nothing."""
        source = Source()
        async with mellite.generate(source, "hi") as thunk:
            pass
        assert (thunk.state, source.calls) == ("cancelled", 0)

    async def test_with_an_exception(self):
        """An exception leaves the block unchanged, and the generation is cancelled."""
        gate = Gate()
        source = Source(gate=gate)
        gate.allow(1)
        with pytest.raises(ValueError, match="mine"):  # noqa: PT012
            async with mellite.generate(source, "hi") as thunk:
                async for _ in thunk:
                    msg = "mine"
                    raise ValueError(msg)
        assert (thunk.state, source.open) == ("cancelled", 0)

    async def test_inside_a_cancelled_scope(self):
        """A block that is left because its task is cancelled closes the source all the same."""
        gate = Gate()
        source = Source(gate=gate)
        async with anyio.create_task_group() as group:

            async def use():
                async with mellite.generate(source, "hi") as thunk:
                    held.append(thunk)
                    async for _ in thunk:
                        await anyio.sleep_forever()

            held = []
            consumer = Consumer(group, use)
            gate.allow(1)
            await gate.reached(1)
            await blocked()
            consumer.cancel()
        await blocked()
        assert consumer.was_cancelled
        assert (held[0].state, source.open) == ("cancelled", 0)

    async def test_other_consumers_are_cancelled_too(self):
        """Leaving the block is not a consumer's leaving: it cancels, whoever else waits."""
        gate = Gate()
        thunk = mellite.generate(Source(gate=gate), "hi")
        async with anyio.create_task_group() as group:
            other = Consumer(group, thunk.avalue)
            await gate.reached(0)
            async with thunk:
                pass
        assert isinstance(other.error, GenerationCancelled)


@pytest.mark.usefixtures("no_collector")
class TestDropped:
    @every_iterator
    async def test_after_a_break(self, kind):
        """Dropping a running thunk closes its source, by reference counting alone."""
        gate = Gate()
        source = Source(gate=gate)
        thunk = mellite.generate(source, "hi")
        gate.allow(1)
        await first_of(ITERATORS[kind](thunk))
        await blocked()
        assert source.open == 1
        del thunk
        await blocked()
        assert source.open == 0

    async def test_while_it_is_paused(self):
        """Dropping a thunk whose pump waits for demand closes its source."""
        source = Source([f"{n} " for n in range(5_000)])
        thunk = mellite.generate(source, "hi")
        await first_of(aiter(thunk))
        await blocked()
        assert source.open == 1
        del thunk
        await blocked()
        assert source.open == 0
        assert source.handed < LOOK_AHEAD

    @every_iterator
    async def test_not_while_an_iterator_is_left(self, kind):
        """As long as an iterator is referenced, the generation goes on; with it goes the rest."""
        gate = Gate()
        source = Source(gate=gate)
        iterator = ITERATORS[kind](mellite.generate(source, "hi"))
        gate.allow(1)
        await anext(iterator)
        await blocked()
        assert source.open == 1
        del iterator
        await blocked()
        assert source.open == 0

    async def test_with_an_exception_on_the_way(self):
        """A running thunk in a local variable of a function that fails is closed once the error is handled."""
        gate = Gate()
        source = Source(gate=gate)
        gate.allow(1)

        async def read():
            thunk = mellite.generate(source, "hi")
            async for delta in thunk:
                raise ValueError(delta)

        with suppress(ValueError):
            await read()
        await blocked()
        assert source.open == 0

    async def test_from_another_thread(self):
        """The last reference may go in another thread."""
        gate = Gate()
        source = Source(gate=gate)
        held = [mellite.generate(source, "hi")]
        gate.allow(1)
        await first_of(aiter(held[0]))
        await anyio.to_thread.run_sync(held.clear)
        await blocked()
        assert source.open == 0

    async def test_settled_ones_are_freed(self):
        """A settled thunk is freed with its last reference, whatever became of it and whoever read it."""
        for error in (None, ConnectionLost("gone"), ValueError("odd")):
            for consume in (
                lambda thunk: thunk.settle(),
                *[lambda thunk, f=f: collected_then(f(thunk)) for f in ITERATORS.values()],
            ):
                thunk = mellite.generate(Source(error=error), "hi")
                await consume(thunk)
                watched = weakref.ref(thunk), weakref.ref(thunk._gen)
                del thunk
                assert [reference() for reference in watched] == [None, None]


class Held(Source):
    """A source that waits, in whichever thread, until it is released."""

    def __init__(self, pieces=("one ", "two ", "three"), *, at=1):
        super().__init__(pieces)
        self.at = at
        self.standing = threading.Event()
        self.released = threading.Event()

    async def _before(self, index):
        if index == self.at:
            self.standing.set()
            await anyio.to_thread.run_sync(self.released.wait, abandon_on_cancel=True)


def give_up(thunk):
    """Wait for it and give up at once, again and again, until it is settled."""
    while not thunk.is_computed():
        with suppress(TimeoutError):
            thunk.result(timeout=0)


class TestResult:
    def test_timeout(self):
        """`result(timeout)` raises TimeoutError and, as the last consumer, cancels the generation, before that."""
        source = Held()
        thunk = mellite.generate(source, "hi")
        with pytest.raises(TimeoutError):
            thunk.result(timeout=0.05)
        assert (thunk.state, thunk.partial, source.open) == ("cancelled", "one ", 0)
        with pytest.raises(GenerationCancelled):
            thunk.result(timeout=20)
        source.released.set()

    @pytest.mark.parametrize("door", [lambda thunk: thunk, mellite.gather], ids=["thunk", "gather"])
    def test_timeout_of_a_backend_that_does_not_stop(self, door):
        """`result(timeout)` waits a second at most for a backend that goes on in spite of its cancellation."""

        class Stubborn:
            async def stream(self, request):
                try:
                    yield TextDelta("one ")
                    await anyio.sleep_forever()
                finally:
                    with anyio.CancelScope(shield=True):
                        await anyio.to_thread.run_sync(released.wait)

        released = threading.Event()
        thunk = mellite.generate(Stubborn(), "hi")
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            door(thunk).result(timeout=0.05)
        assert (thunk.state, 1 < time.monotonic() - began < 3) == ("running", True)
        released.set()
        with pytest.raises(GenerationCancelled):
            thunk.result(timeout=20)

    def test_timeout_beside_another_consumer(self):
        """`result(timeout)` that gives up leaves another caller's `result()` alone."""
        source = Held()
        thunk = mellite.generate(source, "hi")
        got = []
        other = threading.Thread(target=lambda: got.append(thunk.result()))
        other.start()
        assert source.standing.wait(20)
        with pytest.raises(TimeoutError):
            thunk.result(timeout=0.05)
        assert thunk.state == "running"
        source.released.set()
        other.join()
        assert got == [source.text]

    @pytest.mark.slow
    def test_race_of_leaving_and_joining(self):
        """Callers that give up again and again, while others join, neither stop the pump nor cancel for the others."""
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        try:
            for _ in range(60):
                source = Source([f"{n} " for n in range(600)])
                thunk = mellite.generate(source, "hi")
                iterator = thunk.iter()
                next(iterator)
                threads = [threading.Thread(target=give_up, args=(thunk,)) for _ in range(2)]
                for thread in threads:
                    thread.start()
                assert thunk.result(timeout=20) == source.text
                for thread in threads:
                    thread.join()
                del iterator
        finally:
            sys.setswitchinterval(interval)

    def test_timeout_in_time(self):
        """A timeout that is not reached changes nothing."""
        assert mellite.generate(Source(), "hi").result(timeout=20) == "one two three"

    def test_iterator_that_is_left(self):
        """`iter()` left by `break` pauses; `result()` goes on where it stopped."""
        source = Source([f"{n} " for n in range(3_000)])
        thunk = mellite.generate(source, "hi")
        for _ in thunk.iter():
            break
        assert source.handed < LOOK_AHEAD
        assert thunk.result() == source.text
        assert source.calls == 1

    @pytest.mark.slow
    @pytest.mark.parametrize("call", ["thunk.result()", "list(thunk.iter())"])
    def test_keyboard_interrupt(self, call):
        """Ctrl-C in a blocking call is raised there, cancels the generation and closes the source."""
        done = run_child(
            f"""
            import os, signal, threading
            import anyio, mellite
            from mellite.errors import GenerationCancelled
            from mellite.events import TextDelta

            closed = threading.Event()

            class Endless(mellite.Backend):
                async def stream(self, request):
                    try:
                        yield TextDelta("one ")
                        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
                        await anyio.sleep_forever()
                    finally:
                        closed.set()

            thunk = mellite.generate(Endless(), "hi")
            try:
                {call}
            except KeyboardInterrupt:
                print("interrupted")
            assert closed.wait(20)
            try:
                thunk.result(timeout=20)
            except GenerationCancelled as error:
                print("cancelled", repr(thunk.partial))
            """
        )
        assert done.stdout.split("\n")[:2] == ["interrupted", "cancelled 'one '"]
