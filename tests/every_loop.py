"""The event loops by name (asyncio, uvloop, trio): a mark for tests that run on some, and a program run on one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import anyio
import pytest

Value = TypeVar("Value")

LOOPS: dict[str, tuple[str, dict[str, Any]]] = {
    "asyncio": ("asyncio", {}),
    "uvloop": ("asyncio", {"use_uvloop": True}),
    "trio": ("trio", {}),
}
"""What anyio is told for each: a backend and its options."""


def on_loops(*names: str) -> pytest.MarkDecorator:
    """Return a mark that runs an async test, or those of a file, once on each loop named.

    Without it, a test that is marked ``anyio`` runs on asyncio and on trio::

        pytestmark = [pytest.mark.anyio, on_loops("asyncio", "uvloop", "trio")]
    """
    return pytest.mark.parametrize("anyio_backend", [LOOPS[name] for name in names], ids=names)


def run_on(name: str, main: Callable[..., Awaitable[Value]], *args: object) -> Value:
    """Run an async function in a new loop of this name; return what it returns."""
    backend, options = LOOPS[name]
    return anyio.run(main, *args, backend=backend, backend_options=options)
