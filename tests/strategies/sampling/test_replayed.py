"""Strategies on a keyed cassette: recorded once with twenty copies at a time, the same under every schedule."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

import mellite
from mellite import BestOfN, Hedge, MajorityVote, MinimumBayesRisk, RejectionSampling
from mellite.backends import LiveBackend
from mellite.cassettes import RecordTransport, ReplayTransport, ScriptedTransport
from mellite.errors import ConnectionLost
from mellite.providers.catalog import find
from mellite.requirements import judge
from mellite.sampling import (
    BudgetForcing,
    Escalate,
    Fallback,
    ModelFriendlyRepair,
    MultiTurnRepair,
    RepairSampling,
    SamplingResult,
    Strategy,
)
from mellite.wire.http import HttpRequest, HttpResponse, Transport

pytestmark = pytest.mark.anyio

SCHEDULES = 10
"""How many ways to shuffle a replay."""


def event(value: Any) -> str:
    """One event of a stream."""
    return f"data: {json.dumps(value)}\n\n"


def answer(texts: list[str], usage: int) -> list[str]:
    """An answer of OpenAI Chat Completions in pieces, each an event."""
    deltas = [event({"choices": [{"index": 0, "delta": {"content": text}}]}) for text in texts]
    tokens = {"prompt_tokens": usage, "completion_tokens": len(texts), "total_tokens": usage + len(texts)}
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": tokens}
    return [*deltas, event(end), "data: [DONE]\n\n"]


def live(seed: int) -> ScriptedTransport:
    """A provider that takes its time, differently for every call, and breaks off now and then."""
    calls: dict[str, int] = {}

    async def answered(request: HttpRequest) -> Any:
        key = f"{seed} {request.context['lineage']} {request.body!r}"
        calls[key] = calls.get(key, 0) + 1
        chance = random.Random(hashlib.sha256(f"{key} {calls[key]}".encode()).digest())

        async def pause() -> None:
            await anyio.sleep(chance.choice([0, 0, 0.001, 0.003, 0.008]))

        await pause()
        if "You judge" in request.body.decode():
            score = chance.randrange(100) / 100
            texts = [json.dumps({"reason": "so it is", "passed": score > 0.5, "score": score})]
        else:
            texts = ["<think>" + "hm " * chance.randrange(1, 6), "hm" * chance.randrange(9) + "</think>It is "]
            texts += [str(chance.randrange(36, 44)), "."]
        pieces: list[Any] = []
        for piece in answer(texts, chance.randrange(5, 50)):
            pieces += [pause, piece]
        if chance.random() < 0.1:
            pieces[chance.randrange(len(pieces))] = ConnectionLost("the connection broke")
        return 200, {"content-type": "text/event-stream"}, pieces

    return ScriptedTransport([answered] * 2000)


class Shuffled:
    """A transport that lets others have their turn at moments that a seed decides."""

    def __init__(self, inner: Transport, seed: int) -> None:
        self.inner = inner
        self.chance = random.Random(seed)

    async def turns(self) -> None:
        """Some turns of the loop, now and then a few milliseconds."""
        if self.chance.random() < 0.05:
            await anyio.sleep(self.chance.random() / 200)
        for _ in range(self.chance.randrange(6)):
            await checkpoint()

    async def open(self, request: HttpRequest, *, timeout: float | None = None) -> HttpResponse:
        """Answer, sooner or later."""
        await self.turns()
        return _Shuffled(await self.inner.open(request, timeout=timeout), self)


class _Shuffled(HttpResponse):
    def __init__(self, inner: HttpResponse, by: Shuffled) -> None:
        self.inner, self.by = inner, by
        self.status, self.headers = inner.status, inner.headers

    async def read(self, timeout: float | None = None) -> bytes:
        await self.by.turns()
        return await self.inner.read(timeout)

    async def aclose(self) -> None:
        await self.inner.aclose()


def outcome(result: SamplingResult[Any]) -> dict[str, Any]:
    """All of a result but for times and the names of generations."""
    found = result.to_dict()
    for each in (found, *found["samples"]):
        each.pop("duration_ms")
    return found


async def run(strategy: Strategy, transport: Transport, *, judged: bool = False) -> dict[str, Any]:
    """What a strategy finds over a transport."""
    backend = LiveBackend(find("openai-chat:gpt-4o-mini", api_key="sk-test"), transport=transport)
    thunk = backend.generate("What is 6 times 7?")
    required: list[Any] = [mellite.Requirement("it is 42", lambda thunk: "42" in thunk.value.rpartition(">")[2])]
    if judged:
        required.append(judge(backend, "It is right."))
    return outcome(await strategy.sample(thunk, required))


def another(model: str) -> Any:
    """A second backend; its transport is put in by the test."""
    return lambda transport: LiveBackend(find(f"openai-chat:{model}", api_key="sk-test"), transport=transport)


STRATEGIES: dict[str, Callable[[Transport], Strategy]] = {
    "rejection": lambda _: RejectionSampling(max_samples=40, concurrency=20),
    "rejection, few": lambda _: RejectionSampling(max_samples=20, concurrency=20, max_tokens=300),
    "repair": lambda _: RepairSampling(max_samples=40, concurrency=20),
    "turns": lambda _: MultiTurnRepair(max_samples=40, concurrency=20),
    "friendly": lambda _: ModelFriendlyRepair(max_samples=40, concurrency=20),
    "best": lambda _: BestOfN(24, score=lambda thunk: len(thunk.value), concurrency=20),
    "best, enough": lambda _: BestOfN(24, score=lambda thunk: len(thunk.value), concurrency=20, enough=40),
    "majority": lambda _: MajorityVote(24, key="numeric", concurrency=20),
    "risk": lambda _: MinimumBayesRisk(21, concurrency=20),
    "thinking": lambda _: BudgetForcing(8, least=3, max_samples=20, concurrency=20),
    "escalate": lambda t: Escalate([another("gpt-4o")(t), another("gpt-4.1")(t)], concurrency=20),
    "fallback": lambda t: Fallback(another("gpt-4o")(t), concurrency=20, inner=RejectionSampling(concurrency=20)),
    "hedge": lambda _: Hedge(0.05, max_samples=4, concurrency=20),
    "hedged votes": lambda _: MajorityVote(21, key="numeric", concurrency=20, inner=Hedge(0.4)),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "judged"), [*[(name, False) for name in STRATEGIES], *[(name, True) for name in ("rejection", "best")]]
)
async def test_replays_are_the_same(name: str, judged: bool) -> None:
    """A strategy that was recorded gives the same winner, samples, order and totals again under every schedule."""
    recorder = RecordTransport(live(1))
    recorded = await run(STRATEGIES[name](recorder), recorder, judged=judged)
    for seed in range(SCHEDULES):
        replay = ReplayTransport(recorder.cassette, match="keyed", deadline=60)
        transport = Shuffled(replay, seed)
        assert await run(STRATEGIES[name](transport), transport, judged=judged) == recorded
