"""Amounts of money, exact whatever decimal context the caller has set."""

from __future__ import annotations

from decimal import Context, Decimal
from typing import Final, cast

__all__ = ["EXACT", "plain"]

#: More digits than any cost or sum of costs has.
EXACT: Final = Context(prec=100)


def plain(amount: Decimal) -> Decimal:
    """Return the same number without zeros at its end, and never as 1E+2.

    Example:
        >>> plain(Decimal("1.500")), plain(Decimal("1E+2"))
        (Decimal('1.5'), Decimal('100'))
    """
    short = amount.normalize(EXACT)
    return Decimal(int(short)) if cast("int", short.as_tuple().exponent) > 0 else short
