"""What recording other people's clients adds to the time until the first piece of a stream arrives."""

from __future__ import annotations

import statistics
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

import httpx

from mellite import cassettes
from tests.benchmarks.measure import Effort, Row, ratio
from tests.benchmarks.server import running

ASKED = {"model": "burst-20", "messages": [{"role": "user", "content": "Hi."}], "stream": True}
CALLS = 20


async def first_pieces(client: httpx.AsyncClient, base: str) -> float:
    """Ask some times, and return the median time until the first piece, in microseconds."""
    took = []
    for _ in range(CALLS):
        began = time.perf_counter()
        async with client.stream("POST", f"{base}/v1/chat/completions", json=ASKED) as answer:
            pieces = answer.aiter_raw()
            await anext(pieces)
            took.append((time.perf_counter() - began) * 1e6)
            async for _ in pieces:
                pass
    return statistics.median(took)


async def clients(effort: Effort) -> list[Row]:
    """Ask with httpx, with and without a recording of it."""
    times: dict[bool, list[float]] = {False: [], True: []}
    with running() as base, tempfile.TemporaryDirectory() as folder:
        async with httpx.AsyncClient() as client:
            for number in range(effort.rounds(60) + 1):
                for recorded in (False, True) if number % 2 else (True, False):
                    path = Path(folder) / f"{number}.json"
                    with cassettes.patch(path, mode="all", even_in_ci=True) if recorded else nullcontext():
                        times[recorded].append(await first_pieces(client, base))
    ours, without = times[True][1:], times[False][1:]  # the first round warms up
    return [ratio("clients", "first piece of a recorded stream, httpx", ours, without, bar=None)]
