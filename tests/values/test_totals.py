"""Totals: one rule for sums of usage and cost, wherever they are made."""

from __future__ import annotations

from decimal import Decimal, localcontext

from mellite.events import Usage
from mellite.values.prices.totals import Totals

FIVE = Usage.of(input_tokens=5, output_tokens=2)


def test_nothing_is_neither_used_nor_paid() -> None:
    assert Totals().usage is None
    assert Totals().cost_usd is None
    assert not Totals().is_lower_bound


def test_what_is_known_adds_up() -> None:
    both = Totals().plus(FIVE, Decimal("0.1")).plus(FIVE, Decimal("0.2"))
    assert both.usage == Usage.of(input_tokens=10, output_tokens=4)
    assert both.cost_usd == Decimal("0.3")
    assert not both.is_lower_bound


def test_an_unknown_usage_makes_the_cost_unknown() -> None:
    """What is known is still told, as a lower bound."""
    both = Totals().plus(FIVE, Decimal("0.1")).plus(None, None)
    assert (both.cost_usd, both.known_cost_usd) == (None, Decimal("0.1"))
    assert (both.usage, both.unmetered, both.unpriced) == (FIVE, 1, 1)
    assert both.is_lower_bound


def test_an_unknown_price_makes_the_cost_unknown() -> None:
    both = Totals().plus(FIVE, Decimal("0.1")).plus(FIVE, None)
    assert (both.cost_usd, both.known_cost_usd) == (None, Decimal("0.1"))
    assert (both.unmetered, both.unpriced) == (0, 1)
    assert both.is_lower_bound


def test_no_tokens_are_free_at_any_price() -> None:
    both = Totals().plus(FIVE, Decimal("0.1")).plus(Usage.of(input_tokens=0, output_tokens=0), None)
    assert both.cost_usd == Decimal("0.1")


def test_sums_are_exact_in_any_context() -> None:
    with localcontext() as context:
        context.prec = 3
        total = Totals().plus(FIVE, Decimal(1_000_000)).plus(FIVE, Decimal("0.000001"))
    assert total.cost_usd == Decimal("1000000.000001")
