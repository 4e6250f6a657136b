"""Replay answers that ran at the same time in the order in which they were recorded, whatever the scheduler does.

Which of twenty copies is accepted first decides which of the others are cancelled, and how much of them had come by
then. So a replayed answer ends only after everything that had come before its end in the recording. After that end,
nothing more is given until the reader has had time to act on it. No wait is for ever: a program that asks for something
else than the recorded one only loses a moment.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Final

import anyio

from ...loops import Waiter, current, forking
from ...loops.turns import TURNS
from ..timeline import Timeline

__all__ = ["NEVER", "Order"]

#: A moment later than any other.
NEVER: Final = 1 << 62

#: A reader that went away within so many microseconds after the end of another answer may have done so because of it.
_ACTED: Final = 50_000

#: How long to wait for a recorded request that has not arrived yet, in seconds. Once this has run out, no wait for an
#: absent request follows.
_ABSENT_SECONDS: Final = 0.25

#: How long to wait for a reader that does not read on, in seconds.
_IDLE_SECONDS: Final = 1.0

#: The longest wait for a reader whose answer waits for others itself, in seconds.
_LONGEST_SECONDS: Final = 5.0

#: Into how many waits these are split. A machine that stands still for however long uses up one of them, and whoever is
#: waited for gets its turn before the next one is over.
_WAITS: Final = 5


class _Running:
    """A recorded answer that is being replayed.

    Attributes:
        following: the recorded time of its next piece or end; NEVER once only its reader's leaving is to come.
        ends: the recorded time of its end; NEVER if its reader went away when it was recorded.
        waiters: those that wait until ``following`` has reached a moment, with that moment.
        is_waiting: whether it waits for others itself, so that its reader is not idle.
    """

    __slots__ = ("ends", "following", "is_waiting", "waiters")

    def __init__(self, following: int, ends: int) -> None:
        self.following = following
        self.ends = ends
        self.waiters: list[tuple[int, Waiter]] = []
        self.is_waiting = False


class Order:
    """The recorded order of pieces and ends, and how far a replay has got in it.

    All moments are recorded ones, in microseconds since 1970.

    Tasks of several loops and threads may use one order: `begins`, `gives` and `ends` come from the reader of each
    answer, and so does `until`. ``_lock`` is held for a few instructions only; no other lock is taken and nothing is
    awaited under it, and `ReplayTransport` gives its own lock back before it comes here. No wake-up is lost: a waiter
    adds itself first and then looks at the state; a change is made first, and then its maker looks at the waiters.

    Args:
        timelines: one for each interaction; None for those that do not say when they were.
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
        self._next_due, self._end_due = _Due("following"), _Due("ends")
        self._over: set[int] = set()  # ended, and the reader may not have acted on it yet
        self._settling = False
        self._settled: list[Waiter] = []
        self._claimed: dict[int, list[Waiter]] = {}
        self._lock = forking.lock()
        self._patient = True
        forking.renewed(self)

    def _at_fork_reinit(self) -> None:
        """Forget the answers and waiters of the parent, which do not go on in a forked child."""
        self._running, self._claimed = {}, {}
        self._next_due, self._end_due = _Due("following"), _Due("ends")
        self._over, self._settled = set(), []
        self._settling = False

    @property
    def concerns_any(self) -> bool:
        """Whether any interactions ran at the same time."""
        return bool(self._overlapping)

    def concerns(self, index: int) -> bool:
        """Whether an interaction ran at the same time as another one."""
        return index in self._overlapping

    def cause(self, index: int, moment: int) -> int:
        """Return the moment before which interaction `index`, whose reader went away at `moment`, gives everything.

        That is the end of another answer shortly before, which may be why the reader went away: what came in between
        had been read by then. Without such an end it is `moment` itself.
        """
        place = bisect_left(self._ends, moment) - 1
        span = self._spans[index]
        if place < 0 or span is None or not span[0] < self._ends[place] or moment - self._ends[place] > _ACTED:
            return moment
        return self._ends[place]

    # --- progress -----------------------------------------------------------------------------------

    def begins(self, index: int, following: int) -> None:
        """Claim interaction `index`; `following` is the time of its next piece."""
        span = self._spans[index]
        if span is None:
            return
        ends = span[1] if index in self._whole else NEVER
        with self._lock:
            self._running[index] = _Running(following, ends)
            self._next_due.put(index, following)
            self._end_due.put(index, ends)
            self._by_start.claim(index)
            self._by_end.claim(index)
            waiting = self._claimed.pop(index, ())
        for waiter in waiting:
            waiter.wake()

    def gives(self, index: int, following: int) -> None:
        """Note that interaction `index` has given a piece; `following` is the time of its next piece or end."""
        running = self._running.get(index)
        if running is None:
            return
        running.following = following
        if running.waiters:
            self._wake(running)

    def ends(self, index: int) -> None:
        """Note that interaction `index` is over: it has given its end, or its reader went away."""
        with self._lock:
            running = self._running.pop(index, None)
            if running is None:
                return
            self._next_due.drop(index)
            self._end_due.drop(index)
            if running.ends < NEVER:
                self._over.add(index)
        running.following = NEVER
        self._wake(running)

    def _wake(self, running: _Running) -> None:
        """Wake the waiters whose moment an answer has reached."""
        with self._lock:
            passed = [waiter for moment, waiter in running.waiters if moment <= running.following]
            running.waiters = [each for each in running.waiters if each[0] > running.following]
        for waiter in passed:
            waiter.wake()

    # --- waiting ------------------------------------------------------------------------------------

    async def until(self, index: int, moment: int, *, end: bool) -> None:
        """Wait until interaction `index` may give what it gave at `moment`.

        Args:
            index: which interaction.
            moment: the recorded time of the piece or end.
            end: whether that is the end. A piece only waits for ends before it, an end for everything before it.
        """
        running = self._running.get(index)
        if running is None:
            await self._until(index, moment, end=end)
            return
        running.is_waiting = True
        try:
            await self._until(index, moment, end=end)
        finally:
            running.is_waiting = False

    async def _until(self, index: int, moment: int, *, end: bool) -> None:
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
        """Return the next recorded request that has not arrived yet, if any.

        For an end, that is one that had begun by then; for a piece, one that had ended. In either case it ended after
        this interaction began.
        """
        if not self._patient:
            return None
        index = (self._by_start if end else self._by_end).last(moment)
        span = None if index is None else self._spans[index]
        return index if span is not None and span[1] > start else None

    def _behind(self, index: int, moment: int, *, end: bool) -> _Running | None:
        """Return the running answer that is due latest before `moment`, if any. It waits for earlier ones itself."""
        if len(self._running) < 2:
            return None
        with self._lock:
            return (self._next_due if end else self._end_due).last(moment, self._running, but=index)

    async def _until_claimed(self, index: int) -> None:
        """Wait for a request that has not arrived. If it does not come in time, stop waiting for absent requests."""
        for _ in range(_WAITS):
            waiter = current().waiter()
            with self._lock:
                if index in self._running or not self._by_start.has(index):
                    return
                self._claimed.setdefault(index, []).append(waiter)
            with anyio.move_on_after(_ABSENT_SECONDS / _WAITS):
                await waiter.wait()
                return
        self._patient = False

    async def _until_passed(self, running: _Running, moment: int) -> None:
        """Wait until an answer has given everything before `moment`. If its reader is idle, stop waiting for it."""
        seconds, waits = _IDLE_SECONDS if running.is_waiting else _IDLE_SECONDS / _WAITS, 0
        while waits < _WAITS:
            waiter = current().waiter()
            entry = (moment, waiter)
            with self._lock:
                running.waiters.append(entry)
                if running.following >= moment:  # `gives`, in another thread, may have looked for waiters just before
                    running.waiters.remove(entry)
                    return
            with anyio.move_on_after(seconds):
                await waiter.wait()
                return
            with self._lock:
                running.waiters = [each for each in running.waiters if each is not entry]
            if running.is_waiting:  # in a long queue: whoever is first in it is looked after by the next
                seconds, waits = min(2 * seconds, _LONGEST_SECONDS), 0
            else:
                seconds, waits = _IDLE_SECONDS / _WAITS, waits + 1
        running.following = running.ends = NEVER
        self._wake(running)

    async def _until_settled(self) -> None:
        """Give the readers of answers that have ended some turns of the loop. One task does so; the others wait."""
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
            await current().turns(TURNS)
            self._over -= over
        finally:
            with self._lock:
                self._settling = False
                waiting, self._settled = self._settled, []
            for each in waiting:
                each.wake()


class _Due:
    """Running answers, sorted by a moment of each that only grows; it is looked at again when an answer is asked for.

    Args:
        name: the attribute of an answer that is this moment.
    """

    def __init__(self, name: str) -> None:
        self._moment_of = attrgetter(name)
        self._entries: list[tuple[int, int]] = []
        self._known: dict[int, int] = {}  # index -> the moment by which it is sorted

    def put(self, index: int, moment: int) -> None:
        """Add an answer, or sort it anew."""
        self.drop(index)
        self._known[index] = moment
        insort(self._entries, (moment, index))

    def drop(self, index: int) -> None:
        """Remove an answer, if it is there."""
        moment = self._known.pop(index, None)
        if moment is not None:
            del self._entries[bisect_left(self._entries, (moment, index))]

    def last(self, moment: int, running: Mapping[int, _Running], *, but: int) -> _Running | None:
        """Return the answer whose moment is the last before this one; not *but*."""
        place = self._before(moment)
        while place >= 0:
            known, index = self._entries[place]
            due = self._moment_of(running[index])
            if due != known:
                self.put(index, due)
                place = self._before(moment) if due < moment else place - 1
            elif index == but:
                place -= 1
            else:
                return running[index]
        return None

    def _before(self, moment: int) -> int:
        return bisect_left(self._entries, (moment,)) - 1


class _Unclaimed:
    """Interactions in an order of time, and which of them no request has claimed.

    A union-find structure (https://en.wikipedia.org/wiki/Disjoint-set_data_structure) with path compression: from the
    place of each interaction a link leads to the nearest unclaimed one up to there.
    """

    def __init__(self, places: list[tuple[int, int]]) -> None:
        places.sort()
        self._times = [time for time, _ in places]
        self._indices = [index for _, index in places]
        self._places = {index: place for place, index in enumerate(self._indices)}
        self._chain = list(range(-1, len(places)))  # at place + 1: the nearest unclaimed place up to it, or -1

    def claim(self, index: int) -> None:
        """Mark an interaction as claimed."""
        place = self._places[index]
        self._chain[place + 1] = self._chain[place]

    def has(self, index: int) -> bool:
        """Whether an interaction is unclaimed."""
        place = self._places[index]
        return self._chain[place + 1] == place

    def last(self, moment: int) -> int | None:
        """Return the last unclaimed interaction before `moment`, if any."""
        chain = self._chain
        way = [bisect_left(self._times, moment)]
        while (place := chain[way[-1]]) >= 0 and chain[place + 1] != place:
            way.append(place + 1)
        for step in way:  # path compression
            chain[step] = place
        return self._indices[place] if place >= 0 else None


def _span(timeline: Timeline) -> tuple[int, int]:
    """Return when an interaction began and ended. If its reader went away, it ended with its last piece."""
    start = timeline.started
    if timeline.end != "interrupted":
        return start, start + timeline.ended
    pieces = timeline.pieces()
    return start, start + (pieces[-1][1] if pieces else timeline.opened or 0)


def _overlapping(known: Sequence[tuple[tuple[int, int], int]]) -> set[int]:
    """Return the interactions that overlap with another one in time."""
    return set(_touching(sorted(known)))


def _touching(known: Sequence[tuple[tuple[int, int], int]]) -> Iterator[int]:
    """Yield both of each overlapping pair, by one sweep over spans that are sorted by their start."""
    latest, last = -1, -1
    for (start, end), index in known:
        if start <= latest:
            yield index
            yield last
        if end > latest:
            latest, last = end, index
