"""Leaving a stream: by break, by an error, by cancellation; nothing runs on, nothing is lost, nothing piles up."""

from __future__ import annotations

import weakref

import anyio
import pytest

from mellite import Requirement, stream
from mellite.backends import Echo
from mellite.errors import ConnectionLost, InvalidRequest
from tests.strategies.streaming.support import Judge, Turns, forbid, reading
from tests.thunk.support import Consumer, Gate, Source, blocked, caught, collect, live_tasks

pytestmark = pytest.mark.anyio

WORDS = ["one ", "two ", "three "]


async def never(*args):
    """A check that never gives a verdict."""
    await anyio.sleep_forever()


async def test_leaving_early_cancels():
    """Leaving the block cancels the generation and every check; when the block is left they have ended."""
    before = live_tasks()
    gate, judge = Gate(), Judge()
    source = Source(WORDS, gate=gate)
    gate.allow(2)
    thunk = source.generate("x")
    judge.give("one ", True)
    async with stream(thunk, requirements=[judge.requirement], attempts=3) as s:
        async for chunk in s:
            assert chunk == "one "
            await judge.begun("two ")
            break
    assert (source.ends, source.handed, source.calls) == (["cancelled"], 2, 1)
    assert judge.ended[-1] == ("two ", "cancelled")
    assert thunk.cancelled
    assert (s.success, s.completed, s.failures, s.error, s.text) == (False, False, [], None, "one ")
    assert await collect(s) == []
    await blocked()
    assert live_tasks() == before


async def test_never_read():
    """A stream that is entered and never read sends nothing and leaves the thunk as it was."""
    thunk = Source().generate("x")
    async with stream(thunk) as s:
        await blocked()
        assert repr(s) == "<ValidatedStream entered success=False attempts=0 text=''>"
    assert (thunk.state, thunk._call.backend.calls) == ("pending", 0)
    assert await thunk == "one two three"


async def test_an_error_in_the_block():
    """An error in the block comes out as it is, not in a group, and the generation is cancelled."""
    before = live_tasks()
    source = Source(WORDS, gate=(gate := Gate()))
    gate.allow(1)

    async def fails():
        async with stream(source.generate("x"), requirements=[Requirement("x", lambda thunk: never())]) as s:
            async for _ in s:
                raise KeyError("mine")

    error = await caught(fails())
    assert (type(error), error.args, error.__context__) == (KeyError, ("mine",), None)
    assert source.ends == ["cancelled"]
    await blocked()
    assert live_tasks() == before


@pytest.mark.parametrize("where", ["reading", "body", "check", "whole"])
async def test_cancelled_from_outside(where):
    """A reader that is cancelled, wherever it is, takes the generation and the checks with it."""
    before = live_tasks()
    gate = Gate()
    source = Source(WORDS, gate=gate)
    reached = anyio.Event()
    requirements = {"check": [Requirement("x", check_chunk=never)], "whole": [never]}.get(where, [])

    async def read():
        async with stream(source.generate("x"), requirements=requirements, attempts=2) as s:
            reached.set()
            async for _ in s:
                if where == "body":
                    await anyio.sleep_forever()

    gate.allow(4 if where == "whole" else 1)
    async with anyio.create_task_group() as group:
        reader = Consumer(group, read)
        await reached.wait()
        await blocked()
        assert source.calls == 1
        reader.cancel()
        await reader.over()
        assert (reader.was_cancelled, reader.error) == (True, None)
        assert source.ends == ["exhausted" if where == "whole" else "cancelled"]
    await blocked()
    assert live_tasks() == before


async def test_a_deadline_around_it():
    """A deadline around the block ends it in time, and the code behind it goes on."""
    source = Source(gate=Gate())
    with anyio.move_on_after(0.05) as scope:
        async with stream(source.generate("x")) as s:
            _ = [chunk async for chunk in s]
    assert (scope.cancelled_caught, source.ends, s.completed) == (True, ["cancelled"], False)


@pytest.mark.parametrize("how", ["timeout", "wait_for", "cancel", "cancel twice"])
def test_cancelled_by_asyncio_itself(how):
    """Cancelled by asyncio's own means, it ends as it should: cancelled, closed, and with no task left."""
    import asyncio

    source = Source(WORDS, gate=(gate := Gate()))

    async def read():
        async with stream(source.generate("x"), requirements=[Requirement("x", check_chunk=never)]) as s:
            _ = [chunk async for chunk in s]

    async def main():
        gate.allow(1)
        if how == "timeout":
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await read()
        elif how == "wait_for":
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(read(), 0.05)
        else:
            task = asyncio.create_task(read())
            await gate.reached(1)
            task.cancel()
            if how == "cancel twice":
                await asyncio.sleep(0)
                task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await asyncio.sleep(0)
        return asyncio.all_tasks() - {asyncio.current_task()}

    assert asyncio.run(main()) == set()
    assert source.ends == ["cancelled"]


async def test_polling_loses_nothing():
    """Asking for the next chunk with a deadline, again and again, loses no chunk and cancels nothing."""
    gate, got = Gate(), []
    source = Source(WORDS, gate=gate)
    async with stream(source.generate("x"), requirements=[forbid("x")]) as s:
        for _ in range(4):
            with anyio.move_on_after(0.01) as scope:
                got.append(await anext(s))
            assert scope.cancelled_caught
            gate.allow(1)
            await blocked()
            got.append(await anext(s, "end"))
    assert got == [*WORDS, "end"]
    assert (source.ends, s.success) == (["exhausted"], True)


async def test_a_pause_loses_nothing():
    """A loop that is left inside the block can be taken up again where it stopped."""
    async with stream(Source(WORDS).generate("x"), chunking="words") as s:
        async for chunk in s:
            assert chunk == "one "
            break
        await blocked()
        assert await collect(s) == ["two ", "three "]
    assert s.success


async def test_a_slow_reader_holds_the_generation_back():
    """A reader that does not read pauses the generation: what waits is bounded, whatever there is to come."""
    source = Source(["word "] * 100_000)
    async with stream(source.generate("x"), requirements=[forbid("bad")]) as s:
        assert await anext(s) == "word "
        await blocked()
        assert source.handed < 600
        for _ in range(300):
            await anext(s)
        await blocked()
        assert source.handed < 900
    assert source.ends == ["closed"]


async def test_checks_do_not_wait_for_the_reader():
    """Chunks are checked as they come, not as they are read: a failure stops the generation while the reader rests."""
    gate = Gate()
    source = Source(["one ", "two ", "bad ", "never"], gate=gate)
    async with stream(source.generate("x"), requirements=[forbid("bad")]) as s:
        gate.allow(1)
        assert await anext(s) == "one "
        gate.allow(2)
        await blocked()
        assert (source.ends, source.handed) == (["cancelled"], 3)
        assert await collect(s) == ["two "]


@pytest.mark.parametrize("waits", [1, 3])
async def test_who_waits_goes_away_when_something_comes(waits):
    """A reader that waits takes part in the checking; if it is cancelled as a delta comes, checking goes on without."""
    gate, checked = Gate(), []
    source = Source(["one ", "two ", "three ", "bad ", "never"], gate=gate)
    record = Requirement("recorded", check_chunk=lambda chunk, partial: checked.append(str(chunk)))

    async def wait(s, scope):
        with scope:
            await anext(s)

    async with stream(source.generate("x"), requirements=[record, forbid("bad")]) as s:
        gate.allow(1)
        assert await anext(s) == "one "
        for number in range(waits):
            scope = anyio.CancelScope()
            async with anyio.create_task_group() as group:
                group.start_soon(wait, s, scope)
                await blocked()
                if number == waits - 1:
                    gate.allow(1)
                scope.cancel()  # in the same step
        await blocked()
        assert checked == ["one ", "two "]
        gate.allow(2)
        await blocked()
        assert (checked, source.ends) == (["one ", "two ", "three ", "bad "], ["cancelled"])
        rest = await collect(s)
    assert rest in (["two ", "three "], ["three "])  # whether the cancelled wait took the delta or not
    assert (s.text, source.handed) == ("one two three ", 4)


async def test_several_readers():
    """Several tasks may read one stream: each chunk goes to one of them, and all of them end."""
    async with stream(Source([f"{n} " for n in range(40)]).generate("x")) as s, anyio.create_task_group() as group:
        readers = [Consumer(group, lambda: collect(s)) for _ in range(3)]
    assert sorted(int(chunk) for reader in readers for chunk in reader.value) == list(range(40))


async def test_others_who_read_the_thunk():
    """Another consumer of the thunk gets all its text; a rejection cancels the generation for it, too."""
    gate = Gate()
    thunk = Source(["one ", "bad ", "never"], gate=gate).generate("x")
    got = []
    async with anyio.create_task_group() as group:
        other = Consumer(group, lambda: collect(thunk))
        group.start_soon(reading, stream(thunk, requirements=[forbid("bad")]), got)
        gate.allow(2)
    assert got == ["one "]
    assert thunk.partial == "one bad "
    assert "rejected: no bad" in str(other.error)


async def test_nothing_is_left(no_collector):
    """When a stream is over nothing keeps it alive: no task, no cycle with its thunks."""
    before = live_tasks()

    async def later(chunk, partial):
        await anyio.lowlevel.checkpoint()

    backend = Turns(Source(["one ", "bad "]), Source(["good "]))
    requirements = [forbid("bad"), Requirement("x", check_chunk=later)]
    s = stream(backend.generate("x"), requirements=requirements, attempts=2)
    async with s:
        assert (await collect(s))[-1] == "good "
    kept = [weakref.ref(each) for each in (s, *s.thunks)]
    await blocked()
    assert live_tasks() == before
    del s
    await blocked()
    assert [each() for each in kept] == [None] * 3


@pytest.mark.parametrize("why", ["error", "chunker", "left"])
async def test_nothing_is_left_of_what_went_wrong(no_collector, why):
    """A stream that failed, or was left, is not kept alive by its error."""
    source = Source(["one ", "two "], error=ConnectionLost("gone") if why == "error" else None)
    s = stream(source.generate("x"), chunking=(lambda text: []) if why == "chunker" else None)
    async with s:
        if why == "left":
            await anext(s)
        else:
            assert isinstance(await caught(collect(s)), (ConnectionLost, InvalidRequest))
    kept = [weakref.ref(each) for each in (s, *s.thunks)]
    del s
    await blocked()
    assert [each() for each in kept] == [None] * 2


async def test_many_at_once():
    """A hundred streams at once, some rejected and tried again, some left early: each is right, and no task is left."""
    before = live_tasks()
    done = []

    async def one(number):
        backend = Turns(Source([f"{number} ", "bad "]), Source([f"{number} ", "good "]))
        async with stream(backend.generate("x"), requirements=[forbid("bad")], attempts=2) as s:
            async for _ in s:
                if number % 10 == 0:
                    return
        assert s.success
        done.append((number, s.text))

    async with anyio.create_task_group() as group:
        for number in range(100):
            group.start_soon(one, number)
    assert sorted(done) == [(number, f"{number} good ") for number in range(100) if number % 10]
    await blocked()
    assert live_tasks() == before


async def test_streams_inside_streams():
    """A stream may be read inside the block of another one, and left in any order that blocks allow."""
    outer, inner = Echo().generate("a b c"), Echo().generate("x y z")
    got = []
    async with stream(outer, chunking="words") as first:
        async for chunk in first:
            got.append(chunk)
            async with stream(inner.resample(1)[0], chunking="words") as second:
                got.append(await anext(second))
    assert got == ["a ", "x ", "b ", "x ", "c", "x "]
    assert first.success
