"""Compare two answers: exactly, as numbers, or by their words."""

from __future__ import annotations

import re
from collections import Counter
from decimal import Decimal, InvalidOperation
from typing import Final

__all__ = ["closeness", "number_in", "same_text", "word_overlap"]

_NUMBER: Final = re.compile(
    r"(?<![\w.])[-+\u2212]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:(?<=\d)\.\d+|\.\d+|(?<=\d))(?:[eE][-+]?\d+)?"
)


def number_in(text: str) -> Decimal | None:
    """Return the last number in a text, which is where answers put their result; None if there is none.

    Example:
        >>> number_in("6 times 7 makes 42.0."), number_in("1,024"), number_in("none")
        (Decimal('42.0'), Decimal('1024'), None)
    """
    found = _NUMBER.findall(text)
    if not found:
        return None
    try:
        return Decimal(found[-1].replace(",", "").replace("\u2212", "-"))
    except InvalidOperation:  # the exponent is too large for Decimal
        return None


def same_text(one: str, other: str) -> float:
    """Return 1.0 if the texts are equal, white space around them aside, else 0.0."""
    return float(one.strip() == other.strip())


def closeness(one: str, other: str) -> float:
    """Return how close the last numbers of two texts are: 1 minus their difference relative to the larger one.

    The lowest value is 0.0, also for a text without a number.

    Example:
        >>> closeness("it is 42", "42.0"), closeness("10", "9"), closeness("10", "-10")
        (1.0, 0.9, 0.0)
    """
    first, second = number_in(one), number_in(other)
    if first is None or second is None:
        return 0.0
    if first == second:
        return 1.0
    size = max(abs(float(first)), abs(float(second)))
    apart = abs(float(first) - float(second))
    return max(0.0, 1.0 - apart / size) if 0 < size < float("inf") else 0.0


def word_overlap(one: str, other: str) -> float:
    """Return the share of words that two texts have in common, in any order: the F1 score of their words.

    Example:
        >>> word_overlap("The cat sat.", "the cat sat"), word_overlap("a b", "b c"), word_overlap("a", "b")
        (1.0, 0.5, 0.0)
    """
    first, second = _words(one), _words(other)
    total = first.total() + second.total()
    return 2 * (first & second).total() / total if total else 1.0


def _words(text: str) -> Counter[str]:
    return Counter(re.findall(r"\w+", text.casefold()))
