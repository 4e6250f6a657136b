"""`mellite.engine.map` with a strategy or requirements: a result for each item, whatever became of its samples."""

from __future__ import annotations

import json

import anyio
import pytest

import mellite
from mellite import engine
from mellite.backends import Echo, Failing, Scripted
from mellite.errors import BudgetSpent, GenerationCancelled, InvalidRequest, SamplingError
from tests.engine.test_limits import Priced
from tests.engine.test_map import Crowd, _read, words

ON_BOTH = pytest.mark.anyio


class Improving(mellite.Backend):
    """Gives a longer answer to each copy of a prompt."""

    def __init__(self) -> None:
        self.asked: dict[str, int] = {}

    async def stream(self, request):
        """Answer with as many words as copies were asked."""
        count = self.asked[request.text] = self.asked.get(request.text, 0) + 1
        yield mellite.events.TextDelta(" ".join([request.text] * count))
        yield mellite.events.Finish("stop", usage=mellite.Usage.of(input_tokens=10, output_tokens=count))


def two_words(thunk):
    """Have at least two words."""
    return len(thunk.text.split()) >= 2


@ON_BOTH
async def test_requirements_alone_ask_again_until_an_answer_passes():
    """Requirements alone sample by rejection, and leave the items as they are."""
    backend = Improving()
    thunks = list(words(backend, 20))
    mapped = engine.map(thunks, requirements=[two_words], concurrency=4)
    results = {id(result.source): result async for result in mapped}
    assert [results[id(thunk)].value for thunk in thunks] == [f"{number} {number}" for number in range(20)]
    assert {(result.strategy, result.attempts, result.success) for result in results.values()} == {
        ("RejectionSampling", 2, True)
    }
    assert {thunk.state for thunk in thunks} == {"pending"}
    assert mapped.usage.input_tokens == 20 * 2 * 10
    assert mapped.counts == {"running": 0, "done": 20, "failed": 0, "cancelled": 0}


@ON_BOTH
async def test_failures_of_all_kinds_are_results():
    """No answer, none that passes, and a check that raises: each is a result without success."""
    refused = Echo().generate("one")
    broken = Failing(ConnectionError("no")).generate("two")

    def raises(thunk):
        if thunk.call.request.text == "three":
            raise ValueError("cannot count")
        return two_words(thunk)

    mapped = engine.map([refused, broken, Echo().generate("three"), Echo().generate("a b")], requirements=raises)
    results = await _collected(mapped)
    assert [result.source.call.request.text for result in results] == ["one", "two", "three", "a b"]
    assert [result.success for result in results] == [False, False, False, True]
    assert (results[0].value, results[0].error, results[0].attempts) == ("one", None, 3)
    assert isinstance(results[1].error, SamplingError)
    assert [type(error) for error in results[1].errors] == [mellite.errors.BackendError] * 3
    assert results[1].winner.state == "failed"
    assert "cannot count" in str(results[2].error)
    assert mapped.counts == {"running": 0, "done": 1, "failed": 3, "cancelled": 0}
    assert mapped.failures == {"SamplingError": 2, "no sample passed its checks": 1}


async def _collected(mapped):
    """All results in the order of the items."""
    found = [each async for each in mapped]
    order = {"one": 0, "two": 1, "three": 2, "a b": 3}
    return sorted(found, key=lambda result: order[result.source.call.request.text])


@ON_BOTH
async def test_no_more_calls_run_at_once_than_the_map_says():
    """The concurrency of a map counts the calls of its samplings, not only its items."""
    crowd = Crowd()
    vote = mellite.MajorityVote(5, concurrency=5)
    results = await engine.map(words(crowd, 30), strategy=vote, concurrency=7, collect=list)
    assert [int(result.value) for result in results] == list(range(30))
    assert 90 <= crowd.begun <= 150
    assert crowd.most == 7


@ON_BOTH
async def test_runs_are_sampled():
    """A strategy takes runs as it takes thunks."""
    run = mellite.run(Echo(), "two words")
    (result,) = await engine.map([run], requirements=[two_words], collect=list)
    assert (result.success, result.value, result.source) == (True, "two words", run)


@ON_BOTH
async def test_cancel_gives_back_what_was_sampled_as_cancelled():
    """A sampling that is cancelled comes as a result that says so, and its calls have ended."""
    crowd = Crowd(waits=True)
    thunks = list(words(crowd, 5))
    mapped = engine.map(thunks, requirements=[two_words], concurrency=2)
    seen = []

    async def read():
        seen.extend([result async for result in mapped])

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        await anyio.wait_all_tasks_blocked()
        await mapped.cancel("enough")
        assert crowd.running == 0
    assert [result.stop_reason for result in seen] == ["cancelled", "cancelled"]
    assert all(isinstance(result.error, GenerationCancelled) for result in seen)
    assert seen[0].error.reason == "enough"
    assert mapped.counts["cancelled"] == 2


@ON_BOTH
async def test_what_a_cancelled_sampling_has_cost_is_known():
    """A sampling that is cancelled has the samples that had come until then, and they are paid for."""

    class Stuck(Improving):
        async def stream(self, request):
            """Answer the first copy."""
            if self.asked:
                await anyio.sleep_forever()
            async for event in super().stream(request):
                yield event

    mapped = engine.map([Stuck().generate("a")], requirements=[two_words])
    async with anyio.create_task_group() as tasks:
        seen = []
        tasks.start_soon(_read, mapped, seen)
        await anyio.wait_all_tasks_blocked()
        await mapped.cancel()
    (result,) = seen
    assert [sample.thunk.text for sample in result.samples][:1] == ["a"]
    assert (result.value, result.success, mapped.usage.input_tokens) == ("a", False, 10)


@ON_BOTH
async def test_a_block_that_is_left_cancels_what_is_sampled():
    """At the end of ``async with`` no sample is on its way."""
    crowd = Crowd(waits=True)
    async with engine.map(words(crowd, 3), requirements=[two_words]) as mapped, anyio.create_task_group() as tasks:
        tasks.start_soon(anext, mapped)
        await anyio.wait_all_tasks_blocked()
        assert crowd.running == 3
        tasks.cancel_scope.cancel()
    assert crowd.running == 0


def test_a_plain_loop_samples_as_well():
    """Code without await samples in the background loop."""
    results = list(engine.map(words(Improving(), 5), strategy=mellite.BestOfN(2, score=lambda each: len(each.text))))
    assert sorted(result.value for result in results) == [f"{number} {number}" for number in range(5)]


@ON_BOTH
async def test_it_goes_on_from_a_journal(tmp_path):
    """Samples that a journal has are not asked again."""
    backend = Improving()
    first = await engine.map(words(backend, 4), requirements=[two_words], journal=tmp_path / "kept", collect=list)
    asked = dict(backend.asked)
    second = await engine.map(words(backend, 5), requirements=[two_words], journal=tmp_path / "kept", collect=list)
    assert [result.value for result in second[:4]] == [result.value for result in first]
    assert backend.asked == {**asked, "4": 2}


@ON_BOTH
async def test_a_budget_counts_all_samples():
    """A budget is charged with every sample, not only with winners."""
    backend = Priced()
    with pytest.raises(BudgetSpent):
        await engine.map(
            words(backend, 20), requirements=[two_words], concurrency=1, limits=[mellite.Budget(usd="0.3")]
        )
    assert backend.begun == 6  # two samplings of three, of 0.18 USD each


@ON_BOTH
async def test_a_row_says_how_a_strategy_came_to_it(tmp_path):
    """Rows of samplings have the tokens of all samples, and say how it ended."""
    path = tmp_path / "answers.jsonl"
    collected = await engine.map(
        [*words(Improving(), 1), Failing(ConnectionError("no")).generate("b")],
        requirements=[two_words],
        collect=path,
        concurrency=1,
    )
    assert (collected.rows, collected.failed) == (2, 1)
    one, two = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert (one["text"], one["success"], one["attempts"], one["stop_reason"]) == ("0 0", True, 2, "accepted")
    assert (one["input_tokens"], one["output_tokens"], one["error"]) == (20, 3, None)
    assert (two["text"], two["error_type"], two["success"], two["attempts"]) == (None, "SamplingError", False, 3)


@pytest.mark.slow
@ON_BOTH
async def test_thousands_are_sampled():
    """Ten thousand items are sampled, one after another."""
    backend = Improving()
    count = 0
    async for result in engine.map(words(backend, 10_000), requirements=[two_words]):
        count += result.success
    assert count == 10_000


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"strategy": "rejection"}, "'strategy' must be a strategy"),
        ({"requirements": [3]}, "requirement"),
    ],
)
def test_wrong_arguments_are_refused_by_name(given, said):
    """What is not a strategy and no requirement is an error that names it."""
    with pytest.raises(InvalidRequest, match=said):
        engine.map([], **given)


@ON_BOTH
async def test_a_strategy_that_nothing_can_fail_is_refused_before_it_asks():
    """A strategy without anything to check is an error before the first call."""
    backend = Scripted(["never"])
    with pytest.raises(InvalidRequest, match="RejectionSampling needs requirements"):
        await engine.map([backend.generate("x")], strategy=mellite.RejectionSampling())
    assert backend.calls == 0


@ON_BOTH
async def test_a_strategy_says_what_failed_as_a_result_where_sample_raises():
    """`Strategy.result_of` gives as a result what `Strategy.sample` raises."""
    thunk = Failing(ConnectionError("no")).generate("x")
    strategy = mellite.RejectionSampling()
    with pytest.raises(SamplingError) as caught:
        await strategy.sample(thunk, [two_words])
    result = await strategy.result_of(thunk, [two_words])
    assert (result.success, result.attempts, result.stop_reason) == (False, 3, "failed")
    assert str(result.error) == str(caught.value)
    good = await strategy.result_of(Echo().generate("a b"), [two_words])
    assert (good.success, good.error, good.source.state) == (True, None, "pending")
