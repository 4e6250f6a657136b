"""`mellite cassette verify`, `convert` and `scrub`: check cassettes, and change them."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

import click

from ..values.portrait import counted
from ..values.terminal import one_line
from .cassettes import AS_JSON, PATHS, Failures, named, without_secrets
from .examples import examples
from .output import errors_shown, print_json, print_table

if TYPE_CHECKING:
    from ..archive.convert import Format, SourceFormat
    from ..cassettes.compression import Compression

__all__ = ["convert", "scrub", "verify"]

ALLOWED = click.option(
    "--allow", "allowed", multiple=True, metavar="TEXT", help="A text that looks like a secret but is not; repeatable."
)

#: The tools whose recordings can be converted.
_TOOLS: Final = ("vcr", "cassetter", "har", "go-vcr", "ruby-vcr", "inspect", "llm", "pydantic-ai", "batch")


# --- verify ---------------------------------------------------------------------------------------


@click.command(epilog=examples("mellite cassette verify", "mellite cassette verify tests/cassettes --json"))
@PATHS
@ALLOWED
@AS_JSON
def verify(*, paths: tuple[str, ...], allowed: tuple[str, ...], as_json: bool) -> None:
    """Check cassettes before they are committed.

    Without an argument, those in ./cassettes and in the folders of that name below ./tests. Looks for secrets, damaged
    files, unknown versions, files that nothing reads, and unfinished recordings. Exits with 1 if something is wrong.
    """
    from ..cassettes.audit import Audit
    from ..cassettes.secrets.scan import SecretScan

    with errors_shown():
        audit = Audit(SecretScan(allowed=allowed))
        problems = list(audit.problems(named(paths)))
    if as_json:
        for one in problems:
            print_json({"path": one.path, "trouble": one.trouble, "message": one.message})
    else:
        if problems:
            rows = [(one.path, one.trouble, one.message) for one in problems]
            print_table("problems", ("cassette", "trouble", "what"), rows, whole="cassette")
        found = counted(len(problems), "problem") if problems else "no problems"
        click.echo(f"mellite: {counted(audit.cassettes, 'cassette')} checked, {found}", err=True)
    sys.exit(1 if problems else 0)


# --- convert --------------------------------------------------------------------------------------


@click.command(
    epilog=examples(
        "mellite cassette convert betamax.yaml chat.json", "mellite cassette convert session.har tests/cassettes"
    ),
)
@click.argument("source", type=click.Path())
@click.argument("target", type=click.Path(), required=False)
@click.option(
    "--from",
    "source_format",
    type=click.Choice(["auto", *_TOOLS]),
    default="auto",
    metavar="TOOL",
    help=f"The tool that made SOURCE: {', '.join(_TOOLS)}; or auto, the default, which looks into the file.",
)
@click.option("--to", type=click.Choice(["http", "text"]), help="What to make, if the name of TARGET does not say it.")
@click.option(
    "--compression",
    type=click.Choice(["gzip", "lz4", "none"]),
    default="none",
    help="How files in a folder are compressed; for one file, its ending decides.",
)
@click.option("--force", is_flag=True, help="Replace what is there.")
@AS_JSON
def convert(
    *,
    source: str,
    target: str | None,
    source_format: SourceFormat,
    to: Format | None,
    compression: str,
    force: bool,
    as_json: bool,
) -> None:
    """Convert recordings of other tools, and text to HTTP and back.

    TARGET is a file that ends in .json, .json.gz or .json.lz4, or a folder; without it, the folder of SOURCE. Text
    cassettes are compressed in place. What could not be kept is reported on standard error. Exits with 1 if something
    could not be converted; the rest is.
    """
    from ..archive.convert import convert as converted

    known: dict[str, Compression] = {"gzip": "gzip", "lz4": "lz4"}
    failed = Failures()
    told = failed if os.path.isdir(source) else None  # if the only file fails, the command fails
    with errors_shown():
        for one in converted(
            source,
            target,
            to=to,
            source_format=source_format,
            compression=known.get(compression),
            replace=force,
            failed=told,
        ):
            if as_json:
                print_json({"source": one.source, "path": one.path, "calls": one.calls, "dropped": one.dropped})
                continue
            calls = counted(one.calls, "call")
            click.echo(f"{one.path}: {calls}" if one.path is not None else f"{one.source}: nothing to convert")
            for what in one.dropped:
                click.echo(one_line(f"mellite: {one.source}: dropped {without_secrets(what)}"), err=True)
    sys.exit(1 if failed else 0)


# --- scrub ----------------------------------------------------------------------------------------


@click.command(epilog=examples("mellite cassette scrub tests/cassettes", "mellite cassette scrub --check chat.json"))
@click.argument("paths", nargs=-1, required=True, type=click.Path(), metavar="FILE_OR_FOLDER...")
@click.option("--check", is_flag=True, help="Change nothing; exit with 1 if something would be changed.")
@ALLOWED
@AS_JSON
def scrub(*, paths: tuple[str, ...], check: bool, allowed: tuple[str, ...], as_json: bool) -> None:
    """Remove secrets from cassettes, in place.

    Some cannot be removed: those in bytes with checksums, in base64, in the prompt of a text cassette (which its key is
    made from), or split over several events. Record such a cassette anew. Exits with 1 if secrets remain, or a file
    cannot be read.
    """
    from ..cassettes.scrub_files import scrub_files
    from ..cassettes.secrets.scan import SecretScan

    bad, failed = False, Failures()
    with errors_shown():
        for one in scrub_files(paths, SecretScan(allowed=allowed), write=not check, failed=failed):
            bad = bad or bool(one.remaining) or (check and bool(one.changed))
            if as_json:
                remaining = [str(finding) for finding in one.remaining]
                print_json({"path": one.path, "changed": one.changed, "remaining": remaining})
                continue
            for place in one.changed:
                click.echo(one_line(f"{one.path}: {'would redact' if check else 'redacted'} {place}"))
            for finding in one.remaining:
                click.echo(one_line(f"mellite: {one.path}: still there: {finding}"), err=True)
    sys.exit(1 if bad or failed else 0)
