"""The queue from the attempts of a stream to its consumer: what was released and not taken yet, and who waits."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

from attrs import define, field

from ... import loops
from ...thunk.observing import Activity
from ...values.chunking import Chunk
from .events import StreamEvent

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

__all__ = ["WINDOW", "Outlet"]

#: How many chunks may wait for the consumer or for verdicts before reading, and with it the generation, pauses.
WINDOW: Final = 256


class Source(Protocol):
    """The source of the reader; the consumer reads it itself while it waits for an item, and saves a wake-up."""

    def lend(self, waiter: loops.Waiter) -> bool:
        """Have `waiter` woken when there is more to read, if the reader only waits for that."""
        ...

    def advance(self) -> None:
        """Read what is there, as far as nothing has to be waited for."""
        ...

    def give_back(self) -> None:
        """Let the reader wait again; called after each `lend`."""
        ...


@define(eq=False)
class Outlet:
    """The queue from the attempts of a stream to its consumer, and the reader's place to wait. One for each stream."""

    #: Released and not taken yet.
    items: deque[Chunk | StreamEvent] = field(factory=deque, init=False)
    #: Whether the consumer wants events, and not chunks alone.
    detailed: bool = field(default=False, init=False)
    #: What tells those who look on, if anybody does.
    looked_at: Activity | None = field(default=None, init=False)
    #: The task group of the stream, while its block is open; async checks run in it.
    group: TaskGroup | None = field(default=None, init=False)
    #: What wakes the reader, while it waits.
    reader: loops.Waiter | None = field(default=None, init=False)
    #: What the reader reads.
    source: Source | None = field(default=None, init=False)
    #: What wakes the consumer, while it waits.
    takers: list[loops.Waiter] = field(factory=list, init=False)

    def put(self, item: Chunk | StreamEvent) -> None:
        """Release an item, and wake the consumer."""
        self.items.append(item)
        if self.takers:
            self.wake_takers()

    def wake_takers(self) -> None:
        """Wake the consumer, if it waits."""
        while self.takers:
            self.takers.pop().wake()

    def taken(self) -> None:
        """Wake the reader if there is room again. The consumer calls this after taking an item."""
        if self.reader is not None and len(self.items) <= WINDOW // 2:
            self.wake_reader()

    async def wait_for_item(self) -> None:
        """Wait until there is an item to take."""
        while not self.items:
            waiter = loops.waiter()
            self.takers.append(waiter)
            source = self.source
            if source is None or not source.lend(waiter):
                await waiter.wait()
                continue
            try:
                await waiter.wait()
                if waiter in self.takers:  # not woken by an item
                    self.takers.remove(waiter)
                source.advance()
            finally:
                source.give_back()

    def wake_reader(self) -> None:
        """Wake the reader, so that it checks again whether it can go on."""
        if self.reader is not None:
            self.reader.wake()
            self.reader = None

    async def reader_waits(self) -> None:
        """Wait until `wake_reader` is called. Only the reader may call this."""
        waiter = self.reader = loops.waiter()
        await waiter.wait()
