"""Inspect functions without calling them."""

from __future__ import annotations

import inspect
from functools import partial
from typing import Any

__all__ = ["is_async"]


def is_async(function: Any) -> bool:
    """Return whether a call is a coroutine to await, also of a partial, or of an object with an async ``__call__``.

    A plain function that returns a coroutine looks like any other.

    Example:
        >>> async def later(): ...
        >>> is_async(later), is_async(partial(later)), is_async(lambda: later())
        (True, True, False)
    """
    while isinstance(function, partial):
        function = function.func
    if isinstance(function, type):  # its ``__call__`` is that of its instances
        return False
    call = getattr(function, "__call__", None)  # noqa: B004 - not whether there is one, but which
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)
