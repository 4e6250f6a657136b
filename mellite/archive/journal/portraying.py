"""The portrait of a journal: whether it is open, how much was replayed, and each of its calls."""

from __future__ import annotations

from collections.abc import Sequence

from ...values.portrait import MOST_ROWS, Passage, Portrait, Row, Table, counted, duration
from .records import Record

__all__ = ["portrait_of_journal"]

_COLUMNS = ("call", "kind", "name", "state", "run", "step", "time")


def portrait_of_journal(
    path: str,
    calls: Sequence[Record],
    *,
    state: str,
    answered: tuple[int, int],
    parent: str | None,
    interrupted: int,
    divergence: Exception | None,
) -> Portrait:
    """Return what is to be seen of a journal now. Its file is not read for that.

    Args:
        path: its directory.
        calls: all that it has.
        state: ``open``, ``closed``, or "" before it was opened.
        answered: how many calls were replayed, and how many made, in its block.
        parent: the directory of the journal that it is a fork of.
        interrupted: how many calls must run once, and may have run.
        divergence: where the program first asked for something else.
    """
    shown = calls[-MOST_ROWS:]  # of many calls, the last
    replayed, live = answered
    return Portrait(
        kind="journal",
        name=path,
        state=state,
        facts=(
            ("calls", counted(len(calls), "call")),
            ("replayed", f"{replayed:,} replayed"),
            ("live", f"{live:,} live"),
            ("parent", f"fork of {parent}" if parent else ""),
            ("interrupted", f"{counted(interrupted, 'call')} whose outcome is unknown" if interrupted else ""),
        ),
        passages=() if divergence is None else (Passage("divergence", str(divergence), most=2_000),),
        table=Table(
            "calls",
            _COLUMNS,
            rows=tuple(map(_row, shown)),
            total=len(calls),
            right=frozenset(("call", "step", "time")),
        ),
    )


def _row(call: Record) -> Row:
    seconds = call.seconds
    return Row(
        (
            str(call.number),
            call.kind,
            call.name,
            call.state,
            call.run,
            str(call.step) if call.step else "",
            duration(None if seconds is None else seconds * 1000),
        )
    )
