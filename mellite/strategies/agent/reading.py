"""Read the answer of one step as it arrives, and tell of it as a part of a run."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from itertools import compress, islice, tee
from typing import Final, TypeAlias, cast, final, get_args

from attrs import evolve

from ... import loops
from ...thunk.audience import AHEAD, Consumer
from ...thunk.pushed import PushedAudience
from ...thunk.thunk import AnyThunk
from ...values.events import Event, Finish, StepFinish, StepStart
from ...values.text_answer import Batch, TextAnswer
from .progress import Progress

__all__ = ["Departure", "StepReader", "TextEnd", "all_events", "last_event", "step_end"]

#: The events of an answer that are not handed on: a run says by itself where its steps begin and end.
_ITS_OWN: Final = frozenset({StepStart, StepFinish})
_HANDED_ON: Final = frozenset(get_args(Event)) - _ITS_OWN

#: Ends a run with the text of a step, if that gave one, behind some events.
Ending: TypeAlias = "Callable[[StepReader, list[Event]], TextAnswer | None]"


@final
class StepReader(AsyncIterator[list[Event]]):
    """The events of one step, as many at once as are there, without those that say where it begins and ends.

    A consumer of the step from its making on; whoever makes one calls `leave` unless it was read to its end.

    Attributes:
        thunk: the step.
        finish: how the answer ended; None before, and where it is a text that nobody has looked at.
    """

    __slots__ = ("_consumer", "_index", "_pump", "finish", "thunk")

    def __init__(self, thunk: AnyThunk) -> None:
        self.thunk = thunk
        self._consumer = Consumer(AHEAD)
        self._index = 0
        self.finish: Finish | None = None
        self._pump = pump = thunk.begin()
        if pump is not None:
            pump.join(self._consumer)

    async def __anext__(self) -> list[Event]:
        pump = self._pump
        while pump is not None:
            index = self._index
            come = pump.events[index:]
            if come:
                self._index = index = index + len(come)
                pump.ask(self._consumer, index + AHEAD)
                batch = self._told(come)
                if batch:
                    return batch
            elif pump.outcome is not None:
                pump.leave(self._consumer, cancelled=False)
                pump.raise_interrupt()
                break
            else:
                await pump.wait_beyond(index)
        raise StopAsyncIteration

    def __del__(self) -> None:
        pump = self._pump
        if pump is not None and pump.counts(self._consumer):  # its run was cancelled before it read anything
            pump.drop(self._consumer, cancelled=True)

    def wake_at_first(self, waker: loops.Waker) -> bool:
        """Have *waker* woken once there is something of the answer; return False where it need not wait for that."""
        pump = self._pump
        return pump is not None and pump.is_pushed and pump.wake_at_event(waker, beyond=0)

    def wake_at_end(self, waker: loops.Waker) -> None:
        """Have *waker* woken once the step has settled."""
        if self._pump is not None:
            self._pump.wake_when_settled(waker)

    def leave_now(self) -> None:
        """Leave by cancellation, and do not wait; for a step that is pushed."""
        pump = self._pump
        if pump is not None and pump.leave(self._consumer, cancelled=True):
            pump.stop_now()

    def is_unread(self) -> bool:
        """Tell whether the step has settled with a text whose events are made when somebody looks."""
        return self._pump is not None and self._pump.has_text_only

    def is_over(self) -> bool:
        """Tell whether the step has settled, so that `rest` gives all that was not read."""
        return self._pump is None or self._pump.outcome is not None

    def rest(self) -> list[Event]:
        """Return the events that are left of a step that has settled.

        Raises:
            MelliteError: what the step failed with.
        """
        pump, outcome = self._pump, self.thunk.outcome
        if pump is not None:
            pump.raise_interrupt()
        if outcome is None:
            return []
        outcome.raise_error()
        if self.finish is not None:
            return []
        made = outcome.compact.events() if pump is None or pump.has_text_only else pump.events
        return self._told(islice(made, self._index, None))

    async def leave(self) -> None:
        """Leave by cancellation: the step is cancelled too, unless others wait for it; wait until that is done."""
        pump = self._pump
        if pump is not None and pump.leave(self._consumer, cancelled=True):
            await pump.linger()

    def _told(self, come: Iterable[Event]) -> list[Event]:
        """Return what is handed on of some events."""
        here, kinds = tee(come)
        batch = [*compress(here, map(_HANDED_ON.__contains__, map(type, kinds)))]
        if batch and type(batch[-1]) is Finish:  # it is the last of an answer
            self.finish = cast("Finish", batch.pop())
        return batch


def step_end(index: int, thunk: AnyThunk, finish: Finish) -> StepFinish:
    """Return the event that ends a step."""
    return StepFinish(index, reason=finish.reason, raw_reason=finish.raw_reason, usage=thunk.usage)


def last_event(finish: Finish, progress: Progress) -> Finish:
    """Return the event that ends a run: that of its last step, with what all steps have used."""
    return finish if len(progress.thunks) == 1 else evolve(finish, usage=progress.usage)


def all_events(told: list[Event], thunk: AnyThunk, progress: Progress) -> list[Event]:
    """Return the events of a run whose last step was a text that nobody had looked at.

    Args:
        told: what came before that text.
        thunk: the last step.
        progress: the run, which is over.
    """
    events = [*told]
    finish = Finish("stop")
    outcome = thunk.outcome
    for event in () if outcome is None else outcome.compact.events():
        if type(event) is Finish:
            finish = event
        elif type(event) not in _ITS_OWN:
            events.append(event)
    return [*events, step_end(len(progress.steps) - 1, thunk, finish), last_event(finish, progress)]


@final
class TextEnd:
    """Ends a run at the moment in which its last step has given a text, and not when a task gets to it.

    Args:
        answer: ends the run, and returns its answer; None if the step gave something else.
        reader: that of the step.
        told: the events of the run before that text.
        pump: the generation of the run.
    """

    __slots__ = ("_answer", "_told", "pump", "reader")

    def __init__(self, answer: Ending, reader: StepReader, told: list[Event], pump: PushedAudience) -> None:
        self._answer = answer
        self._told = told
        self.reader = reader
        self.pump = pump

    def wake(self) -> None:
        """End the run, if that is what the step has come to."""
        self.try_now()

    def try_now(self) -> bool:
        """End the run now, if the step has given a text; return whether that is so."""
        answer = self._answer(self.reader, self._told) if self.pump.is_ready_for_text else None
        if answer is not None:
            self.pump.end_with_text(answer)
        return answer is not None


@final
class Departure:
    """A run that is about to begin, as a generation takes it: it gives its events in batches, in a task.

    Where its first step is on its way, the task begins when there is something of that to tell, and not at all where
    that is a text, which ends the run.

    Args:
        batches: the events of the run.
        end: ends the run with its first step; None where that is not asked yet.
    """

    __slots__ = ("_batches", "_end", "is_sent")

    def __init__(self, batches: AsyncGenerator[Batch, None], end: TextEnd | None = None) -> None:
        self._batches = batches
        self._end = end
        self.is_sent = end is not None and end.reader.wake_at_first(self)

    def wake(self) -> None:
        """End the run, or go on in a task: there is something of the first step."""
        end, self._end = self._end, None
        if end is not None and end.pump.outcome is None and not end.try_now():
            end.pump.go_on(self.rest())

    def rest(self) -> AsyncGenerator[Batch, None]:
        """Return all of it."""
        return self._batches

    def resume(self) -> None:
        """Do nothing: it pushes nothing by itself."""

    def abort(self) -> None:
        """Leave the first step."""
        end, self._end = self._end, None
        if end is not None:
            end.reader.leave_now()
