"""`mellite cassette ls` and `stats`: what is in cassettes, and what it cost; and what these commands share."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

import click

from ..values.errors import CassetteError, CassetteMiss, MelliteError, MissingExtra
from ..values.shortened import shortened
from ..values.terminal import one_line
from .examples import examples
from .output import errors_shown, print_json, print_table

if TYPE_CHECKING:
    from ..archive.tally import Tally
    from ..values.provider_json import JsonObject

__all__ = ["Failures", "ls", "money", "named", "short", "stats", "without_secrets"]

PATHS = click.argument("paths", nargs=-1, type=click.Path(), metavar="[FILE_OR_FOLDER]...")
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")


def named(paths: Sequence[str]) -> list[str]:
    """Return the files and folders that a command is about.

    Those that are named; else the folder of text cassettes that a variable names; else ./cassettes and each folder
    ``cassettes`` below ./tests.

    Raises:
        CassetteMiss: if there are none.
    """
    from ..cassettes.files.find import cassette_folders

    if paths:
        return list(paths)
    variables = ("MELLITE_CASSETTE_DIR", "MOCHI_LLM_CASSETTE_DIR")
    directory = next((value for name in variables if (value := os.environ.get(name))), None)
    if directory is not None:
        return [directory]
    folders = cassette_folders()
    if not folders:
        msg = "there is no folder ./cassettes, and none of that name below ./tests; name a file or a folder"
        raise CassetteMiss(msg)
    return folders


class Failures:
    """The files that a command cannot read. Each is reported on standard error, and the command goes on."""

    def __init__(self) -> None:
        self.paths: list[str] = []

    def __call__(self, path: str, error: MelliteError) -> None:
        """Report that a file cannot be read, and why."""
        self.paths.append(path)
        text = str(error)
        click.echo(one_line(f"mellite: {text if path in text else f'{path}: {text}'}"), err=True)

    def __bool__(self) -> bool:
        return bool(self.paths)


def without_secrets(text: str) -> str:
    """Replace what looks like a secret in a text."""
    from ..cassettes.scrub import scrub_text
    from ..cassettes.secrets.scan import SecretScan

    return scrub_text(text, SecretScan())


def short(text: str, length: int = 60) -> str:
    """Return the beginning of a text on one line."""
    return shortened(" ".join(text.split()), length)


# --- ls -------------------------------------------------------------------------------------------


@click.command(epilog=examples("mellite cassette ls", "mellite cassette ls tests/cassettes --json"))
@PATHS
@AS_JSON
def ls(*, paths: tuple[str, ...], as_json: bool) -> None:
    """List cassettes in files and folders.

    Without an argument, in ./cassettes and in the folders of that name below ./tests. One line each: the file, its
    format, its number of calls, the models asked, its bytes, and the first question. Exits with 1 if one of them cannot
    be read.
    """
    from ..cassettes.audit import is_to_be_told
    from ..cassettes.files.find import find_cassettes

    rows: list[JsonObject] = []

    def failed(path: str, error: MelliteError) -> None:
        rows.append({**_file(path, "?"), "problem": str(error)})

    with errors_shown():
        for found in find_cassettes(named(paths), failed=failed):
            if found.kind not in ("http", "text"):
                continue
            try:
                rows.append(_listed(found.path, found.kind))
            except (CassetteError, MissingExtra) as error:
                if is_to_be_told(found):
                    rows.append({**_file(found.path, found.kind), "problem": str(error)})
    if as_json:
        for row in rows:
            print_json(row)
    else:
        columns = ("cassette", "format", "calls", "asked", "bytes", "question")
        print_table("cassettes", columns, [_line(row) for row in rows], right=("calls", "bytes"), whole="cassette")
    sys.exit(1 if any("problem" in row for row in rows) else 0)


def _file(path: str, kind: str) -> JsonObject:
    return {"path": path, "format": kind, "bytes": os.path.getsize(path) if os.path.exists(path) else 0}


def _listed(path: str, kind: str) -> JsonObject:
    """Read one cassette, and return the values of its row."""
    from ..archive.entries import http_entries, text_entry
    from ..cassettes.files.read import load_cassette
    from ..cassettes.files.vcr import is_foreign

    if kind == "text":
        entry = text_entry(path)
        entries = [] if entry is None else [entry]
        about: JsonObject = {}
    else:
        cassette = load_cassette(path)
        entries = list(http_entries(cassette, answers=False))
        about = dict(cassette.metadata or {})
        if is_foreign(path):
            kind = "vcr"
    asked = [
        f"{entry.provider}:{entry.model}" if entry.model else entry.provider for entry in entries if entry.provider
    ]
    return {
        **_file(path, kind),
        "calls": len(entries),
        "asked": list(dict.fromkeys(asked)),
        "protocols": list(dict.fromkeys([entry.protocol for entry in entries if entry.protocol])),
        "unfinished": sum([entry.end != "complete" for entry in entries]),
        "question": without_secrets(entries[0].question) if entries else "",
        "recorded_at": about.get("recordedAt"),
        "tags": about.get("tags", []),
    }


def _line(row: JsonObject) -> list[str]:
    if "problem" in row:
        return [row["path"], row["format"], "?", "", f"{row['bytes']}", f"damaged: {row['problem']}"]
    asked = ", ".join(row["asked"])
    return [row["path"], row["format"], f"{row['calls']}", asked, f"{row['bytes']}", short(row["question"])]


# --- stats ----------------------------------------------------------------------------------------


@click.command(epilog=examples("mellite cassette stats", "mellite cassette stats tests/cassettes --json"))
@PATHS
@AS_JSON
def stats(*, paths: tuple[str, ...], as_json: bool) -> None:
    """Add up calls, tokens and cost, by provider and model.

    Without an argument, in ./cassettes and in the folders of that name below ./tests. The last line is the sum. Costs
    are by the price list in use (see mellite prices); "+n" is the number of calls of unknown cost. Exits with 1 if a
    cassette could not be read; the others are added up.
    """
    from ..archive.entries import entries_below
    from ..archive.tally import tally

    failed = Failures()
    with errors_shown():
        rows, total = tally(entries_below(named(paths), failed=failed))
    if as_json:
        for row in rows:
            print_json(_tally_values(row))
        print_json({**_tally_values(total), "total": True})
    else:
        columns = ("asked", "calls", "failed", "unread", "input", "cached", "output", "reasoning", "cost")
        lines = [_tally_line(row, _asked(row)) for row in rows]
        print_table(
            "tokens and cost (USD)", columns, [*lines, _tally_line(total, "total")], right=columns[1:], whole="asked"
        )
    sys.exit(1 if failed else 0)


def _asked(row: Tally) -> str:
    return f"{row.provider}:{row.model}" if row.provider and row.model else row.provider or "?"


def _tally_values(row: Tally) -> JsonObject:
    from ..values.usage import GIVEN_COUNTS, Usage

    totals = row.totals
    usage = totals.usage or Usage()
    return {
        "provider": row.provider,
        "model": row.model,
        "calls": row.calls,
        "failed": row.failed,
        "unread": row.unread,
        **{name: getattr(usage, name) for name in GIVEN_COUNTS},
        "unmetered": totals.unmetered,
        "cost_usd": None if totals.unpriced else money(totals.known_cost_usd or Decimal(0)),
        "known_cost_usd": money(totals.known_cost_usd or Decimal(0)),
        "unpriced": totals.unpriced,
    }


def _tally_line(row: Tally, name: str) -> list[str]:
    totals, usage = row.totals, row.totals.usage
    names = ("input_tokens", "cache_read_input_tokens", "output_tokens", "reasoning_tokens")
    counts = [None if usage is None else getattr(usage, name) for name in names]
    cost = money(totals.known_cost_usd or Decimal(0)) + (f" +{totals.unpriced}" if totals.unpriced else "")
    tokens = ["-" if count is None else f"{count}" for count in counts]
    return [name, f"{row.calls}", f"{row.failed}", f"{row.unread}", *tokens, cost]


def money(amount: Decimal) -> str:
    """Format an amount without an exponent and without trailing zeros."""
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
