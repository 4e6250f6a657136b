"""Texts in messages and reprs, no longer than a line has room for."""

from __future__ import annotations

__all__ = ["shortened"]


def shortened(text: str, most: int = 80) -> str:
    """Return a text of at most so many characters: of a longer one the beginning, and three dots.

    Example:
        >>> shortened("a long word", 8), shortened("short", 8)
        ('a lon...', 'short')
    """
    return text if len(text) <= most else text[: most - 3] + "..."
