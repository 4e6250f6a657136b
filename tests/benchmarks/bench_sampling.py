"""What sampling costs beside the bare loop over copies that a caller would write: ratios, on both loops."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable

import trio

import mellite
from mellite import BestOfN, MajorityVote, RejectionSampling, Requirement
from tests.benchmarks.measure import pin, side_by_side

COPIES = 200

#: How much dearer a sample may be than in the bare loop.
BAR = 2.0


def score(thunk: mellite.ModelOutputThunk[str]) -> float:
    """The length of the answer."""
    return float(len(thunk.value or ""))


def accept(thunk: mellite.ModelOutputThunk[str]) -> bool:
    """A check that passes."""
    return thunk.value is not None


def scripted() -> mellite.ModelOutputThunk[str]:
    """A thunk of a scripted backend, which can be sampled `COPIES` times."""
    return mellite.backends.Scripted(["The answer is 42."] * COPIES).generate("What is 6 times 7?")


async def bare() -> None:
    """The bare loop: one copy after the other, the best kept."""
    best, most = None, -1.0
    for copy in scripted().resample(COPIES):
        await copy
        if score(copy) > most:
            best, most = copy, score(copy)
    assert best is not None


async def bare_gather() -> None:
    """The bare loop for those who know `gather`: all at once."""
    copies = await mellite.gather(*scripted().resample(COPIES))
    max(copies, key=score)


def runs() -> dict[str, Callable[[], Awaitable[None]]]:
    """What is measured, the floor first."""
    required = [Requirement("any", accept), Requirement("any", accept), Requirement("any", accept)]

    async def one_by_one() -> None:
        await BestOfN(COPIES, score=score, concurrency=1).sample(scripted())

    async def fifty() -> None:
        await BestOfN(COPIES, score=score, concurrency=50).sample(scripted())

    async def all_at_once() -> None:
        await BestOfN(COPIES, score=score).sample(scripted())

    async def checked() -> None:
        await BestOfN(COPIES, score=score, concurrency=50).sample(scripted(), required)

    async def budgeted() -> None:
        await BestOfN(COPIES, score=score, concurrency=50, max_tokens=10**9, deadline=1000).sample(scripted())

    async def vote() -> None:
        await MajorityVote(COPIES, key=lambda text: object(), concurrency=50).sample(scripted())

    async def nested() -> None:
        inner = RejectionSampling(max_samples=2)
        await BestOfN(COPIES, score=score, concurrency=50, inner=inner).sample(scripted(), required)

    return {
        "bare loop over copies": bare,
        "gather of all copies": bare_gather,
        "best of n, one by one": one_by_one,
        "best of n, 50 at a time": fifty,
        "best of n, all at once": all_at_once,
        "  with three checks": checked,
        "  with budget and deadline": budgeted,
        "majority vote, all different": vote,
        "best of n of rejection": nested,
    }


async def main(loop: str) -> None:
    """Measure on the loop that runs."""
    pin(0)
    await side_by_side(f"{COPIES} samples, {loop}", runs(), per=COPIES, unit="us a sample", bar=BAR)


if __name__ == "__main__":
    asyncio.run(main("asyncio"))
    if "--asyncio" not in sys.argv:
        trio.run(main, "trio")
