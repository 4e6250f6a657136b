"""How long the viewer's server takes to answer about a log of 100,000 calls: its first page, filters and words."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import mellite
from tests.benchmarks.measure import Effort, Row, amount
from tests.viewer.many_calls import many_calls
from tests.viewer.viewing import got

#: What is asked, how many of 100,000 calls that finds, and how many milliseconds it may take.
ASKED: Final = (
    ("the first calls", "", None, 500),
    ("a filter that no call passes", "&state=failed", 0, 200),
    ("a filter that all calls pass", "&model=scripted", None, 200),
    ("a word that few calls hold", "&q=question+9999", None, 200),
    ("a word that all calls hold", "&q=words", None, 200),
    ("a word in answers, by time taken", "&q=answer+7,&sort=slowest", None, 200),
    ("a word and a filter", "&q=words&tag=tenth", None, 200),
)


async def viewer(effort: Effort) -> list[Row]:
    """Measure answers over HTTP, on the clock of the wall, when the texts of the log are in memory."""
    count = effort.size(100_000, 20_000)
    with tempfile.TemporaryDirectory() as folder:
        path = await asyncio.to_thread(many_calls, Path(folder, "log.db"), count)
        async with mellite.viewer.serve(path) as shown:
            return await asyncio.to_thread(_asked, shown.url, effort.rounds(24), count)


def _asked(url: str, rounds: int, count: int) -> list[Row]:
    first = _taken(f"{url}api/calls?brief=1", count)
    rows = [amount("viewer", "the very first answer", [first], "ms", bar=500)]
    times: dict[str, list[float]] = {what: [] for what, *_ in ASKED}
    for _ in range(rounds):
        for what, query, total, _ in ASKED:
            times[what].append(_taken(f"{url}api/calls?brief=1{query}", count if query == "" else total))
    return rows + [amount("viewer", what, _behind_first(times[what]), "ms", bar=bar) for what, _, _, bar in ASKED]


def _behind_first(times: Sequence[float]) -> Sequence[float]:
    """Leave out the first round, in which the texts are read."""
    return times[1:]


def _taken(url: str, total: int | None) -> float:
    began = time.perf_counter()
    answer = got(url)
    took = (time.perf_counter() - began) * 1000
    found = answer.json["total"]
    if total is not None and found != total:
        msg = f"{url} finds {found} calls, and there are {total}"
        raise AssertionError(msg)
    return took
