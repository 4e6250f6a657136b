"""Requests of 30 MB that the server does not read, refuses early or answers early: told at once, on every loop."""

from __future__ import annotations

from contextlib import aclosing

import anyio
import pytest
from anyio.abc import ByteStream

import mellite
from mellite.errors import ConnectionLost, FirstByteTimeout, MelliteError, PayloadTooLarge
from mellite.wire.transports.http1 import Http1Transport
from tests.wire.transports.http1.servers import request_of, serving

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

LARGE = "x" * 30_000_000
BODY = b'{"choices": [{"message": {"content": "Early."}, "finish_reason": "stop"}]}'
EARLY = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n" % len(BODY)
KEPT = EARLY + b"\r\n" + BODY

#: Where the server closes with the request unread, the network may discard its answer: RFC 9112, section 9.6.
LOST = (PayloadTooLarge, ConnectionLost)

WAYS: dict[str, tuple[bytes, bool, type[MelliteError] | tuple[type[MelliteError], ...] | None]] = {
    "never read": (b"", False, FirstByteTimeout),
    "refused early": (b"HTTP/1.1 413 X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", False, PayloadTooLarge),
    "refused and closed": (b"HTTP/1.1 413 X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", True, LOST),
    "answered early": (EARLY + b"connection: close\r\n\r\n" + BODY, False, None),
    "answered early, to be kept": (KEPT, False, None),
}


@pytest.mark.parametrize("kept", [False, True], ids=["fresh", "kept"])
@pytest.mark.parametrize("way", WAYS)
async def test_a_large_request(way: str, kept: bool) -> None:
    """The server's answer is told, though the request was never sent whole; its connection is not used again."""
    said, closes, kind = WAYS[way]
    over = anyio.Event()
    numbers: list[int] = []

    async def handle(number: int, stream: ByteStream) -> None:
        numbers.append(number)
        if number > 1 or kept:
            await request_of(stream)
            await stream.send(KEPT)
        if number == 1:
            await stream.receive(1000)  # of the large one
            if said:
                await stream.send(said)
            if not closes:
                await over.wait()

    async with serving(handle) as port, aclosing(Http1Transport(max_connections=1)) as transport:
        url, clocks = (
            f"http://127.0.0.1:{port}/v1",
            mellite.Timeouts(first_byte=0.3 if kind is FirstByteTimeout else 20),
        )
        backend = mellite.backend("openai-chat:m", api_key="sk-test", base_url=url, transport=transport, retries=0)
        if kept:
            assert await backend.generate("Hi.", stream=False) == "Early."
        with anyio.fail_after(20):
            thunk = backend.generate(LARGE, stream=False, timeouts=clocks)
            if kind is None:
                assert await thunk == "Early."
            else:
                with pytest.raises(kind):
                    await thunk
        assert await backend.generate("Hi.", stream=False) == "Early."
        over.set()
    assert numbers == [1, 2]
