"""Read the answer of one step as it arrives, and tell of it as a part of a run."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from itertools import islice
from typing import Final, cast, final

from attrs import evolve

from ... import loops
from ...thunk.audience import AHEAD, Consumer
from ...thunk.pushed import PushedAudience
from ...thunk.thunk import AnyThunk
from ...values.events import Event, Finish, StepFinish, StepStart
from ...values.text_answer import Batch
from .progress import Progress

__all__ = ["Departure", "StepReader", "all_events", "last_event", "step_end"]

#: The events of an answer that are not handed on: a run says by itself where its steps begin and end.
_ITS_OWN: Final = frozenset({StepStart, StepFinish})


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
        batch = [event for event in come if type(event) not in _ITS_OWN]
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
class Departure:
    """A run that is about to begin, as a generation takes it: it gives its events in batches, in a task.

    Where its first step is on its way, the task begins when there is something of that to tell: a turn of the loop less.

    Args:
        batches: the events of the run.
        reader: that of the first step, if this was asked.
        pump: the generation of the run.
    """

    __slots__ = ("_batches", "_pump", "_reader", "is_sent")

    def __init__(
        self,
        batches: AsyncGenerator[Batch, None],
        reader: StepReader | None = None,
        pump: PushedAudience | None = None,
    ) -> None:
        self._batches = batches
        self._reader = reader
        self._pump = pump
        self.is_sent = reader is not None and reader.wake_at_first(self)

    def wake(self) -> None:
        """Go on in a task: there is something of the first step."""
        pump, self._pump = self._pump, None
        if pump is not None and pump.outcome is None:
            pump.go_on(self.rest())

    def rest(self) -> AsyncGenerator[Batch, None]:
        """Return all of it."""
        return self._batches

    def resume(self) -> None:
        """Do nothing: it pushes nothing by itself."""

    def abort(self) -> None:
        """Leave the first step."""
        self._pump = None
        if self._reader is not None:
            self._reader.leave_now()
