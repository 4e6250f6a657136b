"""The budgets of sampling: check what the caller allows, and count the tokens and dollars used."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from typing import Literal, TypeAlias

from ...thunk.call import Streams
from ...thunk.thunk import AnyThunk
from ...values.backend_streams import name_of
from ...values.errors import InvalidRequest, SamplingError
from ...values.finite_numbers import is_finite

__all__ = ["Meter", "check_priced", "check_seconds", "dollars"]

#: The name of a budget that samples use up.
Spent: TypeAlias = Literal["max_tokens", "max_usd"]


class Meter:
    """The budgets of one round, and what has been used of them."""

    __slots__ = ("max_tokens", "max_usd", "tokens", "usd")

    def __init__(self, max_tokens: int | None, max_usd: Decimal | None) -> None:
        self.max_tokens = max_tokens
        self.max_usd = max_usd
        self.tokens = 0
        self.usd = Decimal(0)

    @property
    def is_limited(self) -> bool:
        """Whether there is a budget at all."""
        return self.max_tokens is not None or self.max_usd is not None

    def charge(self, thunk: AnyThunk) -> None:
        """Add what a settled thunk used.

        Raises:
            SamplingError: if there is a budget, and how much of it was used is unknown.
        """
        about = thunk.generation
        usage = about.usage
        # Without a report, only a complete answer proves that something was used: others may have broken off before.
        used = thunk.state == "done" if usage is None else not usage.is_zero
        if not used:
            return
        if self.max_tokens is not None:
            tokens = usage.total_tokens if usage is not None else None
            if tokens is None:
                raise _unknown(thunk, "did not say how many tokens it used", "max_tokens")
            self.tokens += tokens
        if self.max_usd is not None:
            if about.cost_usd is None:
                raise _unknown(thunk, "has no known price", "max_usd")
            self.usd += about.cost_usd

    def spent(self) -> Spent | None:
        """Return the name of a budget that is used up, if one is."""
        if self.max_tokens is not None and self.tokens >= self.max_tokens:
            return "max_tokens"
        if self.max_usd is not None and self.usd >= self.max_usd:
            return "max_usd"
        return None


def check_priced(backends: Iterable[Streams]) -> None:
    """Refuse backends of providers without any price, before they are asked.

    Whether the model itself has a price is only known from its answer: providers answer with dated names of models.

    Raises:
        SamplingError: with the names of provider and model.
    """
    from ...values.prices.pricelist import prices

    for backend in backends:
        route = getattr(backend, "route", None)
        provider = getattr(route, "provider", None)
        if isinstance(provider, str) and prices().provider(provider) is None:
            model = getattr(route, "model", None)
            msg = (
                f"provider {provider!r} of model {model!r} has no known prices, so max_usd cannot be kept; leave it out"
            )
            raise SamplingError(msg, model=model, provider=provider)


def _unknown(thunk: AnyThunk, what: str, budget: Spent) -> SamplingError:
    about = thunk.generation
    model = about.response_model or about.model
    msg = (
        f"model {model!r} of {about.provider or name_of(thunk.call.backend)} {what}, so {budget} cannot be kept; "
        f"leave {budget} out, or make it known"
    )
    return SamplingError(msg, model=model, provider=about.provider, partial=thunk.partial, usage=about.usage)


def check_seconds(name: str, value: object) -> None:
    """Refuse a value that is not a number of seconds above 0.

    Raises:
        InvalidRequest: with the name of the argument.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not is_finite(value) or value <= 0:
        msg = f"{name!r} must be a number of seconds above 0, not {value!r}"
        raise InvalidRequest(msg, parameter=name)


def dollars(value: Decimal | float | str | None, name: str = "max_usd") -> Decimal | None:
    """Return an amount as an exact Decimal; a float is taken as it prints. None stays None.

    Raises:
        InvalidRequest: with the name of the argument, unless the amount is above 0.
    """
    if value is None:
        return None
    amount: Decimal | None = None
    if isinstance(value, (Decimal, int, float, str)) and not isinstance(value, bool):
        try:
            amount = Decimal(str(value))
        except InvalidOperation:
            amount = None
    if amount is None or not amount.is_finite() or amount <= 0:
        msg = f"{name!r} must be an amount above 0 in USD, not {value!r}"
        raise InvalidRequest(msg, parameter=name)
    return amount
