"""What sampling adds to the bare loop over copies that a caller would write, on both loops."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import sniffio

import mellite
from mellite import BestOfN, MajorityVote, RejectionSampling, Requirement
from tests.benchmarks.measure import Effort, Row, added, in_turn

COPIES = 200


def score(thunk: mellite.ModelOutputThunk[str]) -> float:
    """Return the length of the answer."""
    return float(len(thunk.value or ""))


def accept(thunk: mellite.ModelOutputThunk[str]) -> bool:
    """Pass."""
    return thunk.value is not None


def scripted() -> mellite.ModelOutputThunk[str]:
    """Make a thunk of a scripted backend, which can be sampled `COPIES` times."""
    return mellite.backends.Scripted(["The answer is 42."] * COPIES).generate("What is 6 times 7?")


async def bare() -> None:
    """Await one copy after the other and keep the best."""
    best, most = None, -1.0
    for copy in scripted().resample(COPIES):
        await copy
        if score(copy) > most:
            best, most = copy, score(copy)
    assert best is not None


async def bare_gather() -> None:
    """Await all copies at once and keep the best."""
    copies = await mellite.gather(*scripted().resample(COPIES))
    max(copies, key=score)


def runs() -> dict[str, Callable[[], Awaitable[object]]]:
    """Return what is measured, by name."""
    required = [Requirement("any", accept), Requirement("any", accept), Requirement("any", accept)]
    inner = RejectionSampling(max_samples=2)
    return {
        "one by one": lambda: BestOfN(COPIES, score=score, concurrency=1).sample(scripted()),
        "50 at a time": lambda: BestOfN(COPIES, score=score, concurrency=50).sample(scripted()),
        "all at once": lambda: BestOfN(COPIES, score=score).sample(scripted()),
        "three checks": lambda: BestOfN(COPIES, score=score, concurrency=50).sample(scripted(), required),
        "budget, deadline": lambda: BestOfN(
            COPIES, score=score, concurrency=50, max_tokens=10**9, deadline=1000
        ).sample(scripted()),
        "majority vote": lambda: MajorityVote(COPIES, key=lambda text: object(), concurrency=50).sample(scripted()),
        "of rejection": lambda: BestOfN(COPIES, score=score, concurrency=50, inner=inner).sample(scripted(), required),
    }


#: What has a bar: best of n as it comes, without requirements.
JUDGED = ("one by one", "50 at a time", "all at once")


async def sampling(effort: Effort) -> list[Row]:
    """Measure on the loop that runs: what is added to the bare loop, or to the gathering of all copies."""
    loop = sniffio.current_async_library()
    strategies = runs()
    times = await in_turn({"loop": bare, "gather": bare_gather, **strategies}, rounds=effort.rounds(24), per=COPIES)
    rows = []
    for name in strategies:
        without = times["loop" if name == "one by one" else "gather"]
        what = f"best of n, {name}, added, {loop}"
        rows.append(added("sampling", what, times[name], without, bar=10 if name in JUDGED else None))
    return rows
