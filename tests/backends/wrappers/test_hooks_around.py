"""Hooks around generations: caching, redacting, blocking; and how a call goes on when one fails."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import pytest
from attrs import evolve

import mellite
from mellite import hooks
from mellite.backends import Echo, Failing
from mellite.errors import HookFailed, IncompleteStream, ProviderInternal
from mellite.events import Event, Finish, ResponseStart, TextDelta
from tests.backends.wrappers.test_pushed_wrappers import STREAMED, WHOLE, live, server as server  # noqa: PLC0414
from tests.thunk.support import Source, blocked
from tests.wire.server import Server

pytestmark = pytest.mark.anyio

Proceed = Callable[..., AsyncIterator[Event]]


@hooks.around("generation")
async def shout(request: mellite.Request, proceed: Proceed) -> AsyncIterator[Event]:
    async for event in proceed(request):
        yield TextDelta(event.text.upper()) if isinstance(event, TextDelta) else event


def marking(mark: str) -> Any:
    @hooks.around("generation")
    async def mark_it(request: mellite.Request, proceed: Proceed) -> AsyncIterator[Event]:
        yield TextDelta(f"<{mark}>")
        async for event in proceed(evolve(request, messages=[mellite.Message.user(request.text + mark)])):
            yield event

    return mark_it


async def test_it_changes_what_is_asked_and_answered() -> None:
    """The first hook is the outermost; hooks behind see what came of all."""
    source = Source(["a", "b"])
    seen: list[Any] = []
    with hooks.use(marking("1"), shout, marking("2"), hooks.after("generation")(seen.append)):
        assert await source.generate("x") == "<1><2>AB"
    assert [request.text for request in source.requests] == ["x12"]
    assert [thunk.value for thunk in seen] == ["<1><2>AB"]


@pytest.mark.parametrize("answer", [WHOLE, STREAMED])
async def test_over_a_server(server: Server, answer: Any) -> None:
    """Live answers pass through, in one piece or in several."""
    script = server.script(*answer)
    script.release("on")
    async with live(script) as backend:
        with hooks.use(shout):
            thunk = backend.generate("x", stream=answer is STREAMED)
            assert await thunk == "HELLO!"
    assert thunk.raw.status == 200


async def test_it_answers_itself_and_nothing_is_asked() -> None:
    """A hook that does not proceed is a cache."""
    kept: dict[str, list[Event]] = {}

    @hooks.around("generation")
    async def cache(request: mellite.Request, proceed: Proceed) -> AsyncIterator[Event]:
        if request.text in kept:
            for event in kept[request.text]:
                yield event
            return
        events = []
        async for event in proceed():
            events.append(event)
            yield event
        kept[request.text] = events

    source = Source(["a"])
    with hooks.use(cache):
        assert [await source.generate("x") for _ in range(3)] == ["a"] * 3
    assert source.calls == 1


async def test_it_stops_the_answer_and_asks_again() -> None:
    """What is left of an answer that is not wanted any more is closed."""
    source = Source(["good ", "bad ", "rest"])

    @hooks.around("generation")
    async def stop(request: mellite.Request, proceed: Proceed) -> AsyncIterator[Event]:
        async for event in proceed(request):
            if isinstance(event, TextDelta) and "bad" in event.text:
                break
            yield event
        yield Finish("content-filter")

    @hooks.around("generation")
    async def again(request: mellite.Request, proceed: Proceed) -> AsyncIterator[Event]:
        try:
            async for event in proceed(request):
                yield event
        except ProviderInternal:
            yield TextDelta("down")
            yield Finish("stop")

    with hooks.use(stop):
        thunk = source.generate("x")
        assert await thunk == "good "
    assert (thunk.generation.finish_reason, source.open, source.ends) == ("content-filter", 0, ["closed"])
    with hooks.use(again):
        assert await Failing(ProviderInternal("no")).generate("x") == "down"


async def test_what_comes_from_behind_is_no_failure_of_the_hook() -> None:
    """An error of the backend passes through hooks as it is."""
    error = ProviderInternal("down")
    for errors in ("log", "raise"):
        with hooks.use(shout, marking("1"), errors=errors):  # type: ignore[arg-type]
            thunk = await Failing(error).generate("x").settle()
        assert thunk.error is error
        assert thunk.partial == "<1>"


async def fails_at_once(request: mellite.Request, proceed: Proceed) -> AsyncIterator[Event]:
    raise ValueError("broken")
    yield TextDelta("never")


async def fails_in_the_middle(request: mellite.Request, proceed: Proceed) -> AsyncIterator[Event]:
    async for event in proceed(request):
        if isinstance(event, TextDelta) and event.text == "b":
            await blocked()
            raise ValueError("broken")
        yield event


async def ends_half_way(request: mellite.Request, proceed: Proceed) -> AsyncIterator[Event]:
    async for event in proceed(request):
        if isinstance(event, TextDelta) and event.text == "b":
            return
        yield event


async def yields_a_text(request: mellite.Request, proceed: Proceed) -> AsyncIterator[Any]:
    async for event in proceed(request):
        yield event.text if isinstance(event, TextDelta) and event.text == "b" else event


async def asks_with_a_text(request: mellite.Request, proceed: Proceed) -> AsyncIterator[Event]:
    async for event in proceed("x"):
        yield event


async def is_no_generator(request: mellite.Request, proceed: Proceed) -> None:
    return None


def is_plain(request: mellite.Request, proceed: Proceed) -> None:
    return None


def is_a_plain_generator(request: mellite.Request, proceed: Proceed) -> Any:
    yield TextDelta("x")


async def finishes_twice(request: mellite.Request, proceed: Proceed) -> AsyncIterator[Event]:
    async for event in proceed(request):
        yield event
    yield Finish("stop")


BROKEN = {
    fails_at_once: "ValueError: broken",
    fails_in_the_middle: "ValueError: broken",
    ends_half_way: "without a Finish event",
    yields_a_text: "yielded a str",
    asks_with_a_text: "proceed takes a mellite.Request, not str",
    is_no_generator: "write it as an async generator",
    is_plain: "write it as an async generator",
    is_a_plain_generator: "write it as an async generator",
    finishes_twice: "yielded a Finish after a Finish event",
}


@pytest.mark.parametrize("function", BROKEN, ids=lambda function: function.__name__)
async def test_where_it_fails(function: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Logged, nothing of the answer is lost or comes twice; raised, the text so far is kept."""
    hook: Any = hooks.around("generation")(function)
    source = Source(["a", "b", "c"])
    with hooks.use(hook), caplog.at_level(logging.WARNING, "mellite"):
        assert await source.generate("x") == "abc"
    assert len(caplog.records) == 1
    assert BROKEN[function] in caplog.text
    assert function.__name__ in caplog.text
    assert (source.calls, source.open) == (1, 0)
    with hooks.use(hook, errors="raise"):
        thunk = await source.generate("x").settle()
    assert isinstance(thunk.error, HookFailed)
    assert function.__name__ in str(thunk.error)
    assert thunk.error.__cause__ is not None
    assert "abc".startswith(thunk.partial)
    assert source.open == 0


async def test_cancelled_in_the_middle_everything_is_closed() -> None:
    """The hook and the stream behind it end before the thunk settles."""
    source = Source(["a", "b"])
    closed: list[str] = []

    @hooks.around("generation")
    async def hang(request: mellite.Request, proceed: Proceed) -> AsyncIterator[Event]:
        try:
            async for event in proceed(request):
                yield event
                scope.cancel()
                await anyio.sleep_forever()
        finally:
            closed.append("closed")

    with hooks.use(hang):
        thunk = source.generate("x")
        with anyio.CancelScope() as scope:
            await thunk
        await thunk.settle()
    assert (thunk.cancelled, thunk.partial, closed, source.open) == (True, "a", ["closed"], 0)


async def test_a_stream_without_an_end_is_the_fault_of_the_backend() -> None:
    """A hook that only hands on a broken stream changes nothing about it."""
    with hooks.use(hooks.around("generation")(lambda request, proceed: proceed(request))):
        thunk = await Source([ResponseStart(), TextDelta("a")]).generate("x").settle()
    assert isinstance(thunk.error, IncompleteStream)
    assert thunk.partial == "a"


async def test_what_it_generates_is_not_hooked_and_what_the_backend_generates_is() -> None:
    """Event by event, it is known whose code runs."""
    told: list[str] = []

    @hooks.around("generation")
    async def ask(request: mellite.Request, proceed: Proceed) -> AsyncIterator[Event]:
        told.append(request.text)
        yield TextDelta(await Echo().generate("own "))
        async for event in proceed(request):
            yield event
            await Echo().generate("own")

    class Asks(mellite.Backend):
        async def stream(self, request: mellite.Request) -> AsyncIterator[Event]:
            yield TextDelta(await Echo().generate("inner"))
            yield Finish("stop")

    with hooks.use(ask):
        assert await Asks().generate("x") == "own own inner"
    assert told == ["x", "inner"]
