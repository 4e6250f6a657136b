"""Whether a function is async, told without calling it."""

from __future__ import annotations

from functools import partial
from typing import Any

from mellite.values.callables import is_async


async def later(a: int = 0) -> int:
    """An async function."""
    return a


class Later:
    """An object with an async call, and an async method."""

    async def __call__(self) -> None:
        """Async."""

    async def method(self) -> None:
        """Async, too."""


class Now:
    """An object with a call."""

    def __call__(self) -> Any:
        """Plain."""
        return later()


def test_async_functions() -> None:
    """Functions, methods, partials of partials and objects."""
    for function in (later, partial(later), partial(partial(later, 1)), Later(), Later().method, partial(Later())):
        assert is_async(function), function
    for function in (len, str, Now(), partial(Now()), Later, lambda: later(1)):
        assert not is_async(function), function
