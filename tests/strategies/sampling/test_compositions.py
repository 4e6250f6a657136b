"""Strategies inside strategies, at random: whatever is composed, and however it ends, nothing is left."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator

import anyio
import pytest
from anyio.lowlevel import checkpoint

import mellite
from mellite import (
    BestOfN,
    BudgetForcing,
    Escalate,
    Fallback,
    Hedge,
    MajorityVote,
    MinimumBayesRisk,
    ModelFriendlyRepair,
    MultiTurnRepair,
    RejectionSampling,
    RepairSampling,
)
from mellite.errors import AuthenticationError, ConnectionLost, SamplingError
from mellite.events import Event, Finish, ReasoningDelta, ResponseStart, TextDelta, Usage
from mellite.request import Request
from tests.strategies.sampling.support import failing, short
from tests.thunk.support import blocked, live_tasks

pytestmark = pytest.mark.anyio


class Moody(mellite.Backend):
    """Answers, fails, dawdles or hangs, as the dice say."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.begun: list[tuple[int, ...]] = []
        self.open = 0

    async def stream(self, request: Request) -> AsyncIterator[Event]:
        """Do one of many things."""
        self.begun.append(request.metadata["lineage"])
        self.open += 1
        try:
            yield ResponseStart(provider="openai", model="gpt-4o-mini")
            for _ in range(self.dice.randrange(5)):
                await checkpoint()
            mood = self.dice.random()
            if mood < 0.2:
                raise ConnectionLost("gone")
            if mood < 0.22:
                raise AuthenticationError("wrong key")
            if mood < 0.3:
                await anyio.sleep_forever()
            for _ in range(self.dice.randrange(3)):
                yield ReasoningDelta("hmm " * self.dice.randrange(20))
                await checkpoint()
            yield TextDelta(self.dice.choice(["a", "b", "42", "far too long"]))
            yield Finish("stop", usage=Usage.of(input_tokens=5, output_tokens=5))
        finally:
            self.open -= 1


def composed(dice: random.Random, backends: list[Moody], depth: int = 3) -> mellite.sampling.Strategy:
    """A random strategy with others inside it."""
    budgets = {
        name: value
        for name, value in {
            "max_tokens": dice.randint(1, 60),
            "max_usd": dice.choice([0.00001, 1]),
            "deadline": dice.choice([0.002, 0.01]),
            "concurrency": dice.randint(1, 4),
            "check_all": False,
        }.items()
        if dice.random() < 0.3
    }
    options = {**budgets, "max_samples": dice.randint(1, 4)}
    kinds = [
        lambda inner: RejectionSampling(**options, inner=inner),
        lambda inner: RepairSampling(**options, inner=inner),
        lambda inner: MultiTurnRepair(**options, inner=inner),
        lambda inner: ModelFriendlyRepair(**options, inner=inner),
        lambda inner: BestOfN(dice.randint(1, 4), score=lambda thunk: len(thunk.value), **budgets, inner=inner),
        lambda inner: MajorityVote(dice.randint(1, 5), key=dice.choice(["exact", "numeric"]), **budgets, inner=inner),
        lambda inner: MinimumBayesRisk(dice.randint(1, 4), **budgets, inner=inner),
        lambda inner: Fallback(dice.sample(backends, 2), **budgets, inner=inner),
        lambda inner: Escalate(dice.choice(backends), **budgets, inner=inner),
        lambda inner: Hedge(dice.choice([0.0005, 0.003]), **options, inner=inner),
        lambda inner: BudgetForcing(20, least=dice.choice([0, 15]), rounds=2, **options),
    ]
    inside = composed(dice, backends, depth - 1) if depth > 1 and dice.random() < 0.6 else None
    return dice.choice(kinds)(inside)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(60))
async def test_whatever_is_composed(seed):
    """Any composition ends with a result or a SamplingError that add up, and leaves no task and no open stream."""
    dice = random.Random(seed)
    before = live_tasks()
    backends = [Moody(dice) for _ in range(3)]
    strategy = composed(dice, backends)
    requirements = [short(), *([failing(ValueError("broken"))] if dice.random() < 0.1 else [])]
    thunk = backends[0].generate("hi")
    result = error = None
    with anyio.move_on_after(0.3) as scope:
        try:
            result = await strategy.sample(thunk, requirements)
        except SamplingError as raised:
            error = raised
    if error is not None:
        cause = error.__cause__
        assert cause is None or cause is error.errors[0] or cause.exceptions == error.errors
    elif result is not None:
        sent = [lineage for backend in backends for lineage in backend.begun]
        adds_up(result, sent)
    assert [backend.open for backend in backends] == [0, 0, 0], scope.cancelled_caught
    await blocked()
    assert live_tasks() == before
    assert thunk.state == "pending"


def adds_up(result: mellite.SamplingResult, sent: list[tuple[int, ...]]) -> None:
    """Everything that was sent is in the result once and in order, with its usage, and one of them has won."""
    lineages = [sample.lineage for sample in result.samples]
    assert lineages == sorted(set(lineages))
    assert len(sent) == len(set(sent))
    assert set(sent) <= set(lineages)
    assert all(sample.thunk.is_computed() for sample in result.samples)
    metered = [sample.usage.total_tokens for sample in result.samples if sample.usage is not None]
    assert (result.usage.total_tokens if result.usage is not None else 0) == sum(metered)
    won = [sample for sample in result.samples if sample.thunk.generate_log.is_final_result]
    assert [sample.thunk for sample in won] == [result.winner]
    assert won[0].passed or not result.success


class Oddity(Exception):
    """What a check of the user's raises."""


def odd(_thunk):
    """Raise over whatever is checked."""
    raise Oddity


BROKEN = {
    "rejection": (mellite.RejectionSampling(max_samples=2), [odd]),
    "rejection without all checks": (mellite.RejectionSampling(max_samples=2, check_all=False), [odd]),
    "rejection within rejection": (mellite.RejectionSampling(inner=mellite.RejectionSampling(max_samples=2)), [odd]),
    "repair": (mellite.RepairSampling(max_samples=2), [odd]),
    "turns": (mellite.MultiTurnRepair(max_samples=2), [odd]),
    "friendly repair": (mellite.ModelFriendlyRepair(max_samples=2), [odd]),
    "best of": (mellite.BestOfN(2, score=odd), []),
    "best of by checks": (mellite.BestOfN(2), [odd]),
    "best of by a requirement": (mellite.BestOfN(2, score=mellite.Requirement("odd", odd)), []),
    "vote": (mellite.MajorityVote(2, key=odd), []),
    "vote of checked ones": (mellite.MajorityVote(2), [odd]),
    "Bayes": (mellite.MinimumBayesRisk(2), [odd]),
    "hedge": (mellite.Hedge(after=5), [odd]),
    "fallback": (mellite.Fallback("fake:constant:x"), [odd]),
    "escalate": (mellite.Escalate("fake:constant:x"), [odd]),
    "budget forcing": (mellite.BudgetForcing(100, max_samples=2), [odd]),
}


@pytest.mark.parametrize(("strategy", "requirements"), BROKEN.values(), ids=BROKEN)
async def test_what_ones_own_code_raises_is_raised(strategy, requirements):
    """Where a check, score or key of one's own raises over every answer, sampling raises from the first."""
    with pytest.raises(SamplingError, match="Oddity") as caught:
        await strategy.sample(mellite.backends.Constant("x").generate("hi"), requirements)
    assert type(caught.value.__cause__) is Oddity
    assert {type(error) for error in caught.value.errors} == {Oddity}
