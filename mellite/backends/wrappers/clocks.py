"""What tells the time and waits, for everything that retries, limits or remembers; a test gives one of its own."""

from __future__ import annotations

import time
from typing import Any, Final, Protocol, final, runtime_checkable

from ... import loops
from ...values.errors import InvalidRequest

__all__ = ["SYSTEM", "Clock", "checked_clock"]


@runtime_checkable
class Clock(Protocol):
    """A clock. All backends that share one may use it from any loop and thread."""

    def now(self) -> float:
        """Return the seconds since some moment; never runs backwards."""
        ...

    def wall(self) -> float:
        """Return the seconds since 1970."""
        ...

    async def sleep(self, seconds: float, /) -> None:
        """Wait so long; cancellation ends it at once."""
        ...


@final
class _SystemClock:
    """The clock of the machine, on asyncio and trio."""

    now = staticmethod(time.monotonic)
    wall = staticmethod(time.time)

    async def sleep(self, seconds: float, /) -> None:
        """Wait so long."""
        with loops.move_on_after(seconds):
            await loops.waiter().wait()  # which nobody wakes

    def __reduce__(self) -> str:
        return "SYSTEM"

    def __repr__(self) -> str:
        return "SYSTEM"


SYSTEM: Final[Clock] = _SystemClock()


def checked_clock(clock: Any) -> Clock:
    """Return the clock that was given; that of the machine for None.

    Raises:
        InvalidRequest: for anything that is not a clock.
    """
    if clock is None:
        return SYSTEM
    if not isinstance(clock, Clock):
        msg = f"'clock' needs now(), wall() and async sleep(seconds); {type(clock).__name__} is not a clock"
        raise InvalidRequest(msg, parameter="clock")
    return clock
