"""`mellite models`: which models there are, what their input costs, and how many tokens they take."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import click

from .examples import examples
from .output import errors_shown, print_json, print_table

if TYPE_CHECKING:
    from decimal import Decimal

    from ..values.prices.pricelist import PriceList

__all__ = ["models"]


class _Row(NamedTuple):
    """A model at a provider; None for what is unknown."""

    provider: str
    model: str
    input: Decimal | None
    context_window: int | None


@click.command(epilog=examples("mellite models", "mellite models openai --json"))
@click.argument("provider", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
def models(*, provider: str | None, as_json: bool) -> None:
    """List the models of PROVIDER, or of all, that have a price.

    Shows USD per million input tokens, and the context window. The models are those of the price list in use, which
    may differ from what a provider offers today; any other model can be asked as well. Exits with 1 if none is known.
    """
    from ..values.prices.pricelist import prices

    with errors_shown():
        listed = prices()
        rows = [row for name, id in _named(listed, provider) for row in _of(listed, name, id)]
    if as_json:
        for row in rows:
            cost = None if row.input is None else _number(row.input)
            print_json({**row._asdict(), "input": cost})
    elif rows:
        shown = [
            [row.provider, row.model, _text(row.input), f"{row.context_window:,}" if row.context_window else ""]
            for row in rows
        ]
        columns = ["provider", "model", "input", "context window"]
        print_table(f"as of {listed.date}; USD per million tokens", columns, shown, right=columns[2:])
    if not rows:
        whose = f"{provider!r}" if provider else "any provider"
        click.echo(f"mellite: no model of {whose} is in the price list of {listed.date}", err=True)
        sys.exit(1)


def _named(listed: PriceList, provider: str | None) -> Iterator[tuple[str, str]]:
    """Yield the providers to list: the name that `--model` takes, and what the price list calls it.

    Raises:
        UnknownProvider: if neither mellite nor the price list knows the name.
    """
    from ..providers import catalog

    if provider is None:
        for name in catalog.names():
            id = listed.provider(name) or _of_another_name(listed, name)
            if id is not None:
                yield name, id
        return
    name = provider.strip().lower()
    id = listed.provider(name) or _of_another_name(listed, name)
    if id is not None:
        yield name, id
    elif not catalog.knows(name):
        catalog.find(name)  # raises, and names the nearest


def _of_another_name(listed: PriceList, name: str) -> str | None:
    """Return the price list's name for Claude on Vertex AI: it knows Google as one company."""
    return listed.provider("vertex") if name == "vertex-anthropic" else None


def _of(listed: PriceList, name: str, id: str) -> Iterator[_Row]:
    from ..values.prices.price import Tiers

    for provider, model in listed.models():
        if provider != id or _is_elsewhere(name, model):
            continue
        price = listed.find(model, id)
        rate = None if price is None else price.rates.get("input")
        yield _Row(name, model, rate.base if isinstance(rate, Tiers) else rate, listed.context_window(model, id))


def _is_elsewhere(name: str, model: str) -> bool:
    """Return whether Google sells a model under another of its names."""
    if name == "vertex-anthropic":
        return "claude" not in model
    return name in ("google", "vertex") and "claude" in model


def _number(cost: Decimal) -> int | float:
    return int(cost) if cost == int(cost) else float(cost)


def _text(cost: Decimal | None) -> str:
    return "" if cost is None else f"{cost.normalize():f}"
