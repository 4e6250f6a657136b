"""The portrait of a result of sampling: whether it succeeded, what it took, the winner and every sample."""

from __future__ import annotations

from collections.abc import Sequence

from ...thunk.portraying import cost_of
from ...thunk.thunk import AnyThunk
from ...values.portrait import Passage, Portrait, Row, Table, counted, duration, tokens, usd
from ..spending import spent_on
from .sample import AnySample, StopReason, paid
from .table import COLUMNS, MOST_ROWS, NUMBERS, cells_of

__all__ = ["portrait_of_sampling"]


def portrait_of_sampling(
    strategy: str,
    samples: Sequence[AnySample],
    *,
    winner: AnyThunk,
    success: bool,
    stop_reason: StopReason,
    requirements: Sequence[str],
    duration_ms: float | None,
) -> Portrait:
    """Return what is to be seen of a result of sampling, whose fields are given."""
    spent = cost_of(lambda: spent_on(paid(samples))) or spent_on(paid(samples), priced=False)
    errors = [error for sample in samples for error in sample.errors]
    passages = (
        Passage("prompt", winner.call.request.text, most=1_000),
        Passage("answer", winner.partial),
        Passage("requirements", "\n".join(requirements), most=2_000),
        Passage("first error", f"{type(errors[0]).__name__}: {errors[0]}" if errors else "", most=1_000),
    )
    return Portrait(
        kind="sampling",
        name=strategy,
        state="success" if success else "no success",
        facts=(
            ("stopped", stop_reason),
            ("samples", counted(len(samples), "sample")),
            ("usage", tokens(spent.usage)),
            ("cost", usd(spent.known_cost_usd, at_least=spent.unpriced > 0)),
            ("time", duration(duration_ms)),
        ),
        passages=tuple([passage for passage in passages if passage.text]),
        table=_table(samples, winner),
    )


def _table(samples: Sequence[AnySample], winner: AnyThunk) -> Table:
    rows = [
        Row(tuple(cells_of(sample)), is_chosen=sample.thunk is winner)
        for index, sample in enumerate(samples)
        if index < MOST_ROWS or sample.thunk is winner
    ]
    return Table("samples", COLUMNS, rows=tuple(rows), total=len(samples), right=frozenset(NUMBERS))
