"""The portrait of the results of `mellite.gather`: how many are done, what they took, and each of them."""

from __future__ import annotations

from collections.abc import Sequence

from ..thunk.portraying import cost_of
from ..thunk.thunk import AnyThunk
from ..values.portrait import MOST_ROWS, Portrait, Row, Table, counted, duration, tokens, usd
from ..values.told_errors import error_line
from .spending import spent_on

__all__ = ["portrait_of_results"]

_COLUMNS = ("#", "state", "tokens", "cost", "time", "answer")


def portrait_of_results(results: Sequence[AnyThunk]) -> Portrait:
    """Return what is to be seen of many thunks."""
    states = [thunk.state for thunk in results]
    spent = cost_of(lambda: spent_on(results)) or spent_on(results, priced=False)
    return Portrait(
        kind="results",
        facts=(
            ("thunks", counted(len(results), "thunk")),
            *[(state, f"{states.count(state):,} {state}") for state in dict.fromkeys(states)],
            ("usage", tokens(spent.usage)),
            ("cost", usd(spent.known_cost_usd, at_least=spent.unpriced > 0)),
        ),
        table=Table(
            "thunks",
            _COLUMNS,
            rows=tuple([_row(index, thunk) for index, thunk in enumerate(results[:MOST_ROWS])]),
            total=len(results),
            right=frozenset(("#", "tokens", "cost", "time")),
        ),
    )


def _row(index: int, thunk: AnyThunk) -> Row:
    made = thunk.generation
    error = thunk.error
    total = made.usage.total_tokens if made.usage is not None else None
    return Row(
        (
            str(index),
            thunk.state,
            "" if total is None else f"{total:,}",
            usd(cost_of(lambda: made.cost_usd)),
            duration(made.duration_ms),
            thunk.partial[:200] if error is None else error_line(error)[:200],
        )
    )
