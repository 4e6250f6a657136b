"""Generations that wait for a place among few, over kept connections: in turn, and without a task that waits."""

from __future__ import annotations

import gc
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from mellite.backends import LiveBackend
from mellite.errors import AuthenticationError, GenerationCancelled
from mellite.providers.openai import chat_route
from mellite.wire.http import HttpRequest
from mellite.wire.pushing import Pushing
from mellite.wire.transports.http1 import Http1Transport
from tests.every_loop import on_loops
from tests.wire.answers import JSON, STREAM, WHOLE, chunk
from tests.wire.server import LAST, Received, Script, Server, answer, gate, piece, serve
from tests.wire.test_pushing import HEAD, asking, at_once

pytestmark = [pytest.mark.anyio, on_loops("asyncio", "uvloop", "trio")]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve() as running:
        yield running


@pytest.fixture
async def transport(server: Server) -> AsyncIterator[Http1Transport]:
    """A transport that keeps a connection."""
    transport = Http1Transport()
    await asking(server.script(answer(WHOLE, headers=JSON)), transport).generate("hi", stream=False)
    yield transport
    await transport.aclose()


def prompts(received: list[Received]) -> list[str]:
    return [json.loads(each.body)["messages"][-1]["content"] for each in received]


def held_up(server: Server) -> Script:
    """A script that answers each request once it is let go."""
    return server.script(gate("all"), answer(WHOLE, headers=JSON))


async def is_waiting(script: Script, count: int) -> None:
    await anyio.to_thread.run_sync(script.waiting, count)


async def test_each_is_sent_when_the_one_before_is_over(server: Server, transport: Http1Transport) -> None:
    """They are sent in the order in which they began, one at a time, over the connection that is there."""
    script = held_up(server)
    backend = asking(script, transport, max_concurrency=1)
    names = [f"call {number}" for number in range(6)]
    thunks = [backend.generate(name, stream=False) for name in names]
    async with anyio.create_task_group() as group:
        for thunk in thunks:
            group.start_soon(thunk.settle)
            while thunk.state == "pending":
                await anyio.lowlevel.checkpoint()
        for count in range(1, 7):
            await is_waiting(script, count)
            assert prompts(script.requests(count)) == names[:count]
            script.release("all")
    assert {thunk.text for thunk in thunks} == {"Hello."}
    assert len({each.connection for each in script.requests(6)}) == 1


@pytest.mark.parametrize("how", ["asked", "a thread", "its task", "dropped"])
async def test_one_that_is_cancelled_is_never_sent(server: Server, transport: Http1Transport, how: str) -> None:
    """It ends at once, and those behind it go on."""
    script = held_up(server)
    backend = asking(script, transport, max_concurrency=1)
    first, second, third = (backend.generate(name, stream=False) for name in ("first", "second", "third"))
    async with anyio.create_task_group() as group:
        group.start_soon(first.settle)
        await is_waiting(script, 1)
        async with anyio.create_task_group() as inner:
            if how == "dropped":
                events = second.events()
                with anyio.move_on_after(0.01):
                    await anext(events)
                del events
            else:
                inner.start_soon(second.settle)
            while second.state == "pending":
                await anyio.lowlevel.checkpoint()
            group.start_soon(third.settle)
            while third.state == "pending":
                await anyio.lowlevel.checkpoint()
            if how == "asked":
                await second.cancel_generation()
            elif how == "a thread":
                await anyio.to_thread.run_sync(second.cancel)
            inner.cancel_scope.cancel()
        with anyio.CancelScope(shield=True), suppress(GenerationCancelled):
            await second
        assert second.state == "cancelled"
        script.release("all")
        await is_waiting(script, 2)
        script.release("all")
    assert prompts(script.requests(2)) == ["first", "third"]
    assert third.text == "Hello."


async def test_many_that_are_cancelled_hold_nobody_up(server: Server, transport: Http1Transport) -> None:
    """A queue of cancelled ones is passed over, and holds none of their requests."""
    script = held_up(server)
    backend = asking(script, transport, max_concurrency=1)
    first, last = (backend.generate(name, stream=False) for name in ("first", "last"))
    async with anyio.create_task_group() as group:
        group.start_soon(first.settle)
        await is_waiting(script, 1)
        async with anyio.create_task_group() as crowd:
            for _ in range(300):
                crowd.start_soon(backend.generate("many", stream=False).settle)
            await anyio.lowlevel.checkpoint()
            await anyio.lowlevel.checkpoint()
            crowd.cancel_scope.cancel()
        group.start_soon(last.settle)
        await anyio.lowlevel.checkpoint()
        gc.collect()
        assert sum(type(each) is Pushing for each in gc.get_objects()) <= 2
        script.release("all", 2)
    assert prompts(script.requests(2)) == ["first", "last"]
    limit: Any = backend._limit
    assert limit.place().take_if_free()


async def test_one_that_waited_gives_its_place_up_while_it_pauses(server: Server, transport: Http1Transport) -> None:
    """A reader that stops reading holds up none of those that come later."""
    tokens = b"".join([chunk(f"t{number} ") for number in range(40)])
    script = server.script(gate("all"), at_once(HEAD, piece(tokens)), gate("end"), piece(STREAM), LAST)
    backend = asking(script, transport, max_concurrency=1)
    first, read, other = (backend.generate(name) for name in ("first", "read", "other"))
    async with anyio.create_task_group() as group:
        group.start_soon(first.settle)
        await is_waiting(script, 1)
        events = read.events(ahead=1)

        async def begin() -> None:
            await anext(events)
            group.start_soon(other.settle)

        group.start_soon(begin)
        await anyio.lowlevel.checkpoint()
        script.release("all", 3)
        script.release("end")
        with anyio.fail_after(20):
            await anyio.to_thread.run_sync(script.requests, 3)
        script.release("end", 2)
        with anyio.fail_after(20):
            async for _ in events:
                pass
    assert first.text == read.text == other.text


class Switched:
    """Credentials that fail while they are switched off, and note who is asked."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.seen: list[str] = []
        self.is_on = True
        self.is_told_late = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def is_ready(self) -> bool:
        if not self.is_on and not self.is_told_late:
            msg = "it cannot tell"
            raise AuthenticationError(msg, kind="missing")
        return True

    def headers(self, http: HttpRequest) -> Any:
        self.seen.append(whose.get())
        if not self.is_on:
            msg = "switched off"
            raise AuthenticationError(msg, kind="missing")
        return self.inner.headers(http)

    def constant_headers(self) -> None:
        return None


whose: ContextVar[str] = ContextVar("whose", default="nobody's")


def switched(script: Script, transport: Http1Transport) -> tuple[LiveBackend, Switched]:
    route = chat_route(api_key="sk-x", model="m", base_url=f"{script.url}/v1")
    auth = Switched(route.auth)
    return LiveBackend(route.with_(auth=auth), transport=transport, max_concurrency=1), auth


async def test_each_is_sent_in_the_context_of_its_call(server: Server, transport: Http1Transport) -> None:
    """Whoever gives the place back does not lend its context to the next one."""
    script = held_up(server)
    backend, auth = switched(script, transport)

    async def call(name: str) -> None:
        whose.set(name)
        await backend.generate(name, stream=False)

    names = ["ann", "bob", "cid"]
    async with anyio.create_task_group() as group:
        for count, name in enumerate(names):
            group.start_soon(call, name)
            if not count:
                await is_waiting(script, 1)
            await anyio.lowlevel.checkpoint()
        script.release("all", 3)
    assert sorted(set(auth.seen)) == names
    assert prompts(script.requests(3)) == list(dict.fromkeys(auth.seen))


@pytest.mark.parametrize("is_told_late", [True, False])
async def test_what_goes_wrong_once_the_place_is_free_is_told(
    server: Server, transport: Http1Transport, *, is_told_late: bool
) -> None:
    """A request that cannot be made by then fails, and neither the one before it nor the next."""
    script = held_up(server)
    backend, auth = switched(script, transport)
    auth.is_told_late = is_told_late
    first, second, third = (backend.generate(name, stream=False) for name in ("first", "second", "third"))
    async with anyio.create_task_group() as group:
        group.start_soon(first.settle)
        await is_waiting(script, 1)
        group.start_soon(second.settle)
        while second.state == "pending":
            await anyio.lowlevel.checkpoint()
        auth.is_on = False
        script.release("all")
        with anyio.fail_after(20):
            await second.settle()
        assert isinstance(second.error, AuthenticationError)
        assert first.text == "Hello."
        auth.is_on = True
        script.release("all")
        with anyio.fail_after(20):
            assert await third == "Hello."
