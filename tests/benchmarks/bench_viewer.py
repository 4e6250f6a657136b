"""How long the viewer takes: answers about a log of 100,000 calls, and a call of 3 MB, also until it is painted."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import mellite
from tests.benchmarks.measure import Effort, Row, amount
from tests.viewer.long_calls import in_parts, long_call
from tests.viewer.many_calls import many_calls
from tests.viewer.viewing import got, recorded

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
            rows = await asyncio.to_thread(_asked, shown.url, effort.rounds(24), count)
        path = await asyncio.to_thread(long_call, Path(folder, "long.json"), 3_000_000)
        async with mellite.viewer.serve(path) as shown:
            rows += await asyncio.to_thread(_long, shown.url, effort.rounds(10))
        path = in_parts(
            recorded(Path(folder, "parts.json"), "?"), [f"Part {number}, and more.\n" for number in range(30_000)]
        )
        async with mellite.viewer.serve(path) as shown:
            took = await asyncio.to_thread(_taken, f"{shown.url}api/calls/0/timeline", None)
    return [*rows, amount("viewer", "the timeline of 30,000 parts, the first time", [took], "ms", bar=5000)]


def _long(url: str, rounds: int) -> list[Row]:
    """Measure a call of 3 MB: over HTTP, and in Chromium where that and Selenium are."""
    times = [_taken(f"{url}api/calls/0?brief=1", None) for _ in range(rounds)]
    rows = [amount("viewer", "a call of 3 MB", times, "ms", bar=200)]
    if find_spec("selenium") is None or shutil.which("chromedriver") is None:
        return rows
    from tests.viewer.browser.driving import browser

    with browser() as page:
        page.size(1280)
        painted = []
        for _ in range(rounds):
            page.driver.get("about:blank")
            page.open(url)
            painted.append(page.painted("#/call/0", ".call"))
    return [*rows, amount("viewer", "the first paint of a call of 3 MB", painted, "ms", bar=500)]


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
    if total is not None and answer.json["total"] != total:
        msg = f"{url} finds {answer.json['total']} calls, and there are {total}"
        raise AssertionError(msg)
    return took
