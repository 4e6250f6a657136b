"""Numbers that a float can hold, told without converting them."""

from __future__ import annotations

import sys
from typing import Final

__all__ = ["is_finite"]

_LARGEST: Final = sys.float_info.max


def is_finite(number: float) -> bool:
    """Return whether a number is neither NaN nor infinite, nor an integer too large for a float.

    `math.isfinite` raises OverflowError for such an integer.

    Example:
        >>> is_finite(0.5), is_finite(float("nan")), is_finite(10**400)
        (True, False, False)
    """
    return -_LARGEST <= number <= _LARGEST
