"""`mellite prices`: what a model costs, by the price list in use."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from ..values.spelling import alike
from .examples import examples
from .output import errors_shown, print_json

if TYPE_CHECKING:
    from ..values.prices.price import Price, Rate
    from ..values.prices.pricelist import PriceList
    from ..values.provider_json import Json, JsonObject

__all__ = ["prices"]

UNIT = "USD per million tokens"


@click.command(
    epilog=examples("mellite prices gpt-4o-mini", "mellite prices anthropic:claude-sonnet-4-5 --json"),
)
@click.argument("model")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option(
    "--file",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Read this price list; MELLITE_PRICES does the same.",
)
def prices(*, model: str, as_json: bool, file: str | None) -> None:
    """Print what MODEL costs.

    PROVIDER:MODEL gives the price at one provider, MODEL alone that at each provider that has it. Exits with 1 if no
    price is known.
    """
    from ..values.prices.pricelist import prices as price_list

    with errors_shown():
        listed = price_list(file)
        found = _find(listed, model)
    if as_json:
        print_json(_as_json(listed, model, found))
    elif found:
        _print(listed, found)
    if not found:
        click.echo(f"mellite: no price is known for {model!r}{_nearest(listed, model)}", err=True)
        sys.exit(1)


def _find(listed: PriceList, model: str) -> list[Price]:
    now = datetime.now(UTC)
    for separator in (":", "/"):
        provider, given, name = model.partition(separator)
        if given and listed.provider(provider) is not None:
            price = listed.find(name, provider, at=now)
            if price is not None or separator == ":":
                return [] if price is None else [price]
    return listed.search(model, at=now)


def _nearest(listed: PriceList, model: str) -> str:
    names = {name.lower(): f"{provider}:{name}" for provider, name in listed.models()}
    name = model.partition(":")[2] or model
    near = [names[each] for each in alike(name, names, count=3, cutoff=0.6)]
    return f"; near to it: {', '.join(near)}" if near else ""


def _as_json(listed: PriceList, model: str, found: list[Price]) -> JsonObject:
    return {
        "model": model,
        "date": listed.date.isoformat(),
        "source": listed.source or listed.path,
        "unit": f"{UNIT}; web_search and request: per thousand",
        "prices": [
            {
                "provider": price.provider,
                "model": price.model,
                "rates": {unit: _rate_as_json(rate) for unit, rate in price.rates.items()},
            }
            for price in found
        ],
    }


def _rate_as_json(rate: Rate) -> Json:
    from ..values.prices.price import Tiers

    if not isinstance(rate, Tiers):
        return str(rate)
    return {
        "base": str(rate.base),
        "above": [{"input_tokens": step, "price": str(price)} for step, price in rate.steps],
    }


def _shown(unit: str, rate: Rate) -> str:
    from ..values.prices.price import PER_THOUSAND, Tiers

    if isinstance(rate, Tiers):
        return f"{rate.base}" + "".join(f" ({price} above {step:,} tokens)" for step, price in rate.steps)
    return f"{rate} per thousand" if unit in PER_THOUSAND else f"{rate}"


def _print(listed: PriceList, found: list[Price]) -> None:
    title = f"{UNIT}, as of {listed.date} ({listed.source or listed.path})"
    if not sys.stdout.isatty():
        click.echo(title)
        for price in found:
            rates = [f"{unit}: {_shown(unit, rate)}" for unit, rate in price.rates.items()]
            click.echo("\t".join([price.provider, price.model, *rates]))
        return
    from rich.console import Console
    from rich.table import Table

    units = list(dict.fromkeys(unit for price in found for unit in price.rates))
    table = Table(title=title)
    table.add_column("provider")
    table.add_column("model", overflow="fold")
    for unit in units:
        table.add_column(unit.replace("_", " "), justify="right")
    for price in found:
        rates = [_shown(unit, price.rates[unit]) if unit in price.rates else "" for unit in units]
        table.add_row(price.provider, price.model, *rates)
    Console().print(table)
