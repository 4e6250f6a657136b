"""`mellite log`: look into a log of calls: the newest ones, one of them, those with a word, sums, all of it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import click

from ..values.errors import ConfigurationError
from ..values.shortened import shortened
from .examples import examples
from .output import encodable, errors_shown, print_json, print_table

if TYPE_CHECKING:
    from ..archive.log.reading import Reading
    from ..values.provider_json import JsonObject

__all__ = ["kept_in", "log"]

_COLUMNS: Final = ("id", "started", "model", "state", "tokens", "USD", "ms", "prompt")
_RIGHT: Final = ("tokens", "USD", "ms")

_DB = click.option(
    "--db", type=click.Path(dir_okay=False), metavar="FILE", help="The log; MELLITE_LOG_DB does the same."
)
_AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
_COUNT = click.option(
    "-n", "--count", type=click.IntRange(min=1), default=20, show_default=True, help="How many calls."
)


class _OfLog(click.Command):
    """A command that says how a log is named, where one is named as it is elsewhere."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the arguments."""
        files = [each for each in args if os.path.isfile(each)]
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            if type(error) is not click.UsageError or not files:
                raise
            msg = f"{error.format_message()}; a log is named by --db {files[-1]}"
            raise click.UsageError(msg, ctx) from None


@click.group()
def log() -> None:
    """Look into a log of calls.

    `mellite.log.to` and the variable MELLITE_LOG_DB write calls to a log.
    """


@contextmanager
def kept_in(path: str | None) -> Generator[None]:
    """Keep in a log, if one is named, what is generated inside; print to standard error why it is not there."""
    if path is None:
        yield
        return
    from ..archive.log.keeping import to

    log = to(path)
    try:
        with log:
            yield
    finally:
        if log.lost:
            click.echo(f"mellite: {log.problem}", err=True)


@contextmanager
def _opened(db: str | None) -> Generator[Reading]:
    from ..archive.log.reading import reading

    with errors_shown():
        path = db or os.environ.get("MELLITE_LOG_DB")
        if not path:
            msg = "no log is named; give --db FILE, or set MELLITE_LOG_DB"
            raise ConfigurationError(msg)
        with reading(path) as log:
            yield log


@log.command(cls=_OfLog, epilog=examples("mellite log ls --db calls.db -n 5"))
@_COUNT
@_DB
@_AS_JSON
def ls(*, count: int, db: str | None, as_json: bool) -> None:
    """List the newest calls, the newest first."""
    with _opened(db) as log:
        _print(log.newest(count), as_json, "calls")


@log.command(cls=_OfLog, epilog=examples("mellite log search Paris --db calls.db"))
@click.argument("word")
@_COUNT
@_DB
@_AS_JSON
def search(*, word: str, count: int, db: str | None, as_json: bool) -> None:
    """List the newest calls that contain WORD.

    WORD is searched for in prompt, answer, thinking and error. Exits with 1 if there are none.
    """
    with _opened(db) as log:
        found = log.search(word, count)
        _print(found, as_json, f"calls with {word!r}")
    sys.exit(0 if found else 1)


@log.command(cls=_OfLog, epilog=examples("mellite log tail --follow --db calls.db"))
@click.option("-n", "--count", type=click.IntRange(min=0), default=10, show_default=True, help="How many calls.")
@click.option("-f", "--follow", is_flag=True, help="Continue with each new call.")
@_DB
@_AS_JSON
def tail(*, count: int, follow: bool, db: str | None, as_json: bool) -> None:
    """Print the newest calls, the newest last.

    With --follow, also each new call, until Ctrl-C.
    """
    with _opened(db) as log:
        if not follow:
            _print(log.newest(count)[::-1] if count else [], as_json, "calls")
            return
        for call in log.following(count):
            if as_json:
                print_json(call)
            else:
                click.echo(encodable("\t".join(_line(call))))
            sys.stdout.flush()


@log.command(cls=_OfLog, epilog=examples("mellite log show bbf7d1 --db calls.db"))
@click.argument("id")
@_DB
@_AS_JSON
def show(*, id: str, db: str | None, as_json: bool) -> None:
    """Print everything known of one call, or of a run.

    ID is the beginning of its id. Exits with 1 if there is none.
    """
    with _opened(db) as log:
        calls = log.named(id)
        run = None if calls else log.run(id)
    ids = {str(call["id"]) for call in calls}
    if len(ids) > 1:
        click.echo(f"mellite: {len(ids)} calls have ids that begin with {id!r}; give more of it", err=True)
        sys.exit(1)
    if not calls and run is None:
        click.echo(f"mellite: there is no call and no run whose id begins with {id!r}", err=True)
        sys.exit(1)
    for found in calls or [run or {}]:
        if as_json:
            print_json(found)
        else:
            _print_whole(found)


@log.command(cls=_OfLog, epilog=examples("mellite log stats --db calls.db"))
@_DB
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def stats(*, db: str | None, as_json: bool) -> None:
    """Add up calls, tokens and cost, by model.

    Replayed calls cost nothing.
    """
    with _opened(db) as log:
        sums = log.sums()
    if as_json:
        print_json(sums)
        return
    columns = ("model", "calls", "failed", "cancelled", "replayed", "tokens in", "tokens out", "USD", "without price")
    models: Any = sums["models"]
    rows = [_sums(_model(row), row) for row in models]
    print_table("calls", columns, [*rows, _sums("all", sums)], right=columns[1:])


@log.command(cls=_OfLog, epilog=examples("mellite log export --db calls.db >calls.jsonl"))
@_DB
@_AS_JSON
def export(*, db: str | None, as_json: bool) -> None:
    """Print everything known of each call, as JSON lines.

    The oldest call comes first.
    """
    del as_json  # it always is
    with _opened(db) as log:
        for call in log.everything():
            print_json(call)


def _print(calls: list[JsonObject], as_json: bool, title: str) -> None:
    if as_json:
        for call in calls:
            print_json(call)
    else:
        print_table(title, _COLUMNS, [_line(call) for call in calls], right=_RIGHT)


def _line(call: JsonObject) -> list[str]:
    used: Any = (call["input_tokens"], call["output_tokens"])
    cost, took, prompt = call["cost_usd"], call["duration_ms"], str(call["prompt"] or "")
    state = "replayed" if call["replayed"] and call["state"] == "done" else str(call["state"])
    return [
        encodable(each)
        for each in (
            str(call["id"]),
            str(call["started_at"] or "")[:19].replace("T", " "),
            _model(call),
            state if call["error_type"] is None else f"{state}: {call['error_type']}",
            "" if used == (None, None) else "/".join(["?" if each is None else f"{each}" for each in used]),
            _money(cost),
            "" if took is None else f"{took:.0f}",
            _end(prompt),
        )
    ]


def _end(prompt: str) -> str:
    """Return the last question of a prompt, on one line."""
    return shortened(" ".join(prompt.rpartition("\n\nuser: ")[2].split()), _LONGEST)


_LONGEST: Final = 60


def _money(cost: Any) -> str:
    return "" if cost is None else f"{cost:.6f}".rstrip("0").rstrip(".") or "0"


def _model(call: JsonObject) -> str:
    return ":".join([str(call[name]) for name in ("provider", "model") if call.get(name)])


def _sums(name: str, row: JsonObject) -> list[str]:
    costs: Any = [row[each] for each in ("cost_usd", "failed_cost_usd") if row[each] is not None]
    counts = [row[each] for each in ("calls", "failed", "cancelled", "replayed", "input_tokens", "output_tokens")]
    shown = ["" if count is None else str(count) for count in counts]
    return [encodable(name), *shown, _money(sum(costs) if costs else None), str(row["unpriced"] or 0)]


def _print_whole(found: JsonObject) -> None:
    """Print what is known, a line each; texts of several lines below their names."""
    for name, value in found.items():
        if value is None or value in ([], {}) or name in ("messages", "message"):
            continue
        if name == "calls":
            calls: Any = value
            print_table("calls", _COLUMNS, [_line(call) for call in calls], right=_RIGHT)
            continue
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        if "\n" in text:
            text = "\n" + "\n".join([f"    {line}" for line in text.split("\n")])
        click.echo(encodable(f"{name}: {text}"))
