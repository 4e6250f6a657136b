"""Budgets of sampling: checks what a caller allows, and counts the tokens and dollars that samples used."""

from __future__ import annotations

import math
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from typing import Any, Literal, TypeAlias

from ...thunk.call import Streams, name_of
from ...thunk.thunk import AnyThunk
from ...values.errors import InvalidRequest, SamplingError

__all__ = ["Meter", "check_count", "check_priced", "check_seconds", "dollars"]

#: A budget that samples use up.
Spent: TypeAlias = Literal["max_tokens", "max_usd"]


class Meter:
    """What the samples of one run have used, against what they may."""

    __slots__ = ("max_tokens", "max_usd", "tokens", "usd")

    def __init__(self, max_tokens: int | None, max_usd: Decimal | None) -> None:
        self.max_tokens = max_tokens
        self.max_usd = max_usd
        self.tokens = 0
        self.usd = Decimal(0)

    def charge(self, thunk: AnyThunk) -> None:
        """Count what a settled thunk used.

        Raises:
            SamplingError: if that is not known, and there is a budget for it.
        """
        about = thunk.generation
        usage = about.usage
        # A generation that broke off before its provider reported anything is no proof of use; a whole one is.
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
        """The budget of which nothing is left, if there is one."""
        if self.max_tokens is not None and self.tokens >= self.max_tokens:
            return "max_tokens"
        if self.max_usd is not None and self.usd >= self.max_usd:
            return "max_usd"
        return None


def check_priced(backends: Iterable[Streams]) -> None:
    """Refuse backends of providers that have no prices at all, before they are asked.

    Whether a model has a price is only certain when it has answered: providers answer with dated names.

    Raises:
        SamplingError: naming provider and model.
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


def check_count(name: str, value: Any, *, least: int = 1) -> None:
    """Refuse what is not a whole number of at least `least`.

    Raises:
        InvalidRequest: naming the argument.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        msg = f"{name!r} must be a whole number of at least {least}, not {value!r}"
        raise InvalidRequest(msg, parameter=name)


def check_seconds(name: str, value: Any) -> None:
    """Refuse what is not a number of seconds above 0.

    Raises:
        InvalidRequest: naming the argument.
    """
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value <= 0:
        msg = f"{name!r} must be a number of seconds above 0, not {value!r}"
        raise InvalidRequest(msg, parameter=name)


def dollars(value: Decimal | float | str | None) -> Decimal | None:
    """An amount above 0, exact: a float counts as what it prints as.

    Raises:
        InvalidRequest: for anything else.
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
        msg = f"'max_usd' must be an amount above 0 in USD, not {value!r}"
        raise InvalidRequest(msg, parameter="max_usd")
    return amount
