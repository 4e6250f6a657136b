"""Wrappers directly around one another share what stands between connection and thunk; each sees everything."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import anyio.to_thread
import pytest

import mellite
from mellite.backends import LiveBackend
from mellite.errors import CircuitOpen, ProviderInternal
from mellite.events import Event
from mellite.providers.catalog import find
from tests.backends.wrappers.clocks import FakeClock
from tests.backends.wrappers.test_pushed_wrappers import BUSY, SSE, STREAMED, WHOLE, in_turn, live
from tests.wire.server import LAST, Script, Server, answer, gate, head, serve

pytestmark = pytest.mark.anyio

SILENT = [gate("never"), head(headers=SSE), LAST]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve() as running:
        yield running


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_each_keeps_what_it_is_for(server: Server, stream: bool) -> None:
    """The cache keeps the answer once and whole; the breaker counts failures."""
    script = server.script(*in_turn(WHOLE, STREAMED if stream else WHOLE, BUSY, BUSY, WHOLE))
    script.release("on", 1)
    async with mellite.CircuitBreaker(mellite.RateLimit(mellite.Cached(live(script))), failures=2) as backend:
        assert await backend.generate("Warm up.", stream=False) == "Hello!"
        answers = [await backend.generate("again", stream=stream).settle() for _ in range(2)]
        assert [answer.value for answer in answers] == ["Hello!"] * 2
        assert [answer.generation.replayed for answer in answers] == [False, True]
        errors = [(await backend.generate(f"{n}", stream=False).settle()).error for n in range(3)]
        assert [type(each) for each in errors] == [ProviderInternal, ProviderInternal, CircuitOpen]


async def test_a_breaker_inside_a_limit_opens(server: Server) -> None:
    script = server.script(*in_turn(WHOLE, BUSY, BUSY, WHOLE))
    async with mellite.RateLimit(mellite.CircuitBreaker(live(script), failures=2)) as backend:
        thunks = [await backend.generate(f"{n}", stream=False).settle() for n in range(4)]
    assert [type(each.error) for each in thunks] == [type(None), ProviderInternal, ProviderInternal, CircuitOpen]


@pytest.mark.parametrize("outside", ["RateLimit", "CircuitBreaker"])
async def test_what_is_cancelled_is_over_for_each(server: Server, outside: str) -> None:
    """A limit that is still to be learned lets one go at a time: none stays under way."""
    script = server.script(*in_turn(SILENT, WHOLE))
    inner: Any = live(script)
    wrapped = (
        mellite.RateLimit(mellite.CircuitBreaker(inner))
        if outside == "RateLimit"
        else mellite.CircuitBreaker(mellite.RateLimit(inner))
    )
    async with live(server.script(*WHOLE)) as other:
        assert await other.generate("Warm up.", stream=False) == "Hello!"
    async with wrapped as backend:
        with anyio.fail_after(30):
            thunk = backend.generate("x")
            async with anyio.create_task_group() as group:
                group.start_soon(thunk.settle)
                await anyio.to_thread.run_sync(script.waiting, 1)
                await thunk.cancel_generation()
            assert await backend.generate("y", stream=False) == "Hello!"


async def test_a_limit_that_learns_lets_several_go_once_a_head_told_nothing(server: Server) -> None:
    """As of servers that tell no limits at all."""
    script = server.script(*in_turn(WHOLE, STREAMED))
    async with mellite.RateLimit(live(script)) as backend:
        assert await backend.generate("Warm up.", stream=False) == "Hello!"
        thunks = [backend.generate(f"{n}") for n in range(3)]
        with anyio.fail_after(30):
            async with anyio.create_task_group() as group:
                for thunk in thunks:
                    group.start_soon(thunk.settle)
                await anyio.to_thread.run_sync(script.waiting, 3)
                script.release("on", 3)
        assert [thunk.value for thunk in thunks] == ["Hello!"] * 3


class Apart(LiveBackend):
    """A backend with a stream of its own, which therefore pushes nothing."""

    async def stream(self, request: mellite.Request) -> AsyncIterator[Event]:
        async for event in super().stream(request):
            yield event


def apart(script: Script) -> Apart:
    return Apart(find("openai-chat:m", api_key="sk-test", base_url=f"{script.url}/v1"), retries=0)


async def test_what_cannot_be_pushed_is_seen_once(server: Server) -> None:
    """The cache keeps one text, and not the same text twice."""
    script = server.script(*in_turn(STREAMED))
    script.release("on", 1)
    async with mellite.RateLimit(mellite.Cached(apart(script))) as backend:
        thunks = [await backend.generate("x").settle() for _ in range(2)]
    assert [thunk.value for thunk in thunks] == ["Hello!"] * 2
    assert [thunk.generation.replayed for thunk in thunks] == [False, True]


async def test_the_tokens_of_a_whole_answer_count(server: Server) -> None:
    """They take the place of the guess, as those of a stream do."""
    spent = {"prompt_tokens": 900, "completion_tokens": 95, "total_tokens": 995}
    choices = [{"message": {"content": "Hello!"}, "finish_reason": "stop"}]
    script = server.script(*in_turn(WHOLE, answer(json.dumps({"choices": choices, "usage": spent}).encode())))
    clock = FakeClock()
    async with mellite.RateLimit(live(script), tokens_per_minute=1000, clock=clock) as backend:
        slept = []
        for prompt in ("Warm up.", "first", "second"):
            assert await backend.generate(prompt, stream=False, max_tokens=5) == "Hello!"
            slept.append(len(clock.slept))
    assert slept == [0, 0, 1]


@pytest.mark.parametrize(("given", "most"), [({}, 10), ({}, 600), ({"max_tokens": 10}, 600)])
async def test_the_longest_answer_counts(server: Server, given: dict[str, int], most: int) -> None:
    """That of the call, else that of the backend, is booked until the usage is known; here it never is."""
    script = server.script(*in_turn(WHOLE, WHOLE, WHOLE))
    clock = FakeClock()
    url = f"{script.url}/v1"
    inside = mellite.backend("openai-chat:m", api_key="sk-test", base_url=url, retries=0, max_tokens=most)
    async with mellite.RateLimit(inside, tokens_per_minute=1000, clock=clock) as backend:
        for _ in range(3):
            assert await backend.generate("x", stream=False, **given) == "Hello!"
    assert len(clock.slept) == (0 if most == 10 or given else 2)


async def test_each_whole_answer_may_tell_of_the_limit_anew(server: Server) -> None:
    """Once learned, a limit is not taken for granted: others may have used it up."""
    body = b'{"choices": [{"message": {"content": "Hello!"}, "finish_reason": "stop"}]}'
    told = [{"x-ratelimit-limit-requests": "9", "x-ratelimit-remaining-requests": left} for left in ("8", "7", "0")]
    script = server.script(*in_turn(*[answer(body, headers=headers) for headers in told]))
    clock = FakeClock()
    async with mellite.RateLimit(live(script), clock=clock) as backend:
        slept = []
        for number in range(4):
            assert await backend.generate(f"{number}", stream=False) == "Hello!"
            slept.append(len(clock.slept))
    assert slept == [0, 0, 0, 1]


async def test_hooks_are_shown_what_the_generation_comes_to(server: Server) -> None:
    """Its facts are made once, for whoever looks first: the hook or the caller."""
    script = server.script(*in_turn(WHOLE))
    seen: list[Any] = []
    async with mellite.Hooked(live(script), mellite.hooks.after("generation")(seen.append)) as backend:
        assert await backend.generate("Warm up.", stream=False) == "Hello!"
        thunk = backend.generate("x", stream=False)
        assert await thunk == "Hello!"
    assert seen[-1].generation is thunk.generation


@pytest.mark.parametrize("around", [lambda backend: backend, mellite.Retry, mellite.CircuitBreaker])
async def test_what_waits_for_its_place_counts_from_when_it_is_sent(server: Server, around: Any) -> None:
    """Whatever is between the limit and the backend that runs one generation at a time."""
    held = [gate("first"), *WHOLE]
    script = server.script(*in_turn(WHOLE, held, WHOLE))
    route = find("openai-chat:m", api_key="sk-test", base_url=f"{script.url}/v1")
    clock = FakeClock()
    async with around(LiveBackend(route, max_concurrency=1)) as inner:
        assert await inner.generate("Warm up.", stream=False) == "Hello!"
        backend = mellite.RateLimit(inner, requests_per_minute=2, clock=clock)
        async with anyio.create_task_group() as group:
            for prompt in ("sent now", "sent half a minute later"):
                group.start_soon(backend.generate(prompt, stream=False).settle)
            await anyio.to_thread.run_sync(script.waiting, 1)
            await clock.sleep(30)
            script.release("first")
        for prompt in ("in place of the first", "in place of the second"):
            assert await backend.generate(prompt, stream=False) == "Hello!"
    assert clock.now() == pytest.approx(1000 + 30 + 60.25)


async def test_prompts_count_under_a_limit_of_tokens_that_was_learned(server: Server) -> None:
    """By a guess at each prompt, where the answers report no tokens."""
    body = b'{"choices": [{"message": {"content": "Hello!"}, "finish_reason": "stop"}]}'
    told = {"x-ratelimit-limit-tokens": "1000", "x-ratelimit-remaining-tokens": "1000"}
    script = server.script(*in_turn(answer(body, headers=told)))
    clock = FakeClock()
    async with mellite.RateLimit(live(script), clock=clock) as backend:
        slept = []
        for prompt in ("Warm up.", "first " * 450, "second " * 400):
            assert await backend.generate(prompt, stream=False, max_tokens=5) == "Hello!"
            slept.append(len(clock.slept))
    assert slept == [0, 0, 1]


@pytest.mark.parametrize("outside", ["RateLimit", "CircuitBreaker"])
def test_a_loop_that_is_closed_under_the_only_one_lets_another_go(server: Server, outside: str) -> None:
    """A limit that is still to be learned lets one go at a time, and so does a breaker that looks whether it is up."""
    script = server.script(*in_turn(WHOLE, BUSY, SILENT, WHOLE))
    inner = live(script)
    backend = (
        mellite.RateLimit(inner) if outside == "RateLimit" else mellite.CircuitBreaker(inner, failures=1, cooldown=0)
    )

    async def drive() -> None:
        assert await inner.generate("Warm up.", stream=False) == "Hello!"
        around = inner if outside == "RateLimit" else backend
        assert type((await around.generate("It fails.", stream=False).settle()).error) is ProviderInternal
        tasks.append(asyncio.ensure_future(backend.generate("It is never answered.", stream=False).settle()))
        await asyncio.to_thread(script.waiting, 1)

    tasks: list[Any] = []
    loop = asyncio.new_event_loop()
    loop.run_until_complete(drive())
    loop.close()
    tasks.pop()._log_destroy_pending = False  # what asyncio would say of it is meant here
    gc.collect()
    assert backend.generate("Again.", stream=False).result(timeout=5) == "Hello!"
