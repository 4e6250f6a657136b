"""Add up what the calls of many cassettes used and cost: calls, failures, tokens, dollars, by provider and model."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from attrs import define, field

from ..values.usage import Usage
from .entries import Entry

__all__ = ["Tally", "tally"]


@define(kw_only=True)
class Tally:
    """What a number of calls used and cost.

    Args:
        provider: who was asked; None where that is not known.
        model: which model; likewise.
        calls: how many calls there are.
        failed: how many of them stand for an error.
        unread: how many mellite cannot read, because it does not know their protocol.
        usage: the tokens of those that say what they used.
        unmetered: how many of the calls that were read do not say it.
        cost_usd: what those with a known price cost, in USD.
        unpriced: of how many with tokens the price is not known.
    """

    provider: str | None = None
    model: str | None = None
    calls: int = 0
    failed: int = 0
    unread: int = 0
    usage: Usage = field(factory=Usage)
    unmetered: int = 0
    cost_usd: Decimal = Decimal(0)
    unpriced: int = 0

    def add(self, entry: Entry) -> None:
        """Count a call."""
        self.calls += 1
        answer = entry.answer
        if answer is None:
            self.unread += 1
            return
        self.failed += answer.error is not None
        if answer.usage is None:
            self.unmetered += 1
            return
        self.usage = self.usage + answer.usage
        if answer.cost_usd is None:
            self.unpriced += 1
        else:
            self.cost_usd += answer.cost_usd


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
    ordered = sorted(rows.values(), key=lambda row: (-row.cost_usd, -row.calls, row.provider or "", row.model or ""))
    return ordered, total
