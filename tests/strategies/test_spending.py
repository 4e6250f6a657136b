"""What several thunks used and cost together: what was refused or never sent used nothing."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

import mellite
from mellite.backends import Failing, Scripted
from mellite.cassettes import ScriptedTransport
from mellite.errors import CircuitOpen, ConnectionLost, ProviderInternal
from mellite.events import Finish, ResponseStart, TextDelta, Usage
from mellite.strategies.spending import spent_on
from tests.backends.wrappers.clocks import FakeClock

pytestmark = pytest.mark.anyio

USAGE = {"prompt_tokens": 10, "completion_tokens": 10}
ANSWER = json.dumps({"choices": [{"message": {"content": "ok"}, "finish_reason": "stop"}], "usage": USAGE})
COST = Decimal("0.0000075")


def backend(*answers: Any) -> mellite.Backend:
    """A backend of a model with known prices, that gets these answers."""
    return mellite.backend(
        "openai-chat:gpt-4o-mini", api_key="k", retries=0, transport=ScriptedTransport(answers), stream=False
    )


async def test_a_refused_request_used_nothing() -> None:
    refused, answered = backend((429, {}, "{}"), ANSWER).generate("Hello.").resample(2)
    await refused.settle()
    await answered.settle()
    spent = spent_on([refused, answered])
    assert refused.error is not None
    assert (spent.cost_usd, spent.is_lower_bound) == (COST, False)


async def test_results_of_a_gathering_add_up() -> None:
    """As for a sampling: what one of unknown price cost makes the sum unknown, and known costs a lower bound."""
    both = await mellite.gather(backend(ANSWER, ANSWER).generate("Hello.").resample(2))
    assert both.usage is not None
    assert (both.usage.input_tokens, both.usage.output_tokens, both.cost_usd) == (20, 20, 2 * COST)
    mixed = await mellite.gather(backend(ANSWER).generate("Hello."), Scripted(["two words"]).generate("Hi."))
    assert mixed.usage is not None
    assert (mixed.usage.output_tokens, mixed.cost_usd, mixed.known_cost_usd) == (12, None, COST)
    none = await mellite.gather([])
    assert (none.usage, none.cost_usd, none.known_cost_usd) == (None, None, None)


async def test_what_was_never_sent_used_nothing() -> None:
    pending, answered = backend(ANSWER).generate("Hello.").resample(2)
    await answered.settle()
    assert spent_on([pending, answered]).cost_usd == COST


async def test_an_answer_that_broke_off_is_unknown() -> None:
    broken, answered = backend(['{"choices"'], ANSWER).generate("Hello.").resample(2)
    await broken.settle()
    await answered.settle()
    spent = spent_on([broken, answered])
    assert (spent.cost_usd, spent.known_cost_usd, spent.unmetered) == (None, COST, 1)


async def test_tokens_need_no_price_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """Usage is told also where the costs could not be looked up."""
    (answered,) = backend(ANSWER).generate("Hello.").resample(1)
    await answered.settle()
    monkeypatch.setenv("MELLITE_PRICES", "/nowhere/prices.json")
    usage = spent_on([answered], priced=False).usage
    assert usage is not None
    assert usage.total_tokens == 20


async def test_failed_attempts_count_as_far_as_they_are_known() -> None:
    """What was refused used nothing; what broke off used what its provider told, or nobody knows what."""
    usage = Usage.of(input_tokens=10, output_tokens=10)
    lost = ConnectionLost("reset", provider="openai", model="gpt-4o-mini")
    told = ConnectionLost("reset", provider="openai", model="gpt-4o-mini", usage=usage)
    for failure, cost, unmetered in (
        (ProviderInternal("busy", retry_after=0, status=503), COST, 0),
        (told, 2 * COST, 0),
        (lost, COST, 1),
    ):
        answer = [ResponseStart(provider="openai", model="gpt-4o-mini"), TextDelta("ok"), Finish("stop", usage=usage)]
        thunk = mellite.Retry(Scripted([failure, answer]), clock=FakeClock()).generate("Hello.")
        await thunk
        spent = spent_on([thunk])
        assert (spent.known_cost_usd, spent.unmetered) == (cost, unmetered)


async def test_what_a_breaker_holds_back_used_nothing() -> None:
    breaker = mellite.CircuitBreaker(Failing(ProviderInternal("down", status=503)), failures=1)
    thunks = [await breaker.generate("Hello.").settle() for _ in range(2)]
    assert [type(thunk.error) for thunk in thunks] == [ProviderInternal, CircuitOpen]
    assert spent_on(thunks[1:]).unmetered == 0
