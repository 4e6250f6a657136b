"""Generations that a task sends, because something has to be waited for: from the head on, their events are pushed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

import mellite
from mellite.backends import LiveBackend
from mellite.errors import GenerationCancelled
from mellite.providers.openai import chat_route
from mellite.request import Timeouts
from mellite.wire.auth.keys import bearer
from mellite.wire.auth.tokens import Refreshing
from mellite.wire.transports.http1 import Http1Transport
from tests.every_loop import on_loops
from tests.thunk.support import live_tasks
from tests.thunk.test_pushed import warm
from tests.wire.answers import JSON, STREAM, WHOLE, chunk
from tests.wire.server import LAST, Script, Server, answer, gate, piece, serve
from tests.wire.test_pushing import HEAD, asking

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve() as running:
        yield running


def halting(server: Server) -> Script:
    """A stream that halts after a delta."""
    return server.script(HEAD, piece(chunk("a ")), gate("on"), piece(STREAM), LAST)


def with_token(script: Script, fetch: Callable[[], Any], transport: Http1Transport) -> LiveBackend:
    """Who has to fetch a token before anything can be sent."""
    auth = bearer(Refreshing(fetch))
    return LiveBackend(
        chat_route(api_key=None, model="m", base_url=f"{script.url}/v1").with_(auth=auth), transport=transport
    )


async def tasks_while(thunk: mellite.ModelOutputThunk[str], script: Script) -> int:
    """Return how many tasks there are while a stream that began waits for its next delta; read on to its end."""
    before = len(live_tasks())
    deltas = aiter(thunk)
    assert await anext(deltas) == "a "
    await anyio.lowlevel.checkpoint()
    during = len(live_tasks())
    script.release("on")
    assert [delta async for delta in deltas] == ["Hello", ", you."]
    return during - before


@on_loops("asyncio", "uvloop")
async def test_no_task_waits_behind_a_new_connection(server: Server) -> None:
    transport = Http1Transport()
    script = halting(server)
    assert await tasks_while(asking(script, transport).generate("hi"), script) == 0
    await transport.aclose()


@on_loops("asyncio", "uvloop")
async def test_no_task_waits_behind_a_token(server: Server) -> None:
    async def fetch() -> str:
        await anyio.lowlevel.checkpoint()
        return "token"

    transport = Http1Transport()
    await warm(transport, server, 1)
    script = halting(server)
    assert await tasks_while(with_token(script, fetch, transport).generate("hi"), script) == 0
    assert ["authorization", "Bearer token"] in [list(pair) for pair in script.requests(1)[0].headers]
    await transport.aclose()


@on_loops("asyncio", "uvloop")
async def test_no_task_waits_behind_a_place(server: Server) -> None:
    """With a total timeout, which counts the wait, a task waits for the place."""
    transport = Http1Transport()
    await warm(transport, server, 2)
    few = mellite.Concurrency(1)
    first, second = halting(server), halting(server)
    holds = asking(first, transport, max_concurrency=few).generate("hi")
    waits = asking(second, transport, max_concurrency=few, timeouts=Timeouts(total=60)).generate("hi")
    async with anyio.create_task_group() as group:
        group.start_soon(holds.settle)
        await anyio.to_thread.run_sync(first.waiting, 1)
        deltas = aiter(waits)
        group.start_soon(release_later, first)
        assert await anext(deltas) == "a "
    before = len(live_tasks())
    second.release("on")
    assert [delta async for delta in deltas] == ["Hello", ", you."]
    assert (holds.value, len(live_tasks())) == ("a Hello, you.", before)
    await transport.aclose()


async def release_later(script: Script) -> None:
    await anyio.lowlevel.checkpoint()
    script.release("on")


@on_loops("asyncio", "uvloop", "trio")
@pytest.mark.parametrize("retries", [0, 2])
@pytest.mark.parametrize("asks", [True, False], ids=["asked for", "with its reader"])
async def test_cancelled_after_any_number_of_turns(server: Server, asks: bool, retries: int) -> None:
    """Whether it connects, sends, waits for the head or is pushed by then, nothing is left, and the next call works."""
    for turns in range(0, 90, 3):
        transport = Http1Transport(max_connections=1)
        script = server.script(HEAD, piece(chunk("a ")), piece(chunk("b ")), gate("never"))
        backend = asking(script, transport, max_concurrency=1, retries=retries)
        thunk = backend.generate("hi")
        with anyio.fail_after(20):
            async with anyio.create_task_group() as group:
                group.start_soon(read, thunk)
                for _ in range(turns):
                    await anyio.lowlevel.checkpoint()
                if asks:
                    await thunk.cancel_generation()
                group.cancel_scope.cancel()
            with anyio.CancelScope(shield=True):
                if not thunk.is_computed():
                    await thunk.cancel_generation()
                assert thunk.cancelled
                assert thunk.partial in ("", "a ", "a b ")
                following = asking(server.script(answer(WHOLE, headers=JSON)), transport, max_concurrency=1)
                assert await following.generate("hi", stream=False) == "Hello."
                await transport.aclose()
    await anyio.to_thread.run_sync(server.no_connections)


async def read(thunk: mellite.ModelOutputThunk[str]) -> None:
    with suppress(GenerationCancelled):
        async for _ in thunk.events():
            pass
