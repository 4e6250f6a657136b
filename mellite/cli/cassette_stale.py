"""`mellite cassette stale`: run the tests offline, and list the requests that differ from what is recorded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import click

from ..values.terminal import one_line
from .cassettes import short
from .examples import examples
from .output import print_json, print_table

if TYPE_CHECKING:
    from ..values.provider_json import JsonObject

__all__ = ["stale"]

#: Exit codes of pytest after which there is a report that says something: all passed, some failed, none collected.
_RAN: Final = (0, 1, 5)

#: The exit code if pytest ends in such a way without a report, because it, or mellite's plugin, is not installed.
_NO_REPORT: Final = 2


class _WithArguments(click.Command):
    """A command that hands what follows ``--`` to pytest."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take the arguments of pytest off, then read the rest."""
        at = args.index("--") if "--" in args else len(args)
        ctx.ensure_object(dict)
        ctx.obj["pytest"] = tuple(args[at + 1 :])
        return super().parse_args(ctx, args[:at])


@click.command(
    cls=_WithArguments,
    epilog=examples("mellite cassette stale", "mellite cassette stale tests/test_chat.py -- -k french"),
)
@click.argument("paths", nargs=-1, type=click.Path(), metavar="[PATH]... [-- PYTEST_ARGUMENTS]...")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line; the last has the sums.")
@click.pass_context
def stale(ctx: click.Context, *, paths: tuple[str, ...], as_json: bool) -> None:
    """List the requests of tests that differ from their recordings.

    Runs the tests offline. A PATH is a test, or a cassette or a folder of cassettes that the list is limited to. A
    request that differs gets the answer of the nearest recorded call, so that the test continues; nothing is sent or
    written. The cost of recording anew is estimated from the nearest call's usage. Output of the tests goes to standard
    error. Exits with 1 if a request differs, and with pytest's code if it could not run.
    """
    tests = [path for path in paths if _is_of_tests(path)]
    cassettes = [path for path in paths if path not in tests]
    for path in cassettes:
        if not os.path.exists(path):
            msg = f"there is no {path!r}"
            raise click.UsageError(msg)
    calls = _run([*tests, *ctx.obj["pytest"]])
    if cassettes:
        calls = [call for call in calls if _is_below(call["cassette"], cassettes)]
    if as_json:
        for call in calls:
            print_json(call)
        print_json(_total(calls))
    else:
        _print(calls)
    sys.exit(1 if calls else 0)


def _is_of_tests(path: str) -> bool:
    """Whether a path is one of tests: a file of Python, one of its tests, or a folder with such files in it."""
    name = path.partition("::")[0]
    if not os.path.isdir(name):
        return name != path or name.endswith(".py")
    return any(file.endswith(".py") for _, _, files in os.walk(name) for file in files)


def _run(arguments: Sequence[str]) -> list[JsonObject]:
    """Run pytest in a process of its own, and return what it reports.

    Exits as pytest does if it cannot run, so that nobody takes no report for no difference.
    """
    with TemporaryDirectory() as folder:
        report = os.path.join(folder, "report.json")
        # What is said on standard output is the list.
        command = [sys.executable, "-m", "pytest", f"--mellite-stale={report}", *arguments]
        code = subprocess.run(command, stdout=sys.stderr.fileno(), check=False).returncode  # noqa: S603 - what is run is what was typed
        if code not in _RAN or not os.path.exists(report):
            click.echo(f"mellite: pytest ended with {code} before it could report; it says why above", err=True)
            sys.exit(_NO_REPORT if code in _RAN else code)
        with open(report, encoding="utf-8") as file:
            found: JsonObject = json.load(file)
    return [{**call, "cassette": _from_here(found["root"], call["cassette"])} for call in found["calls"]]


def _from_here(root: str, path: str) -> str:
    """Return a path of the report as it is seen from this folder."""
    whole = os.path.join(root, path)
    shown = os.path.relpath(whole)
    return whole if shown.startswith(os.pardir) else shown


def _is_below(path: str, folders: Iterable[str]) -> bool:
    whole = os.path.realpath(path)
    return any(f"{whole}{os.sep}".startswith(f"{os.path.realpath(folder)}{os.sep}") for folder in folders)


def _total(calls: Iterable[JsonObject]) -> JsonObject:
    from ..archive.stale import total_of

    return {**total_of(calls), "total": True}


def _print(calls: Sequence[JsonObject]) -> None:
    columns = ("cassette", "kind", "call", "tests", "where", "tokens", "cost")
    rows = [
        (
            call["cassette"],
            call["kind"],
            call["call"] or "",
            ", ".join(call["tests"]),
            short("; ".join(call["request"]), 120),
            "?" if call["input_tokens"] is None else f"{call['input_tokens']}+{call['output_tokens']}",
            call["cost_usd"] or "?",
        )
        for call in calls
    ]
    if rows:
        print_table("stale", columns, rows, right=("tokens", "cost"), whole="cassette")
    total = _total(calls)
    words = (
        f"{total['calls']} to record: about {total['input_tokens']} input and {total['output_tokens']} output tokens, "
        f"${total['cost_usd']}; pytest --mellite-record=stale records only these"
        if calls
        else "no request differs from what is recorded"
    )
    click.echo(one_line(f"mellite: {words}"), err=True)
