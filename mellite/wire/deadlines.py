"""The times at which an answer that is pushed has taken too long: to begin, to go on, in all."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from ..values.options import Timeouts
from .answering import DEFAULT_TIMEOUTS

__all__ = ["Deadlines"]


@final
class Deadlines:
    """The deadlines of one answer, by the clock of its loop.

    Args:
        now: the clock.

    Attributes:
        now: the clock.
        began: when the request was sent; 0 before.
        ends: when the total timeout passes, if there is one.
        progressed: when the answer last went on.
    """

    __slots__ = ("_timeouts", "began", "ends", "now", "progressed")

    def __init__(self, now: Callable[[], float]) -> None:
        self._timeouts = DEFAULT_TIMEOUTS
        self.now = now
        self.began = 0.0
        self.ends: float | None = None
        self.progressed = 0.0

    def begin(self, timeouts: Timeouts) -> float | None:
        """Note that the request is sent; return when its answer has to have begun."""
        self._timeouts = timeouts
        self.began = self.progressed = now = self.now()
        if timeouts.total is not None:
            self.ends = now + timeouts.total
        return self._after(timeouts.first_byte)

    def next_event(self) -> float | None:
        """Return when the answer has to have gone on."""
        return self._after(self._timeouts.idle)

    def _after(self, limit: float | None) -> float | None:
        """Return the time so many seconds after the last progress, or that of the total timeout if it is earlier."""
        deadline = None if limit is None else self.progressed + limit
        ends = self.ends
        return ends if ends is not None and (deadline is None or ends < deadline) else deadline
