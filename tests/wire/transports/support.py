"""What the transport tests share: transports, loops, and a key to look for."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeAlias

import anyio
import trio
from attrs import evolve

from mellite.request import Timeouts
from mellite.wire.transports.aiohttp import AiohttpTransport
from mellite.wire.transports.default import HttpRequest, HttpResponse, Transport, default_transport
from mellite.wire.transports.http1 import Http1Transport
from mellite.wire.transports.httpx2 import Httpx2Transport
from tests.wire.server import Script

KEY = "sk-SECRET-0123456789"

Make: TypeAlias = Callable[..., Any]


def run_trio(main: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine on trio, as `asyncio.run` does on asyncio."""
    return trio.run(lambda: main)


@dataclass(frozen=True)
class Loop:
    """A way to make a transport, and to run a loop that it works in."""

    make: Make
    run: Callable[[Coroutine[Any, Any, Any]], Any]


LOOPS = {
    "http1-asyncio": Loop(Http1Transport, asyncio.run),
    "http1-trio": Loop(Http1Transport, run_trio),
    "aiohttp-asyncio": Loop(AiohttpTransport, asyncio.run),
    "httpx2-asyncio": Loop(Httpx2Transport, asyncio.run),
    "httpx2-trio": Loop(Httpx2Transport, run_trio),
    "default-asyncio": Loop(default_transport, asyncio.run),
    "default-trio": Loop(default_transport, run_trio),
}


def connecting_within(seconds: float, request: HttpRequest) -> HttpRequest:
    """The request of a call that gives a connection so many seconds to be made."""
    return evolve(request, context={"timeouts": Timeouts(connect=seconds)})


def post(target: Script | str, body: bytes = b"{}", **headers: str) -> HttpRequest:
    """A request like those to a provider."""
    url = target if isinstance(target, str) else f"{target.url}/v1/chat?key={KEY}"
    return HttpRequest("POST", url, headers={"authorization": f"Bearer {KEY}", **headers}, body=body)


async def read_all(response: HttpResponse, got: list[bytes], timeout: float | None = 5) -> None:
    """Append the rest of a body, piece by piece; the response is closed in every case."""
    async with aclosing(response):
        while data := await response.read(timeout):
            got.append(data)


async def whole(response: HttpResponse, timeout: float | None = 5) -> bytes:
    """The rest of a body in one."""
    got: list[bytes] = []
    await read_all(response, got, timeout)
    return b"".join(got)


async def fetch(transport: Transport, target: Script | str, body: bytes = b"{}") -> bytes:
    """The body of the answer to one request."""
    return await whole(await transport.open(post(target, body), timeout=5))


def in_thread(function: Callable[[], Any]) -> Any:
    """Wait for the server without blocking the loop."""
    return anyio.to_thread.run_sync(function)


def leaks_nothing(error: BaseException) -> None:
    """No key in what an error shows, up to a traceback with all local variables."""
    assert error.__cause__ is None
    assert error.__context__ is None
    shown = traceback.TracebackException.from_exception(error, capture_locals=True)
    ours = [frame for frame in shown.stack if "mellite" in frame.filename]
    assert KEY not in repr([(frame.locals, frame.line) for frame in ours])
    assert KEY not in f"{error} {error!r} {error.args}"
