"""Majority vote and minimum Bayes risk: what wins, and when what is missing cannot change it any more."""

from __future__ import annotations

import itertools
import random

import anyio
import pytest

from mellite import MajorityVote, MinimumBayesRisk
from mellite.backends import Constant, Scripted
from mellite.errors import ConnectionLost, SamplingError
from tests.strategies.sampling.support import Calls, sampling, short
from tests.thunk.support import blocked

pytestmark = pytest.mark.anyio


async def answers(strategy, *texts, requirements=(), **options):
    """The result of a strategy over calls that are answered with these texts, by lineage, in this order."""
    backend = Calls()
    async with sampling(strategy, backend.generate("hi", **options), requirements) as run:
        for call, text in zip(await backend.called(len(texts)), texts, strict=True):
            if isinstance(text, Exception):
                call.fail(text)
            else:
                call.answer(text)
            await blocked()
    assert run.error is None
    return run.result


async def test_the_answer_with_most_votes_wins():
    """The winner is the first sample, by lineage, that gave the answer with the most votes."""
    result = await answers(MajorityVote(5), "b", "a", "c", " a\n", "a")
    assert (result.value, result.winner._call.lineage, result.success) == ("a", (1,), True)
    assert [sample.score for sample in result.samples] == [1, 3, 1, 3, 3]
    assert result.stop_reason == "completed"


async def test_a_vote_that_cannot_change_ends_it():
    """As soon as the votes that are missing cannot change the winner, they are cancelled."""
    backend = Calls()
    async with sampling(MajorityVote(5), backend.generate("hi")) as run:
        calls = await backend.called(5)
        for index in (4, 1):
            calls[index].answer("a")
            await blocked()
        assert not run.over.is_set()
        calls[2].answer("a")
    assert (run.result.value, run.result.stop_reason) == ("a", "decided")
    assert backend.ends == ["cancelled", "answered", "answered", "cancelled", "answered"]
    assert "cannot change the outcome" in str(run.result.samples[0].thunk._settled().error)


async def test_votes_that_were_not_begun_are_never_sent():
    """Under a lower concurrency, copies that could not change the outcome are never sent."""
    backend = Scripted(["a", "b", "a", "a", "never", "sent"])
    result = await MajorityVote(6, concurrency=1).sample(backend.generate("hi"))
    assert (result.value, backend.calls, result.stop_reason) == ("a", 4, "decided")
    backend = Scripted(["a", "a", "never"])
    result = await MajorityVote(3, concurrency=1).sample(backend.generate("hi"))
    assert (result.value, backend.calls) == ("a", 2)


async def test_of_equal_votes_the_one_with_the_first_wins():
    """A tie goes to the answer whose first vote has the earlier lineage, whichever came first."""
    backend = Calls()
    async with sampling(MajorityVote(4), backend.generate("hi")) as run:
        calls = await backend.called(4)
        for index, text in ((3, "b"), (1, "b"), (2, "a"), (0, "a")):
            calls[index].answer(text)
            await blocked()
    assert run.result.value == "a"


async def test_a_tie_that_is_decided_by_lineage_ends_it():
    """When the most that could happen is a tie that the leader wins by lineage, it is decided."""
    backend = Scripted(["a", "a", "never", "sent"])
    result = await MajorityVote(4, concurrency=1).sample(backend.generate("hi"))
    assert (result.value, backend.calls) == ("a", 2)
    backend = Scripted(["b", "a", "a", "b"])
    result = await MajorityVote(4, concurrency=1).sample(backend.generate("hi"))
    assert (result.value, backend.calls) == ("b", 4)


@pytest.mark.slow
async def test_early_exit_never_changes_the_vote():
    """Whatever the answers and their order, the vote that stops early is the one that a full count gives."""
    rng = random.Random(7)
    for _ in range(30):
        n = rng.randint(1, 7)
        texts = [rng.choice("abc") for _ in range(n)]
        full = max(set(texts), key=lambda text: (texts.count(text), -texts.index(text)))
        backend = Calls()
        async with sampling(MajorityVote(n), backend.generate("hi")) as run:
            calls = await backend.called(n)
            for index in rng.sample(range(n), n):
                if not run.over.is_set():
                    calls[index].answer(texts[index])
                    await blocked()
        assert run.result.value == full, texts


async def test_decided_as_early_as_it_can_be():
    """It ends at the first moment at which no answers of what is missing could change the vote, and not before."""
    for texts in itertools.product("ab", repeat=5):
        backend = Scripted(texts)
        result = await MajorityVote(5, concurrency=1).sample(backend.generate("hi"))
        so_far = texts[: backend.calls]
        assert len(winners(so_far, 5)) == 1
        assert backend.calls == 1 or len(winners(so_far[:-1], 5)) > 1
        assert {result.value} == winners(so_far, 5)


def winners(texts, n):
    """Every answer that could still win a vote of n that begins with these."""
    found = set()
    for rest in itertools.product("abc", repeat=n - len(texts)):
        votes = [*texts, *rest]
        found.add(max(set(votes), key=lambda text: (votes.count(text), -votes.index(text))))
    return found


async def test_only_what_passes_votes():
    """Failed, broken and rejected samples have no vote; if none passes there is no success."""
    result = await answers(
        MajorityVote(5), "long answer", "long answer", "b", ConnectionLost("gone"), "a", requirements=[short()]
    )
    assert (result.value, result.success) == ("b", True)
    assert [sample.status for sample in result.samples] == ["rejected", "rejected", "passed", "failed", "cancelled"]
    assert [sample.score for sample in result.samples] == [None, None, 1, None, None]
    result = await answers(MajorityVote(2), "long one", "long two", requirements=[short()])
    assert (result.success, result.value) == (False, "long one")


async def test_numbers_are_the_same_however_they_are_written():
    """With the numeric key the last number in the text is the vote; an answer without one does not vote."""
    result = await answers(
        MajorityVote(6, key="numeric"), "no idea", "It is 1,024.", "7", "so 1024.0", "about 7", "2 x 512 = 1.024e3"
    )
    assert (result.value, result.samples[0].score) == ("It is 1,024.", None)


async def test_parsed_answers_vote_by_their_value():
    """With an output type, equal parsed values are the same vote, also those that cannot be hashed."""
    result = await answers(MajorityVote(3), '{"a": 1, "b": [2]}', "{}", '{"b":[2],"a":1}', output=dict)
    assert result.parsed_repr == {"a": 1, "b": [2]}
    result = await answers(MajorityVote(3), "3.0", "2", "3", output=float)
    assert result.parsed_repr == 3.0


async def test_a_key_of_your_own():
    """A function of the text gives the vote; None is not a vote; it may be async."""
    result = await answers(MajorityVote(3, key=str.casefold), "x", "Yes", "YES")
    assert result.value == "Yes"

    async def first_letter(text):
        await anyio.lowlevel.checkpoint()
        return text[:1] or None

    result = await answers(MajorityVote(4, key=first_letter), "", "apple", "avocado", "")
    assert (result.value, [sample.score for sample in result.samples]) == ("apple", [None, 2, 2, None])


async def test_a_comparison_of_your_own():
    """A function of two texts says whether they are the same vote."""

    def near(one, other):
        return abs(int(one) - int(other)) <= 1

    result = await answers(MajorityVote(5, key=near), "1", "9", "2", "10", "8")
    assert (result.value, result.samples[1].score) == ("9", 3)


async def test_a_similarity_as_a_comparison():
    """A comparison may give a similarity: answers are the same from a half on."""
    from mellite.strategies.sampling.agreement import word_overlap

    texts = ["the cat sat", "a dog sat", "the cat ran", "cat the sat"]
    result = await answers(MajorityVote(4, key=word_overlap), *texts)
    assert (result.value, [sample.score for sample in result.samples]) == ("the cat sat", [2, 1, 2, None])
    assert (await answers(MajorityVote(3, key=None), "b", "a", " a")).value == "a"


async def test_a_comparison_that_waits_makes_no_group_twice():
    """Samples that are compared at the same time still find each other."""

    async def same(one, other):
        await blocked()
        return one == other

    backend = Calls()
    async with sampling(MajorityVote(5, key=same), backend.generate("hi")) as run:
        calls = await backend.called(5)
        calls[0].answer("a")
        await blocked()
        for call, text in zip(calls[1:], ["b", "b", "x", "y"], strict=True):
            call.answer(text)
    assert (run.result.value, [sample.score for sample in run.result.samples]) == ("b", [1, 2, 2, 1, 1])


async def test_a_key_that_raises_fails_its_sample():
    """A sample whose vote cannot be told does not vote and keeps the error; the others go on."""
    result = await answers(MajorityVote(3, key=int), "x", "3", "3")
    assert (result.value, type(result.samples[0].error), result.samples[0].status) == ("3", ValueError, "failed")
    with pytest.raises(SamplingError, match="could judge none of 2 answers") as caught:
        await MajorityVote(2, key=lambda text: [text]).sample(Scripted(["x", "y"]).generate("hi"))
    assert [type(error) for error in caught.value.errors] == [TypeError, TypeError]


async def test_the_answer_most_like_the_others_wins():
    """Minimum Bayes risk takes the answer with the highest mean similarity to all others, the first of equals."""
    texts = ["dogs bark", "the cat sat", "the cat sat down", "the cat ran"]
    result = await answers(MinimumBayesRisk(4), *texts)
    assert result.value == "the cat sat"
    scores = [sample.score for sample in result.samples]
    assert scores == pytest.approx([0, (6 / 7 + 4 / 6) / 3, (6 / 7 + 4 / 7) / 3, (4 / 6 + 4 / 7) / 3])
    assert (await answers(MinimumBayesRisk(3), "a", "b", "c")).value == "a"


async def test_similarity_as_numbers_is_nearness():
    """The numeric similarity prefers the number in the middle, where a vote would take one that came twice."""
    texts = ["50", "10", "11", "12", "50"]
    assert (await answers(MinimumBayesRisk(5, similarity="numeric"), *texts)).value == "11"
    assert (await answers(MajorityVote(5, key="numeric"), *texts)).value == "50"
    assert (await answers(MinimumBayesRisk(5, similarity="exact"), *texts)).value == "50"


async def test_a_similarity_of_your_own():
    """A similarity of your own, sync or async, is asked for each ordered pair of answers."""
    pairs = []

    def included(answer, other):
        pairs.append((answer, other))
        return float(answer in other)

    result = await answers(MinimumBayesRisk(3, similarity=included), "abc", "ab", "xab")
    assert (result.value, result.samples[1].score) == ("ab", 1.0)
    assert sorted(pairs) == sorted(itertools.permutations(["abc", "ab", "xab"], 2))

    async def waiting(answer, other):
        await anyio.lowlevel.checkpoint()
        return included(answer, other)

    assert (await answers(MinimumBayesRisk(3, similarity=waiting), "abc", "ab", "xab")).value == "ab"


@pytest.mark.parametrize("wrong", [lambda one, other: 1 / 0, lambda one, other: float("nan"), lambda one, other: "x"])
async def test_a_similarity_that_breaks_is_a_typed_error(wrong):
    """A similarity that raises or gives no finite number is a SamplingError that names it."""
    with pytest.raises(SamplingError, match="lambda"):
        await MinimumBayesRisk(2, similarity=wrong).sample(Constant("x").generate("hi"))


async def test_one_answer_needs_no_others():
    """A single answer that passed wins, with a similarity of 1."""
    result = await answers(MinimumBayesRisk(2), "ok", "too long", requirements=[short()])
    assert (result.value, result.samples[0].score) == ("ok", 1.0)
    result = await answers(MinimumBayesRisk(2), "long", "longer", requirements=[short()])
    assert (result.success, result.value) == (False, "long")


async def test_fewer_samples_than_n():
    """A lower `max_samples` makes the vote smaller and is then why it stopped."""
    strategy = MajorityVote(5, max_samples=3, concurrency=1)
    result = await strategy.sample(Scripted(["a", "b", "b"]).generate("hi"))
    assert (result.attempts, result.stop_reason, result.value) == (3, "max_samples", "b")
