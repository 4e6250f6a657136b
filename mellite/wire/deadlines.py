"""The times at which an answer that is pushed has taken too long: to begin, to go on, in all."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from ..values.options import Timeouts
from .http import Sent
from .opening import DEFAULT_TIMEOUTS

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

    def begin(self, timeouts: Timeouts, since: float | None = None) -> float | None:
        """Note that the request is sent; return when its answer has to have begun.

        Args:
            since: what the total timeout counts from; by default this moment.
        """
        self._timeouts = timeouts
        self.progressed = now = self.now()
        self.began = now if since is None else since
        if timeouts.total is not None:
            self.ends = self.began + timeouts.total
        return self._after(timeouts.first_byte)

    def next_event(self) -> float | None:
        """Return when the answer has to have gone on."""
        return self._after(self._timeouts.idle)

    def watch(self, sent: Sent, now: float) -> bool:
        """Have *sent* call back when the next event is late; return False where it is late now."""
        deadline = self.next_event()
        if deadline is not None and deadline <= now:
            return False
        sent.watch(deadline)
        return True

    def is_past(self, sent: Sent) -> bool:
        """Tell whether the next event is late.

        The deadline of *sent* is not set anew with each event: one that has moved is set here.
        """
        if not sent.is_expired:
            return False
        deadline = self.next_event()
        if deadline is None or self.now() >= deadline:
            return True
        sent.watch(deadline)
        return False

    def _after(self, limit: float | None) -> float | None:
        """Return the time so many seconds after the last progress, or that of the total timeout if it is earlier."""
        deadline = None if limit is None else self.progressed + limit
        ends = self.ends
        return ends if ends is not None and (deadline is None or ends < deadline) else deadline
