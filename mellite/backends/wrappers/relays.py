"""Wrappers that look at the events of an answer on their way, pushed or pulled, and change none.

What looks is a `Watch`. `Relay` stands between what pushes and the pump, and shows it every batch; `watched` does so in
a task. `Watching` is the wrapper that has one for each generation. Of wrappers that are directly around one another,
all watches share one relay.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, final

from ...values.events import Event
from ...values.request import Request
from ...values.text_answer import Batch, TextAnswer
from .wrapper import Unsent, Wrapper, batches_of

__all__ = ["Relay", "Watch", "Watching", "watched"]


class Watch:
    """Looks at one generation; called in the thread of its loop, but for `over`. A subclass overrides what it needs."""

    __slots__ = ()

    def look(self, batch: Batch) -> None:
        """Look at events that go by."""

    def ended(self) -> None:
        """Take note that all has come."""

    def failed(self, error: Exception) -> None:
        """Take note of a failure."""

    def over(self) -> None:
        """Take note that nothing follows, however it ended. Idempotent."""

    def see_whole(self, answer: TextAnswer) -> None:
        """Look at an answer that came at once: nothing follows."""
        self.look(answer)
        self.ended()
        self.over()


async def watched(source: AsyncGenerator[Batch, None], watch: Watch) -> AsyncGenerator[Batch, None]:
    """Yield what comes from *source*, which is closed in the end, and show it to *watch*."""
    try:
        async for batch in source:
            watch.look(batch)
            yield batch
        watch.ended()
    except Exception as error:
        watch.failed(error)
        raise
    finally:
        watch.over()
        await source.aclose()


@final
class Relay:
    """Shows watches what is pushed; the flight of the pump, and the sink of the flight inside.

    Attributes:
        flight: the flight inside.
        generation: the one that it is a part of.
        is_sent: whether it was sent at once.
    """

    __slots__ = ("_pump", "_watches", "flight", "generation", "is_sent")

    is_sent: bool

    def __init__(self, pump: Any, watch: Watch) -> None:
        self._pump: Any = pump  # None once nothing more comes
        self._watches: tuple[Watch, ...] = (watch,)  # the innermost first
        self.flight: Any = None
        self.generation = pump.generation

    def begin_inside(self, watch: Watch, begin: Callable[..., Any], request: Request, *, once: bool) -> Any:
        """Show it to another watch, too, that of the wrapper inside; return the flight inside that one."""
        watches = self._watches
        self._watches = (watch, *watches)
        flight = begin(request, self, once=once)
        if flight is None:
            self._watches = watches
        return flight

    # From the flight inside.

    def push(self, events: Sequence[Event]) -> bool:
        """Hand on events; return whether more are wanted now."""
        for watch in self._watches:
            watch.look(events)
        wanted: bool = self._pump.push(events)
        return wanted

    def begin_reading(self, *, over: bool = False) -> None:
        """Hand on that the first event is there."""
        self._pump.begin_reading(over=over)

    def take_in(self, events: Sequence[Event]) -> None:
        """Hand on events of a generation that is being stopped."""
        self._pump.take_in(events)

    def end(self) -> None:
        """Hand on that all has come."""
        for watch in self._watches:
            watch.ended()
            watch.over()
        self._pump.end()
        self._pump = None  # whose flight this may be: together they would be a cycle, left to the collector

    def end_with_text(self, answer: TextAnswer) -> None:
        """Hand on an answer that is one text."""
        for watch in self._watches:
            watch.see_whole(answer)
        self._pump.end_with_text(answer)
        self._pump = None  # likewise

    def go_on(self, rest: AsyncGenerator[Batch, None]) -> None:
        """Leave what follows to a task."""
        self.flight = None  # likewise
        self._pump.go_on(self._watched(rest))

    def break_off(self, why: BaseException) -> bool:
        """Hand on that the program is being ended."""
        self._over()
        is_raised: bool = self._pump.break_off(why)
        self._pump = None  # likewise
        return is_raised

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
        return self._watched(flight.rest())

    def abort(self) -> None:
        """Stop, and close what is open."""
        self._over()
        self.flight.abort()

    def _watched(self, rest: AsyncGenerator[Batch, None]) -> AsyncGenerator[Batch, None]:
        for watch in self._watches:
            rest = watched(rest, watch)
        return rest

    def _over(self) -> None:
        for watch in self._watches:
            watch.over()


class Watching(Wrapper):
    """A wrapper with a `Watch` for each generation, which may have to wait for it."""

    @abstractmethod
    def _enter(self, request: Request) -> Watch | Unsent | None:
        """Return a watch for a generation that may begin now, or what gives its answer without asking.

        None where it has to wait, or must not begin.
        """

    async def _admit(self, request: Request) -> tuple[Watch, Request]:
        """Wait until a generation may begin; return a watch for it, and what is asked now. By default, none waits."""
        return Watch(), request

    async def batches(self, request: Request, *, once: bool = False) -> AsyncGenerator[Batch, None]:
        """Wait until the generation may begin, then yield its events."""
        watch = self._enter(request)
        if watch is None:
            watch, request = await self._admit(request)
        rest = self._watched(request, watch, once=once) if isinstance(watch, Watch) else watch.rest()
        try:
            async for batch in rest:
                yield batch
        finally:
            await rest.aclose()
            if isinstance(watch, Watch):
                watch.over()  # where it never began

    def _watched(self, request: Request, watch: Watch, *, once: bool) -> AsyncGenerator[Batch, None]:
        return watched(batches_of(self._backend, request, once=once), watch)

    def begin_pushing(self, request: Request, pump: Any, *, once: bool = False) -> Any:
        """Send at once, if nothing has to wait, and push the events."""
        if not self._can_push():
            return None
        begin = getattr(self._backend, "begin_pushing", None)
        watch = None if begin is None else self._enter(request)
        if begin is None or watch is None:
            return Unsent(self.batches(request, once=once))
        if type(watch) is Unsent:
            return watch
        try:
            if type(pump) is Relay:  # of the wrapper directly around this one
                flight = pump.begin_inside(watch, begin, request, once=once)
            else:
                relay = Relay(pump, watch)
                flight = relay.flight = begin(request, relay, once=once)
                if flight is not None:
                    relay.is_sent = flight.is_sent
                    return relay
        except BaseException:
            watch.over()
            raise
        return Unsent(self._watched(request, watch, once=once)) if flight is None else flight
