"""What is kept ready for what arrives: little where little comes, more where much does."""

from __future__ import annotations

import socket
import ssl
import threading
import tracemalloc
from contextlib import aclosing

import anyio
import anyio.lowlevel
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


@pytest.mark.parametrize("framing", ["content-length: 255000", "connection: close"])
async def test_the_end_right_behind_much_in_tls(framing: str) -> None:
    """Where the loop was busy while the last answer and the end of its connection came, the answer is whole."""
    warming, last = b"x" * 3_000_000, b"y" * 255_000  # after so much, the system takes the last in one piece
    is_asked, is_sent = threading.Event(), threading.Event()

    async def stand_still() -> None:
        while not is_asked.is_set():
            await anyio.lowlevel.checkpoint()
        assert is_sent.wait(5)

    def serve() -> None:
        with listener.accept()[0] as accepted, server_tls(GOOD).wrap_socket(accepted, server_side=True) as connection:
            for _ in range(3):
                _take_request(connection)
                connection.sendall(HEAD % len(warming) + warming)
            _take_request(connection)
            is_asked.set()
            connection.sendall(b"HTTP/1.1 200 OK\r\n%b\r\n\r\n" % framing.encode() + last)
        is_sent.set()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=serve)
        server.start()
        async with aclosing(Http1Transport(ssl_context=client_tls())) as transport:
            request = HttpRequest("POST", f"https://127.0.0.1:{listener.getsockname()[1]}/v1", body=b"{}")
            for _ in range(3):
                assert await whole(await transport.open(request, timeout=5)) == warming
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(stand_still)
                assert await whole(await transport.open(request, timeout=5)) == last
        server.join()


def _take_request(connection: ssl.SSLSocket) -> None:
    came = b""
    while not came.endswith(b"\r\n\r\n{}"):
        came += connection.recv(4096)
