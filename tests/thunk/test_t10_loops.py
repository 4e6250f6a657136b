"""T10, loops and threads: a thunk works in any loop, may be awaited from another one, and from code without a loop."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import anyio
import pytest
import trio
from anyio.from_thread import start_blocking_portal

import mellite
from mellite.backends.fake import Constant, Echo, Failing, Scripted
from mellite.errors import ConnectionLost, GenerationCancelled, SyncInsideLoop
from mellite.events import Finish, TextDelta
from tests.thunk.support import Consumer, Gate, Source, blocked, caught, collect, collected_then, run_child

LOOPS = ["asyncio", "trio"]
every_loop = pytest.mark.parametrize("loop", LOOPS)
two_loops = pytest.mark.parametrize(("loop", "other"), [(a, b) for a in LOOPS for b in LOOPS])

CONSUMERS = {
    "await": lambda thunk: thunk.avalue(),
    "settle": lambda thunk: thunk.settle(),
    "iterate": collect,
    "events": lambda thunk: collect(thunk.events()),
}


async def begin(thunk):
    """Start it, read one delta and leave it paused."""
    async for _ in thunk:
        break


async def value_of(thunk):
    return await thunk


class Endless(mellite.Backend):
    """A backend that sends one delta and then nothing, and counts how many of its streams are open."""

    def __init__(self):
        self.open = 0
        self.standing = threading.Event()

    async def stream(self, request):
        self.open += 1
        try:
            yield TextDelta("one ")
            self.standing.set()
            await anyio.sleep_forever()
        finally:
            self.open -= 1


class TestAnyLoop:
    @every_loop
    def test_made_without_a_loop(self, loop):
        """A thunk made where no loop runs works in any."""
        source = Source()
        for consume in CONSUMERS.values():
            thunk = mellite.generate(source, "hi")
            anyio.run(consume, thunk, backend=loop)
            assert thunk.value == source.text

    @two_loops
    def test_made_in_another_loop(self, loop, other):
        """A thunk made in one loop works in a later one."""

        async def make():
            return mellite.generate(Source(), "hi")

        thunk = anyio.run(make, backend=loop)
        assert anyio.run(value_of, thunk, backend=other) == "one two three"

    @two_loops
    def test_settled_is_awaited_anywhere(self, loop, other):
        """A settled thunk is awaited, iterated and read in any later loop, in threads, and without a loop."""
        thunk = mellite.generate(Source(), "hi")
        anyio.run(value_of, thunk, backend=loop)
        for consume in CONSUMERS.values():
            anyio.run(consume, thunk, backend=other)
        with ThreadPoolExecutor(2) as pool:
            assert pool.submit(thunk.result).result() == "one two three"
            assert pool.submit(anyio.run, value_of, thunk, backend=other).result() == "one two three"
        assert thunk.result() == "one two three"
        assert list(thunk.iter()) == ["one ", "two ", "three"]

    @two_loops
    def test_failed_is_awaited_anywhere(self, loop, other):
        """A failed thunk raises the same error in any later loop and without one."""
        thunk = mellite.generate(Failing(ConnectionLost("gone"), after=1), "hi")
        first = anyio.run(caught, thunk, backend=loop)
        assert anyio.run(caught, thunk, backend=other) is first
        with pytest.raises(ConnectionLost) as raised:
            thunk.result()
        assert raised.value is first


BACKENDS = {
    "echo": Echo,
    "constant": lambda: Constant("one two"),
    "scripted": lambda: Scripted(["one two"] * 50, delay=0.0001),
    "source": Source,
}


class TestOneBackend:
    @pytest.mark.parametrize("make", BACKENDS.values(), ids=BACKENDS)
    def test_in_loop_after_loop(self, make):
        """One backend object works in a second and third loop, of either kind, and without one in between."""
        backend = make()
        expected = mellite.generate(backend, "one two").result()
        for loop in ("asyncio", "asyncio", "trio", "asyncio", "trio", "trio"):
            assert anyio.run(value_of, mellite.generate(backend, "one two"), backend=loop) == expected
            assert mellite.generate(backend, "one two").result() == expected

    @pytest.mark.parametrize("make", BACKENDS.values(), ids=BACKENDS)
    def test_in_many_threads(self, make):
        """One backend object works in loops in several threads at the same time, and in sync code beside them."""
        backend = make()
        expected = mellite.generate(backend, "one two").result()

        def work(n):
            thunk = mellite.generate(backend, "one two")
            return thunk.result() if n % 3 == 0 else anyio.run(value_of, thunk, backend=LOOPS[n % 3 - 1])

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(work, range(24))) == [expected] * 24

    @every_loop
    def test_after_a_loop_that_ended_in_the_middle(self, loop):
        """A backend whose stream was cut off with its loop works in the next one."""
        backend = Source([f"{n} " for n in range(2_000)])
        anyio.run(begin, mellite.generate(backend, "hi"), backend=loop)
        for other in LOOPS:
            assert anyio.run(value_of, mellite.generate(backend, "hi"), backend=other) == backend.text

    def test_after_a_closed_loop(self):
        """A backend works after a loop was closed by hand, and in one that replaces it."""
        backend = Echo()
        for _ in range(3):
            loop = asyncio.new_event_loop()
            assert loop.run_until_complete(value_of(mellite.generate(backend, "hi"))) == "hi"
            loop.close()


class TestFromElsewhere:
    @two_loops
    @pytest.mark.parametrize("kind", CONSUMERS)
    def test_running_one_is_awaited_from_another_loop(self, loop, other, kind):
        """A running thunk is awaited from another thread's loop while its own runs; it stays one call in one thread."""
        with start_blocking_portal(loop) as home, start_blocking_portal(other) as away:
            gate = home.call(Gate)
            source = Source(gate=gate)
            thunk = mellite.generate(source, "hi")
            first = home.start_task_soon(value_of, thunk)
            home.call(gate.reached, 0)
            second = away.start_task_soon(CONSUMERS[kind], thunk)
            away.call(blocked)
            for _ in range(4):
                home.call(gate.allow)
            assert first.result(20) == source.text
            second.result(20)
            assert thunk.value == source.text
        assert (source.calls, len(source.threads)) == (1, 1)

    @two_loops
    def test_deltas_arrive_one_by_one(self, loop, other):
        """An iterator in another loop gets each delta when it arrives."""
        with start_blocking_portal(loop) as home, start_blocking_portal(other) as away:
            gate = home.call(Gate)
            thunk = mellite.generate(Source(gate=gate), "hi")
            keep = home.start_task_soon(value_of, thunk)
            home.call(gate.reached, 0)
            iterator = aiter(thunk)
            for text in ("one ", "two ", "three"):
                step = away.start_task_soon(anext, iterator)
                away.call(blocked)
                assert not step.done()
                home.call(gate.allow)
                assert step.result(20) == text
            home.call(gate.allow)
            keep.result(20)

    @two_loops
    def test_one_that_leaves_from_elsewhere(self, loop, other):
        """A consumer in another loop that is cancelled leaves the one at home alone; the last one takes it along."""
        with start_blocking_portal(loop) as home, start_blocking_portal(other) as away:
            gate = home.call(Gate)
            source = Source(gate=gate)
            thunk = mellite.generate(source, "hi")
            first = home.start_task_soon(caught, thunk)
            home.call(gate.reached, 0)
            second = away.start_task_soon(caught, thunk)
            away.call(blocked)
            second.cancel()
            away.call(blocked)
            assert (thunk.state, source.open) == ("running", 1)
            first.cancel()
            home.call(blocked)
            assert (thunk.state, source.open) == ("cancelled", 0)

    @two_loops
    def test_the_last_one_is_elsewhere(self, loop, other):
        """When the last consumer is cancelled in another loop than the generation's, the generation is cancelled."""
        with start_blocking_portal(loop) as home, start_blocking_portal(other) as away:
            source = Endless()
            thunk = mellite.generate(source, "hi")
            home.call(begin, thunk)
            second = away.start_task_soon(caught, thunk)
            away.call(blocked)
            second.cancel()
            away.call(blocked)
            error = anyio.run(caught, thunk)
            assert isinstance(error, GenerationCancelled)
            assert (thunk.state, source.open) == ("cancelled", 0)

    @every_loop
    def test_sync_code_waits_for_one_that_runs_in_a_loop(self, loop):
        """`result()` and `iter()` wait for a thunk that runs in another thread's loop."""
        with start_blocking_portal(loop) as home, ThreadPoolExecutor(2) as pool:
            gate = home.call(Gate)
            source = Source(gate=gate)
            thunk = mellite.generate(source, "hi")
            first = home.start_task_soon(value_of, thunk)
            home.call(gate.reached, 0)
            result, deltas = pool.submit(thunk.result), pool.submit(lambda: list(thunk.iter()))
            home.call(gate.allow, 9)
            assert result.result(20) == first.result(20) == source.text
            assert deltas.result(20) == ["one ", "two ", "three"]
        assert source.calls == 1

    @every_loop
    def test_a_loop_waits_for_one_that_sync_code_started(self, loop):
        """A thunk that `iter()` has started is awaited in a loop."""
        source = Source([f"{n} " for n in range(2_000)])
        thunk = mellite.generate(source, "hi")
        for _ in thunk.iter():
            break
        assert anyio.run(value_of, thunk, backend=loop) == source.text
        assert source.calls == 1

    @pytest.mark.anyio
    async def test_worker_thread_of_the_same_loop(self):
        """A worker thread may wait with `result()` for a thunk that runs in the loop that waits for the worker."""
        gate = Gate()
        source = Source(gate=gate)
        thunk = mellite.generate(source, "hi")
        async with anyio.create_task_group() as group:
            Consumer(group, thunk.avalue)
            await gate.reached(0)
            worker = Consumer(group, lambda: anyio.to_thread.run_sync(thunk.result))
            gate.allow(9)
        assert worker.value == source.text


class TestALoopThatEnds:
    @every_loop
    @pytest.mark.parametrize("suspended", [False, True])
    def test_takes_its_generations_with_it(self, loop, suspended):
        """A generation whose loop ends is cancelled, reason "event loop closed", its text kept, its source closed."""
        backend = Endless() if suspended else Source([f"{n} " for n in range(2_000)])
        thunk = mellite.generate(backend, "hi")
        anyio.run(begin, thunk, backend=loop)
        assert (thunk.state, thunk.cancelled, thunk.error) == ("cancelled", True, None)
        assert thunk.partial.startswith("one " if suspended else "0 ")
        assert backend.open == 0
        for other in LOOPS:
            assert anyio.run(caught, thunk, backend=other).reason == "event loop closed"
        with pytest.raises(GenerationCancelled, match="event loop closed"):
            thunk.result()
        assert "".join(anyio.run(collected_then, thunk)[0]) == thunk.partial

    @every_loop
    def test_inside_of_nested_task_groups(self, loop):
        """Task groups of anyio, nested, take back too many requests to cancel; the thunk is cancelled all the same."""

        async def deep():
            async with anyio.create_task_group() as group:
                group.start_soon(anyio.sleep_forever)
                await anyio.sleep_forever()

        class Nested:
            async def stream(self, request):
                yield TextDelta("one ")
                async with anyio.create_task_group() as group:
                    for _ in range(3):
                        group.start_soon(deep)
                    await anyio.sleep_forever()

        async def main():
            reader = aiter(thunk)
            await anext(reader)
            held.append(reader)
            await blocked()

        held = []
        thunk = mellite.generate(Nested(), "hi")
        anyio.run(main, backend=loop)
        assert (thunk.state, thunk.error, thunk.partial) == ("cancelled", None, "one ")
        with pytest.raises(GenerationCancelled, match="event loop closed"):
            thunk.result()

    @every_loop
    def test_with_its_last_consumer(self, loop):
        """When its last consumer ends together with the loop, the reason is one of the two."""
        thunk = mellite.generate(Endless(), "hi")

        async def main():
            if loop == "asyncio":
                held.append(asyncio.create_task(caught(thunk)))
            else:
                trio.lowlevel.spawn_system_task(swallow, thunk)
            await blocked()

        async def swallow(thunk):
            with anyio.CancelScope():
                await caught(thunk)

        held = []
        anyio.run(main, backend=loop)
        assert thunk.state == "cancelled"
        with pytest.raises(GenerationCancelled) as raised:
            thunk.result()
        assert raised.value.reason
        assert thunk.partial == "one "

    @every_loop
    def test_while_another_loop_waits(self, loop):
        """A consumer in another loop is told when the loop of the generation ends."""
        thunk = mellite.generate(Endless(), "hi")
        with start_blocking_portal("asyncio") as away:
            with start_blocking_portal(loop) as home:
                home.call(begin, thunk)
                waiting = away.start_task_soon(caught, thunk)
                away.call(blocked)
            error = waiting.result(20)
        assert isinstance(error, GenerationCancelled)
        assert error.reason == "event loop closed"

    def test_while_sync_code_waits(self):
        """A thread in `result()` is told too."""
        source = Endless()
        thunk = mellite.generate(source, "hi")
        with ThreadPoolExecutor(1) as pool:
            with start_blocking_portal("asyncio") as home:
                home.call(begin, thunk)
                waiting = pool.submit(thunk.result)
                assert source.standing.wait(20)
            with pytest.raises(GenerationCancelled):
                waiting.result(20)

    def test_closed_without_being_asked(self):
        """A loop that is closed by hand, its tasks still pending, takes its generations with it as well."""
        backend = Endless()
        thunk = mellite.generate(backend, "hi")
        loop = asyncio.new_event_loop()
        loop.run_until_complete(begin(thunk))
        loop.close()
        assert (thunk.state, thunk.partial) == ("cancelled", "one ")
        error = asyncio.run(caught(thunk))
        assert isinstance(error, GenerationCancelled)
        assert error.reason == "event loop closed"
        assert asyncio.run(collected_then(thunk))[0] == ["one "]

    @pytest.mark.parametrize("how", ["result", "iter"])
    def test_closed_by_hand_while_a_thread_waits(self, how):
        """A thread that waits for a generation of a loop that is closed by hand is told: the loop tells nobody."""
        thunk = mellite.generate(Endless(), "hi")
        loop = asyncio.new_event_loop()
        loop.run_until_complete(begin(thunk))
        entered = threading.Event()

        def wait():
            if how == "result":
                entered.set()
                return thunk.result()
            texts = thunk.iter()
            assert next(texts) == "one "
            entered.set()
            return next(texts)

        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(wait)
            assert entered.wait(20)
            loop.close()
            try:
                with pytest.raises(GenerationCancelled, match="event loop closed"):
                    waiting.result(20)
            finally:
                thunk.is_computed()  # who looks ends the wait in any case

    @pytest.mark.parametrize("library", ["asyncio", "trio"])
    @pytest.mark.parametrize("how", ["await", "texts", "events"])
    def test_closed_by_hand_while_another_loop_waits(self, how, library):
        """So is a task of another loop, which awaits it or reads it; what came before is read."""
        thunk = mellite.generate(Endless(), "hi")
        loop = asyncio.new_event_loop()
        loop.run_until_complete(begin(thunk))
        entered, read = threading.Event(), []

        async def wait():
            with anyio.fail_after(20):
                if how == "await":
                    entered.set()
                    await thunk
                async for each in thunk if how == "texts" else thunk.events():
                    read.append(each)
                    entered.set()

        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(anyio.run, wait, backend=library)
            assert entered.wait(20)
            loop.close()
            with pytest.raises(GenerationCancelled, match="event loop closed"):
                waiting.result(30)
        assert len(read) == (how != "await")

    def test_dropped_after_the_loop_was_closed(self):
        """A thunk that is dropped after its loop was closed by hand is dropped in silence."""
        thunk = mellite.generate(Source([f"{n} " for n in range(2_000)]), "hi")
        loop = asyncio.new_event_loop()
        loop.run_until_complete(begin(thunk))
        loop.close()
        del thunk

    def test_cancelled_after_the_loop_was_closed(self):
        """Cancelling one whose loop was closed is not an error, in any later loop."""
        thunk = mellite.generate(Endless(), "hi")
        loop = asyncio.new_event_loop()
        loop.run_until_complete(begin(thunk))
        loop.close()
        asyncio.run(thunk.cancel_generation("late"))
        assert thunk.state == "cancelled"

    @pytest.mark.parametrize("kind", [*CONSUMERS, "gather", "cancel"])
    @pytest.mark.parametrize("begun", [False, True])
    def test_closed_while_consumers_wait(self, kind, begun):
        """A loop closed by hand while consumers wait in it: they go with it, in silence, and the thunk is cancelled."""
        functions = {**CONSUMERS, "gather": mellite.gather, "cancel": mellite.ModelOutputThunk.cancel_generation}
        thunk = mellite.generate(Endless(), "hi")
        loop = asyncio.new_event_loop()
        if begun:
            loop.run_until_complete(begin(thunk))
        task = loop.create_task(functions[kind](thunk))
        task._log_destroy_pending = False  # the consumer's own task is the caller's business
        for _ in range(1 if kind == "cancel" else 5):
            loop.run_until_complete(asyncio.sleep(0))
        loop.close()
        assert thunk.state == "cancelled"
        del task, loop
        gc.collect()
        assert isinstance(asyncio.run(caught(thunk)), GenerationCancelled)

    @pytest.mark.parametrize("kind", [*CONSUMERS, "gather"])
    def test_closed_while_the_only_one_that_knows_the_thunk_waits(self, kind):
        """A thunk that is only known inside of a coroutine goes with it in silence when the loop is closed by hand."""
        functions = {**CONSUMERS, "gather": mellite.gather}

        async def consume():
            thunk = mellite.generate(Endless(), "hi")
            return await functions[kind](thunk)

        loop = asyncio.new_event_loop()
        task = loop.create_task(consume())
        task._log_destroy_pending = False
        for _ in range(5):
            loop.run_until_complete(asyncio.sleep(0))
        loop.close()
        del task, loop
        gc.collect()

    def test_stopped_but_not_closed(self):
        """A loop that is stopped keeps its generations waiting; when it runs again they go on."""
        source = Source([f"{n} " for n in range(2_000)])
        thunk = mellite.generate(source, "hi")
        loop = asyncio.new_event_loop()
        loop.run_until_complete(begin(thunk))
        assert (thunk.state, source.open) == ("running", 1)
        assert loop.run_until_complete(value_of(thunk)) == source.text
        loop.close()
        assert source.calls == 1

    def test_waited_for_while_it_is_stopped(self):
        """Who waits in another thread while the loop is stopped gets the value when it runs again."""
        source = Source([f"{n} " for n in range(2_000)])
        thunk = mellite.generate(source, "hi")
        loop = asyncio.new_event_loop()
        loop.run_until_complete(begin(thunk))
        with start_blocking_portal("asyncio") as away:
            waiting = away.start_task_soon(value_of, thunk)
            away.call(blocked)
            assert thunk.state == "running"
            loop.run_until_complete(value_of(thunk))
            assert waiting.result(20) == source.text
        loop.close()

    @every_loop
    def test_that_failed(self, loop):
        """A loop that ends with an exception takes its generations with it, and the exception comes out unchanged."""
        thunk = mellite.generate(Endless(), "hi")

        async def main():
            await begin(thunk)
            msg = "mine"
            raise ValueError(msg)

        with pytest.raises(ValueError, match="mine"):
            anyio.run(main, backend=loop)
        assert thunk.state == "cancelled"


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.anyio
class TestAsyncioTakesThunks:
    async def test_gather(self):
        """`asyncio.gather` takes thunks as they are."""
        thunks = [mellite.generate(Source([str(n)]), "hi") for n in range(5)]
        assert await asyncio.gather(*thunks) == list("01234")
        assert await asyncio.gather(thunks[0], thunks[0]) == ["0", "0"]

    async def test_gather_with_exceptions(self):
        """`asyncio.gather(return_exceptions=True)` gives the thunk's own error."""
        good, bad = mellite.generate(Source(), "hi"), mellite.generate(Source(error=ConnectionLost("gone")), "hi")
        assert await asyncio.gather(good, bad, return_exceptions=True) == [good.value, bad.error]

    async def test_gather_that_fails(self):
        """Without it the first error comes out, and the siblings keep their results."""
        good, bad = mellite.generate(Source(), "hi"), mellite.generate(Source([], error=ConnectionLost("gone")), "hi")
        with pytest.raises(ConnectionLost):
            await asyncio.gather(good, bad)
        assert await good == "one two three"

    async def test_wait_for(self):
        """`asyncio.wait_for` takes a thunk as it is, in time and out of time."""
        assert await asyncio.wait_for(mellite.generate(Source(), "hi"), 20) == "one two three"
        late = mellite.generate(Endless(), "hi")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(late, 0.01)
        await blocked()
        assert late.state == "cancelled"

    async def test_as_completed(self):
        """`asyncio.as_completed` takes thunks as they are, and gives the first that is ready first."""
        gate = Gate()
        slow, fast = mellite.generate(Source(["slow"], gate=gate), "hi"), mellite.generate(Source(["fast"]), "hi")
        got = []
        for future in asyncio.as_completed([slow, fast]):
            got.append(await future)
            gate.allow(9)
        assert got == ["fast", "slow"]

    async def test_shield(self):
        """`asyncio.shield` takes a thunk as it is, and keeps a cancellation from it."""
        gate = Gate()
        thunk = mellite.generate(Source(gate=gate), "hi")

        async def wait():
            await asyncio.shield(thunk)

        task = asyncio.create_task(wait())
        await gate.reached(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await blocked()
        assert thunk.state == "running"
        gate.allow(9)
        assert await thunk == "one two three"

    async def test_ensure_future(self):
        """`asyncio.ensure_future` takes a thunk as it is."""
        assert await asyncio.ensure_future(mellite.generate(Source(), "hi")) == "one two three"

    async def test_create_task(self):
        """`create_task`, `TaskGroup` and `asyncio.wait` take what `avalue()` and `settle()` give."""
        thunks = [mellite.generate(Source([str(n)]), "hi") for n in range(4)]
        assert await asyncio.create_task(thunks[0].avalue()) == "0"
        async with asyncio.TaskGroup() as group:
            task = group.create_task(thunks[1].settle())
        assert task.result() is thunks[1]
        done, pending = await asyncio.wait({asyncio.create_task(thunk.avalue()) for thunk in thunks[2:]})
        assert ({task.result() for task in done}, pending) == ({"2", "3"}, set())


FACTORIES = [None, *[getattr(asyncio, name) for name in ("eager_task_factory",) if hasattr(asyncio, name)]]
"""How a loop makes its tasks: as usual and, from Python 3.12 on, eagerly, running their first step at once."""


@pytest.mark.parametrize("factory", FACTORIES)
class TestTaskFactories:
    def run(self, factory, function):
        async def main():
            asyncio.get_running_loop().set_task_factory(factory)
            return await function()

        return asyncio.run(main())

    @pytest.mark.parametrize("suspend", [False, True])
    @pytest.mark.parametrize("kind", CONSUMERS)
    def test_every_consumer(self, factory, kind, suspend):
        """Thunks work in a loop that has a task factory of its own."""
        source = Source(suspend=suspend)
        thunk = mellite.generate(source, "hi")
        self.run(factory, lambda: CONSUMERS[kind](thunk))
        assert (thunk.value, source.calls) == (source.text, 1)

    def test_streams_that_wait_for_thunks(self, factory):
        """Also when the first step of one generation drives another one."""
        outer = mellite.generate(Echo(), ["say ", mellite.generate(Source(suspend=False), "hi")])
        assert self.run(factory, outer.avalue) == "say one two three"

        class Nested(mellite.Backend):
            async def stream(self, request):
                yield TextDelta(await mellite.generate(Echo(), "inner"))
                yield Finish("stop")

        assert self.run(factory, mellite.generate(Nested(), "hi").avalue) == "inner"

    def test_cancelling(self, factory):
        """And cancelling, early and late."""

        async def cancel():
            for steps in range(4):
                thunk = mellite.generate(Endless(), "hi")
                task = asyncio.get_running_loop().create_task(caught(thunk))
                for _ in range(steps):
                    await asyncio.sleep(0)
                await thunk.cancel_generation()
                assert isinstance(await task, GenerationCancelled)
                assert thunk.state == "cancelled"

        self.run(factory, cancel)

    def test_failing(self, factory):
        """And failing at once."""
        error = ConnectionLost("gone")
        assert (
            self.run(factory, lambda: caught(mellite.generate(Source([], error=error, suspend=False), "hi"))) is error
        )


def test_loops_run_its_coroutines():
    """`asyncio.run`, `trio.run` and `anyio.run` take `avalue` and `settle`."""
    assert asyncio.run(mellite.generate(Source(), "hi").avalue()) == "one two three"
    assert trio.run(mellite.generate(Source(), "hi").avalue) == "one two three"
    thunk = mellite.generate(Source(), "hi")
    assert anyio.run(thunk.settle) is thunk


class TestSyncCode:
    def test_result(self):
        """`result()` generates and gives the parsed value."""
        assert mellite.generate(Source(), "hi").result() == "one two three"
        assert mellite.generate(Constant("[1]"), "hi", output=list[int]).result() == [1]

    def test_result_raises(self):
        """`result()` raises as `await` does."""
        thunk = mellite.generate(Source(["a"], error=ConnectionLost("gone")), "hi")
        with pytest.raises(ConnectionLost) as raised:
            thunk.result()
        assert raised.value is thunk.error

    def test_iter(self):
        """`iter()` gives the deltas, as often as it is asked."""
        thunk = mellite.generate(Source(), "hi")
        assert list(thunk.iter()) == ["one ", "two ", "three"]
        assert list(thunk.iter()) == ["one ", "two ", "three"]
        assert thunk.state == "done"

    def test_iter_raises(self):
        """`iter()` over a failed thunk gives all the text and then raises."""
        thunk = mellite.generate(Source(["a", "b"], error=ConnectionLost("gone")), "hi")
        for _ in range(2):
            got = []
            with pytest.raises(ConnectionLost):  # noqa: PT012
                for delta in thunk.iter():
                    got.append(delta)  # noqa: PERF402 - what came before the error counts
            assert got == ["a", "b"]

    def test_iter_streams(self):
        """`iter()` hands each delta on before the next one is produced."""
        turns = [threading.Event() for _ in range(3)]

        class Turns(mellite.Backend):
            async def stream(self, request):
                for n, turn in enumerate(turns):
                    await anyio.to_thread.run_sync(turn.wait, abandon_on_cancel=True)
                    yield TextDelta(str(n))
                yield Finish("stop")

        iterator = mellite.generate(Turns(), "hi").iter()
        for n, turn in enumerate(turns):
            turn.set()
            assert next(iterator) == str(n)
        assert list(iterator) == []

    def test_from_many_threads(self):
        """Many threads wait at the same time, for one thunk or for many."""
        source = Source([f"{n} " for n in range(50)])
        one = mellite.generate(source, "hi")
        with ThreadPoolExecutor(16) as pool:
            assert set(pool.map(lambda _: one.result(), range(32))) == {source.text}
            assert source.calls == 1
            assert set(pool.map(lambda _: mellite.generate(source, "hi").result(), range(32))) == {source.text}
            assert {"".join(deltas) for deltas in pool.map(lambda _: list(one.iter()), range(32))} == {source.text}
        assert source.calls == 33

    def test_one_daemon_thread(self):
        """All sync callers share one loop thread, which does not keep the process alive."""
        mellite.generate(Echo(), "hi").result()
        before = set(threading.enumerate())
        source = Source()
        for _ in range(20):
            mellite.generate(source, "hi").result()
            list(mellite.generate(source, "hi").iter())
        assert set(threading.enumerate()) == before
        assert len(source.threads) == 1
        (thread,) = [thread for thread in before if thread.ident in source.threads]
        assert thread.daemon
        assert thread is not threading.main_thread()

    def test_thread_is_started_on_first_need(self):
        """The loop thread is started by the first call, not by the import; a program ends although it runs."""
        run_child(
            """
            import threading, mellite
            from mellite.backends.fake import Echo
            assert threading.active_count() == 1
            thunk = mellite.generate(Echo(), "hi")
            assert threading.active_count() == 1
            assert thunk.result() == "hi"
            assert threading.active_count() == 2
            paused = mellite.generate(Echo(), "word " * 5000)
            for delta in paused.iter():
                break
            """
        )

    def test_after_a_fork(self):
        """In a forked child, which has none of its parent's threads, sync calls work."""
        code = """
            import os, signal, warnings
            import mellite
            from mellite.backends.fake import Echo
            warnings.simplefilter("ignore", DeprecationWarning)  # forking with threads, from Python 3.12 on
            assert mellite.generate(Echo(), "parent").result() == "parent"
            child = os.fork()
            if child == 0:
                signal.alarm(20)
                ok = mellite.generate(Echo(), "child").result() == "child"
                os._exit(0 if ok else 1)
            _, status = os.waitpid(child, 0)
            print(os.waitstatus_to_exitcode(status))
            assert mellite.generate(Echo(), "parent").result() == "parent"
            """
        if hasattr(os, "fork"):
            assert run_child(code).stdout.strip() == "0"

    def test_timeout_of_a_settled_one(self):
        """A timeout of zero is enough for a settled thunk."""
        thunk = mellite.generate(Source(), "hi")
        thunk.result()
        assert thunk.result(timeout=0) == "one two three"


@pytest.mark.anyio
class TestSyncInsideALoop:
    @pytest.mark.parametrize("call", [lambda t: t.result(), lambda t: t.result(timeout=1), lambda t: list(t.iter())])
    async def test_pending(self, call):
        """In a running loop sync calls raise SyncInsideLoop, which says what to do, and start nothing."""
        source = Source()
        thunk = mellite.generate(source, "hi")
        with pytest.raises(SyncInsideLoop, match=r"await|async for"):
            call(thunk)
        await blocked()
        assert (thunk.state, source.calls) == ("pending", 0)
        assert await thunk == "one two three"

    async def test_running(self):
        """Also for a running thunk, which it leaves running."""
        gate = Gate()
        thunk = mellite.generate(Source(gate=gate), "hi")
        async with anyio.create_task_group() as group:
            consumer = Consumer(group, thunk.avalue)
            await gate.reached(0)
            for call in (thunk.result, lambda: list(thunk.iter())):
                with pytest.raises(SyncInsideLoop):
                    call()
            assert thunk.state == "running"
            gate.allow(9)
        assert consumer.value == "one two three"

    @pytest.mark.parametrize("error", [None, ConnectionLost("gone")])
    async def test_settled(self, error):
        """A settled thunk gives its result, or its error, in a running loop too."""
        thunk = await mellite.generate(Source(["a", "b"], error=error), "hi").settle()
        if error is None:
            assert thunk.result() == "ab"
            assert list(thunk.iter()) == ["a", "b"]
        else:
            for call in (thunk.result, lambda: list(thunk.iter())):
                with pytest.raises(ConnectionLost):
                    call()

    async def test_cancelled(self):
        """So does a cancelled one."""
        thunk = mellite.generate(Source(), "hi")
        await thunk.cancel_generation()
        with pytest.raises(GenerationCancelled):
            thunk.result()

    async def test_inside_a_backend(self):
        """A backend that waits with `result()` inside its stream gets the error instead of a deadlock."""

        class Nested(mellite.Backend):
            async def stream(self, request):
                yield TextDelta(mellite.generate(Echo(), "inner").result())
                yield Finish("stop")

        assert isinstance(await caught(mellite.generate(Nested(), "hi")), SyncInsideLoop)

    async def test_inside_a_backend_of_a_sync_call(self):
        """Also when that stream runs in the background loop of a sync caller."""

        class Nested(mellite.Backend):
            async def stream(self, request):
                yield TextDelta(mellite.generate(Echo(), "inner").result())
                yield Finish("stop")

        def call():
            with pytest.raises(SyncInsideLoop):
                mellite.generate(Nested(), "hi").result()

        await anyio.to_thread.run_sync(call)

    async def test_in_a_worker_thread(self):
        """In a worker thread, where no loop runs, they work."""
        thunk = mellite.generate(Source(), "hi")
        assert await anyio.to_thread.run_sync(thunk.result) == "one two three"
