"""The prices of one model, and the exact cost of tokens under them. No clock, no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Final, TypeAlias

from attrs import Factory, field, frozen

from ..provider_json import Json
from ..usage import Usage
from .amounts import EXACT, plain

__all__ = ["PER_THOUSAND", "UNITS", "Place", "Price", "Rate", "Tiers", "billed", "charged", "place", "shared"]

#: What can have a price, each with what it is; a unit with more words is a part of those with fewer of the same.
#: Prices are per million tokens, those of `PER_THOUSAND` per thousand.
UNITS: Final[Mapping[str, frozenset[str]]] = {
    unit: frozenset(words.split())
    for unit, words in {
        "input": "input",
        "cache_read": "input read",
        "cache_write": "input write",
        "cache_write_1h": "input write 1h",
        "output": "output",
        "reasoning": "output reasoning",
        "citation": "citation",
        "input_audio": "input audio",
        "cache_read_audio": "input read audio",
        "output_audio": "output audio",
        "input_image": "input image",
        "cache_read_image": "input read image",
        "output_image": "output image",
        "input_video": "input video",
        "output_video": "output video",
        "web_search": "search",
        "request": "request",
    }.items()
}

PER_THOUSAND: Final = frozenset({"web_search", "request"})

_ROOTS: Final = ("input", "output")

#: Units that `Usage` counts; the others are looked up in the provider's raw usage.
_COUNTED: Final = {
    "input": "input_tokens",
    "cache_read": "cache_read_input_tokens",
    "cache_write": "cache_write_input_tokens",
    "output": "output_tokens",
    "reasoning": "reasoning_tokens",
}


@frozen
class Tiers:
    """A price that depends on how long the prompt is; the whole answer is charged at the tier that the prompt reaches.

    Args:
        base: up to the first step.
        steps: pairs of a number of input tokens and the price above it, in rising order.

    Example:
        >>> price = Tiers(Decimal("1.25"), ((200_000, Decimal("2.5")),))
        >>> price.at(200_000), price.at(200_001)
        (Decimal('1.25'), Decimal('2.5'))
    """

    base: Decimal
    steps: tuple[tuple[int, Decimal], ...]

    def at(self, input_tokens: int) -> Decimal:
        """Return the price for a prompt of this length."""
        price = self.base
        for above, higher in self.steps:
            if input_tokens > above:
                price = higher
        return price


#: A price in USD.
Rate: TypeAlias = Decimal | Tiers

#: Where a count stands in a raw usage: keys, and for an element of a list the pair it is recognised by.
Place: TypeAlias = tuple[str | tuple[str, str], ...]


def shared(rate: Rate, share: Decimal) -> Rate:
    """Return a share of a price.

    Example:
        >>> shared(Decimal("0.15"), Decimal("0.5"))
        Decimal('0.075')
    """
    if isinstance(rate, Tiers):
        return Tiers(plain(rate.base * share), tuple([(above, plain(higher * share)) for above, higher in rate.steps]))
    return plain(rate * share)


def place(path: str) -> Place:
    """Read a place as it is written in a price list.

    Example:
        >>> place("details[modality=AUDIO].tokenCount")
        ('details', ('modality', 'AUDIO'), 'tokenCount')
    """
    steps: list[str | tuple[str, str]] = []
    for step in path.replace("[", ".[").split("."):
        if step.startswith("["):
            key, _, value = step.strip("[]").partition("=")
            steps.append((key, value))
        elif step:
            steps.append(step)
    return tuple(steps)


@frozen
class _Line:
    """One unit of a price, ready to be charged."""

    unit: str
    rate: Rate | None  # None: it has no price of its own, and all of it must be parts that have one
    parts: tuple[str, ...]  # units that are parts of it, charged at their own prices
    crossing: tuple[tuple[str, str], ...]  # pairs whose overlap it is: unknown if both are there and it is not counted
    weight: int


def _lines(rates: Mapping[str, Rate]) -> tuple[_Line, ...]:
    units = sorted({*rates, *_ROOTS}, key=lambda unit: (-len(UNITS[unit]), unit))
    return tuple(
        _Line(
            unit,
            rates.get(unit),
            tuple(other for other in units if UNITS[unit] < UNITS[other]),
            tuple(
                (one, other)
                for one in units
                for other in units
                if one < other and UNITS[one] | UNITS[other] == UNITS[unit] and unit not in (one, other)
            ),
            1000 if unit in PER_THOUSAND else 1,
        )
        for unit in units
    )


@frozen
class Price:
    """The price of one model at one provider, in USD per million tokens; web searches and requests per thousand.

    Args:
        provider: as the price list calls it.
        model: as the price list calls it.
        rates: the price of each unit that has one, by the names in `UNITS`.
        places: where the counts stand in the provider's raw usage that `Usage` has no field for, by unit.

    Example:
        >>> rates = {"input": Decimal(2), "cache_read": Decimal("0.5"), "output": Decimal(8)}
        >>> price = Price("acme", "m-1", rates=rates)
        >>> price.cost(Usage.of(input_tokens=1000, cache_read_input_tokens=600, output_tokens=50))
        Decimal('0.0015')
    """

    provider: str
    model: str
    rates: Mapping[str, Rate] = field(kw_only=True)
    places: Mapping[str, Sequence[Place]] = field(factory=dict, kw_only=True, repr=False)
    _plan: tuple[_Line, ...] = field(
        init=False, eq=False, repr=False, default=Factory(lambda self: _lines(self.rates), takes_self=True)
    )

    def cost(self, usage: Usage) -> Decimal | None:
        """Return the exact cost in USD; None if a count is missing, or the counts contradict each other.

        Without a split, all input is charged as not cached: a cache that is not reported is not there.
        """
        counts = {line.unit: self._count(line.unit, usage) for line in self._plan}
        size = counts["input"]
        if size is None or counts["output"] is None or ("reasoning" in self.rates and counts["reasoning"] is None):
            return None
        own: dict[str, int] = {}
        total = Decimal(0)
        for line in self._plan:
            left = counts[line.unit]
            if left is None:
                if line.crossing and any(counts[one] and counts[other] for one, other in line.crossing):
                    return None
                left = 0
            for part in line.parts:
                left -= own[part]
            own[line.unit] = left
            if left == 0:
                continue
            if left < 0 or line.rate is None:
                return None
            rate = line.rate.at(size) if isinstance(line.rate, Tiers) else line.rate
            total = EXACT.fma(rate, left * line.weight, total)
        return plain(total.scaleb(-6, EXACT))

    def _count(self, unit: str, usage: Usage) -> int | None:
        name = _COUNTED.get(unit)
        if name is not None:
            known: int | None = getattr(usage, name)
            if known is None and unit == "input" and usage.non_cached_input_tokens is not None:
                read, written = usage.cache_read_input_tokens, usage.cache_write_input_tokens
                return usage.non_cached_input_tokens + (read or 0) + (written or 0)
            return known
        if unit == "request":
            return 1
        places = self.places.get(unit)
        return _sum(usage.raw, places) if places and usage.raw is not None else None


def _sum(raw: Mapping[str, Json], places: Iterable[Place]) -> int | None:
    """Add up the counts at these places; return None if there is none."""
    found = [count for each in places if (count := _at(raw, each)) is not None]
    return sum(found) if found else None


def _at(value: Json, steps: Place) -> int | None:
    for step in steps:
        if isinstance(step, tuple):
            key, wanted = step
            rows = value if isinstance(value, list) else ()
            value = next((row for row in rows if isinstance(row, Mapping) and row.get(key) == wanted), None)
        else:
            value = value.get(step) if isinstance(value, Mapping) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def billed(provider: str, raw: Mapping[str, Json]) -> Decimal | None:
    """Return what the answer cost by the provider's raw usage, in USD; None if that does not say.

    OpenRouter, which routes to others, and xAI and Perplexity, which charge for more than tokens, know better.

    Args:
        provider: as the price list calls it.
        raw: the provider's own usage object.

    Example:
        >>> billed("openrouter", {"prompt_tokens": 66, "completion_tokens": 14, "cost": 0.0000183})
        Decimal('0.0000183')
    """
    cost = raw.get("cost")
    if provider == "openrouter":
        paid = _amount(cost)
        if paid is None or raw.get("is_byok") is not True:
            return paid
        # With the user's own key, `cost` is only the fee; the rest goes to the host that answered.
        details = raw.get("cost_details")
        upstream = _amount(details.get("upstream_inference_cost")) if isinstance(details, Mapping) else None
        return None if upstream is None else plain(EXACT.add(paid, upstream))
    if provider == "x-ai":
        ticks = _amount(raw.get("cost_in_usd_ticks"))
        return None if ticks is None else plain(ticks.scaleb(-10, EXACT))
    if provider == "perplexity" and isinstance(cost, Mapping):
        return _amount(cost.get("total_cost"))
    return None


def charged(provider: str, usage: Usage) -> Usage:
    """Return the tokens that a provider charges for, where its raw usage tells them from those of the model.

    Cohere does not charge for the words that it puts around a prompt. https://docs.cohere.com/docs/how-does-cohere-pricing-work

    Args:
        provider: as the price list calls it.
        usage: what was used.

    Example:
        >>> raw = {"billed_units": {"input_tokens": 1, "output_tokens": 9}}
        >>> used = charged("cohere", Usage.of(input_tokens=496, output_tokens=11, raw=raw))
        >>> used.input_tokens, used.output_tokens
        (1, 9)
    """
    units = usage.raw.get("billed_units") if provider == "cohere" and usage.raw is not None else None
    if not isinstance(units, Mapping):
        return usage
    counts = [
        int(count) if isinstance(count, (int, float)) and not isinstance(count, bool) and count >= 0 else None
        for count in (units.get("input_tokens"), units.get("output_tokens"))
    ]
    return Usage.of(input_tokens=counts[0], output_tokens=counts[1], raw=usage.raw)


def _amount(value: Json) -> Decimal | None:
    """Return a JSON number as the decimal that was written; None if it is not an amount of money."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    amount = Decimal(repr(value))
    return amount if amount.is_finite() and amount >= 0 else None
