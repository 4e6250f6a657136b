"""Async work that observers leave behind, awaited by the code that told them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias, final

import anyio

__all__ = ["Lateness", "Later"]

#: What an observer leaves to be awaited, by whoever told it. What it raises is raised there.
Later: TypeAlias = Callable[[], Awaitable[None]]


@final
class Lateness:
    """The async work that the observers of one activity left, in order.

    Attributes:
        failure: the first error of what was awaited.
    """

    __slots__ = ("_lock", "_waiting", "failure", "when_late")

    def __init__(self) -> None:
        self._waiting: list[Later] = []
        self._lock = anyio.Lock()
        self.failure: Exception | None = None
        self.when_late: Callable[[], object] | None = None

    @property
    def is_late(self) -> bool:
        """Whether something waits, or is being awaited."""
        return bool(self._waiting)

    def add(self, later: Later) -> None:
        """Leave something to be awaited."""
        self._waiting.append(later)
        if self.when_late is not None and len(self._waiting) == 1:
            self.when_late()

    async def catch_up(self) -> None:
        """Await all that waits; keep the first error."""
        async with self._lock:
            while self._waiting:
                try:
                    await self._waiting[0]()
                except Exception as error:
                    self.failure = self.failure or error
                finally:
                    del self._waiting[0]

    async def check(self) -> None:
        """Await all that waits, and raise the first error, once."""
        await self.catch_up()
        failure, self.failure = self.failure, None
        if failure is not None:
            try:
                raise failure
            finally:
                del failure, self  # see "Cycles" in `mellite.thunk`
