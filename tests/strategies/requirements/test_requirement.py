"""Requirement: how checks are called, what their verdicts are, and that none passes by accident."""

from __future__ import annotations

import functools
import pickle

import anyio
import pytest

import mellite
from mellite import Message, Requirement, ValidationResult
from mellite.backends import Constant, Echo, Failing, Scripted
from mellite.errors import ConnectionLost, GenerationCancelled, InvalidRequest, MelliteError
from mellite.events import Finish, TextDelta, ToolCallEvent
from mellite.messages import ToolCall
from mellite.requirements import as_requirements, check, custom, verdicts
from tests.thunk.support import Consumer, blocked, live_tasks

anyio_test = pytest.mark.anyio


class Passes:
    """A check that is an object."""

    def __call__(self, thunk):
        return thunk.value == "hi"


class PassesLater:
    """An object whose call is async."""

    async def __call__(self, thunk, context):
        await anyio.lowlevel.checkpoint()
        return len(context) == 1


async def is_hi(thunk):
    await anyio.lowlevel.checkpoint()
    return thunk.value == "hi"


def wrapped(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


HISTORY = [Message.system("Be brief."), Message.user("hi")]


@anyio_test
@pytest.mark.parametrize(
    "function",
    [
        lambda thunk: thunk.value == "hi",
        lambda thunk, context: context == (HISTORY[0],) and thunk.value == "hi",
        lambda thunk, context=None: context == (HISTORY[0],),
        lambda thunk, ctx=None: ctx == (HISTORY[0],),
        lambda thunk, limit=5: limit == 5,
        lambda thunk, *, context: context == (HISTORY[0],),
        lambda thunk, *, context=None: context == (HISTORY[0],),
        lambda *args: len(args) == 1,
        lambda thunk, *rest: rest == (),
        lambda thunk, **more: more == {},
        functools.partial(lambda word, thunk: thunk.value == word, "hi"),
        functools.partial(lambda thunk, context, word: len(context) == 1, word="hi"),
        wrapped(lambda thunk, context: len(context) == 1),
        wrapped(lambda thunk: True),
        Passes(),
        PassesLater(),
        is_hi,
        lambda thunk: ValidationResult(True, "fine", 0.5),
        lambda thunk: is_hi(thunk) if thunk else False,
        lambda thunk: Constant("true").generate("Is it?", output=bool),
        bool,
    ],
)
async def test_how_a_check_is_called(function):
    """A check gets the thunk, and the context if its signature has a place for it; sync, async, or giving a thunk."""
    [verdict] = await check(Echo().generate(HISTORY), [Requirement("says hi", function)])
    assert verdict.passed, verdict


@anyio_test
async def test_numpy_bools():
    """A bool of numpy, which comparisons give, is a verdict too."""

    class bool_:  # noqa: N801 - as numpy calls it
        def __init__(self, value):
            self.value = value

        def __bool__(self):
            return self.value

    yes, no = await check("hi", [lambda thunk: bool_(True), lambda thunk: bool_(False)])
    assert (yes.passed, no.passed, no.error) == (True, False, None)


@anyio_test
async def test_an_async_check_is_awaited():
    """The verdict of an async check is what it gives when awaited: the coroutine itself is not a pass."""

    async def never(thunk):
        return False

    for requirement in (Requirement("never", never), Requirement("never", lambda thunk: thunk and never(thunk))):
        verdict = await requirement.validate(Echo().generate("hi"))
        assert verdict == ValidationResult(False)


def raises(thunk):
    raise KeyError("missing")


class Wordless(Exception):
    """An error whose text cannot be made."""

    def __str__(self):
        raise LookupError


class Odd:
    """A value that raises wherever it is looked at."""

    def _raises(self, *_):
        raise LookupError

    __eq__ = __repr__ = __str__ = _raises


def raises_wordless(thunk):
    raise Wordless


async def odd_later(*args):
    await anyio.lowlevel.checkpoint()
    return Odd()


async def raises_later(thunk):
    await anyio.lowlevel.checkpoint()
    raise ZeroDivisionError


@anyio_test
@pytest.mark.parametrize(
    ("function", "error"),
    [
        (raises, KeyError),
        (raises_later, ZeroDivisionError),
        (raises_wordless, Wordless),
        (lambda thunk: Odd(), LookupError),
        (odd_later, LookupError),
        (lambda thunk: None, InvalidRequest),
        (lambda thunk: "yes", InvalidRequest),
        (lambda thunk: 1, InvalidRequest),
        (lambda thunk: [thunk], InvalidRequest),
        (lambda thunk: thunk, InvalidRequest),
        (lambda thunk: Failing(ConnectionLost("gone")).generate("x", output=bool), ConnectionLost),
        (lambda thunk: Constant("perhaps").generate("x", output=bool), MelliteError),
        (lambda thunk: ValidationResult("no"), InvalidRequest),
        (lambda thunk: ValidationResult(True, error=ValueError("x")), InvalidRequest),
    ],
)
async def test_never_a_pass_by_accident(function, error):
    """A check that raises, or gives no verdict, fails with the error; it is not raised and does not pass."""
    [verdict] = await check("hi", [Requirement("is nice", function)])
    assert not verdict
    assert isinstance(verdict.error, error)
    assert "'is nice'" in verdict.reason


@anyio_test
async def test_a_check_that_never_returns():
    """A check with a timeout of its own is ended by it, and fails with a TimeoutError; its siblings are not touched."""
    ended = []

    async def never(thunk):
        try:
            await anyio.sleep_forever()
        finally:
            ended.append(thunk.value)

    slow, quick = await check("hi", [Requirement("slow", never, timeout=0.01), is_hi])
    assert (slow.passed, type(slow.error), quick.passed, ended) == (False, TimeoutError, True, ["hi"])
    assert "within 0.01 s" in slow.reason


@anyio_test
async def test_a_timeout_of_the_check_itself():
    """A TimeoutError that the check raises, and one that is quick enough, are told apart from its own timeout."""

    async def quick(thunk):
        await anyio.lowlevel.checkpoint()
        return True

    async def impatient(thunk):
        with anyio.fail_after(0):
            await anyio.sleep_forever()

    first, second = await check("hi", [Requirement("a", quick, timeout=50), Requirement("b", impatient, timeout=50)])
    assert first.passed
    assert type(second.error) is TimeoutError
    assert "within" not in second.reason


@anyio_test
async def test_cancelling_is_no_verdict():
    """A check that is cancelled from outside is cancelled: that is neither swallowed nor made a verdict."""
    before = live_tasks()
    started = anyio.Event()

    async def waits(thunk):
        started.set()
        await anyio.sleep_forever()

    async with anyio.create_task_group() as group:
        consumer = Consumer(group, lambda: check("hi", [Requirement("waits", waits, timeout=50), waits]))
        await started.wait()
        consumer.cancel()
    assert consumer.was_cancelled
    assert (consumer.value, consumer.error) == (None, None)
    assert live_tasks() == before


def test_a_foreign_cancellation_is_an_error():
    """An asyncio task that the check waits for and somebody else cancels fails the check, and cancels nothing else."""
    import asyncio

    async def main():
        victim = asyncio.ensure_future(asyncio.sleep(100))

        async def waits(thunk):
            await victim

        asyncio.get_running_loop().call_soon(victim.cancel)
        return await check("hi", [waits, lambda thunk: True])

    first, second = asyncio.run(main())
    assert (first.passed, type(first.error), second.passed) == (False, MelliteError, True)


@anyio_test
async def test_order_is_kept_and_async_checks_run_at_once():
    """The verdicts come in the order given, whichever finishes first; async checks wait at the same time."""
    finished = []
    events = [anyio.Event() for _ in range(3)]

    def waits_for(index):
        async def waits(thunk):
            if index < 2:
                await events[index + 1].wait()  # each for the next: one after the other would never end
            finished.append(index)
            events[index].set()
            return ValidationResult(True, str(index))

        return Requirement(str(index), waits)

    found = await check("hi", [waits_for(0), lambda thunk: False, waits_for(1), waits_for(2)])
    assert [verdict.reason for verdict in found] == ["0", None, "1", "2"]
    assert finished == [2, 1, 0]


@anyio_test
async def test_async_checks_start_in_order():
    """Async checks start in the order of the requirements, so that what they ask models for is recorded in it."""
    started = []

    def noting(index):
        async def notes(thunk):
            started.append(index)
            await anyio.lowlevel.checkpoint()
            return True

        return notes

    await check("hi", [noting(index) for index in range(30)])
    assert started == list(range(30))


@anyio_test
async def test_one_failure_can_decide():
    """When one failure decides, async checks do not begin behind a sync one that failed, and end when one fails."""
    begun = []

    async def waits(thunk):
        begun.append("waits")
        await anyio.sleep_forever()

    async def fails(thunk):
        begun.append("fails")
        return False

    thunk = await Echo().generate("hi").settle()
    requirements = as_requirements([waits, lambda thunk: False, fails])
    assert await verdicts(requirements, thunk, until_failure=True) == [None, ValidationResult(False), None]
    assert begun == []
    requirements = as_requirements([waits, lambda thunk: True, fails])
    found = await verdicts(requirements, thunk, until_failure=True)
    assert found == [None, ValidationResult(True), ValidationResult(False)]
    assert "fails" in begun


# --- what is checked ------------------------------------------------------------------------------


@anyio_test
async def test_subjects():
    """A thunk, pending or settled, a text, and recorded events are checked alike; only a pending thunk is generated."""
    backend = Scripted(["hi"])
    thunk = backend.generate("x")
    for subject in (thunk, thunk, "hi", [TextDelta("h"), TextDelta("i"), Finish("stop")], thunk.events()):
        [verdict] = await check(subject, [lambda thunk: thunk.value == "hi" and thunk.state == "done"])
        assert verdict, subject
    assert backend.calls == 1


@anyio_test
async def test_recorded_events_have_everything():
    """Events judged again bring their tool calls and usage; a copy of their thunk plays them again."""
    recorded = [TextDelta("hi"), ToolCallEvent(ToolCall("1", "look", {"at": "it"})), Finish("stop")]
    seen = []
    await check(iter(recorded), [lambda thunk: bool(seen.append(thunk)) or True])
    assert seen[0].tool_calls[0].name == "look"
    assert await seen[0].resample(1)[0] == "hi"


@anyio_test
async def test_a_failed_generation_fails_every_requirement():
    """Where there is no whole answer no check is called: each verdict fails, with what went wrong."""
    called = []
    broken = Failing(ConnectionLost("gone"), after=1).generate("hi")
    cancelled = Echo().generate("hi")
    await cancelled.cancel_generation()
    for subject, kind in (
        (broken, ConnectionLost),
        (cancelled, GenerationCancelled),
        ([TextDelta("no finish")], mellite.errors.IncompleteStream),
        ([], mellite.errors.IncompleteStream),
    ):
        found = await check(subject, [called.append, called.append])
        assert [(verdict.passed, type(verdict.error)) for verdict in found] == [(False, kind)] * 2
    assert called == []


@anyio_test
@pytest.mark.parametrize("subject", [3, None, b"bytes", [1], ["text"], object()])
async def test_no_subject(subject):
    """What is not an output is refused with a typed error."""
    with pytest.raises(InvalidRequest) as caught:
        await check(subject, [bool])
    assert caught.value.parameter == "subject"


@anyio_test
async def test_context_can_be_given():
    """The context of a thunk is what stands before its question; another one can be given."""
    seen = []
    requirement = custom(lambda thunk, context: bool(seen.append(context)) or True)
    await check(Echo().generate(HISTORY), [requirement])
    await check("text", [requirement])
    await check("text", [requirement], context=HISTORY)
    assert seen == [(HISTORY[0],), (), HISTORY]


# --- chunks ---------------------------------------------------------------------------------------


@anyio_test
@pytest.mark.parametrize(
    ("given", "verdict"),
    [
        ("pass", ("pass", None)),
        (True, ("pass", None)),
        (ValidationResult(True, "good"), ("pass", ValidationResult(True, "good"))),
        ("unknown", ("unknown", None)),
        (None, ("unknown", None)),
        ("fail", ("fail", ValidationResult(False))),
        (False, ("fail", ValidationResult(False))),
        (ValidationResult(False, "bad"), ("fail", ValidationResult(False, "bad"))),
    ],
)
async def test_chunk_verdicts(given, verdict):
    """A check of a chunk gives pass, fail or unknown, a bool, a verdict or None; sync or async."""

    async def later(chunk, partial):
        await anyio.lowlevel.checkpoint()
        return given

    for function in (lambda chunk, partial: given, later):
        assert await Requirement("x", check_chunk=function).validate_chunk("c", "abc") == verdict


def raises_for_chunk(chunk, partial):
    raise KeyError(chunk)


async def never_for_chunk(chunk, partial):
    await anyio.sleep_forever()


@anyio_test
@pytest.mark.parametrize(
    ("function", "error"),
    [
        (raises_for_chunk, KeyError),
        (lambda chunk, partial: Odd(), LookupError),
        (odd_later, LookupError),
        (lambda chunk, partial: "passed", InvalidRequest),
        (lambda chunk, partial: 0, InvalidRequest),
        (lambda chunk: True, TypeError),
        (never_for_chunk, TimeoutError),
    ],
)
async def test_a_chunk_is_never_passed_by_accident(function, error):
    """A check of a chunk that raises, never returns or gives no verdict fails the chunk, with the error."""
    timeout = 0.01 if function is never_for_chunk else None
    verdict, result = await Requirement("x", check_chunk=function, timeout=timeout).validate_chunk("c", "c")
    assert (verdict, result.passed, type(result.error)) == ("fail", False, error)


@anyio_test
async def test_a_requirement_for_chunks_only_judges_whole_texts():
    """Without `check` a whole text is judged chunk by chunk, in the requirement's own chunks, with the text so far."""
    seen = []

    def looks(chunk, partial):
        seen.append((str(chunk), partial))
        return ValidationResult(False, "bad") if "bad" in chunk else None

    requirement = Requirement("x", check_chunk=looks, chunking="words")
    good, bad = Echo().generate("one two"), Echo().generate("one bad two")
    assert (await requirement.validate(good)).passed
    assert await requirement.validate(bad) == ValidationResult(False, "bad")
    assert seen == [("one ", "one "), ("two", "one two"), ("one ", "one "), ("bad ", "one bad ")]
    whole = Requirement("x", check_chunk=lambda chunk, partial: chunk == "one two" == partial)
    assert (await whole.validate(good)).passed


@pytest.mark.slow
@anyio_test
async def test_a_whole_text_takes_as_long_as_its_chunks():
    """The timeout of a requirement for chunks is for each chunk, also when a whole text is judged."""

    async def slow(chunk, partial):
        await anyio.sleep(0.02)

    requirement = Requirement("x", check_chunk=slow, chunking=1, timeout=0.5)
    assert (await requirement.validate(Echo().generate("x" * 30))).passed


@anyio_test
async def test_no_check_of_chunks():
    """A requirement without a check of chunks knows nothing about a chunk."""
    assert await Requirement("x", bool).validate_chunk("c", "c") == ("unknown", None)


@anyio_test
async def test_counting_anew_for_each_text():
    """A check of chunks with `fresh` counts anew for each text."""

    class Counts:
        def __init__(self):
            self.count = 0

        def fresh(self):
            return Counts()

        def __call__(self, chunk, partial):
            self.count += 1
            return self.count <= 2

    requirement = Requirement("at most two words", check_chunk=Counts(), chunking="words")
    for _ in range(2):
        assert [v.passed for text in ("a b", "a b c") for v in await check(text, [requirement])] == [True, False]


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda: Requirement("nothing"),
        lambda: Requirement(bool),
        lambda: Requirement("x", "y"),
        lambda: Requirement("x", check_chunk="y"),
        lambda: Requirement("x", lambda: True),
        lambda: Requirement("x", lambda a, b, c: True),
        lambda: Requirement("x", lambda a, *, other: True),
        lambda: Requirement("x", bool, timeout=0),
        lambda: Requirement("x", bool, timeout=-1),
        lambda: Requirement("x", bool, timeout=float("nan")),
        lambda: Requirement("x", bool, timeout="1"),
        lambda: Requirement("x", bool, timeout=True),
        lambda: Requirement("x", bool, chunking="sentence"),
        lambda: custom(3),
        lambda: ValidationResult(1),
        lambda: ValidationResult("pass"),
        lambda: ValidationResult(None),
        lambda: ValidationResult(True, error=ValueError()),
        lambda: as_requirements("short"),
        lambda: as_requirements(["short"]),
        lambda: as_requirements([3]),
        lambda: as_requirements([None]),
        lambda: as_requirements(Requirement("x", bool)),
        lambda: as_requirements(bool),
    ],
)
def test_bad_requirements(make):
    """What cannot work is refused when it is written, with a typed error."""
    with pytest.raises(InvalidRequest):
        make()


def test_words_are_no_requirement():
    """A str among the requirements is told how it becomes one."""
    with pytest.raises(InvalidRequest, match=r"'be kind' is words, .* mellite\.Requirement\('be kind', check\)"):
        as_requirements(["be kind"])


def test_functions_are_requirements():
    """A function in a list of requirements is one, named after it."""
    requirement = Requirement("short", bool)
    assert as_requirements(None) == ()
    assert as_requirements([requirement, is_hi, Passes()])[0] is requirement
    assert [each.description for each in as_requirements((is_hi, Passes(), len))] == ["is_hi", "Passes", "len"]


def test_verdicts_and_requirements_are_values():
    """A verdict is true if it passed; verdicts and requirements compare and are pickled."""
    verdict = ValidationResult(False, "why", 0.5, ValueError("x"))
    twin = pickle.loads(pickle.dumps(verdict))
    assert twin == verdict
    assert (bool(twin), bool(ValidationResult(True)), str(twin.error)) == (False, True, "x")
    requirement = Requirement("hi", is_hi, timeout=3)
    assert pickle.loads(pickle.dumps(requirement)) == requirement


@anyio_test
async def test_nothing_is_left_of_checks_that_never_began():
    """Checks that never begin because their group was cancelled leave no coroutine behind that was never awaited."""

    async def fails(thunk):
        return False

    thunk = await Echo().generate("hi").settle()
    for _ in range(3):
        await verdicts(as_requirements([fails] * 20), thunk, until_failure=True)
    await blocked()
