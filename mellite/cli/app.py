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
from .generate import generate
from .journal import journal
from .mapped import map_command
from .models import models
from .prices import prices
from .providers import providers
from .sample import sample
from .serve import serve
from .tokens import tokens
from .view import view

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
