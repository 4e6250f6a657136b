"""Make, copy, await and fold thunks without a network: time, bytes, and how the time grows."""

from __future__ import annotations

import asyncio
import copy
import gc
import statistics
import time
import timeit
import tracemalloc
from collections.abc import AsyncIterator, Callable

import mellite
from mellite.events import Event, Finish, TextDelta
from tests.benchmarks.measure import Effort, Row, amount, exponent


async def objects(effort: Effort) -> list[Row]:
    """Make, copy and await thunks; count their bytes."""
    backend = mellite.backends.Constant("Hello.")
    thunk = backend.generate("Say hello.")
    made = _timed(lambda: backend.generate("Say hello."), effort)
    copied = _timed(lambda: copy.copy(thunk), effort)
    return [
        amount("objects", "make a thunk", made, "us", bar=4, stretch=2),
        amount("objects", "copy a pending thunk", copied, "us", bar=3, stretch=1.5),
        amount("objects", "await settled, one of 20", await _awaited(backend, effort), "us", bar=1),
        amount("objects", "a pending thunk with its call", [_pending_bytes(backend)], "B", bar=900, stretch=600),
        amount("objects", "settled, of the bytes of its text", [await _settled_ratio()], "x text", bar=2.5),
    ]


def _timed(run: Callable[[], object], effort: Effort) -> list[float]:
    number = effort.size(5_000, 1_000)
    taken = timeit.repeat(run, timer=time.process_time, number=number, repeat=effort.rounds(24))
    return [each / number * 1e6 for each in taken]


async def _awaited(backend: mellite.Backend, effort: Effort) -> list[float]:
    settled = [await backend.generate("Say hello.").settle() for _ in range(100)]

    async def twenty(thunk: mellite.ModelOutputThunk[str]) -> None:
        for _ in range(20):
            await thunk

    times = []
    for _ in range(effort.rounds(24)):
        began = time.process_time()
        for thunk in settled:
            await twenty(thunk)
        times.append((time.process_time() - began) / 2_000 * 1e6)
    return times


def _pending_bytes(backend: mellite.Backend) -> float:
    """Return the bytes of one pending thunk with everything it owns, but for the prompt's text."""
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    kept = [backend.generate("Say hello.") for _ in range(10_000)]
    used = (tracemalloc.get_traced_memory()[0] - before) / len(kept)
    tracemalloc.stop()
    return used


async def _settled_ratio() -> float:
    """Return the bytes of settled thunks of 500 deltas over the bytes of their text, raw chunks not kept."""
    words = [f"{'delta'[: 2 + i % 4]} " for i in range(500)]
    backend = mellite.backends.Scripted([[f"{i}"[:1] + word for word in words] for i in range(1_000)])
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    kept = await mellite.gather(*backend.generate("x").resample(1_000))
    await asyncio.sleep(0)  # the tasks are over
    gc.collect()
    used = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return used / sum(len(thunk.value or "") for thunk in kept)


class Deltas(mellite.Backend):
    """Many deltas, without suspending."""

    def __init__(self, count: int) -> None:
        self.events: list[Event] = [*[TextDelta("word ")] * count, Finish("stop")]

    async def stream(self, request: mellite.Request) -> AsyncIterator[Event]:
        """Yield them all."""
        for event in self.events:
            yield event


async def growth(effort: Effort) -> list[Row]:
    """Fit how the time of a generation grows with its deltas, awaited and read."""

    async def awaited(source: Deltas) -> None:
        await source.generate("x")

    async def iterated(source: Deltas) -> None:
        async for _ in source.generate("x"):
            pass

    rows = []
    for name, run in (("awaited", awaited), ("read with async for", iterated)):
        totals: dict[int, float] = {}
        for count in (1_000, 10_000, effort.size(100_000, 30_000)):
            source = Deltas(count)
            times = []
            for _ in range(5):
                gc.collect()
                began = time.process_time()
                await run(source)
                times.append(time.process_time() - began)
            totals[count] = statistics.median(times)
        rows.append(amount("growth", f"exponent: deltas, {name}", [exponent(totals)], "n^", bar=1.05))
    return rows
