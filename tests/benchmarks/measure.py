"""Time things side by side: rounds in turn, every second one in reverse, medians, ratios to the first."""

from __future__ import annotations

import gc
import os
import statistics
import time
from collections.abc import Awaitable, Callable


async def side_by_side(
    title: str,
    runs: dict[str, Callable[[], Awaitable[None]]],
    *,
    per: int,
    unit: str,
    rounds: int = 7,
    bar: float | None = None,
    wall: bool = False,
) -> None:
    """Run each for some rounds and print microseconds per item; the first is the floor of the ratios.

    Args:
        per: items in one round.
        bar: the highest ratio that is good enough.
        wall: measure the clock on the wall instead of this process's CPU time.
    """
    clock = time.perf_counter if wall else time.process_time
    times: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        await run()  # warm up: imports, connections
    for turn in range(rounds):
        for name, run in list(runs.items())[:: 1 if turn % 2 == 0 else -1]:
            gc.collect()
            start = clock()
            await run()
            times[name].append((clock() - start) / per * 1e6)
    report(title, {name: statistics.median(values) for name, values in times.items()}, unit=unit, bar=bar)


def report(title: str, medians: dict[str, float], *, unit: str, bar: float | None = None) -> None:
    """Print one table of medians, with ratios to the first row."""
    print(f"\n{title}")
    floor = next(iter(medians.values()))
    for index, (name, value) in enumerate(medians.items()):
        ratio = f"{value / floor:6.2f}x" if index else "  floor"
        judged = "" if bar is None or not index else f"   bar {bar:.2f}x {'ok' if value / floor <= bar else 'MISSED'}"
        print(f"  {name:34}{value:12.2f} {unit}  {ratio}{judged}")


def pin(core: int) -> None:
    """Keep this process on one core, where the system allows it."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core % (os.cpu_count() or 1)})
