"""Bad input: arguments that make no sense are typed errors before anything is sent."""

from __future__ import annotations

import pytest

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
from mellite.backends import Constant, Scripted
from mellite.errors import InvalidRequest
from tests.strategies.sampling.support import short

OTHER = Constant("other")


@pytest.mark.parametrize("strategy", [BestOfN, MajorityVote, MinimumBayesRisk])
@pytest.mark.parametrize("n", [0, -1, 1.5, True, "3", None])
def test_n_is_a_count(strategy, n):
    """N is a whole number of at least 1."""
    with pytest.raises(InvalidRequest, match="'n'") as caught:
        strategy(n)
    assert caught.value.parameter == "n"


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("max_samples", 0),
        ("max_samples", -3),
        ("max_samples", 2.0),
        ("max_samples", None),
        ("concurrency", 0),
        ("concurrency", True),
        ("max_tokens", 0),
        ("max_tokens", -1),
        ("max_tokens", 10.5),
        ("max_usd", 0),
        ("max_usd", -0.01),
        ("max_usd", float("nan")),
        ("max_usd", float("inf")),
        ("max_usd", "a lot"),
        ("max_usd", True),
        ("max_usd", [1]),
        ("deadline", 0),
        ("deadline", -1.0),
        ("deadline", float("nan")),
        ("deadline", "soon"),
        ("inner", "RejectionSampling"),
    ],
)
@pytest.mark.parametrize(
    "make",
    [
        RejectionSampling,
        RepairSampling,
        MultiTurnRepair,
        ModelFriendlyRepair,
        lambda **options: BestOfN(3, score=len, **options),
        lambda **options: MajorityVote(3, **options),
        lambda **options: MinimumBayesRisk(3, **options),
        BudgetForcing,
        lambda **options: Escalate(OTHER, **options),
        lambda **options: Fallback(OTHER, **options),
        lambda **options: Hedge(1, **options),
    ],
    ids=[
        "rejection",
        "repair",
        "multi-turn",
        "friendly",
        "best-of-n",
        "vote",
        "bayes",
        "thinking",
        "escalate",
        "fallback",
        "hedge",
    ],
)
def test_budgets_are_above_zero(make, argument, value):
    """A budget that is 0, negative or no number is refused when the strategy is made, by every strategy."""
    with pytest.raises(InvalidRequest, match=f"'{argument}'") as caught:
        make(**{argument: value})
    assert caught.value.parameter == argument


@pytest.mark.parametrize(
    ("make", "parameter"),
    [
        (lambda: BestOfN(3, score="length"), "score"),
        (lambda: BestOfN(3, score=len, enough=float("nan")), "enough"),
        (lambda: MajorityVote(3, key="fuzzy"), "key"),
        (lambda: MinimumBayesRisk(3, similarity="rouge"), "similarity"),
        (lambda: RepairSampling(feedback="better!"), "feedback"),
        (lambda: Fallback([]), "backends"),
        (lambda: Fallback(object()), "backends"),
        (lambda: Escalate([OTHER, 3]), "backends"),
        (lambda: Hedge(0), "after"),
        (lambda: Hedge(None), "after"),
        (lambda: Hedge(1, backends=[3]), "backends"),
        (lambda: BudgetForcing(0), "most"),
        (lambda: BudgetForcing(least=-1), "least"),
        (lambda: BudgetForcing(100, least=101), "least"),
        (lambda: BudgetForcing(rounds=-1), "rounds"),
        (lambda: BudgetForcing(answer_tokens=0), "answer_tokens"),
        (lambda: BudgetForcing(inner=RejectionSampling()), "inner"),
    ],
)
def test_what_one_strategy_takes_is_checked(make, parameter):
    """The arguments of single strategies are checked when they are made, and named."""
    with pytest.raises(InvalidRequest) as caught:
        make()
    assert caught.value.parameter == parameter


@pytest.mark.anyio
@pytest.mark.parametrize(
    "strategy",
    [
        RejectionSampling(),
        RepairSampling(),
        MultiTurnRepair(),
        ModelFriendlyRepair(),
        Escalate(OTHER),
        MajorityVote(3, inner=RejectionSampling()),
        Fallback(OTHER, inner=MajorityVote(3, inner=RepairSampling())),
    ],
    ids=lambda strategy: type(strategy).__name__,
)
async def test_a_strategy_that_needs_requirements_says_so(strategy):
    """A strategy that needs requirements, also deep inside another one, is refused without; nothing is sent."""
    backend = Scripted(["x"] * 9)
    with pytest.raises(InvalidRequest, match="needs requirements") as caught:
        await strategy.sample(backend.generate("hi"))
    assert (caught.value.parameter, backend.calls) == ("requirements", 0)
    await strategy.sample(backend.generate("hi"), [short()])


@pytest.mark.anyio
@pytest.mark.parametrize("strategy", [BestOfN(3), Fallback(OTHER, inner=BestOfN(3))], ids=["alone", "inside"])
async def test_best_of_n_needs_something_to_choose_by(strategy):
    """Best of n without a score and without requirements is refused; nothing is sent."""
    backend = Scripted(["x"] * 3)
    with pytest.raises(InvalidRequest, match="needs a score"):
        await strategy.sample(backend.generate("hi"))
    assert backend.calls == 0


@pytest.mark.anyio
async def test_an_output_type_is_a_requirement():
    """With an output type there is something that can fail: the parsing."""
    result = await RejectionSampling().sample(Scripted(["x", "1"]).generate("hi", output=int))
    assert result.parsed_repr == 1


@pytest.mark.anyio
@pytest.mark.parametrize("requirements", ["short", ["short"], [3], 3, short()], ids=range(5))
async def test_requirements_are_checked_before_anything_is_sent(requirements):
    """What is not a list of requirements or functions is refused; nothing is sent."""
    backend = Scripted(["x"])
    with pytest.raises(InvalidRequest):
        await RejectionSampling().sample(backend.generate("hi"), requirements)
    assert backend.calls == 0


@pytest.mark.anyio
async def test_only_thunks_are_sampled():
    """Something else than a thunk is refused, with a word on how to make one."""
    with pytest.raises(InvalidRequest, match="takes a thunk, not str"):
        await RejectionSampling().sample("hi", [short()])


def test_defaults():
    """One at a time and three samples, unless the strategy has its number."""
    for strategy in (RejectionSampling(), RepairSampling(), MultiTurnRepair(), BudgetForcing()):
        assert (strategy.max_samples, strategy.concurrency) == (3, 1)
    for strategy in (BestOfN(5), MajorityVote(5), MinimumBayesRisk(5)):
        assert (strategy.max_samples, strategy.concurrency) == (5, 5)
    assert (Fallback([OTHER] * 4).max_samples, Fallback(OTHER).concurrency) == (5, 1)
    assert (Hedge(1).max_samples, Hedge(1).concurrency) == (2, 2)
    assert RejectionSampling().max_tokens is RejectionSampling().max_usd is RejectionSampling().deadline is None
