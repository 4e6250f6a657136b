"""What is kept ready for what arrives: little where little comes, more where much does."""

from __future__ import annotations

import tracemalloc
from contextlib import aclosing

import anyio
import pytest
from anyio.abc import ByteStream

from mellite.wire.transports.default import HttpRequest
from mellite.wire.transports.http1 import Http1Transport
from tests.wire.transports.http1.servers import request_of, serving
from tests.wire.transports.http1.test_tls import GOOD, client_tls, server_tls
from tests.wire.transports.support import whole

pytestmark = pytest.mark.anyio

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n"


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_a_few_bytes_need_little_room(tls: bool) -> None:
    """No read of a few bytes asks for more than 128 KiB, for which C libraries go to the system each time."""
    sizes = [1, 300, 3_000, 40, 300]
    wanted = anyio.Semaphore(0)

    async def handle(_: int, stream: ByteStream) -> None:
        await request_of(stream)
        await stream.send(HEAD % sum(sizes))
        for size in sizes:
            await wanted.acquire()
            await stream.send(b"x" * size)
        await request_of(stream)

    scheme, host = ("https", "localhost") if tls else ("http", "127.0.0.1")
    transport = Http1Transport(ssl_context=client_tls() if tls else None)
    async with serving(handle, server_tls(GOOD) if tls else None) as port, aclosing(transport):
        response = await transport.open(HttpRequest("POST", f"{scheme}://{host}:{port}/v1", body=b"{}"), timeout=5)
        came = 0
        tracemalloc.start()
        try:
            for size in sizes:
                tracemalloc.reset_peak()
                before, _ = tracemalloc.get_traced_memory()
                wanted.release()
                due = came + size
                while came < due:
                    came += len(await response.read(5))
                _, peak = tracemalloc.get_traced_memory()
                assert peak - before < 128 * 1024
        finally:
            tracemalloc.stop()
        await response.aclose()


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_answers_of_every_size(tls: bool) -> None:
    """Answers come whole over one connection, whatever their size is beside the room for them, before and after."""
    rooms = [4 * 1024, 64 * 1024, 120 * 1024]
    sizes = [1, *[room + more for room in rooms for more in (-1, 0, 1)], 1_000_000, 3, 120 * 1024, 2]
    bodies = [bytes([65 + number]) * size for number, size in enumerate(sizes)]

    async def handle(_: int, stream: ByteStream) -> None:
        for body in bodies:
            await request_of(stream)
            head = HEAD % len(body)
            await stream.send(head + body[: -len(head)])
            await stream.send(body[-len(head) :] if len(body) > len(head) else body)

    scheme, host = ("https", "localhost") if tls else ("http", "127.0.0.1")
    transport = Http1Transport(ssl_context=client_tls() if tls else None)
    async with serving(handle, server_tls(GOOD) if tls else None) as port, aclosing(transport):
        for body in bodies:
            request = HttpRequest("POST", f"{scheme}://{host}:{port}/v1", body=b"{}")
            assert await whole(await transport.open(request, timeout=5)) == body
