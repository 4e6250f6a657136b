"""T13, cheap: nothing is made before a thunk is driven, and deltas are folded in linear time."""

from __future__ import annotations

import copy
import gc
import sys
import time
import tracemalloc
import types

import pytest

import mellite
from mellite import events as e
from mellite.backends.fake import Echo
from mellite.events import Finish, TextDelta
from tests.thunk.support import Source, blocked, collect, texts

pytestmark = pytest.mark.anyio

SYNCHRONISERS = (
    "_thread",
    "threading",
    "_queue",
    "queue",
    "asyncio",
    "_asyncio",
    "anyio",
    "trio",
    "concurrent",
    "sniffio",
)


def synchronisers(thunk):
    """Every lock, queue, event, future or task that a thunk refers to, but for what its backend has."""
    skip = (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.CodeType)
    found, seen, waiting = [], {id(thunk._call.backend)}, [thunk]
    while waiting:
        item = waiting.pop()
        if id(item) in seen or isinstance(item, skip):
            continue
        seen.add(id(item))
        kind = type(item)
        if kind.__module__.partition(".")[0] in SYNCHRONISERS or kind.__name__ == "deque":
            found.append(item)
        waiting.extend(gc.get_referents(item))
    return found


class TestNothingBefore:
    @pytest.mark.parametrize(
        "make",
        [
            lambda: mellite.generate(Echo(), "hi"),
            lambda: mellite.generate(Echo(), ["say ", mellite.generate(Echo(), "hi")], temperature=1, system="x"),
            lambda: copy.copy(mellite.generate(Echo(), "hi")),
            lambda: copy.deepcopy(mellite.generate(Echo(), "hi")),
            lambda: mellite.generate(Echo(), "hi").resample(1)[0],
        ],
        ids=["new", "composed", "copy", "deepcopy", "resampled"],
    )
    async def test_no_lock_queue_or_event(self, make):
        """A pending thunk, however it was made, has no lock, queue, event, future or task."""
        assert synchronisers(make()) == []

    async def test_nor_after_looking_at_it(self):
        """Reading its attributes makes none."""
        thunk = mellite.generate(Echo(), "hi")
        repr(thunk), thunk.state, thunk.partial, thunk.generation, thunk.raw, thunk.message
        assert synchronisers(thunk) == []

    async def test_nor_when_it_is_settled(self):
        """A settled thunk has none either: what was in flight is gone."""
        thunk = mellite.generate(Source(), "hi")
        await thunk
        assert synchronisers(thunk) == []

    def test_size_of_a_pending_one(self):
        """A pending thunk with its call and request is small."""
        backend, prompts = Echo(), [f"prompt {n}" for n in range(2_000)]
        size = measured(lambda: [mellite.generate(backend, prompt) for prompt in prompts]) / 2_000
        assert size < 1_500, f"{size:.0f} bytes"

    def test_size_of_a_copy(self):
        """A copy of a pending thunk shares the request, so it is smaller still."""
        thunk = mellite.generate(Echo(), "hi " * 1_000)
        size = measured(lambda: [copy.copy(thunk) for _ in range(2_000)]) / 2_000
        assert size < 800, f"{size:.0f} bytes"


def measured(make):
    """How many bytes are still allocated after calling it, while its result is held."""
    make()  # what is made once, is made
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        held = make()
        gc.collect()
        size = tracemalloc.get_traced_memory()[0] - before
        del held
    finally:
        tracemalloc.stop()
    return size


KINDS = {
    "text": lambda n: [TextDelta(f"{i} ") for i in range(n)],
    "thinking": lambda n: [e.ReasoningDelta(f"{i} ") for i in range(n)],
    "tool input": lambda n: [
        e.ToolInputStart("c", "f"),
        e.ToolInputDelta("c", "f", "["),
        *[e.ToolInputDelta("c", "f", f"{i},") for i in range(n)],
        e.ToolInputDelta("c", "f", "0]"),
        e.ToolInputEnd("c", "f"),
    ],
    "raw": lambda n: [e.RawChunk(b'{"n": %d}' % i) for i in range(n)],
    "blocks": lambda n: [TextDelta("x", id=str(i)) for i in range(n)],
    "all mixed": lambda n: [
        event
        for i in range(n // 4)
        for event in (
            TextDelta(f"{i} "),
            e.ReasoningDelta("h"),
            e.RawChunk(b"{}"),
            e.ToolInputDelta(str(i % 9), "f", " "),
        )
    ],
    "written tool calls": lambda n: [
        event
        for i in range(n // 4)
        for event in (
            e.ToolInputStart(str(i), "f"),
            e.ToolInputDelta(str(i), "f", "{}"),
            e.ToolInputEnd(str(i), "f"),
            e.ToolCallEvent(mellite.ToolCall(str(i), "f", {})),
        )
    ],
    "starts": lambda n: [e.ResponseStart(model=str(i)) for i in range(n)],
    "tool calls": lambda n: [e.ToolCallEvent(mellite.ToolCall(str(i), "f", {})) for i in range(n)],
}


class Operations:
    """Counts the calls of functions, in Python and in C, while it is entered."""

    def __enter__(self):
        self.count = 0
        sys.setprofile(self._count)
        return self

    def _count(self, _frame, event, _argument):
        if event in ("call", "c_call"):
            self.count += 1

    def __exit__(self, *_):
        sys.setprofile(None)


class TestLinear:
    @pytest.mark.slow
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("anyio_backend", ["asyncio"])
    async def test_number_of_operations(self, kind):
        """Ten times the deltas, of whatever kind, take no more than about ten times the calls of functions."""

        async def calls(n):
            thunk = mellite.generate(Source([*KINDS[kind](n), Finish("stop")], suspend=False), "hi")
            with Operations() as operations:
                await thunk
            with Operations() as late:
                await collect(thunk.events())
            return operations.count + late.count

        await calls(100)
        few, many = await calls(1_000), await calls(10_000)
        assert many < 15 * few

    @pytest.mark.slow
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("anyio_backend", ["asyncio"])
    async def test_time(self, kind):
        """Thirty times the deltas take far less than the nine hundred times the CPU time that quadratic work would."""

        async def seconds(n):
            source = Source([*KINDS[kind](n), Finish("stop")], suspend=False)
            best = float("inf")
            for _ in range(3):
                thunk = mellite.generate(source, "hi")
                begin = time.process_time()
                await thunk
                assert thunk.tool_calls is not None
                best = min(best, time.process_time() - begin)
            return best

        few, many = await seconds(1_000), await seconds(30_000)
        assert many < 30 * few * 6

    @pytest.mark.slow
    @pytest.mark.parametrize("suspend", [False, True])
    async def test_hundred_thousand(self, suspend):
        """100,000 deltas arrive whole, awaited and iterated, whether or not the source suspends on each."""
        source = Source([f"{n} " for n in range(100_000)], suspend=suspend)
        thunk = mellite.generate(source, "hi")
        assert await thunk == source.text
        thunk = mellite.generate(source, "hi")
        assert await collect(thunk) == texts(source.events)

    async def test_hundred_thousand_of_thinking_and_tools(self):
        """100,000 deltas of thinking and of one tool call's input arrive whole too."""
        thunk = mellite.generate(
            Source([*KINDS["thinking"](100_000), *KINDS["tool input"](100_000), Finish("stop")], suspend=False), "hi"
        )
        await thunk
        assert thunk.thinking == "".join(f"{n} " for n in range(100_000))

    async def test_a_million_characters_in_one(self):
        """One long delta is no harder than many short ones."""
        text = "x" * 5_000_000
        assert await mellite.generate(Source([text]), "hi") == text

    async def test_partial_in_mid_stream(self):
        """Looking at `partial` now and then does not disturb the folding."""
        source = Source([f"{n} " for n in range(2_000)])
        thunk = mellite.generate(source, "hi")
        seen = ""
        async for delta in thunk:
            seen += delta
            assert thunk.partial.startswith(seen)
        assert thunk.partial == seen == source.text


class TestMemory:
    async def test_settled_ones(self):
        """Settled thunks of 500 deltas take a small multiple of their text."""
        deltas = [f"word{n:04} " for n in range(500)]
        text = len("".join(deltas))
        size, held = await kept(deltas, 100)
        assert held[0].value == "".join(deltas)
        assert size / 100 < 3.5 * text + 3_000, f"{size / 100:.0f} bytes for {text} characters"

    async def test_boundaries_of_short_deltas(self):
        """The boundaries of very short deltas are kept in far less than an object for each."""
        size, held = await kept(["ab"] * 50_000, 1)
        assert held[0].partial == "ab" * 50_000
        assert size / 50_000 < 20, f"{size / 50_000:.1f} bytes for a delta of 2 characters"


async def kept(deltas, count):
    """How many bytes some settled thunks take together, and the thunks."""
    await settled(deltas, 1)  # what is made once, is made
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        held = await settled(deltas, count)
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - before, held
    finally:
        tracemalloc.stop()


async def settled(deltas, count):
    """Settled thunks over a backend that makes its events as it goes and keeps none; their tasks have ended."""
    thunks = [await mellite.generate(Fleeting(deltas), "hi").settle() for _ in range(count)]
    await blocked()
    return thunks


class Fleeting(mellite.Backend):
    """A backend that makes each event when it is wanted."""

    def __init__(self, deltas):
        self.deltas = deltas

    async def stream(self, request):
        for delta in self.deltas:
            yield TextDelta(delta)
        yield Finish("stop")
