"""The commands of `mellite`: demo, generate, and what there is to do with cassettes."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

import click

from ..values.errors import AuthenticationError, CassetteError, ConfigurationError, MelliteError, RequestError

if TYPE_CHECKING:
    from ..thunk.backend import Backend
    from ..thunk.thunk import ModelOutputThunk

__all__ = ["app"]

#: What goes wrong before anything is sent: exit code 2, as for a misspelled flag.
_USAGE_ERRORS = (ConfigurationError, CassetteError, RequestError)

DEFAULT_MODEL = "openai:gpt-4o-mini"


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="mellite")
def app() -> None:
    """Await, stream, copy and cancel model outputs, live and from cassettes."""


@app.command()
def demo() -> None:
    """Show what a thunk does, offline, in a few seconds."""
    from .demo import run

    sys.exit(run())


@app.command()
@click.argument("prompt")
@click.option("--model", metavar="PROVIDER:MODEL", help=f"Who is asked; {DEFAULT_MODEL} unless given.")
@click.option("--stream", is_flag=True, help="Print the answer as it arrives.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON with everything; JSON lines with --stream.")
@click.option(
    "--cassette-dir",
    type=click.Path(file_okay=False),
    metavar="DIR",
    help="Answer from the text cassettes in DIR; MELLITE_CASSETTE_DIR and MOCHI_LLM_CASSETTE_DIR do the same.",
)
def generate(prompt: str, model: str | None, stream: bool, as_json: bool, cassette_dir: str | None) -> None:
    """Generate an answer to PROMPT ("-" reads it from standard input)."""
    text = sys.stdin.read() if prompt == "-" else prompt
    with _errors_said():
        thunk = _backend(model, cassette_dir, text).generate(text)
        if stream:
            _print_stream(thunk, as_json)
        elif not as_json:
            click.echo(_printable(thunk.result()))
        else:
            thunk.result()
        if as_json:
            _print_json(summary(thunk))


def _backend(model: str | None, cassette_dir: str | None, prompt: str) -> Backend:
    from ..backends import TextCassetteBackend
    from ..backends.by_name import backend
    from ..providers.catalog import split

    directory = cassette_dir or os.environ.get("MELLITE_CASSETTE_DIR") or os.environ.get("MOCHI_LLM_CASSETTE_DIR")
    if directory is None or directory == "":
        return backend(model or DEFAULT_MODEL)
    if model is not None:
        provider, name = split(model)
        return TextCassetteBackend(directory, provider=provider, model=name or "")
    # Without --model, as a program without an explicit model recorded it; else what would be asked live.
    from ..cassettes.text.directory import TextDirectory

    provider, name = split(DEFAULT_MODEL)
    for candidate in ("", name or ""):
        if TextDirectory(directory).find(provider, candidate, prompt) is not None:
            return TextCassetteBackend(directory, provider=provider, model=candidate)
    return TextCassetteBackend(directory, provider=provider)


def _print_stream(thunk: ModelOutputThunk[str], as_json: bool) -> None:
    for delta in thunk.iter():
        if as_json:
            _print_json({"delta": delta})
        else:
            click.echo(_printable(delta), nl=False)
            sys.stdout.flush()
    if not as_json:
        click.echo()


@app.group()
def cassette() -> None:
    """Look into recorded answers, check, compare, convert and clean them."""


@cassette.command()
@click.argument("provider")
@click.argument("model")
@click.argument("prompt")
def key(provider: str, model: str, prompt: str) -> None:
    """Print the file name, without .txt, of the text cassette for a call; MODEL may be empty ("")."""
    from ..cassettes.text.directory import djb2_key

    with _errors_said():
        click.echo(djb2_key(provider, model, prompt))


@cassette.command()
@click.argument("file", type=click.Path(dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
def replay(file: str, as_json: bool) -> None:
    """Read every answer recorded in FILE, one line each. What looks like a secret is not shown."""
    from ..archive.replay import replay_all
    from ..cassettes.scrub import scrub_value
    from ..cassettes.secrets.scan import SecretScan

    with _errors_said():
        rows = [
            {"interaction": index, **(summary(thunk) if thunk is not None else {"protocol": None, "url": url})}
            for index, (url, thunk) in enumerate(replay_all(file))
        ]
    rows = scrub_value(rows, SecretScan())
    for row in rows:
        if as_json:
            _print_json(row)
        else:
            click.echo(_line(row))


def summary(thunk: ModelOutputThunk[Any]) -> dict[str, Any]:
    """What a settled thunk holds, as JSON-ready values."""
    made = thunk.generation
    error = thunk.error
    usage = made.usage
    return {
        "protocol": made.protocol,
        "text": thunk.partial,
        "thinking": thunk.thinking,
        "tool_calls": [
            {"id": call.id, "name": call.name, "arguments": call.arguments, "raw_arguments": call.raw_arguments}
            for call in thunk.tool_calls
        ],
        "finish_reason": made.finish_reason,
        "raw_finish_reason": made.raw_finish_reason,
        "refusal": made.refusal,
        "usage": None if usage is None else {name: getattr(usage, name) for name in _USAGE_FIELDS},
        "provider": made.provider,
        "model": made.response_model or made.model,
        "response_id": made.response_id,
        "request_id": made.request_id,
        "status": thunk.raw.status,
        "streaming": made.streaming,
        "error": None
        if error is None
        else {"type": type(error).__name__, "message": str(error), "status": getattr(error, "status", None)},
    }


_USAGE_FIELDS = (
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "cache_read_input_tokens",
    "cache_write_input_tokens",
    "reasoning_tokens",
)


def _line(row: dict[str, Any]) -> str:
    """One interaction on one line, for people."""
    if row["protocol"] is None:
        return f"{row['interaction']}  (unknown protocol)  {row.get('url', '')}"
    said = [f"{row['interaction']}  {row['protocol']}"]
    if row["text"]:
        said.append(repr(row["text"]))
    if row["thinking"]:
        said.append(f"thinking={row['thinking']!r}")
    said += [f"{call['name']}({_json(call['arguments'])}) id={call['id']}" for call in row["tool_calls"]]
    said.append(f"finish={row['finish_reason']} ({row['raw_finish_reason']})")
    if row["usage"]:
        said.append(f"tokens={row['usage']['input_tokens']}+{row['usage']['output_tokens']}")
    if row["response_id"]:
        said.append(f"id={row['response_id']}")
    if row["error"]:
        said.append(f"{row['error']['type']}: {row['error']['message']}")
    return "  ".join(said)


def _json(value: Any) -> str:
    import json

    return json.dumps(value, ensure_ascii=False, default=str)


def _print_json(value: Any) -> None:
    click.echo(_printable(_json(value)))


def _printable(text: str) -> str:
    # Lone surrogates, which models do send, cannot be encoded: they are escaped instead.
    return text.encode("utf-8", "backslashreplace").decode()


@contextmanager
def _errors_said() -> Generator[None]:
    """Say an error of mellite's on standard error, and exit: 2 for what was asked wrongly, else 1."""
    try:
        yield
    except MelliteError as error:
        _exit(error)


def _exit(error: MelliteError) -> NoReturn:
    missing_key = isinstance(error, AuthenticationError) and error.kind == "missing"
    click.echo(f"mellite: {error}", err=True)
    if missing_key:
        click.echo("mellite: or answer from cassettes: mellite generate --cassette-dir DIR ...", err=True)
    sys.exit(2 if missing_key or isinstance(error, _USAGE_ERRORS) else 1)
