"""Print the tables of the command line: as tables on a terminal, as lines with tabs in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING

import click

from ..values.terminal import one_line

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["print_table"]

#: As much room as a column of a table wants at least, if it may be folded, and what its borders take.
_FOLDED = 12
_BORDER = 3


def print_table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    right: Sequence[str] = (),
    whole: str | None = None,
    styles: Sequence[str] = (),
) -> None:
    """Print rows: as a table on a terminal, else one line each, with tabs between.

    Args:
        title: above the table.
        columns: their names.
        rows: the cells.
        right: the columns of numbers.
        whole: a column, such as that of paths, whose cells can be copied because they are never folded. Where the
            terminal is too narrow for that, each cell of it stands on a line of its own, with the others below it.
        styles: the colour of each row on a terminal.
    """
    cells = [[one_line(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        for row in cells:
            click.echo("\t".join([cell.replace("\t", " ") for cell in row]))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    place = None if whole is None else columns.index(whole)
    if place is not None and not _fits(console, columns, cells, place):
        _print_blocks(title, columns, cells, place, styles)
        return
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(
            column, justify="right" if column in right else "left", overflow="fold", no_wrap=number == place
        )
    for row, style in zip_longest(cells, styles):
        table.add_row(*[Text(cell) for cell in row], style=style)
    console.print(table)


def _fits(console: Console, columns: Sequence[str], rows: Sequence[Sequence[str]], place: int) -> bool:
    """Whether a table has room for the longest cell of a column, and for the others when they are folded."""
    from rich.cells import cell_len

    wanted = 1
    for number, column in enumerate(columns):
        longest = max([cell_len(cell) for cell in (column, *[row[number] for row in rows])])
        wanted += _BORDER + (longest if number == place else min(longest, _FOLDED))
    return wanted <= console.width


def _print_blocks(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], place: int, styles: Sequence[str]
) -> None:
    """Print one cell of each row on a line of its own, which the terminal may break but which is copied as one."""
    click.secho(title, bold=True)
    for row, style in zip_longest(rows, styles):
        click.secho(row[place], fg=style)
        others = [f"{columns[number]} {cell}" for number, cell in enumerate(row) if cell and number != place]
        click.echo(f"  {', '.join(others)}")
