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
from tests.strategies.sampling.support import sampling
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
    # Whatever order they ended in: all that were begun are judged, but for those in flight.
    assert sum(sample.status not in ("rejected", "passed") for sample in result.samples) < WIDTH
    await blocked()
    assert live_tasks() == before


async def test_an_early_vote():
    """A vote of a thousand ends when half of them agree, and only then."""
    backend = Numbered()
    result = await MajorityVote(MANY, key=lambda text: "same", concurrency=WIDTH).sample(backend.generate("hi"))
    assert (result.stop_reason, result.success, backend.open) == ("decided", True, 0)
    assert 500 <= backend.begun <= 500 + WIDTH


async def test_an_answer_keeps_its_place_until_it_is_judged():
    """An async check counts among those that run at once: the next copy is sent when a check has ended."""
    backend = Numbered()
    judging: list[anyio.Event] = []

    async def score(thunk):
        judging.append(anyio.Event())
        await judging[-1].wait()
        return 1.0

    async with sampling(BestOfN(5, score=score, concurrency=2), backend.generate("hi")) as run:
        for ended in range(4):
            await blocked()
            assert (backend.begun, len(judging)) == (ended + 2, ended + 2)
            judging[ended].set()
        judging[4].set()
    assert [sample.status for sample in run.result.samples] == ["passed"] * 5


@pytest.mark.parametrize("concurrency", [1, 3, MANY])
async def test_some_scores_come_at_once_and_some_later(concurrency):
    """Sync and async scores mix, and so do those that raise; nothing is left waiting."""
    before = live_tasks()

    async def later(number):
        await checkpoint()
        if number % 10 == 3:
            raise ValueError(str(number))
        return number

    def score(thunk):
        number = int(thunk.value)
        if number % 10 == 4:
            raise ValueError(str(number))
        return later(number) if number % 2 else number

    result = await BestOfN(60, score=score, concurrency=concurrency).sample(Numbered().generate("hi"))
    assert result.value == "59"
    failed = [int(sample.thunk.value) for sample in result.samples if sample.status == "failed"]
    assert failed == [number for number in range(60) if number % 10 in (3, 4)]
    assert [sample.score for sample in result.samples if sample.error is None] == [
        float(number) for number in range(60) if number % 10 not in (3, 4)
    ]
    await blocked()
    assert live_tasks() == before


async def test_answers_that_are_there_when_they_begin():
    """A copy that has settled by the time it is begun, as under eager tasks, is handled like any other."""

    class Cancelling(mellite.Backend):
        async def stream(self, request: Request) -> AsyncIterator[Event]:
            yield TextDelta("x")
            yield Finish("stop")

    class Watch:
        """Cancels every other copy before it begins."""

        def __init__(self) -> None:
            self.ends: list[str] = []

        def expects(self, total: int) -> None:
            assert total == 6

        def started(self, thunk) -> None:
            if thunk.call.lineage[0] % 2:
                thunk.cancel("not wanted")

        def ended(self, sample) -> None:
            self.ends.append(sample.status)

    watch = Watch()
    result = await BestOfN(6, score=lambda thunk: 1).sample(Cancelling().generate("hi"), watch=watch)
    assert [sample.status for sample in result.samples] == ["passed", "cancelled"] * 3
    assert sorted(watch.ends) == ["cancelled"] * 3 + ["unchecked"] * 3


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
