"""The `mellite` command, with all its subcommands."""

from __future__ import annotations

import sys

import click

from .cassette_calls import key, replay, show
from .cassette_changes import convert, diff, scrub, verify
from .cassettes import ls, stats
from .chat import chat
from .check import check
from .generate import generate
from .prices import prices
from .sample import sample

__all__ = ["app"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="mellite")
def app() -> None:
    """Await, stream, copy and cancel model outputs, live and from cassettes."""


@app.command()
def demo() -> None:
    """Show what a thunk does, offline, in a few seconds."""
    from .demo import run

    sys.exit(run())


@app.group()
def cassette() -> None:
    """Look into recorded answers, check, compare, convert and clean them."""


for _command in (chat, check, generate, prices, sample):
    app.add_command(_command)
for _command in (convert, diff, key, ls, replay, scrub, show, stats, verify):
    cassette.add_command(_command)
