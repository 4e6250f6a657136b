"""Limits for all calls of a map together: calls a minute, calls at once, and cost."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, final

from ..archive.journal.keeping import Journal
from ..backends.wrappers.quotas import Budget, Concurrency, Rate
from ..backends.wrappers.rate_limit import RateLimit
from ..backends.wrappers.wrapper import Wrapper, batches_of
from ..loops.rates import WINDOW
from ..thunk.call import Streams
from ..thunk.observing import Interceptor, Kind, Opener
from ..thunk.thunk import AnyThunk
from ..values.backend_streams import name_of
from ..values.errors import BudgetSpent, ConfigurationError, InvalidRequest
from ..values.events import Event
from ..values.prices.totals import Totals
from ..values.request import Request
from ..values.text_answer import Batch
from ..values.usage import spent

__all__ = ["Limits", "Purse", "checked_limits", "limits_said"]


@final
class Limits(Interceptor):
    """Has every call of a context wait for its place among those that run, and in the minute.

    Args:
        rates: how many requests and tokens may go in a minute; a call counts for each.
        concurrencies: how many calls may run at once; likewise.
    """

    def __init__(self, rates: Sequence[Rate], concurrencies: Sequence[Concurrency]) -> None:
        self._rates = tuple(rates)
        self._concurrencies = tuple(concurrencies)

    def note_before(self, kept: Journal) -> None:
        """Note the calls of the last minute that a journal has, such as those of a process that was killed."""
        counts_tokens = any(rate.meter.counts_tokens for rate in self._rates)
        recent = kept.recent(WINDOW) if self._rates else []
        made: list[tuple[float, float | None]] = []
        for age, call in recent:
            usage = call.usage if counts_tokens and call.state != "unsettled" else None
            made.append((age, None if usage is None else spent(usage).total))
        for rate in self._rates:
            rate.meter.note_before(made)

    def wrap(self, kind: Kind, backend: Streams) -> Streams | None:
        """Return the backend behind the limits; for a run None, whose steps are behind them one by one."""
        return self._limited(backend) if kind == "generation" else None

    def stream(self, generation: Any, proceed: Opener) -> AsyncIterator[Event]:
        """Open a stream behind the limits, where somebody else stands in between who opens it, such as a journal."""
        limited: Streams = self._limited(_Opened(generation, proceed))
        return limited.stream(generation.request)

    def _limited(self, backend: Any) -> Any:
        limited = backend
        for rate in self._rates:
            limited = RateLimit(limited, rate)
        for concurrency in self._concurrencies:  # outside: a place in the minute is booked when the call can go
            limited = _InPlace(limited, concurrency)
        return limited


@final
class _Opened:
    """A generation whose stream somebody else opens, as a backend."""

    def __init__(self, generation: Any, proceed: Opener) -> None:
        self._generation = generation
        self._proceed = proceed

    def stream(self, request: Request) -> AsyncIterator[Event]:
        self._generation.request = request
        return self._proceed(self._generation)

    def describe(self) -> str:
        return name_of(self._generation.call.backend)


@final
class _InPlace(Wrapper):
    """A backend whose calls wait until they may run."""

    def __init__(self, backend: Any, concurrency: Concurrency) -> None:
        super().__init__(backend)
        self._concurrency = concurrency

    async def batches(self, request: Request, *, once: bool = False) -> AsyncGenerator[Batch, None]:
        """Wait for a place, then yield the events of the answer."""
        place = self._concurrency.limit.place()
        if not place.take_if_free():
            await place.take()
        try:
            source = batches_of(self._backend, request, once=once)
            try:
                async for batch in source:
                    yield batch
            finally:
                await source.aclose()
        finally:
            place.give_back()

    def _arguments(self) -> Mapping[str, object]:
        return {"concurrency": self._concurrency}


@final
class Purse:
    """The rest of a map's budgets.

    Args:
        budgets: what may be spent; all of them hold.
    """

    __slots__ = ("_tokens", "_usd")

    def __init__(self, budgets: Sequence[Budget] = ()) -> None:
        self._usd = min((each.usd for each in budgets if each.usd is not None), default=None)
        self._tokens = min((each.tokens for each in budgets if each.tokens is not None), default=None)

    @property
    def usd(self) -> Decimal | None:
        """The budget in USD; None for no bound."""
        return self._usd

    def check(self, thunk: AnyThunk) -> None:
        """Refuse a thunk of a provider without any price under a budget in USD, before it is asked.

        Raises:
            ConfigurationError: naming provider and model.
        """
        if self._usd is None:
            return
        from ..values.prices.pricelist import prices

        route = getattr(thunk.call.asked, "route", None)
        provider = getattr(route, "provider", None)
        if isinstance(provider, str) and prices().provider(provider) is None:
            named = f"provider {provider!r} of model {getattr(route, 'model', None)!r}"
            raise _unpriced(named)

    def charged(self, totals: Totals, thunk: AnyThunk | None) -> Exception | None:
        """Return why no more is to be begun, if it is so.

        Args:
            totals: what was spent so far.
            thunk: what has settled last, to be named where its price is unknown.
        """
        if self._usd is not None:
            if totals.unpriced and thunk is not None and thunk.state == "done":
                made = thunk.generation
                return _unpriced(f"model {made.response_model or made.model!r} of {name_of(thunk.call.asked)}")
            spent = totals.known_cost_usd or Decimal(0)
            if spent >= self._usd:
                return _spent(f"{spent} USD", f"the budget of {self._usd} USD", spent, self._usd)
        if self._tokens is not None:
            tokens = (totals.usage.total_tokens if totals.usage is not None else None) or 0
            if tokens >= self._tokens:
                return _spent(f"{tokens:,} tokens", f"the budget of {self._tokens:,} tokens", tokens, self._tokens)
        return None


def _spent(what: str, of: str, spent: object, limit: object) -> BudgetSpent:
    msg = (
        f"{what} were spent of {of}: no more calls were begun; those not asked are pending, ask them with a new budget"
    )
    return BudgetSpent(msg, spent=spent, limit=limit)


def _unpriced(what: str) -> ConfigurationError:
    msg = (
        f"{what} has no known price, so a Budget in USD cannot be kept; give Budget(tokens=...), or a price list with "
        "MELLITE_PRICES"
    )
    return ConfigurationError(msg)


def checked_limits(limits: object, more: Sequence[Concurrency] = ()) -> tuple[Limits | None, Purse]:
    """Return the limits that a caller gave.

    Args:
        limits: what was given.
        more: limits that hold besides.

    Returns:
        what stands before each call, None if nothing does; and what may be spent.

    Raises:
        InvalidRequest: for anything that is not a limit.
    """
    limits = _listed(limits)
    if not isinstance(limits, (list, tuple)):
        msg = f"'limits' must be a list of mellite.Rate, mellite.Budget and mellite.Concurrency, not {limits!r:.60}"
        raise InvalidRequest(msg, parameter="limits")
    for each in limits:
        if not isinstance(each, (Rate, Budget, Concurrency)):
            msg = f"'limits' has {each!r:.60}; a limit is a mellite.Rate, mellite.Budget or mellite.Concurrency"
            raise InvalidRequest(msg, parameter="limits")
    rates = [each for each in limits if isinstance(each, Rate)]
    concurrencies = [*[each for each in limits if isinstance(each, Concurrency)], *more]
    stands = Limits(rates, concurrencies) if rates or concurrencies else None
    return stands, Purse([each for each in limits if isinstance(each, Budget)])


def _listed(limits: Any) -> Any:
    return (limits,) if isinstance(limits, (Rate, Budget, Concurrency)) else limits


def limits_said(limits: Any, concurrency: int) -> str:
    """Return the limits that hold for a map in a few words, for a line on a screen."""
    at_once = min([concurrency, *[each.most for each in _listed(limits) if isinstance(each, Concurrency)]])
    said = [f"{at_once:,} at once"]
    for each in _listed(limits):
        if isinstance(each, Rate):
            said += [f"{each.requests_per_minute:,.0f} requests/min"] if each.requests_per_minute else []
            said += [f"{each.tokens_per_minute:,.0f} tokens/min"] if each.tokens_per_minute else []
        elif isinstance(each, Budget):
            said += [f"${each.usd:,.2f}"] if each.usd is not None else []
            said += [f"{each.tokens:,} tokens"] if each.tokens is not None else []
    return "at most " + ", ".join(said)
