"""A thousand copies: order, totals and cancellation are right, and nothing is left."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from decimal import Decimal

import anyio
import pytest
from anyio.lowlevel import checkpoint

import mellite
from mellite import BestOfN, Hedge, MajorityVote, RejectionSampling
from mellite.events import Event, Finish, ResponseStart, TextDelta, Usage
from mellite.request import Request
from tests.thunk.support import blocked, live_tasks

pytestmark = pytest.mark.anyio

MANY = 1000
WIDTH = 50


class Numbered(mellite.Backend):
    """Answers with the number of the copy that asks, after a while that differs; counts what runs at the same time."""

    def __init__(self, hang_after: int = MANY) -> None:
        self.hang_after = hang_after
        self.begun = 0
        self.open = 0
        self.widest = 0
        self.ended: list[int] = []
        self.hanging = anyio.Event()

    async def stream(self, request: Request) -> AsyncIterator[Event]:
        """Send the number."""
        number = request.metadata["lineage"][0]
        self.begun += 1
        self.open += 1
        self.widest = max(self.widest, self.open)
        try:
            yield ResponseStart(provider="openai", model="gpt-4o-mini")
            for _ in range((number * 7919) % 23):
                await checkpoint()
            if number >= self.hang_after:
                await self.hanging.wait()
            yield TextDelta(str(number))
            yield Finish("stop", usage=Usage.of(input_tokens=number, output_tokens=1))
            self.ended.append(number)
        finally:
            self.open -= 1


@pytest.mark.slow
async def test_order_and_totals():
    """A thousand copies under a concurrency of fifty: each once, in order, with exact totals."""
    before = live_tasks()
    backend = Numbered()
    strategy = BestOfN(MANY, score=lambda thunk: -abs(int(thunk.value) - 517), concurrency=WIDTH)
    result = await strategy.sample(backend.generate("hi"))
    assert (result.value, result.attempts, result.stop_reason) == ("517", MANY, "completed")
    assert (backend.begun, backend.open) == (MANY, 0)
    assert WIDTH - 10 <= backend.widest <= WIDTH
    assert backend.ended != sorted(backend.ended)
    assert [sample.lineage for sample in result.samples] == [(index,) for index in range(MANY)]
    assert [sample.thunk.value for sample in result.samples] == [str(index) for index in range(MANY)]
    assert result.usage.input_tokens == sum(range(MANY))
    cost = Decimal("0.00000015") * sum(range(MANY)) + Decimal("0.0000006") * MANY
    assert result.cost_usd == cost
    await blocked()
    assert live_tasks() == before


async def test_cancellation():
    """When one of a thousand is accepted, those in flight are cancelled, the rest is not sent, and no task is left."""
    before = live_tasks()
    backend = Numbered(hang_after=400)
    strategy = RejectionSampling(max_samples=MANY, concurrency=WIDTH)
    result = await strategy.sample(backend.generate("hi"), [lambda thunk: thunk.value == "399"])
    assert (result.value, result.success) == ("399", True)
    assert 400 <= backend.begun <= 400 + WIDTH
    assert (backend.open, result.attempts) == (0, backend.begun)
    assert [sample.lineage for sample in result.samples] == [(index,) for index in range(backend.begun)]
    statuses = {sample.status for sample in result.samples[400:]}
    assert statuses <= {"cancelled"}
    assert all(sample.status in ("rejected", "passed") for sample in result.samples[:350])
    await blocked()
    assert live_tasks() == before


async def test_an_early_vote():
    """A vote of a thousand ends when half of them agree, and only then."""
    backend = Numbered()
    result = await MajorityVote(MANY, key=lambda text: "same", concurrency=WIDTH).sample(backend.generate("hi"))
    assert (result.stop_reason, result.success, backend.open) == ("decided", True, 0)
    assert 500 <= backend.begun <= 500 + WIDTH


@pytest.mark.parametrize("at", [0, 1, 50, 500])
async def test_the_caller_is_cancelled(at):
    """Wherever the caller is cancelled, everything in flight is, and no task is left."""
    before = live_tasks()
    backend = Numbered(hang_after=at)
    strategy = RejectionSampling(max_samples=MANY, concurrency=WIDTH, deadline=1000)
    async with anyio.create_task_group() as group:
        group.start_soon(strategy.sample, backend.generate("hi"), [lambda thunk: False])
        await blocked()
        assert 0 < backend.open <= WIDTH
        group.cancel_scope.cancel()
    assert backend.open == 0
    await blocked()
    assert live_tasks() == before


@pytest.mark.slow
@pytest.mark.parametrize("inner", [None, RejectionSampling(max_samples=1), Hedge(100)])
async def test_nothing_keeps_a_result_alive(inner):
    """A result that is dropped is gone, with its thousand thunks, without the garbage collector."""
    import weakref

    strategy = BestOfN(MANY, score=lambda thunk: 0, concurrency=WIDTH, inner=inner, deadline=1000)
    gc.collect()
    gc.disable()
    try:
        result = await strategy.sample(Numbered().generate("hi"), [lambda thunk: True])
        await blocked()
        watched = [weakref.ref(sample.thunk) for sample in result.samples]
        del result
        assert [watch() for watch in watched if watch() is not None] == []
    finally:
        gc.enable()
