"""Budgets: samples, tokens, dollars and seconds; what is spent stops the rest, what is unknown is an error."""

from __future__ import annotations

from decimal import Decimal

import anyio
import pytest
import trio.testing

from mellite import BestOfN, Fallback, Hedge, MajorityVote, RejectionSampling, Requirement
from mellite.backends import Constant, LiveBackend, Scripted
from mellite.cassettes import ScriptedTransport
from mellite.errors import SamplingError
from mellite.events import Finish, ResponseStart, TextDelta, Usage
from mellite.providers.catalog import find
from mellite.requirements import judge
from tests.strategies.sampling.support import Calls, sampling, short
from tests.thunk.support import blocked

PRICED = {"provider": "openai", "model": "gpt-4o-mini"}
"""A model that the price list knows: 0.15 USD for a million input tokens, 0.60 for a million output tokens."""

THOUSAND = Usage.of(input_tokens=1000, output_tokens=1000)
COST = Decimal("0.00075")
"""What that costs."""


@pytest.mark.anyio
async def test_tokens_of_all_samples_count():
    """No copy is sent once all samples together have used `max_tokens`."""
    backend = Calls(usage=Usage.of(input_tokens=4, output_tokens=6))
    async with sampling(RejectionSampling(max_samples=9, max_tokens=25), backend.generate("hi"), [short()]) as run:
        for index in range(3):
            (await backend.called(index + 1))[index].answer("too long")
    assert (run.result.stop_reason, run.result.attempts, len(backend.calls)) == ("max_tokens", 3, 3)
    assert run.result.usage.total_tokens == 30


@pytest.mark.anyio
async def test_a_spent_budget_cancels_what_is_in_flight():
    """When the budget of tokens is spent, copies in flight are cancelled and say why."""
    backend = Calls(usage=Usage.of(input_tokens=4, output_tokens=6))
    strategy = RejectionSampling(max_samples=9, concurrency=3, max_tokens=20)
    async with sampling(strategy, backend.generate("hi"), [short()]) as run:
        (await backend.called(3))[0].answer("too long")
        (await backend.called(4))[1].answer("too long")
    assert run.result.stop_reason == "max_tokens"
    assert backend.ends == ["answered", "answered", "cancelled", "cancelled"]
    assert "the budget of tokens is spent" in str(run.result.samples[2].thunk._settled().error)


@pytest.mark.anyio
async def test_an_answer_that_was_paid_for_is_still_checked():
    """The answer that spends the budget may be accepted: then that is why it stopped."""
    backend = Calls()
    strategy = RejectionSampling(max_samples=9, concurrency=2, max_tokens=1)
    async with sampling(strategy, backend.generate("hi"), [short()]) as run:
        (await backend.called(2))[1].answer("ok")
    assert (run.result.value, run.result.success, run.result.stop_reason) == ("ok", True, "accepted")
    assert backend.ends == ["cancelled", "answered"]


@pytest.mark.anyio
async def test_a_check_in_flight_goes_on_when_the_budget_is_spent():
    """A check of an answer that was paid for ends in its own time, when another answer spends the budget."""
    go_on = anyio.Event()

    async def check(thunk):
        await go_on.wait()
        return thunk.value == "ok"

    backend = Calls()
    strategy = RejectionSampling(max_samples=9, concurrency=3, max_tokens=20)
    async with sampling(strategy, backend.generate("hi"), [Requirement("any", check)]) as run:
        calls = await backend.called(3)
        calls[0].answer("ok")
        await blocked()
        calls[1].answer("no")
        await blocked()
        assert backend.ends == ["answered", "answered", "cancelled"]
        go_on.set()
    assert (run.result.value, run.result.stop_reason) == ("ok", "accepted")


@pytest.mark.anyio
async def test_a_budget_stops_what_is_in_flight_when_nothing_more_would_be_sent():
    """A budget that is spent while the last copies are in flight stops those."""
    backend = Calls()
    async with sampling(BestOfN(3, score=lambda thunk: 1, max_tokens=10), backend.generate("hi")) as run:
        (await backend.called(3))[1].answer("x")
    assert (run.result.stop_reason, run.result.value) == ("max_tokens", "x")
    assert backend.ends == ["cancelled", "answered", "cancelled"]


@pytest.mark.anyio
async def test_a_budget_spent_by_the_last_sample_stopped_nothing():
    """A budget that is spent when all samples are there anyway is not why it stopped."""
    strategy = BestOfN(2, score=lambda thunk: len(thunk.value), max_tokens=2)
    backend = Calls(usage=Usage.of(input_tokens=1, output_tokens=0))
    async with sampling(strategy, backend.generate("hi")) as run:
        for call in await backend.called(2):
            call.answer("x")
    assert run.result.stop_reason == "completed"


@pytest.mark.anyio
async def test_dollars_are_exact():
    """Costs are added up exactly, and no copy is sent once `max_usd` is spent."""
    backend = Calls(**PRICED, usage=THOUSAND)
    async with sampling(RejectionSampling(max_samples=9, max_usd=COST * 3), backend.generate("hi"), [short()]) as run:
        for index in range(3):
            (await backend.called(index + 1))[index].answer("too long")
    assert (run.result.stop_reason, run.result.attempts) == ("max_usd", 3)
    assert run.result.cost_usd == COST * 3
    assert [sample.cost_usd for sample in run.result.samples] == [COST] * 3


@pytest.mark.anyio
async def test_an_unknown_price_is_an_error_under_a_budget():
    """Under `max_usd`, an answer of a model without a price is an error that names the model; the rest is cancelled."""
    backend = Calls(model="no-such-model")
    strategy = RejectionSampling(max_samples=9, concurrency=2, max_usd=1)
    async with sampling(strategy, backend.generate("hi"), [short()]) as run:
        (await backend.called(2))[0].answer("the answer")
    assert isinstance(run.error, SamplingError)
    assert "'no-such-model'" in str(run.error)
    assert "max_usd" in str(run.error)
    assert (run.error.model, run.error.partial) == ("no-such-model", "the answer")
    assert backend.ends == ["answered", "cancelled"]


@pytest.mark.anyio
@pytest.mark.parametrize("where", ["own", "backup", "copy", "inside"])
async def test_a_provider_without_prices_is_refused_before_anything_is_sent(where):
    """Under `max_usd`, a live backend whose provider has no prices at all is refused, wherever it stands."""
    local = LiveBackend(find("ollama:llama3"), transport=ScriptedTransport([]))
    other = Scripted(["ok"])
    strategy, thunk = {
        "own": (RejectionSampling(max_usd=1), local.generate("hi")),
        "backup": (Fallback([local], max_usd=1), other.generate("hi")),
        "copy": (Hedge(1, backends=local, max_usd=1), other.generate("hi")),
        "inside": (MajorityVote(2, inner=RejectionSampling(max_usd=1)), local.generate("hi")),
    }[where]
    with pytest.raises(SamplingError, match="'ollama' of model 'llama3'") as caught:
        await strategy.sample(thunk, [short()])
    assert (caught.value.model, other.calls) == ("llama3", 0)


@pytest.mark.anyio
async def test_an_unknown_price_without_a_budget_is_unknown():
    """Without `max_usd` an unknown price is not an error; the total is unknown then, not the sum of the others."""
    backend = Calls(model="no-such-model")
    async with sampling(RejectionSampling(), backend.generate("hi"), [short()]) as run:
        (await backend.called(1))[0].answer("ok")
    assert run.result.cost_usd is None


@pytest.mark.anyio
async def test_an_answer_without_usage_is_an_error_under_a_budget():
    """Under a budget, a whole answer whose provider does not say what it used is an error, not free."""
    for budget in ({"max_tokens": 100}, {"max_usd": 1}):
        backend = Calls(**PRICED, usage=None)
        async with sampling(RejectionSampling(**budget), backend.generate("hi"), [short()]) as run:
            (await backend.called(1))[0].answer("ok")
        assert isinstance(run.error, SamplingError)
        assert "gpt-4o-mini" in str(run.error)


@pytest.mark.anyio
async def test_what_broke_off_before_any_usage_is_no_error_under_a_budget():
    """A call that failed before its provider reported any use does not make a budget impossible to keep."""
    backend = Calls(**PRICED, usage=THOUSAND)
    async with sampling(RejectionSampling(max_usd=1), backend.generate("hi"), [short()]) as run:
        (await backend.called(1))[0].fail(ConnectionResetError())
        (await backend.called(2))[1].answer("ok")
    assert (run.result.value, run.result.known_cost_usd, run.result.unmetered) == ("ok", COST, 1)


@pytest.mark.anyio
async def test_usage_of_a_failed_answer_counts():
    """An answer that broke off after its provider reported what it used counts with that."""
    broken = [
        ResponseStart(provider="openai", model="gpt-4o-mini"),
        TextDelta("half"),
        Finish("stop", usage=THOUSAND),
        TextDelta("after the end"),
    ]
    backend = Scripted([broken, "ok"])
    with pytest.raises(SamplingError, match="max_tokens") as caught:
        await RejectionSampling(max_tokens=2000).sample(backend.generate("hi"), [short()])
    assert (backend.calls, caught.value.usage.total_tokens) == (1, 2000)
    backend = Scripted([broken, "ok"])
    with pytest.raises(SamplingError, match="max_usd"):
        await RejectionSampling(max_usd=COST).sample(backend.generate("hi"), [short()])
    assert backend.calls == 1


@pytest.mark.anyio
async def test_the_budget_of_the_outer_strategy_holds_inside():
    """Budgets of an outer strategy hold for all runs of the inner one together, those of the inner for each run."""
    backend = Calls()
    strategy = MajorityVote(4, inner=RejectionSampling(max_samples=5), max_tokens=30, concurrency=1)
    async with sampling(strategy, backend.generate("hi"), [short()]) as run:
        for index in range(3):
            (await backend.called(index + 1))[index].answer("too long")
    assert (run.result.stop_reason, run.result.attempts) == ("max_tokens", 3)
    inner = Calls()
    strategy = Fallback(inner, inner=RejectionSampling(max_samples=9, max_tokens=20))
    async with sampling(strategy, Constant("too long").generate("hi"), [short()]) as run:
        (await inner.called(1))[0].answer("too long")
        (await inner.called(2))[1].answer("too long")
    assert (run.result.stop_reason, len(inner.calls)) == ("max_samples", 2)


@pytest.mark.anyio
async def test_judges_are_paid_from_the_budget():
    """What models use that judge an answer counts against the budgets, and is in the totals."""

    def verdict(passed: bool) -> list:
        text = '{"reason": "so it is", "passed": %s, "score": 0.5}' % ("true" if passed else "false")
        start = ResponseStart(provider="openai", model="gpt-4o-mini")
        return [start, TextDelta(text), Finish("stop", usage=THOUSAND)]

    answers = Scripted([[ResponseStart(**PRICED), TextDelta("x"), Finish("stop", usage=THOUSAND)]] * 9)
    good = judge(Scripted([verdict(False)] * 9), "It is good.")
    strategy = RejectionSampling(max_samples=9, max_usd=COST * 4)
    result = await strategy.sample(answers.generate("hi"), [good])
    assert (result.stop_reason, result.attempts, result.cost_usd) == ("max_usd", 2, COST * 4)
    assert (result.usage.total_tokens, result.samples[0].usage.total_tokens) == (8000, 2000)
    assert result.samples[0].cost_usd == COST
    scoring = judge(Scripted([verdict(True)] * 9), "It is good.")
    strategy = BestOfN(4, score=scoring, max_tokens=8000, concurrency=1)
    result = await strategy.sample(answers.generate("hi"))
    assert (result.stop_reason, result.attempts, result.usage.total_tokens) == ("max_tokens", 2, 8000)
    assert [sample.verdict.reason for sample in result.samples] == ["so it is"] * 2
    strategy = BestOfN(3, score=scoring, max_tokens=7000, concurrency=1)  # 6000 for an answer with both
    result = await strategy.sample(answers.generate("hi"), [judge(Scripted([verdict(True)] * 9), "It is good.")])
    assert (result.attempts, result.usage.total_tokens) == (2, 12_000)
    unpriced = judge(Constant('{"reason": "so it is", "passed": true, "score": 0.5}'), "It is good.")
    with pytest.raises(SamplingError, match="'constant'"):
        await RejectionSampling(max_usd=1).sample(answers.generate("hi"), [unpriced])


@pytest.mark.anyio
async def test_the_deadline_cancels_what_is_in_flight():
    """When the deadline passes, what is in flight is cancelled, and the best there is by then is the result."""
    backend = Calls()
    strategy = RejectionSampling(max_samples=9, concurrency=2, deadline=0.5)
    async with sampling(strategy, backend.generate("hi"), [short()]) as run:
        (await backend.called(2))[0].answer("too long")
        await backend.called(3)
    assert (run.result.stop_reason, run.result.success, run.result.value) == ("deadline", False, "too long")
    assert backend.ends == ["answered", "cancelled", "cancelled"]
    assert "the deadline of the sampling has passed" in str(run.result.samples[1].thunk._settled().error)


@pytest.mark.anyio
async def test_a_deadline_without_any_answer_is_an_error():
    """If there is no answer at all when the deadline passes, that is an error that says so."""
    backend = Calls()
    async with sampling(RejectionSampling(deadline=0.3), backend.generate("hi"), [short()]) as run:
        await backend.called(1)
    assert isinstance(run.error, SamplingError)
    assert "deadline" in str(run.error)
    assert (run.error.errors, backend.ends) == ((), ["cancelled"])


@pytest.mark.anyio
async def test_the_deadline_ends_a_check_that_takes_too_long():
    """A check that is still running when the deadline passes is cancelled."""
    forever = anyio.Event()

    async def check(thunk):
        await forever.wait()

    result = await RejectionSampling(deadline=0.01).sample(Constant("x").generate("hi"), [Requirement("any", check)])
    assert (result.stop_reason, result.success, result.samples[0].status) == ("deadline", False, "unchecked")


@pytest.mark.anyio
async def test_a_deadline_that_does_not_pass_leaves_nothing_behind():
    """A run that ends before its deadline does not wait for it."""
    with anyio.fail_after(20):
        result = await RejectionSampling(deadline=1000).sample(Constant("ok").generate("hi"), [short()])
    assert result.success


def test_the_deadline_is_kept_to_the_second():
    """On a clock of its own, a run ends exactly at its deadline; one of the inner strategy holds for each run of it."""
    seconds = []

    async def main():
        outer = RejectionSampling(max_samples=2, deadline=9, inner=RejectionSampling(deadline=2, max_samples=9))
        for strategy in (RejectionSampling(deadline=7), outer):
            began = trio.current_time()
            backend = Calls()
            async with sampling(strategy, backend.generate("hi"), [short()]):
                await blocked()
            seconds.append(trio.current_time() - began)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0.01))
    assert [round(each, 6) for each in seconds] == [7, 4]
