"""The figures of a run as a table: with rich on a terminal, as plain text in a pipe, as Markdown for a page."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

from tests.benchmarks.measure import Row
from tests.benchmarks.run import Report

HEADINGS: Final = ("benchmark", "what", "measured", "quartiles", "bar", "stretch", "client", "floor", "")


def cells(row: Row) -> tuple[str, ...]:
    """Return the cells of a row."""
    quartiles = "" if row.low is None or row.high is None or row.rounds == 1 else f"{_n(row.low)}-{_n(row.high)}"
    verdict = "" if row.bar is None else "MISSED" if row.is_missed else "ok"
    return (
        row.benchmark,
        row.what,
        f"{_n(row.measured)} {row.unit}".strip(),
        quartiles,
        _n(row.bar),
        _n(row.stretch),
        "" if row.ours is None else f"{_n(row.ours)} {row.raw_unit}",
        "" if row.floor is None else f"{_n(row.floor)} {row.raw_unit}",
        verdict,
    )


def plain(rows: Sequence[Row]) -> str:
    """Return the table as aligned text."""
    lines = [HEADINGS, *map(cells, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    aligned = [
        "  ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    return "\n".join(aligned)


def markdown(rows: Sequence[Row]) -> str:
    """Return the table as Markdown, for a page of the documentation."""
    lines = [HEADINGS, ("---", "---", *["--:"] * (len(HEADINGS) - 3), "---"), *map(cells, rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def show(report: Report) -> None:
    """Print the report: as a table with colours where rich is installed and a terminal reads it, else as text."""
    print(*report.heading(), sep="\n")
    if sys.stdout.isatty() and _show_rich(report.rows):
        pass
    else:
        print(plain(report.rows))
    judged = [row for row in report.rows if row.bar is not None]
    if report.failed:
        print(f"could not be measured: {', '.join(report.failed)}")
    print(f"{len(judged) - len(report.missed)} of {len(judged)} bars hold, in {report.seconds:.0f} s")


def _show_rich(rows: Sequence[Row]) -> bool:
    """Print the table with rich; return False if it is not installed."""
    try:
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        return False
    table = Table(*HEADINGS, box=None, pad_edge=False)
    for column in table.columns[2:]:
        column.justify = "right"
    for row in rows:
        table.add_row(*cells(row), style="red" if row.is_missed else "dim" if row.bar is None else None)
    Console().print(table)
    return True


def _n(value: float | None) -> str:
    """Return a number with three digits that count."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
