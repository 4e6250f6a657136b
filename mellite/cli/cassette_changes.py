"""`mellite cassette verify`, `diff`, `convert` and `scrub`: check cassettes, compare them, change them."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from ..values.terminal import one_line, printable
from .cassette_calls import as_values
from .cassettes import AS_JSON, PATHS, Failures, money, named, short, without_secrets
from .output import errors_shown, print_json, print_table

if TYPE_CHECKING:
    from ..archive.compare import Comparison, Pair
    from ..archive.convert import Format
    from ..cassettes.compression import Compression
    from ..values.provider_json import Json, JsonObject

__all__ = ["convert", "diff", "scrub", "verify"]

ALLOWED = click.option(
    "--allow", "allowed", multiple=True, metavar="TEXT", help="Not a secret, though it looks like one; repeatable."
)


# --- verify ---------------------------------------------------------------------------------------


@click.command()
@PATHS
@ALLOWED
@AS_JSON
def verify(*, paths: tuple[str, ...], allowed: tuple[str, ...], as_json: bool) -> None:
    """Check cassettes before they are committed; exit with 1 if something is wrong.

    Looks for secrets, damaged files, unknown versions, files that nothing reads, and recordings that were not ended. In
    files and folders, or in ./cassettes and in the folders of that name below ./tests.
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
        count = f"{audit.cassettes} cassette{'' if audit.cassettes == 1 else 's'} checked"
        click.echo(f"mellite: {count}, {len(problems) or 'no'} problem{'' if len(problems) == 1 else 's'}", err=True)
    sys.exit(1 if problems else 0)


# --- diff -----------------------------------------------------------------------------------------


@click.command()
@click.argument("left", type=click.Path())
@click.argument("right", type=click.Path())
@AS_JSON
def diff(*, left: str, right: str, as_json: bool) -> None:
    """Compare two cassettes, or two folders of them; exit with 1 if they differ, or one in a folder cannot be read.

    Shows the first request that differs, and where; every answer that changed; and the difference in tokens and cost.
    """
    from ..archive.compare import compare

    failed = Failures()
    with errors_shown():
        found = compare(left, right, failed=failed)
    if as_json:
        for pair in found.pairs:
            if pair.change != "same":
                print_json(_pair_values(pair))
        print_json(_total_values(found))
    else:
        _print_first(found)
        _print_changes(found)
        click.echo(_summary(found))
    sys.exit(0 if found.same and not failed else 1)


def _pair_values(pair: Pair) -> JsonObject:
    return {
        "change": pair.change,
        "left": None if pair.left is None else as_values(pair.left),
        "right": None if pair.right is None else as_values(pair.right),
        "request": [str(one) for one in pair.request],
        "answer": [{"what": what, "left": one, "right": other} for what, one, other in _clean(pair)],
    }


def _total_values(found: Comparison) -> JsonObject:
    from ..archive.compare import CHANGES

    return {
        "same": found.same,
        "counts": {kind: found.count(kind) for kind in CHANGES},
        "input_tokens": found.input_tokens,
        "output_tokens": found.output_tokens,
        "cost_usd": None if found.cost_usd is None else money(found.cost_usd),
    }


def _clean(pair: Pair) -> list[tuple[str, Json, Json]]:
    """Return what changed in an answer, without secrets."""
    from ..cassettes.scrub import scrub_text
    from ..cassettes.secrets.scan import SecretScan

    scan = SecretScan()

    def clean(value: Json) -> Json:
        if value is None or isinstance(value, int):
            return value
        return scrub_text(value if isinstance(value, str) else repr(value), scan)

    return [(what, clean(one), clean(other)) for what, one, other in pair.answer]


def _print_first(found: Comparison) -> None:
    """Print where the first request differs, is missing or is new."""
    first = found.first
    if first is None:
        return
    entry = first.left or first.right
    where = f"call {first.name}: {short(without_secrets(entry.question))}" if entry is not None else ""
    words = {
        "removed": "the first request that is only in the left one",
        "added": "the first that is only in the right one",
    }
    click.echo(one_line(f"{words.get(first.change, 'the first request that differs')}: {where}"))
    for one in first.request:
        click.echo(printable(f"  {one}"))
    click.echo()


def _print_changes(found: Comparison) -> None:
    rows: list[tuple[str, str, str, str, str]] = []
    for pair in found.pairs:
        call = pair.name
        if pair.change in ("removed", "added"):
            rows.append((call, pair.change, "", "", ""))
        elif pair.request:
            rows.append((call, "request", f"{len(pair.request)} differences", "", ""))
        rows += [(call, "answer", what, short(f"{one}"), short(f"{other}")) for what, one, other in _clean(pair)]
    if rows:
        print_table("changes", ("call", "change", "what", "left", "right"), rows, whole="call")
        click.echo()


def _summary(found: Comparison) -> str:
    if found.same:
        return f"the same: {len(found.pairs)} calls"
    counts = {
        "with another request": found.count("request"),
        "with another answer": sum([bool(pair.answer) for pair in found.pairs]),
        "removed": found.count("removed"),
        "added": found.count("added"),
        "the same": found.count("same"),
    }
    said = ", ".join([f"{count} {what}" for what, count in counts.items() if count])
    deltas = [
        f"{name} {'?' if delta is None else f'{delta:+}'}"
        for name, delta in (("input tokens", found.input_tokens), ("output tokens", found.output_tokens))
    ]
    cost = "?" if found.cost_usd is None else f"{'-' if found.cost_usd < 0 else '+'}${money(abs(found.cost_usd))}"
    return f"calls: {said}; {', '.join(deltas)}, cost {cost}"


# --- convert --------------------------------------------------------------------------------------


@click.command()
@click.argument("source", type=click.Path())
@click.argument("target", type=click.Path(), required=False)
@click.option("--to", type=click.Choice(["http", "text"]), help="What to make, where the names do not say it.")
@click.option(
    "--compression",
    type=click.Choice(["gzip", "lz4", "none"]),
    default="none",
    help="Of the files in a folder; for one file its ending says it.",
)
@click.option("--force", is_flag=True, help="Replace what is there.")
@AS_JSON
def convert(
    *, source: str, target: str | None, to: Format | None, compression: str, force: bool, as_json: bool
) -> None:
    """Convert cassettes: VCR's YAML or JSON to mellite's, text to HTTP and back, compressed or not.

    TARGET is a file that ends in .json, .json.gz or .json.lz4, or a folder; without it, the folder of SOURCE. Text
    cassettes are compressed where they are. What could not be kept is said on standard error. Exits with 1 if something
    could not be converted; the rest is.
    """
    from ..archive.convert import convert as converted

    known: dict[str, Compression] = {"gzip": "gzip", "lz4": "lz4"}
    failed = Failures()
    told = failed if os.path.isdir(source) else None  # if the only file fails, the command fails
    with errors_shown():
        for one in converted(source, target, to=to, compression=known.get(compression), replace=force, failed=told):
            if as_json:
                print_json({"source": one.source, "path": one.path, "calls": one.calls, "dropped": one.dropped})
                continue
            calls = f"{one.calls} call{'' if one.calls == 1 else 's'}"
            click.echo(f"{one.path}: {calls}" if one.path is not None else f"{one.source}: nothing to convert")
            for what in one.dropped:
                click.echo(one_line(f"mellite: {one.source}: dropped {without_secrets(what)}"), err=True)
    sys.exit(1 if failed else 0)


# --- scrub ----------------------------------------------------------------------------------------


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(), metavar="FILE_OR_FOLDER...")
@click.option("--check", is_flag=True, help="Change nothing; exit with 1 if something would be changed.")
@ALLOWED
@AS_JSON
def scrub(*, paths: tuple[str, ...], check: bool, allowed: tuple[str, ...], as_json: bool) -> None:
    """Take secrets out of cassettes, in place; exit with 1 if some remain, or a file cannot be read.

    Those that cannot be taken out are in bytes with checksums, in base64, in the prompt of a text cassette (which its
    key is made of), or cut over several events: record such a cassette anew.
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
