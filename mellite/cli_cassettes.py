"""`mellite cassette ls`, `show` and `stats`: what is in cassettes, and what it cost."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click

from .cli import _errors_said, _print_json

if TYPE_CHECKING:
    from .entries import Entry
    from .tallying import Tally

__all__ = ["ls", "print_table", "show", "stats"]

#: The folder that is meant where none is named.
_FOLDER = "cassettes"

PATHS = click.argument("paths", nargs=-1, type=click.Path(), metavar="[FILE_OR_FOLDER]...")
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")


def named(paths: Sequence[str]) -> list[str]:
    """The files and folders that are meant: those named, or the folder of text cassettes, or ./cassettes."""
    if paths:
        return list(paths)
    variables = ("MELLITE_CASSETTE_DIR", "MOCHI_LLM_CASSETTE_DIR")
    return [next((value for name in variables if (value := os.environ.get(name))), _FOLDER)]


def print_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()
) -> None:
    """Print rows: as a table on a terminal, else one line each, with tabs between."""
    if not sys.stdout.isatty():
        for row in rows:
            click.echo(plain("\t".join([cell.replace("\t", " ") for cell in row])))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*[Text(plain(cell)) for cell in row])
    Console().print(table)


def plain(text: str) -> str:
    """A text on one line, without what would steer the terminal."""
    return "".join([character if character.isprintable() or character == "\t" else " " for character in text])


def without_secrets(text: str) -> str:
    """A text with what looks like a secret replaced."""
    from .cassettes.scanning import SecretScan
    from .cassettes.scrubbing import scrub_text

    return scrub_text(text, SecretScan())


def short(text: str, length: int = 60) -> str:
    """The beginning of a text."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 3] + "..."


# --- ls -------------------------------------------------------------------------------------------


@click.command()
@PATHS
@AS_JSON
def ls(*, paths: tuple[str, ...], as_json: bool) -> None:
    """List cassettes: in files and folders, or in ./cassettes.

    One line each: the file, its format, how many calls it holds, who was asked, its bytes, and the first question.
    """
    from .cassettes.finding import find_cassettes
    from .errors import InvalidCassette

    rows: list[dict[str, Any]] = []
    with _errors_said():
        for found in find_cassettes(named(paths)):
            if found.kind in ("http", "text"):
                try:
                    row = _listed(found.path, found.kind)
                except InvalidCassette as error:
                    row = {**_file(found.path, found.kind), "problem": str(error)}
                if row is not None and (found.named or "problem" not in row or _is_cassette(found.path)):
                    rows.append(row)
    if as_json:
        for row in rows:
            _print_json(row)
        return
    lines = [_line(row) for row in rows]
    print_table(
        "cassettes", ("cassette", "format", "calls", "asked", "bytes", "question"), lines, right=("calls", "bytes")
    )


def _is_cassette(path: str) -> bool:
    """Whether a file that cannot be read is a damaged cassette, and not JSON about something else."""
    from .cassettes.auditing import Audit

    return any(True for _ in Audit().problems([os.path.dirname(path) or "."]) if _.path == path)


def _file(path: str, kind: str) -> dict[str, Any]:
    return {"path": path, "format": kind, "bytes": os.path.getsize(path) if os.path.exists(path) else 0}


def _listed(path: str, kind: str) -> dict[str, Any] | None:
    from .cassettes.http import load_cassette
    from .cassettes.vcr import is_foreign
    from .entries import http_entries, text_entry

    if kind == "text":
        entry = text_entry(path)
        entries = [] if entry is None else [entry]
        about: dict[str, Any] = {}
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


def _line(row: dict[str, Any]) -> list[str]:
    if "problem" in row:
        return [row["path"], row["format"], "?", "", f"{row['bytes']}", f"damaged: {row['problem']}"]
    asked = ", ".join(row["asked"])
    return [row["path"], row["format"], f"{row['calls']}", asked, f"{row['bytes']}", short(row["question"])]


# --- show -----------------------------------------------------------------------------------------


@click.command()
@click.argument("file", type=click.Path(dir_okay=False))
@click.argument("number", type=int, required=False)
@click.option("--body", "bodies", is_flag=True, help="Print the bodies of requests and answers, too.")
@AS_JSON
def show(*, file: str, number: int | None, bodies: bool, as_json: bool) -> None:
    """Show what is in FILE, call by call, or only call NUMBER (from 0 on). What looks like a secret is not shown."""
    from .entries import entries_below

    with _errors_said():
        entries = list(entries_below([file]))
        if number is not None:
            if not 0 <= number < len(entries):
                msg = f"{file!r} has {len(entries)} calls, counted from 0: there is no call {number}"
                raise click.UsageError(msg)
            entries = [entries[number]]
        shown = [as_values(entry, bodies=bodies) for entry in entries]
    for values in shown:
        if as_json:
            _print_json(values)
        else:
            _print_call(values)


def as_values(entry: Entry, *, bodies: bool = False) -> dict[str, Any]:
    """A call as JSON-ready values, without secrets."""
    from .cassettes.scanning import SecretScan
    from .cassettes.scrubbing import scrub_text

    scan = SecretScan()

    def clean(value: Any) -> Any:
        if isinstance(value, str):
            return scrub_text(value, scan)
        if isinstance(value, (list, tuple)):
            return [clean(item) for item in value]
        return {key: clean(item) for key, item in value.items()} if isinstance(value, dict) else value

    asked, answer = entry.request, entry.answer
    values: dict[str, Any] = {
        "path": entry.path,
        "call": entry.name,
        "format": entry.format,
        "provider": entry.provider,
        "model": entry.model,
        "protocol": entry.protocol,
        "question": clean(entry.question),
        "status": entry.status,
        "end": entry.end,
    }
    if asked is not None:
        values["request"] = clean({"method": asked.method, "url": asked.url, "headers": dict(asked.headers)})
        if bodies:
            values["request"]["body"] = clean(asked.body)
    if answer is not None:
        values["answer"] = {
            "text": clean(answer.text),
            "thinking": clean(answer.thinking),
            "tool_calls": [{"name": name, "arguments": clean(arguments)} for name, arguments in answer.tool_calls],
            "finish_reason": answer.finish_reason,
            "error": None if answer.error is None else clean(answer.error),
            "tokens": None if answer.usage is None else [answer.usage.input_tokens, answer.usage.output_tokens],
            "cost_usd": None if answer.cost_usd is None else money(answer.cost_usd),
        }
    if bodies and entry.format != "text":
        values["body"] = clean(entry.body.decode(errors="backslashreplace"))
    return values


def _print_call(values: dict[str, Any]) -> None:
    asked = f"{values['provider']}:{values['model']}" if values["model"] else values["provider"] or "?"
    click.secho(
        f"{values['path']} call {values['call']}: {asked} ({values['protocol'] or values['format']})", bold=True
    )
    request, answer = values.get("request"), values.get("answer")
    if request is not None:
        click.echo(f"  {request['method']} {request['url']}")
        for name, value in request["headers"].items():
            click.echo(f"  {name}: {value}")
        if "body" in request:
            _print_block("asked with", _pretty(request["body"]))
    if values["status"] is not None:
        click.echo(f"  status {values['status']}" + ("" if values["end"] == "complete" else f", {values['end']}"))
    _print_block("question", values["question"])
    if answer is not None:
        _print_block("thinking", answer["thinking"] or "")
        _print_block("answer", answer["text"])
        for call in answer["tool_calls"]:
            _print_block("tool call", f"{call['name']}({_pretty(call['arguments'])})")
        facts = [f"finish {answer['finish_reason']}"] if answer["finish_reason"] else []
        facts += [f"tokens {answer['tokens'][0]}+{answer['tokens'][1]}"] if answer["tokens"] else []
        facts += [f"cost ${answer['cost_usd']}"] if answer["cost_usd"] else []
        facts += [": ".join(answer["error"])] if answer["error"] else []
        click.echo(printable(f"  {', '.join(facts)}"))
    if "body" in values:
        _print_block("body", values["body"])
    click.echo()


def _pretty(value: Any) -> str:
    import json

    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)


def _print_block(name: str, text: str) -> None:
    if text:
        lines = "\n".join([f"    {line}" for line in text.splitlines()])
        click.echo(printable(f"  {name}:\n{lines}"))


def printable(text: str) -> str:
    """A text of several lines, without what would steer the terminal or cannot be encoded."""
    return "".join([character if character.isprintable() or character in "\n\t" else "\ufffd" for character in text])


# --- stats ----------------------------------------------------------------------------------------


@click.command()
@PATHS
@AS_JSON
def stats(*, paths: tuple[str, ...], as_json: bool) -> None:
    """Add up the calls, tokens and cost in cassettes, by provider and model; the last line is all of them.

    Costs are by the price list in use (see mellite prices); "+n" says of how many calls the price is not known.
    """
    from .entries import entries_below
    from .tallying import tally

    with _errors_said():
        rows, total = tally(entries_below(named(paths)))
    if as_json:
        for row in rows:
            _print_json(_tally_values(row))
        _print_json({**_tally_values(total), "total": True})
        return
    columns = ("asked", "calls", "failed", "unread", "input", "cached", "output", "reasoning", "cost")
    lines = [_tally_line(row, _asked(row)) for row in rows]
    print_table("tokens and cost (USD)", columns, [*lines, _tally_line(total, "total")], right=columns[1:])


def _asked(row: Tally) -> str:
    return f"{row.provider}:{row.model}" if row.provider and row.model else row.provider or "?"


def _tally_values(row: Tally) -> dict[str, Any]:
    usage = row.usage
    return {
        "provider": row.provider,
        "model": row.model,
        "calls": row.calls,
        "failed": row.failed,
        "unread": row.unread,
        "input_tokens": usage.input_tokens,
        "cache_read_input_tokens": usage.cache_read_input_tokens,
        "cache_write_input_tokens": usage.cache_write_input_tokens,
        "output_tokens": usage.output_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        "total_tokens": usage.total_tokens,
        "unmetered": row.unmetered,
        "cost_usd": money(row.cost_usd),
        "unpriced": row.unpriced,
    }


def _tally_line(row: Tally, name: str) -> list[str]:
    usage = row.usage
    counts = (usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens, usage.reasoning_tokens)
    cost = money(row.cost_usd) + (f" +{row.unpriced}" if row.unpriced else "")
    tokens = ["-" if count is None else f"{count}" for count in counts]
    return [name, f"{row.calls}", f"{row.failed}", f"{row.unread}", *tokens, cost]


def money(amount: Decimal) -> str:
    """An amount without an exponent and without zeros at its end."""
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
