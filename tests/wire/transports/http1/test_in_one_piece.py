"""Answers that come in one piece over a kept connection, end and all: nothing calls back a second time for the end."""

from __future__ import annotations

from contextlib import aclosing

import anyio
import pytest
from anyio.abc import ByteStream

import mellite
from mellite.errors import ConnectionLost, IncompleteStream, PayloadTooLarge
from mellite.wire.transports.http1 import Http1Transport
from tests.wire.transports.http1.servers import request_of, serving

pytestmark = pytest.mark.anyio

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
FIRST = b'data: {"candidates": [{"content": {"parts": [{"text": "Hello"}]}}]}\r\n\r\n'
LAST = b'data: {"candidates": [{"content": {"parts": [{"text": "."}]}, "finishReason": "STOP"}]}\r\n\r\n'
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """One chunk of a body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


WHOLE = CHUNKED + chunk(FIRST) + chunk(LAST) + b"0\r\n\r\n"
LENGTH = HEAD + b"content-length: %d\r\n\r\n" % len(FIRST + LAST) + FIRST + LAST

CLOSING = WHOLE.replace(CHUNKED, CHUNKED[:-2] + b"connection: close\r\n\r\n")
BODY = b'{"candidates": [{"content": {"parts": [{"text": "Hello."}]}, "finishReason": "STOP"}]}'
JSON = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n" % len(BODY)

ENDS = {
    "chunks, then closed": (CLOSING, None),
    "a length, then closed": (LENGTH.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n", 1), None),
    "JSON": (JSON + b"\r\n" + BODY, None),
    "JSON, then closed": (JSON + b"connection: close\r\n\r\n" + BODY, None),
    "refused, then closed": (b"HTTP/1.1 413 X\r\nconnection: close\r\ncontent-length: 0\r\n\r\n", PayloadTooLarge),
    "chunks": (WHOLE, None),
    "a length": (LENGTH, None),
    "without a finish": (CHUNKED + chunk(FIRST) + b"0\r\n\r\n", IncompleteStream),
    "broken": (CHUNKED + chunk(FIRST) + b"zz\r\n", ConnectionLost),
    "broken after the finish": (CHUNKED + chunk(FIRST) + chunk(LAST) + b"zz\r\n", None),
}


@pytest.mark.parametrize("name", ENDS)
async def test_the_end_in_the_same_piece(name: str) -> None:
    """A stream that ends with its body, as Gemini's do, ends at once, though the server keeps the connection open."""
    sent, kind = ENDS[name]

    async def handle(number: int, stream: ByteStream) -> None:
        while True:
            request = await request_of(stream)
            await stream.send(sent if b"second" in request else WHOLE)

    async with serving(handle) as port:
        url = f"http://127.0.0.1:{port}"
        async with mellite.backend("google:gemini-2.5-flash", api_key="sk-test", base_url=url) as backend:
            assert await backend.generate("first") == "Hello."
            with anyio.fail_after(5):
                thunk = backend.generate("second")
                if kind is None:
                    assert await thunk == "Hello."
                else:
                    with pytest.raises(kind):
                        await thunk
            assert thunk.partial.startswith("Hello") or kind is PayloadTooLarge
            assert await backend.generate("first") == "Hello."


async def test_places_are_given_back_once() -> None:
    """Answers after which the connection closes take no place with them, and give none back that is not theirs."""
    now = most = 0

    async def handle(number: int, stream: ByteStream) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        try:
            for answer in (WHOLE, CLOSING):
                await request_of(stream)
                await stream.send(answer)
            await stream.receive()
        finally:
            now -= 1

    async with serving(handle) as port, aclosing(Http1Transport(max_connections=2)) as transport:
        backend = mellite.backend(
            "google:gemini-2.5-flash", api_key="sk-test", base_url=f"http://127.0.0.1:{port}", transport=transport
        )
        with anyio.fail_after(20):
            thunks = await mellite.gather([backend.generate("first") for _ in range(60)])
        assert [thunk.value for thunk in thunks] == ["Hello."] * 60
    assert most <= 3  # one of them may be on its way out
