"""Best of n: the highest score wins, whatever gives it."""

from __future__ import annotations

import anyio
import pytest

from mellite import BestOfN, RejectionSampling, Requirement, ValidationResult
from mellite.backends import Constant, Scripted
from mellite.errors import ConnectionLost, SamplingError
from tests.strategies.sampling.support import Calls, sampling, short
from tests.thunk.support import blocked

pytestmark = pytest.mark.anyio


def length(thunk):
    """The length of the answer."""
    return len(thunk.value)


async def test_the_highest_score_wins():
    """All n are generated at once, and the one with the highest score wins; of equals, the first."""
    backend = Calls()
    async with sampling(BestOfN(4, score=length), backend.generate("hi")) as run:
        for call, text in zip(await backend.called(4), ["a", "bbb", "cc", "ddd"], strict=True):
            call.answer(text)
    assert (run.result.value, run.result.success, run.result.stop_reason) == ("bbb", True, "completed")
    assert [sample.score for sample in run.result.samples] == [1, 3, 2, 3]


async def test_equals_are_told_apart_by_lineage():
    """Of equal scores the one with the earlier lineage wins, whichever came first."""
    backend = Calls()
    async with sampling(BestOfN(3, score=length), backend.generate("hi")) as run:
        for call in reversed(await backend.called(3)):
            call.answer("a")
            await blocked()
    assert run.result.winner._call.lineage == (0,)


async def test_a_negative_score_is_a_score():
    """Scores may be negative or zero; the highest still wins."""
    result = await BestOfN(3, score=lambda thunk: -len(thunk.value), concurrency=1).sample(
        Scripted(["aa", "a", "aaa"]).generate("hi")
    )
    assert result.value == "a"


async def test_an_async_score_is_awaited():
    """The score function may be async."""

    async def score(thunk):
        await anyio.lowlevel.checkpoint()
        return float(thunk.value)

    assert (await BestOfN(2, score=score).sample(Scripted(["1", "2"]).generate("hi"))).value == "2"


async def test_a_requirement_scores():
    """A requirement whose verdicts have a score is a score, such as a judge; without one, passing counts 1."""
    judge = Requirement("good", lambda thunk: ValidationResult(False, "meh", score=float(thunk.value)))
    result = await BestOfN(3, score=judge).sample(Scripted(["1", "3", "2"]).generate("hi"))
    assert (result.value, result.success) == ("3", True)
    two = Requirement("two", lambda thunk: thunk.value == "2")
    assert (await BestOfN(3, score=two).sample(Scripted(["1", "2", "3"]).generate("hi"))).value == "2"


async def test_without_a_score_the_requirements_decide():
    """Without a score, the mean of the scores in the verdicts decides among those that pass."""

    def scored(name, scores):
        return Requirement(name, lambda thunk: ValidationResult(True, None, scores.get(thunk.value)))

    requirements = [scored("one", {"a": 1.0, "b": 5.0}), scored("two", {"a": 3.0, "b": 1.0, "c": 2.5})]
    result = await BestOfN(3, concurrency=1).sample(Scripted(["a", "b", "c"]).generate("hi"), requirements)
    assert [sample.score for sample in result.samples] == [2.0, 3.0, 2.5]
    assert result.value == "b"


async def test_only_what_passes_is_scored():
    """Answers that fail their checks are not scored, which may cost something, and do not win."""
    scored = []

    def score(thunk):
        scored.append(thunk.value)
        return len(thunk.value)

    backend = Scripted(["too long", "ok", ConnectionLost("gone"), "x"])
    result = await BestOfN(4, score=score).sample(backend.generate("hi"), [short()])
    assert (result.value, sorted(scored)) == ("ok", ["ok", "x"])
    result = await BestOfN(2, score=score).sample(Scripted(["too long", "longer"]).generate("hi"), [short()])
    assert (result.success, len(scored)) == (False, 2)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda thunk: 1 / 0,
        lambda thunk: float("nan"),
        lambda thunk: float("inf"),
        lambda thunk: 10**400,
        lambda thunk: None,
        lambda thunk: "3",
    ],
)
async def test_a_score_that_breaks_fails_its_sample(wrong):
    """A score that raises or is not a finite number fails its sample, with the error kept; the others go on."""

    def score(thunk):
        return wrong(thunk) if thunk.value == "bad" else 1

    result = await BestOfN(3, score=score, concurrency=1).sample(Scripted(["bad", "good", "bad"]).generate("hi"))
    assert (result.value, [sample.status for sample in result.samples]) == ("good", ["failed", "passed", "failed"])
    assert isinstance(result.samples[0].error, (ArithmeticError, SamplingError))
    with pytest.raises(SamplingError, match="BestOfN could judge none of 2 answers") as caught:
        await BestOfN(2, score=wrong).sample(Constant("bad").generate("hi"))
    assert caught.value.__cause__ is caught.value.errors[0]
    assert isinstance(caught.value.__cause__, (ArithmeticError, SamplingError))


async def test_good_enough_ends_it():
    """With `enough`, the first answer with that score ends it and the rest is cancelled."""
    backend = Calls()
    async with sampling(BestOfN(4, score=length, enough=3), backend.generate("hi")) as run:
        calls = await backend.called(4)
        calls[3].answer("aa")
        await blocked()
        calls[2].answer("aaa")
    assert (run.result.value, run.result.stop_reason) == ("aaa", "accepted")
    assert backend.ends == ["cancelled", "cancelled", "answered", "answered"]


async def test_a_slow_score_is_cut_off_by_the_deadline():
    """An answer whose score is not known at the deadline still wins if there is no other."""
    forever = anyio.Event()

    async def score(thunk):
        if thunk.value == "slow":
            await forever.wait()
        return 1

    strategy = BestOfN(2, score=score, deadline=0.01, concurrency=1)
    result = await strategy.sample(Scripted(["slow", "x"]).generate("hi"))
    assert (result.stop_reason, result.value, result.samples[0].score) == ("deadline", "slow", None)


async def test_a_score_beats_none():
    """At the deadline, an answer with any score wins over one whose score is not known."""
    forever = anyio.Event()

    async def score(thunk):
        if thunk.value == "slow":
            await forever.wait()
        return -7

    backend = Calls()
    async with sampling(BestOfN(2, score=score, deadline=0.3), backend.generate("hi")) as run:
        calls = await backend.called(2)
        calls[0].answer("slow")
        calls[1].answer("quick")
    assert (run.result.stop_reason, run.result.value) == ("deadline", "quick")


async def test_each_candidate_may_be_a_run_of_another_strategy():
    """With an inner strategy, each of the n candidates is the winner of a run of it; all samples are listed."""
    backend = Calls()
    strategy = BestOfN(2, score=length, inner=RejectionSampling(max_samples=3))
    async with sampling(strategy, backend.generate("hi"), [short()]) as run:
        calls = await backend.called(2)
        calls[0].answer("too long")
        calls[1].answer("a")
        calls = await backend.called(3)
        next(call for call in calls if call.lineage == (0, 1)).answer("bbb")
    assert (run.result.value, run.result.stop_reason) == ("bbb", "completed")
    assert [sample.lineage for sample in run.result.samples] == [(0, 0), (0, 1), (1, 0)]
    assert [sample.status for sample in run.result.samples] == ["rejected", "passed", "passed"]
    assert [sample.score for sample in run.result.samples] == [None, 3.0, 1.0]
