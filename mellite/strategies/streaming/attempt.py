"""One attempt: read a generation, cut it into chunks, check them, release those that pass, stop at the first failure.

All of an attempt runs in one event loop: a reader (the task that calls `Attempt.read`), a task for each async check,
and the consumer, which takes from the `Outlet`. They hand over to each other only at an ``await``, so that no lock is
needed. The consumer waits for items; the reader waits for room, for checks, or for both.
"""

from __future__ import annotations

import math
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Generator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Final, TypeAlias

import anyio
from attrs import define, field

from ...loops.turns import Turns
from ...thunk.thunk import AnyThunk
from ...values.chunking import Chunk, Chunker, Chunking, chunker_for
from ...values.errors import InvalidRequest, MelliteError
from ...values.events import ReasoningDelta, TextDelta, ToolInputDelta
from ..requirements import CheckChunk, ChunkVerdict, Requirement, ValidationResult
from ..requirements.requirement import JudgedChunk, let_go
from .events import ChunkEvent, Failure, QuickCheckEvent, ThinkingEvent, ToolInputEvent
from .outlet import WINDOW, Outlet
from .repair import is_futile

if TYPE_CHECKING:
    from ... import loops
    from ...thunk.iterators import Events

__all__ = ["Attempt"]

#: A coroutine that cuts and checks. Send it text, or None at the end; it yields True to wait, and goes on at any send.
_Track: TypeAlias = Generator[bool, str | None, None]

#: How many events a generation may run ahead of the checks. Events after a failure are paid for in vain.
AHEAD: Final = 8

#: How many async checks of one requirement may run at the same time.
CHECKS_AT_ONCE: Final = 16


class _Check:
    """A running async check of one chunk."""

    __slots__ = ("chunk", "given", "lane", "scope", "turn")

    def __init__(self, lane: _Lane, chunk: Chunk, given: Awaitable[object], turn: int) -> None:
        self.lane = lane
        self.chunk = chunk
        self.given = given
        self.turn = turn
        self.scope = anyio.CancelScope()


class _Lane:
    """The way of one requirement through the chunks of one attempt."""

    __slots__ = ("check", "end", "pending", "requirement")

    def __init__(self, requirement: Requirement, check: CheckChunk) -> None:
        self.requirement = requirement
        self.check = check
        self.end = 0  # the end of the last chunk that was given to it
        self.pending: dict[int, _Check] = {}  # start of a chunk -> its check, in the order of the text

    def judged(self) -> int:
        """Return the offset up to which every chunk has a verdict."""
        return next(iter(self.pending)) if self.pending else self.end


@define(eq=False)
class Attempt:
    """One generation on its way through the checks.

    Args:
        thunk: the generation.
        number: the number of the attempt, counted from 1.
        requirements: the demands on the answer.
        chunking: how the text is cut.
        outlet: where chunks and events are put.
        judged: called with each verdict that has a result.

    Attributes:
        failures: the chunks that failed, in the order of the text, then the checks of the whole answer that failed.
        error: the error of the generation, if any.
        limit: the start of the first chunk that failed: nothing from there on is released.
    """

    thunk: AnyThunk
    number: int = field(kw_only=True)
    requirements: tuple[Requirement, ...] = field(kw_only=True)
    chunking: Chunking = field(kw_only=True)
    outlet: Outlet = field(kw_only=True)
    judged: Callable[[ValidationResult], None] = field(kw_only=True)
    failures: list[Failure] = field(factory=list, init=False)
    error: Exception | None = field(default=None, init=False)
    limit: float = field(default=math.inf, init=False)
    _lanes: list[_Lane] = field(factory=list, init=False)
    _tracks: list[_Track] = field(factory=list, init=False)
    _waiting: deque[Chunk] = field(factory=deque, init=False)
    _checks: set[_Check] = field(factory=set, init=False)
    _turns: Turns = field(factory=Turns, init=False)
    _cannot_cut: bool = field(default=False, init=False)
    _is_last: bool = field(default=True, init=False)
    _fed: int = field(default=0, init=False)
    _events: Events | None = field(default=None, init=False)
    _is_stalled: bool = field(default=False, init=False)
    _has_async: bool = field(default=False, init=False)

    @property
    def rejected(self) -> bool:
        """Whether a requirement has failed a chunk."""
        return bool(self.failures)

    async def read(self, *, last: bool) -> None:
        """Read the generation to its end, or stop it at the first failure.

        Args:
            last: whether no attempt follows. Then chunks before the failure are still checked and released.
        """
        self._is_last = last
        try:
            self._lay_tracks()
            try:
                await self._read()
            finally:
                self.outlet.source = self._events = None
        except MelliteError as error:
            if not self.failures and self.error is None:
                self.error = error.with_traceback(_settled_traceback(self.thunk))  # without these frames: no cycle
        last = self._is_last = last or (self.error is not None and is_futile(self.error))
        if not self.rejected and (self.error is None or last):
            await self._feed(None)  # the rest of the text, also if it broke off
            while self._checks and not self._is_over():
                await self.outlet.reader_waits()
        if not last:
            self.abandon()
        if self._is_over():
            await self.stop()
        while last and self._checks:
            await self.outlet.reader_waits()

    def _is_over(self) -> bool:
        """Tell whether the attempt is decided: a requirement or the chunker has failed."""
        return bool(self.failures) or self._cannot_cut

    async def stop(self) -> None:
        """Cancel the generation at once; a no-op if it has ended."""
        await self.thunk.cancel_generation(self._why)

    @property
    def _why(self) -> str:
        return f"rejected: {self.failures[0].reason}" if self.failures else str(self.error)

    def abandon(self) -> None:
        """Cancel every running check, and release nothing more."""
        self.limit = -1
        for check in self._checks:
            check.scope.cancel()

    def close(self) -> None:
        """Close the checks that never began. Called when all tasks of the stream have ended."""
        for check in self._checks:
            let_go(check.given)
        for track in self._tracks:
            track.close()

    def _lay_tracks(self) -> None:
        checkers = [(requirement, requirement.checker()) for requirement in self.requirements]
        lanes = [_Lane(requirement, check) for requirement, check in checkers if check is not None]
        self._lanes = lanes
        self._cannot_cut = True  # until every chunker has been made
        shared = [lane for lane in lanes if lane.requirement.chunking is None]
        self._tracks.append(self._track(chunker_for(self.chunking), shared, deliver=True))
        self._tracks += [
            self._track(chunker_for(lane.requirement.chunking), [lane], deliver=False)
            for lane in lanes
            if lane.requirement.chunking is not None
        ]
        for track in self._tracks:
            next(track)
        self._cannot_cut = False

    async def _read(self) -> None:
        outlet, items = self.outlet, self.outlet.items
        only = self._tracks[0] if len(self._tracks) == 1 else None
        events = self._events = self.thunk.events(ahead=AHEAD)
        outlet.source = self if only is not None else None
        while True:
            if self._is_stalled and only is not None:
                self._is_stalled = False
                await self._wait_out(only)
            while (self._checks or len(items) >= WINDOW) and self._is_crowded() and not self._is_over():
                await outlet.reader_waits()
            if self.failures or self._cannot_cut:
                return
            event = events.ready()
            if event is None:
                if await events.parks():
                    continue
                event = await anext(events, None)  # raises what the generation failed with
                if event is None:
                    return
            if type(event) is not TextDelta:
                self._tell(event)
            elif only is None or self._checks:
                await self._feed(event.text)
            else:
                self._is_stalled = self._feed_only(only, event.text)

    # The consumer reads itself while it waits, if the reader has nothing to wait for but events: see `Source`.

    def lend(self, waiter: loops.Waiter) -> bool:
        """See `Source`. A reader with async checks has more to watch than events."""
        return not self._has_async and self._events is not None and self._events.borrow(waiter)

    def give_back(self) -> None:
        """See `Source`."""
        if self._events is not None:
            self._events.give_back()

    def advance(self) -> None:
        """See `Source`; stop the generation at a failure in this very step, as the reader does."""
        events, items, only = self._events, self.outlet.items, self._tracks[0]
        while events is not None and not (self._checks or self.failures or self._cannot_cut or len(items) >= WINDOW):
            event = events.ready()
            if event is None:
                return
            if type(event) is TextDelta:
                self._is_stalled = self._feed_only(only, event.text)
                if self.failures:
                    self.thunk.cancel(self._why)
            else:
                self._tell(event)

    def _tell(self, event: object) -> None:
        if not self.outlet.detailed:
            return
        if type(event) is ReasoningDelta:
            self.outlet.put(ThinkingEvent(event.text, attempt=self.number))
        elif type(event) is ToolInputDelta:
            self.outlet.put(ToolInputEvent(event.name, event.text, id=event.id, attempt=self.number))

    def _is_crowded(self) -> bool:
        if len(self.outlet.items) >= WINDOW:
            return True
        if not self._checks:
            return False  # the chunks that wait then need more text
        return len(self._waiting) >= WINDOW or any(len(lane.pending) >= CHECKS_AT_ONCE for lane in self._lanes)

    async def _feed(self, text: str | None) -> None:
        """Cut and check more text, or finish with None. Wait while too many checks are running."""
        if self._cannot_cut:
            return
        fed = self._fed
        self._fed += len(text or "")
        try:
            for track in self._tracks:
                if self.failures:
                    if text is None or not self._is_last or self.limit <= fed:
                        break
                    text = text[: int(self.limit) - fed]  # chunks before the failure may still pass
                if track.send(text):
                    await self._go_on(track)
        except InvalidRequest as error:
            self._stuck(error)
        self._release()

    def _feed_only(self, track: _Track, text: str) -> bool:
        """Do what `_feed` does to the only track, while no check is running; return whether it has to be waited for."""
        self._fed += len(text)
        try:
            is_busy = track.send(text)
        except InvalidRequest as error:
            self._stuck(error)
            is_busy = False
        waiting, outlet = self._waiting, self.outlet
        if is_busy or not waiting:
            return is_busy
        if self._checks or self.limit != math.inf or outlet.detailed or outlet.looked_at is not None:
            self._release()
            return False
        outlet.items.extend(waiting)  # common: whatever is cut off is judged
        waiting.clear()
        if outlet.takers:
            outlet.wake_takers()
        return False

    async def _wait_out(self, track: _Track) -> None:
        try:
            await self._go_on(track)
        except InvalidRequest as error:
            self._stuck(error)
        self._release()

    async def _go_on(self, track: _Track) -> None:
        is_busy = True
        while is_busy:
            self._release()
            await self.outlet.reader_waits()
            is_busy = track.send(None)

    def _stuck(self, error: InvalidRequest) -> None:
        """Note that a chunker of the user's has failed."""
        self.error, self._cannot_cut = error.with_traceback(None), True

    def _track(self, chunker: Chunker, lanes: list[_Lane], *, deliver: bool) -> _Track:
        """Cut the text that is sent, and have the requirements of `lanes` judge the chunks; yield True to wait."""
        partial = ""  # a local variable: CPython appends to it in place, so that all of it takes linear time
        while True:
            text = yield False
            chunks: Sequence[Chunk] = chunker.end() if text is None else chunker.feed(text)  # type: ignore[assignment]
            for chunk in chunks:
                partial += str(chunk)
                if deliver:
                    if self.outlet.looked_at is not None:
                        self.outlet.looked_at.cut(chunk)
                    self._waiting.append(chunk)
                self._judge(lanes, chunk, partial)
                while self._checks and self._is_crowded() and not self.failures:
                    yield True
                if self.limit != math.inf and chunk.end > self.limit:
                    break

    def _judge(self, lanes: list[_Lane], chunk: Chunk, partial: str) -> None:
        """Have the requirements of `lanes` judge a chunk: sync checks first, then, unless one failed, the async."""
        later: list[tuple[_Lane, Awaitable[object]]] | None = None
        detailed = self.outlet.detailed
        end = chunk.start + len(chunk)
        for lane in lanes:
            try:
                said = lane.check(chunk, partial)
            except Exception as error:
                given: JudgedChunk | Awaitable[object] = lane.requirement.broken_chunk(error)
            else:
                if (said is None or said is True) and not detailed:  # common: decided first
                    lane.end = end
                    continue
                given = lane.requirement.judged_chunk(said)
            if not isinstance(given, tuple):
                later = [*(later or ()), (lane, given)]
                continue
            lane.end = end
            verdict, result = given
            if result is not None or detailed:
                self._note(lane, chunk, verdict, result)
                if verdict == "fail":
                    break
        for lane, given in later or ():
            if end > self.limit:
                let_go(given)
            else:
                self._start(lane, chunk, given)

    def _start(self, lane: _Lane, chunk: Chunk, given: Awaitable[object]) -> None:
        self._has_async = True
        check = _Check(lane, chunk, given, self._turns.take())
        lane.pending[chunk.start] = check
        lane.end = chunk.end
        self._checks.add(check)
        if self.outlet.group is not None:
            self.outlet.group.start_soon(self._finish, check)

    async def _finish(self, check: _Check) -> None:
        lane, chunk = check.lane, check.chunk
        judged: tuple[ChunkVerdict, ValidationResult | None] | None = None
        with check.scope:
            await self._turns.wait(check.turn)
            judged = await lane.requirement.finish_chunk(check.given)
        self._checks.discard(check)
        if judged is None:
            let_go(check.given)  # cancelled, maybe before it began
        elif chunk.start <= self.limit:  # a verdict behind the failure no longer matters
            self._note(lane, chunk, *judged)
            del lane.pending[chunk.start]
            self._release()
        self.outlet.wake_reader()
        if self.rejected:
            await self.stop()

    def _note(self, lane: _Lane, chunk: Chunk, verdict: ChunkVerdict, result: ValidationResult | None) -> None:
        """Record a verdict. A failure cancels all checks from the chunk on."""
        if self.outlet.detailed:
            self.outlet.put(QuickCheckEvent(lane.requirement, verdict, chunk=chunk, result=result, attempt=self.number))
        if result is not None:
            self.judged(result)
        if verdict == "fail" and result is not None:
            self.failures.append(Failure(lane.requirement, result, chunk=chunk, attempt=self.number))
            self.failures.sort(key=lambda failure: failure.chunk.start if failure.chunk is not None else sys.maxsize)
            self.limit = min(self.limit, chunk.start)
            if self.outlet.looked_at is not None:
                self.outlet.looked_at.chunk(chunk, (result,))
            for check in self._checks:
                if check.chunk.start >= self.limit:
                    check.scope.cancel()

    def _release(self) -> None:
        """Release the chunks that every requirement has judged, in order."""
        waiting = self._waiting
        if not waiting:
            return
        cleared = min([self.limit, *[lane.judged() for lane in self._lanes]])
        outlet, detailed = self.outlet, self.outlet.detailed
        while waiting and waiting[0].end <= cleared:
            chunk = waiting.popleft()
            if outlet.looked_at is not None:
                outlet.looked_at.chunk(chunk)
            outlet.put(ChunkEvent(chunk, attempt=self.number) if detailed else chunk)


def _settled_traceback(thunk: AnyThunk) -> TracebackType | None:
    outcome = thunk.outcome
    return outcome.traceback if outcome is not None else None
