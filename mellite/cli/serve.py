"""`mellite serve`: answer the clients of all vendors from a cassette, a backend or the providers, on this machine."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import click

from ..values.errors import UnknownProvider
from .examples import examples
from .output import encodable, errors_shown, print_json

if TYPE_CHECKING:
    from ..server.served import Served

__all__ = ["serve"]

_FORM: Final = "shell"


class _WithCommand(click.Command):
    """A command line of which everything after ``--`` is another one; ``--env`` alone means ``--env=shell``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take the other command line off, then read the rest."""
        at = args.index("--") if "--" in args else len(args)
        ctx.ensure_object(dict)
        ctx.obj["command"] = tuple(args[at + 1 :])
        if at < len(args) and not args[at + 1 :]:
            msg = "there is no command after '--'"
            raise click.UsageError(msg, ctx)
        return super().parse_args(ctx, [f"--env={_FORM}" if each == "--env" else each for each in args[:at]])


@click.command(
    cls=_WithCommand,
    epilog=examples(
        "mellite serve fake:echo --env",
        "mellite serve chat.json -- pytest",
        "mellite serve --record chat.json -- python agent.py",
        "mellite serve openai:gpt-4o-mini --fault 429:0.1 --fault cut:0.05",
    ),
)
@click.argument("source", required=False)
@click.option(
    "--record", type=click.Path(dir_okay=False), metavar="FILE", help="Record all answers into this cassette."
)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="The port; a free one unless given.")
@click.option(
    "--allow-host", "hosts", multiple=True, metavar="NAME", help="Answer under this host name, too; repeatable."
)
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="KIND:RATE",
    help="Make answers fail: an HTTP status, cut, reset, stall or slow, and the share: 429:0.1; repeatable.",
)
@click.option("--seed", type=int, default=0, help="The seed of the faults: draws the same ones again.")
@click.option(
    "--speed",
    default="instant",
    metavar="SPEED",
    help="How fast a cassette answers: instant, recorded, or a factor such as 2.5.",
)
@click.option(
    "--match",
    type=click.Choice(["pool", "keyed", "cursor"]),
    default="pool",
    help="How a cassette finds answers: in any order, by copy of a thunk, or in the recorded order.",
)
@click.option(
    "--request-timeout",
    type=click.FloatRange(0, min_open=True),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="Drop a client whose request head or body does not go on for this long.",
)
@click.option(
    "--send-timeout",
    type=click.FloatRange(0, min_open=True),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="Drop a client that reads nothing of its answer for this long.",
)
@click.option("--env", "form", metavar="[=FORM]", help="Print the variables that clients need: shell, dotenv or json.")
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for each request.")
@click.pass_context
def serve(  # noqa: PLR0917 - click gives the options by name
    ctx: click.Context,
    source: str | None,
    record: str | None,
    port: int,
    hosts: tuple[str, ...],
    faults: tuple[str, ...],
    seed: int,
    speed: str,
    match: str,
    request_timeout: float,
    send_timeout: float,
    form: str | None,
    as_json: bool,
) -> None:
    """Serve recorded or live answers to the clients of any vendor.

    These are the clients of OpenAI, Anthropic, Google, Amazon Bedrock, Cohere and Ollama. SOURCE is a cassette, or a
    model to ask: fake:echo, openai:gpt-4o. Without it, requests are passed on to the providers. After "--" comes a
    command to run with the variables that its clients need; mellite exits with its code. Without one, Ctrl-C ends
    mellite.
    """
    from ..server.client_variables import FORMS, printed
    from ..server.running import Settings, run

    if form is not None and form not in FORMS:
        msg = f"{form!r} is none of {', '.join(FORMS)}"
        raise click.BadParameter(msg, ctx, param_hint="--env")

    def ready(url: str, found: Mapping[str, str]) -> None:
        click.echo(f"mellite serve: {url}")
        if form is not None:
            click.echo(printed(found, form))
        sys.stdout.flush()

    with errors_shown():
        settings = Settings(
            source=source,
            record=record,
            hosts=hosts,
            faults=faults,
            seed=seed,
            speed=speed,
            request_timeout=request_timeout,
            send_timeout=send_timeout,
            match=match,  # type: ignore[arg-type]  # click has checked it
        )
        listener = _print_json if as_json else _print_trouble
        try:
            code = run(settings, port=port, command=ctx.obj["command"], ready=ready, listener=listener)
        except UnknownProvider as error:
            if source is None or ":" in source:
                raise
            msg = f"there is no file {source!r}, and {error}"
            raise UnknownProvider(msg) from error
        ctx.exit(code)


def _print_trouble(served: Served) -> None:
    """Print why a request got no good answer, such as what kept it from matching."""
    if served.error:
        click.echo(encodable(f"mellite serve: {served.method} {served.shown_path}: {served.error}"), err=True)


def _print_json(served: Served) -> None:
    _print_trouble(served)
    print_json(
        {
            "method": served.method,
            "path": served.shown_path,
            "protocol": served.protocol or None,
            "model": served.model,
            "status": served.status,
            "error": served.error or None,
            "ms": round(served.seconds * 1000, 3),
        }
    )
    sys.stdout.flush()
