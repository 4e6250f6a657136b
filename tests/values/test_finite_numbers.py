"""Numbers that no float holds are refused where a number is asked for, as NaN is, by the name of the argument."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import mellite
from mellite.backends import Constant
from mellite.errors import InvalidRequest
from mellite.requirements import Requirement
from mellite.sampling import BestOfN

HUGE = 10**400

TAKERS: dict[str, Callable[[float], object]] = {
    "temperature": lambda number: Constant("a").generate("x", temperature=number),
    "top_p": lambda number: Constant("a").generate("x", top_p=number),
    "presence_penalty": lambda number: Constant("a").generate("x", presence_penalty=number),
    "first_byte": lambda number: mellite.Timeouts(first_byte=number),
    "enough": lambda number: BestOfN(2, score=len, enough=number),
    "deadline": lambda number: BestOfN(2, score=len, deadline=number),
    "a requirement's timeout": lambda number: Requirement("It is short.", len, timeout=number),
    "result's timeout": lambda number: Constant("a").generate("x").result(timeout=number),
    "tokens_per_minute": lambda number: mellite.Rate(tokens_per_minute=number),
}


@pytest.mark.parametrize("number", [HUGE, -HUGE, float("nan")], ids=["huge", "huge and negative", "NaN"])
@pytest.mark.parametrize("name", TAKERS)
def test_no_float_holds_it(name: str, number: float) -> None:
    """It is told by the name of the argument."""
    with pytest.raises(InvalidRequest, match=name.rsplit(maxsplit=1)[-1]):
        TAKERS[name](number)


@pytest.mark.anyio
async def test_a_score_that_no_float_holds() -> None:
    """It is no score, as NaN is none; the other sample is chosen."""
    scores = iter([HUGE, 1.0])
    result = await BestOfN(2, score=lambda _: next(scores)).sample(Constant("a").generate("x"))
    assert {sample.score for sample in result.samples} == {None, 1.0}  # trio takes turns at random
    assert ["finite" in str(sample.error) for sample in result.samples if sample.score is None] == [True]
