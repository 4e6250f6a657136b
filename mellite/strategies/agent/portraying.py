"""The portrait of a run: why it ended, what it took, its answer, and each step with its calls of tools."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ...thunk.portraying import asked_of, call_text, cost_of, passages_of
from ...values.portrait import MOST_ROWS, Portrait, Row, Table, counted, duration, tokens, usd
from ...values.told_errors import error_line
from .step import RunStep

if TYPE_CHECKING:
    from ...thunk.thunk import AnyThunk
    from ...values.messages import ToolResult

__all__ = ["portrait_of_run"]

_COLUMNS = ("step", "state", "tokens", "cost", "time", "tools", "answer")


def portrait_of_run(
    run: AnyThunk, *, steps: Sequence[RunStep], thunks: Sequence[AnyThunk], stop_reason: str | None, waiting: int
) -> Portrait:
    """Return what is to be seen of a run now.

    Args:
        run: the run.
        steps: its steps that are complete.
        thunks: the thunks of all steps, also of one that runs or has failed.
        stop_reason: why it ended.
        waiting: how many calls wait for a result.
    """
    last = thunks[-1] if thunks else run
    outcome = run.outcome
    return Portrait(
        kind="run",
        state=run.state,
        facts=(
            ("model", asked_of(last, last.generation)),
            ("stopped", stop_reason if stop_reason and stop_reason != run.state else ""),
            ("steps", counted(len(thunks), "step") if thunks else ""),
            ("usage", tokens(run.usage)),
            ("cost", usd(cost_of(lambda: run.cost_usd))),
            ("time", duration(outcome.generation.duration_ms) if outcome is not None else ""),
            ("waiting", f"{counted(waiting, 'call')} waiting for a result" if waiting else ""),
        ),
        passages=passages_of(run),
        table=_table({id(step.thunk): step for step in steps}, thunks),
    )


def _table(complete: Mapping[int, RunStep], thunks: Sequence[AnyThunk]) -> Table:
    shown = thunks[-MOST_ROWS:]  # of many steps, the last
    first = len(thunks) - len(shown) + 1
    rows = [_row(number, thunk, complete.get(id(thunk))) for number, thunk in enumerate(shown, first)]
    right = frozenset(("step", "tokens", "cost", "time"))
    return Table("steps", _COLUMNS, rows=tuple(rows), total=len(thunks), right=right)


def _row(number: int, thunk: AnyThunk, step: RunStep | None) -> Row:
    made = thunk.generation
    total = made.usage.total_tokens if made.usage is not None else None
    error = thunk.error
    calls = thunk.tool_calls if step is None else step.calls
    results: tuple[ToolResult | None, ...] = step.results if step is not None else ()
    given = [results[at] if at < len(results) else None for at in range(len(calls))]
    tools = [f"{call_text(call)}{_result_text(result)}" for call, result in zip(calls, given, strict=True)]
    return Row(
        (
            str(number),
            thunk.state,
            "" if total is None else f"{total:,}",
            usd(cost_of(lambda: made.cost_usd)),
            duration(made.duration_ms),
            "; ".join(tools),
            thunk.partial[:200] if error is None else error_line(error)[:200],
        )
    )


def _result_text(result: ToolResult | None) -> str:
    """Return what a tool gave, after an arrow; "" where it has given nothing."""
    if result is None:
        return ""
    value = result.result
    match value.type:
        case "content":
            said = counted(len(value.value), "part")
        case "text" | "error":
            said = str(value.value)
        case _:
            said = json.dumps(value.value, ensure_ascii=False, default=str)
    return f" → {'error: ' if value.type == 'error' else ''}{said[:100]}{'…' if len(said) > 100 else ''}"
