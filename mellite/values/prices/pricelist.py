"""The price list: a dated snapshot of what providers charge, found by provider and model, or a file of your own.

A file of your own, named by MELLITE_PRICES, is used in place of the snapshot. It may be as short as this, in USD per
million tokens (web searches and requests: per thousand), and as long as price_data/snapshot.json, which shows the rest:

    {
      "version": 1,
      "date": "2026-11-21",
      "providers": {
        "acme": {
          "models": {
            "acme-large": {
              "match": ["=acme-large", "^acme-large-2"],
              "context_window": 200000,
              "prices": [
                {"input": 2, "cache_read": "0.20", "output": [8, 200000, 12]},
                {"from": "2027-01-01", "input": 1, "output": 4}
              ]
            }
          }
        }
      }
    }
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, time
from decimal import Decimal
from functools import cache
from typing import Final, NamedTuple, TypeVar

import msgspec

from ..errors import ConfigurationError
from ..usage import Usage
from .batches import BATCH, batch_share
from .price import PER_THOUSAND, Place, Price, Rate, billed, charged, place, shared
from .price_file import ModelRow, PriceFile, ProviderRow, check, fits

__all__ = ["PriceList", "prices"]

_DATA: Final = os.path.join(os.path.dirname(__file__), "price_data")
SNAPSHOT: Final = os.path.join(_DATA, "snapshot.json")

#: Provider -> model -> how many tokens it takes. Apart, so that what prices cost to read stays as it is.
_WINDOWS: Final = os.path.join(_DATA, "context_windows.json")

#: What providers call the ordinary way of serving an answer.
_ORDINARY: Final = frozenset({"", "default", "standard", "auto", "on_demand"})


def _share(provider: str, ways: Mapping[str, str]) -> Decimal | None:
    """Return the share of the ordinary price for these ways of being served; None if that is not known."""
    return batch_share(provider) if ways == {"service_tier": BATCH} else None


def _at_share(share: Decimal | None, rates: dict[str, Rate]) -> dict[str, Rate]:
    """Return prices of tokens at a share; searches and requests have no discount."""
    if share is None:
        return rates
    return {unit: rate if unit in PER_THOUSAND else shared(rate, share) for unit, rate in rates.items()}


_COMPACT_DATE: Final = re.compile(r"-(20\d\d)(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?=-|:|$)")


def _spellings(model: str) -> Iterator[str]:
    """Return the names to look for: as given, without a path or ARN around it, with its date as OpenAI writes dates."""
    name = model.strip().lower()
    yield name
    bare = name.rpartition("/")[2] if name.startswith("arn:") else name.rpartition("models/")[2]
    if bare != name:
        yield bare
    dashed = _COMPACT_DATE.sub(r"-\1-\2-\3", bare)
    if dashed != bare:
        yield dashed


def _utc(at: datetime) -> datetime:
    """Return the time in UTC, without a time zone; a time without one is taken as UTC."""
    return at if at.tzinfo is None else at.astimezone(UTC).replace(tzinfo=None)


class _Found(NamedTuple):
    """A model, at the provider that sells it."""

    provider: str
    model: str
    row: ModelRow


_T = TypeVar("_T")

#: How many names to remember the place of.
_MOST_KEPT: Final = 4096


class PriceList:
    """A price list of models, as of a day. Made by `prices`, which reads a file once.

    Attributes:
        date: the day of the snapshot.
        source: where the prices come from.
        path: the file.

    Example:
        >>> prices().find("gpt-4o-2024-08-06", "openai").model
        'gpt-4o'
    """

    def __init__(self, data: bytes, path: str) -> None:
        self.path = path
        file = self._read(data, PriceFile)
        if file.version != 1:
            msg = f"it has version {file.version}, and this mellite reads version 1"
            raise _damaged(path, msg)
        self.date = file.date
        self.source = file.source
        self._raw = file.providers
        self._names = {**file.known_as, **{id.lower(): id for id in file.providers}}
        self._providers: dict[str, ProviderRow] = {}
        self._found: dict[tuple[str, str], _Found | None] = {}
        self._made: dict[tuple[object, ...], Price] = {}

    def __repr__(self) -> str:
        return f"<PriceList of {self.date} from {self.source or self.path!r}>"

    @property
    def providers(self) -> Sequence[str]:
        """The providers, by the names that the list has for them."""
        return list(self._raw)

    def provider(self, name: str) -> str | None:
        """Return what the list calls a provider; None if it has no prices of it.

        Example:
            >>> prices().provider("bedrock"), prices().provider("my own computer")
            ('aws', None)
        """
        return self._names.get(name) or self._names.get(name.strip().lower().replace("_", "-"))

    def models(self) -> Iterator[tuple[str, str]]:
        """Yield every provider and model of the list."""
        for provider in self._raw:
            for model in self._provider(provider).models:
                yield provider, model

    def find(
        self, model: str, provider: str, *, at: datetime | None = None, served: Mapping[str, str | None] | None = None
    ) -> Price | None:
        """Return the price of a model at a provider; None if it is unknown.

        Args:
            model: an id as the provider writes it, dated or not, or one of its aliases.
            provider: mellite's name for the provider, or the price list's.
            at: when it was used; the day of the snapshot if it is not given.
            served: how it was served, where that has a price: ``{"service_tier": "flex"}``.

        Example:
            >>> prices().find("gpt-4o-mini", "openai").rates["cache_read"]
            Decimal('0.075')
            >>> prices().find("gpt-4o-mini", "my own computer") is None
            True
        """
        id = self.provider(provider)
        found = self._lookup(id, model) if id is not None else None
        return None if found is None else self._price(found, at, served or {})

    def search(self, model: str, *, at: datetime | None = None) -> list[Price]:
        """Return the prices of a model at every provider that has it under this name."""
        found = [self._lookup(id, model) for id in self._raw]
        made = [self._price(each, at, {}) for each in found if each is not None]
        return [price for price in made if price is not None]

    def context_window(self, model: str, provider: str) -> int | None:
        """Return how many tokens a model takes, prompt and answer together; None if it is unknown.

        Args:
            model: an id as the provider writes it, dated or not, or one of its aliases.
            provider: mellite's name for the provider, or the price list's.

        Example:
            >>> prices().context_window("gpt-4o-mini-2024-07-18", "openai")
            128000
        """
        id = self.provider(provider)
        found = self._lookup(id, model) if id is not None else None
        if found is None or id is None:
            return None
        if found.row.context_window is not None or self.path != SNAPSHOT:
            return found.row.context_window
        known = (_windows().get(owner, {}).get(found.model) for owner in (id, *self._provider(id).also))
        return next((window for window in known if window is not None), None)

    def cost(
        self,
        usage: Usage,
        *,
        provider: str | None,
        models: Sequence[str | None],
        at: datetime | None = None,
        served: Mapping[str, str | None] | None = None,
    ) -> Decimal | None:
        """Return what an answer cost, in USD, exact: by the provider's own bill if it sent one, else by the price list.

        Args:
            usage: what was used.
            provider: who answered; the cost is unknown without it.
            models: the ids that the model goes by; the first that has a price counts.
            at: when it was generated; the day of the snapshot if it is not given.
            served: how it was served, where that has a price; a way without a price makes the cost unknown.

        Returns:
            None if the price, or a count that it needs, is unknown; never 0 for that.
        """
        id = self.provider(provider) if provider is not None else None
        if id is None:
            return None
        paid = billed(id, usage.raw) if usage.raw is not None else None
        if paid is not None:
            return paid
        for model in models:
            found = self._lookup(id, model) if model else None
            if found is not None:
                price = self._price(found, at, served or {})
                return None if price is None else price.cost(charged(id, usage))
        return None

    # Finding

    def _provider(self, id: str) -> ProviderRow:
        known = self._providers.get(id)
        if known is None:
            known = self._providers[id] = self._read(self._raw[id], ProviderRow, f"provider {id!r}: ")
        return known

    def _lookup(self, id: str, model: str) -> _Found | None:
        key = (id, model)
        if key not in self._found:
            if len(self._found) >= _MOST_KEPT:
                self._found.clear()
            self._found[key] = self._search(id, model)
        return self._found[key]

    def _search(self, id: str, model: str) -> _Found | None:
        # A name as it is before one that was made of it; a provider's own models before those of others that it sells.
        for name in _spellings(model):
            for owner in (id, *self._provider(id).also):
                for known, row in self._provider(owner).models.items():
                    if fits(row.match or ["=" + known.lower()], name):
                        return _Found(id, known, row)
        return None

    # Prices

    def _price(self, found: _Found, at: datetime | None, served: Mapping[str, str | None]) -> Price | None:
        provider, model, row = found
        ways = {
            key: value for key, value in served.items() if isinstance(value, str) and value.lower() not in _ORDINARY
        }
        point, share, chosen = 0, None, []
        if len(row.prices) > 1 or ways:
            now = datetime.combine(self.date, time()) if at is None else _utc(at)
            point = next((index for index in reversed(range(len(row.prices))) if row.prices[index].applies(now)), 0)
            chosen = [
                index
                for index, variant in enumerate(row.variants)
                if variant.when.items() <= ways.items() and variant.applies(now)
            ]
            unpriced = ways.keys() - {key for index in chosen for key in row.variants[index].when}
            share = _share(provider, {key: ways[key] for key in unpriced})
            if unpriced and share is None:
                return None  # served in a way that has no price here
        key = (provider, model, id(row), point, share, *chosen)
        made = self._made.get(key)
        if made is None:
            points = [row.prices[point], *(row.variants[index] for index in chosen)]
            rates = _at_share(share, {unit: rate for each in points for unit, rate in each.rates().items()})
            places = {unit: self._places(provider, unit) for unit in rates}
            made = self._made[key] = Price(provider, model, rates=rates, places=places)
        return made

    def _places(self, provider: str, unit: str) -> tuple[Place, ...]:
        paths = [
            path
            for owner in (provider, *self._provider(provider).also)
            for path in self._provider(owner).counts.get(unit, ())
        ]
        return tuple(place(path) for path in dict.fromkeys(paths))

    # Reading

    def check(self) -> None:
        """Read all prices, so that a mistake in the file is found now.

        Raises:
            ConfigurationError: naming the file, and what is wrong with it.
        """
        for name, id in self._names.items():
            if id not in self._raw:
                msg = f"{name!r} is known as {id!r}, which is not there"
                raise _damaged(self.path, msg)
        for id in self._raw:
            provider = self._provider(id)
            for other in provider.also:
                if other not in self._raw:
                    msg = f"provider {id!r} sells the models of {other!r}, which is not there"
                    raise _damaged(self.path, msg)
            for name, row in provider.models.items():
                try:
                    check(row)
                except ValueError as error:
                    msg = f"model {name!r} of {id!r}: {error}"
                    raise _damaged(self.path, msg) from error

    def _read(self, data: bytes | msgspec.Raw, kind: type[_T], where: str = "") -> _T:
        try:
            return msgspec.json.decode(data, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise _damaged(self.path, where + str(error)) from error


def _damaged(path: str, what: str) -> ConfigurationError:
    return ConfigurationError(f"the price list {path!r} cannot be used: {what}")


@cache
def _windows() -> Mapping[str, Mapping[str, int]]:
    try:
        with open(_WINDOWS, "rb") as file:
            return msgspec.json.decode(file.read(), type=dict[str, dict[str, int]])
    except (OSError, msgspec.MsgspecError) as error:
        msg = f"{_WINDOWS!r}, a part of mellite, cannot be read; install mellite again: {error}"
        raise ConfigurationError(msg) from error


_read: Final[dict[str, PriceList]] = {}


def prices(path: str | os.PathLike[str] | None = None) -> PriceList:
    """Return the price list in use: of this file, else of the variable MELLITE_PRICES, else mellite's snapshot.

    A file is read once per process.

    Raises:
        ConfigurationError: if the file cannot be read, or is not a price list.

    Example:
        >>> prices().find("claude-opus-4-5-20251101", "anthropic").rates["output"]
        Decimal('25')
    """
    chosen = os.fspath(path or os.environ.get("MELLITE_PRICES") or SNAPSHOT)
    known = _read.get(chosen)
    return known if known is not None else _read.setdefault(chosen, _from_file(chosen))


def _from_file(path: str) -> PriceList:
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        msg = f"the price list {path!r} cannot be read: {error.strerror or error}"
        raise ConfigurationError(msg) from error
    made = PriceList(data, path)
    if path != SNAPSHOT:
        made.check()  # the snapshot is checked when it is made
    return made
