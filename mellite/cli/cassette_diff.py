"""`mellite cassette diff`: two recordings beside each other, for people, programs, pull requests and checks."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
from attrs import frozen

from ..values.portrait import counted
from ..values.terminal import one_line, printable
from .cassette_calls import as_values
from .cassettes import AS_JSON, Failures, money, short, without_secrets
from .examples import examples
from .output import encodable, errors_shown, print_json, print_table

if TYPE_CHECKING:
    from ..archive.compare import Comparison, Pair
    from ..values.provider_json import Json, JsonObject

__all__ = ["Wanted", "diff", "fails_on", "in_markdown", "show_comparison"]

_Command = TypeVar("_Command", bound="Callable[..., Any]")

_KINDS: Final = ("request", "answer", "calls")
_COST: Final = re.compile(r"cost\+(\d{1,9}(?:\.\d{1,9})?)%")

#: How many rows a comment on a pull request has at most: longer ones are refused there, and nobody reads them.
_MOST_ROWS: Final = 100


@frozen
class Wanted:
    """One thing for which a comparison fails.

    Args:
        kind: ``request``, ``answer``, ``calls`` or ``cost``.
        percent: for ``cost``, by how much it may grow.
    """

    kind: str
    percent: Decimal = Decimal(0)

    def __str__(self) -> str:
        return f"cost+{self.percent}%" if self.kind == "cost" else self.kind

    def fails(self, found: Comparison) -> bool:
        """Whether two recordings differ in this. A cost that is not known is one that may have grown."""
        if self.kind == "request":
            return found.count("request") > 0
        if self.kind == "answer":
            return any(pair.answer for pair in found.pairs)
        if self.kind == "calls":
            return found.count("removed") + found.count("added") > 0
        return found.costs_more(self.percent) is not False


def _wanted(context: click.Context, option: click.Parameter, values: Sequence[str]) -> tuple[Wanted, ...]:
    """Read the values of --fail-on.

    Raises:
        click.BadParameter: for one that is none.
    """
    found: list[Wanted] = []
    for each in [word.strip() for value in values for word in re.split(r"[,|]", value)]:
        cost = _COST.fullmatch(each)
        if cost is None and each not in _KINDS:
            msg = f"{each!r} is none of {', '.join(_KINDS)} and cost+N%, as in cost+10%"
            raise click.BadParameter(msg, context, option)
        found.append(Wanted(each) if cost is None else Wanted("cost", Decimal(cost[1])))
    return tuple(found)


def in_markdown(command: _Command) -> _Command:
    """Give a command that compares the option ``--markdown``."""
    return click.option("--markdown", is_flag=True, help="Print Markdown, for a comment on a pull request.")(command)


def fails_on(command: _Command) -> _Command:
    """Give a command that compares the option ``--fail-on``."""
    return click.option(
        "--fail-on",
        multiple=True,
        callback=_wanted,
        metavar="KIND",
        help="Exit with 1 only for changes of this kind: request, answer, calls (lost or added), cost+N%; repeatable.",
    )(command)


@click.command(
    epilog=examples("mellite cassette diff old.json new.json", "mellite cassette diff old new --fail-on answer"),
)
@click.argument("left", type=click.Path())
@click.argument("right", type=click.Path())
@AS_JSON
@in_markdown
@fails_on
def diff(*, left: str, right: str, as_json: bool, markdown: bool, fail_on: tuple[Wanted, ...]) -> None:
    """Compare two cassettes, or two folders of them.

    Shows the first request that differs, and where; every answer and call of a tool that changed; calls that were lost
    or added; and the difference in tokens and cost. Exits with 1 if the two differ, or a file in a folder cannot be
    read; with --fail-on, only for the differences that it names.
    """
    from ..archive.compare import compare

    failed = Failures()
    with errors_shown():
        found = compare(left, right, failed=failed)
    show_comparison(found, (left, right), as_json=as_json, markdown=markdown, fail_on=fail_on, failed=bool(failed))


def show_comparison(
    found: Comparison,
    names: tuple[str, str],
    *,
    as_json: bool,
    markdown: bool,
    fail_on: tuple[Wanted, ...],
    failed: bool = False,
) -> None:
    """Print a comparison, and exit with 1 if it fails."""
    if as_json and markdown:
        msg = "--json and --markdown are two forms: choose one"
        raise click.UsageError(msg)
    broken = [str(each) for each in fail_on if each.fails(found)]
    if as_json:
        for pair in found.pairs:
            if pair.change != "same":
                print_json(_pair_values(pair))
        print_json({**_total_values(found), "failed_on": broken})
    elif markdown:
        click.echo(encodable("\n".join(_markdown(found, names))))
    else:
        _print_first(found)
        _print_changes(found)
        click.echo(_summary(found))
    if broken:
        unknown = "; the cost of some calls is not known" if _is_cost_unknown(found, fail_on) else ""
        click.echo(f"mellite: fails on {', '.join(broken)}{unknown}", err=True)
    sys.exit(1 if failed or (broken if fail_on else not found.same) else 0)


def _is_cost_unknown(found: Comparison, fail_on: Sequence[Wanted]) -> bool:
    return any(each.kind == "cost" and found.costs_more(each.percent) is None for each in fail_on)


# --- JSON -----------------------------------------------------------------------------------------


def _pair_values(pair: Pair) -> JsonObject:
    return {
        "change": pair.change,
        "call": pair.name,
        "left": None if pair.left is None else as_values(pair.left),
        "right": None if pair.right is None else as_values(pair.right),
        "request": [str(one) for one in pair.request],
        "answer": [{"what": what, "left": one, "right": other} for what, one, other in _clean(pair)],
    }


def _total_values(found: Comparison) -> JsonObject:
    from ..archive.compare import CHANGES

    return {
        "same": found.same,
        "first": None if found.first is None else found.first.name,
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


# --- tables ---------------------------------------------------------------------------------------


def _first_words(found: Comparison) -> tuple[str, Pair] | None:
    """Return in words where the first request differs, is missing or is new."""
    first = found.first
    if first is None:
        return None
    words = {
        "removed": "the first request that is only in the left one",
        "added": "the first that is only in the right one",
    }
    return words.get(first.change, "the first request that differs"), first


def _question(pair: Pair) -> str:
    entry = pair.left or pair.right
    return "" if entry is None else short(without_secrets(entry.question))


def _print_first(found: Comparison) -> None:
    """Print where the first request differs, is missing or is new."""
    first = _first_words(found)
    if first is None:
        return
    words, pair = first
    click.echo(one_line(f"{words}: call {pair.name}: {_question(pair)}"))
    for one in pair.request:
        click.echo(printable(f"  {one}"))
    click.echo()


def _rows(found: Comparison) -> Iterator[tuple[str, str, str, str, str]]:
    """Yield a row for each change: the call, the kind, what changed, and what it was and is."""
    for pair in found.pairs:
        call = pair.name
        if pair.change in ("removed", "added"):
            yield call, pair.change, "", "", ""
        elif pair.request:
            yield call, "request", counted(len(pair.request), "difference"), "", ""
        for what, one, other in _clean(pair):
            yield call, "answer", what, short(f"{one}"), short(f"{other}")


def _print_changes(found: Comparison) -> None:
    rows = list(_rows(found))
    if rows:
        print_table("changes", ("call", "change", "what", "left", "right"), rows, whole="call")
        click.echo()


def _summary(found: Comparison) -> str:
    if found.same:
        return f"the same: {counted(len(found.pairs), 'call')}"
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


# --- Markdown -------------------------------------------------------------------------------------


def _markdown(found: Comparison, names: tuple[str, str]) -> Iterator[str]:
    """Yield the lines of a comment. What was recorded stands in code, where it is not markup and calls nobody."""
    yield f"### Recorded calls: {_code(names[0])} and {_code(names[1])}"
    yield ""
    yield _summary(found)
    first = _first_words(found)
    if first is not None:
        words, pair = first
        yield ""
        yield f"{words.capitalize()}: call {_code(pair.name)}, {_code(_question(pair))}"
        if pair.request:
            yield ""
            yield from [f"- {_code(str(one))}" for one in pair.request]
    rows = list(_rows(found))
    if not rows:
        return
    yield ""
    yield "| call | change | what | left | right |"
    yield "|---|---|---|---|---|"
    for call, change, what, one, other in rows[:_MOST_ROWS]:
        cells = [_code(call), change, what, _code(one), _code(other)]
        yield f"| {' | '.join([cell.replace('|', chr(92) + '|') for cell in cells])} |"
    if len(rows) > _MOST_ROWS:
        yield ""
        yield f"... and {len(rows) - _MOST_ROWS} more rows."


def _code(text: str) -> str:
    """Return a text as code, with a fence that is longer than what is in it."""
    line = one_line(" ".join(text.split()))
    if not line:
        return ""
    fence = "`" * (max([len(run) for run in re.findall("`+", line)], default=0) + 1)
    padding = " " if line[0] == "`" or line[-1] == "`" else ""
    return f"{fence}{padding}{line}{padding}{fence}"
