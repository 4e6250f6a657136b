"""One generation in flight: the pump that pulls events from a backend, and the consumers that wait for them.

The pump is one task, or none, where the backend pushes; see `mellite.thunk.pushed`. It knows what is in flight, never
the thunk or an iterator, so that the ``__del__`` of those notices when they are dropped. Each consumer says how many
events it wants; the pump pauses when it is that far ahead.

Who may call what from where, locks, forks and ``__del__``: see `mellite.thunk`.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextvars import Context, copy_context
from datetime import UTC, datetime
from types import AsyncGeneratorType
from typing import Any, Final, final, get_args

from .. import loops
from ..loops import forking
from ..loops.places import current_generation
from ..values.backend_streams import iterator_of, name_of
from ..values.errors import InvalidProviderOutput
from ..values.events import Event, Finish
from ..values.request import Request
from ..values.text_answer import Batch, TextAnswer
from ..values.told_errors import error_line
from ..values.type_names import a_type_name
from . import observing
from .audience import CLOSING_SECONDS, wake_all
from .call import CallInfo
from .outcome import Clock, Outcome, conclude, what_ends
from .pushed import Departed, Flight, PushedAudience, sent
from .resolving import resolved, resolved_now

__all__ = ["Pump"]

_LOOP_CLOSED: Final = "event loop closed"
_FORKED: Final = "the process was forked, and its parent goes on with this generation"

#: After so many events that need no waiting, other tasks get their turn.
_MANY: Final = 256

_EVENT_TYPES: Final = frozenset(get_args(Event))

#: Held for one assignment: the first to settle a generation decides. See "Locks" in `mellite.thunk`.
_settling: Final = forking.rlock()


@final
class Pump(PushedAudience):
    """Pulls one generation out of its backend, or has it pushed, for all its consumers.

    Args:
        call: what is asked of whom.
        loop: the loop that the generation runs in.

    Attributes:
        request: the request as the backend gets it, once thunks in the prompt have settled.
        asked: the backend, or what stands around it.
        clock: when it began, and how long it took.
        generation_id: names this generation in logs.
    """

    __slots__ = (
        "__weakref__",
        "_began",
        "_context",
        "_finished",
        "_foretold",
        "_opener",
        "_rest",
        "asked",
        "call",
        "clock",
        "generation_id",
        "request",
    )

    def __init__(self, call: CallInfo, loop: loops.Loop) -> None:
        super().__init__(loop)
        self.call = call
        self.request: Request = call.request
        self.asked = call.backend
        self.clock = Clock(started_at=datetime.now(UTC))
        self.generation_id = os.urandom(8).hex()
        self._began = time.perf_counter()
        self._finished = False  # a finish event has come
        self._rest: AsyncGenerator[Batch | Departed, None] | None = None  # where a flight leaves it to a task
        self._opener: observing.Opener | None = None  # opens the stream in place of the backend
        self._foretold: tuple[int | TextAnswer, Outcome] | None = (
            None  # what it comes to with so many events, or with this
        )
        self._context: Context | None = None  # that of the call, for a task that goes on with what is pushed

    def apart(self, request: Request) -> Pump:
        """Return a pump that asks the same backend for a request whose thunks have settled, in the current loop."""
        return Pump(CallInfo(request, self.call.backend), loops.current())

    def start(self) -> None:
        """Begin, without a task if the backend can push; called once, in the pump's own loop."""
        force = observing.in_force()
        if force is not None:
            told = getattr(self.call.backend, "as_activity", None)
            self.activity = force.begin("generation", self) if told is None else force.begin(*told())
            self.asked, self._opener = force.asked("generation" if told is None else "run", self.call.backend)
        # Not of the instance: that may stand for another one.
        begin = getattr(type(self.asked), "begin_pushing", None)
        request = None if begin is None or self._opener is not None or self.is_cancelling else resolved_now(self.call)
        if begin is None or request is None:
            self.loop.spawn(self.run, self._task_over)
            return
        self.request = request
        try:
            flight = begin(self.asked, request, self)
        except Exception:  # the stream comes across it again, and its error is told
            flight = None
        except BaseException as error:
            self.break_off(error)
            raise
        if flight is not None and flight.is_sent:
            self._flight = flight
            self._context = copy_context()
        else:
            self.pull(flight if flight is None else sent(flight))

    def pull(self, source: AsyncGenerator[Batch | Departed, None] | None) -> None:
        """Pull events in a task: the rest of them, or all if there is no source yet."""
        if self._context is not None and self.loop.is_ending():  # all tasks have been cancelled, and none begins
            self._give_places_back()
            self._settle(cancelled=_LOOP_CLOSED)
            return
        self._rest = source
        # The loop calls back in the context of the call that made the connection.
        context, self._context = self._context, None
        if context is None:
            self.loop.spawn(self.run, self._task_over)
        else:
            context.run(self.loop.spawn, self.run, self._task_over)

    def begin_reading(self, *, over: bool = False) -> None:
        """Note that the first event is there, or that of another attempt, if it begins `over`."""
        if over or self.clock.ttfb_ms is None:
            self.clock.ttfb_ms = (time.perf_counter() - self._began) * 1000

    def end_with_text(self, answer: TextAnswer) -> None:
        """Settle with an answer that is one text and no more."""
        if self.request.output is not str or self._held or self.is_listened_to:
            self.push([*self._held, *answer.events()[len(self.events) + len(self._held) :]])
            self.end()
            return
        self._flight = self._paused = self._context = None  # a context of a task of this pump knows the pump
        self.has_text_only = True
        foretold, self._foretold = self._foretold, None
        self._decide(foretold[1] if foretold is not None and foretold[0] is answer else self._outcome_of(answer))

    def outcome_of(self, answer: TextAnswer) -> Outcome:
        """Return what an answer that is one text and no more comes to, if nothing fails; it then comes to just that."""
        outcome = self._outcome_of(answer)
        self._foretold = (answer, outcome)
        return outcome

    def _outcome_of(self, answer: TextAnswer) -> Outcome:
        clock = self.clock
        clock.duration_ms = (time.perf_counter() - self._began) * 1000
        if clock.ttfb_ms is None:
            clock.ttfb_ms = clock.duration_ms
        return Outcome.of_text(
            answer.text,
            answer.events,
            request=self.request,
            backend=self.call.backend,
            generation_id=self.generation_id,
            clock=clock,
        )

    def settle_pushed(self, *, cancelled: str | None = None) -> None:
        """Settle, in a task where reading the answer runs code of the caller."""
        if cancelled is None and self.request.output is not str:
            self.pull(_nothing())
        else:
            self._context = None
            self._settle(cancelled=cancelled)

    @property
    def generation(self) -> Pump:
        """This; what stands between it and a flight has that, too."""
        return self

    def gets_all_of(self, backend: object) -> bool:
        """Return whether the events of a backend are those of this generation, with nothing in between."""
        return self.asked is backend and self._opener is None

    def time_passed(self) -> Clock:
        """Return when it began, and how long it has taken so far."""
        passed = (time.perf_counter() - self._began) * 1000
        return Clock(started_at=self.clock.started_at, ttfb_ms=self.clock.ttfb_ms, duration_ms=passed)

    def foretell(self, count: int, outcome: Outcome) -> None:
        """Take note of what these events come to, if no more follow and nothing fails: it need not be found twice."""
        self._foretold = (count, outcome)

    def check_loop(self) -> None:
        """Settle as cancelled if the loop was closed under the generation, or stayed behind in a forked process."""
        if self.settled is None and self.loop.is_closed():
            self.settled = self.outcome  # decided already, in a thread that is gone
            self._settle(cancelled=_FORKED if self._is_inherited() else _LOOP_CLOSED)

    def _is_inherited(self) -> bool:
        return self.loop.process != forking.process.number

    # The pump's own task.

    async def run(self) -> None:
        """Generate and settle, in every outcome; then raise what is not an Exception again."""
        failure: BaseException | None = None
        kept: BaseException | None = None  # what somebody else raises
        asked: str | None = None  # why cancellation had been asked for by the time it failed
        source: AsyncIterator[object] | None = None
        stream: AsyncIterator[Event] | None = None
        current_generation.set(self)
        if self.activity is not None:
            observing.become(self.activity)
        try:
            try:
                rest, self._rest = self._rest, None
                if rest is None:
                    self.request = await resolved(self.call)
                    source = stream = self._open()
                    await self._pull(stream)
                while rest is not None:
                    source = rest
                    rest = await self._pull_batches(rest)
            except GeneratorExit as error:
                self._end_at(error)
                return
            except BaseException as error:
                failure = what_ends(error)
            if self._flight is not None and (failure is not None or self._cancel_reason is not None):
                self._break_flight()
            asked = self._cancel_reason
            await self._close(source, failure)
        finally:
            if isinstance(failure, (KeyboardInterrupt, SystemExit)) and self.has_raiser():
                # Whoever waits raises it: trio takes it amiss of a task of its own, and so does the background loop.
                self.interrupt = kept = failure
            if self.outcome is None and self._flight is None:
                self._settle_after(failure, asked)
        if failure is None:
            self.loop.release()
        try:
            if failure is not None and failure is not kept and self._passes_on(failure):
                raise failure
        finally:
            failure = kept = None  # see "Cycles" in `mellite.thunk`
            rest = stream = None
            del self, source

    def _break_flight(self) -> None:
        """Stop a generation that has just been sent, and was cancelled in the same moment."""
        flight, self._flight = self._flight, None
        if flight is not None:
            flight.abort()

    def _passes_on(self, failure: BaseException) -> bool:
        return self.loop.is_cancellation(failure) or isinstance(failure, (KeyboardInterrupt, SystemExit))

    def _open(self) -> AsyncIterator[Event]:
        """Open the stream.

        Raises:
            BackendError: if the backend gives no async iterator.
        """
        instead = self._opener
        stream: Any = self.asked.stream(self.request) if instead is None else instead(self)
        if not hasattr(stream, "__anext__"):
            stream = iterator_of(stream, self.call.backend)
        opened: AsyncIterator[Event] = stream
        return opened

    async def _pull(self, source: AsyncIterator[Event]) -> None:
        events = self.events
        append = events.append
        known = _EVENT_TYPES
        count = len(events)
        activity = self.activity
        if activity is not None and not activity.is_heard:
            activity = None
        try:
            if count and count >= self._demand:
                await self._pause()
            else:
                await self._take_places()
            async for event in source:
                kind = type(event)
                if self._finished or kind not in known:
                    raise self._misplaced(event)
                append(event)
                if activity is not None:
                    activity.events((event,))
                if kind is Finish:
                    self._finished = True
                if self._on_event:
                    wake_all(self._on_event)
                count += 1
                if count == 1:
                    self.begin_reading()
                if count >= self._demand:
                    await self._pause()
                elif not count & 255:
                    await self.loop.checkpoint()
        except BaseException:
            del self, source, events, append  # see "Cycles" in `mellite.thunk`
            raise

    def _misplaced(self, event: object) -> InvalidProviderOutput:
        kind, who = type(event), name_of(self.call.backend)
        if self._finished:
            what = "a second finish event" if kind is Finish else f"{a_type_name(kind)} event"
            return InvalidProviderOutput(f"{who} sent {what} after the finish event")
        return InvalidProviderOutput(f"{who} yielded {a_type_name(kind)}; a stream consists of mellite.events")

    async def _pull_batches(
        self, batches: AsyncGenerator[Batch | Departed, None]
    ) -> AsyncGenerator[Batch | Departed, None] | None:
        """Pull batches to their end; return those that follow, if there are any."""
        count = 0  # of events since other tasks had their turn
        following: AsyncGenerator[Batch | Departed, None] | None = None
        try:
            async for batch in batches:
                if type(batch) is list:
                    events: Sequence[Event] = batch
                elif type(batch) is Departed:
                    following = self._leave_to(batch.flight)
                    continue
                elif type(batch) is not TextAnswer:
                    events = batch
                elif self.request.output is str and not self.is_listened_to:
                    self.end_with_text(batch)
                    continue
                else:
                    events = batch.events()[len(self.events) :]
                wanted = self.push(events)
                while not wanted and (self._held or type(self.events[-1]) is not Finish):
                    await self._pause()
                    held, self._held = self._held, ()
                    wanted = not held or self.push(held)
                count += len(events)
                if count >= _MANY:
                    count = 0
                    await self.loop.checkpoint()
        except BaseException:
            del self, batches, following  # see "Cycles" in `mellite.thunk`
            raise
        return following

    def _leave_to(self, flight: Flight) -> AsyncGenerator[Batch | Departed, None] | None:
        """Have a flight go on, so that this task may end; return what is to be pulled if it has not begun."""
        if not flight.is_sent or self.loop.is_cancelling():
            return flight.rest()
        self._flight, self._context = flight, copy_context()
        return None

    async def _pause(self) -> None:
        """Wait until a consumer wants more. After the finish event, go on, so that the source can close."""
        while len(self.events) >= self._demand and not self._finished:
            if self._cancel_reason is not None:
                await self.loop.checkpoint()  # where the cancellation that was asked for arrives
                if loops.is_being_cancelled(None):
                    self.loop.cancel()  # it had arrived, and a backend or a tool took it for an error of its own
            waiter = self.loop.waiter()
            self._paused = waiter
            if len(self.events) < self._demand:
                break
            for place in self.places:
                place.rest()
            await waiter.wait()
        self._paused = None
        await self._take_places()

    async def _take_places(self) -> None:
        for place in self.places:
            await place.take_again()

    async def _close(self, source: AsyncIterator[object] | None, failure: BaseException | None) -> None:
        """Close the stream, shielded from cancellation, so that its connection goes back or is cut."""
        if failure is None and type(source) is AsyncGeneratorType:
            return  # it has run to its end
        close = getattr(source, "aclose", None)
        if close is None:
            return
        try:
            if failure is None:
                await close()
                return
            with loops.move_on_after(CLOSING_SECONDS, shield=True):
                await close()
        except Exception as error:  # the answer, or the first error, counts for more
            self.clock.extra = {"closing_error": error_line(error)}

    def _task_over(self) -> None:
        # A task that is cancelled before its first step never enters `run`.
        if self.outcome is None and self._flight is None:
            self._rest = None
            self._give_places_back()
            self._settle(cancelled=self._cancel_reason or _LOOP_CLOSED)

    def _give_places_back(self) -> None:
        """Give back what a stream holds that was closed before it began."""
        for place in self.places:
            place.give_back()

    # Settling.

    def _end_at(self, exit: GeneratorExit) -> None:
        """Settle where nothing can be awaited: the loop is gone, or a backend has raised this of its own accord.

        Raises:
            GeneratorExit: if the loop is gone. Out of a task that runs it would end the whole of trio.
        """
        if loops.running_here() is None or self.loop.is_closed():
            self._settle(cancelled=_LOOP_CLOSED)
            raise exit
        self._settle_after(exit, self._cancel_reason)

    def _settle_after(self, failure: BaseException | None, asked: str | None) -> None:
        if failure is not None:
            self._give_places_back()
        if failure is None or asked is not None:
            self._settle(cancelled=asked, cause=failure)
        elif self.loop.is_cancellation(failure):
            self._settle(cancelled=_LOOP_CLOSED)
        elif isinstance(failure, (KeyboardInterrupt, SystemExit)):
            self._settle(cancelled=type(failure).__name__)
        else:
            self._settle(error=failure)
        del self, failure  # likewise

    def _settle(
        self,
        *,
        error: BaseException | None = None,
        cancelled: str | None = None,
        cause: BaseException | None = None,
    ) -> None:
        """Decide the outcome, once."""
        self.clock.duration_ms = (time.perf_counter() - self._began) * 1000
        foretold, self._foretold = self._foretold, None
        if foretold is not None and error is None and cancelled is None and foretold[0] == len(self.events):
            self._decide(foretold[1])
            return
        outcome = conclude(
            self.events,
            request=self.request,
            backend=self.call.backend,
            generation_id=self.generation_id,
            clock=self.clock,
            error=error,
            cancelled=cancelled,
        )
        if outcome.state == "cancelled" and isinstance(cause, Exception) and outcome.error is not None:
            outcome.error.__cause__ = cause  # what the backend made of being cancelled
        try:
            self._decide(outcome)
        finally:
            del self, outcome, error, cause  # an answer that does not fit was read below this frame: see "Cycles"

    def _decide(self, outcome: Outcome) -> None:
        """Take the first outcome, tell those who look on, and wake all who wait for it."""
        with _settling:
            if self.outcome is not None:
                return
            self.outcome = outcome
        activity, self.activity = self.activity, None
        try:
            if activity is not None and not self._is_inherited():
                activity.settle(error=outcome.error)
        finally:
            self.settled = outcome
            self._consumers.clear()
            if self._is_inherited():  # see "Forks" in `mellite.thunk`
                self._on_event.clear()
                self._on_settled.clear()
            if self._on_event:
                wake_all(self._on_event)
            wake_all(self._on_settled)


async def _nothing() -> AsyncGenerator[Batch, None]:
    return
    yield
