"""`mellite generate`: send a prompt and print the answer, whole, as it arrives or as JSON."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import click

from ..values.errors import InvalidRequest, MelliteError
from .asking import Asking, asking_options
from .attachments import FROM_INPUT, attached
from .examples import examples
from .log import kept_in
from .markdown import MarkdownScreen, draws_markdown, print_markdown
from .output import encodable, errors_shown, print_json
from .spending import OUTPUT, check_cost
from .standard_input import given_text, piped_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..thunk.thunk import AnyThunk
    from ..values.messages import Media
    from ..values.provider_json import JsonObject

__all__ = ["generate", "print_stream", "stop", "summary"]

_MAX_USD: Final = (
    "Send nothing if the call is estimated to cost more: by the tokens of the prompt, and an answer of --max-tokens, "
    f"or else {OUTPUT}."
)


@click.command(
    epilog=examples(
        'mellite generate -m fake:echo "Hello."',
        'git diff | mellite generate -m openai:gpt-4o-mini "Write a commit message."',
        'mellite generate -a photo.jpg --stream "What is in this picture?"',
    ),
)
@click.argument("prompt", required=False)
@asking_options
@click.option(
    "-a",
    "--attachment",
    "attachments",
    multiple=True,
    metavar="FILE",
    help="A picture, sound, film or document to send along; - is standard input; repeatable.",
)
@click.option("--log", type=click.Path(dir_okay=False), metavar="FILE", help="Keep the call in a log; see mellite log.")
@click.option("--max-usd", metavar="USD", help=_MAX_USD)
@click.option("--stream", is_flag=True, help="Print the answer as it arrives.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON with everything; JSON lines with --stream.")
@click.option(
    "--markdown/--plain",
    default=None,
    help="Draw the answer as Markdown, or print it as it is; Markdown on a terminal unless given.",
)
def generate(
    *,
    prompt: str | None,
    asking: Asking,
    attachments: tuple[str, ...],
    log: str | None,
    max_usd: str | None,
    stream: bool,
    as_json: bool,
    markdown: bool | None,
) -> None:
    """Ask PROMPT, and print the answer.

    Piped input is put before PROMPT; "-" is standard input alone. Ctrl-C prints what has arrived, and exits with 130.
    """
    if as_json and markdown:
        msg = "--json and --markdown do not go together"
        raise click.UsageError(msg)
    drawn = not as_json and (draws_markdown() if markdown is None else markdown)
    with errors_shown(), kept_in(log):
        media = attached(attachments)
        text = _prompt(prompt, attachments)
        thunk = asking.backend(text).generate(_content(text, media), system=asking.system, **asking.options())
        if max_usd is not None:
            check_cost(thunk, max_usd)
        try:
            _print(thunk, stream=stream, as_json=as_json, markdown=drawn)
        except KeyboardInterrupt:
            _print_stopped(thunk, stream=stream, as_json=as_json, markdown=drawn)
            raise


def _prompt(given: str | None, attachments: Sequence[str]) -> str:
    """Return the text to send: what is piped in, and then the argument.

    Raises:
        InvalidRequest: if there is neither, nor an attachment.
    """
    if FROM_INPUT in attachments:
        if given == "-":
            msg = "standard input cannot be the prompt and an attachment"
            raise InvalidRequest(msg)
        return given or ""
    if given == "-":
        return given_text()
    piped = piped_text()
    if piped.strip() and given:
        return f"{piped.rstrip()}\n\n{given}"
    text = given or piped
    if not text.strip() and given is None and not attachments:
        msg = "there is nothing to ask: give a PROMPT, or pipe one in"
        raise InvalidRequest(msg)
    return text


def _content(text: str, media: Sequence[Media]) -> str | list[str | Media]:
    """Return the prompt as mellite takes it."""
    return [*([text] if text else []), *media] if media else text


def _print(thunk: AnyThunk, *, stream: bool, as_json: bool, markdown: bool) -> None:
    if stream and markdown:
        _draw_stream(thunk)
    elif stream:
        print_stream(thunk, as_json)
    elif markdown:
        print_markdown(thunk.result())
    elif not as_json:
        click.echo(encodable(thunk.result()))
    else:
        thunk.result()
    if as_json:
        print_json(summary(thunk))


def _print_stopped(thunk: AnyThunk, *, stream: bool, as_json: bool, markdown: bool) -> None:
    """Print what has arrived of an answer before Ctrl-C."""
    stop(thunk)
    if as_json:
        print_json(summary(thunk))
    elif stream:
        if not markdown:
            click.echo()
    elif markdown:
        print_markdown(thunk.partial)
    elif thunk.partial:
        click.echo(encodable(thunk.partial))


def stop(thunk: AnyThunk) -> None:
    """Cancel a generation, and wait until that is done."""
    thunk.cancel("Ctrl-C")
    with suppress(MelliteError):
        thunk.result()


def print_stream(thunk: AnyThunk, as_json: bool) -> None:
    """Print an answer as it arrives: its text, or one JSON object for each delta.

    What had arrived at a Ctrl-C is printed as well.
    """
    printed = 0
    try:
        for delta in thunk.iter():
            _print_delta(delta, as_json)
            printed += len(delta)
    except KeyboardInterrupt:
        stop(thunk)
        if len(thunk.partial) > printed:
            _print_delta(thunk.partial[printed:], as_json)
        raise
    if not as_json:
        click.echo()


def _draw_stream(thunk: AnyThunk) -> None:
    """Draw an answer as it arrives, as Markdown, to what had arrived at a Ctrl-C or a failure."""
    with MarkdownScreen() as screen:
        try:
            for delta in thunk.iter():
                screen.add(delta)
        except KeyboardInterrupt:
            stop(thunk)
            screen.add(thunk.partial[screen.taken :])
            raise


def _print_delta(delta: str, as_json: bool) -> None:
    if as_json:
        print_json({"delta": delta})
    else:
        click.echo(encodable(delta), nl=False)
    sys.stdout.flush()


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
        "state": thunk.state,
        "cost_usd": None if made.cost_usd is None else float(made.cost_usd),
        "error": None
        if error is None
        else {"type": type(error).__name__, "message": str(error), "status": getattr(error, "status", None)},
    }
