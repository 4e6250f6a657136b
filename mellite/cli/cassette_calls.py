"""`mellite cassette show`, `replay` and `key`: look into one cassette, call by call."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import click

from ..values.portrait import counted
from ..values.terminal import one_line, printable
from .cassettes import AS_JSON, money
from .examples import examples
from .generate import summary
from .output import as_json_text, errors_shown, print_json

if TYPE_CHECKING:
    from ..archive.entries import Entry
    from ..values.provider_json import Json, JsonObject

__all__ = ["as_values", "key", "replay", "show"]

#: How many numbers of calls a message names at most.
_MOST_NAMES: Final = 20

# --- show -----------------------------------------------------------------------------------------


@click.command(epilog=examples("mellite cassette show chat.json", "mellite cassette show chat.json 2 --body"))
@click.argument("file", type=click.Path(dir_okay=False))
@click.argument("number", required=False)
@click.option("--body", "bodies", is_flag=True, help="Print the bodies of requests and answers, too.")
@AS_JSON
def show(*, file: str, number: str | None, bodies: bool, as_json: bool) -> None:
    """Show what is in FILE, call by call, or only call NUMBER.

    NUMBER is as printed: 0 is the first interaction. If interaction 3 is a WebSocket with several calls, 3.0 is the
    first of them, and 3 all. Likely secrets are not shown.
    """
    from ..archive.entries import entries_below

    with errors_shown():
        entries = list(entries_below([file]))
        if number is not None:
            chosen = [entry for entry in entries if number in (entry.name, entry.name.partition(".")[0])]
            if not chosen:
                names = ", ".join([entry.name for entry in entries[:_MOST_NAMES]])
                more = ", ..." if len(entries) > _MOST_NAMES else ""
                msg = f"{file!r} has {counted(len(entries), 'call')}, {names}{more}: there is no call {number}"
                raise click.UsageError(msg)
            entries = chosen
        shown = [as_values(entry, bodies=bodies) for entry in entries]
    for values in shown:
        if as_json:
            print_json(values)
        else:
            _print_call(values)


def as_values(entry: Entry, *, bodies: bool = False) -> JsonObject:
    """Return a recorded call as JSON-ready values, without secrets."""
    from ..cassettes.scrub import scrub_value
    from ..cassettes.secrets.scan import SecretScan

    scan = SecretScan()

    def clean(value: Json) -> Json:
        return scrub_value(value, scan)

    asked, answer = entry.request, entry.answer
    values: JsonObject = {
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


def _print_call(values: JsonObject) -> None:
    asked = f"{values['provider']}:{values['model']}" if values["model"] else values["provider"] or "?"
    head = f"{values['path']} call {values['call']}: {asked} ({values['protocol'] or values['format']})"
    click.secho(one_line(head), bold=True)
    if "request" in values:
        _print_request(values["request"])
    if values["status"] is not None:
        how = [values[name] for name in ("end", "ending") if values[name] not in (None, "complete")]
        click.echo(f"  status {values['status']}{', ' if how else ''}{': '.join(how)}")
    _print_block("question", values["question"])
    if "answer" in values:
        _print_answer(values["answer"])
    if "body" in values:
        _print_block("body", values["body"])
    click.echo()


def _print_request(request: JsonObject) -> None:
    click.echo(one_line(f"  {request['method']} {request['url']}"))
    for name, value in request["headers"].items():
        click.echo(one_line(f"  {name}: {value}"))
    if "body" in request:
        _print_block("asked with", _pretty(request["body"]))


def _print_answer(answer: JsonObject) -> None:
    _print_block("thinking", answer["thinking"] or "")
    _print_block("answer", answer["text"])
    for call in answer["tool_calls"]:
        _print_block("tool call", f"{call['name']}({_pretty(call['arguments'])})")
    facts = [f"finish {answer['finish_reason']}"] if answer["finish_reason"] else []
    facts += [f"tokens {answer['tokens'][0]}+{answer['tokens'][1]}"] if answer["tokens"] else []
    facts += [f"cost ${answer['cost_usd']}"] if answer["cost_usd"] else []
    facts += [": ".join(answer["error"])] if answer["error"] else []
    click.echo(printable(f"  {', '.join(facts)}"))


def _pretty(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)


def _print_block(name: str, text: str) -> None:
    """Print an indented text below its name; nothing if it is empty."""
    if text:
        lines = "\n".join([f"    {line}" for line in text.splitlines()])
        click.echo(printable(f"  {name}:\n{lines}"))


# --- replay and key -------------------------------------------------------------------------------


@click.command(epilog=examples('mellite cassette key openai gpt-4o-mini "Say hello."'))
@click.argument("provider")
@click.argument("model")
@click.argument("prompt")
def key(provider: str, model: str, prompt: str) -> None:
    """Print the file name of the text cassette for a call.

    The name is without .txt; MODEL may be empty ("").
    """
    from ..cassettes.text.directory import djb2_key

    with errors_shown():
        click.echo(djb2_key(provider, model, prompt))


@click.command(epilog=examples("mellite cassette replay chat.json"))
@click.argument("file", type=click.Path(dir_okay=False))
@AS_JSON
def replay(file: str, as_json: bool) -> None:
    """Read every answer recorded in FILE, one line each.

    What looks like a secret is not shown.
    """
    from ..archive.replay import replay_all
    from ..cassettes.scrub import scrub_value
    from ..cassettes.secrets.scan import SecretScan

    with errors_shown():
        rows = [
            {"interaction": index, **(summary(thunk) if thunk is not None else {"protocol": None, "url": url})}
            for index, (url, thunk) in enumerate(replay_all(file))
        ]
    rows = scrub_value(rows, SecretScan())
    for row in rows:
        if as_json:
            print_json(row)
        else:
            click.echo(_shown(row))


def _shown(row: JsonObject) -> str:
    """Format an interaction as one line."""
    if row["protocol"] is None:
        return f"{row['interaction']}  (unknown protocol)  {row.get('url', '')}"
    said = [f"{row['interaction']}  {row['protocol']}"]
    if row["text"]:
        said.append(repr(row["text"]))
    if row["thinking"]:
        said.append(f"thinking={row['thinking']!r}")
    said += [f"{call['name']}({as_json_text(call['arguments'])}) id={call['id']}" for call in row["tool_calls"]]
    said.append(f"finish={row['finish_reason']} ({row['raw_finish_reason']})")
    if row["usage"]:
        said.append(f"tokens={row['usage']['input_tokens']}+{row['usage']['output_tokens']}")
    if row["response_id"]:
        said.append(f"id={row['response_id']}")
    if row["error"]:
        said.append(f"{row['error']['type']}: {row['error']['message']}")
    return "  ".join(said)
