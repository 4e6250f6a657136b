"""When checks of chunks run, what they delay, in which order chunks come, and what a failure stops."""

from __future__ import annotations

import anyio
import pytest

from mellite import Requirement, ValidationResult, stream
from mellite.backends import Constant, Echo, Scripted
from mellite.errors import StreamRejected
from tests.strategies.streaming.support import Judge, Turns, forbid, reading
from tests.thunk.support import Gate, Source, blocked, live_tasks

pytestmark = pytest.mark.anyio

WORDS = ["one ", "two ", "three "]


async def test_a_slow_check_delays_only_what_it_judges():
    """Chunks before the one that is judged slowly are handed on at once; those behind it follow it, in order."""
    judge = Judge()
    judge.give("one ", True)
    judge.give("three ", True)
    got = []
    async with anyio.create_task_group() as group:
        group.start_soon(reading, stream(Source(WORDS).generate("x"), requirements=[judge.requirement]), got)
        await judge.begun("two ")
        await blocked()
        assert got == ["one "]
        assert judge.asked == WORDS  # the next one was judged in the meantime
        judge.give("two ", "unknown")
    assert got == WORDS


async def test_checks_run_while_the_next_chunk_is_on_its_way():
    """While a chunk is judged the source goes on, and the next chunk is cut and checked."""
    gate, judge, seen = Gate(), Judge(), []
    requirements = [judge.requirement, Requirement("sees", check_chunk=lambda chunk, partial: seen.append(str(chunk)))]
    got = []
    async with anyio.create_task_group() as group:
        group.start_soon(reading, stream(Source(WORDS, gate=gate).generate("x"), requirements=requirements), got)
        for index, word in enumerate(WORDS):
            gate.allow(1)
            await judge.begun(word)
            await blocked()
            assert (seen, got) == (WORDS[: index + 1], [])
        for word in WORDS:
            judge.give(word, True)
        gate.allow(1)
    assert got == WORDS


async def test_several_requirements_at_once():
    """Async checks of several requirements on one chunk wait at the same time; all have to pass it."""
    first, second = Judge(), Judge()
    got = []
    requirements = [first.requirement, second.requirement]
    async with anyio.create_task_group() as group:
        group.start_soon(reading, stream(Constant("word").generate("x"), requirements=requirements), got)
        await first.begun("word")
        await second.begun("word")
        second.give("word", None)
        await blocked()
        assert got == []
        first.give("word", "pass")
    assert got == ["word"]


async def test_verdicts_that_come_out_of_order():
    """Chunks come in the order of the text, in whatever order their verdicts come."""
    judge, got = Judge(), []
    async with anyio.create_task_group() as group:
        group.start_soon(reading, stream(Source(WORDS).generate("x"), requirements=[judge.requirement]), got)
        for word in WORDS:
            await judge.begun(word)
        for word in WORDS[::-1]:
            assert got == []
            judge.give(word, True)
            await blocked()
    assert got == WORDS


async def test_a_failure_does_not_wait_for_slower_checks():
    """A chunk that fails stops the generation although an earlier one is still being judged; that one still counts."""
    for verdict, chunks, failed in ((True, ["one "], ["two "]), (False, [], ["one ", "two "])):
        gate, judge, got = Gate(), Judge(), []
        source = Source(WORDS, gate=gate)
        gate.allow(2)
        s = stream(source.generate("x"), requirements=[judge.requirement, forbid("two")])
        async with anyio.create_task_group() as group:
            group.start_soon(reading, s, got)
            await judge.begun("one ")
            await blocked()
            assert (source.ends, source.handed, got) == (["cancelled"], 2, [])
            judge.give("one ", verdict)
        assert (got, s.text) == (chunks, "".join(chunks))
        assert [failure.chunk for failure in s.failures] == failed
        assert judge.ended == [("one ", verdict)]  # what has failed already was not judged at all


async def test_a_failed_verdict_cancels_the_checks_behind_it():
    """When an async verdict fails a chunk, the generation and the checks of later chunks are cancelled at once."""
    gate, judge, got = Gate(), Judge(), []
    source = Source(WORDS, gate=gate)
    s = stream(source.generate("x"), requirements=[judge.requirement])
    async with anyio.create_task_group() as group:
        group.start_soon(reading, s, got)
        gate.allow(2)
        await judge.begun("two ")
        judge.give("one ", ValidationResult(False, "bad start"))
        await blocked()
        assert source.ends == ["cancelled"]
    assert judge.ended == [("one ", ValidationResult(False, "bad start")), ("two ", "cancelled")]
    assert (got, s.failures[0].reason, len(s.failures)) == ([], "bad start", 1)


async def test_a_failed_verdict_cancels_the_checks_beside_it():
    """When one async verdict fails a chunk, what others think of it does not matter any more."""
    first, second, got = Judge(), Judge(), []
    s = stream(Constant("word").generate("x"), requirements=[first.requirement, second.requirement])
    async with anyio.create_task_group() as group:
        group.start_soon(reading, s, got)
        await second.begun("word")
        first.give("word", False)
    assert (got, second.ended, len(s.failures)) == ([], [("word", "cancelled")], 1)


async def test_nothing_is_checked_behind_a_failure():
    """What stands behind a failure in the same delta is checked by no requirement; what stands before it, by all."""
    seen = []
    sees = Requirement("sees", check_chunk=lambda chunk, partial: seen.append(str(chunk)))
    also = Requirement("also sees", check_chunk=lambda chunk, partial: seen.append(str(chunk)), chunking="words")
    source = Source(["one bad three four "], gate=(gate := Gate()))
    gate.allow(1)
    async with stream(source.generate("x"), requirements=[sees, forbid("bad"), also], chunking="words") as s:
        assert [chunk async for chunk in s] == ["one "]
    assert seen == ["one ", "bad ", "one "]


async def test_a_retry_waits_for_no_verdict():
    """Where another attempt follows, checks that are under way are cancelled, and it begins at once."""
    judge, got = Judge(), []
    backend = Turns(Source(["one ", "bad "], gate=(gate := Gate())), Source(["good "]))
    gate.allow(2)
    s = stream(backend.generate("x"), requirements=[judge.requirement, forbid("bad")], attempts=2)
    async with anyio.create_task_group() as group:
        group.start_soon(reading, s, got)
        await judge.begun("good ")
        assert ("one ", "cancelled") in judge.ended
        judge.give("good ", True)
    assert (got, s.success, [failure.chunk for failure in s.failures]) == (["good "], True, ["bad "])


async def test_its_own_chunking():
    """A requirement with a chunking of its own gets those chunks; text is handed on when it has been judged."""
    gate, seen, got = Gate(), [], []
    requirement = Requirement(
        "sees", check_chunk=lambda chunk, partial: seen.append((str(chunk), partial)), chunking="sentences"
    )
    source = Source(["One ", "is. ", "Two ", "is", "."], gate=gate)
    async with anyio.create_task_group() as group:
        group.start_soon(reading, stream(source.generate("x"), requirements=[requirement, forbid("x")]), got)
        for count, given in ((1, 0), (1, 2), (1, 2), (1, 2), (1, 2)):
            gate.allow(count)
            await blocked()
            assert len(got) == given
        gate.allow(1)
    assert got == ["One ", "is. ", "Two ", "is", "."]
    assert seen == [("One is. ", "One is. "), ("Two is.", "One is. Two is.")]


async def test_a_failure_in_its_own_chunking():
    """A chunk that fails in a requirement's own chunking takes the stream's chunks in it with it."""
    source = Source(["Fine. ", "Not ", "so. ", "Never."], gate=(gate := Gate()))
    gate.allow(3)
    async with stream(source.generate("x"), requirements=[forbid("Not so", chunking="sentences")]) as s:
        assert [chunk async for chunk in s] == ["Fine. "]
    assert (source.ends, s.failures[0].chunk, s.failures[0].chunk.start) == (["cancelled"], "Not so. ", 6)


async def test_a_finer_chunking_of_its_own():
    """A requirement may look at smaller chunks than the stream has."""
    source = Source(["fine. a b", "ad x", " c. never. "], gate=(gate := Gate()))
    gate.allow(2)
    async with stream(source.generate("x"), requirements=[forbid("bad", chunking="words")], chunking="sentences") as s:
        assert [chunk async for chunk in s] == ["fine. "]
    assert (s.success, s.failures[0].chunk, source.handed) == (False, "bad ", 2)


async def test_a_long_paragraph_does_not_stop_reading():
    """A requirement that waits for its chunk holds chunks back, however many, and does not lock the stream up."""
    seen = []
    requirement = Requirement("sees", check_chunk=lambda chunk, partial: seen.append(chunk), chunking="paragraphs")
    async with stream(Source(["word "] * 2_000).generate("x"), requirements=[requirement]) as s:
        assert len([chunk async for chunk in s]) == 2_000
    assert len(seen) == 1


async def test_counting_checks_count_each_attempt():
    """A check with `fresh` counts anew in each attempt and in each stream."""

    class AtMost:
        def __init__(self):
            self.count = 0

        def fresh(self):
            return AtMost()

        def __call__(self, chunk, partial):
            self.count += 1
            return self.count <= 2

    requirement = Requirement("at most two", check_chunk=AtMost())
    for _ in range(2):
        backend = Scripted([["a ", "b ", "c "], ["a ", "b "]])
        async with stream(backend.generate("x"), requirements=[requirement], attempts=2) as s:
            assert [chunk async for chunk in s] == ["a ", "b ", "a ", "b "]
        assert s.success


async def test_partial_is_the_text_so_far():
    """A check gets the text so far with the chunk at its end, whatever the deltas, also in further attempts."""
    seen = []
    requirement = Requirement("sees", check_chunk=lambda chunk, partial: seen.append(partial))
    backend = Scripted([["o", "ne two b", "ad"], ["o", "k"]])
    requirements = [requirement, forbid("bad")]
    async with stream(backend.generate("x"), requirements=requirements, attempts=2, chunking="words") as s:
        _ = [chunk async for chunk in s]
    assert seen == ["one ", "one two ", "one two bad", "ok"]
    assert s.success


@pytest.mark.slow
@pytest.mark.parametrize("whole", [True, False])
async def test_checks_are_bounded(whole):
    """However much text there is, in one piece or in many, at most 16 checks of a requirement run at the same time."""
    judge, got = Judge(), []
    words = [f"w{number} " for number in range(60)]
    source = Source(["".join(words)] if whole else words)
    async with anyio.create_task_group() as group:
        group.start_soon(reading, stream(source.generate("x"), requirements=[judge.requirement], chunking="words"), got)
        for number, word in enumerate(words):
            await judge.begun(word)
            await blocked()
            assert len(judge.asked) == min(60, number + 16)
            judge.give(word, None)
    assert got == judge.asked == words


async def test_a_failure_behind_the_bound():
    """A check that fails while others wait for their turn stops them all."""
    judge = Judge()
    source = Source(["".join(f"w{n} " for n in range(100))])
    s = stream(source.generate("x"), requirements=[judge.requirement], chunking="words")
    got = []
    async with anyio.create_task_group() as group:
        group.start_soon(reading, s, got)
        await judge.begun("w15 ")
        await blocked()
        assert len(judge.asked) == 16
        judge.give("w0 ", True)
        judge.give("w1 ", False)
    assert (got, s.failures[0].chunk) == (["w0 "], "w1 ")
    assert len(judge.asked) < 20
    assert len(judge.ended) == len(judge.asked)


async def test_a_sync_and_an_async_answer_of_one_check():
    """A check may answer at once for some chunks and later for others; the order is kept."""

    async def later():
        await anyio.lowlevel.checkpoint()
        return True

    requirement = Requirement("x", check_chunk=lambda chunk, partial: later() if "t" in chunk else None)
    before = live_tasks()
    async with stream(Source(WORDS * 20).generate("x"), requirements=[requirement]) as s:
        assert [chunk async for chunk in s] == WORDS * 20
    await blocked()
    assert live_tasks() == before


async def test_a_thunk_as_the_answer_of_a_check():
    """A check may give a thunk: it is awaited, and generated for that."""
    backend = Scripted([lambda request: "true" if request.text == "one " else "false"] * 2)
    requirement = Requirement("x", check_chunk=lambda chunk, partial: backend.generate(chunk, output=bool))
    async with stream(Echo().generate("one two"), requirements=[requirement]) as s:
        assert [chunk async for chunk in s] == ["one "]
    assert backend.calls == 2


async def test_what_ones_own_check_raised_is_told():
    """What a check of one's own raised is in the stream's `errors`, its repr, and the cause of the rejection."""

    def broken(thunk):
        raise KeyError("no such field")

    async with stream(Constant("Hello.").generate("hi"), requirements=[broken], attempts=2) as s:
        assert [chunk async for chunk in s][-1] == "Hello."
    assert [type(error) for error in s.errors] == [KeyError, KeyError]
    assert "error=KeyError" in repr(s)
    with pytest.raises(StreamRejected) as caught:
        s.result()
    assert caught.value.__cause__ is s.errors[0]
    assert caught.value.errors == s.errors
