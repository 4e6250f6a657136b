"""Rejection sampling: asks again until an answer passes, and sends nothing that no longer matters."""

from __future__ import annotations

import pytest

import mellite
from mellite import RejectionSampling, Requirement, ValidationResult
from mellite.backends import Constant, Failing, Scripted
from mellite.errors import (
    AuthenticationError,
    BackendError,
    ConnectionLost,
    OutputValidationError,
    RateLimited,
    SamplingError,
)
from tests.strategies.sampling.support import Calls, sampling, short
from tests.thunk.support import blocked

pytestmark = pytest.mark.anyio


async def test_the_first_answer_that_passes_wins():
    """Copies are sent one by one until one passes, and no more after it."""
    backend = Scripted(["much too long", "too long", "ok", "no"])
    result = await RejectionSampling(max_samples=4).sample(backend.generate("hi"), [short()])
    assert (result.value, result.success, result.stop_reason, bool(result)) == ("ok", True, "accepted", True)
    assert backend.calls == 3
    assert result.winner is result.samples[2].thunk
    assert [sample.status for sample in result.samples] == ["rejected", "rejected", "passed"]


async def test_the_thunk_itself_stays_pending():
    """Only copies are generated."""
    thunk = Constant("ok").generate("hi")
    result = await RejectionSampling().sample(thunk, [short()])
    assert thunk.state == "pending"
    assert result.winner._call.request is thunk._call.request


async def test_three_attempts_unless_told_otherwise():
    """When no answer passes, there is a result without success, after three attempts, with the best answer there is."""
    backend = Scripted(["long one", "long two", "long three", "ok"])
    result = await RejectionSampling().sample(backend.generate("hi"), [short(), short(7)])
    assert (result.success, result.stop_reason, backend.calls, result.attempts) == (False, "max_samples", 3, 3)
    assert not result
    assert result.value == "long one"


async def test_the_answer_that_meets_the_most_is_taken_when_none_passes():
    """Without success, the winner is the answer that meets the most requirements, the first of several."""
    backend = Scripted(["much too long", "longer", "longer", "far too long"])
    result = await RejectionSampling(max_samples=4).sample(backend.generate("hi"), [short(), short(6)])
    assert result.winner is result.samples[1].thunk


async def test_copies_race_under_concurrency_and_losers_are_cancelled():
    """Up to `concurrency` copies run at once; when one is accepted the others are cancelled, the rest never sent."""
    backend = Calls()
    async with sampling(RejectionSampling(max_samples=9, concurrency=3), backend.generate("hi"), [short()]) as run:
        calls = await backend.called(3)
        await blocked()
        assert len(backend.calls) == 3
        calls[1].answer("far too long")
        await backend.called(4)
        calls[2].answer("ok")
    assert run.result.value == "ok"
    assert backend.ends == ["cancelled", "answered", "answered", "cancelled"]
    assert [sample.status for sample in run.result.samples] == ["cancelled", "rejected", "passed", "cancelled"]
    assert run.result.samples[0].thunk.cancelled
    assert "another sample was accepted" in str(run.result.samples[0].thunk._settled().error)


async def test_samples_are_listed_by_lineage():
    """Samples stand in the order of their lineage, in whichever order they finished."""
    backend = Calls()
    async with sampling(RejectionSampling(max_samples=3, concurrency=3), backend.generate("hi"), [short()]) as run:
        calls = await backend.called(3)
        for index in (2, 0, 1):
            calls[index].answer(f"too long {index}")
            await blocked()
    assert [sample.lineage for sample in run.result.samples] == [(0,), (1,), (2,)]
    assert [sample.thunk.value for sample in run.result.samples] == ["too long 0", "too long 1", "too long 2"]


async def test_an_error_is_an_attempt_and_keeps_its_cause():
    """A transport error, a foreign error and an answer that cannot be parsed are attempts; their errors are kept."""
    lost, odd = ConnectionLost("gone"), ZeroDivisionError("odd")
    thunk = Scripted([lost, odd, "no number", "7"]).generate("hi", output=int)
    result = await RejectionSampling(max_samples=4).sample(thunk)
    assert (result.value, result.parsed_repr, result.success) == ("7", 7, True)
    assert [type(error) for error in result.errors] == [ConnectionLost, BackendError, OutputValidationError]
    assert result.samples[0].error is lost
    assert result.samples[1].error.__cause__ is odd
    assert [sample.status for sample in result.samples] == ["failed", "failed", "failed", "passed"]


async def test_only_when_nothing_is_left_the_errors_come_out_as_one_group():
    """If no copy gave an answer, one SamplingError comes: with all errors, in order, and a group of them as cause."""
    errors = [ConnectionLost("one"), RateLimited("two", retry_after=1.0), ConnectionLost("three")]
    with pytest.raises(SamplingError) as caught:
        await RejectionSampling().sample(Scripted(errors).generate("hi"), [short()])
    assert caught.value.errors == tuple(errors)
    assert isinstance(caught.value.__cause__, ExceptionGroup)
    assert caught.value.__cause__.exceptions == tuple(errors)
    assert "RejectionSampling stopped (max_samples) after 3 samples" in str(caught.value)
    assert "one" in str(caught.value)
    assert caught.value.retryable


async def test_what_failed_is_no_reason_to_raise_while_there_is_an_answer():
    """Errors beside an answer that failed its checks raise nothing: there is a result without success."""
    backend = Scripted([ConnectionLost("one"), "too long", ConnectionLost("three")])
    result = await RejectionSampling().sample(backend.generate("hi"), [short()])
    assert (result.success, result.value, len(result.errors)) == (False, "too long", 2)


async def test_what_asking_again_does_not_mend_is_not_asked_again():
    """A wrong key or a malformed request is not tried again: the same call would fail in the same way."""
    backend = Scripted(["too long", AuthenticationError("no such key"), "ok"])
    result = await RejectionSampling().sample(backend.generate("hi"), [short()])
    assert (result.stop_reason, backend.calls, result.success) == ("hopeless", 2, False)
    with pytest.raises(SamplingError, match="no such key"):
        await RejectionSampling().sample(Failing(AuthenticationError("no such key")).generate("hi"), [short()])


async def test_a_hopeless_error_leaves_what_is_in_flight():
    """After an error that asking again does not mend, nothing more is sent, but what is in flight may end well."""
    backend = Calls()
    strategy = RejectionSampling(max_samples=9, concurrency=2)
    async with sampling(strategy, backend.generate("hi"), [short()]) as run:
        calls = await backend.called(2)
        calls[0].fail(AuthenticationError("no such key"))
        await blocked()
        calls[1].answer("ok")
    assert (run.result.value, run.result.stop_reason, len(backend.calls)) == ("ok", "accepted", 2)


async def test_an_answer_that_no_longer_matters_is_not_checked():
    """Of two answers that come at the same time, one is checked and accepted, and no check is paid for the other."""
    checked = []
    backend = Calls()
    strategy = RejectionSampling(concurrency=2)
    async with sampling(strategy, backend.generate("hi"), [lambda thunk: not checked.append(thunk)]) as run:
        for call in await backend.called(2):
            call.answer("ok")
    assert (len(checked), run.result.success) == (1, True)
    assert sorted(sample.status for sample in run.result.samples) in (["passed", "unchecked"], ["cancelled", "passed"])


async def test_a_check_that_raises_fails_its_sample():
    """An exception in a check is a verdict with the error, never a pass, and other samples go on."""
    broken = ZeroDivisionError("broken")

    def check(thunk):
        if thunk.value == "odd":
            raise broken
        return False

    result = await RejectionSampling(max_samples=2).sample(Scripted(["odd", "no"]).generate("hi"), [short(), check])
    assert (result.success, result.attempts) == (False, 2)
    assert [sample.status for sample in result.samples] == ["failed", "rejected"]
    first = result.samples[0]
    assert [verdict.passed for verdict in first.validations] == [True, False]
    assert (first.validations[1].error, first.errors, first.error) == (broken, (broken,), None)
    assert result.errors == (broken,)
    assert result.winner is result.samples[1].thunk  # what was judged comes before what was not
    assert "1 x error, first ZeroDivisionError('broken')" in repr(result)


async def test_verdicts_stand_in_the_order_of_the_requirements():
    """Verdicts are in the order in which the requirements were given, whichever check ends first."""
    ended = []

    def requirement(name: str, turns: int) -> Requirement:
        async def check(thunk):
            for _ in range(turns):
                await blocked()
            ended.append(name)
            return ValidationResult(True, name)

        return Requirement(name, check)

    names = ["slow", "slower", "fast"]
    result = await RejectionSampling().sample(
        Constant("x").generate("hi"), [requirement(name, turns) for name, turns in zip(names, (2, 3, 0), strict=True)]
    )
    assert [verdict.reason for verdict in result.samples[0].validations] == names
    assert result.requirements == tuple(names)
    assert sorted(ended) == sorted(names)


async def test_an_async_check_is_awaited():
    """The verdict of an async check is what it returns, not the coroutine."""

    async def never(thunk):
        await blocked()
        return False

    result = await RejectionSampling(max_samples=1).sample(Constant("x").generate("hi"), [Requirement("never", never)])
    assert not result.success


async def test_a_judge_may_be_spared():
    """With `check_all=False`, async checks are not made of an answer that another check refuses."""
    judged = []

    async def judge(thunk):
        judged.append(thunk.value)
        return True

    requirements = [Requirement("judge", judge), short()]
    result = await RejectionSampling(check_all=False).sample(Scripted(["too long", "ok"]).generate("hi"), requirements)
    assert (result.value, judged) == ("ok", ["ok"])
    first = result.samples[0].validations
    assert [(verdict.passed, verdict.reason) for verdict in first] == [
        (False, "not checked: another check had failed already"),
        (False, "it has 8"),
    ]
    await RejectionSampling().sample(Scripted(["too long", "ok"]).generate("hi"), requirements)
    assert judged == ["ok", "too long", "ok"]


async def test_a_function_is_a_requirement():
    """A function of the thunk may stand for a requirement."""
    result = await RejectionSampling().sample(Scripted(["x", "y"]).generate("hi"), [lambda thunk: thunk.value == "y"])
    assert result.value == "y"


async def test_checks_get_the_messages_before():
    """A check that takes the context gets the messages before the one that was answered."""
    seen = []

    def check(thunk, context):
        seen.append([message.text for message in context])
        return True

    history = [mellite.Message.user("a"), mellite.Message.assistant("b"), mellite.Message.user("c")]
    await RejectionSampling().sample(Constant("x").generate(history), [Requirement("any", check)])
    assert seen == [["a", "b"]]


async def test_the_winner_is_marked_in_its_log():
    """The log of the winner says that it is the final result, the logs of the others that they are not."""
    backend = Calls()
    async with sampling(RejectionSampling(concurrency=2), backend.generate("hi"), [short()]) as run:
        calls = await backend.called(2)
        calls[0].answer("too long")
        await backend.called(3)
        calls[1].answer("ok")
    assert [sample.thunk.generate_log.is_final_result for sample in run.result.samples] == [False, True, False]


async def test_a_thunk_may_be_sampled_again():
    """Sampling a thunk a second time makes new copies, whose lineage goes on."""
    thunk = Constant("ok").generate("hi")
    first = await RejectionSampling().sample(thunk, [short()])
    second = await RejectionSampling().sample(thunk, [short()])
    assert [first.winner._call.lineage, second.winner._call.lineage] == [(0,), (1,)]


async def test_cancelling_the_caller_cancels_what_is_in_flight():
    """When the task that samples is cancelled, every copy in flight is, and nothing more is sent."""
    backend = Calls()
    async with sampling(RejectionSampling(max_samples=9, concurrency=4), backend.generate("hi"), [short()]) as run:
        await backend.called(4)
        run.scope.cancel()
        await run.over.wait()
        assert backend.ends == ["cancelled"] * 4
    assert run.scope.cancelled_caught
    assert len(backend.calls) == 4


async def test_a_check_in_flight_is_cancelled_when_another_sample_is_accepted():
    """What is still being checked when the outcome is decided is cancelled, and its sample is left unchecked."""
    import anyio

    forever = anyio.Event()

    async def check(thunk):
        if thunk.value == "slow":
            await forever.wait()
        return True

    backend = Calls()
    async with sampling(RejectionSampling(concurrency=2), backend.generate("hi"), [Requirement("any", check)]) as run:
        calls = await backend.called(2)
        calls[0].answer("slow")
        await blocked()
        calls[1].answer("fast")
    assert run.result.value == "fast"
    assert [sample.status for sample in run.result.samples] == ["unchecked", "passed"]
