"""Add up what the calls of many cassettes used and cost: calls, failures, tokens, dollars, by provider and model."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from attrs import define, field

from ..values.prices.totals import Totals
from .entries import Entry

__all__ = ["Tally", "tally"]


@define(kw_only=True)
class Tally:
    """The usage and the cost of a number of calls.

    Args:
        provider: the provider that was asked; None if that is not known.
        model: which model; likewise.
        calls: how many calls there are.
        failed: how many of them stand for an error.
        unread: how many mellite cannot read, because it does not know their protocol.
        totals: what the calls that were read used and cost. A call that was refused with an HTTP error used nothing.
    """

    provider: str | None = None
    model: str | None = None
    calls: int = 0
    failed: int = 0
    unread: int = 0
    totals: Totals = field(factory=Totals)

    def add(self, entry: Entry) -> None:
        """Count a call."""
        self.calls += 1
        answer = entry.answer
        if answer is None:
            self.unread += 1
            return
        self.failed += answer.error is not None
        if not entry.refused:
            self.totals = self.totals.plus(answer.usage, answer.cost_usd)


def tally(entries: Iterable[Entry]) -> tuple[list[Tally], Tally]:
    """Add up calls.

    Returns:
        What the calls to each model come to, the dearest and then those with most calls first; and all together.

    Example:
        >>> rows, total = tally([Entry(path="a", name="0", format="http", provider="acme", model="m")])
        >>> rows[0].provider, total.calls, total.unread
        ('acme', 1, 1)
    """
    rows: dict[tuple[str | None, str | None], Tally] = {}
    total = Tally()
    for entry in entries:
        row = rows.setdefault((entry.provider, entry.model), Tally(provider=entry.provider, model=entry.model))
        row.add(entry)
        total.add(entry)
    return sorted(rows.values(), key=_dearest_first), total


def _dearest_first(row: Tally) -> tuple[Decimal, int, str, str]:
    return -(row.totals.known_cost_usd or Decimal(0)), -row.calls, row.provider or "", row.model or ""
