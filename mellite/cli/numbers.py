"""Amounts that are given to commands: what is not a number, or too small, is named together with its option."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final, final

import click

if TYPE_CHECKING:
    _Type = click.ParamType[Decimal]
else:
    _Type = click.ParamType  # of which click 8.2 has one kind only

__all__ = ["ABOVE_0", "FROM_0"]


@final
class _Amount(_Type):
    """A finite number from 0 on, as `Decimal`."""

    name = "number"

    def __init__(self, *, is_0_allowed: bool) -> None:
        self._is_0_allowed = is_0_allowed

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        """Return the number."""
        try:
            number = Decimal(value)
        except InvalidOperation:
            number = Decimal("nan")
        if not number.is_finite() or number < 0 or (not number and not self._is_0_allowed):
            wanted = "from 0 on" if self._is_0_allowed else "above 0"
            self.fail(f"{value!r} is not a number {wanted}", param, ctx)
        return number


#: A number that is larger than 0, as of requests a minute.
ABOVE_0: Final = _Amount(is_0_allowed=False)

#: An amount, which may be 0, as of USD.
FROM_0: Final = _Amount(is_0_allowed=True)
