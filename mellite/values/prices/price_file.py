"""The file that prices are in, as `mellite.values.prices.pricelist` shows it: how it is written, and what may be wrong.

Prices are USD per million tokens (web searches and requests: per thousand), as JSON numbers or strings.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Final, TypeAlias

import msgspec

from .price import UNITS, Rate, Tiers

__all__ = ["ModelRow", "Point", "PriceFile", "ProviderRow", "check", "fits"]

#: One of these has to fit; in an inner list, all. "=" equals, "^" begins with, "$" ends with, "*" contains, "~" regex.
_Pattern: TypeAlias = str | list[str]

#: A price, or the price of short prompts followed by pairs: a number of input tokens and the price above it.
_Amount: TypeAlias = Decimal | list[Decimal]


class Point(msgspec.Struct, forbid_unknown_fields=True, rename={"since": "from"}):
    """Prices at one time, or for one way of being served."""

    since: date | None = None
    daily: tuple[str, str] | None = None
    when: dict[str, str] = {}
    input: _Amount | None = None
    cache_read: _Amount | None = None
    cache_write: _Amount | None = None
    cache_write_1h: _Amount | None = None
    output: _Amount | None = None
    reasoning: _Amount | None = None
    citation: _Amount | None = None
    input_audio: _Amount | None = None
    cache_read_audio: _Amount | None = None
    output_audio: _Amount | None = None
    input_image: _Amount | None = None
    cache_read_image: _Amount | None = None
    output_image: _Amount | None = None
    input_video: _Amount | None = None
    output_video: _Amount | None = None
    web_search: _Amount | None = None
    request: _Amount | None = None

    def rates(self) -> dict[str, Rate]:
        """Return the prices, by unit.

        Raises:
            ValueError: for one that is written wrongly.
        """
        return {unit: _rate(unit, given) for unit in UNITS if (given := getattr(self, unit)) is not None}

    def applies(self, at: datetime) -> bool:
        """Return whether the prices are those of a time, in UTC."""
        if self.since is not None and at.date() < self.since:
            return False
        if self.daily is None:
            return True
        begin, end = (time.fromisoformat(each) for each in self.daily)
        now = at.time()
        return begin <= now < end if begin <= end else now >= begin or now < end


class ModelRow(msgspec.Struct, forbid_unknown_fields=True):
    """A model: the names it goes by, its prices (the last that applies counts), and those for other tiers."""

    prices: list[Point]
    match: list[_Pattern] = []
    variants: list[Point] = []
    context_window: int | None = None  # the snapshot has them in a file of their own


class ProviderRow(msgspec.Struct, forbid_unknown_fields=True):
    """A provider: its models, whose models it sells too, and where counts stand in its raw usage."""

    models: dict[str, ModelRow]
    also: list[str] = []
    counts: dict[str, list[str]] = {}


class PriceFile(msgspec.Struct, forbid_unknown_fields=True):
    """The whole file; a provider is read when it is first asked for."""

    version: int
    date: date
    providers: dict[str, msgspec.Raw]
    known_as: dict[str, str] = {}
    source: str = ""


def _rate(unit: str, given: _Amount) -> Rate:
    """Read a price as it is written in the file, and check it."""
    numbers = given if isinstance(given, list) else [given]
    steps = numbers[1::2]
    if len(numbers) % 2 == 0 or not all(number.is_finite() and number >= 0 for number in numbers):
        msg = f"{unit} must be a number of at least 0, or such a number followed by pairs of a step and a number"
        raise ValueError(msg)
    if any(step != int(step) for step in steps) or steps != sorted(steps):
        msg = f"{unit} must have whole numbers of tokens as its steps, in rising order"
        raise ValueError(msg)
    if not steps:
        return numbers[0]
    return Tiers(numbers[0], tuple(zip(map(int, steps), numbers[2::2], strict=True)))


def fits(patterns: Sequence[_Pattern], name: str) -> bool:
    """Return whether a name fits one of these patterns."""
    return any(
        all(_fits_one(each, name) for each in pattern) if isinstance(pattern, list) else _fits_one(pattern, name)
        for pattern in patterns
    )


_TESTS: Final[Mapping[str, Callable[[str, str], bool]]] = {
    "=": str.__eq__,
    "^": str.startswith,
    "$": str.endswith,
    "*": str.__contains__,
    "~": lambda name, pattern: re.search(pattern, name) is not None,
}


def _fits_one(pattern: str, name: str) -> bool:
    return _TESTS[pattern[0]](name, pattern[1:])


def check(row: ModelRow) -> None:
    """Read all prices and patterns of a model.

    Raises:
        ValueError: for one that is wrong, saying what is.
    """
    if row.context_window is not None and row.context_window < 1:
        msg = f"context_window must be a number of tokens, not {row.context_window}"
        raise ValueError(msg)
    if not row.prices:
        msg = "it has no prices; leave it out, and its price is unknown"
        raise ValueError(msg)
    for point in (*row.prices, *row.variants):
        point.rates()
        point.applies(datetime(9999, 1, 1))  # noqa: DTZ001 - any day after all others
    for pattern in row.match:
        for each in pattern if isinstance(pattern, list) else [pattern]:
            if each[:1] not in _TESTS:
                msg = f"the pattern {each!r} must begin with one of {' '.join(_TESTS)}"
                raise ValueError(msg)
            try:
                _fits_one(each, "")
            except re.error as error:
                msg = f"the pattern {each!r} is not a regular expression: {error}"
                raise ValueError(msg) from error
