"""What thunks have used and cost together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ..thunk.thunk import AnyThunk
from ..values.errors import ConfigurationError, ConnectError, RequestError
from ..values.prices.totals import Totals

__all__ = ["spent_on", "used_nothing"]

#: Errors of a request that was not sent, or that no model has answered.
_UNANSWERED: Final = (ConfigurationError, ConnectError, RequestError)


def spent_on(thunks: Iterable[AnyThunk], *, priced: bool = True) -> Totals:
    """Add up what thunks used and cost; see `Totals` for what is unknown.

    Args:
        thunks: the thunks, settled or not.
        priced: whether to look the costs up; without that, no cost is known.

    Raises:
        ConfigurationError: if costs are looked up, and MELLITE_PRICES names a file that is no price list.
    """
    totals = Totals()
    for thunk in thunks:
        if not used_nothing(thunk):
            made = thunk.generation
            totals = totals.plus(made.usage, made.cost_usd if priced else None)
    return totals


def used_nothing(thunk: AnyThunk) -> bool:
    """Return whether no model has worked on a thunk, as far as that is certain.

    It was never started, it was not sent, or its provider refused it with an HTTP error, which none charges for.
    """
    made = thunk.generation
    if made.usage is not None:
        return False
    status = thunk.raw.status
    refused = status is not None and status >= 400
    return made.generation_id is None or refused or isinstance(thunk.error, _UNANSWERED)
