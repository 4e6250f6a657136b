"""`mellite.engine.map` with many calls in flight, beside aiohttp with as many; and how its time grows."""

from __future__ import annotations

import asyncio
import time

import mellite
from mellite.backends import Echo
from tests.benchmarks.bench_live import Clients, clients
from tests.benchmarks.floor import bare_call
from tests.benchmarks.measure import Effort, Row, amount, exponent, in_turn, ratio
from tests.benchmarks.server import running

FLIGHT = 200
MODEL = "slow-200"


async def engine(effort: Effort) -> list[Row]:
    """Settle calls to a server that takes 200 ms, 200 in flight; and more and more thunks of a fake backend."""
    with running() as base:
        async with clients(base, limit=FLIGHT, max_concurrency=None) as both:
            row = await _in_flight(both, effort)
    sizes = (1_000, 10_000) if effort.quick else (1_000, 10_000, 100_000)
    await _took(sizes[0])
    totals = {size: min([await _took(size) for _ in range(3)]) for size in sizes}
    return [row, amount("engine", f"growth from {sizes[0]:,} to {sizes[-1]:,} items", [exponent(totals)], "", bar=1.05)]


async def _in_flight(both: Clients, effort: Effort) -> Row:
    calls = effort.size(2_000, 600)

    async def bare() -> None:
        places = asyncio.Semaphore(FLIGHT)

        async def one() -> None:
            async with places:
                await bare_call(both.session, both.base, MODEL)

        await asyncio.gather(*[one() for _ in range(calls)])

    async def mapped() -> None:
        asked = (both.backend.generate("Hi.", model=MODEL, stream=False) for _ in range(calls))
        settled = mellite.engine.map(asked, concurrency=FLIGHT, progress=False)
        async for thunk in settled:
            assert thunk.error is None
        assert settled.counts["done"] == calls

    runs = {"floor": bare, "mellite": mapped}
    times = await in_turn(runs, rounds=effort.rounds(8), per=calls, wall=True)
    what = f"{FLIGHT} in flight, 200 ms server, wall"
    return ratio("engine", what, times["mellite"], times["floor"], bar=1 / 0.85)


async def _took(size: int) -> float:
    backend = Echo()
    began = time.process_time()
    async for _ in mellite.engine.map((backend.generate("Hi.") for _ in range(size)), progress=False):
        pass
    return time.process_time() - began
