"""The `mellite` command, with all its subcommands."""

from __future__ import annotations

import sys

import click

from . import log as logs
from .batch import batch_group
from .cassette_calls import key, replay, show
from .cassette_changes import convert, scrub, verify
from .cassette_diff import diff
from .cassette_stale import stale
from .cassettes import ls, stats
from .chat import chat
from .check import check
from .doctor import doctor
from .examples import examples
from .generate import generate
from .journal import journal
from .mapped import map_command
from .models import models
from .output import failed_to_write
from .prices import prices
from .providers import providers
from .sample import sample
from .serve import serve
from .stopping import exit_code_of
from .tokens import tokens
from .view import view

__all__ = ["app"]


class _Interruptible(click.Group):
    """Commands that Ctrl-C ends with 130 and without a word, also while one of them is still being imported."""

    def invoke(self, ctx: click.Context) -> object:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            sys.exit(exit_code_of(stop))
        except OSError as error:
            if not failed_to_write(error):
                raise
            sys.exit(1)


@click.group(cls=_Interruptible, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="mellite")
def app() -> None:
    """Await, stream, copy and cancel model outputs, live and from cassettes."""


@app.command(epilog=examples("mellite demo"))
def demo() -> None:
    """Show what a thunk does, offline, in a few seconds."""
    from .demo import run

    sys.exit(run())


@app.group()
def cassette() -> None:
    """Show, check, compare, convert and clean recorded answers."""


for _command in (
    batch_group,
    chat,
    check,
    doctor,
    generate,
    journal,
    map_command,
    models,
    prices,
    providers,
    sample,
    serve,
    tokens,
    view,
):
    app.add_command(_command)
for _command in (convert, diff, key, ls, replay, scrub, show, stale, stats, verify):
    cassette.add_command(_command)
app.add_command(logs.log)
