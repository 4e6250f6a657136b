"""Keep recorded answers that ran at the same time in the order in which they came, whatever the scheduler does.

Which of twenty copies is accepted first decides which of the others are cancelled, and what of them was there by then.
So a recorded answer ends only when all has been given again that had been given by then, and nothing that came later is
given before the reader of that answer has had time to act on its end. Nothing waits for ever: a program that asks
something else than the recorded one only loses a moment.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Final

import anyio
from anyio.lowlevel import checkpoint

from ...loops import Waiter, current, forking
from ...loops.turns import TURNS
from ..timeline import Timeline

__all__ = ["NEVER", "Order"]

#: A moment that does not come.
NEVER: Final = 1 << 62

#: Within so many microseconds a reader has acted on the end of an answer.
_ACTED: Final = 50_000

#: How long to wait for a request that came before in the recording and has not come yet; and, once, in all.
_ABSENT_SECONDS: Final = 0.25

#: How long to wait for a reader that does not go on with its answer.
_IDLE_SECONDS: Final = 1.0


class _Running:
    """An answer that is being given.

    Attributes:
        following: when it gave what it gives next; NEVER when all is given and its reader is to go away.
        ends: when it ended; NEVER if its reader went away.
        waiters: who waits until it has given all before some moment.
    """

    __slots__ = ("ends", "following", "waiters")

    def __init__(self, following: int, ends: int) -> None:
        self.following = following
        self.ends = ends
        self.waiters: list[tuple[int, Waiter]] = []


class Order:
    """What recorded answers gave, in the order in which they did, and how far a replay has got in it.

    All moments are in microseconds since 1970.

    Args:
        timelines: of all interactions; None for those that do not say when they were.
    """

    def __init__(self, timelines: Sequence[Timeline | None]) -> None:
        self._spans = [None if each is None else _span(each) for each in timelines]
        known = [(span, index) for index, span in enumerate(self._spans) if span is not None]
        self._whole = {index for index, each in enumerate(timelines) if each and each.end != "interrupted"}
        self._overlapping = _overlapping(known)
        self._ends = sorted([span[1] for span, index in known if index in self._whole])
        self._by_start = _Unclaimed([(span[0], index) for span, index in known])
        self._by_end = _Unclaimed([(span[1], index) for span, index in known])
        self._running: dict[int, _Running] = {}
        self._over: set[int] = set()  # ended, and the reader may still have to act on it
        self._settling = False
        self._settled: list[Waiter] = []
        self._claimed: dict[int, list[Waiter]] = {}
        self._lock = forking.lock()
        self._patient = True
        forking.renewed(self)

    def _at_fork_reinit(self) -> None:
        """Forget what is running, and waits: it does so in the parent."""
        self._running, self._claimed = {}, {}
        self._over, self._settled = set(), []
        self._settling = False

    def concerns(self, index: int) -> bool:
        """Whether an interaction ran at the same time as another one."""
        return index in self._overlapping

    def cause(self, index: int, moment: int) -> int:
        """When the answer ended that may have been why the reader of this one went away at a moment; else that moment.

        What came in between had been read when the reader went away, so it is to be given before that end.
        """
        place = bisect_left(self._ends, moment) - 1
        span = self._spans[index]
        if place < 0 or span is None or not span[0] < self._ends[place] or moment - self._ends[place] > _ACTED:
            return moment
        return self._ends[place]

    # What happens

    def begins(self, index: int, following: int) -> None:
        """A request has come for this interaction, which gives something next that it gave at this moment."""
        span = self._spans[index]
        if span is None:
            return
        with self._lock:
            self._running[index] = _Running(following, span[1] if index in self._whole else NEVER)
            self._by_start.claim(index)
            self._by_end.claim(index)
            waiting = self._claimed.pop(index, ())
        for waiter in waiting:
            waiter.wake()

    def gives(self, index: int, following: int) -> None:
        """This interaction has given something, and what it gives next it gave at this moment."""
        running = self._running.get(index)
        if running is None:
            return
        running.following = following
        if running.waiters:
            self._wake(running)

    def ends(self, index: int) -> None:
        """This interaction has given its end, or its reader went away."""
        with self._lock:
            running = self._running.pop(index, None)
            if running is None:
                return
            if running.ends < NEVER:
                self._over.add(index)
        running.following = NEVER
        self._wake(running)

    def _wake(self, running: _Running) -> None:
        with self._lock:
            passed = [waiter for moment, waiter in running.waiters if moment <= running.following]
            running.waiters = [each for each in running.waiters if each[0] > running.following]
        for waiter in passed:
            waiter.wake()

    # Waiting

    async def until(self, index: int, moment: int, *, end: bool) -> None:
        """Wait until an interaction may give what it gave at this moment.

        Args:
            index: which interaction.
            moment: when it did.
            end: whether that is its end.
        """
        span = self._spans[index]
        while span is not None:
            behind = self._behind(index, moment, end=end)
            if behind is not None:
                await self._until_passed(behind, moment)
            elif self._over:
                await self._until_settled()
            elif (absent := self._absent(span[0], moment, end=end)) is not None:
                await self._until_claimed(absent)
            else:
                return

    def _absent(self, start: int, moment: int, *, end: bool) -> int | None:
        """A request that has not come though it had: before the end of another one, or its end before a piece."""
        if not self._patient:
            return None
        index = (self._by_start if end else self._by_end).last(moment)
        span = None if index is None else self._spans[index]
        return index if span is not None and span[1] > start else None

    def _behind(self, index: int, moment: int, *, end: bool) -> _Running | None:
        """Of the answers that have still to give something, the one that gave it last; it waits for others itself."""
        found: _Running | None = None
        latest = -1
        for other, running in list(self._running.items()):
            due = running.following if end else running.ends
            if latest < due < moment and other != index:
                found, latest = running, due
        return found

    async def _until_claimed(self, index: int) -> None:
        waiter = current().waiter()
        with self._lock:
            if index in self._running or not self._by_start.has(index):
                return
            self._claimed.setdefault(index, []).append(waiter)
        with anyio.move_on_after(_ABSENT_SECONDS):
            await waiter.wait()
            return
        self._patient = False

    async def _until_passed(self, running: _Running, moment: int) -> None:
        waiter = current().waiter()
        with self._lock:
            if running.following >= moment:
                return
            running.waiters.append((moment, waiter))
        with anyio.move_on_after(_IDLE_SECONDS):
            await waiter.wait()
            return
        running.following = running.ends = NEVER  # its reader has other things to do
        self._wake(running)

    async def _until_settled(self) -> None:
        """Give the readers of answers that ended some turns of the loop; one does so, and the others wait for it."""
        waiter = current().waiter()
        with self._lock:
            first = not self._settling
            self._settling = True
            over = set(self._over)
            if not first:
                self._settled.append(waiter)
        if not first:
            await waiter.wait()
            return
        try:
            for _ in range(TURNS):
                await checkpoint()
            self._over -= over
        finally:
            with self._lock:
                self._settling = False
                waiting, self._settled = self._settled, []
            for each in waiting:
                each.wake()


class _Unclaimed:
    """Interactions in some order of time, and which of them no request has come for."""

    def __init__(self, places: list[tuple[int, int]]) -> None:
        places.sort()
        self._times = [time for time, _ in places]
        self._indices = [index for _, index in places]
        self._places = {index: place for place, index in enumerate(self._indices)}
        self._chain = list(range(-1, len(places)))  # for each place + 1, the nearest unclaimed one up to it

    def claim(self, index: int) -> None:
        """A request has come for it."""
        place = self._places[index]
        self._chain[place + 1] = self._chain[place]

    def has(self, index: int) -> bool:
        """Whether no request has come for it."""
        place = self._places[index]
        return self._chain[place + 1] == place

    def last(self, moment: int) -> int | None:
        """The last one before a moment that is unclaimed."""
        chain = self._chain
        way = [bisect_left(self._times, moment)]
        while (place := chain[way[-1]]) >= 0 and chain[place + 1] != place:
            way.append(place + 1)
        for step in way:  # shorten the way for whoever asks next
            chain[step] = place
        return self._indices[place] if place >= 0 else None


def _span(timeline: Timeline) -> tuple[int, int]:
    """When it began and ended; for one whose reader went away, when the last of it came."""
    start = timeline.started
    if timeline.end != "interrupted":
        return start, start + timeline.ended
    pieces = timeline.pieces()
    return start, start + (pieces[-1][1] if pieces else timeline.opened or 0)


def _overlapping(known: Sequence[tuple[tuple[int, int], int]]) -> set[int]:
    """Those of some spans during which there was another one."""
    return set(_touching(sorted(known)))


def _touching(known: Sequence[tuple[tuple[int, int], int]]) -> Iterator[int]:
    latest, last = -1, -1
    for (start, end), index in known:
        if start <= latest:
            yield index
            yield last
        if end > latest:
            latest, last = end, index
