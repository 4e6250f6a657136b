"""The figures of a run as an SVG: one horizontal bar a row, in times its limit, which is a line."""

from __future__ import annotations

from html import escape
from typing import Final

from tests.benchmarks.measure import Row
from tests.benchmarks.run import Report
from tests.benchmarks.table import cells

LINE: Final = 22
TEXT: Final = 370
"""Where the bars begin; their names stand before."""
SCALE: Final = 200
"""The width of a bar that is as long as its limit."""
LONGEST: Final = 2.2
WIDTH: Final = TEXT + int(SCALE * LONGEST) + 130
GOOD, BAD = "#3a7d44", "#c0392b"


def svg(report: Report) -> str:
    """Draw every row that has a bar: its length is the figure over its limit, so that all share one line."""
    rows = [row for row in report.rows if row.bar]
    height = LINE * (len(rows) + 4)
    limit = TEXT + SCALE
    where, what = map(escape, report.heading())
    frame = f'viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12" fill="#333"'
    ends = f'y1="{LINE * 2.5}" y2="{height - LINE}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {frame}>',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        f'<text x="8" y="16" font-size="11">{where}</text>',
        f'<text x="8" y="32" font-size="11">{what}</text>',
        *[part for index, row in enumerate(rows) for part in _bar(row, LINE * (index + 3))],
        f'<line x1="{limit}" x2="{limit}" {ends} stroke="#333" stroke-dasharray="4 3"/>',
        f'<text x="{limit}" y="{height - 6}" text-anchor="middle">the bar (shorter is better)</text>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _bar(row: Row, top: int) -> list[str]:
    """Draw one row: its name, a bar as long as the figure over its limit, and the figure."""
    assert row.bar is not None
    share = max(0.0, min(row.measured / row.bar, LONGEST))
    width = SCALE * share
    _, what, measured, _, limit, *_ = cells(row)
    colour = BAD if row.is_missed else GOOD
    more = " &#8594;" if row.measured / row.bar > LONGEST else ""
    return [
        f'<text x="{TEXT - 8}" y="{top + 14}" text-anchor="end">{escape(what)}</text>',
        f'<rect x="{TEXT}" y="{top + 3}" width="{width:.1f}" height="{LINE - 8}" fill="{colour}"/>',
        f'<text x="{TEXT + max(width, SCALE) + 6:.1f}" y="{top + 14}">{escape(measured)} (bar {limit}){more}</text>',
    ]
