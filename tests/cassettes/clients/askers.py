"""Other people's HTTP clients, each as one function that asks and tells what came: status, pieces, and the error."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from typing import Any

import aiohttp
import anyio
import anyio.from_thread
import anyio.to_thread
import botocore.awsrequest
import httpx
import httpx2
import requests
import urllib3
from attrs import define, field
from botocore.awsrequest import AWSPreparedRequest
from botocore.httpsession import URLLib3Session

BODY = b'{"model":"m-1","messages":[{"role":"user","content":"Say hello."}]}'
HEADERS = {"content-type": "application/json", "authorization": "Bearer live-secret-0123456789"}


@define
class Told:
    """What a client has told of an answer."""

    status: int | None = None
    pieces: list[bytes] = field(factory=list)
    error: str | None = None
    headers: dict[str, str] = field(factory=dict, eq=False)

    def opens(self, status: int, headers: Mapping[str, str]) -> None:
        """Note status and headers."""
        self.status = status
        self.headers = {name.lower(): value for name, value in headers.items()}


Ready = Callable[[], None]
"""Called before each read, so that the server sends the next piece only then. Blocks."""


@define(kw_only=True)
class Question:
    """What to ask, and how far to read."""

    url: str
    method: str = "POST"
    body: bytes = BODY
    headers: Mapping[str, str] = HEADERS
    ready: Ready = lambda: None
    stop: int | None = None
    timeout: float = 5

    @property
    def enough(self) -> int:
        """How many pieces to read."""
        return 1000 if self.stop is None else self.stop


Asker = Callable[[Question], Awaitable[Told]]


def blocking(ask: Callable[[Question, Told], Iterator[bytes]], question: Question) -> Told:
    """Ask with a client that has no await: the iterator gives the pieces, and closing it closes the answer."""
    told = Told()
    pieces = ask(question, told)
    try:
        while len(told.pieces) < question.enough:
            question.ready()
            told.pieces.append(next(pieces))
    except StopIteration:
        pass
    except Exception as error:
        told.error = type(error).__name__
    finally:
        pieces.close()  # type: ignore[attr-defined]
    return told


def in_thread(ask: Callable[[Question, Told], Iterator[bytes]]) -> Asker:
    """Ask in a thread, so that the test may wait meanwhile."""

    async def asked(question: Question) -> Told:
        return await anyio.to_thread.run_sync(partial(blocking, ask, question))

    return asked


def httpx_blocking(module: Any, question: Question, told: Told) -> Iterator[bytes]:
    """With ``httpx.Client``."""
    with (
        module.Client(timeout=question.timeout, verify=False) as client,
        client.stream(question.method, question.url, content=question.body, headers=question.headers) as response,
    ):
        told.opens(response.status_code, response.headers)
        yield from response.iter_bytes()


async def httpx_async(module: Any, question: Question) -> Told:
    """With ``httpx.AsyncClient``."""
    told = Told()
    try:
        async with (
            module.AsyncClient(timeout=question.timeout, verify=False) as client,
            client.stream(question.method, question.url, content=question.body, headers=question.headers) as response,
        ):
            told.opens(response.status_code, response.headers)
            pieces = response.aiter_bytes()
            while len(told.pieces) < question.enough:
                await anyio.to_thread.run_sync(question.ready)
                told.pieces.append(await anext(pieces))
            with anyio.CancelScope() as scope:
                scope.cancel()
                await anext(pieces)
    except StopAsyncIteration:
        pass
    except Exception as error:
        told.error = type(error).__name__
    return told


async def aiohttp_async(question: Question) -> Told:
    """With ``aiohttp.ClientSession``."""
    told = Told()
    timeout = aiohttp.ClientTimeout(sock_read=question.timeout)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.request(question.method, question.url, data=question.body, headers=question.headers) as response,
        ):
            told.opens(response.status, response.headers)
            while len(told.pieces) < question.enough:
                await asyncio.to_thread(question.ready)
                piece = await response.content.readany()
                if not piece:
                    break
                told.pieces.append(piece)
    except Exception as error:
        told.error = type(error).__name__
    return told


async def in_asyncio(question: Question) -> Told:
    """Ask in a loop of asyncio, whatever loop the test runs in."""
    return await anyio.to_thread.run_sync(lambda: asyncio.run(aiohttp_async(question)))


def requests_blocking(question: Question, told: Told) -> Iterator[bytes]:
    """With a session of requests."""
    with (
        requests.Session() as session,
        session.request(
            question.method,
            question.url,
            data=question.body,
            headers=question.headers,
            stream=True,
            timeout=question.timeout,
        ) as response,
    ):
        told.opens(response.status_code, response.headers)
        yield from response.iter_content(chunk_size=None)


def urllib3_blocking(question: Question, told: Told) -> Iterator[bytes]:
    """With a pool manager of urllib3, as it is used by itself."""
    with urllib3.PoolManager(retries=False, timeout=question.timeout) as pools:
        response = pools.request(
            question.method, question.url, body=question.body, headers=question.headers, preload_content=False
        )
        told.opens(response.status, response.headers)
        try:
            yield from response.stream()
        finally:
            response.close()


def botocore_blocking(question: Question, told: Told) -> Iterator[bytes]:
    """With the HTTP session of botocore, as its clients use it."""
    prepared = AWSPreparedRequest(
        question.method,
        question.url,
        botocore.awsrequest.HeadersDict(question.headers),
        question.body,
        stream_output=True,
    )
    response = URLLib3Session(timeout=question.timeout).send(prepared)
    told.opens(response.status_code, response.headers)
    try:
        yield from response.raw.stream()
    finally:
        response.raw.close()


ASKERS: dict[str, Asker] = {
    "httpx": in_thread(partial(httpx_blocking, httpx)),
    "httpx-async": partial(httpx_async, httpx),
    "httpx2": in_thread(partial(httpx_blocking, httpx2)),
    "httpx2-async": partial(httpx_async, httpx2),
    "aiohttp": in_asyncio,
    "requests": in_thread(requests_blocking),
    "urllib3": in_thread(urllib3_blocking),
    "botocore": in_thread(botocore_blocking),
}
"""Every client that is caught, by name."""
