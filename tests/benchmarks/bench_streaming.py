"""Stream with three cheap requirements per chunk, against the bare loop: CPU time as a ratio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import mellite
from mellite.events import Event, Finish, TextDelta
from mellite.requirements import length, not_contains
from tests.benchmarks.measure import pin, side_by_side

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


async def main() -> None:
    """Run for each way to cut, one delta and eight deltas a wake-up."""
    pin(0)
    for together in (8, 1):
        for chunking in (None, "sentences"):
            await compare(Deltas(10_000, together=together), chunking)


async def compare(source: Deltas, chunking: str | None) -> None:
    """The bare loop, the bare loop with the checks written into it, and the stream with the same checks."""
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

    runs = {
        "the bare loop": bare,
        "the bare loop, checks by hand": by_hand,
        "mellite.stream, no requirement": streamed,
        "mellite.stream, three requirements": validated,
    }
    title = f"{len(source.events):,} deltas, {source.together} a wake-up, chunks {chunking or 'as sent'}"
    await side_by_side(title, runs, per=len(source.events), unit="us a delta", rounds=5)


def short(chunk: str, partial: str) -> bool:
    """A check as a user writes it."""
    return len(chunk) < 1_000


if __name__ == "__main__":
    asyncio.run(main())
