"""`mellite cassette ls`, `show` and `stats`: what is in cassettes, and what it cost."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click

from ..values.errors import CassetteError, CassetteMiss, MelliteError, MissingExtra
from ..values.terminal import one_line, printable
from .app import _errors_said, _print_json
from .output import print_table

if TYPE_CHECKING:
    from ..archive.entries import Entry
    from ..archive.tally import Tally

__all__ = ["ls", "show", "stats"]

#: At most so many numbers of calls stand in a message.
_MOST_NAMES = 20

PATHS = click.argument("paths", nargs=-1, type=click.Path(), metavar="[FILE_OR_FOLDER]...")
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")


def named(paths: Sequence[str]) -> list[str]:
    """The files and folders that are meant.

    Those named; or the folder of text cassettes; or ./cassettes and each ``cassettes`` below ./tests.
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
    """The files that a command cannot read: each is said on standard error, while the others are done."""

    def __init__(self) -> None:
        self.paths: list[str] = []

    def __call__(self, path: str, error: MelliteError) -> None:
        """Say that a file cannot be read, and why."""
        self.paths.append(path)
        text = str(error)
        click.echo(one_line(f"mellite: {text if path in text else f'{path}: {text}'}"), err=True)

    def __bool__(self) -> bool:
        return bool(self.paths)


def without_secrets(text: str) -> str:
    """A text with what looks like a secret replaced."""
    from ..cassettes.scrub import scrub_text
    from ..cassettes.secrets.scan import SecretScan

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
    """List cassettes: in files and folders, or in ./cassettes and in the folders of that name below ./tests.

    One line each: the file, its format, how many calls it holds, who was asked, its bytes, and the first question.
    Exits with 1 if one of them cannot be read.
    """
    from ..cassettes.audit import is_to_be_told
    from ..cassettes.files.find import find_cassettes

    rows: list[dict[str, Any]] = []

    def failed(path: str, error: MelliteError) -> None:
        rows.append({**_file(path, "?"), "problem": str(error)})

    with _errors_said():
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
            _print_json(row)
    else:
        columns = ("cassette", "format", "calls", "asked", "bytes", "question")
        print_table("cassettes", columns, [_line(row) for row in rows], right=("calls", "bytes"), whole="cassette")
    sys.exit(1 if any("problem" in row for row in rows) else 0)


def _file(path: str, kind: str) -> dict[str, Any]:
    return {"path": path, "format": kind, "bytes": os.path.getsize(path) if os.path.exists(path) else 0}


def _listed(path: str, kind: str) -> dict[str, Any]:
    from ..archive.entries import http_entries, text_entry
    from ..cassettes.files.read import load_cassette
    from ..cassettes.files.vcr import is_foreign

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
@click.argument("number", required=False)
@click.option("--body", "bodies", is_flag=True, help="Print the bodies of requests and answers, too.")
@AS_JSON
def show(*, file: str, number: str | None, bodies: bool, as_json: bool) -> None:
    """Show what is in FILE, call by call, or only call NUMBER, as it is printed: 0 is the first interaction.

    Of several calls over one WebSocket, 3.0 is the first of interaction 3, and 3 all of them. What looks like a secret
    is not shown.
    """
    from ..archive.entries import entries_below

    with _errors_said():
        entries = list(entries_below([file]))
        if number is not None:
            chosen = [entry for entry in entries if number in (entry.name, entry.name.partition(".")[0])]
            if not chosen:
                names = ", ".join([entry.name for entry in entries[:_MOST_NAMES]])
                more = ", ..." if len(entries) > _MOST_NAMES else ""
                msg = f"{file!r} has {len(entries)} calls, {names}{more}: there is no call {number}"
                raise click.UsageError(msg)
            entries = chosen
        shown = [as_values(entry, bodies=bodies) for entry in entries]
    for values in shown:
        if as_json:
            _print_json(values)
        else:
            _print_call(values)


def as_values(entry: Entry, *, bodies: bool = False) -> dict[str, Any]:
    """A call as JSON-ready values, without secrets."""
    from ..cassettes.scrub import scrub_value
    from ..cassettes.secrets.scan import SecretScan

    scan = SecretScan()

    def clean(value: Any) -> Any:
        return scrub_value(value, scan)

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
        "ending": entry.ending,
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
    head = f"{values['path']} call {values['call']}: {asked} ({values['protocol'] or values['format']})"
    click.secho(one_line(head), bold=True)
    request, answer = values.get("request"), values.get("answer")
    if request is not None:
        click.echo(one_line(f"  {request['method']} {request['url']}"))
        for name, value in request["headers"].items():
            click.echo(one_line(f"  {name}: {value}"))
        if "body" in request:
            _print_block("asked with", _pretty(request["body"]))
    if values["status"] is not None:
        how = [values[name] for name in ("end", "ending") if values[name] not in (None, "complete")]
        click.echo(f"  status {values['status']}{', ' if how else ''}{': '.join(how)}")
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


# --- stats ----------------------------------------------------------------------------------------


@click.command()
@PATHS
@AS_JSON
def stats(*, paths: tuple[str, ...], as_json: bool) -> None:
    """Add up the calls, tokens and cost in cassettes, by provider and model; the last line is all of them.

    Costs are by the price list in use (see mellite prices); "+n" says of how many calls the price is not known. Exits
    with 1 if a cassette could not be read; the others are added up.
    """
    from ..archive.entries import entries_below
    from ..archive.tally import tally

    failed = Failures()
    with _errors_said():
        rows, total = tally(entries_below(named(paths), failed=failed))
    if as_json:
        for row in rows:
            _print_json(_tally_values(row))
        _print_json({**_tally_values(total), "total": True})
    else:
        columns = ("asked", "calls", "failed", "unread", "input", "cached", "output", "reasoning", "cost")
        lines = [_tally_line(row, _asked(row)) for row in rows]
        print_table(
            "tokens and cost (USD)", columns, [*lines, _tally_line(total, "total")], right=columns[1:], whole="asked"
        )
    sys.exit(1 if failed else 0)


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
