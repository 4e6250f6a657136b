"""A clock for tests: it stands until something sleeps, and says how long that wanted to."""

from __future__ import annotations

import anyio.lowlevel

START = 1_792_000_000.0
"""What the wall clock says at first: some seconds in October 2026."""


class FakeClock:
    """Time that passes in `sleep` alone.

    Attributes:
        slept: what every sleep asked for, in seconds.
    """

    def __init__(self) -> None:
        self.time = 1000.0
        self.slept: list[float] = []

    def now(self) -> float:
        """The time since some moment."""
        return self.time

    def wall(self) -> float:
        """The time since 1970."""
        return START + self.time - 1000.0

    async def sleep(self, seconds: float) -> None:
        """Let so much time pass, at once."""
        self.slept.append(seconds)
        await anyio.lowlevel.checkpoint()
        self.time += seconds
