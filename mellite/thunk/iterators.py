"""Iterate over a thunk: text deltas, all events or chunks, live or afterwards, with and without await."""

from __future__ import annotations

import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Final, Generic, TypeVar, cast, final

from .. import loops
from ..loops import readers
from ..loops.detection import is_being_cancelled
from ..values.chunking import Chunker
from ..values.compact import CompactLog
from ..values.events import Event, TextDelta
from .audience import AHEAD, Consumer
from .pump import Pump

if TYPE_CHECKING:
    from .outcome import Outcome

__all__ = ["Chunks", "Events", "SyncTexts", "Texts"]

Item = TypeVar("Item")


class _Position(Generic[Item]):
    """The position of one iterator in one generation; a consumer until the iterator is exhausted or dropped.

    It also leaves when the task that last waited in it was cancelled and is over, and joins again if another task goes
    on reading. One task, or one thread, reads at a time.

    The steps of the iterators forget the iterator (``del self``) before they raise: see "Cycles" in `mellite.thunk`.
    """

    __slots__ = (
        "__weakref__",
        "_ahead",
        "_cancelled",
        "_consumer",
        "_events",
        "_gen",
        "_index",
        "_last",
        "_lent",
        "_open",
        "_outcome",
        "_parked",
        "_pump",
        "_read",
        "_refresh",
        "_replay",
        "_task",
    )

    def __init__(
        self,
        gen: object,
        open: Callable[[], Pump | Outcome],
        read: Callable[[CompactLog], Iterator[Item]],
        *,
        begun: bool = False,
        ahead: int = AHEAD,
    ) -> None:
        self._gen = gen  # kept, so that the generation goes on even if the thunk is dropped
        self._open: Callable[[], Pump | Outcome] | None = open
        self._read = read
        self._pump: Pump | None = None
        self._events: list[Event] = []
        self._outcome: Outcome | None = None
        self._replay: Iterator[Item] | None = None
        self._ahead = ahead
        self._consumer = Consumer(ahead)
        self._index = 0
        self._refresh = ahead // 2  # the index from which to ask for more
        self._cancelled = False
        self._last: loops.Waiter | None = None  # the waiter of the last wait
        self._parked: loops.Waiter | None = None  # the reader's, while it waits in `Events.parks`
        self._lent = False  # that wait, to another task
        self._task: weakref.ref[object] | None = None  # the task that last waited here
        if begun:  # a consumer from now on, not only from the first step
            self._begin(open)

    def _begin(self, start: Callable[[], Pump | Outcome]) -> None:
        self._open = None
        found = start()
        if isinstance(found, Pump):
            self._pump = found
            self._events = found.events
            found.join(self._consumer)
        else:
            self._outcome = found
            self._replay = self._read(found.compact)

    def _ask(self, index: int) -> None:
        """Let the pump run on, before it has to pause."""
        pump = self._pump
        if pump is not None:
            self._refresh = index + self._ahead // 2
            pump.ask(self._consumer, index + self._ahead)

    def _waiter(self, pump: Pump, index: int) -> loops.Waiter | None:
        """Return what to wait for until more has come; None if it has. If dropped now, it left by cancellation."""
        if index >= self._refresh or self._consumer.gone:
            self._ask(index)
        waiter = self._last
        if waiter is None or self._task is None or not waiter.renew(self._task()):
            waiter = loops.waiter()
            task = waiter.task()
            self._last = None if task is None else waiter
            if task is not None and (self._task is None or self._task() is not task):
                self._read_by(task)
        self._cancelled = True
        return waiter if pump.is_to_wait(waiter, index) else None

    def _read_by(self, task: object) -> None:
        """Take `task`, which is about to wait, for the reader, unless it takes one step for another task."""
        if readers.is_a_step(task, _STEPS):
            self._last = None  # the task for which it reads may be one of another loop
        else:
            self._task = weakref.ref(task)
            readers.follow(task, self)

    def reader_cancelled(self, task: object) -> None:
        """Leave by cancellation if `task`, which is over, was the last to wait here."""
        pump = self._pump
        if pump is None or self._task is None or self._task() is not task or not pump.counts(self._consumer):
            return
        self._consumer.gone = True
        pump.leave(self._consumer, cancelled=True)

    def _ends(self, pump: Pump, index: int) -> Outcome | None:
        """Return the outcome once everything is read, and leave; None before."""
        outcome = pump.settled
        if outcome is None or index < len(self._events):
            return None
        pump.leave(self._consumer, cancelled=False)
        if pump.interrupt is not None:
            pump.raise_interrupt()
        return outcome

    def _late(self, outcome: Outcome, after: int) -> Iterator[Item]:
        """Read on in the outcome of a generation that has settled with its text, `after` items of it."""
        self._outcome = outcome
        replay = self._replay = islice(self._read(outcome.compact), after, None)
        return replay

    def _leaves_by_cancellation(self) -> bool:
        task = self._task() if self._task is not None else None
        # The iterator may have been handed on: look at the task that drops it and at the one that waited last.
        return self._cancelled or is_being_cancelled(None) or is_being_cancelled(task)

    def _leave(self) -> Pump | None:
        """Leave as an iterator that is dropped does, and give nothing more; return a generation that ends by that."""
        pump, self._pump, self._gen = self._pump, None, None
        self._open, self._outcome, self._replay = None, cast("Outcome", _LEFT), iter(())
        if pump is None or not pump.counts(self._consumer):
            return None
        cancelled = self._leaves_by_cancellation()
        if not pump.loop.is_here():
            pump.drop(self._consumer, cancelled=cancelled)
            return None
        return pump if pump.leave(self._consumer, cancelled=cancelled) else None

    def __del__(self) -> None:
        pump = self._pump
        if pump is not None and pump.counts(self._consumer):
            pump.drop(self._consumer, cancelled=self._leaves_by_cancellation())


class _Left:
    """Stands for the outcome in an iterator that was closed."""

    def raise_error(self) -> None:
        """Raise nothing: there is just no more to read."""


_LEFT: Final = _Left()


class _Closable(_Position[Item]):
    """A position whose iterator may be closed before its end, as `contextlib.aclosing` does."""

    __slots__ = ()

    async def aclose(self) -> None:
        """Leave now, as if this iterator was dropped; a generation that is left by cancellation has ended then."""
        ended = self._leave()
        if ended is not None:
            await ended.linger()


def _texts_in(events: list[Event]) -> int:
    """Count the texts in what came before an answer that settled with its text: those of earlier steps, if any."""
    return sum([type(event) is TextDelta for event in events])


@final
class Texts(_Closable[str], AsyncIterator[str]):
    """The text deltas of a thunk, each as soon as it arrives."""

    __slots__ = ()

    async def __anext__(self) -> str:
        if self._open is not None:
            self._begin(self._open)
        self._cancelled = False
        replay = self._replay
        if replay is not None:
            for text in replay:
                return text
            ended = cast("Outcome", self._outcome)
            del self
            ended.raise_error()
            raise StopAsyncIteration
        pump: Pump = self._pump  # type: ignore[assignment]  # a cast would be a call for each step
        events = self._events
        while True:
            index, come = self._index, len(events)
            while index < come:
                event = events[index]
                index += 1
                if type(event) is TextDelta:
                    self._index = index
                    if index > self._refresh:
                        self._ask(index)
                    return event.text
            self._index = index
            if pump.settled is not None and (outcome := self._ends(pump, index)) is not None:
                for item in self._late(outcome, _texts_in(events)) if pump.has_text_only else ():
                    return item
                del self, pump, events
                outcome.raise_error()
                raise StopAsyncIteration
            waiter = self._waiter(pump, index)
            if waiter is not None:
                try:
                    await (waiter.wait() if waiter.home is pump.loop.home else pump.wait_abroad(waiter))
                except BaseException:
                    pump.forget(waiter)
                    del self, pump, events, waiter
                    raise
            self._cancelled = False


@final
class Events(_Closable[Event], AsyncIterator[Event]):
    """An iterator over all events of a thunk, each as soon as it arrives; a late one gets equal events.

    A reader that hands on what it reads takes what is `ready` and `parks` until more comes. While it does, a task that
    waits for what the reader hands on may `borrow` the wait and take events itself: for each there is one wake-up then,
    and not one of the reader and another of that task. The reader stays the consumer; the other task never is one.
    """

    __slots__ = ()

    async def __anext__(self) -> Event:
        if self._open is not None:
            self._begin(self._open)
        self._cancelled = False
        replay = self._replay
        if replay is not None:
            for event in replay:
                return event
            ended = cast("Outcome", self._outcome)
            del self
            ended.raise_error()
            raise StopAsyncIteration
        pump: Pump = self._pump  # type: ignore[assignment]  # a cast would be a call for each step
        events = self._events
        while True:
            index = self._index
            if index < len(events):
                self._index = index + 1
                if index >= self._refresh:
                    self._ask(index)
                return events[index]
            outcome = None if pump.settled is None else self._ends(pump, index)
            if outcome is not None:
                for item in self._late(outcome, index) if pump.has_text_only else ():
                    return item
                del self, pump, events
                outcome.raise_error()
                raise StopAsyncIteration
            waiter = self._waiter(pump, index)
            if waiter is not None:
                try:
                    await (waiter.wait() if waiter.home is pump.loop.home else pump.wait_abroad(waiter))
                except BaseException:
                    pump.forget(waiter)
                    del self, pump, events, waiter
                    raise
            self._cancelled = False

    def ready(self) -> Event | None:
        """Return the next event if it is there. None also at the end, which ``__anext__`` tells of."""
        if self._open is not None:
            self._begin(self._open)
        self._cancelled = False
        if self._replay is not None:
            return next(self._replay, None)
        index = self._index
        if index >= len(self._events):
            return None
        self._index = index + 1
        if index >= self._refresh:
            self._ask(index)
        return self._events[index]

    async def parks(self) -> bool:
        """Wait until the next event is there, or the wait was borrowed and given back; return False at the end."""
        pump = self._pump
        if pump is None or (pump.settled is not None and self._index >= len(self._events)):
            return False
        # While the wait is lent, this was woken for something that the other task has taken.
        waiter = loops.waiter() if self._lent else self._waiter(pump, self._index)
        if waiter is not None:
            self._parked = waiter
            try:
                await (waiter.wait() if waiter.home is pump.loop.home else pump.wait_abroad(waiter))
            except BaseException:
                self._parked = None
                pump.forget(waiter)
                del self, pump, waiter
                raise
            self._parked = None
        self._cancelled = False
        return True

    def borrow(self, waiter: loops.Waiter) -> bool:
        """Have `waiter` woken by the next event in place of the parked reader; return False if none is parked.

        The caller must `give_back` the wait, however its own ends.
        """
        pump, parked = self._pump, self._parked
        if pump is None or parked is None:
            return False
        self._lent = True
        pump.forget(parked)
        if not pump.is_to_wait(waiter, self._index):
            waiter.wake()
        return True

    def give_back(self) -> None:
        """Have the parked reader woken by the next event again, and now if that, or the end, is there already."""
        pump, parked = self._pump, self._parked
        self._lent = False  # the other waiter, if nothing woke it, is dropped at the next event
        if pump is not None and parked is not None:
            if self._index >= self._refresh or self._consumer.gone:
                self._ask(self._index)
            self._cancelled = True  # as in `_waiter`
            if not pump.is_to_wait(parked, self._index):
                self._parked = None  # it is about to run, and lends nothing any more
                parked.wake()


@final
class Chunks(AsyncIterator[str]):
    """The text of a thunk, cut by a chunking strategy."""

    __slots__ = ("_chunker", "_ended", "_ready", "_texts")

    def __init__(self, texts: Texts, chunker: Chunker) -> None:
        self._texts = texts
        self._chunker = chunker
        self._ready: list[str] = []
        self._ended: BaseException | None = None

    async def __anext__(self) -> str:
        while not self._ready:
            ended = self._ended
            if ended is not None:
                try:
                    raise ended
                finally:
                    del self, ended
            try:
                self._ready = [*reversed(self._chunker.feed(await self._texts.__anext__()))]
            except Exception as error:  # the end, or a failure: raised after the rest of the text
                self._ended = error.with_traceback(None)
                self._ready = [*reversed(self._chunker.end())]
            except BaseException:
                del self
                raise
        return self._ready.pop()

    async def aclose(self) -> None:
        """Leave now, as if this iterator was dropped."""
        self._ready, self._ended = [], StopAsyncIteration()
        await self._texts.aclose()


#: The code of one step, for each kind of iterator.
_STEPS: Final = frozenset(kind.__anext__.__code__ for kind in (Texts, Events, Chunks))


@final
class SyncTexts(_Position[str], Iterator[str]):
    """The text deltas of a thunk, for code without await; generated on the background loop."""

    __slots__ = ()

    def __next__(self) -> str:
        if self._open is not None:
            self._begin(self._open)
        replay = self._replay
        if replay is not None:
            for text in replay:
                return text
            ended = cast("Outcome", self._outcome)
            del self
            ended.raise_error()
            raise StopIteration
        pump: Pump = self._pump  # type: ignore[assignment]  # a cast would be a call for each step
        events = self._events
        while True:
            while self._index < len(events):
                event = events[self._index]
                self._index += 1
                if type(event) is TextDelta:
                    if self._index >= self._refresh:
                        self._ask(self._index)
                    return event.text
            outcome = self._ends(pump, self._index)
            if outcome is not None:
                for item in self._late(outcome, _texts_in(events)) if pump.has_text_only else ():
                    return item
                del self, pump, events
                outcome.raise_error()
                raise StopIteration
            self._block(pump)

    def _block(self, pump: Pump) -> None:
        loops.forbid_inside_loop("iterating over thunk.iter()", "`async for delta in thunk`")
        self._ask(self._index)
        try:
            pump.block_beyond(self._index)
        except BaseException:  # KeyboardInterrupt: this iterator leaves by cancellation when it is dropped
            self._cancelled = True
            raise

    def close(self) -> None:
        """Leave now, as if this iterator was dropped."""
        self._leave()
