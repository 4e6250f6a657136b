"""`mellite generate`: send a prompt and print the answer, whole, as it arrives or as JSON."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

import click

from .output import encodable, errors_shown, print_json

if TYPE_CHECKING:
    from ..thunk.backend import Backend
    from ..thunk.thunk import AnyThunk
    from ..values.provider_json import JsonObject

__all__ = ["DEFAULT_MODEL", "chosen_backend", "generate", "print_stream", "summary"]

#: The model that is asked without ``--model``.
DEFAULT_MODEL: Final = "openai:gpt-4o-mini"


@click.command()
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
    with errors_shown():
        thunk = chosen_backend(model, cassette_dir, text).generate(text)
        if stream:
            print_stream(thunk, as_json)
        elif not as_json:
            click.echo(encodable(thunk.result()))
        else:
            thunk.result()
        if as_json:
            print_json(summary(thunk))


def chosen_backend(model: str | None, cassette_dir: str | None, prompt: str) -> Backend:
    """Return the backend that flags and environment variables ask for: a live one, or a directory of text cassettes.

    Args:
        model: what ``--model`` says.
        cassette_dir: what ``--cassette-dir`` says.
        prompt: what is asked. Without a model it decides under which name the answer is looked up.
    """
    from ..backends import TextCassetteBackend
    from ..backends.by_name import backend
    from ..providers.catalog import split

    directory = cassette_dir or os.environ.get("MELLITE_CASSETTE_DIR") or os.environ.get("MOCHI_LLM_CASSETTE_DIR")
    if directory is None or directory == "":
        return backend(model or DEFAULT_MODEL)
    if model is not None:
        provider, name = split(model)
        return TextCassetteBackend(directory, provider=provider, model=name or "")
    # A program that names no model has recorded its answers under an empty name; others under the default model's.
    from ..cassettes.text.directory import TextDirectory

    provider, name = split(DEFAULT_MODEL)
    for candidate in ("", name or ""):
        if TextDirectory(directory).find(provider, candidate, prompt) is not None:
            return TextCassetteBackend(directory, provider=provider, model=candidate)
    return TextCassetteBackend(directory, provider=provider)


def print_stream(thunk: AnyThunk, as_json: bool) -> None:
    """Print an answer as it arrives: its text, or one JSON object for each delta."""
    for delta in thunk.iter():
        if as_json:
            print_json({"delta": delta})
        else:
            click.echo(encodable(delta), nl=False)
            sys.stdout.flush()
    if not as_json:
        click.echo()


def summary(thunk: AnyThunk) -> JsonObject:
    """Return what a settled thunk holds as JSON-ready values."""
    from ..values.usage import GIVEN_COUNTS

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
        "usage": None if usage is None else {name: getattr(usage, name) for name in GIVEN_COUNTS},
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
