"""The interface of an engine with workers, such as Dask and Ray: the list of workers, and a desk on each."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from ..values.errors import ConnectionLost

__all__ = ["Crew", "DeskThere", "WorkerLost"]


class WorkerLost(ConnectionLost):
    """A worker was lost while it had a call."""


class DeskThere(Protocol):
    """A `mellite.engine.working.Desk` on a worker, reached from here; any method raises if the worker is lost."""

    async def give(self, data: bytes) -> None:
        """Have it begin calls."""
        ...

    async def take(self, wait: float) -> bytes:
        """Fetch answers."""
        ...

    async def cancel(self, numbers: Sequence[int]) -> None:
        """Have it stop calls."""
        ...

    async def close(self) -> None:
        """Have it stop everything, and give it up."""
        ...


class Crew(Protocol):
    """The workers of one engine, for one map.

    Attributes:
        name: that of the engine.
    """

    @property
    def name(self) -> str:
        """The name of the engine."""
        ...

    def launch(self, begin: Callable[[], None], fail: Callable[[Exception], None]) -> None:
        """Connect without blocking; then have `begin` called in the loop in which all other methods are called."""
        ...

    async def addresses(self) -> Collection[str]:
        """Return the workers that there are now."""
        ...

    async def version(self, address: str) -> str | None:
        """Return the version of mellite that a worker has; None if it has none."""
        ...

    async def desk(self, address: str) -> DeskThere:
        """Set up a desk on a worker."""
        ...

    def leave(self) -> threading.Thread | None:
        """Give up what `launch` has opened; called once, in the loop, without blocking it.

        Returns:
            The thread that does so, if there is anything; a program that ends before it breaks into that.
        """
        ...
