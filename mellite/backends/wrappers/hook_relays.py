"""Show hooks what is pushed, without a task: between what pushes and the pump."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any, final

from ...values.events import Event
from ...values.text_answer import Batch, TextAnswer
from .hook_notes import Notes, failing, passed_in_batches

__all__ = ["HookRelay"]


@final
class HookRelay:
    """The flight of the pump, and the sink of the flight inside, as `mellite.backends.wrappers.relays.Relay` is.

    Attributes:
        flight: the flight inside.
        generation: the one that it is a part of.
        is_sent: whether it was sent at once.
    """

    __slots__ = ("_count", "_notes", "_pump", "flight", "generation", "is_sent")

    def __init__(self, pump: Any, notes: Notes) -> None:
        self._pump: Any = pump  # None once nothing more comes
        self._notes = notes
        self._count = 0  # of the events so far
        self.flight: Any = None
        self.generation = pump.generation
        self.is_sent = False

    # From the flight inside.

    def push(self, events: Sequence[Event]) -> bool:
        """Hand on events; return whether more are wanted now."""
        self._count += len(events)
        self._notes.look(events)
        wanted: bool = self._pump.push(events)
        return wanted

    def begin_reading(self, *, over: bool = False) -> None:
        """Hand on that the first event is there."""
        self._pump.begin_reading(over=over)

    def take_in(self, events: Sequence[Event]) -> None:
        """Hand on events of a generation that is being stopped."""
        self._notes.look(events)
        self._pump.take_in(events)

    def end(self) -> None:
        """Tell the hooks that all has come, and hand it on."""
        failure = self._notes.end_now()
        if failure is None:
            self._pump.end()
        else:
            self._pump.go_on(failing(failure))
        self._pump = None  # whose flight this may be: together they would be a cycle, left to the collector

    def end_with_text(self, answer: TextAnswer) -> None:
        """Tell the hooks that all has come, and hand it on."""
        notes = self._notes
        if notes.listeners:
            keeps, notes.keeps = notes.keeps, False
            notes.look(answer.events()[self._count :])
            notes.keeps = keeps
        failure = notes.end_now(answer)
        if failure is None:
            self._pump.end_with_text(answer)
        else:
            self._pump.push(answer.events()[self._count :])
            self._pump.go_on(failing(failure))
        self._pump = None  # likewise

    def go_on(self, rest: AsyncGenerator[Batch, None]) -> None:
        """Leave what follows to a task."""
        self.flight = None  # likewise
        self._pump.go_on(self._passed(rest))

    def break_off(self, why: BaseException) -> bool:
        """Hand on that the program is being ended."""
        self._notes.is_over = True
        is_raised: bool = self._pump.break_off(why)
        self._pump = None  # likewise
        return is_raised

    def _passed(self, rest: AsyncGenerator[Batch, None]) -> AsyncGenerator[Batch, None]:
        return passed_in_batches(rest, self._notes)

    # From the pump.

    async def send(self) -> None:
        """Send what has not been sent, in a task; see `mellite.thunk.pushed.Flight`."""
        await self.flight.send()
        self.is_sent = self.flight.is_sent

    def hand_over(self, sink: Any) -> None:
        """Push to another sink from now on."""
        self._pump = sink

    def resume(self) -> None:
        """Go on, after more was pushed than was wanted."""
        self.flight.resume()

    def rest(self) -> AsyncGenerator[Batch, None]:
        """Return the rest, to be pulled by a task; push no more."""
        flight, self.flight = self.flight, None  # likewise
        return self._passed(flight.rest())

    def abort(self) -> None:
        """Stop, close what is open, and tell the hooks."""
        self.flight.abort()
        self._notes.cancel()
