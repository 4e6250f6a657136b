"""Read the answer of one step as it arrives, and tell of it as a part of a run."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import compress
from typing import TYPE_CHECKING, Final, cast, final, get_args

from attrs import evolve

from ... import loops
from ...thunk.audience import AHEAD, Consumer
from ...thunk.thunk import AnyThunk
from ...values.events import Event, Finish, StepFinish, StepStart
from .progress import Progress

if TYPE_CHECKING:
    from ...thunk.outcome import Outcome
    from ...thunk.pump import Pump

__all__ = ["StepReader", "all_events", "last_event", "step_end"]

#: The events of an answer that are not handed on: a run says by itself where its steps begin and end.
_ITS_OWN: Final = frozenset({StepStart, StepFinish})
_is_handed_on: Final = (frozenset(get_args(Event)) - _ITS_OWN).__contains__


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
            elif pump.settled is not None:
                pump.leave(self._consumer, cancelled=False)
                pump.raise_interrupt()
                break
            else:
                await pump.wait_beyond(index)
        raise StopAsyncIteration

    def __del__(self) -> None:
        pump = self._pump
        if (
            pump is not None and pump.outcome is None and pump.counts(self._consumer)
        ):  # its run was cancelled before it read anything
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

    @property
    def outcome(self) -> Outcome | None:
        """The outcome of the step, from which `rest` gives what was not read; None while the step runs."""
        return self.thunk.outcome if self._pump is None else self._pump.settled

    @property
    def text_outcome(self) -> Outcome | None:
        """What the step came to, if that is a text whose events are made when somebody looks."""
        return self._pump.settled if self._pump is not None and self._pump.has_text_only else None

    def rest(self, outcome: Outcome) -> list[Event]:
        """Return the events that are left of a step that has settled.

        Raises:
            MelliteError: what the step failed with.
        """
        pump, self._pump = self._pump, None
        if pump is not None and pump.interrupt is not None:
            pump.raise_interrupt()
        if outcome.error is not None:
            try:
                outcome.raise_error()
            except BaseException:
                del self, pump, outcome  # see "Cycles" in `mellite.thunk`
                raise
        return [] if self.finish is not None else self.left(outcome, pump)

    def left(self, outcome: Outcome, pump: Pump | None = None) -> list[Event]:
        """Return the events that nobody has read of a step that has settled, also of one that has failed."""
        pump = self._pump if pump is None else pump
        made = list(outcome.compact.events() if pump is None or pump.has_text_only else pump.events)
        index, self._index = self._index, len(made)
        return self._told(made[index:])

    async def leave(self) -> None:
        """Leave by cancellation: the step is cancelled too, unless others wait for it; wait until that is done."""
        pump = self._pump
        if pump is not None and pump.leave(self._consumer, cancelled=True):
            await pump.linger()

    def _told(self, come: list[Event]) -> list[Event]:
        """Return what is handed on of some events."""
        batch = [*compress(come, map(_is_handed_on, map(type, come)))]
        if batch and type(batch[-1]) is Finish:  # it is the last of an answer
            self.finish = cast("Finish", batch.pop())
        return batch


def step_end(index: int, outcome: Outcome, finish: Finish) -> StepFinish:
    """Return the event that ends a step."""
    return StepFinish(index, reason=finish.reason, raw_reason=finish.raw_reason, usage=outcome.generation.usage)


def last_event(finish: Finish, progress: Progress) -> Finish:
    """Return the event that ends a run: that of its last step, with what all steps have used."""
    return finish if len(progress.thunks) == 1 else evolve(finish, usage=progress.usage)


def all_events(told: list[Event], outcome: Outcome, progress: Progress) -> list[Event]:
    """Return the events of a run whose last step was a text that was not read.

    Args:
        told: what came before that text.
        outcome: that of the last step.
        progress: the run, which is over.
    """
    events = [*told]
    finish = Finish("stop")
    for event in outcome.compact.events():
        if type(event) is Finish:
            finish = event
        elif type(event) not in _ITS_OWN:
            events.append(event)
    return [*events, step_end(progress.count - 1, outcome, finish), last_event(finish, progress)]
