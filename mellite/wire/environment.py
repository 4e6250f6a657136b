"""Read environment variables at each call, cheaply also where most of them are not set."""

from __future__ import annotations

import os
from functools import lru_cache

__all__ = ["variable"]


@lru_cache(maxsize=256)
def _stored_name(name: str) -> object:
    return os.environ.encodekey(name)


def variable(name: str) -> str | None:
    """Return what an environment variable holds now, or None if it is not set.

    `os.environ.get` raises and catches two exceptions for a variable that is not set, of which a call may ask for
    several. This looks into the dict behind it.

    Example:
        >>> os.environ["MELLITE_EXAMPLE"] = "1"
        >>> variable("MELLITE_EXAMPLE"), variable("MELLITE_NOT_SET")
        ('1', None)
    """
    try:
        stored = os.environ._data.get(_stored_name(name))  # type: ignore[attr-defined]  # noqa: SLF001 - see above
        return None if stored is None else str(os.environ.decodevalue(stored))
    except AttributeError:  # something else stands in for the environment
        return os.environ.get(name)
