"""T5, iterating: every delta and every event, from the first, in order, for every consumer, as soon as it arrives."""

from __future__ import annotations

import itertools

import anyio
import pytest

import mellite
from mellite import events as e
from mellite.errors import ConnectionLost, GenerationCancelled, IncompleteStream, InvalidRequest
from mellite.events import Finish, TextDelta
from tests.thunk.support import Consumer, Gate, Source, blocked, caught, collect, collected_then, full_answer, texts

pytestmark = pytest.mark.anyio

DELTAS = ["one ", "two ", "", "three", " four", "é🎉", "\n\n", "漢"]
SEEN = [delta for delta in DELTAS if delta]


async def test_every_delta_in_order():
    """An iterator gives every text delta, in order, as the backend sent it."""
    assert [delta for delta in await collect(mellite.generate(Source(DELTAS), "hi")) if delta] == SEEN


async def test_iterating_settles():
    """When an iterator is exhausted the thunk is settled."""
    thunk = mellite.generate(Source(), "hi")
    async for _ in thunk:
        assert thunk.state == "running" or thunk.value is not None
    assert (thunk.state, thunk.value) == ("done", "one two three")


async def test_other_events_are_not_text():
    """`async for` gives the text only: no thinking, no tool input."""
    assert await collect(mellite.generate(Source(full_answer()), "hi")) == texts(full_answer())


async def test_after_the_end():
    """Iterators that come after the end give all deltas again, each time."""
    thunk = mellite.generate(Source(), "hi")
    await thunk
    for _ in range(3):
        assert await collect(thunk) == ["one ", "two ", "three"]


async def test_late():
    """An iterator that comes in the middle starts with the first delta."""
    gate = Gate()
    thunk = mellite.generate(Source(gate=gate), "hi")
    first = aiter(thunk)
    gate.allow(2)
    assert [await anext(first), await anext(first)] == ["one ", "two "]
    late = aiter(thunk)
    assert [await anext(late), await anext(late)] == ["one ", "two "]
    gate.allow(2)
    assert await collect(late) == ["three"]
    assert await collect(first) == ["three"]


@pytest.mark.parametrize("order", sorted(set(itertools.permutations("aabbcc")))[::6])
async def test_interleaved(order):
    """Iterators that take turns, in whichever order, each get every delta."""
    thunk = mellite.generate(Source(), "hi")
    iterators = {name: aiter(thunk) for name in "abc"}
    got = {name: [] for name in "abc"}
    for name in order:
        got[name].append(await anext(iterators[name]))
    for name in "abc":
        assert got[name] + await collect(iterators[name]) == ["one ", "two ", "three"]


@pytest.mark.slow
async def test_concurrent():
    """Iterators in several tasks each get every delta; awaiting at the same time takes nothing from them."""
    gate = Gate()
    source = Source([f"{n} " for n in range(50)], gate=gate)
    thunk = mellite.generate(source, "hi")
    async with anyio.create_task_group() as group:
        consumers = [Consumer(group, lambda: collect(thunk)) for _ in range(5)]
        awaiting = Consumer(group, thunk.avalue)
        for _ in range(26):
            gate.allow(2)
            await blocked()
            consumers.append(Consumer(group, lambda: collect(thunk)))
    assert [consumer.value for consumer in consumers] == [texts(source.events)] * 31
    assert awaiting.value == source.text


@pytest.mark.parametrize("kind", ["iterate", "events", "astream"])
async def test_handed_on_before_the_next_is_produced(kind):
    """A delta is there while the source still waits before its next one."""
    gate = Gate()
    thunk = mellite.generate(Source(gate=gate), "hi")
    iterator = {"iterate": thunk.__aiter__, "events": thunk.events, "astream": thunk.astream}[kind]()
    iterator = aiter(iterator)
    for index, text in enumerate(["one ", "two ", "three"]):
        gate.allow(1)
        item = await anext(iterator)
        assert (item.text if kind == "events" else item) == text
        await gate.reached(index + 1)  # the source has not been let go on
        assert thunk.partial == "".join(["one ", "two ", "three"][: index + 1])
    gate.allow(1)
    await thunk


async def test_handed_on_to_one_that_waits():
    """An iterator that already waits is woken by each delta, not only at the end."""
    gate = Gate()
    thunk = mellite.generate(Source(gate=gate), "hi")
    got = []

    async def read():
        async for delta in thunk:
            got.append(delta)  # noqa: PERF401 - looked at meanwhile

    async with anyio.create_task_group() as group:
        group.start_soon(read)
        for index in range(3):
            await gate.reached(index)
            await blocked()
            assert len(got) == index
            gate.allow(1)
            await blocked()
            assert len(got) == index + 1
        gate.allow(1)


async def test_partial_grows():
    """`partial` is the text so far, in every state."""
    gate = Gate()
    thunk = mellite.generate(Source(gate=gate), "hi")
    assert thunk.partial == ""
    async with anyio.create_task_group() as group:
        Consumer(group, thunk.avalue)
        for text in ("", "one ", "one two ", "one two three"):
            await blocked()
            assert (thunk.partial, thunk.value, thunk.state) == (text, None, "running")
            gate.allow(1)
    assert (thunk.partial, thunk.value) == ("one two three", "one two three")


@pytest.mark.parametrize("kind", ["iterate", "astream"])
async def test_failed(kind):
    """Over a failed thunk an iterator yields all the text there is and then raises the error; also a late one."""
    thunk = mellite.generate(Source(["a", "b"], error=ConnectionLost("gone")), "hi")
    for _ in range(3):
        got, error = await collected_then(thunk if kind == "iterate" else thunk.astream())
        assert got == ["a", "b"]
        assert isinstance(error, ConnectionLost)
        assert error is thunk.error


async def test_failed_while_it_waits():
    """An iterator in the middle of a generation that fails gets the rest of the text first."""
    gate = Gate()
    thunk = mellite.generate(Source(["a", "b"], gate=gate, error=ConnectionLost("gone")), "hi")
    async with anyio.create_task_group() as group:
        consumer = Consumer(group, lambda: collected_then(thunk))
        gate.allow(1)
        await gate.reached(1)
        await blocked()
        gate.allow(2)
    assert consumer.value == (["a", "b"], thunk.error)


async def test_cancelled():
    """Over a cancelled thunk an iterator yields all the text there is and then raises GenerationCancelled."""
    gate = Gate()
    thunk = mellite.generate(Source(gate=gate), "hi")
    async with anyio.create_task_group() as group:
        consumer = Consumer(group, lambda: collected_then(thunk))
        gate.allow(2)
        await gate.reached(2)
        await blocked()
        await thunk.cancel_generation("enough")
    for got, error in (consumer.value, await collected_then(thunk), await collected_then(thunk.astream())):
        assert got == ["one ", "two "]
        assert isinstance(error, GenerationCancelled)
        assert error.reason == "enough"


async def test_cancelled_between_two_steps():
    """An iterator that is behind when the generation is cancelled still gets all the text."""
    gate = Gate()
    thunk = mellite.generate(Source(gate=gate), "hi")
    iterator = aiter(thunk)
    gate.allow(3)
    assert await anext(iterator) == "one "
    await gate.reached(3)
    await blocked()
    await thunk.cancel_generation()
    got, error = await collected_then(iterator)
    assert got == ["two ", "three"]
    assert isinstance(error, GenerationCancelled)


async def test_all_events():
    """`events()` gives every event, of every kind, equal to what the backend sent and in that order."""
    thunk = mellite.generate(Source(full_answer()), "hi")
    assert await collect(thunk.events()) == full_answer()


async def test_all_events_late():
    """A late `events()` gives equal events with the same boundaries, as often as it is asked."""
    thunk = mellite.generate(Source(full_answer()), "hi")
    await thunk
    for _ in range(3):
        late = await collect(thunk.events())
        assert late == full_answer()
        assert [type(event) for event in late] == [type(event) for event in full_answer()]


async def test_every_event_type_is_covered():
    """The full answer of these tests has every type of event there is."""
    kinds = {kind for kind in map(vars(e).get, e.__all__) if isinstance(kind, type)} - {e.Usage}
    assert {type(event) for event in full_answer()} == kinds


BOUNDARIES = {
    "same text, two cuts": ["ab", "c"],
    "same text, three cuts": ["a", "b", "c"],
    "empty deltas": ["", "a", "", "", "b", ""],
    "several blocks": [TextDelta("a", id="x"), TextDelta("b", id="y"), TextDelta("c", id="x"), Finish("stop")],
    "thinking between": [
        e.ReasoningDelta("h"),
        TextDelta("a"),
        e.ReasoningDelta("m"),
        e.ReasoningDelta("m", id="other"),
        TextDelta("b"),
        Finish("stop"),
    ],
    "thinking only": [e.ReasoningDelta("h"), e.ReasoningDelta("m"), Finish("length")],
    "not the first plane": ["🎉", "a🎉", "🎉b", "\U0010ffff"],
    "lone surrogates": ["\ud83c", "\udf89", "a\ud800"],
    "combining": ["e", "\u0301", "\u200d", "\u2028", "\x00"],
    "tool input": [
        e.ToolInputDelta("1", "f", "{"),
        e.ToolInputDelta("2", "g", "["),
        e.ToolInputDelta("1", "f", "}"),
        e.ToolInputDelta("2", "g", "]"),
        Finish("tool-calls"),
    ],
    "raw": [e.RawChunk(b"{}"), e.RawChunk(b""), TextDelta("a"), e.RawChunk(b"\xff\x00"), Finish("stop")],
    "starts": [e.ResponseStart(provider="a"), e.ResponseStart(model="b"), TextDelta("a"), Finish("stop")],
    "same event twice": [e.StepStart(0), e.StepStart(0), e.StepFinish(0), e.StepFinish(0), Finish("stop")],
    "long": [*["x" * 70_000, "y", "z" * 300] * 3],
    "many": [str(n) for n in range(2_000)],
}


@pytest.mark.parametrize("case", BOUNDARIES)
async def test_boundaries(case):
    """Early, late and very late iterators see the same events with the same boundaries, whatever the cuts."""
    source = Source(BOUNDARIES[case])
    thunk = mellite.generate(source, "hi")
    iterator = aiter(thunk.events())
    early = [await anext(iterator)]
    middle = aiter(thunk.events())
    early += [event async for event in iterator]
    assert early == source.events
    assert [await anext(middle)] + await collect(middle) == source.events
    assert await collect(thunk.events()) == source.events
    assert [delta for delta in await collect(thunk) if delta] == [text for text in texts(source.events) if text]


@pytest.mark.parametrize("ending", ["failed", "cancelled", "incomplete"])
async def test_events_of_one_that_did_not_finish(ending):
    """`events()` over a thunk that failed or was cancelled gives all events there are and then raises."""
    gate = Gate()
    events = [e.ReasoningDelta("hm"), TextDelta("a"), TextDelta("b")]
    last = [Finish("stop")] if ending == "cancelled" else []
    source = Source([*events, *last], gate=gate, error=ConnectionLost("gone") if ending == "failed" else None)
    thunk = mellite.generate(source, "hi")
    async with anyio.create_task_group() as group:
        consumer = Consumer(group, lambda: collected_then(thunk.events()))
        gate.allow(3)
        await blocked()
        if ending == "cancelled":
            await thunk.cancel_generation()
        gate.allow(1)
    error = await caught(thunk)
    assert (
        type(error)
        is {"failed": ConnectionLost, "cancelled": GenerationCancelled, "incomplete": IncompleteStream}[ending]
    )
    for got, raised in (consumer.value, await collected_then(thunk.events()), await collected_then(thunk.events())):
        assert got == events
        assert type(raised) is type(error)


async def test_exhausted_iterators_stay_so():
    """An iterator that is exhausted gives nothing more."""
    thunk = mellite.generate(Source(), "hi")
    for make in (thunk.__aiter__, thunk.events, thunk.astream):
        iterator = aiter(make())
        await collect(iterator)
        for _ in range(2):
            with pytest.raises(StopAsyncIteration):
                await anext(iterator)


async def test_iterators_are_iterators():
    """`aiter` of an iterator is itself, so that a loop may be left and taken up again."""
    thunk = mellite.generate(Source(), "hi")
    for make in (thunk.__aiter__, thunk.events, thunk.astream):
        iterator = make()
        assert aiter(iterator) is iterator
        async for _ in iterator:
            break
        assert len([item async for item in iterator]) >= 2


async def test_astream_as_sent():
    """`astream()` without a chunking gives the deltas as they were sent."""
    thunk = mellite.generate(Source(), "hi")
    assert await collect(thunk.astream()) == ["one ", "two ", "three"]
    assert await collect(thunk.astream(chunking=None)) == ["one ", "two ", "three"]


def lines(text):
    return text.splitlines(keepends=True)


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(
    "deltas", [["a\nb\nc"], ["a", "\n", "b\n", "c"], ["a\nb", "\nc"], list("a\nb\nc"), ["", "a\n", "", "b\nc", ""]]
)
async def test_astream_with_a_function(deltas, late):
    """`astream(function)` gives the function's chunks, however the deltas are cut; they add up to the text."""
    thunk = mellite.generate(Source(deltas), "hi")
    if late:
        await thunk
    assert await collect(thunk.astream(lines)) == ["a\n", "b\n", "c"]


async def test_chunk_is_handed_on_when_it_is_whole():
    """A chunk is there as soon as its end is known, not at the end of the answer."""
    gate = Gate()
    thunk = mellite.generate(Source(["a\n", "b", "\nc", "d"], gate=gate), "hi")
    iterator = thunk.astream(lines)
    gate.allow(2)
    assert await anext(iterator) == "a\n"
    gate.allow(1)
    assert await anext(iterator) == "b\n"
    await gate.reached(3)
    gate.allow(2)
    assert await collect(iterator) == ["cd"]


async def test_chunks_of_one_that_fails():
    """Over a failed thunk all chunks come, the last one unfinished, and then the error."""
    thunk = mellite.generate(Source(["a\nb", "c"], error=ConnectionLost("gone")), "hi")
    for _ in range(2):
        assert await collected_then(thunk.astream(lines)) == (["a\n", "bc"], thunk.error)


async def test_wrong_chunking():
    """What is not a chunking is refused at once, with a typed error."""
    thunk = mellite.generate(Source(), "hi")
    with pytest.raises(InvalidRequest):
        thunk.astream(chunking=0)
    assert thunk.state == "pending"


async def test_hundred_thousand_events():
    """The boundaries of 100,000 deltas survive too."""
    source = Source([str(n % 97) for n in range(100_000)], suspend=False)
    thunk = mellite.generate(source, "hi")
    await thunk
    assert await collect(thunk.events()) == source.events
    assert await collect(thunk) == texts(source.events)
