"""Keep recorded answers that ran at the same time in the order in which they arrived, whatever the scheduler does.

Which of twenty copies is accepted first decides which of the others are cancelled. So what a recorded answer gives at
some moment is held back until the answers that were over by then are over again, and their readers have had time to
act on it. Nothing waits for ever: a program that asks something else than the recorded one only loses a moment.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

import anyio
from anyio.lowlevel import checkpoint

from ..loops import Waiter, current
from .timing import Timeline

__all__ = ["Order"]

_WAITING, _RUNNING, _OVER, _SETTLED = range(4)

#: How many turns of the loop a reader is given to act on the end of an answer: to settle, to check, to cancel others.
_TURNS: Final = 64

#: How long to wait for a request that came before in the recording and has not come yet; and, once, in all.
_ABSENT_SECONDS: Final = 0.25

#: How long to wait for a reader that does not read its answer to the end.
_IDLE_SECONDS: Final = 1.0


class Order:
    """The ends of recorded answers in the order in which they came, and how far a replay has got in it.

    Args:
        timelines: of all interactions; None for those that do not say when they were.
    """

    def __init__(self, timelines: Sequence[Timeline | None]) -> None:
        ends = [(_end(each), index) for index, each in enumerate(timelines) if each is not None]
        ends.sort()
        self._starts = [None if each is None else each.started for each in timelines]
        self._ends = [end for end, _ in ends]
        self._places: dict[int, int] = {index: place for place, (_, index) in enumerate(ends)}
        self._states = bytearray(len(ends))
        self._before = list(range(-1, len(ends)))  # for each place + 1, the nearest one up to it that is not settled
        self._waiters: dict[int, list[Waiter]] = {}
        self._lock = threading.Lock()
        self._patient = True

    def begins(self, index: int) -> None:
        """A request has come for this interaction."""
        self._change(index, _RUNNING)

    def ends(self, index: int) -> None:
        """This interaction has given all that it has, or its reader went away."""
        self._change(index, _OVER)

    def is_due(self, index: int, moment: int) -> bool:
        """Whether nothing is to be waited for before an interaction gives what it gave at this moment."""
        start = self._starts[index]
        return start is None or self._blocking(index, start, moment) is None

    async def until(self, index: int, moment: int) -> None:
        """Wait until all that was over before this moment, and after the interaction began, is over again."""
        start = self._starts[index]
        while start is not None:
            place = self._blocking(index, start, moment)
            if place is None:
                return
            await self._past(place)

    async def _past(self, place: int) -> None:
        """Wait until a place is settled, or something else happens to it."""
        state = self._states[place]
        if state == _OVER:
            for _ in range(_TURNS):
                await checkpoint()
            self._settle(place)
        elif state == _WAITING and not self._patient:
            self._settle(place)
        elif state in (_WAITING, _RUNNING):
            seconds = _ABSENT_SECONDS if state == _WAITING else _IDLE_SECONDS
            if await self._unchanged(place, state, seconds):
                self._patient = self._patient and state != _WAITING
                self._settle(place)

    async def _unchanged(self, place: int, state: int, seconds: float) -> bool:
        """Wait for the next change of a place; whether there was none in time."""
        waiter = current().waiter()
        with self._lock:
            if self._states[place] != state:
                return False
            self._waiters.setdefault(place, []).append(waiter)
        try:
            with anyio.move_on_after(seconds) as scope:
                await waiter.wait()
        finally:
            with self._lock:
                waiting = self._waiters.get(place, [])
                if waiter in waiting:
                    waiting.remove(waiter)
        return scope.cancelled_caught and self._states[place] == state

    def _change(self, index: int, state: int) -> None:
        place = self._places.get(index)
        if place is None:
            return
        with self._lock:
            if self._states[place] >= state:
                return
            self._states[place] = state
            waiting = self._waiters.pop(place, ())
        for waiter in waiting:
            waiter.wake()

    def _settle(self, place: int) -> None:
        with self._lock:
            self._states[place] = _SETTLED
            self._before[place + 1] = self._before[place]
            waiting = self._waiters.pop(place, ())
        for waiter in waiting:
            waiter.wake()

    def _blocking(self, index: int, start: int, moment: int) -> int | None:
        """The last place between two moments that is not settled; None if all are.

        The last, because it waits itself for those before it: so each place has few waiters.
        """
        own = self._ends[self._places[index]]  # whatever else a file says, nothing waits for its own end
        place = self._unsettled(bisect_left(self._ends, min(moment, own)))
        return place if place >= 0 and self._ends[place] > start else None

    def _unsettled(self, count: int) -> int:
        """The last of the first `count` places that is not settled; -1 if there is none."""
        before = self._before
        way = [count]
        while (place := before[way[-1]]) >= 0 and before[place + 1] != place:
            way.append(place + 1)
        for step in way:  # shorten the way for whoever asks next
            before[step] = place
        return place


def _end(timeline: Timeline) -> int:
    """When an answer was over; for one whose reader went away, when the last of it came."""
    if timeline.end != "interrupted":
        return timeline.started + timeline.ended
    pieces = timeline.pieces()
    return timeline.started + (pieces[-1][1] if pieces else timeline.opened or 0)
