"""`mellite journal`: look into the journals of runs, and settle calls whose outcome is unknown."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import click
from attrs import asdict

from ..values.portrait import counted
from ..values.shortened import shortened
from ..values.terminal import one_line, printable
from .cassette_diff import Wanted, fails_on, in_markdown, show_comparison
from .cassettes import AS_JSON, money
from .examples import examples
from .output import as_json_text, errors_shown, print_json, print_table

if TYPE_CHECKING:
    from ..archive.journal.records import Record, Records
    from ..values.provider_json import Json, JsonObject

__all__ = ["journal"]

_DIRECTORY: Final = click.Path(file_okay=False)
_BELOW: Final = click.argument("directory", type=click.Path(exists=True, file_okay=False), default=".", metavar="[DIR]")
_SHORT: Final = 60


@click.group()
def journal() -> None:
    """Look into the journals of runs, which `mellite.journal` keeps."""


# ls and tree


@journal.command(epilog=examples("mellite journal ls", "mellite journal ls runs --json"))
@_BELOW
@AS_JSON
def ls(*, directory: str, as_json: bool) -> None:
    """List the journals below DIR.

    One line each: its start, its calls and tokens, and how many calls wait for `mellite journal resolve`.
    """
    with errors_shown():
        rows = [_summary(records) for records in _journals_below(directory)]
    if as_json:
        for row in rows:
            print_json(row)
        return
    if not rows:
        click.echo(f"mellite: there are no journals below {directory!r}", err=True)
    shown = ("path", "created", "calls", "unsettled", "tokens", "interrupted")
    print_table(
        counted(len(rows), "journal"),
        ("path", "begun", "calls", "unsettled", "tokens", "to decide"),
        [[str(row[name] or "") for name in shown] for row in rows],
        right=("calls", "unsettled", "tokens", "to decide"),
        whole="path",
    )


def _journals_below(directory: str) -> Iterator[Records]:
    from ..archive.journal.file import is_journal
    from ..archive.journal.records import read_journal

    for place, folders, _ in os.walk(directory):
        folders.sort()
        if is_journal(place):
            folders.clear()
            yield read_journal(place)


def _summary(records: Records) -> JsonObject:
    calls = records.calls
    tokens = [_tokens(call) for call in calls if call.kind == "call"]
    return {
        "path": records.path,
        "id": records.head["id"],
        "created": records.head.get("created"),
        "parent": records.head.get("parent"),
        "calls": len(calls),
        "unsettled": sum(call.state == "unsettled" for call in calls),
        "tokens": sum(sum(each) for each in tokens if each is not None),
        "interrupted": len(records.interrupted),
    }


def _tokens(call: Record) -> tuple[int, int] | None:
    usage = call.usage
    return None if usage is None else (usage.input_tokens or 0, usage.output_tokens or 0)


@journal.command(epilog=examples("mellite journal tree runs"))
@_BELOW
@AS_JSON
def tree(*, directory: str, as_json: bool) -> None:
    """Show which of the journals below DIR are forks of which.

    For a fork, shows the call from which it differs.
    """
    with errors_shown():
        found = list(_journals_below(directory))
    by_id = {records.head["id"]: records for records in found}
    children: dict[str | None, list[Records]] = {}
    for records in found:
        parent = (records.head.get("fork") or {}).get("parent")
        children.setdefault(parent if parent in by_id else None, []).append(records)
    if as_json:
        for records in found:
            fork = records.head.get("fork") or {}
            print_json({**_summary(records), "fork_at": fork.get("call")})
        return
    _print_family(children, None, "")


def _print_family(children: dict[str | None, list[Records]], parent: str | None, indent: str) -> None:
    for records in children.get(parent, ()):
        fork = records.head.get("fork") or {}
        where = f" from call {fork['call']} on" if fork else ""
        if fork and parent is None:
            where += f", a fork of {records.head['parent']}"
        click.echo(one_line(f"{indent}{records.path}: {counted(len(records.calls), 'call')}{where}"))
        _print_family(children, records.head["id"], f"{indent}  ")


# diff


@journal.command(epilog=examples("mellite journal diff runs/monday runs/tuesday"))
@click.argument("left", type=_DIRECTORY)
@click.argument("right", type=_DIRECTORY)
@AS_JSON
@in_markdown
@fails_on
def diff(*, left: str, right: str, as_json: bool, markdown: bool, fail_on: tuple[Wanted, ...]) -> None:
    """Compare two journals, call by call.

    Model and tool calls are compared, by the numbers that `mellite journal show` prints. Exits with 1 if the journals
    differ.
    """
    from ..archive.compare import compare_journals

    with errors_shown():
        found = compare_journals(left, right)
    show_comparison(found, (left, right), as_json=as_json, markdown=markdown, fail_on=fail_on)


# show


@journal.command(epilog=examples("mellite journal show runs/monday", "mellite journal show runs/monday 3"))
@click.argument("path", type=_DIRECTORY, metavar="JOURNAL")
@click.argument("number", type=int, required=False)
@click.option("--body", "bodies", is_flag=True, help="Print prompts and whole answers, too.")
@AS_JSON
def show(*, path: str, number: int | None, bodies: bool, as_json: bool) -> None:
    """Show the calls in JOURNAL, or all of call NUMBER."""
    from ..archive.journal.records import read_journal

    with errors_shown():
        records = read_journal(path)
        calls = records.calls
        if number is not None:
            calls = tuple([call for call in calls if call.number == number])
            if not calls:
                msg = f"{path!r} has no call {number}; its calls have the numbers 1 to {len(records.calls)}"
                raise click.UsageError(msg)
        for call in calls:
            values = _as_values(call, bodies=bodies or number is not None)
            if as_json:
                print_json(values)
            elif bodies or number is not None:
                _print_whole(values)
            else:
                click.echo(printable(_line(values)))


def _as_values(call: Record, *, bodies: bool) -> JsonObject:
    """Return a call as JSON-ready values, without what looks like a key."""
    values: JsonObject = {
        "call": call.number,
        "kind": call.kind,
        "name": call.name,
        "state": call.state,
        "started_at": call.started_at.isoformat(),
        "seconds": call.seconds,
        "run": call.run or None,
        "step": call.step or None,
        "once": call.once,
        **(_told(call) if call.kind == "call" else _ran(call)),
    }
    error = call.error
    values["error"] = None if error is None else {"type": type(error).__name__, "message": str(error)}
    if bodies and call.kind == "call":
        values["request"] = call.request
        values["checks"] = [list(check) for check in call.checks]
    return values


def _told(call: Record) -> JsonObject:
    from ..values.secrets.json_masks import masked_json
    from ..values.secrets.shapes import masked

    folded = call.folded
    calls: list[Json] = [{"name": each.name, "arguments": masked_json(each.arguments)} for each in folded.tool_calls]
    tokens = _tokens(call)
    return {
        "lineage": list(call.lineage),
        "text": masked(folded.text),
        "thinking": None if folded.thinking is None else masked(folded.thinking),
        "tool_calls": calls,
        "tokens": None if tokens is None else list(tokens),
        "cost_usd": _cost(call),
    }


def _ran(call: Record) -> JsonObject:
    from ..values.secrets.json_masks import masked_json

    return {"arguments": call.arguments, "result": masked_json(call.result)}


def _cost(call: Record) -> str | None:
    from ..thunk.outcome import Clock, metadata_of
    from ..values.request import Request

    cost = metadata_of(call.folded, Request(()), None, Clock(started_at=call.started_at)).cost_usd
    return None if cost is None else money(cost)


def _line(values: JsonObject) -> str:
    where = f" run {values['run']} step {values['step']}" if values["run"] else ""
    said = [f"{values['call']}  {values['kind']} {values['name']}{where}  {values['state']}"]
    if values["kind"] == "call":
        said += [repr(_short(values["text"]))] if values["text"] else []
        said += [f"{each['name']}({as_json_text(each['arguments'])})" for each in values["tool_calls"]]
        said += [f"tokens={values['tokens'][0]}+{values['tokens'][1]}"] if values["tokens"] else []
    else:
        said += [_short(as_json_text(values["arguments"])), _short(as_json_text(values["result"]))]
    if values["error"] is not None:
        said.append(f"{values['error']['type']}: {values['error']['message']}")
    return one_line("  ".join(said))


def _short(text: str) -> str:
    return shortened(text, _SHORT)


def _print_whole(values: JsonObject) -> None:
    click.secho(printable(_line(values)), bold=True)
    request = values.get("request") or {}
    for name in ("who", "frame"):
        if request.get(name):
            _print_block(name, request[name])
    for message in request.get("messages") or ():
        _print_block(str(message["role"]), "\n".join([_part(part) for part in message["content"]]))
    for name in ("thinking", "text", "arguments", "result", "checks"):
        if values.get(name):
            _print_block("answer" if name == "text" else name, values[name])
    for call in values.get("tool_calls") or ():
        _print_block("tool call", f"{call['name']}({as_json_text(call['arguments'])})")
    click.echo()


def _part(part: Any) -> str:
    return part["text"] if part["type"] == "text" else as_json_text(part)


def _print_block(name: str, value: Json) -> None:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)
    lines = "\n".join([f"    {line}" for line in text.splitlines()])
    click.echo(printable(f"  {name}:\n{lines}"))


# resume-info and resolve


@journal.command("resume-info", epilog=examples("mellite journal resume-info runs/monday"))
@click.argument("path", type=_DIRECTORY, metavar="JOURNAL")
@AS_JSON
def resume_info(*, path: str, as_json: bool) -> None:
    """Show what a program will replay when restarted.

    Lists the calls in JOURNAL to replay, those to be made anew, and those that wait for `mellite journal resolve`.
    """
    from ..archive.journal.records import read_journal
    from ..archive.journal.replaying import replays_of

    with errors_shown():
        records = read_journal(path)
        again = replays_of(records.index, errors="again").unclaimed
    calls = records.calls
    tools = [call for call in calls if call.kind != "call"]
    anew = [call.number for call in calls if call.kind == "call" and call.number not in again]
    anew += [call.number for call in tools if call.state == "unsettled" and not call.once]
    waiting = [asdict(each) for each in records.interrupted]
    values: JsonObject = {
        "path": records.path,
        "replays": len(again) + sum(call.state != "unsettled" for call in tools),
        "anew": sorted(anew),
        "interrupted": waiting,
        "last": max((call.started_at.isoformat() for call in calls), default=None),
    }
    if as_json:
        print_json(values)
        return
    click.echo(one_line(f"{records.path}: {values['replays']} of {len(calls)} calls replay"))
    if anew:
        click.echo(one_line(f"  asked anew: {', '.join(map(str, values['anew']))}"))
    for each in waiting:
        click.echo(one_line(f"  call {each['call_id']} waits: {each['tool']}({as_json_text(each['arguments'])})"))
        click.echo(one_line(f"    mellite journal resolve {records.path} {each['call_id']} --result JSON, or --again"))


@journal.command(
    epilog=examples(
        "mellite journal resolve runs/monday 7 --result '\"paid\"'", "mellite journal resolve runs/monday 7 --again"
    ),
)
@click.argument("path", type=_DIRECTORY, metavar="JOURNAL")
@click.argument("call_id", metavar="CALL_ID")
@click.option("--result", metavar="JSON", help="The call was done: its result, to continue the run with.")
@click.option("--again", is_flag=True, help="The call was not done: run it once more.")
@AS_JSON
def resolve(*, path: str, call_id: str, result: str | None, again: bool, as_json: bool) -> None:
    """Settle a call whose outcome is unknown.

    CALL_ID is a run-once tool call during which the process died.
    """
    from ..archive.journal.book import Book
    from ..archive.journal.file import JournalFile, read_head
    from ..archive.journal.resolving import forget, resolve as decide

    if (result is None) != again:
        msg = "give either --result JSON or --again"
        raise click.UsageError(msg)
    try:
        given = None if result is None else json.loads(result)
    except (ValueError, RecursionError) as error:
        msg = f"--result is not JSON: {error}; a text stands in quotes, as in --result '\"paid\"'"
        raise click.UsageError(msg) from error
    with errors_shown():
        read_head(path)  # a directory that is none is not made one
        file = JournalFile(path)
        try:
            book = Book(file)
            if again:
                forget(book, call_id)
            else:
                decide(book, call_id, given)
        finally:
            file.close()
    if as_json:
        print_json({"call_id": int(call_id), "again": again, "result": given})
    else:
        click.echo(one_line(f"call {call_id} will run once more" if again else f"call {call_id} has its result"))
