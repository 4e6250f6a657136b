"""The consumers of a generation: how many events they want, and what wakes them.

Who may call what from where, and why there is no lock: see `mellite.thunk`.
"""

from __future__ import annotations

import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from .. import loops
from ..loops.places import Place, current_generation
from ..values.errors import InvalidRequest
from ..values.events import Event
from .text_so_far import TextSoFar

if TYPE_CHECKING:
    from .outcome import Outcome

__all__ = ["AHEAD", "CLOSING_SECONDS", "LOOK", "Audience", "Consumer", "linger_in_thread", "wake_all"]

#: How far a generation runs ahead of an iterator, in events. Waiting for the reader after each costs 20 times as much.
AHEAD: Final = 256

#: How long a backend may take to close its stream after a cancellation, in seconds.
CLOSING_SECONDS: Final = 5.0

#: How long a blocked thread that gives up waits for that, in seconds: it had its own time to wait, which is over.
_LEAVING_SECONDS: Final = 1.0

#: How often a blocked thread looks whether the loop of the generation was closed by hand, in seconds.
LOOK: Final = 1.0

#: What is told to who waits for a generation inside of it.
_ITSELF: Final = (
    "this thunk is awaited inside its own generation, which would wait for itself for ever; a tool or a condition of a "
    "run reads run.messages, run.steps or run.partial instead"
)

#: What a consumer wants that waits for the end.
_EVERYTHING: Final = sys.maxsize


class Blocker(Protocol):
    """A wake-up for a thread without a loop."""

    def block(self, timeout: float | None) -> bool:
        """Wait in this thread, at most `timeout` seconds; return whether it was woken."""
        ...


class Consumer:
    """One that waits for a generation: an `await`, or an iterator.

    Attributes:
        want: how many events it wants, counted from the first.
        gone: whether it was dropped, and leaves as soon as the loop of the generation gets to it.
        raises: whether it raises what ends the program, at its next step; not who is only notified.
    """

    __slots__ = ("gone", "raises", "want")

    def __init__(self, want: int, *, raises: bool = True) -> None:
        self.want = want
        self.gone = False
        self.raises = raises


class Audience(ABC):
    """The side of a `Pump` that faces those who wait for its generation; called from any task, thread or loop.

    Attributes:
        loop: the loop that the generation runs in.
        events: the events so far; only ever appended to.
        outcome: what the generation came to; None while it runs, and never changed after. For the generation itself and
            those who look on.
        settled: the same, once those who look on have been told: for all who wait, also in other threads.
        interrupt: a `KeyboardInterrupt` or `SystemExit` out of the stream, for the first who waits for it to raise.
        places: those that it holds among the generations that may run at once; given up while it pauses.
    """

    __slots__ = (
        "_cancel_reason",
        "_consumers",
        "_demand",
        "_is_expecting",
        "_on_event",
        "_on_settled",
        "_paused",
        "_text",
        "events",
        "interrupt",
        "loop",
        "outcome",
        "places",
        "settled",
    )

    def __init__(self, loop: loops.Loop) -> None:
        self.loop = loop
        self.events: list[Event] = []
        self._text: TextSoFar | None = None
        self.outcome: Outcome | None = None
        self.settled: Outcome | None = None
        self.interrupt: BaseException | None = None
        self.places: tuple[Place, ...] = ()
        self._demand = 0  # how many events the consumers want
        self._is_expecting = False  # a consumer is about to enter
        self._consumers: dict[Consumer, None] = {}
        self._on_event: list[loops.Waker] = []
        self._on_settled: list[loops.Waker] = []
        self._paused: loops.Waker | None = None  # wakes the pump
        self._cancel_reason: str | None = None

    @abstractmethod
    def check_loop(self) -> None:
        """Settle as cancelled if the loop was closed under the generation, or stayed behind in a forked process."""

    @abstractmethod
    def stop(self) -> None:
        """Stop the generation, which has been asked for; only from the loop's own thread."""

    def text_so_far(self) -> str:
        """Return the text of the events so far."""
        if self._text is None:
            self._text = TextSoFar()
        return self._text.of(self.events)

    # Consumers come and go.

    def enter(self, *, raises: bool = True) -> Consumer:
        """Add a consumer that wants everything, and return it.

        Args:
            raises: whether it raises what ends the program, as `wait_settled` does.
        """
        consumer = Consumer(_EVERYTHING, raises=raises)
        self.join(consumer)
        return consumer

    def expect_consumer(self) -> None:
        """Let the pump run some events ahead: a consumer is about to enter, in another thread than that of the loop.

        Without this the generation would pause at its first event, and let another one have its place meanwhile.
        """
        self._demand = AHEAD
        self._is_expecting = True

    def join(self, consumer: Consumer) -> None:
        """Add `consumer`, and let the pump run as far as it wants."""
        consumer.gone = False
        self._is_expecting = False
        self._consumers[consumer] = None
        self._raise_demand(consumer.want)
        if self.outcome is None and self.loop.is_closed():
            self.check_loop()

    def ask(self, consumer: Consumer, want: int) -> None:
        """Let the pump run as far as `want` events, for `consumer`; it joins again if it was dropped."""
        consumer.want = want
        if consumer.gone:
            self.join(consumer)
        else:
            self._raise_demand(want)

    def counts(self, consumer: Consumer) -> bool:
        """Whether `consumer` has joined a generation that runs, and has not left."""
        return self.outcome is None and consumer in self._consumers

    def leave(self, consumer: Consumer, *, cancelled: bool) -> bool:
        """Remove `consumer`; if it was the last one and left by cancellation, cancel the generation.

        Returns:
            Whether it cancelled the generation.
        """
        self._consumers.pop(consumer, None)
        if self.outcome is not None:
            return False
        left = [other for other in list(self._consumers) if not other.gone]
        if not left and cancelled:
            self.request_cancel("its last consumer was cancelled")
            return True
        if self._cancel_reason is None:
            self._demand = max([other.want for other in left], default=0)
        return False

    def drop(self, consumer: Consumer, *, cancelled: bool) -> None:
        """Remove `consumer` as soon as the loop gets to it; also from ``__del__``."""
        consumer.gone = True
        self.loop.call_soon(partial(self.leave, consumer, cancelled=cancelled))

    def _raise_demand(self, want: int) -> None:
        if want > self._demand:
            self._demand = want
            paused = self._paused
            if paused is not None and self._cancel_reason is None:
                paused.wake()

    # Cancellation.

    @property
    def is_cancelling(self) -> bool:
        """Whether cancellation has been asked for."""
        return self._cancel_reason is not None

    @property
    def cancel_reason(self) -> str | None:
        """Why cancellation has been asked for, if it has."""
        return self._cancel_reason

    def request_cancel(self, reason: str, *, from_del: bool = False) -> None:
        """Ask for cancellation and do not wait; any number of times, also from inside the stream."""
        if self.outcome is not None or self._cancel_reason is not None:
            return
        self._cancel_reason = reason
        self._demand = -1  # a stream that never suspends notices at its next event
        if not from_del and self.loop.is_here() and not self.loop.is_closed():
            self.stop()
        elif not self.loop.call_soon(self.stop) and not from_del:
            self.check_loop()

    def is_inside(self) -> bool:
        """Whether the calling code runs inside this generation's own stream."""
        return current_generation.get() is self

    # Waiting.

    async def wait_settled(self, consumer: Consumer | None = None) -> Outcome:
        """Wait until the generation has settled, and return its outcome.

        Args:
            consumer: one that has joined; it leaves here, by cancellation if this wait is cancelled.

        Raises:
            InvalidRequest: inside the stream of this generation, which cannot end before that.
        """
        try:
            if consumer is None:  # else `join` has just looked
                self.check_loop()
            elif current_generation.get() is self:
                raise InvalidRequest(_ITSELF)
            while (outcome := self.settled) is None:
                waiter = loops.waiter()
                self._on_settled.append(waiter)
                if self.settled is None:
                    try:
                        await (waiter.wait() if waiter.home is self.loop.home else self.wait_abroad(waiter))
                    except BaseException:
                        self.forget_at_end(waiter)
                        raise
        except GeneratorExit:  # nothing can be awaited any more
            if consumer is not None:
                self.leave(consumer, cancelled=True)
            raise
        except BaseException:
            if consumer is not None and self.leave(consumer, cancelled=True):
                await self.linger()
            raise
        if consumer is not None:
            self._consumers.pop(consumer, None)
        if self.interrupt is not None:
            self.raise_interrupt()
        return outcome

    def has_raiser(self) -> bool:
        """Tell whether there is a consumer, or about to be one, that raises what ends the program."""
        return self._is_expecting or any(each.raises and not each.gone for each in list(self._consumers))

    def raise_interrupt(self) -> None:
        """Raise, once, what ends the program: the task of the generation is none that could."""
        interrupt, self.interrupt = self.interrupt, None
        if interrupt is not None:
            try:
                raise interrupt
            finally:
                del self, interrupt  # see "Cycles" in `mellite.thunk`

    async def wait_abroad(self, waiter: loops.Waiter) -> None:
        """Wait for `waiter` in another loop than that of the generation, which tells nobody if it is closed by hand.

        Return after a while in any case: the caller looks again.
        """
        with loops.move_on_after(LOOK):
            await waiter.wait()
            return
        self.forget(waiter)
        self.forget_at_end(waiter)
        self.check_loop()

    async def wait_beyond(self, position: int) -> None:
        """Wait until there are more than `position` events, or the generation has settled; maybe not so long.

        The caller looks again in any case.
        """
        waiter = loops.waiter()
        if self.is_to_wait(waiter, position):
            try:
                await (waiter.wait() if waiter.home is self.loop.home else self.wait_abroad(waiter))
            except BaseException:
                self.forget(waiter)
                raise

    def is_to_wait(self, waiter: loops.Waiter, position: int) -> bool:
        """Have `waiter`, of the current task, woken by the next event; tell whether it has to wait for that.

        A wait that is cancelled says so with `forget`.
        """
        if waiter.home is not self.loop.home:  # else the loop runs
            self.check_loop()
        self._on_event.append(waiter)
        return len(self.events) <= position and self.settled is None

    def wake_at_event(self, waker: loops.Waker, *, beyond: int) -> bool:
        """Have `waker` woken once, by the next event or the end; return whether there are no more events yet."""
        self._on_event.append(waker)
        return len(self.events) <= beyond and self.settled is None

    def forget(self, waiter: loops.Waiter) -> None:
        """Wake `waiter` no more at an event."""
        try:  # `suppress` would be three calls more for each delta that is lent, see `Events.borrow`
            self._on_event.remove(waiter)
        except ValueError:
            return  # woken in the same moment

    def forget_at_end(self, waker: loops.Waker) -> None:
        """Wake `waker` no more once the generation has settled."""
        with suppress(ValueError):  # woken in the same moment
            self._on_settled.remove(waker)

    def block(self, timeout: float | None) -> bool:
        """Block this thread until the generation has settled; return False if that takes over `timeout` seconds."""
        waiter = loops.ThreadWaiter()
        self._on_settled.append(waiter)
        return self.settled is not None or self._block(waiter, timeout)

    def block_beyond(self, position: int) -> None:
        """Block this thread until there are more than `position` events, or the generation has settled."""
        waiter = loops.ThreadWaiter()
        self._on_event.append(waiter)
        self.check_loop()
        if len(self.events) <= position and self.settled is None:
            self._block(waiter, None)

    def _block(self, waiter: Blocker, timeout: float | None) -> bool:
        """Block this thread until `waiter` is woken; return False if that takes over `timeout` seconds."""
        ends = None if timeout is None else time.monotonic() + timeout
        while not waiter.block(LOOK if ends is None else min(LOOK, ends - time.monotonic())):
            self.check_loop()  # one that is closed by hand tells nobody
            if self.settled is not None:
                return True
            if ends is not None and time.monotonic() >= ends:
                return False
        return True

    def wake_when_settled(self, waker: loops.Waker) -> None:
        """Have `waker` woken once the generation has settled, or now if it has; maybe twice."""
        self._on_settled.append(waker)
        if self.settled is not None:
            waker.wake()

    async def linger(self) -> None:
        """After asking for cancellation, wait until the stream is closed, if that happens in this loop."""
        if not self.loop.is_here() or self.is_inside():
            return
        with loops.move_on_after(2 * CLOSING_SECONDS, shield=True):
            await self.wait_settled()

    def linger_in_thread(self, seconds: float = 2 * CLOSING_SECONDS) -> None:
        """Do what `linger` does in a thread; return at once where blocking would hold up this or another loop."""
        if not self.loop.is_here() and loops.running_here() is None:
            self.block(seconds)


def linger_in_thread(ended: Iterable[Audience]) -> None:
    """Wait a moment until generations that a blocked thread has cancelled by giving up have settled."""
    ends = time.monotonic() + _LEAVING_SECONDS
    for audience in ended:
        audience.linger_in_thread(max(0.0, ends - time.monotonic()))


def wake_all(wakers: list[loops.Waker]) -> None:
    """Wake all of *wakers*, which other threads may be waking or adding to."""
    while wakers:
        try:
            waker = wakers.pop(0)
        except IndexError:  # another thread took the last one
            return
        waker.wake()
