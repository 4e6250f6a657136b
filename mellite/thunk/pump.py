"""One generation in flight: the pump that pulls events from a backend, and the consumers that wait for them.

The pump is one task. It knows what is in flight, never the thunk or an iterator, so that dropping those is
noticed by ``__del__``. Consumers say how many events they want; the pump pauses when it is that far ahead.

Wake-ups need no lock: a consumer adds its waiter and then looks again; the pump appends and then looks at the
waiters.
"""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final, cast, get_args

from .. import loops
from ..loops import forking
from ..loops.places import Place, current_generation
from ..values.errors import BackendError, InvalidProviderOutput
from ..values.events import Event, Finish
from .call import CallInfo, name_of, opener, resolved
from .outcome import Clock, Outcome, conclude

__all__ = ["AHEAD", "Consumer", "Pump"]

#: How far the pump runs ahead of an iterator, in events: waiting after each costs 20 times as much.
AHEAD: Final = 256

#: What an `await` wants.
_EVERYTHING: Final = sys.maxsize

#: How long a backend may take to close its stream after a cancellation, in seconds.
CLOSING_SECONDS: Final = 5.0

LOOP_CLOSED: Final = "event loop closed"
FORKED: Final = "the process was forked, and its parent goes on with this generation"

_EVENT_TYPES: Final = frozenset(get_args(Event))


class Consumer:
    """Somebody who waits for a generation, and how many of its events they want.

    Attributes:
        gone: it was dropped, and is taken off the list as soon as the loop of the generation gets to it.
    """

    __slots__ = ("gone", "want")

    def __init__(self, want: int) -> None:
        self.want = want
        self.gone = False


class Pump:
    """Pulls one generation out of its backend, for all its consumers."""

    __slots__ = (
        "__weakref__",
        "began",
        "call",
        "cancel_reason",
        "clock",
        "consumers",
        "demand",
        "done",
        "events",
        "finished",
        "generation_id",
        "loop",
        "outcome",
        "paused",
        "places",
        "progress",
        "request",
        "settle_all",
    )

    def __init__(self, call: CallInfo, loop: loops.Loop, settle_all: Callable[..., Awaitable[object]]) -> None:
        self.call = call
        self.settle_all = settle_all
        self.request = call.request
        self.loop = loop
        self.events: list[Event] = []
        self.demand = 0
        self.consumers: dict[Consumer, None] = {}
        self.progress: list[loops.Waiter] = []  # wake at the next event
        self.done: list[loops.Waiter] = []  # wake when settled
        self.paused: loops.Waiter | None = None
        self.places: tuple[Place, ...] = ()  # among those that generate at once; given up while paused
        self.cancel_reason: str | None = None
        self.finished = False
        self.outcome: Outcome | None = None
        self.generation_id = secrets.token_hex(8)
        self.began = time.perf_counter()
        self.clock = Clock(started_at=datetime.now(UTC))

    # Consumers: from any task, thread or loop.

    def start(self) -> None:
        """Begin pulling; called once, in the pump's own loop."""
        self.loop.spawn(self.run, self._task_over)

    def enter(self) -> Consumer:
        """A new consumer who wants everything, counted."""
        consumer = Consumer(_EVERYTHING)
        self.join(consumer)
        return consumer

    def join(self, consumer: Consumer) -> None:
        """Count `consumer`, and let the pump run as far as it wants."""
        self.consumers[consumer] = None
        self.raise_demand(consumer.want)
        if self.outcome is None and self.loop.is_closed():
            self.check_loop()

    def raise_demand(self, want: int) -> None:
        """Let the pump run as far as `want` events."""
        if want > self.demand:
            self.demand = want
            paused = self.paused
            if paused is not None and self.cancel_reason is None:
                paused.wake()

    def leave(self, consumer: Consumer, *, cancelled: bool) -> bool:
        """Count `consumer` no longer; if it was the last and left by cancellation, cancel the generation.

        Returns whether that was so.
        """
        self.consumers.pop(consumer, None)
        if self.outcome is not None:
            return False
        left = [other for other in list(self.consumers) if not other.gone]
        if not left and cancelled:
            self.request_cancel("its last consumer was cancelled")
            return True
        if self.cancel_reason is None:
            self.demand = max([other.want for other in left], default=0)
        return False

    def request_cancel(self, reason: str, *, from_del: bool = False) -> None:
        """Ask for cancellation; from any thread, any number of times, also from inside the stream."""
        if self.outcome is not None or self.cancel_reason is not None:
            return
        self.cancel_reason = reason
        self.demand = -1  # so that a stream which never waits notices at its next event
        if not from_del and self.loop.is_here() and not self.loop.is_closed():
            self.loop.cancel()
        elif not self.loop.call_soon(self.loop.cancel) and not from_del:
            self.check_loop()

    def is_inside(self) -> bool:
        """Whether the code that asks runs inside this generation's own stream."""
        return current_generation.get() is self

    async def wait_settled(self, consumer: Consumer | None = None) -> None:
        """Wait until it is settled; `consumer`, already joined, leaves by cancellation if this is cancelled."""
        try:
            if consumer is None:  # else it was looked at when that one joined
                self.check_loop()
            while self.outcome is None:
                waiter = loops.waiter()
                self.done.append(waiter)
                if self.outcome is not None:
                    break
                await _woken(waiter, self.done)
        except GeneratorExit:
            if consumer is not None:
                self.leave(consumer, cancelled=True)
            raise
        except BaseException:
            if consumer is not None and self.leave(consumer, cancelled=True):
                await self.linger()
            raise
        if consumer is not None:
            self.consumers.pop(consumer, None)

    async def linger(self) -> None:
        """After asking for cancellation: wait until the stream is closed, if that happens in this loop."""
        if not self.loop.is_here() or self.is_inside():
            return
        import anyio

        with anyio.CancelScope(shield=True, deadline=anyio.current_time() + 2 * CLOSING_SECONDS):
            await self.wait_settled()

    def linger_in_thread(self) -> None:
        """Do the same without a loop; not where blocking would hold up the generation itself, or another loop."""
        if self.loop.is_here() or loops.running_here() is not None:
            return
        waiter = loops.thread_waiter()
        self.done.append(waiter)
        if self.outcome is None:
            waiter.block(2 * CLOSING_SECONDS)

    async def wait_beyond(self, position: int) -> None:
        """Wait until there are more than `position` events, or it is settled."""
        self.check_loop()
        while len(self.events) <= position and self.outcome is None:
            waiter = loops.waiter()
            self.progress.append(waiter)
            if len(self.events) > position or self.outcome is not None:
                break
            await _woken(waiter, self.progress)

    def check_loop(self) -> None:
        """Settle as cancelled if the loop was closed under it, or runs in the process that this one was forked from."""
        if self.outcome is None and self.loop.is_closed():
            self.settle(cancelled=FORKED if self._is_inherited() else LOOP_CLOSED)

    def _is_inherited(self) -> bool:
        return self.loop.process != forking.process.number

    # The pump's own task.

    async def run(self) -> None:
        """Generate; settles in every outcome. Anything that is no Exception is raised again."""
        failure: BaseException | None = None
        asked: str | None = None  # why cancellation had been asked for when it went wrong
        source: AsyncIterator[Event] | None = None
        current_generation.set(self)
        try:
            try:
                self.request = await resolved(self.call, self.settle_all)
                source = self._open()
                await self._pull(source)
            except GeneratorExit:  # the loop is gone: nothing can be awaited any more
                self.settle(cancelled=LOOP_CLOSED)
                raise
            except BaseException as error:
                failure = error
            asked = self.cancel_reason
            await self._close(source, failure)
        finally:
            if self.outcome is None:
                self._settle_after(failure, asked)
        try:
            if failure is not None and not isinstance(failure, Exception) and self._passes_on(failure):
                raise failure
        finally:
            failure = None  # it knows this frame: keep no cycle
            del self, source  # so does the frame that raised it, from Python 3.13 on: as the one that called it

    def _passes_on(self, failure: BaseException) -> bool:
        return self.loop.is_cancellation(failure) or isinstance(failure, (KeyboardInterrupt, SystemExit))

    def _open(self) -> AsyncIterator[Event]:
        instead = opener.get()
        stream: Any = self.call.backend.stream(self.request) if instead is None else instead(self)
        if not hasattr(stream, "__anext__") and hasattr(stream, "__aiter__"):
            stream = stream.__aiter__()
        if not hasattr(stream, "__anext__"):
            if hasattr(stream, "close"):
                stream.close()  # a coroutine: never awaited otherwise
            msg = (
                f"{name_of(self.call.backend)}.stream gave a {type(stream).__name__}, not an async iterator of events; "
                "write it as `async def stream(self, request)` with `yield`"
            )
            raise BackendError(msg)
        return cast("AsyncIterator[Event]", stream)

    async def _pull(self, source: AsyncIterator[Event]) -> None:
        events = self.events
        append = events.append
        known = _EVENT_TYPES
        try:
            async for event in source:
                if self.finished:
                    what = "a second finish event" if type(event) is Finish else f"a {type(event).__name__} event"
                    msg = f"{name_of(self.call.backend)} sent {what} after the finish event"
                    raise InvalidProviderOutput(msg)
                kind = type(event)
                if kind not in known:
                    msg = f"{name_of(self.call.backend)} yielded a {kind.__name__}; a stream consists of mellite.events"
                    raise InvalidProviderOutput(msg)
                append(event)
                if kind is Finish:
                    self.finished = True
                if self.progress:
                    self._wake(self.progress)
                count = len(events)
                if count == 1:
                    self.clock.ttfb_ms = (time.perf_counter() - self.began) * 1000
                if count >= self.demand:
                    await self._pause()
                elif not count & 255:
                    await self.loop.checkpoint()
        except BaseException:
            del self, source, events, append  # as in `run`
            raise

    async def _pause(self) -> None:
        """Wait until somebody wants more; a finished stream is let run out."""
        while len(self.events) >= self.demand and not self.finished:
            if self.cancel_reason is not None:
                await self.loop.checkpoint()  # where the cancellation that was asked for arrives
            waiter = self.loop.waiter()
            self.paused = waiter
            if len(self.events) < self.demand:
                break
            for place in self.places:
                place.rest()
            await waiter.wait()
        self.paused = None
        for place in self.places:
            await place.take_again()

    async def _close(self, source: Any, failure: BaseException | None) -> None:
        """Close the stream, shielded from cancellation, so that its connection goes back or is cut."""
        close = getattr(source, "aclose", None)
        if close is None:
            return
        try:
            if failure is None:
                await close()  # an exhausted generator: nothing left to do
                return
            import anyio

            with anyio.CancelScope(shield=True, deadline=anyio.current_time() + CLOSING_SECONDS):
                await close()
        except Exception as error:  # the answer, or the first error, counts for more
            self.clock.extra = {"closing_error": repr(error)}

    # Settling.

    def _settle_after(self, failure: BaseException | None, asked: str | None) -> None:
        if failure is None or asked is not None:
            self.settle(cancelled=asked, cause=failure)
        elif self.loop.is_cancellation(failure):
            self.settle(cancelled=LOOP_CLOSED)
        elif isinstance(failure, (KeyboardInterrupt, SystemExit)):
            self.settle(cancelled=type(failure).__name__)
        else:
            self.settle(error=failure)

    def settle(
        self,
        *,
        error: BaseException | None = None,
        cancelled: str | None = None,
        cause: BaseException | None = None,
    ) -> None:
        """Decide the outcome, once, and wake everybody."""
        self.clock.duration_ms = (time.perf_counter() - self.began) * 1000
        outcome = conclude(
            self.events,
            request=self.request,
            backend=name_of(self.call.backend),
            generation_id=self.generation_id,
            clock=self.clock,
            error=error,
            cancelled=cancelled,
        )
        if outcome.state == "cancelled" and isinstance(cause, Exception) and outcome.error is not None:
            outcome.error.__cause__ = cause  # what the backend made of being cancelled
        with _settling:
            if self.outcome is not None:
                return
            self.outcome = outcome
        self.consumers.clear()
        if self._is_inherited():  # whoever waits does so in the parent
            self.progress.clear()
            self.done.clear()
        self._wake(self.progress)
        self._wake(self.done)

    def _wake(self, waiters: list[loops.Waiter]) -> None:
        while waiters:
            try:
                waiter = waiters.pop(0)
            except IndexError:  # another thread took the last one
                return
            waiter.wake()

    def _task_over(self) -> None:
        # A task that is cancelled before its first step never enters `run`.
        if self.outcome is None:
            self.settle(cancelled=self.cancel_reason or LOOP_CLOSED)


async def _woken(waiter: loops.Waiter, waiters: list[loops.Waiter]) -> None:
    """Wait for a wake-up; who gives up is no longer among the waiters."""
    try:
        await waiter.wait()
    except BaseException:
        with suppress(ValueError):  # woken in the same moment
            waiters.remove(waiter)
        raise


#: Held for one assignment: whoever settles first decides.
_settling: Final = forking.rlock()  # a signal handler that cancels may come in between
