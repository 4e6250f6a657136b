"""Around a live backend, a wrapper costs no task: what arrives is pushed through it, whichever wrappers there are.

Over a new connection, so is all that follows the head of a stream.
"""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

import mellite
from mellite.backends import Constant, LiveBackend
from mellite.errors import CircuitOpen, ConnectionLost, ProviderInternal
from mellite.events import Event, TextDelta
from mellite.providers.catalog import find
from tests.every_loop import on_loops
from tests.wire.server import CLOSE, LAST, RESET, THEN, Script, Server, Step, answer, gate, head, piece, serve

pytestmark = pytest.mark.anyio

SSE = {"content-type": "text/event-stream", "x-request-id": "req_1"}


def chunk(text: str | None = None, **more: Any) -> bytes:
    choices = [{"index": 0, "delta": {} if text is None else {"content": text}, **more}]
    return b"data: " + json.dumps({"id": "c1", "model": "m", "choices": choices}).encode() + b"\n\n"


END = chunk(finish_reason="stop") + b"data: [DONE]\n\n"
STREAMED = [head(headers=SSE), piece(chunk("Hello")), gate("on"), piece(chunk("!")), piece(END), LAST]
WHOLE = answer(b'{"choices": [{"message": {"content": "Hello!"}, "finish_reason": "stop"}]}')
BUSY = answer(b'{"error": {"message": "busy"}}', 503)

Wrap = Callable[[Any], Any]

WRAPPERS: dict[str, Wrap] = {
    "none": lambda backend: backend,
    "Retry": mellite.Retry,
    "RateLimit": mellite.RateLimit,
    "CircuitBreaker": mellite.CircuitBreaker,
    "FallbackTo": lambda backend: mellite.FallbackTo(backend, Constant("from another")),
    "Cached": mellite.Cached,
    "Hooked": lambda backend: mellite.Hooked(
        backend,
        mellite.hooks.before("generation")(lambda request: request),
        mellite.hooks.on_event("generation")(lambda _: None),
        mellite.hooks.after("generation")(lambda _: None),
    ),
    "all": lambda backend: mellite.Cached(
        mellite.FallbackTo(
            mellite.CircuitBreaker(mellite.Retry(mellite.RateLimit(backend, requests_per_minute=100))), backend
        )
    ),
    "watches alone": lambda backend: mellite.RateLimit(mellite.CircuitBreaker(mellite.Cached(backend))),
    "all, the other way round": lambda backend: mellite.RateLimit(
        mellite.Retry(mellite.CircuitBreaker(mellite.FallbackTo(mellite.Cached(backend), backend)))
    ),
}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve() as running:
        yield running


@pytest.fixture(params=WRAPPERS)
def wrap(request: pytest.FixtureRequest) -> Wrap:
    """Each wrapper, and all of them."""
    return WRAPPERS[request.param]


def in_turn(*answers: list[Step]) -> list[Step]:
    """Give one answer after the other."""
    return [step for answer in answers for step in [THEN, *answer]][1:]


def live(script: Script, retries: int = 0) -> LiveBackend:
    return LiveBackend(find("openai-chat:m", api_key="sk-test", base_url=f"{script.url}/v1"), retries=retries)


@pytest.mark.parametrize("retries", [0, 2])
async def test_what_comes_through_is_the_same(server: Server, wrap: Wrap, retries: int) -> None:
    script = server.script(*in_turn(WHOLE, STREAMED, STREAMED))
    script.release("on", 2)
    async with wrap(live(script, retries)) as backend:
        assert await backend.generate("Warm up.", stream=False) == "Hello!"
        thunk = backend.generate("Hi.")
        assert [delta async for delta in thunk] == ["Hello", "!"]
        assert thunk.generation.attempts == 1
        assert thunk.raw.status == 200
        assert thunk.generation.request_id == "req_1"
        events = [event async for event in thunk.events()]
    async with live(script) as plain:
        plainly = plain.generate("Hi.")
        await plainly
        kinds = [type(event) for event in events]
        assert kinds == [type(event) async for event in plainly.events()]


@pytest.mark.parametrize("is_warm", [False, True], ids=["new connection", "kept connection"])
@on_loops("asyncio", "uvloop")
async def test_no_task_waits_for_what_is_pushed(server: Server, wrap: Wrap, is_warm: bool) -> None:
    script = server.script(*in_turn(*[WHOLE] * is_warm, STREAMED))
    async with wrap(live(script, retries=2)) as backend:
        if is_warm:
            assert await backend.generate("Warm up.", stream=False) == "Hello!"
        before = len(asyncio.all_tasks())
        thunk = backend.generate("Hi.")
        deltas = aiter(thunk)
        assert await anext(deltas) == "Hello"
        assert len(asyncio.all_tasks()) == before
        script.release("on")
        assert await anext(deltas) == "!"
        assert await thunk == "Hello!"


@pytest.mark.parametrize("is_warm", [False, True], ids=["new connection", "kept connection"])
async def test_one_that_is_cancelled_is_closed(server: Server, wrap: Wrap, is_warm: bool) -> None:
    script = server.script(*in_turn(*[WHOLE] * is_warm, STREAMED))
    async with wrap(live(script, retries=2)) as backend:
        if is_warm:
            assert await backend.generate("Warm up.", stream=False) == "Hello!"
        thunk = backend.generate("Hi.")
        assert await anext(aiter(thunk)) == "Hello"
        await thunk.cancel_generation()
        assert (thunk.cancelled, thunk.partial) == (True, "Hello")
        gone = await anyio.to_thread.run_sync(script.gone, 1)
        assert len(gone) == 1


@pytest.mark.parametrize("is_warm", [False, True], ids=["new connection", "kept connection"])
async def test_one_that_breaks_off_tells_so(server: Server, wrap: Wrap, is_warm: bool) -> None:
    broken = [head(headers=SSE), piece(chunk("Hello")), gate("on"), RESET]
    script = server.script(*in_turn(*[WHOLE] * is_warm, broken))
    async with wrap(live(script, retries=2)) as backend:
        if is_warm:
            assert await backend.generate("Warm up.", stream=False) == "Hello!"
        thunk = backend.generate("Hi.")
        deltas = aiter(thunk)
        assert await anext(deltas) == "Hello"
        script.release("on")
        with pytest.raises(ConnectionLost):
            await anext(deltas)
        assert thunk.partial == "Hello"


async def test_a_breaker_hears_of_failures_that_are_pushed(server: Server) -> None:
    script = server.script(*in_turn(WHOLE, BUSY, BUSY, WHOLE))
    async with mellite.CircuitBreaker(live(script), failures=2) as backend:
        errors = [(await backend.generate("x", stream=False).settle()).error for _ in range(4)]
    assert [type(each) for each in errors] == [type(None), ProviderInternal, ProviderInternal, CircuitOpen]


async def test_a_fallback_is_asked_where_the_first_was_pushed(server: Server) -> None:
    script = server.script(*in_turn(WHOLE, BUSY))
    async with mellite.FallbackTo(live(script), Constant("from another")) as backend:
        await backend.generate("x", stream=False)
        thunk = backend.generate("x")
        assert await thunk == "from another"
        assert len(thunk.generation.failures) == 1


async def test_a_stream_that_is_pushed_to_its_end_is_noted(server: Server) -> None:
    script = server.script(*in_turn(WHOLE, BUSY, STREAMED, BUSY, STREAMED))
    script.release("on", 2)
    async with mellite.CircuitBreaker(live(script), failures=2) as backend:
        await backend.generate("Warm up.", stream=False)
        thunks = [await backend.generate("x").settle() for _ in range(4)]
        assert [thunk.state for thunk in thunks] == ["failed", "done", "failed", "done"]
    script = server.script(*in_turn(WHOLE, STREAMED))
    script.release("on")
    async with mellite.Cached(live(script)) as backend:
        await backend.generate("Warm up.", stream=False)
        thunks = [await backend.generate("x").settle() for _ in range(2)]
        assert [thunk.value for thunk in thunks] == ["Hello!"] * 2
        assert [thunk.generation.replayed for thunk in thunks] == [False, True]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("end", [[CLOSE], [THEN, RESET], []], ids=["new connections", "reset", "kept connections"])
async def test_no_work_for_the_collector(server: Server, wrap: Wrap, end: list[Step], stream: bool) -> None:
    """A call that is over is freed at once: what stood between the connection and the thunk is in no cycle.

    Also where the connection that was kept turns out to be reset, and the call is made over another one.
    """
    given = STREAMED if stream else WHOLE
    script = server.script(*in_turn(WHOLE, *[[*given, *end]] * 4))
    script.release("on", 4)
    async with wrap(live(script, retries=2)) as backend:
        await backend.generate("Warm up.", stream=False)
        for number in range(2):
            await backend.generate(f"Hi {number}.", stream=stream)
        await anyio.lowlevel.checkpoint()
        gc.collect()
        gc.disable()
        try:
            for number in range(2, 4):
                await backend.generate(f"Hi {number}.", stream=stream)
            await anyio.lowlevel.checkpoint()
            gc.set_debug(gc.DEBUG_SAVEALL)
            gc.collect()
            found = [each for each in gc.garbage if type(each).__module__.startswith("mellite")]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
    assert found == []


KINDS: dict[str, Callable[[Any], tuple[type[Any], tuple[Any, ...]]]] = {
    "Retry": lambda backend: (mellite.Retry, (backend,)),
    "RateLimit": lambda backend: (mellite.RateLimit, (backend,)),
    "CircuitBreaker": lambda backend: (mellite.CircuitBreaker, (backend,)),
    "FallbackTo": lambda backend: (mellite.FallbackTo, (backend, Constant("from another"))),
    "Cached": lambda backend: (mellite.Cached, (backend,)),
    "Hooked": lambda backend: (mellite.Hooked, (backend, mellite.hooks.after("generation")(lambda _: None))),
}


@pytest.mark.parametrize("outer", KINDS)
@pytest.mark.parametrize("inner", KINDS)
async def test_a_subclass_with_a_stream_of_its_own_is_asked_for_that(server: Server, inner: str, outer: str) -> None:
    """Wherever it stands: outside, or behind another wrapper."""
    script = server.script(*in_turn(WHOLE, WHOLE))
    kind, given = KINDS[inner](live(script))

    class Louder(kind):  # type: ignore[misc, valid-type]
        async def stream(self, request: mellite.Request) -> AsyncIterator[Event]:
            async for event in super().stream(request):
                yield TextDelta(event.text.upper()) if isinstance(event, TextDelta) else event

    louder = Louder(*given)
    assert await louder.generate("one", stream=False) == "HELLO!"
    around, given = KINDS[outer](louder)
    assert await around(*given).generate("two", stream=False) == "HELLO!"


@pytest.mark.parametrize("outer", KINDS)
async def test_a_backend_that_gives_no_stream_is_told_by_name(outer: str) -> None:
    """The coroutine is closed: nothing warns that it was never awaited."""

    class NoStream(mellite.Backend):
        async def stream(self, request: mellite.Request) -> Any:
            return 3

    kind, given = KINDS[outer](NoStream())
    if outer == "FallbackTo":
        given = (given[0], NoStream())
    thunk = await kind(*given).generate("x").settle()
    assert "NoStream.stream gave a coroutine, not an async iterator of events" in str(thunk.error)
