"""The side of a generation that takes events pushed by a backend, from the loop, where bytes arrive.

A backend may have ``begin_pushing(request, pump)``, which sends at once and gives a `Flight`; see `Pushes`. The flight
calls `PushedAudience.push`, `end`, `go_on` and `break_off` from the loop of the generation. A task that pulls batches
of events `push`es them, too, and nothing else does. Where a consumer stops reading, what was pushed too much waits
here, and the flight reads no further.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncGenerator, Sequence
from typing import Protocol, final, runtime_checkable

from .. import loops
from ..values.events import Event
from ..values.request import Request
from ..values.text_answer import Batch, TextAnswer
from .audience import Audience, wake_all
from .observing import Activity

__all__ = ["Departed", "Flight", "PushedAudience", "Pushes", "sent"]


class Flight(Protocol):
    """A generation on its way, whose events are pushed; for the thread of its loop."""

    @property
    def is_sent(self) -> bool:
        """Whether it has begun. If not, `send` begins it."""
        ...

    async def send(self) -> None:
        """Begin, in a task, where that has to wait; push nothing before the next turn of the loop.

        If it is not sent then, it cannot be pushed, or failed: `rest` gives all of it, or raises what failed.
        """
        ...

    def resume(self) -> None:
        """Go on, after more was pushed than was wanted."""
        ...

    def rest(self) -> AsyncGenerator[Batch | Departed, None]:
        """Return the rest, to be pulled by a task; push no more. What it yields may end with a `Departed`."""
        ...

    def abort(self) -> None:
        """Stop, and close what is open."""
        ...


@final
class Departed:
    """The end of some batches, where no task is needed for what follows until there is something of it.

    Args:
        flight: what follows, on its way. If cancellation is asked for meanwhile, it stops.
    """

    __slots__ = ("flight",)

    def __init__(self, flight: Flight) -> None:
        self.flight = flight


@runtime_checkable
class Pushes(Protocol):
    """A backend that can push."""

    def begin_pushing(self, request: Request, pump: PushedAudience, *, once: bool = False) -> Flight | None:
        """Begin at once; return None, with nothing done, where that would have to wait.

        Args:
            once: whether to ask only once, without the backend's own retries.
        """
        ...


class PushedAudience(Audience):
    """An `Audience` whose generation may be pushed.

    Attributes:
        activity: tells those who look on; None if nobody does.
        has_text_only: whether the outcome was settled with its text: `events` then lacks what it makes when asked.
    """

    __slots__ = ("_flight", "_has_ended", "_held", "activity", "has_text_only")

    def __init__(self, loop: loops.Loop) -> None:
        super().__init__(loop)
        self._flight: Flight | None = None  # none for a generation that is pulled, and once all has come
        self._held: Sequence[Event] = ()  # pushed, and not wanted yet
        self.activity: Activity | None = None
        self.has_text_only = False
        self._has_ended = False  # nothing comes after those

    @property
    def is_pushed(self) -> bool:
        """Whether the events are pushed now, with no task that pulls them."""
        return self._flight is not None

    @property
    def is_bound(self) -> bool:
        """Whether the generation must stay in its task: it is observed from there, or is being cancelled."""
        return self.activity is not None or self._cancel_reason is not None or self.loop.is_cancelling()

    @property
    def is_ready_for_text(self) -> bool:
        """Whether `end_with_text` would settle it with that text, where str was asked for."""
        return self.outcome is None and self._cancel_reason is None and not self._held and not self.is_listened_to

    @property
    def is_listened_to(self) -> bool:
        """Whether an observer wants each event."""
        return self.activity is not None and self.activity.is_listened_to

    @abstractmethod
    def begin_reading(self, *, over: bool = False) -> None:
        """Note that the first event is there, or that of another attempt, if it begins `over`."""

    @abstractmethod
    def settle_pushed(self, *, cancelled: str | None = None) -> None:
        """Decide the outcome, now that all has come, or the generation has been stopped."""

    @abstractmethod
    def pull(self, source: AsyncGenerator[Batch | Departed, None] | None) -> None:
        """Pull the rest of the events in a task."""

    # From the flight.

    def push(self, events: Sequence[Event]) -> bool:
        """Take events; return whether more are wanted now."""
        known = self.events
        if not known:
            self.begin_reading()
        count = len(known) + len(events)
        if count > self._demand:
            room = max(self._demand - len(known), 0)
            self._held = events[room:]
            events = events[:room]
            count = len(known) + room
        known += events
        if self.activity is not None and events and self.activity.is_heard:
            self.activity.events(events)
        if self._on_event:
            wake_all(self._on_event)
        if count < self._demand and not self._held:
            return True
        self._paused = self
        if count >= self._demand:
            self._rest_places()
            return False
        # Another thread wants more by now, and may not have seen that this pauses.
        self._paused = None
        held, self._held = self._held, ()
        return not held or self.push(held)

    def take_in(self, events: Sequence[Event]) -> None:
        """Take events of a generation that is being stopped, whether they are wanted or not."""
        self.events += events

    def end(self) -> None:
        """Settle, as soon as all that was pushed has been wanted."""
        if self._held:
            self._has_ended = True
        else:
            self._flight = self._paused = None
            self.settle_pushed(cancelled=self._cancel_reason)

    @abstractmethod
    def end_with_text(self, answer: TextAnswer) -> None:
        """Settle with an answer that is one text and no more."""

    def go_on(self, rest: AsyncGenerator[Batch | Departed, None]) -> None:
        """Pull what follows in a task."""
        held, self._held = self._held, ()
        self._flight = self._paused = None
        self.pull(_after(held, rest) if held else rest)

    def break_off(self, why: BaseException) -> bool:
        """Settle as cancelled: the program is being ended; return whether one who waits raises that.

        Where the loop itself calls, raising it ends the loop. On trio a task does, of which trio takes that amiss.
        """
        is_raised = loops.in_trio_task() and self.has_raiser()
        if is_raised:
            self.interrupt = why
        self._flight = self._paused = None
        self.settle_pushed(cancelled=type(why).__name__)
        return is_raised

    # From consumers, in any thread.

    def wake(self) -> None:
        """Take in what waits here, and have the flight go on: a consumer wants more."""
        if self.loop.is_closed():  # also in a forked child, where this thread has the number of that of the loop
            return
        if self.loop.is_here():
            self._go_on()
        else:
            self.loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        flight = self._flight
        if self._paused is not self or self.outcome is not None or len(self.events) >= self._demand:
            return
        has_places = all(place.take_again_if_free() for place in self.places)
        if not has_places and flight is not None and not self._has_ended:
            self.go_on(flight.rest())  # a task waits for the place
            return
        held, self._held, self._paused = self._held, (), None
        if (not held or self.push(held)) and not self._has_ended:
            if flight is not None:
                flight.resume()
        elif self._has_ended and not self._held:
            self.end()

    def _rest_places(self) -> None:
        for place in self.places:
            place.rest()

    def stop(self) -> None:
        """Stop the generation, which has been asked for; only from the loop's own thread."""
        if self._flight is None:
            self.loop.cancel()
        else:
            # Not here: this may be a signal handler, in the middle of anything.
            self.loop.call_soon(self.stop_now)

    def stop_now(self) -> None:
        """Stop the generation, which has been asked for; only from the loop itself, between tasks."""
        if self.outcome is not None:
            return
        flight = self._flight
        if flight is None:
            self.loop.cancel()  # it was left to a task meanwhile
        else:
            self._flight = self._paused = None
            flight.abort()
            self.settle_pushed(cancelled=self._cancel_reason)


async def sent(flight: Flight) -> AsyncGenerator[Departed, None]:
    """Begin what had to wait, and leave the rest to it."""
    try:
        await flight.send()
    except BaseException:
        flight.abort()
        del flight  # see "Cycles" in `mellite.thunk`
        raise
    yield Departed(flight)


async def _after(
    held: Sequence[Event], rest: AsyncGenerator[Batch | Departed, None]
) -> AsyncGenerator[Batch | Departed, None]:
    try:
        yield held
        async for batch in rest:
            yield batch
    finally:
        await rest.aclose()
