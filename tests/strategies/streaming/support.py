"""What the tests of streams stand on: answers one after the other, requirements that record and wait."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any

import anyio

import mellite
from mellite import Requirement
from mellite.events import Event
from mellite.request import Request
from mellite.streaming import ValidatedStream
from mellite.values.chunking import Chunk
from tests.thunk.support import Source

__all__ = ["Judge", "Turns", "forbid", "reading"]


class Turns(mellite.Backend):
    """Answers each request with the next of some sources, and keeps the requests."""

    def __init__(self, *sources: Source) -> None:
        self.sources = sources
        self.requests: list[Request] = []

    async def stream(self, request: Request) -> AsyncIterator[Event]:
        """Send the events of the next source."""
        source = self.sources[len(self.requests)]
        self.requests.append(request)
        events = source.stream(request)
        try:
            async for event in events:
                yield event
        finally:
            await events.aclose()


def forbid(word: str, **more: Any) -> Requirement:
    """A requirement that fails every chunk with a word in it."""
    return Requirement(f"no {word}", check_chunk=lambda chunk, partial: "fail" if word in chunk else None, **more)


class Judge:
    """An async check of chunks that waits for each verdict to be given, and records what it is asked.

    Attributes:
        asked: the chunks, in the order in which it was asked.
        ended: the chunks it gave a verdict on, or was cancelled for, with what it was.
    """

    def __init__(self, **more: Any) -> None:
        self.requirement = Requirement("is judged", check_chunk=self._check, **more)
        self.asked: list[str] = []
        self.ended: list[tuple[str, object]] = []
        self._begun: dict[str, anyio.Event] = defaultdict(anyio.Event)
        self._given: dict[str, anyio.Event] = defaultdict(anyio.Event)
        self._verdicts: dict[str, object] = {}

    async def _check(self, chunk: str, partial: str) -> object:
        assert partial.endswith(chunk)
        self.asked.append(str(chunk))
        self._begun[chunk].set()
        end: object = "cancelled"
        try:
            await self._given[chunk].wait()
            end = self._verdicts[chunk]
        finally:
            self.ended.append((str(chunk), end))
        return end

    def give(self, chunk: str, verdict: object) -> None:
        """Have it give this verdict, now or when it is asked."""
        self._verdicts[chunk] = verdict
        self._given[chunk].set()

    async def begun(self, chunk: str) -> None:
        """Wait until it is asked about this chunk."""
        await self._begun[chunk].wait()


async def reading(stream: ValidatedStream, got: list[Chunk]) -> None:
    """Read a stream to its end, keeping what it gives as it comes."""
    async with stream as s:
        async for chunk in s:
            got += [chunk]  # one by one: others look at it meanwhile
