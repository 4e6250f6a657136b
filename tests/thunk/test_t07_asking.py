"""T7, asking to stop: `thunk.cancel()` from anywhere, `with thunk:`; and what a plain `for` is told."""

from __future__ import annotations

import asyncio
import collections.abc
import inspect
import sys
import threading
from pathlib import Path

import anyio
import pytest
from anyio.from_thread import start_blocking_portal

import mellite
from mellite.errors import GenerationCancelled, InvalidRequest
from mellite.events import TextDelta
from tests.thunk.support import Consumer, Gate, Source, blocked, caught

LOOPS = ["asyncio", "trio"]
every_loop = pytest.mark.parametrize("loop", LOOPS)


@pytest.mark.anyio
class TestAsking:
    async def test_then_waiting(self):
        """It asks at once; awaiting what it gives waits until the generation has settled and its source is closed."""
        gate = Gate()
        source = Source(gate=gate)
        thunk = mellite.generate(source, "hi")
        gate.allow(1)
        async with anyio.create_task_group() as group:
            consumer = Consumer(group, thunk.avalue)
            await gate.reached(1)
            asked = thunk.cancel("changed my mind")
            assert thunk.state == "running"
            assert await asked is None
            assert (thunk.state, source.open, thunk.partial) == ("cancelled", 0, "one ")
        assert isinstance(consumer.error, GenerationCancelled)
        assert consumer.error.reason == "changed my mind"
        assert await asked is None

    @pytest.mark.usefixtures("no_collector")
    async def test_and_dropping_it(self):
        """What it gives is not a coroutine: dropped, it warns of nothing, and the generation ends all the same."""
        gate = Gate()
        source = Source(gate=gate)
        thunk = mellite.generate(source, "hi")
        async with anyio.create_task_group() as group:
            Consumer(group, thunk.settle)
            await gate.reached(0)
            assert not isinstance(thunk.cancel(), collections.abc.Coroutine)
            await blocked()
        assert (thunk.state, source.open) == ("cancelled", 0)

    async def test_one_that_is_pending(self):
        """A pending one is cancelled by the time it returns, and sends nothing."""
        source = Source()
        thunk = mellite.generate(source, "hi")
        asked = thunk.cancel("early")
        assert (thunk.state, source.calls) == ("cancelled", 0)
        await asked
        assert (await caught(thunk)).reason == "early"

    async def test_one_that_is_settled(self):
        """It changes nothing about one that is settled."""
        thunk = mellite.generate(Source(), "hi")
        await thunk
        await thunk.cancel()
        assert (thunk.state, thunk.value) == ("done", "one two three")

    @pytest.mark.parametrize("ask", ["cancel", "cancel_generation"])
    async def test_from_inside_its_own_stream(self, ask):
        """Inside its own stream it does not wait for itself."""

        class Giving(mellite.Backend):
            async def stream(self, request):
                yield TextDelta("a")
                await getattr(held[0], ask)("had enough")
                await anyio.sleep_forever()

        held = [mellite.generate(Giving(), "hi")]
        assert (await caught(held[0])).reason == "had enough"

    @pytest.mark.parametrize("anyio_backend", ["asyncio"])
    async def test_asyncio_takes_it(self):
        """`asyncio.gather`, `wait_for` and `shield` take what it gives."""
        thunks = [mellite.generate(Source(gate=Gate()), "hi") for _ in range(3)]
        waiting = [asyncio.ensure_future(thunk.settle()) for thunk in thunks]
        await blocked()
        await asyncio.gather(thunks[0].cancel(), thunks[1].cancel())
        await asyncio.shield(asyncio.wait_for(thunks[2].cancel(), 20))
        assert [thunk.state for thunk in thunks] == ["cancelled"] * 3
        await asyncio.gather(*waiting)

    @pytest.mark.slow
    async def test_at_any_moment(self):
        """A signal handler may call it between any two lines of mellite's: nothing hangs, nothing is left running."""
        home = str(Path(mellite.__file__).parent)
        moments = ended = 0
        while not ended:
            source, moments = Source(), moments + 1
            thunk = mellite.generate(source, "hi")
            left, handed = moments, 0

            def step(frame, event, arg, thunk=thunk, source=source):
                nonlocal left, handed
                if event == "line":
                    left -= 1
                    if left == 0:
                        handed = source.handed
                        thunk.cancel("a signal came")
                return step

            def enter(frame, event, arg, step=step):
                return step if frame.f_code.co_filename.startswith(home) else None

            before = sys.gettrace()
            sys.settrace(enter)
            try:
                await thunk.settle()
            finally:
                sys.settrace(before)
            await blocked()
            assert (source.open, len(source.ends)) == (0, source.calls), moments
            ended = left > 0
            if handed < len(source.events) and not ended:
                assert (await caught(thunk)).reason == "a signal came", moments
        assert moments > 50


@every_loop
def test_from_another_thread(loop):
    """Any thread may call it; what it gives may be awaited in the loop of the generation, or in another one."""
    with start_blocking_portal(loop) as home, start_blocking_portal("asyncio") as away:
        source = Source(gate=home.call(Gate))
        thunk = mellite.generate(source, "hi")
        consumer = home.start_task_soon(caught, thunk)
        home.call(source.gate.reached, 0)
        asked = thunk.cancel("from outside")

        async def wait():
            await asked

        away.call(wait)
        assert consumer.result(20).reason == "from outside"
        home.call(wait)
        assert source.open == 0


class Standing(mellite.Backend):
    """A backend that sends one delta, says so, and waits for ever."""

    def __init__(self):
        self.standing = threading.Event()
        self.open = 0

    async def stream(self, request):
        self.open += 1
        try:
            yield TextDelta("one ")
            self.standing.set()
            await anyio.sleep_forever()
        finally:
            self.open -= 1


class TestSyncCode:
    def test_cancel(self):
        """One thread waits with `result()`, another one cancels."""
        backend = Standing()
        thunk = mellite.generate(backend, "hi")
        threading.Thread(target=lambda: backend.standing.wait(20) and thunk.cancel("enough")).start()
        with pytest.raises(GenerationCancelled, match="enough"):
            thunk.result()
        assert (thunk.partial, backend.open) == ("one ", 0)

    def test_with(self):
        """`with thunk:` gives the thunk; at its end it cancels what is unfinished, its source closed by then."""
        backend = Standing()
        with mellite.generate(backend, "hi") as thunk:
            assert thunk.state == "pending"
            assert next(thunk.iter()) == "one "
        assert (thunk.state, backend.open) == ("cancelled", 0)
        with pytest.raises(GenerationCancelled, match="`with` block"):
            thunk.result()

    def test_with_one_that_finishes(self):
        """It leaves alone what has finished, and one never started is cancelled without a call."""
        source = Source()
        with mellite.generate(source, "hi") as thunk:
            thunk.result()
        with mellite.generate(source, "hi") as unused:
            pass
        assert (thunk.state, unused.state, source.calls) == ("done", "cancelled", 1)

    def test_with_an_exception(self):
        """An exception passes through the block unchanged."""
        backend = Standing()
        with pytest.raises(ValueError, match="one"), mellite.generate(backend, "hi") as thunk:
            raise ValueError(next(thunk.iter()))
        assert (thunk.state, backend.open) == ("cancelled", 0)

    @every_loop
    def test_with_inside_a_loop(self, loop):
        """Inside a running loop it asks and does not block: the generation ends as soon as the loop gets to it."""

        async def main():
            backend = Standing()
            with mellite.generate(backend, "hi") as thunk:
                async for _ in thunk:
                    break
            await blocked()
            return thunk.state, backend.open

        assert anyio.run(main, backend=loop) == ("cancelled", 0)


PLAIN = {
    "for": lambda thunk: [delta for delta in thunk],  # noqa: C416
    "list": list,
    "join": "".join,
    "in": lambda thunk: "one" in thunk,
    "index": lambda thunk: thunk[0],
    "star": lambda thunk: max(*thunk),
    "unpack": lambda thunk: exec("first, *rest = thunk", {"thunk": thunk}),
}


class TestPlainFor:
    @pytest.mark.parametrize("use", PLAIN.values(), ids=PLAIN)
    @pytest.mark.parametrize("settled", [False, True])
    def test_advice(self, use, settled):
        """Reading a thunk like a list is told what to write instead, and starts nothing."""
        source = Source()
        thunk = mellite.generate(source, "hi")
        if settled:
            thunk.result()
        with pytest.raises(InvalidRequest, match=r"async for delta in thunk.*thunk\.iter\(\).*thunk\.text"):
            use(thunk)
        assert source.calls == settled

    def test_is_no_iterable(self):
        """A thunk is not an Iterable, Sequence or Container; it is an AsyncIterable and an Awaitable."""
        thunk = mellite.generate(Source(), "hi")
        kinds = ("Iterable", "Iterator", "Sequence", "Collection", "Container", "AsyncIterable", "Awaitable")
        found = [kind for kind in kinds if isinstance(thunk, getattr(collections.abc, kind))]
        assert found == ["AsyncIterable", "Awaitable"]


@pytest.mark.parametrize("form", ["create_task(thunk.settle())", "thunk.avalue()", "asyncio.run", "asyncio.wait"])
def test_help_names_the_forms(form):
    """`help(thunk)` says what to give to those functions of asyncio that take coroutines only."""
    assert form in inspect.getdoc(mellite.ModelOutputThunk)
