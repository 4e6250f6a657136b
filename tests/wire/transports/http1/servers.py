"""Servers for one test: what is done on each connection is a function of the test, on the loop of the test."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import anyio
from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.tls import TLSStream

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

#: What a server meets when its client goes away, or does not trust it.
GONE = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, ssl.SSLError, OSError)

Handle = Callable[[int, ByteStream], Awaitable[None]]


async def request_of(stream: ByteStream) -> bytes:
    """Read one request with its body; EndOfStream where the client closes instead."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += await stream.receive()
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    while lengths and len(body) < int(lengths[0]):
        body += await stream.receive()
    return head + b"\r\n\r\n" + body


@asynccontextmanager
async def serving(handle: Handle, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Serve on a port, which is given, until the block ends.

    Args:
        handle: called for each connection with its number, counted from 1, and its stream; it is closed afterwards.
    """
    count = 0

    async def one(stream: anyio.abc.SocketStream) -> None:
        nonlocal count
        count += 1
        try:
            with suppress(*GONE):
                inside: ByteStream = stream
                if tls is not None:
                    inside = await TLSStream.wrap(stream, ssl_context=tls, server_side=True, standard_compatible=False)
                await handle(count, inside)
        finally:
            await anyio.aclose_forcefully(stream)

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, one)
        yield listener.extra(SocketAttribute.local_port)
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def tunnelling(tls: ssl.SSLContext) -> AsyncIterator[int]:
    """Run a proxy that is spoken to in TLS, and gives tunnels to ports of this machine, until the block ends."""

    async def handle(number: int, stream: ByteStream) -> None:
        head = await stream.receive()
        await stream.send(b"HTTP/1.1 200 OK\r\n\r\n")
        port = int(head.split(b" ")[1].rpartition(b":")[2])
        async with await anyio.connect_tcp("127.0.0.1", port) as there, anyio.create_task_group() as tasks:
            tasks.start_soon(_pass_on, stream, there, tasks.cancel_scope.cancel)
            tasks.start_soon(_pass_on, there, stream, tasks.cancel_scope.cancel)

    async with serving(handle, tls) as port:
        yield port


async def _pass_on(here: ByteStream, there: ByteStream, end: Callable[[], None]) -> None:
    with suppress(*GONE):
        while True:
            await there.send(await here.receive())
    end()
