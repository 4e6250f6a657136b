"""What several thunks used and cost together: what was refused or never sent used nothing."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

import mellite
from mellite.cassettes import ScriptedTransport
from mellite.strategies.spending import spent_on

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
