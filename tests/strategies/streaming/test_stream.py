"""mellite.stream: chunks that passed, stopped with the first failure, tried again, and what the handle knows."""

from __future__ import annotations

import math
import re
import time
import traceback
from decimal import Decimal

import anyio
import pytest

import mellite
from mellite import Message, Requirement, ValidationResult, stream
from mellite.backends import Constant, Echo, Failing, Scripted
from mellite.errors import (
    AuthenticationError,
    BackendError,
    ConfigurationError,
    ConnectionLost,
    GenerationCancelled,
    IncompleteStream,
    InvalidRequest,
    StreamRejected,
    UnknownOption,
)
from mellite.events import Finish, ResponseStart, TextDelta, Usage
from mellite.requirements import judge, length, not_contains
from mellite.sampling import Sample, SamplingResult
from tests.strategies.streaming.support import Turns, forbid
from tests.thunk.support import Consumer, Gate, Source, blocked, caught, collected_then, traceback_length

pytestmark = pytest.mark.anyio


async def test_everything_passes():
    """An answer that meets all requirements comes in chunks with offsets, and the handle knows all about it."""
    thunk = Scripted([["One", ". Two", ".", " Three."]]).generate("Count.")
    async with stream(
        thunk, requirements=[forbid("Four"), length(max=99), lambda thunk: True], chunking="sentences"
    ) as s:
        assert (s.success, s.completed, s.text, s.thunks, s.usage, s.attempts) == (False, False, "", [], None, 0)
        texts = []
        chunks = []
        async for chunk in s:
            chunks.append((chunk, chunk.start, chunk.end))
            texts.append(s.text)
    assert chunks == [("One. ", 0, 5), ("Two. ", 5, 10), ("Three.", 10, 16)]
    assert texts == ["One. ", "One. Two. ", "One. Two. Three."]
    assert (s.success, s.completed, s.text, s.failures, s.error) == (True, True, "One. Two. Three.", [], None)
    assert s.thunks == [thunk]
    assert [verdict.passed for verdict in s.validations] == [True, True, True]
    assert (s.usage.output_tokens, s.tokens_saved, s.result()) == (3, 0, "One. Two. Three.")


async def test_the_first_failure_stops_the_generation():
    """A chunk that fails is not handed on, and its generation is cancelled before it takes another step."""
    gate = Gate()
    source = Source(["good ", "bad ", "never "], gate=gate)
    gate.allow(2)
    thunk = source.generate("x")
    async with stream(thunk, requirements=[forbid("bad")]) as s:
        assert [chunk async for chunk in s] == ["good "]
        assert (source.ends, source.handed) == (["cancelled"], 2)
        assert (s.success, s.completed, s.text) == (False, True, "good ")
    [failure] = s.failures
    assert (failure.requirement.description, failure.chunk, failure.attempt) == ("no bad", "bad ", 1)
    assert (failure.chunk.start, failure.reason, failure.error) == (5, "no bad", None)
    assert thunk.cancelled
    assert "rejected: no bad" in str(await caught(thunk))


async def test_a_source_that_never_waits_is_not_run_far_ahead():
    """Even a source that never suspends is stopped a few events behind the failure, not hundreds."""
    source = Source(["word "] * 5 + ["bad "] + ["word "] * 10_000, suspend=False)
    async with stream(source.generate("x"), requirements=[forbid("bad")]) as s:
        assert "".join([chunk async for chunk in s]) == "word " * 5
    assert source.handed <= 6 + 8
    assert source.ends == ["closed"]


@pytest.mark.parametrize("chunking", ["words", "sentences", "lines", 3, re.compile(r"\. ?"), None])
async def test_every_chunking(chunking):
    """The chunks are those of `mellite.chunk`, and add up to the text."""
    text = "One. Two\nthree. Four."
    async with stream(Constant(text).generate("x"), requirements=[length(max=99)], chunking=chunking) as s:
        chunks = [chunk async for chunk in s]
    assert "".join(chunks) == text
    if chunking is not None:
        assert chunks == mellite.chunk(text, chunking)


async def test_no_requirements():
    """Without requirements it is a plain stream of chunks."""
    async with stream(Echo().generate("one two"), chunking="words") as s:
        assert [chunk async for chunk in s] == ["one ", "two"]
    assert s.success


async def test_an_empty_answer():
    """An answer without text has no chunks; requirements on the whole of it still judge."""
    for requirement, success in ((forbid("x"), True), (length(min=1), False)):
        async with stream(Constant("").generate("x"), requirements=[requirement]) as s:
            assert [chunk async for chunk in s] == []
        assert s.success is success


async def test_the_whole_answer_is_judged():
    """When all chunks passed, the requirements on the whole answer decide; context and order are as for check."""
    seen = []

    def last(thunk, context):
        seen.append((thunk.value, [message.text for message in context]))
        return ValidationResult(False, "not good enough", 0.3)

    thunk = Echo().generate([Message.system("Be brief."), Message.user("one two")])
    async with stream(thunk, requirements=[forbid("x"), last], chunking="words") as s:
        assert [chunk async for chunk in s] == ["one ", "two"]
    assert seen == [("one two", ["Be brief."])]
    assert (s.success, s.text) == (False, "one two")
    assert [(failure.reason, failure.chunk, failure.result.score) for failure in s.failures] == [
        ("not good enough", None, 0.3)
    ]
    assert s.validations == [ValidationResult(True), ValidationResult(False, "not good enough", 0.3)]
    assert not thunk.cancelled


async def test_no_check_is_paid_for_that_does_not_matter():
    """When a sync check has failed the answer, an async one does not begin, unless its reason is for a repair."""
    asked = []

    async def expensive(thunk):
        asked.append(thunk)
        return False

    for repair, times in ((False, 0), (True, 1)):
        asked.clear()
        async with stream(Echo().generate("x"), requirements=[expensive, lambda thunk: False], repair=repair) as s:
            _ = [chunk async for chunk in s]
        assert len(asked) == times
        assert s.validations[0] == (ValidationResult(False) if repair else None)
        assert len(s.failures) == 1 + times


async def test_a_broken_check_fails_the_chunk():
    """A check of a chunk that raises, hangs or gives no verdict fails the attempt, with the error."""

    async def never(chunk, partial):
        await anyio.sleep_forever()

    def raises(chunk, partial):
        raise KeyError(chunk)

    for function, kind in ((raises, KeyError), (never, TimeoutError), (lambda chunk, partial: "ok", InvalidRequest)):
        requirement = Requirement("works", check_chunk=function, timeout=0.01)
        async with stream(Echo().generate("one"), requirements=[requirement]) as s:
            assert [chunk async for chunk in s] == []
        assert [type(failure.error) for failure in s.failures] == [kind]
        assert s.error is None


# --- trying again ---------------------------------------------------------------------------------


async def test_a_fresh_copy():
    """A further attempt is a fresh copy with a lineage of its own; its first chunk starts at 0 and the text anew."""
    backend = Scripted([["ok ", "bad ", "x"], ["fine ", "bad"], ["good ", "end"]])
    thunk = backend.generate("Go.", temperature=0.5)
    texts = []
    async with stream(thunk, requirements=[forbid("bad")], attempts=5) as s:
        starts = []
        async for chunk in s:
            starts.append((chunk, chunk.start))
            texts.append(s.text)
    assert starts == [("ok ", 0), ("fine ", 0), ("good ", 0), ("end", 5)]
    assert texts == ["ok ", "fine ", "good ", "good end"]
    assert (s.success, s.text, s.attempts, backend.calls) == (True, "good end", 3, 3)
    assert s.thunks[0] is thunk
    assert [each._call.lineage for each in s.thunks] == [(), (0,), (1,)]
    assert [failure.attempt for failure in s.failures] == [1, 2]
    assert len({request.text for request in backend.requests}) == 1
    assert s.result() == "good end"


async def test_all_attempts_fail():
    """When all attempts are used up the loop ends without an error; `result()` raises what happened."""
    backend = Scripted([["a ", "bad"], ["b ", "bad"], "never asked"])
    async with stream(backend.generate("x"), requirements=[forbid("bad")], attempts=2) as s:
        assert [chunk async for chunk in s] == ["a ", "b "]
    assert (s.success, s.text, s.attempts, backend.calls) == (False, "b ", 2, 2)
    with pytest.raises(StreamRejected, match=r"none of 2 attempts met the requirements.*no bad") as rejected:
        s.result()
    assert (rejected.value.partial, len(rejected.value.failures)) == ("b ", 2)


async def test_the_whole_answer_fails_and_is_tried_again():
    """An answer that fails as a whole is tried again, too."""
    backend = Scripted(["too long, this", "short"])
    async with stream(
        backend.generate("x"), requirements=[Requirement("short", lambda t: len(t.value) < 9)], attempts=2
    ) as s:
        assert "".join([chunk async for chunk in s]) == "too long, thisshort"
    assert (s.success, s.text, s.attempts) == (True, "short", 2)


async def test_repair_tells_the_reasons():
    """With repair=True the prompt of a further attempt ends with every reason so far, each once."""
    backend = Scripted([["bad"], "toolong", ["bad"], "ok"])
    requirements = [not_contains("bad"), Requirement("short", lambda thunk: len(thunk.value) < 6), raising()]
    question = [Message.system("Be nice."), Message.user("Say ok.")]
    async with stream(backend.generate(question), requirements=requirements, attempts=4, repair=True) as s:
        _ = [chunk async for chunk in s]
    first, second, third, fourth = backend.requests
    assert (s.success, first.text) == (True, "Say ok.")
    assert second.text == (
        "Say ok.\n\nAn earlier answer was rejected because it did not meet these requirements:\n"
        "- The answer does not contain 'bad'. (it contains 'bad')\n\n"
        "Answer again, from the beginning, and meet them all."
    )
    assert "(it contains 'bad')\n- short\n- does not raise\n\n" in third.text
    assert fourth.text == third.text
    assert [request.messages[0] for request in backend.requests] == [Message.system("Be nice.")] * 4
    assert [thunk._call.lineage for thunk in s.thunks] == [(), (0,), (1,), (2,)]


def raising():
    """A requirement whose check raises for one answer: the model is told the requirement, not the error."""
    return Requirement("does not raise", lambda thunk: thunk.value != "toolong" or 1 / 0)


async def test_repair_behind_the_last_word_of_a_tool():
    """Where the last message is not the user's, the reasons are a message of their own."""
    history = [Message.user("Hi."), Message.assistant("Hello.")]
    backend = Scripted(["bad", "ok"])
    async with stream(backend.generate(history), requirements=[forbid("bad")], attempts=2, repair=True) as s:
        _ = [chunk async for chunk in s]
    assert [message.role for message in backend.requests[1].messages] == ["user", "assistant", "user"]
    assert backend.requests[1].text.startswith("An earlier answer was rejected")


async def test_repair_by_a_function():
    """A function of the request and the failures gives the next prompt: a request, or only its messages."""

    def shorter(request, failures):
        return f"{request.text} Not: {[failure.reason for failure in failures]}"

    async def colder(request, failures):
        await anyio.lowlevel.checkpoint()
        return mellite.Request.of(request, temperature=0)

    for repair, text, temperature in ((shorter, "Go. Not: ['no bad']", 0.7), (colder, "Go.", 0)):
        backend = Scripted(["bad", "ok"])
        thunk = backend.generate("Go.", temperature=0.7)
        async with stream(thunk, requirements=[forbid("bad")], attempts=2, repair=repair) as s:
            _ = [chunk async for chunk in s]
        assert s.success
        assert (backend.requests[1].text, backend.requests[1].options.temperature) == (text, temperature)


@pytest.mark.parametrize("repair", [lambda request, failures: 1 / 0, lambda request, failures: 3, lambda: "x"])
async def test_a_repair_that_does_not_work(repair):
    """A repair function that raises, or gives no prompt, ends the stream with a typed error."""
    backend = Scripted(["bad", "ok"])
    async with stream(backend.generate("Go."), requirements=[forbid("bad")], attempts=2, repair=repair) as s:
        with pytest.raises(InvalidRequest, match="repair gave no prompt"):
            _ = [chunk async for chunk in s]
    assert (backend.calls, s.success, s.completed) == (1, False, True)


# --- generations that go wrong --------------------------------------------------------------------


async def test_a_generation_that_breaks_off_is_an_attempt():
    """A transport error or a parse failure is an attempt with its cause kept; the next one may succeed."""
    backend = Scripted([["on", ConnectionLost("gone")], ValueError("x"), ["no finish", TextDelta("")], "[]", "[1]"])
    thunk = backend.generate("x", output=list[int])
    async with stream(thunk, requirements=[Requirement("has some", lambda t: bool(t.parsed_repr))], attempts=6) as s:
        assert "".join([chunk async for chunk in s]).endswith("[1]")
    assert (s.success, s.attempts, s.result(), s.error) == (True, 5, [1], None)
    kinds = [type(failure.error) for failure in s.failures]
    assert kinds == [ConnectionLost, BackendError, IncompleteStream, type(None)]
    assert [failure.requirement is None for failure in s.failures] == [True, True, True, False]


async def test_nothing_is_left_but_an_error():
    """When the last attempt breaks off, all its text comes and then its error; the handle keeps it."""
    backend = Scripted(["bad", ["one. tw", ConnectionLost("gone")]])
    async with stream(backend.generate("x"), requirements=[forbid("bad")], chunking="sentences", attempts=2) as s:
        got, error = await collected_then(s)
        assert got == ["one. ", "tw"]
        assert type(error) is ConnectionLost
        length = traceback_length(error)
        assert await collected_then(s) == ([], error)
        assert traceback_length(error) == length  # the same each time, as out of a thunk
        frames = [frame.f_code.co_name for frame, _ in traceback.walk_tb(error.__traceback__)]
        assert (frames[-2], frames[-1]) == ("__anext__", "stream")  # from where it is read to where it broke
    assert (s.success, s.text, s.completed) == (False, "one. tw", True)
    assert s.error is error is s.thunks[1].error
    with pytest.raises(ConnectionLost):
        s.result()


@pytest.mark.parametrize("error", [AuthenticationError("no"), ConfigurationError("no"), InvalidRequest("no")])
async def test_what_is_futile_is_not_tried_again(error):
    """An error that would only come again ends the stream, whatever attempts remain."""
    backend = Scripted([["text", error], "never asked"])
    async with stream(backend.generate("x"), attempts=3) as s:
        assert await collected_then(s) == (["text"], error)
    assert (backend.calls, s.attempts, s.error) == (1, 1, error)


async def test_a_thunk_that_somebody_cancels_is_not_tried_again():
    """A generation that somebody else cancels ends the stream like any iteration over it."""
    source = Source(gate=Gate())
    thunk = source.generate("x")
    async with stream(thunk, attempts=3) as s, anyio.create_task_group() as group:
        reader = Consumer(group, lambda: collected_then(s))
        await source.gate.reached(0)
        source.gate.allow(1)
        await blocked()
        await thunk.cancel_generation("enough")
        await reader.over()
        got, error = reader.value
    assert got == ["one "]
    assert (type(error), error.reason, source.calls) == (GenerationCancelled, "enough", 1)


class Once:
    """A chunker that can be made so many times, and not once more."""

    left = 0

    def __init__(self):
        Once.left -= 1
        if Once.left < 0:
            raise RuntimeError("no more")

    def feed(self, text):
        return [text]

    def end(self):
        return []


@pytest.mark.parametrize("own", [False, True])
async def test_a_chunker_that_cannot_be_made_again(own):
    """A chunker that cannot be made for an attempt is a typed error."""
    Once.left = 2
    requirements = [forbid("bad", chunking=Once if own else None)]
    backend = Scripted(["bad", "never asked"])
    async with stream(
        backend.generate("x"), requirements=requirements, chunking=None if own else Once, attempts=2
    ) as s:
        with pytest.raises(InvalidRequest, match="cannot be made anew"):
            _ = [chunk async for chunk in s]
    assert (s.success, backend.calls) == (False, 1)


async def test_a_check_that_cannot_be_made():
    """A check whose `fresh` raises fails the attempt, with the error."""

    class Broken:
        def fresh(self):
            raise KeyError("x")

        def __call__(self, chunk, partial):
            return True

    async with stream(Echo().generate("x"), requirements=[Requirement("works", check_chunk=Broken())]) as s:
        assert [chunk async for chunk in s] == []
    assert [type(failure.error) for failure in s.failures] == [KeyError]


class Loses:
    """A chunker that forgets the end."""

    def feed(self, text):
        return [text] if text != "lost" else []

    def end(self):
        return []


class Changes:
    """A chunker that changes the text."""

    def feed(self, text):
        return [text.upper()]

    def end(self):
        return []


@pytest.mark.parametrize("chunking", [Loses, Changes, lambda text: text.split(" ")])
@pytest.mark.parametrize("own", [False, True])
async def test_a_chunker_that_loses_text(chunking, own):
    """A chunker that loses or changes text, of the stream or of a requirement, is a typed error and stops it all."""
    source = Source(["one ", "two ", "lost"] + ["", "x"] * (chunking is not Loses))
    requirements = [forbid("bad", chunking=chunking if own else None)]
    async with stream(
        source.generate("x"), requirements=requirements, chunking=None if own else chunking, attempts=3
    ) as s:
        with pytest.raises(InvalidRequest, match="chunk"):
            _ = [chunk async for chunk in s]
    assert (source.calls, s.success) == (1, False)
    assert source.ends in (["cancelled"], ["exhausted"])


# --- what it is given -----------------------------------------------------------------------------


async def test_a_settled_thunk_is_judged_without_generating():
    """A thunk that is settled is the first attempt as it is; only a further one is generated."""
    backend = Scripted([["ok ", "bad"], "good"])
    thunk = backend.generate("x")
    await thunk
    async with stream(thunk, requirements=[forbid("bad")], attempts=2) as s:
        assert [chunk async for chunk in s] == ["ok ", "good"]
    assert (s.success, backend.calls) == (True, 2)


@pytest.mark.parametrize("how", ["cancelled", "failed", "rejected"])
async def test_a_thunk_without_an_answer_is_copied(how):
    """Of a thunk that failed, was cancelled or was rejected before, a fresh copy is the first attempt."""
    first = {"cancelled": "unused", "failed": [ConnectionLost("gone")], "rejected": ["bad"]}[how]
    backend = Scripted([first, ["good ", "one"]] if how != "cancelled" else [["good ", "one"]])
    thunk = backend.generate("x")
    if how == "cancelled":
        await thunk.cancel_generation()
    elif how == "failed":
        await thunk.settle()
    else:
        gate = Gate()
        gate.allow(1)
        backend = Turns(Source(["bad", "x"], gate=gate), Source(["good ", "one"]))
        thunk = backend.generate("x")
        async with stream(thunk, requirements=[forbid("bad")]) as s:
            assert [chunk async for chunk in s] == []
    async with stream(thunk, requirements=[forbid("bad")]) as s:
        assert [chunk async for chunk in s] == ["good ", "one"]
    assert (s.success, s.thunks[0]._call.lineage, thunk.value) == (True, (0,), None)


async def test_a_prompt_and_a_backend():
    """A prompt with a backend is asked, with all options of generate."""
    backend = Scripted(["[1]"])
    async with stream(
        ["How ", "many?"], backend=backend, system="Count.", output=list[int], temperature=0, stop="END", model="m"
    ) as s:
        _ = [chunk async for chunk in s]
    [request] = backend.requests
    assert (request.text, request.system[0].text, request.model) == ("How many?", "Count.", "m")
    assert (request.options.temperature, request.options.stop, s.result()) == (0, ("END",), [1])


async def test_options_override_those_of_a_thunk():
    """Options for a thunk make the first attempt a copy of it with these options; the thunk itself stays pending."""
    backend = Scripted(["bad", "ok"])
    thunk = backend.generate("x", temperature=1, max_tokens=5)
    async with stream(thunk, requirements=[forbid("bad")], attempts=2, temperature=0, system="Be brief.") as s:
        _ = [chunk async for chunk in s]
    assert thunk.state == "pending"
    assert [request.options.temperature for request in backend.requests] == [0, 0]
    assert [request.options.max_tokens for request in backend.requests] == [5, 5]
    assert backend.requests[1].system[0].text == "Be brief."


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda thunk: stream(thunk, attempts=0), InvalidRequest),
        (lambda thunk: stream(thunk, attempts=-1), InvalidRequest),
        (lambda thunk: stream(thunk, attempts=1.5), InvalidRequest),
        (lambda thunk: stream(thunk, attempts=True), InvalidRequest),
        (lambda thunk: stream(thunk, repair="yes"), InvalidRequest),
        (lambda thunk: stream(thunk, repair=None), InvalidRequest),
        (lambda thunk: stream(thunk, chunking="sentence"), InvalidRequest),
        (lambda thunk: stream(thunk, chunking=0), InvalidRequest),
        (lambda thunk: stream(thunk, requirements="short"), InvalidRequest),
        (lambda thunk: stream(thunk, requirements=["short"]), InvalidRequest),
        (lambda thunk: stream(thunk, requirements=[3]), InvalidRequest),
        (lambda thunk: stream(thunk, backend=Echo()), InvalidRequest),
        (lambda thunk: stream(thunk, temprature=0), UnknownOption),
        (lambda thunk: stream("prompt"), InvalidRequest),
        (lambda thunk: stream("prompt", backend="gpt"), ConfigurationError),
        (lambda thunk: stream("prompt", backend=Echo(), temperature="hot"), InvalidRequest),
        (lambda thunk: stream(3, backend=Echo()), InvalidRequest),
    ],
)
async def test_bad_arguments(make, error):
    """What cannot work is refused by the call, with a typed error, before anything is sent."""
    thunk = Echo().generate("x")
    with pytest.raises(error):
        make(thunk)
    assert thunk.state == "pending"


async def test_used_wrongly():
    """A stream is read inside its block and entered once; asking for the result too early says so."""
    s = stream(Echo().generate("x"))
    with pytest.raises(InvalidRequest, match="async with"):
        await anext(s)
    async with s:
        with pytest.raises(InvalidRequest, match="not over"):
            s.result()
    with pytest.raises(InvalidRequest, match="once"):
        await s.__aenter__()
    assert [chunk async for chunk in s] == []


def test_made_outside_of_a_loop():
    """Making a stream does nothing, also where no event loop runs."""
    s = stream(Echo().generate("x"), requirements=[forbid("x")])
    assert repr(s) == "<ValidatedStream new success=False attempts=0 text=''>"


# --- figures --------------------------------------------------------------------------------------


def answer(*texts, used):
    """A scripted answer with its usage."""
    return [ResponseStart(model="m"), *texts, Finish("stop", usage=Usage.of(input_tokens=10, output_tokens=used))]


async def test_usage_of_all_attempts():
    """Usage adds up over all attempts, as far as it is known; an unknown cost is None, never 0."""
    gate = Gate()
    gate.allow(2)
    backend = Turns(
        Source(["bad ", "never"], gate=gate), Source(answer("a b c d", used=4)), Source(answer("ok", used=7))
    )
    requirements = [forbid("bad"), Requirement("ok", lambda thunk: thunk.value == "ok")]
    async with stream(backend.generate("x"), requirements=requirements, attempts=3) as s:
        _ = [chunk async for chunk in s]
    assert (s.success, s.usage.input_tokens, s.usage.output_tokens) == (True, 20, 11)
    assert s.cost_usd is None
    assert s.thunks[0].generation.usage is None


async def test_one_rule_for_what_is_unknown():
    """An attempt that was stopped before its usage came makes the cost unknown; sampling says the same of it."""
    gate = Gate()
    gate.allow(2)
    start = ResponseStart(provider="openai", model="gpt-4o-mini", response_model="gpt-4o-mini")
    backend = Turns(
        Source([start, "bad ", "never"], gate=gate),
        Source([start, "ok", Finish("stop", usage=Usage.of(input_tokens=10, output_tokens=10))]),
    )
    async with stream(backend.generate("x"), requirements=[forbid("bad")], attempts=2) as s:
        _ = [chunk async for chunk in s]
    first, last = s.thunks
    result = SamplingResult(winner=last, success=True, samples=(Sample(first), Sample(last)), stop_reason="accepted")
    for spent in (s, result):
        assert spent.cost_usd is None
        assert spent.known_cost_usd == Decimal("0.0000075")
        assert (spent.usage.total_tokens, spent.unmetered) == (20, 1)


async def test_cost_of_all_attempts():
    """Cost adds up over all attempts, exactly."""
    events = [
        ResponseStart(provider="openai", model="gpt-4o-mini", response_model="gpt-4o-mini"),
        TextDelta("bad"),
        Finish("stop", usage=Usage.of(input_tokens=10, output_tokens=10)),
    ]
    async with stream(Source(events).generate("x"), requirements=[lambda thunk: False], attempts=2) as s:
        _ = [chunk async for chunk in s]
    assert s.cost_usd == Decimal("0.0000075") * 2


@pytest.mark.parametrize(
    ("options", "other", "saved"),
    [({}, answer("ok", used=100), 98), ({"max_tokens": 40}, None, 38), ({}, None, None)],
)
async def test_tokens_saved(options, other, saved):
    """What stopping saved is estimated from an attempt that was not stopped, or from max_tokens; else it is unknown."""
    gate = Gate()
    gate.allow(2)
    backend = Turns(Source(["12345678", "bad", "never"], gate=gate), Source(other or []))
    thunk = backend.generate("x", **options)
    async with stream(thunk, requirements=[forbid("bad")], attempts=1 if other is None else 2) as s:
        _ = [chunk async for chunk in s]
    assert s.tokens_saved == saved


async def test_judges_are_kept():
    """Every model that was asked as a judge is kept with its usage, whatever it said and whenever."""
    verdicts = Scripted(['{"reason": "fine", "passed": true}'] * 3 + ['{"reason": "rude", "passed": false}'])
    kind = judge(verdicts, "It is kind.", streaming=True, chunking="sentences")
    async with stream(Constant("One. Two. Three.").generate("x"), requirements=[kind]) as s:
        assert "".join([chunk async for chunk in s]) == "One. Two. Three."
    assert (s.success, s.failures[0].reason) == (False, "rude")
    assert [each.generation.usage.output_tokens for each in s.judges] == [4] * 4


# --- linear ---------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("chunking", [None, "words", 7])
async def test_linear(chunking):
    """Ten times the text takes about ten times the time, with a check that looks at the text so far."""

    def check(chunk, partial):
        return len(partial) > -1 and partial.endswith(chunk[-1])

    async def seconds(count):
        source = Source(["word "] * count, suspend=False)
        start = time.process_time()
        async with stream(
            source.generate("x"), requirements=[Requirement("x", check_chunk=check)], chunking=chunking
        ) as s:
            async for _ in s:
                pass
        assert s.success
        return time.process_time() - start

    few = min([await seconds(3_000) for _ in range(3)])
    many = min([await seconds(30_000) for _ in range(2)])
    assert many < 25 * few
    assert math.isfinite(many)


async def test_failing_at_once():
    """A backend that fails before any text gives an error and no chunk."""
    async with stream(Failing(ConnectionLost("gone")).generate("x"), attempts=2) as s:
        got, error = await collected_then(s)
    assert (got, type(error), s.attempts, len(s.failures)) == ([], ConnectionLost, 2, 2)
