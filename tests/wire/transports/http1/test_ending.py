"""What ends a request from this side: closing the transport, dropping an answer, a fork, a loop closed by hand."""

from __future__ import annotations

import asyncio
import gc
import os
import time
import warnings
from contextlib import aclosing

import anyio
import pytest
from anyio.abc import ByteStream

from mellite.errors import ConnectionLost
from mellite.wire.transports.http1 import Http1Transport
from mellite.wire.transports.http1.connecting import connect
from mellite.wire.transports.http1.origins import split
from mellite.wire.transports.http1.pool import KEEP_ALIVE, Connection, Pool
from tests.wire.transports.http1.servers import OK, request_of, serving
from tests.wire.transports.http1.test_connections import ask, fetch

HALF = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\no"


async def half(number: int, stream: ByteStream) -> None:
    """Answer the first request by half, and others whole."""
    await request_of(stream)
    await stream.send(HALF if number == 1 else OK)
    await request_of(stream)


@pytest.mark.anyio
async def test_closing_wakes_the_queue() -> None:
    """A request that waits for a place fails when the transport is closed, though the place is still taken."""
    caught: list[ConnectionLost] = []

    async def wait() -> None:
        with pytest.raises(ConnectionLost, match="the transport was closed") as raised:
            await transport.open(ask(port))
        caught.append(raised.value)

    async with serving(half) as port:
        transport = Http1Transport(max_connections=1)
        async with aclosing(await transport.open(ask(port), timeout=5)):
            with anyio.fail_after(5):
                async with anyio.create_task_group() as tasks:
                    for _ in range(3):
                        tasks.start_soon(wait)
                    await anyio.wait_all_tasks_blocked()
                    await transport.aclose()
        assert len(caught) == 3
        assert await fetch(transport, port) == b"ok"  # the transport can be used again
        await transport.aclose()


@pytest.mark.anyio
@pytest.mark.parametrize("where", ["here", "in a cycle", "in a thread"])
async def test_a_dropped_answer(where: str) -> None:
    """An answer that is dropped, not closed, gives its place back, whichever thread it is dropped in."""
    async with serving(half) as port, aclosing(Http1Transport(max_connections=1)) as transport:
        held: list[object] = [await transport.open(ask(port), timeout=5)]
        if where == "in a cycle":
            held.append(held)
            del held
            gc.collect()
        elif where == "in a thread":
            await anyio.to_thread.run_sync(held.clear)
        else:
            held.clear()
        assert await fetch(transport, port) == b"ok"


@pytest.mark.anyio
async def test_a_whole_answer_holds_no_place() -> None:
    """An answer that was whole when it was opened may be kept, or dropped, unread."""

    async def handle(number: int, stream: ByteStream) -> None:
        while True:
            await request_of(stream)
            await stream.send(OK)

    async with serving(handle) as port, aclosing(Http1Transport(max_connections=1)) as transport:
        kept = [await transport.open(ask(port), timeout=5) for _ in range(3)]
        assert [await response.read(5) for response in kept] == [b"ok"] * 3


@pytest.mark.anyio
async def test_connections_that_rest_too_long() -> None:
    """After a burst, each request that ends closes one connection that has rested too long."""
    now = [0.0]

    async def handle(number: int, stream: ByteStream) -> None:
        await request_of(stream)

    async with serving(handle) as port:
        origin, _ = split(f"http://127.0.0.1:{port}/")
        pool = Pool(lambda origin, _: connect(origin, tls=None, proxy=None), lambda: now[0], 10)
        burst: list[Connection] = [(await pool.take(origin))[0] for _ in range(4)]
        for connection in burst:
            pool.give_back(connection)
        for _ in range(4):
            now[0] += KEEP_ALIVE - 1
            connection, is_reused = await pool.take(origin)
            assert is_reused
            pool.give_back(connection)
        assert [connection.is_usable for connection in burst] == [False, False, False, True]
        pool.close()
        await anyio.lowlevel.checkpoint()


@pytest.mark.anyio
async def test_a_connection_that_rested_too_long_is_not_used() -> None:
    """The one connection there is, once it has rested too long, is closed; the next request gets a fresh one."""
    now = [0.0]

    async def handle(number: int, stream: ByteStream) -> None:
        await request_of(stream)

    async with serving(handle) as port:
        origin, _ = split(f"http://127.0.0.1:{port}/")
        pool = Pool(lambda origin, _: connect(origin, tls=None, proxy=None), lambda: now[0], 10)
        first, _ = await pool.take(origin)
        pool.give_back(first)
        now[0] += KEEP_ALIVE
        second, is_reused = await pool.take(origin)
        assert (is_reused, first.is_usable, second.is_usable) == (False, False, True)
        pool.close()
        await anyio.lowlevel.checkpoint()


@pytest.mark.anyio
async def test_a_fork(anyio_backend_name: str) -> None:
    """A forked child that closes or drops an answer leaves the parent's connection alone."""
    go = anyio.Event()

    async def handle(number: int, stream: ByteStream) -> None:
        await request_of(stream)
        await stream.send(HALF)
        await go.wait()
        await stream.send(b"k")
        await request_of(stream)

    async with serving(handle) as port, aclosing(Http1Transport()) as transport:
        response = await transport.open(ask(port), timeout=5)
        assert await response.read(5) == b"o"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # threads of other tests
            child = os.fork()
        if child == 0:
            code = 1
            try:
                with pytest.raises(StopIteration):
                    response.aclose().send(None)
                code = 0
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0  # noqa: ASYNC222 - it ends at once
        go.set()
        assert await response.read(5) == b"k"
        assert await response.read(5) == b""


def busy_until(when: float) -> None:
    """Keep the loop from going on."""
    while time.monotonic() < when:
        pass


def test_cancelled_as_its_time_is_over() -> None:
    """A read that is cancelled in the turn of the loop in which its time is over takes nothing from the next one."""

    async def main() -> None:
        go = anyio.Event()

        async def handle(number: int, stream: ByteStream) -> None:
            await request_of(stream)
            await stream.send(HALF)
            await go.wait()
            await stream.send(b"k")
            await request_of(stream)

        async with serving(handle) as port, aclosing(Http1Transport()) as transport:
            response = await transport.open(ask(port), timeout=5)
            assert await response.read(5) == b"o"
            task = asyncio.create_task(response.read(0.01))
            await asyncio.sleep(0)  # in this turn it begins to wait
            asyncio.get_running_loop().call_later(0.02, task.cancel)
            busy_until(time.monotonic() + 0.05)  # both are over in the next turn
            with pytest.raises(asyncio.CancelledError):
                await task
            go.set()
            assert await response.read(5) == b"k"
            await response.aclose()

    asyncio.run(main())
