"""T11, nothing leaks: no task, busy socket or warning outlives its thunk."""

from __future__ import annotations

import copy
import gc
import signal
import textwrap
import threading
import weakref

import anyio
import pytest
from anyio.lowlevel import checkpoint

import mellite
from mellite.backends.fake import Echo
from mellite.errors import ConnectionLost
from mellite.events import Finish, TextDelta
from tests.thunk.support import Consumer, Gate, Source, blocked, caught, collect, live_tasks, run_child

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_collector")]


async def await_it(thunk, _gate):
    await thunk.settle()


async def iterate(thunk, _gate):
    await collect(thunk)


async def iterate_twice(thunk, gate):
    await iterate(thunk, gate)
    await collect(thunk.events())


async def leave_and_drop(thunk, _gate):
    async for _ in thunk:
        break


async def leave_and_cancel(thunk, _gate):
    async for _ in thunk:
        break
    await thunk.cancel_generation()


async def time_out(thunk, gate):
    with anyio.move_on_after(0.01):
        await gate.wait(-1)  # what never comes, beside the thunk
    async with anyio.create_task_group() as group:
        consumer = Consumer(group, thunk.settle)
        await checkpoint()
        consumer.cancel()


async def block(thunk, _gate):
    async with thunk:
        async for _ in thunk:
            break


async def cancel_at_once(thunk, _gate):
    await thunk.cancel_generation()


async def copies(thunk, _gate):
    await mellite.gather(*thunk.resample(3), copy.copy(thunk), copy.deepcopy(thunk))


async def several(thunk, _gate):
    async with anyio.create_task_group() as group:
        for kind in (thunk.settle, lambda: caught(thunk), lambda: caught(leave_and_drop(thunk, None))):
            group.start_soon(kind)


async def as_a_part(thunk, _gate):
    await mellite.generate(Echo(), ["say ", thunk]).settle()


ENDINGS = [
    await_it,
    iterate,
    iterate_twice,
    leave_and_drop,
    leave_and_cancel,
    time_out,
    block,
    cancel_at_once,
    copies,
    several,
    as_a_part,
]

SOURCES = {
    "finishes": Source,
    "long": lambda: Source([f"{n} " for n in range(1_000)]),
    "never waits": lambda: Source([f"{n} " for n in range(1_000)], suspend=False),
    "fails": lambda: Source(error=ConnectionLost("gone")),
    "fails at once": lambda: Source([], error=ValueError("odd")),
    "does not finish": lambda: Source([TextDelta("a"), TextDelta("b")]),
    "goes on": lambda: Source([TextDelta("a"), Finish("stop"), TextDelta("b")]),
    "nonsense": lambda: Source([TextDelta("a"), 3]),
}


@pytest.mark.slow
@pytest.mark.parametrize("make", SOURCES.values(), ids=SOURCES)
@pytest.mark.parametrize("ending", ENDINGS)
async def test_no_task_is_left(make, ending):
    """However a generation ends, its tasks are gone and its source is closed, without the garbage collector's help."""
    before = live_tasks()
    source = make()
    thunk = mellite.generate(source, "hi")
    try:
        await ending(thunk, Gate())
    except mellite.errors.MelliteError as error:
        assert error is thunk.error  # noqa: PT017 - the failing sources fail
        del error
    del thunk
    await blocked()
    assert live_tasks() == before
    assert source.open == 0
    assert source.calls == len(source.ends)


@pytest.mark.parametrize("output", [str, list[int]], ids=["text", "an answer that does not fit"])
@pytest.mark.parametrize("make", [SOURCES["finishes"], SOURCES["fails"], SOURCES["nonsense"]])
@pytest.mark.parametrize("ask", [mellite.generate, mellite.run])
async def test_thunks_are_freed(ask, make, output):
    """A settled thunk, its generation and what it read are freed with the last reference, without the collector."""
    thunk = ask(make(), "hi", output=output)
    await thunk.settle()
    references = [weakref.ref(each) for each in (thunk, thunk._gen, thunk.outcome)]
    del thunk
    await blocked()
    assert [reference() for reference in references] == [None] * len(references)


async def test_backend_is_freed():
    """Nothing keeps a backend when its thunks are gone."""
    backend = Source()
    await mellite.generate(backend, "hi")
    reference = weakref.ref(backend)
    del backend
    await blocked()
    assert reference() is None


async def test_after_hundreds_of_cancellations():
    """Hundreds of generations, cancelled at different moments, leave nothing behind, and the next one is served."""
    before = live_tasks()
    source = Source([f"{n} " for n in range(600)])
    for n in range(300):
        async with anyio.create_task_group() as group:
            consumer = Consumer(group, mellite.generate(source, "hi").settle)
            for _ in range(n % 23):
                await checkpoint()
            consumer.cancel()
    await blocked()
    assert live_tasks() == before
    assert source.open == 0
    assert await mellite.generate(source, "hi") == source.text


async def test_running_ones_have_few_tasks():
    """A generation has at most one task of its own, however many wait for it."""
    gate = Gate()
    thunk = mellite.generate(Source(gate=gate), "hi")
    before = live_tasks()
    async with anyio.create_task_group() as group:
        for _ in range(20):
            Consumer(group, thunk.settle)
        await gate.reached(0)
        await blocked()
        assert len(live_tasks() - before) <= 20 + 1
        gate.allow(9)


@pytest.mark.parametrize(
    "consume", [lambda thunk, _: thunk.settle(), lambda _, iterator: anext(iterator)], ids=["settle", "anext"]
)
async def test_polling_leaves_nothing_behind(consume):
    """Five hundred waits that were given up leave nothing in the generation that they waited for."""
    gate = Gate()
    thunk = mellite.generate(Source(gate=gate), "hi")
    iterator = aiter(thunk)
    gate.allow(1)
    await anext(iterator)

    async def poll(times):
        async with anyio.create_task_group() as group:
            for _ in range(times):
                consumer = Consumer(group, lambda: consume(thunk, iterator))
                await checkpoint()
                await checkpoint()
                consumer.cancel()
                await consumer.over()

    await poll(10)
    await blocked()
    before = reachable(thunk)
    await poll(500)
    await blocked()
    assert reachable(thunk) < before + 50
    await thunk.cancel_generation()


def reachable(thunk):
    """How many objects what is in flight refers to, the event loop and the rest of the world aside."""
    pump_like = gc.get_referents(thunk._gen)
    seen, waiting, count = set(), pump_like, 0
    while waiting:
        item = waiting.pop()
        if (id(item) not in seen and type(item).__module__.startswith("mellite.")) or type(item) in (list, dict, set):
            seen.add(id(item))
            count += 1
            waiting.extend(other for other in gc.get_referents(item) if id(other) not in seen)
    return count


async def test_gather_needs_no_tasks():
    """`gather` has no tasks beside those of the generations."""
    gates = [Gate() for _ in range(10)]
    thunks = [mellite.generate(Source(gate=gate), "hi") for gate in gates]
    before = live_tasks()
    async with anyio.create_task_group() as group:
        Consumer(group, lambda: mellite.gather(*thunks))
        for gate in gates:
            await gate.reached(0)
        assert len(live_tasks() - before) <= 10 + 1
        for gate in gates:
            gate.allow(9)


class Wired(mellite.Backend):
    """A backend that reads its text from a real TCP connection."""

    def __init__(self, port):
        self.port = port

    async def stream(self, request):
        async with await anyio.connect_tcp("127.0.0.1", self.port) as connection:
            async for data in connection:
                yield TextDelta(data.decode())
        yield Finish("stop")


LEAVING = [leave_and_drop, leave_and_cancel, block]


@pytest.mark.parametrize("leave", LEAVING)
async def test_sockets_are_closed(leave):
    """When a generation is left for good, the other end of its connection sees it closed."""
    hung_up = anyio.Event()

    async def serve(client):
        async with client:
            await client.send(b"one ")
            with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                await client.receive()
            hung_up.set()

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, serve)
        thunk = mellite.generate(Wired(listener.extra(anyio.abc.SocketAttribute.local_port)), "hi")
        await leave(thunk, None)
        del thunk
        with anyio.fail_after(20):
            await hung_up.wait()
        group.cancel_scope.cancel()


async def test_backends_can_be_closed():
    """`async with backend` and `aclose()` close what is pooled, nothing here; the backend may be used again."""
    async with Echo() as backend:
        assert await backend.generate("hi") == "hi"
    await backend.aclose()
    assert await backend.generate("hi") == "hi"


def test_background_loop_is_left_clean():
    """Sync callers leave no task in the background loop, also when they leave in the middle."""

    class Census(mellite.Backend):
        async def stream(self, request):
            for _ in range(100):
                await checkpoint()  # whatever still has to end may do so
            yield TextDelta(str(len(live_tasks())))
            yield Finish("stop")

    first = mellite.generate(Census(), "hi").result()
    for _ in range(30):
        for _ in mellite.generate(Source([f"{n} " for n in range(1_000)]), "hi").iter():
            break
        with pytest.raises(ConnectionLost):
            mellite.generate(Source(error=ConnectionLost("gone")), "hi").result()
    assert mellite.generate(Census(), "hi").result() == first


def test_no_thread_is_left():
    """A generation in a loop starts no thread."""
    before = threading.active_count()
    for loop in ("asyncio", "trio"):
        anyio.run(mellite.generate(Source(), "hi").avalue, backend=loop)
    assert threading.active_count() == before


CHILD = """
    import asyncio, gc, sys
    import anyio, mellite, trio
    from mellite.backends.fake import Constant, Echo, Failing, Scripted
    from mellite.errors import ConnectionLost
    from mellite.events import Finish, TextDelta

    class Endless(mellite.Backend):
        async def stream(self, request):
            try:
                for n in range(10):
                    yield TextDelta(str(n))
                await anyio.sleep_forever()
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.lowlevel.checkpoint()
"""

PROGRAMS = {
    "failures that nobody looks at": """
        thunks = [mellite.generate(Failing(ValueError("odd"), after=n), "hi") for n in range(5)]
        for thunk in thunks:
            await thunk.settle()
        del thunk, thunks
    """,
    "failures after a break": """
        thunks = [mellite.generate(Failing(ValueError("odd"), after=n + 1), "hi") for n in range(5)]
        for thunk in thunks:
            async for _ in thunk:
                break
        await anyio.sleep(0.01)
        del thunk, thunks
    """,
    "failures that all wait for": """
        thunk = mellite.generate(Scripted([ValueError("odd")], delay=0.001), "hi")
        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(thunk.settle)
    """,
    "left at the end": """
        async for _ in mellite.generate(Endless(), "hi"):
            break
        thunk = mellite.generate(Endless(), "hi")
        async for _ in thunk:
            break
        main.thunk = thunk
    """,
    "dropped while they run": """
        for _ in range(20):
            async for _ in mellite.generate(Endless(), "hi"):
                break
        gc.collect()
    """,
    "never started": """
        thunks = [mellite.generate(Endless(), "hi") for _ in range(5)]
        iterators = [aiter(thunk) for thunk in thunks] + [thunk.events() for thunk in thunks]
        chunks = [thunk.astream() for thunk in thunks]
        del thunks, iterators, chunks
    """,
    "timeouts": """
        for _ in range(5):
            with anyio.move_on_after(0.001):
                await mellite.generate(Endless(), "hi")
            with anyio.move_on_after(0.001):
                async for _ in mellite.generate(Endless(), "hi"):
                    pass
    """,
    "nonsense": """
        class Coroutine(mellite.Backend):
            async def stream(self, request):
                return []

        class Plain(mellite.Backend):
            def stream(self, request):
                yield Finish("stop")

        for backend in (Coroutine(), Plain(), Scripted([[TextDelta("a")], [Finish("stop"), TextDelta("a")]])):
            await mellite.generate(backend, "hi").settle()
    """,
    "parts that fail": """
        inner = [mellite.generate(Failing(ValueError("odd")), "hi"), mellite.generate(Endless(), "hi")]
        outer = mellite.generate(Echo(), ["say ", *inner])
        with anyio.move_on_after(0.02):
            await outer.settle()
        del outer, inner
    """,
    "a backend that cancels itself": """
        class Suicidal(mellite.Backend):
            async def stream(self, request):
                yield TextDelta("a")
                await held[0].cancel_generation()
                await anyio.sleep_forever()

        held = [mellite.generate(Suicidal(), "hi")]
        await held[0].settle()
    """,
}


@pytest.mark.slow
@pytest.mark.parametrize("loop", ["asyncio", "trio"])
@pytest.mark.parametrize("program", PROGRAMS)
def test_programs_end_in_silence(program, loop):
    """Whole programs, in development mode and with warnings as errors, write nothing to stderr."""
    run_child(
        textwrap.dedent(CHILD)
        + "\nasync def main():\n"
        + textwrap.indent(textwrap.dedent(PROGRAMS[program]), "    ")
        + f"\nanyio.run(main, backend={loop!r})\ndel main\ngc.collect()\n"
    )


@pytest.mark.slow
def test_sync_programs_end_in_silence():
    """So does a program without a loop that leaves generations running in the background."""
    run_child(
        CHILD
        + """
    for _ in range(5):
        for _ in mellite.generate(Endless(), "hi").iter():
            break
        try:
            mellite.generate(Endless(), "hi").result(timeout=0.001)
        except TimeoutError:
            pass
    left = mellite.generate(Endless(), "hi")
    for _ in left.iter():
        break
    """
    )


@pytest.mark.slow
@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_keyboard_interrupt_in_a_loop(loop):
    """Ctrl-C in a program that awaits a thunk ends it with KeyboardInterrupt alone, its source closed."""
    done = run_child(
        f"""
        import os, signal, sys, threading
        import anyio, mellite
        from mellite.events import TextDelta

        class Endless(mellite.Backend):
            async def stream(self, request):
                try:
                    yield TextDelta("one ")
                    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
                    await anyio.sleep_forever()
                finally:
                    print("closed", flush=True)

        thunk = mellite.generate(Endless(), "hi")
        try:
            anyio.run(thunk.avalue, backend={loop!r})
        except KeyboardInterrupt:
            print("interrupted", thunk.state, repr(thunk.partial))
        """
    )
    assert done.stdout.splitlines() == ["closed", "interrupted cancelled 'one '"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


class Breaking(mellite.Backend):
    """A backend that makes its error when it raises it."""

    async def stream(self, request):
        yield TextDelta("half")
        raise ValueError(request.text)


QUIET = [
    *[
        (end, SOURCES[name])
        for end in (leave_and_drop, leave_and_cancel, block, cancel_at_once)
        for name in ("finishes", "long")
    ],
    *[
        (await_it, make) for name, make in SOURCES.items() if not name.startswith("fails")
    ],  # those have an error that has them
    (await_it, Breaking),
]
"""Endings that raise nothing: a raised error has the frames it passed in its traceback, and those have the thunk."""


@pytest.mark.parametrize(("ending", "make"), QUIET)
async def test_collector_finds_nothing(ending, make):
    """The garbage collector finds nothing of mellite's in cycles when generations are over, however they ended."""
    gc.collect()
    for _ in range(3):
        await ending(mellite.generate(make(), "hi"), None)
    await blocked()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        gc.collect()
        found = {type(item) for item in gc.garbage if type(item).__module__.startswith("mellite.")}
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
    assert found == set()
