"""A settled thunk that nobody has looked at keeps its answer, and no event loop and no connection."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import anyio.lowlevel
import pytest
import trio

import mellite
from mellite.backends import LiveBackend
from mellite.cassettes import RecordTransport
from mellite.providers.openai import chat_route
from mellite.wire.transports.aiohttp import AiohttpTransport
from mellite.wire.transports.http1 import Http1Transport
from mellite.wire.transports.httpx2 import Httpx2Transport
from tests.every_loop import LOOPS, run_on
from tests.wire.answers import JSON, WHOLE
from tests.wire.server import Server, answer, serve

Main = Callable[[], Awaitable[Any]]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve() as running:
        yield running


def loop_of(name: str, main: Main) -> weakref.ref[Any]:
    """Run a program on a loop, and return a reference to the loop, or to the root task of trio."""

    async def whole() -> weakref.ref[Any]:
        await main()
        return weakref.ref(trio.lowlevel.current_root_task() if name == "trio" else asyncio.get_running_loop())

    return run_on(name, whole)


TRANSPORTS: dict[str, Callable[[], Any]] = {
    "http1": Http1Transport,
    "aiohttp": AiohttpTransport,
    "httpx2": Httpx2Transport,
    "recorded": lambda: RecordTransport(Http1Transport()),
}
PAIRS = [(loop, kind) for loop in LOOPS for kind in TRANSPORTS if (loop, kind) != ("trio", "aiohttp")]


@pytest.mark.parametrize("is_warm", [False, True], ids=["cold", "warm"])
@pytest.mark.parametrize(("loop", "kind"), PAIRS)
def test_no_loop_is_kept(server: Server, loop: str, kind: str, is_warm: bool) -> None:
    """A thunk of text that nobody looked at, kept when its loop has ended, does not keep the loop; it is all there."""
    script = server.script(answer(WHOLE, headers={**JSON, "x-request-id": "req-1"}))
    route = chat_route(api_key=None, model="gpt-test", base_url=f"{script.url}/v1")
    kept: list[mellite.ModelOutputThunk[str]] = []

    async def main() -> None:
        transport = TRANSPORTS[kind]()
        for _ in range(1 + is_warm):
            kept[:] = [LiveBackend(route, transport=transport).generate("hi", stream=False)]
            await kept[0]
        await transport.aclose()

    ended = loop_of(loop, main)
    gc.collect()
    assert ended() is None
    assert kept[0].generation.request_id == "req-1"
    assert kept[0].raw.status == 200
    assert (kept[0].raw.headers or {})["x-request-id"] == "req-1"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("loop", LOOPS)
def test_no_connection_keeps_the_call_that_made_it(server: Server, loop: str, host: str) -> None:
    """While a connection is kept, the thunk and the backend that made it are dropped as soon as nobody has them."""
    script = server.script(answer(WHOLE, headers=JSON))
    route = chat_route(api_key=None, model="gpt-test", base_url=f"{script.url}/v1".replace("127.0.0.1", host))

    async def main() -> None:
        transport = Http1Transport()
        backend = LiveBackend(route, transport=transport)
        await backend.generate("hi", stream=False)
        dropped = weakref.ref(backend)
        del backend
        await anyio.lowlevel.checkpoint()
        assert dropped() is None
        await transport.aclose()

    gc.collect()
    gc.disable()
    try:
        run_on(loop, main)
    finally:
        gc.enable()
