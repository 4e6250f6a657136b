"""The cases of retries, limits and bad input that need a server, a clock or a whole stack of wrappers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

import mellite
from mellite.backends import Constant, LiveBackend, Scripted
from mellite.cassettes import ScriptedTransport
from mellite.errors import (
    ConnectionLost,
    InvalidRequest,
    MelliteError,
    PayloadTooLarge,
    ProviderInternal,
    UnknownProvider,
)
from mellite.events import Event
from mellite.providers.catalog import find
from mellite.request import HttpOptions
from mellite.thunk import observing
from mellite.thunk.observing import Activity, Observer
from tests.backends.wrappers.clocks import FakeClock
from tests.wire.server import LAST, RESET, THEN, Script, Server, Step, answer, gate, head, piece, serve

pytestmark = pytest.mark.anyio

SSE = {"content-type": "text/event-stream"}


def chunk(text: str | None = None, finish: str | None = None) -> bytes:
    choices = [{"index": 0, "delta": {} if text is None else {"content": text}, "finish_reason": finish}]
    return b"data: " + json.dumps({"id": "c1", "model": "m", "choices": choices}).encode() + b"\n\n"


END = chunk(finish="stop") + b"data: [DONE]\n\n"
STREAMED: list[Step] = [head(headers=SSE), piece(chunk("Hello")), piece(chunk("!")), piece(END), LAST]
BUSY = answer(b'{"error": {"message": "busy"}}', 503)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve() as running:
        yield running


def in_turn(*answers: list[Step]) -> list[Step]:
    """Give one answer after the other."""
    return [step for each in answers for step in [THEN, *each]][1:]


def live(script: Script, **options: Any) -> LiveBackend:
    return LiveBackend(find("openai-chat:m", api_key="sk-test", base_url=f"{script.url}/v1"), **options)


# --- D: retries -----------------------------------------------------------------------------------


@pytest.mark.parametrize("failure", [BUSY, [RESET]], ids=["refused", "reset"])
async def test_three_failures_and_then_an_answer(server: Server, failure: list[Step]) -> None:
    """The same bytes are sent each time, and nothing is lost or given twice."""
    script = server.script(*in_turn(failure, failure, failure, STREAMED))
    clock = FakeClock()
    async with mellite.Retry(live(script), attempts=4, clock=clock) as backend:
        thunk = backend.generate("Hi.")
        assert [delta async for delta in thunk] == ["Hello", "!"]
    assert (thunk.generation.attempts, len(thunk.generation.failures), len(clock.slept)) == (4, 3, 3)
    asked = await anyio.to_thread.run_sync(script.requests, 4)
    assert len({each.body for each in asked}) == 1


async def test_every_attempt_has_the_same_idempotency_key_and_copies_have_their_own(server: Server) -> None:
    script = server.script(*in_turn(BUSY, BUSY, STREAMED, STREAMED, BUSY, STREAMED))
    http = HttpOptions(headers={"Idempotency-Key": "order-7"})
    async with mellite.Retry(live(script), clock=FakeClock()) as backend:
        thunk = backend.generate("Hi.", http=http)
        await thunk
        for copy in thunk.resample(2):
            await copy
    asked = await anyio.to_thread.run_sync(script.requests, 6)
    assert [each.header("idempotency-key") for each in asked] == [
        *["order-7"] * 3,
        "order-7-0",
        *["order-7-1"] * 2,
    ]


async def test_no_idempotency_key_is_made_up(server: Server) -> None:
    script = server.script(*STREAMED)
    async with live(script) as backend:
        await backend.generate("Hi.")
    (asked,) = await anyio.to_thread.run_sync(script.requests, 1)
    assert asked.header("idempotency-key") is None


async def test_nothing_is_sent_again_once_text_was_passed_on_through_all_wrappers(server: Server) -> None:
    script = server.script(*in_turn([head(headers=SSE), piece(chunk("Hel")), gate("on"), RESET], STREAMED))
    clock = FakeClock()
    limited = mellite.RateLimit(live(script, retries=2), requests_per_minute=60, clock=clock)
    stack = mellite.Cached(
        mellite.FallbackTo(mellite.CircuitBreaker(mellite.Retry(limited, clock=clock)), Constant("another"))
    )
    thunk = stack.generate("Hi.")
    deltas = aiter(thunk)
    assert await anext(deltas) == "Hel"
    script.release("on")
    with pytest.raises(ConnectionLost) as caught:
        await anext(deltas)
    assert (caught.value.partial, thunk.generation.attempts) == ("Hel", 1)
    assert len(await anyio.to_thread.run_sync(script.requests, 1)) == 1
    await stack.aclose()


async def test_cancelling_while_it_backs_off_takes_no_time() -> None:
    refused = 429, {"retry-after": "50"}, '{"error": {"message": "busy"}}'
    transport = ScriptedTransport([refused, "{}"])
    thunk = mellite.backend("openai-chat:m", api_key="sk-test", transport=transport).generate("Hi.")
    async with anyio.create_task_group() as group:
        group.start_soon(thunk.settle)
        with anyio.fail_after(5):
            while transport.remaining != 1:
                await anyio.lowlevel.checkpoint()
        await anyio.wait_all_tasks_blocked()
        with anyio.fail_after(20):  # of the 50 s
            await thunk.cancel_generation()
    assert thunk.cancelled


# --- 71: too large --------------------------------------------------------------------------------


async def test_a_request_over_the_limit_is_refused_before_it_is_sent(server: Server) -> None:
    script = server.script(*STREAMED)
    async with live(script, max_request_bytes=1000, retries=2) as backend:
        thunk = await backend.generate("x" * 1000).settle()
        assert isinstance(thunk.error, PayloadTooLarge)
        assert not thunk.error.retryable
        assert "at most 1,000 may be sent to openai" in str(thunk.error)
        assert thunk.generation.failures == ()
        with pytest.raises(PayloadTooLarge):
            backend.prepare(mellite.Request.of("x" * 1000))
        assert await backend.generate("x" * 800) == "Hello!"
    assert len(await anyio.to_thread.run_sync(script.requests, 1)) == 1


async def test_what_the_provider_says_that_it_takes_is_the_limit() -> None:
    large = mellite.Request.of("x" * (32 * 2**20))
    with pytest.raises(PayloadTooLarge, match="33,554,432"):
        LiveBackend(find("anthropic:m", api_key="x")).prepare(large)
    raised = LiveBackend(find("anthropic:m", api_key="x"), max_request_bytes=2**30)
    elsewhere = LiveBackend(find("anthropic:m", api_key="x", base_url="https://claude.invalid/v1"))
    for backend in (raised, elsewhere):
        assert len(backend.prepare(large).body) > 32 * 2**20


async def test_another_backend_may_take_what_is_too_large_for_one() -> None:
    small = mellite.backend("openai-chat:m", api_key="x", transport=ScriptedTransport([]), max_request_bytes=10)
    assert await mellite.FallbackTo(small, Constant("Hello!")).generate("Hi.") == "Hello!"


# --- 86: what looks on, raises --------------------------------------------------------------------


class Raises(Observer):
    """Raises at every turn."""

    def started(self, activity: Activity) -> None:
        raise RuntimeError("started")

    def event(self, activity: Activity, event: Event) -> None:
        raise RuntimeError("event")

    def settled(self, activity: Activity) -> None:
        raise RuntimeError("settled")


async def test_what_raises_while_it_looks_on_costs_no_answer(server: Server) -> None:
    script = server.script(*in_turn(BUSY, STREAMED, STREAMED))
    async with mellite.Retry(live(script), clock=FakeClock()) as backend:
        with observing.using(Raises()):
            assert await backend.generate("Hi.") == "Hello!"
            assert [delta async for delta in backend.generate("Hi.")] == ["Hello", "!"]


# --- what makes no sense --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: mellite.Budget(usd=-1), "usd"),
        (lambda: mellite.Budget(usd=Decimal("NaN")), "usd"),
        (lambda: mellite.Budget(tokens=-1), "tokens"),
        (lambda: mellite.Rate(requests_per_minute=0), "requests_per_minute"),
        (lambda: mellite.RateLimit(Constant("x"), tokens_per_minute=0), "tokens_per_minute"),
        (lambda: mellite.Concurrency(0), "most"),
        (lambda: mellite.Retry(Constant("x"), attempts=0), "attempts"),
        (lambda: mellite.Retry(Constant("x"), budget=-0.1), "budget"),
        (lambda: mellite.CircuitBreaker(Constant("x"), failures=0), "failures"),
        (lambda: mellite.Cached(Constant("x"), ttl=-1), "ttl"),
        (lambda: mellite.backend("openai:m", retries=-1), "retries"),
        (lambda: mellite.backend("openai:m", max_request_bytes=0), "max_request_bytes"),
        (lambda: mellite.RejectionSampling(max_usd=-1), "max_usd"),
    ],
)
def test_what_makes_no_sense_is_refused_when_it_is_made(make: Any, name: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        make()
    assert caught.value.parameter == name


@pytest.mark.parametrize("spec", ["OpenAI:gpt-4o", "OPENAI/gpt-4o", " openai:gpt-4o "])
def test_the_case_of_a_providers_name_says_nothing(spec: str) -> None:
    assert repr(mellite.backend(spec)) == "LiveBackend('openai:gpt-4o')"


def test_an_unknown_provider_is_named() -> None:
    with pytest.raises(UnknownProvider, match="'opnai'"):
        mellite.backend("opnai:gpt-4o")


# --- the total timeout ----------------------------------------------------------------------------


async def test_a_failure_that_outlasts_the_total_timeout_stands_at_once() -> None:
    down = ProviderInternal("down", retry_after=20)
    clock = FakeClock()
    backend = mellite.Retry(Scripted([down, down, "Hello!"]), clock=clock)
    thunk = await backend.generate("Hi.", timeouts=mellite.Timeouts(total=30)).settle()
    assert isinstance(thunk.error, MelliteError)
    assert clock.slept == [20]
    assert "10 s of the total timeout are left" in str(thunk.error)
