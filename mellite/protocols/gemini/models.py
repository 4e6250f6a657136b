"""Facts about the generations of Gemini, by the names of the models."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

__all__ = ["generation_of", "is_third"]

_LATEST: Final = 3  # what the aliases mean by now, or more


@lru_cache(maxsize=256)
def generation_of(model: str | None) -> int | None:
    """Return the number after ``gemini-``; None for tuned models and other families.

    Example:
        >>> generation_of("gemini-2.5-flash"), generation_of("models/gemini-flash-latest"), generation_of("gemma-3")
        (2, 3, None)
    """
    found = re.search(r"(?:^|/)gemini-(?:(\d+)|.*latest$)", model or "")
    return None if found is None else int(found[1] or _LATEST)


@lru_cache(maxsize=256)
def is_third(model: str | None) -> bool:
    """Tell whether the model insists on thought signatures, and takes media inside of tool results."""
    return (generation_of(model) or 0) >= 3
