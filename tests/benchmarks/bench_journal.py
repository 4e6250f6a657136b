"""What a call costs that a journal gives again, among many at once, and how that grows with the journal."""

from __future__ import annotations

import gc
import statistics
import tempfile
import time

import anyio
import sniffio

import mellite
from mellite.backends import Echo
from tests.benchmarks.measure import Effort, Row, amount, exponent

AT_ONCE = 64


async def journal(effort: Effort) -> list[Row]:
    """Measure calls that ran at the same time, whose ends are given again in their order."""
    sizes = (250, 500, 1_000) if effort.quick else (1_000, 2_000, 4_000, 8_000)
    totals = {size: await _replayed(size, AT_ONCE, effort) for size in sizes}
    largest = sizes[-1]
    together = await _replayed(largest, largest, effort)
    loop = sniffio.current_async_library()
    return [
        amount(
            "journal",
            f"a call given again, {AT_ONCE} at once, {loop}",
            [totals[largest] / largest * 1e6],
            "us",
            bar=450,
        ),
        amount("journal", f"a call given again, all at once, {loop}", [together / largest * 1e6], "us", bar=None),
        amount(
            "journal", f"exponent: calls given again, {AT_ONCE} at once, {loop}", [exponent(totals)], "n^", bar=1.05
        ),
    ]


async def _replayed(calls: int, at_once: int, effort: Effort) -> float:
    """Return the CPU seconds of a program whose calls are all in its journal."""
    with tempfile.TemporaryDirectory() as folder:
        await _run(folder, calls, at_once)
        return statistics.median([await _run(folder, calls, at_once) for _ in range(effort.rounds(5))])


async def _run(folder: str, calls: int, at_once: int) -> float:
    backend, places = Echo(), anyio.Semaphore(at_once)

    async def ask(number: int) -> None:
        async with places:
            await backend.generate(f"Say {number}.")

    gc.collect()
    began = time.process_time()
    async with mellite.journal(folder), anyio.create_task_group() as group:
        for number in range(calls):
            group.start_soon(ask, number)
    return time.process_time() - began
