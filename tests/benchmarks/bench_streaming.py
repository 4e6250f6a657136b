"""What three cheap requirements per chunk add to the bare loop over a stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import mellite
from mellite.events import Event, Finish, TextDelta
from mellite.requirements import length, not_contains
from tests.benchmarks.measure import Effort, Row, added, in_turn

TEXT = "The quick brown fox jumps over the lazy dog, and then it sleeps for a while in the sun. "


class Deltas(mellite.Backend):
    """Prose in small deltas; it lets other tasks run every few of them, as reading from a socket does."""

    def __init__(self, count: int, *, together: int) -> None:
        text = TEXT * (count * 4 // len(TEXT) + 1)
        self.events: list[Event] = [TextDelta(text[at : at + 4]) for at in range(0, count * 4, 4)]
        self.together = together

    async def stream(self, request: mellite.Request) -> AsyncIterator[Event]:
        """Yield them all."""
        for index, event in enumerate(self.events):
            if index % self.together == 0:
                await asyncio.sleep(0)
            yield event
        yield Finish("stop")


async def streaming(effort: Effort) -> list[Row]:
    """Measure chunks as they are sent and sentences, with eight deltas a wake-up and with one."""
    count = effort.size(5_000, 2_000)
    return [
        row
        for chunking in (None, "sentences")
        for together in (8, 1)
        for row in await compare(Deltas(count, together=together), chunking, effort)
    ]


async def compare(source: Deltas, chunking: str | None, effort: Effort) -> list[Row]:
    """Compare the bare loop, the bare loop with the checks written into it, and the stream with the same checks."""
    requirements = [
        length(max=10**9),
        not_contains("as an AI", ignore_case=True),
        mellite.Requirement("short", check_chunk=short),
    ]
    checks = [requirement.check_chunk for requirement in requirements]

    async def bare() -> None:
        async for _ in source.generate("x").astream(chunking):
            pass

    async def by_hand() -> None:
        partial = ""
        async for chunk in source.generate("x").astream(chunking):
            partial += str(chunk)
            for check in checks:
                if check is not None and check(chunk, partial) is False:
                    return

    async def streamed() -> None:
        async with mellite.stream(source.generate("x"), chunking=chunking) as s:
            async for _ in s:
                pass

    async def validated() -> None:
        async with mellite.stream(source.generate("x"), requirements=requirements, chunking=chunking) as s:
            async for _ in s:
                pass
        assert s.success

    runs = {"bare": bare, "by hand": by_hand, "none": streamed, "three": validated}
    times = await in_turn(runs, rounds=effort.rounds(24), per=len(source.events))
    what = f"{chunking or 'as sent'}, {source.together} a wake-up, adds a delta"
    judged = 3.0 if chunking is None else None  # what a cut costs is not part of the check
    return [
        added("streaming", f"three requirements, {what}", times["three"], times["bare"], bar=judged),
        added("streaming", f"  to checks by hand, {what}", times["three"], times["by hand"], bar=None),
        added("streaming", f"  no requirement, {what}", times["none"], times["bare"], bar=None),
    ]


def short(chunk: str, partial: str) -> bool:
    """Pass, as a check that a user writes."""
    return len(chunk) < 1_000
