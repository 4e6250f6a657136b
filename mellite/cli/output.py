"""Print for all commands: tables, which become lines with tabs in a pipe; JSON; and errors, with the exit code."""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from typing import TYPE_CHECKING, Final, NoReturn

import click

from ..values import terminal
from ..values.errors import (
    AuthenticationError,
    CassetteError,
    ConfigurationError,
    InvalidJournal,
    MelliteError,
    RequestError,
)
from ..values.terminal import one_line
from .stopping import exit_code_of

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["as_json_text", "encodable", "errors_shown", "failed_to_write", "print_json", "print_table"]

#: The width that a column needs at least, if its cells may be folded.
_FOLDED: Final = 12

#: The width that the border of a column takes.
_BORDER: Final = 3

#: How writing to standard output fails, other than that nobody reads it any more.
_UNWRITABLE: Final = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EIO, errno.EBADF)

#: What goes wrong before anything is sent: exit code 2, as for a misspelled flag.
_USAGE_ERRORS: Final = (ConfigurationError, CassetteError, InvalidJournal, RequestError)


@contextmanager
def errors_shown() -> Generator[None]:
    """Print an error to standard error and exit: with 2 for a wrong request, with 130 on Ctrl-C, else with 1.

    Errors of mellite's are printed, and those of the file system: a full disk, a folder that cannot be written.
    """
    try:
        yield
    except MelliteError as error:
        _exit(error)
    except OSError as error:
        if error.filename is None:  # of a pipe or a socket
            raise
        click.echo(f"mellite: {error.filename}: {error.strerror or error}", err=True)
        sys.exit(1)
    except KeyboardInterrupt as stop:
        sys.exit(exit_code_of(stop))


def failed_to_write(error: OSError) -> bool:
    """Tell that standard output took no more, as a file on a full disk, if that is what an error says."""
    if error.filename is not None or error.errno not in _UNWRITABLE:
        return False
    click.echo(f"mellite: standard output cannot be written: {error.strerror or error}", err=True)
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - Python flushes it as it ends, and would fail again
    return True


def _exit(error: MelliteError) -> NoReturn:
    missing_key = isinstance(error, AuthenticationError) and error.kind == "missing"
    click.echo(f"mellite: {error}", err=True)
    context = click.get_current_context(silent=True)
    if missing_key and context is not None and any(each.name == "cassette_dir" for each in context.command.params):
        click.echo(f"mellite: or answer from cassettes: {context.command_path} --cassette-dir DIR ...", err=True)
    sys.exit(2 if missing_key or isinstance(error, _USAGE_ERRORS) else 1)


def print_json(value: object) -> None:
    """Print a value as one line of JSON."""
    click.echo(encodable(as_json_text(value)))


def as_json_text(value: object) -> str:
    """Return a value as JSON, in which what JSON does not know is a string."""
    return json.dumps(value, ensure_ascii=False, default=str)


def encodable(text: str) -> str:
    """Return a text with escapes for what standard output cannot encode: lone surrogates, which models do send."""
    return terminal.encodable(text, getattr(sys.stdout, "encoding", None))


def print_table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    right: Sequence[str] = (),
    whole: str | None = None,
    styles: Sequence[str] = (),
) -> None:
    """Print rows: as a table on a terminal, else one line each, with tabs between the cells.

    Args:
        title: the line above the table.
        columns: the names of the columns.
        rows: the cells.
        right: the columns of numbers, which are aligned right.
        whole: a column, such as that of paths, whose cells are never folded, so that they can be copied. If the
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
    """Whether the longest cell of a column fits beside the other columns when those are folded."""
    from rich.cells import cell_len

    wanted = 1
    for number, column in enumerate(columns):
        longest = max([cell_len(cell) for cell in (column, *[row[number] for row in rows])])
        wanted += _BORDER + (longest if number == place else min(longest, _FOLDED))
    return wanted <= console.width


def _print_blocks(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], place: int, styles: Sequence[str]
) -> None:
    """Print one cell of each row on a line of its own: the terminal may break the line, but copies it whole."""
    click.secho(title, bold=True)
    for row, style in zip_longest(rows, styles):
        click.secho(row[place], fg=style)
        others = [f"{columns[number]} {cell}" for number, cell in enumerate(row) if cell and number != place]
        click.echo(f"  {', '.join(others)}")
