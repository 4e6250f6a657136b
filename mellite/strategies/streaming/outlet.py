"""The queue from the attempts of a stream to its consumer: what was released and not taken yet, and who waits."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from attrs import define, field

from ... import loops
from ...values.chunking import Chunk
from .events import StreamEvent

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

__all__ = ["WINDOW", "Outlet"]

#: How many chunks may wait for the consumer or for verdicts before reading, and with it the generation, pauses.
WINDOW: Final = 256


@define(eq=False)
class Outlet:
    """The queue from the attempts of a stream to its consumer, and the reader's place to wait. One for each stream."""

    #: Released and not taken yet.
    items: deque[Chunk | StreamEvent] = field(factory=deque, init=False)
    #: Whether the consumer wants events, and not chunks alone.
    detailed: bool = field(default=False, init=False)
    #: The task group of the stream, while its block is open; async checks run in it.
    group: TaskGroup | None = field(default=None, init=False)
    #: What wakes the reader, while it waits.
    reader: loops.Waiter | None = field(default=None, init=False)
    _takers: list[loops.Waiter] = field(factory=list, init=False)

    def put(self, item: Chunk | StreamEvent) -> None:
        """Release an item, and wake the consumer."""
        self.items.append(item)
        if self._takers:
            self._wake_takers()

    def put_all(self, chunks: deque[Chunk]) -> None:
        """Release chunks, take them out of `chunks`, and wake the consumer."""
        self.items.extend(chunks)
        chunks.clear()
        if self._takers:
            self._wake_takers()

    def _wake_takers(self) -> None:
        while self._takers:
            self._takers.pop().wake()

    def taken(self) -> None:
        """Wake the reader if there is room again. The consumer calls this after taking an item."""
        if self.reader is not None and len(self.items) <= WINDOW // 2:
            self.wake_reader()

    async def wait_for_item(self) -> None:
        """Wait until there is an item to take."""
        while not self.items:
            waiter = loops.waiter()
            self._takers.append(waiter)
            await waiter.wait()

    def wake_reader(self) -> None:
        """Wake the reader, so that it checks again whether it can go on."""
        if self.reader is not None:
            self.reader.wake()
            self.reader = None

    async def reader_waits(self) -> None:
        """Wait until `wake_reader` is called. Only the reader may call this."""
        waiter = self.reader = loops.waiter()
        await waiter.wait()
