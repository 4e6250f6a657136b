"""Time clients in turn within one run: short rounds in random order, medians, ratios to the floor of the same round."""

from __future__ import annotations

import gc
import math
import os
import random
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import attrs

#: The order of the clients in each round is random, and the same in every run.
_ORDER: Final = random.Random(10)

Run = Callable[[], Awaitable[object]]


@attrs.frozen
class Row:
    """One figure with its bar: `measured` is judged, in `unit`; ``x`` is times the floor."""

    benchmark: str
    what: str
    measured: float
    unit: str
    bar: float | None = None
    stretch: float | None = None
    low: float | None = attrs.field(default=None, kw_only=True)
    """The first quartile of the rounds, in `unit`."""
    high: float | None = attrs.field(default=None, kw_only=True)
    """The third quartile of the rounds, in `unit`."""
    ours: float | None = attrs.field(default=None, kw_only=True)
    """The median of mellite, or of the peer that is named, in `raw_unit`."""
    floor: float | None = attrs.field(default=None, kw_only=True)
    """The median of the floor, in `raw_unit`."""
    raw_unit: str = attrs.field(default="us", kw_only=True)
    rounds: int = attrs.field(default=1, kw_only=True)

    @property
    def is_missed(self) -> bool:
        """Whether there is a bar and the figure is above it."""
        return self.bar is not None and self.measured > self.bar


@attrs.frozen
class Effort:
    """How much to measure."""

    quick: bool = False

    def rounds(self, many: int) -> int:
        """Return the number of rounds: `many`, or an eighth of that when rough figures are enough."""
        return max(3, many // 8) if self.quick else many

    def size(self, large: int, small: int) -> int:
        """Return `large`, or `small` when rough figures are enough."""
        return small if self.quick else large


async def in_turn(
    runs: dict[str, Run],
    *,
    rounds: int,
    per: int,
    wall: bool = False,
    clocks: Mapping[str, Callable[[], float]] | None = None,
) -> dict[str, list[float]]:
    """Run each client once to warm up, then all of them once a round; return microseconds an item, round by round.

    Args:
        runs: what to run, by the name of the client.
        rounds: how many rounds.
        per: how many items one run does.
        wall: read the clock on the wall instead of the CPU time of this process.
        clocks: what to read instead for some clients, in seconds.
    """
    clock = time.perf_counter if wall else time.process_time
    times: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        await run()
    order = list(runs)
    for _ in range(rounds):
        _ORDER.shuffle(order)
        for name in order:
            gc.collect()  # no client pays for the garbage of another
            now = (clocks or {}).get(name, clock)
            began = now()
            await runs[name]()
            times[name].append((now() - began) / per * 1e6)
    return times


def ratio(
    benchmark: str,
    what: str,
    ours: Sequence[float],
    floor: Sequence[float],
    *,
    bar: float | None,
    stretch: float | None = None,
    raw_unit: str = "us",
) -> Row:
    """Compare with the floor: the median over the rounds of the ratio within each round."""
    values = [a / b for a, b in zip(ours, floor, strict=True)]
    return _row(benchmark, what, values, unit="x", bar=bar, stretch=stretch, ours=ours, floor=floor, raw_unit=raw_unit)


def added(
    benchmark: str,
    what: str,
    ours: Sequence[float],
    without: Sequence[float],
    *,
    of: Sequence[float] | None = None,
    bar: float | None,
    stretch: float | None = None,
) -> Row:
    """Subtract what the same work costs without, round by round: in microseconds, or in times the floor `of`."""
    differences = [a - b for a, b in zip(ours, without, strict=True)]
    if of is None:
        return _row(benchmark, what, differences, unit="us", bar=bar, stretch=stretch, ours=ours, floor=without)
    shares = [d / f for d, f in zip(differences, of, strict=True)]
    return _row(benchmark, what, shares, unit="x", bar=bar, stretch=stretch, ours=differences, floor=of)


def amount(
    benchmark: str, what: str, values: Sequence[float], unit: str, *, bar: float | None, stretch: float | None = None
) -> Row:
    """Take the median of an amount that has no floor."""
    return _row(benchmark, what, values, unit=unit, bar=bar, stretch=stretch)


def exponent(totals: dict[int, float]) -> float:
    """Fit the exponent with which a total grows with the number of items: 1 is linear."""
    return statistics.linear_regression([math.log(n) for n in totals], [math.log(t) for t in totals.values()]).slope


def _row(
    benchmark: str,
    what: str,
    values: Sequence[float],
    *,
    unit: str,
    bar: float | None,
    stretch: float | None,
    ours: Sequence[float] | None = None,
    floor: Sequence[float] | None = None,
    raw_unit: str = "us",
) -> Row:
    low, middle, high = statistics.quantiles(values, n=4) if len(values) > 1 else [values[0]] * 3
    return Row(
        benchmark,
        what,
        middle,
        unit,
        bar,
        stretch,
        low=low,
        high=high,
        ours=statistics.median(ours) if ours else None,
        floor=statistics.median(floor) if floor else None,
        raw_unit=raw_unit,
        rounds=len(values),
    )


def pin(core: int) -> None:
    """Keep this process on one core, where the system can do that."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core % (os.cpu_count() or 1)})
