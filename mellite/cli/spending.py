"""Refuse a call that would cost too much, by an estimate, before anything is sent."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Final, NoReturn

from ..values.errors import InvalidRequest
from ..values.usage import Usage

if TYPE_CHECKING:
    from ..thunk.thunk import AnyThunk
    from ..values.prices.price import Price

__all__ = ["OUTPUT", "check_cost"]

#: How many tokens an answer is taken to have, where nothing says how long it may be.
OUTPUT: Final = 1000


def check_cost(thunk: AnyThunk, most: str) -> None:
    """Refuse a thunk whose answer is estimated to cost more than so much.

    Args:
        thunk: what would be generated.
        most: USD, as it was typed.

    Raises:
        InvalidRequest: if it is above, if no price is known, or if *most* is not an amount.
    """
    from ..values.tokens import count_tokens

    limit = _amount(most)
    request = thunk.call.request
    price = _price(thunk)
    given = request.options.max_tokens
    sent, answered = int(count_tokens(request, model=price.model)), given or OUTPUT
    cost = price.cost(Usage.of(input_tokens=sent, output_tokens=answered, reasoning_tokens=0))
    if cost is None:
        _unknown(f"{price.provider}:{price.model}")
    if cost > limit:
        assumed = "" if given else " (say --max-tokens if it is another number)"
        msg = (
            f"nothing was sent: {sent:,} tokens of input and {answered:,} of output{assumed} are estimated at "
            f"{cost:f} USD, which is above --max-usd {most}"
        )
        raise InvalidRequest(msg, parameter="max_usd")


def _price(thunk: AnyThunk) -> Price:
    """Return the price of the model that a thunk asks.

    Raises:
        InvalidRequest: if it is not known.
    """
    from ..backends.live import LiveBackend
    from ..values.prices.pricelist import prices

    backend = thunk.call.backend
    if not isinstance(backend, LiveBackend):
        _unknown("answers that no provider gives")
    provider, model = backend.route.provider, thunk.call.request.model or backend.route.model
    found = prices().find(model, provider, at=datetime.now(UTC)) if model is not None else None
    return found if found is not None else _unknown(f"{provider}:{model or ''}")


def _unknown(what: str) -> NoReturn:
    msg = f"nothing was sent: the price of {what} is not known, so --max-usd cannot be kept; leave it out"
    raise InvalidRequest(msg, parameter="max_usd")


def _amount(text: str) -> Decimal:
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or amount < 0:
        msg = f"--max-usd must be an amount of USD, such as 0.05, not {text!r}"
        raise InvalidRequest(msg, parameter="max_usd")
    return amount
