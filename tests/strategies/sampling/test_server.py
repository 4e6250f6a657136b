"""What a server sees: losers' connections close at once, nothing is sent that no longer matters."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal

import anyio
import anyio.to_thread
import pytest

from mellite import BestOfN, Hedge, MajorityVote, RejectionSampling
from mellite.backends import LiveBackend
from mellite.providers.catalog import find
from tests.strategies.sampling.support import sampling, short
from tests.wire.server import LAST, Script, Server, gate, head, piece, serve

pytestmark = pytest.mark.anyio

CLOSED_WITHIN = 0.1
"""Seconds within which the connection of a loser is closed."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server in a process of its own."""
    with serve() as server:
        yield server


def event(data: str) -> bytes:
    """One event of a stream."""
    return f"data: {data}\n\n".encode()


def delta(text: str) -> bytes:
    """A piece of an answer, as OpenAI Chat Completions sends it."""
    return event(json.dumps({"choices": [{"index": 0, "delta": {"content": text}}]}))


END = event(
    '{"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], '
    '"usage": {"prompt_tokens": 10, "completion_tokens": 10, "total_tokens": 20}}'
) + event("[DONE]")


COST = Decimal("0.0000075")
"""What one answer costs: 10 input tokens at 0.15, 10 output tokens at 0.60 USD a million."""


def answers(server: Server, text: str) -> Script:
    """Every request gets the start of an answer at once, and the rest when it is released."""
    sse = head(200, {"content-type": "text/event-stream"})
    return server.script(sse, piece(delta(text)), gate("rest"), piece(delta("") + END), gate("end"), LAST)


@pytest.fixture
async def backend(server: Server) -> AsyncIterator[tuple[Script, LiveBackend]]:
    """A script of the server, and a backend that asks it."""
    script = answers(server, "ok")
    route = find("openai-chat:gpt-4o-mini", api_key="sk-test", base_url=script.url)
    async with LiveBackend(route) as live:
        yield script, live
    await anyio.to_thread.run_sync(server.no_connections)


async def closed(script: Script, count: int, decided: float) -> float:
    """How long after a moment the last of so many connections was closed, in seconds."""
    gone = await anyio.to_thread.run_sync(script.gone, count)
    assert len(gone) == count
    return max(each.gone_at for each in gone) - decided


async def test_losers_are_closed_when_one_is_accepted(backend, pauses):
    """When a copy is accepted, the connections of all others close within 100 ms, before they got another byte."""
    script, live = backend
    accepted = []

    def check(thunk):
        accepted.append(time.monotonic())
        return True

    strategy = RejectionSampling(max_samples=100, concurrency=8)
    async with sampling(strategy, live.generate("hi"), [check]) as run:
        await anyio.to_thread.run_sync(script.waiting, 8)
        script.release("rest", 1)
        script.release("end", 1)
        await run.over.wait()
        over = time.monotonic()
        assert await closed(script, 7, accepted[0]) < CLOSED_WITHIN + pauses.longest
    assert over - accepted[0] < CLOSED_WITHIN + pauses.longest
    assert len(script.requests(8)) == 8  # ninety-two were never sent
    assert (run.result.value, run.result.attempts) == ("ok", 8)
    losers = [sample for sample in run.result.samples if sample.status == "cancelled"]
    assert [sample.thunk.partial for sample in losers] == ["ok"] * 7


async def test_a_decided_vote_closes_the_rest(backend, pauses):
    """As soon as a vote cannot change any more, the connections that are still open close within 100 ms."""
    script, live = backend
    async with sampling(MajorityVote(7), live.generate("hi")) as run:
        await anyio.to_thread.run_sync(script.waiting, 7)
        began = time.monotonic()
        script.release("rest", 4)
        script.release("end", 4)
        await run.over.wait()
        assert await closed(script, 3, began) < 2 * CLOSED_WITHIN + pauses.longest
        assert await closed(script, 3, time.monotonic()) < 0  # before the result was there
    assert (run.result.value, run.result.stop_reason) == ("ok", "decided")
    assert [sample.score for sample in run.result.samples].count(4.0) == 4


async def test_a_spent_budget_closes_the_rest(backend, pauses):
    """When the budget of tokens is spent, what is in flight is closed within 100 ms and nothing more is sent."""
    script, live = backend
    strategy = BestOfN(50, score=lambda thunk: 1, concurrency=5, max_tokens=40)
    async with sampling(strategy, live.generate("hi")) as run:
        await anyio.to_thread.run_sync(script.waiting, 5)
        script.release("rest", 1)
        script.release("end", 1)
        await anyio.to_thread.run_sync(script.requests, 6)
        began = time.monotonic()
        script.release("rest", 1)
        script.release("end", 1)
        await run.over.wait()
        assert await closed(script, 4, began) < 2 * CLOSED_WITHIN + pauses.longest
    assert (run.result.stop_reason, run.result.usage.total_tokens) == ("max_tokens", 40)
    assert len(script.requests(6)) == 6
    assert (run.result.cost_usd, run.result.known_cost_usd, run.result.unmetered) == (None, COST * 2, 4)


async def test_the_deadline_closes_everything(backend, pauses):
    """At the deadline all connections close within 100 ms."""
    script, live = backend
    began = time.monotonic()
    async with sampling(RejectionSampling(max_samples=9, concurrency=4, deadline=0.6), live.generate("hi"), [short()]):
        await anyio.to_thread.run_sync(script.waiting, 4)
    assert await closed(script, 4, began + 0.6) < CLOSED_WITHIN + pauses.longest


async def test_the_late_copy_is_closed(backend, pauses):
    """The loser of a hedge is closed within 100 ms."""
    script, live = backend
    async with sampling(Hedge(0.05), live.generate("hi")) as run:
        await anyio.to_thread.run_sync(script.waiting, 2)
        began = time.monotonic()
        script.release("rest", 1)
        script.release("end", 1)
        await run.over.wait()
        assert await closed(script, 1, began) < 2 * CLOSED_WITHIN + pauses.longest
    assert (run.result.value, run.result.attempts) == ("ok", 2)


async def test_a_cancelled_caller_closes_everything(backend, pauses):
    """When the task that samples is cancelled, all connections close within 100 ms."""
    script, live = backend
    async with sampling(RejectionSampling(max_samples=99, concurrency=6), live.generate("hi"), [short()]) as run:
        await anyio.to_thread.run_sync(script.waiting, 6)
        began = time.monotonic()
        run.scope.cancel()
        await run.over.wait()
        assert await closed(script, 6, began) < CLOSED_WITHIN + pauses.longest
    assert len(script.requests(6)) == 6


@pytest.mark.slow
async def test_a_thousand_over_sockets(server):
    """A thousand copies under a concurrency of fifty over real connections: each once, and no socket is left."""
    sse = head(200, {"content-type": "text/event-stream"})
    script = server.script(sse, piece(delta("ok") + END), LAST)
    route = find("openai-chat:gpt-4o-mini", api_key="sk-test", base_url=script.url)
    async with LiveBackend(route) as live:
        result = await BestOfN(1000, score=lambda thunk: 1, concurrency=50).sample(live.generate("hi"))
        assert (result.success, result.attempts, result.usage.total_tokens) == (True, 1000, 20_000)
        assert {sample.status for sample in result.samples} == {"passed"}
    received = await anyio.to_thread.run_sync(script.requests, 1000)
    assert len(received) == 1000
    assert len({each.connection for each in received}) <= 60
    await anyio.to_thread.run_sync(server.no_connections)
