"""What generations over HTTP hold: a stream of a million deltas, its raw chunks, dropped answers, containers a call."""

from __future__ import annotations

import asyncio
import gc
import os
import tracemalloc
from pathlib import Path

import mellite
from tests.benchmarks.measure import Effort, Row, amount
from tests.benchmarks.server import events, running


async def memory(effort: Effort) -> list[Row]:
    """Measure the memory of this process, which is fresh."""
    with running() as base:
        async with mellite.backend("openai-chat:m", base_url=base, api_key="x") as backend:
            await backend.generate("Hi.", model="burst-500")
            return [
                amount("memory", "containers a call", [await _containers(backend, effort)], "", bar=5),
                amount("memory", "raw kept, of the bytes received", [await _raw(base)], "x raw", bar=1.2),
                amount("memory", "RSS after 1,000 dropped answers", [await _dropped(backend, effort)], "MB", bar=5),
                await _million(base, effort),
            ]


def _rss() -> float:
    """Return the resident memory of this process in megabytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6


async def _containers(backend: mellite.Backend, effort: Effort) -> float:
    """Return how many objects that the collector tracks one unary call leaves, its thunk dropped."""
    calls = effort.size(400, 100)
    for _ in range(10):
        await backend.generate("Hi.", model="unary", stream=False)
    gc.collect()
    gc.disable()
    before = gc.get_count()[0]
    for _ in range(calls):
        await backend.generate("Hi.", model="unary", stream=False)
    left = (gc.get_count()[0] - before) / calls
    gc.enable()
    return left


async def _raw(base: str) -> float:
    """Return the bytes of settled thunks that keep their raw chunks over the bytes received."""
    async with mellite.backend("openai-chat:m", base_url=base, api_key="x", keep_raw=True) as backend:
        await backend.generate("Hi.", model="burst-500")
        gc.collect()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        kept = [await backend.generate("Hi.", model="burst-500").settle() for _ in range(20)]
        gc.collect()
        used = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
    return used / (sum(map(len, events(500))) * len(kept))


async def _dropped(backend: mellite.Backend, effort: Effort) -> float:
    """Return by how much the process grows while answers are dropped after their first delta, once it is warm."""

    async def drop(count: int) -> None:
        for _ in range(count):
            async for _ in backend.generate("Hi.", model="long-20000"):
                break
            await asyncio.sleep(0)  # the generation notices that its thunk is gone

    await drop(effort.size(300, 100))
    gc.collect()
    before = _rss()
    await drop(1_000)
    gc.collect()
    return _rss() - before


async def _million(base: str, effort: Effort) -> Row:
    """Return the growth of the process while a long stream runs, beside its text."""
    deltas = effort.size(1_000_000, 100_000)
    bounds = {"max_answer_bytes": 10**9, "max_answer_values": 10**9}
    async with mellite.backend("openai-chat:m", base_url=base, api_key="x", keep_raw=False, **bounds) as backend:
        gc.collect()
        before = highest = _rss()
        length = seen = 0
        async for delta in backend.generate("Hi.", model=f"long-{deltas}"):
            length += len(delta)
            seen += 1
            if seen % 10_000 == 0:
                highest = max(highest, _rss())
    assert seen == deltas
    what = f"a running stream of {deltas:,} deltas"
    return amount("memory", what, [highest - before - length / 1e6], "MB", bar=150)
