"""estimate(): how many batches calls would be, and what they would cost, at full price and in batches."""

from __future__ import annotations

from contextlib import aclosing
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from attrs import field, frozen

from ...backends.live import LiveBackend
from ...thunk.thunk import AnyThunk
from ...values.prices.batches import batch_share
from ...values.prices.pricelist import prices
from ...values.public_names import publish
from ...values.tokens import count_tokens
from ...values.usage import Usage
from .limits import limits_of
from .lines import custom_id_of, request_line
from .places import checked_backend, place_of, request_in_batch
from .splitting import Filling
from .submitting import Items, each_of

__all__ = ["OUTPUT", "Estimate", "estimate"]

#: How many tokens an answer is taken to have, where nothing says how long it may be.
OUTPUT: Final = 1000


@frozen(kw_only=True)
class Estimate:
    """An estimate of the number of batches that some calls would make, and of their cost.

    Args:
        requests: how many calls there are.
        batches: how many batches they make.
        bytes: the size of the files.
        input_tokens: the estimated tokens of the calls.
        output_tokens: the tokens of the answers if each has ``max_tokens``, or 1,000 if that is not given.
        live_usd: the cost as single calls, in USD; None if a price is unknown.
        batch_usd: the cost in batches, in USD; None if a price, or a provider's discount, is unknown.
    """

    requests: int
    batches: int
    bytes: int
    input_tokens: int
    output_tokens: int
    live_usd: Decimal | None = field(default=None)
    batch_usd: Decimal | None = field(default=None)

    @property
    def saving_usd(self) -> Decimal | None:
        """The saving against single calls, in USD; None if it is unknown."""
        return None if self.live_usd is None or self.batch_usd is None else self.live_usd - self.batch_usd


class _Adding:
    """The counts so far."""

    def __init__(self) -> None:
        self.requests = self.batches = self.bytes = self.sent = self.answered = 0
        self.live: Decimal | None = Decimal(0)
        self.batch: Decimal | None = Decimal(0)
        self._open: dict[tuple[Any, ...], Filling] = {}

    def add(self, thunk: AnyThunk, backend: LiveBackend) -> None:
        route, request = backend.route, thunk.call.request
        http = route.compiled(request_in_batch(request), offline=True).http
        place = place_of(route, http, request.model)
        size = len(request_line(place.format, custom_id_of(""), url=place.path, body=http.body))
        kind = (place, tuple(sorted(http.headers.items())))
        filling = self._open.get(kind)
        if filling is None or not filling.takes(size):
            filling = self._open[kind] = Filling(limits_of(place.provider))
            filling.takes(size)
            self.batches += 1
        self.requests += 1
        self.bytes += size + 1
        self._price(thunk, backend)

    def _price(self, thunk: AnyThunk, backend: LiveBackend) -> None:
        request, route = thunk.call.request, backend.route
        model = request.model or route.model or ""
        price = prices().find(model, route.provider, at=datetime.now(UTC))
        sent = int(count_tokens(request, model=model if price is None else price.model))
        answered = request.options.max_tokens or route.options.max_tokens or OUTPUT
        self.sent += sent
        self.answered += answered
        usage = Usage.of(input_tokens=sent, output_tokens=answered, reasoning_tokens=0)
        cost = None if price is None else price.cost(usage)
        share = batch_share(route.provider)
        self.batch = None if self.batch is None or cost is None or share is None else self.batch + cost * share
        self.live = None if self.live is None or cost is None else self.live + cost


async def estimate(items: Items) -> Estimate:
    """Return how many batches some calls would make, and their cost. Nothing is sent, and no key is needed.

    Args:
        items: thunks of one or several providers.

    Raises:
        InvalidRequest: as `submit` does.

    Example:
        >>> import asyncio, mellite
        >>> backend = mellite.backend("openai:gpt-4o-mini", api_key="sk-test")
        >>> thunks = [backend.generate(f"Describe river {number}.", max_tokens=100) for number in range(1000)]
        >>> found = asyncio.run(estimate(thunks))
        >>> found.requests, found.batches, found.batch_usd == found.live_usd / 2
        (1000, 1, True)
    """
    adding = _Adding()
    async with aclosing(each_of(items)) as thunks:
        async for thunk in thunks:
            adding.add(thunk, checked_backend(thunk))
    return Estimate(
        requests=adding.requests,
        batches=adding.batches,
        bytes=adding.bytes,
        input_tokens=adding.sent,
        output_tokens=adding.answered,
        live_usd=adding.live,
        batch_usd=adding.batch,
    )


publish(globals(), "mellite.engine.batch", "Estimate", "estimate")
