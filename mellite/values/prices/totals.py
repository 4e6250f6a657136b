"""Totals: what several generations used and cost together, by one rule wherever they are added up.

What is unknown makes the sum unknown. The sum of what is known is then a lower bound, and says so.
"""

from __future__ import annotations

from decimal import Decimal

from attrs import frozen

from ..usage import Usage
from .amounts import EXACT

__all__ = ["Totals"]


@frozen(kw_only=True)
class Totals:
    """The usage and the cost of a number of generations together.

    A generation that broke off before its provider reported any usage is `unmetered` and `unpriced`: what it used
    is unknown, not nothing.

    Args:
        usage: the tokens of all that report them, a lower bound if some are unmetered; None if none reports any.
        unmetered: how many generations report no usage.
        known_cost_usd: what those of known cost have cost, in USD, a lower bound if some are unpriced; None of none.
        unpriced: of how many generations the cost is unknown.

    Example:
        >>> one = Totals().plus(Usage.of(input_tokens=5, output_tokens=2), Decimal("0.25"))
        >>> one.cost_usd, one.is_lower_bound
        (Decimal('0.25'), False)
        >>> both = one.plus(None, None)
        >>> both.cost_usd, both.known_cost_usd, both.is_lower_bound
        (None, Decimal('0.25'), True)
    """

    usage: Usage | None = None
    unmetered: int = 0
    known_cost_usd: Decimal | None = None
    unpriced: int = 0

    @property
    def cost_usd(self) -> Decimal | None:
        """The cost of all of them, in USD, exact; None if the cost of one is unknown."""
        return None if self.unpriced else self.known_cost_usd

    @property
    def is_lower_bound(self) -> bool:
        """Whether more was used or paid than `usage` and `known_cost_usd` say."""
        return bool(self.unmetered or self.unpriced)

    def plus(self, usage: Usage | None, cost_usd: Decimal | None) -> Totals:
        """Return these totals with one more generation in them.

        Args:
            usage: what it used; None if that is unknown. A report of zero tokens is free at any price.
            cost_usd: what it cost; None if that is unknown.
        """
        known = self.known_cost_usd
        if cost_usd is not None:
            known = cost_usd if known is None else EXACT.add(known, cost_usd)
        is_unpriced = cost_usd is None and (usage is None or not usage.is_zero)
        return Totals(
            usage=self.usage if usage is None else usage if self.usage is None else self.usage + usage,
            unmetered=self.unmetered + (usage is None),
            known_cost_usd=known,
            unpriced=self.unpriced + is_unpriced,
        )
