"""The table that rich shows in a terminal for a result of sampling."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from ...thunk.thunk import AnyThunk
from ...values.prices.totals import Totals
from ...values.terminal import one_line
from .sample import AnySample, Status

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["COLUMNS", "MOST_ROWS", "NUMBERS", "cells_of", "table_of", "totals_of"]

#: The most samples that are shown; of more, the first ones and the winner.
MOST_ROWS: Final = 40

#: What is told of a sample, and which of that are numbers.
COLUMNS: Final = ("sample", "status", "score", "checks", "tokens", "USD", "s", "answer")
NUMBERS: Final = ("score", "tokens", "USD", "s")

_STYLES: Final[dict[Status, str]] = {
    "passed": "green",
    "rejected": "yellow",
    "unchecked": "dim",
    "failed": "red",
    "cancelled": "dim",
}


def table_of(samples: Sequence[AnySample], winner: AnyThunk, *, title: str, totals: str) -> Table:
    """Return a table with a row for each sample: status, verdicts, tokens, cost, time, and the start of the text."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, caption=totals)
    for name in ("", *COLUMNS[:-1]):
        table.add_column(name, no_wrap=True, justify="right" if name in NUMBERS else "left")
    table.add_column(COLUMNS[-1], ratio=1)
    for index, sample in enumerate(samples):
        won = sample.thunk is winner
        if index < MOST_ROWS or won:
            cells = ["*" if won else "", *cells_of(sample)]
            table.add_row(*[Text(cell) for cell in cells], style=_STYLES[sample.status])
    hidden = len(samples) - table.row_count
    if hidden:
        table.add_row(*[""] * 8, Text(f"and {hidden} more"), style="dim")
    return table


def totals_of(count: int, spent: Totals, duration_ms: float | None) -> str:
    """Return one line with what all samples used together."""
    missing = f", {spent.unmetered} without a count" if spent.unmetered else ""
    tokens = _shown(spent.usage.total_tokens if spent.usage is not None else None, ",d")
    cost = _shown(spent.known_cost_usd, "f")
    if spent.unpriced and spent.known_cost_usd is not None:
        cost = f"at least {cost}"
    return f"{count} samples, {tokens} tokens{missing}, {cost} USD, {_seconds(duration_ms)} s"


def cells_of(sample: AnySample) -> list[str]:
    """Return what is told of a sample, a text for each of `COLUMNS`."""
    tokens = sample.usage.total_tokens if sample.usage is not None else None
    errors = sample.errors
    text = f"{type(errors[0]).__name__}: {errors[0]}" if errors else sample.thunk.partial
    return [
        ".".join(map(str, sample.lineage)),
        sample.status,
        "" if sample.score is None else f"{sample.score:g}",
        "".join(["x!"[verdict.error is not None] if not verdict.passed else "." for verdict in sample.validations]),
        _shown(tokens, ",d"),
        _shown(sample.cost_usd, "f"),
        _seconds(sample.duration_ms),
        one_line(text, 200),
    ]


def _seconds(duration_ms: float | None) -> str:
    return _shown(None if duration_ms is None else duration_ms / 1000, ".2f")


def _shown(value: float | Decimal | None, spec: str) -> str:
    return "?" if value is None else f"{value:{spec}}"
