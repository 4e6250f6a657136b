"""`mellite serve`: answer the clients of all vendors from a cassette, a backend or the providers, on this machine."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import click

from .output import encodable, errors_shown, print_json

if TYPE_CHECKING:
    from ..server.served import Served

__all__ = ["serve"]

_FORM: Final = "shell"


class _WithCommand(click.Command):
    """A command line of which everything behind ``--`` is another one; ``--env`` alone means ``--env=shell``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take the other command line off, then read the rest."""
        at = args.index("--") if "--" in args else len(args)
        ctx.ensure_object(dict)
        ctx.obj["command"] = tuple(args[at + 1 :])
        if at < len(args) and not args[at + 1 :]:
            msg = "there is no command behind '--'"
            raise click.UsageError(msg, ctx)
        return super().parse_args(ctx, [f"--env={_FORM}" if each == "--env" else each for each in args[:at]])


@click.command(cls=_WithCommand)
@click.argument("source", required=False)
@click.option(
    "--record", type=click.Path(dir_okay=False), metavar="FILE", help="Record all answers into this cassette."
)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="The port; a free one unless given.")
@click.option("--allow-host", "hosts", multiple=True, metavar="NAME", help="Also answer under this host name.")
@click.option(
    "--fault", "faults", multiple=True, metavar="KIND:RATE", help="An HTTP status, cut, reset, stall or slow: 429:0.1"
)
@click.option("--seed", type=int, default=0, help="Draws the same faults again.")
@click.option(
    "--speed", default="instant", metavar="SPEED", help="How fast a cassette answers: instant, recorded or 2.5"
)
@click.option("--match", type=click.Choice(["pool", "keyed", "cursor"]), default="pool", help="How it finds answers.")
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
    form: str | None,
    as_json: bool,
) -> None:
    """Serve SOURCE to the clients of OpenAI, Anthropic, Google, Amazon Bedrock, Cohere and Ollama.

    SOURCE is a cassette, or what is asked: fake:echo, openai:gpt-4o. Without it, requests go to the providers
    themselves. Everything behind "--" is a command to run with the variables set: mellite serve chat.json -- pytest
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
            match=match,  # type: ignore[arg-type]  # click has checked it
        )
        listener = _print_json if as_json else _print_trouble
        ctx.exit(run(settings, port=port, command=ctx.obj["command"], ready=ready, listener=listener))


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
