"""The usage and the cost of many thunks together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Final

from ..thunk.thunk import AnyThunk
from ..values.errors import CircuitOpen, ConfigurationError, ConnectError, MelliteError, RequestError
from ..values.prices.totals import Totals
from ..values.records import GenerationMetadata
from ..values.usage import Usage

__all__ = ["failed_attempts", "spent_on", "used_nothing"]

#: The HTTP status from which on an answer is a refusal.
_REFUSED: Final = 400

#: Errors of a request that was not sent, or that no model has answered.
_UNANSWERED: Final = (CircuitOpen, ConfigurationError, ConnectError, RequestError)


def spent_on(thunks: Iterable[AnyThunk], *, priced: bool = True) -> Totals:
    """Add up what thunks used and cost; see `Totals` for what is unknown.

    Args:
        thunks: the thunks, settled or not.
        priced: whether to look the costs up; without that, no cost is known.

    Raises:
        ConfigurationError: if costs are looked up, and MELLITE_PRICES names a file that is not a price list.
    """
    totals = Totals()
    for thunk in thunks:
        made = thunk.generation
        if not used_nothing(thunk):
            totals = totals.plus(made.usage, made.cost_usd if priced else None)
        for usage, cost in failed_attempts(made, priced=priced):
            totals = totals.plus(usage, cost)
    return totals


def failed_attempts(made: GenerationMetadata, *, priced: bool = True) -> Iterator[tuple[Usage | None, Decimal | None]]:
    """Give what attempts used and cost that failed before the last one, as far as it is known.

    Raises:
        ConfigurationError: as `spent_on` does.
    """
    for failure in made.failures:
        if not isinstance(failure, MelliteError) or isinstance(failure, _UNANSWERED):
            continue
        if failure.usage is None and failure.status is not None and failure.status >= _REFUSED:
            continue
        one = GenerationMetadata(
            provider=failure.provider, model=failure.model, usage=failure.usage, started_at=made.started_at
        )
        yield failure.usage, one.cost_usd if priced else None


def used_nothing(thunk: AnyThunk) -> bool:
    """Return whether no model has worked on a thunk, as far as that is certain.

    It was never started, it was not sent, or its provider refused it with an HTTP error, which none charges for.
    """
    made = thunk.generation
    if made.usage is not None:
        return False
    status = thunk.raw.status
    refused = status is not None and status >= _REFUSED
    return made.generation_id is None or refused or isinstance(thunk.error, _UNANSWERED)
