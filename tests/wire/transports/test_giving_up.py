"""A request may be given up at any point; nothing leaks, and the pool goes on."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import aclosing
from functools import partial

import anyio
import anyio.lowlevel
import pytest

from mellite.errors import ConnectError, ConnectionLost
from mellite.wire.transports.aiohttp import AiohttpTransport
from mellite.wire.transports.default import HttpRequest
from mellite.wire.transports.httpx2 import Httpx2Transport
from tests.wire.server import LAST, PATIENCE, Server, answer, gate, head, piece
from tests.wire.transports.support import Make, connecting_within, fetch, in_thread, leaks_nothing, post


class TestCancellation:
    """A request may be given up at any point."""

    @pytest.mark.slow
    @pytest.mark.anyio
    @pytest.mark.parametrize("stage", ["connecting", "headers", "body"])
    async def test_pool_survives(self, server: Server, make: Make, stage: str) -> None:
        """After 200 requests were cancelled in a pool of 4, the next one goes through."""
        steps = {
            "connecting": [gate("never")],
            "headers": [gate("never")],
            "body": [head(), piece(b"x"), gate("never")],
        }
        script = server.script(*steps[stage])
        good = server.script(answer(b"good"))

        async def one(scope: anyio.CancelScope) -> None:
            with scope:
                response = await transport.open(post(script))
                async with aclosing(response):
                    while await response.read():
                        pass

        async with aclosing(make(max_connections=4)) as transport:
            for turn in range(10):
                scopes = [anyio.CancelScope() for _ in range(20)]
                async with anyio.create_task_group() as tasks:
                    for scope in scopes:
                        tasks.start_soon(one, scope)
                    if stage == "connecting":
                        await anyio.lowlevel.checkpoint()
                    else:
                        await in_thread(partial(script.waiting, turn * 4 + 4))
                    for scope in scopes[turn % 3 :]:
                        scope.cancel()
                    tasks.cancel_scope.cancel()
            assert await fetch(transport, good) == b"good"
        await in_thread(server.no_connections)

    @pytest.mark.anyio
    async def test_while_sending(self, server: Server, make: Make) -> None:
        """A request that is given up while the server does not read it leaves no connection open."""
        async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, aclosing(make()) as transport:
            port = listener.extra(anyio.abc.SocketAttribute.local_port)
            request = HttpRequest("POST", f"http://127.0.0.1:{port}/", body=bytes(50_000_000))
            before = len(os.listdir("/dev/fd"))
            with pytest.raises(TimeoutError):
                await transport.open(request, timeout=0.2)
            await anyio.wait_all_tasks_blocked()
            assert len(os.listdir("/dev/fd")) <= before + 1  # trio keeps one of its own

    @pytest.mark.slow
    @pytest.mark.anyio
    async def test_answered_while_sending(self, make: Make) -> None:
        """Closing an answer that came while the request was still being sent leaves no connection open."""

        async def refuse(stream: anyio.abc.SocketStream) -> None:
            async with stream:
                await stream.receive(1)
                await stream.send(b"HTTP/1.1 413 X\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n")
                await anyio.sleep_forever()

        async with (
            await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
            aclosing(make()) as transport,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(listener.serve, refuse)
            port = listener.extra(anyio.abc.SocketAttribute.local_port)
            request = HttpRequest("POST", f"http://127.0.0.1:{port}/", body=bytes(50_000_000))
            with anyio.move_on_after(0.5) as scope:
                response = await transport.open(request)
                before = len(os.listdir("/dev/fd"))
                assert (response.status, await response.read(5)) == (413, b"one")
                await response.aclose()
                await anyio.wait_all_tasks_blocked()
                assert len(os.listdir("/dev/fd")) == before - 1
            assert not scope.cancelled_caught or make is Httpx2Transport  # which may send all before it listens
            tasks.cancel_scope.cancel()

    @pytest.mark.anyio
    async def test_in_a_tls_handshake(self, make: Make) -> None:
        """A connection whose TLS handshake is given up is closed."""
        async with (
            await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
            aclosing(make()) as transport,
            anyio.create_task_group() as tasks,
        ):
            port = listener.extra(anyio.abc.SocketAttribute.local_port)
            tasks.start_soon(transport.open, HttpRequest("GET", f"https://127.0.0.1:{port}/"))
            [one] = listener.listeners
            async with await one.accept() as accepted:
                assert await accepted.receive()  # the client's hello
                tasks.cancel_scope.cancel()
                with anyio.fail_after(PATIENCE, shield=True), pytest.raises(anyio.EndOfStream):
                    await accepted.receive()

    @pytest.mark.anyio
    @pytest.mark.parametrize("timeout", [None, 5, 0.05])
    async def test_cancelled_while_it_has_a_timeout(self, server: Server, make: Make, timeout: float | None) -> None:
        """A cancellation from outside stays one, whatever the timeout, also when both come together."""
        script = server.script(gate("never"))
        async with aclosing(make()) as transport:
            with anyio.move_on_after(0.05) as scope:
                try:
                    await transport.open(post(script), timeout=timeout)
                except TimeoutError:
                    assert timeout == 0.05
                    await anyio.sleep_forever()
            assert scope.cancelled_caught
            await anyio.lowlevel.checkpoint()  # nothing of it is left over

    @pytest.mark.anyio
    async def test_read_after_an_interrupted_read(self, server: Server, make: Make) -> None:
        """After a cancelled read the rest of the body comes, or ConnectionLost: it never just ends."""
        script = server.script(head(), piece(b"one"), gate("two"), piece(b"two"), LAST)
        async with aclosing(make()) as transport:
            response = await transport.open(post(script), timeout=5)
            async with aclosing(response):
                assert await response.read(5) == b"one"
                with anyio.move_on_after(0.01):
                    await response.read(5)
                script.release("two")
                try:
                    assert await response.read(5) == b"two"
                except ConnectionLost:
                    assert make is not AiohttpTransport


class TestTimeouts:
    """Waiting ends when it should, and not before."""

    @pytest.mark.anyio
    async def test_headers(self, server: Server, make: Make) -> None:
        """`open` gives up after its timeout and closes the connection."""
        script = server.script(gate("never"))
        async with aclosing(make()) as transport:
            started = time.monotonic()
            with pytest.raises(TimeoutError, match=r"within 0\.2 s"):
                await transport.open(post(script), timeout=0.2)
            assert 0.2 <= time.monotonic() - started < PATIENCE
            await in_thread(partial(script.gone, 1))

    @pytest.mark.slow
    @pytest.mark.anyio
    async def test_connecting(self, make: Make) -> None:
        """A server that says nothing in a TLS handshake is given up after `Timeouts.connect`, and is worth a retry."""
        async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
            port = listener.extra(anyio.abc.SocketAttribute.local_port)
            async with aclosing(make()) as transport:
                silent = connecting_within(0.2, post(f"https://127.0.0.1:{port}/"))
                with pytest.raises(
                    ConnectError, match=r"no connection within 0\.2 s; raise Timeouts\(connect"
                ) as caught:
                    await transport.open(silent, timeout=5)
        assert caught.value.retryable
        leaks_nothing(caught.value)

    @pytest.mark.anyio
    async def test_body(self, server: Server, make: Make) -> None:
        """`read` gives up after its timeout, counted from each read anew, and the response can then be closed."""
        script = server.script(head(), gate("a"), piece(b"1"), gate("b"), piece(b"2"), gate("never"))
        async with aclosing(make()) as transport:
            response = await transport.open(post(script), timeout=5)
            async with anyio.create_task_group() as tasks:

                async def later(name: str, seconds: float) -> None:
                    await anyio.sleep(seconds)
                    await in_thread(partial(script.release, name))

                tasks.start_soon(later, "a", 0.01)
                assert await response.read(1) == b"1"
                tasks.start_soon(later, "b", 1.1)
                assert await response.read(PATIENCE) == b"2"
            started = time.monotonic()
            with pytest.raises(TimeoutError, match=r"within 0\.2 s"):
                await response.read(0.2)
            assert 0.2 <= time.monotonic() - started < PATIENCE
            await response.aclose()
            await in_thread(partial(script.gone, 1))

    @pytest.mark.slow
    @pytest.mark.anyio
    async def test_no_clock_runs_while_nobody_reads(self, server: Server, make: Make) -> None:
        """Timeouts count while something is waited for, not while the reader is busy elsewhere."""
        script = server.script(gate("a"), head(), gate("b"), piece(b"1"), gate("c"), piece(b"2"), gate("never"))
        async with aclosing(make()) as transport, anyio.create_task_group() as tasks:

            async def later(name: str) -> None:
                await anyio.sleep(0.05)
                script.release(name)

            tasks.start_soon(later, "a")
            response = await transport.open(post(script), timeout=1)
            await anyio.sleep(1.1)
            async with aclosing(response):
                tasks.start_soon(later, "b")
                assert await response.read(1) == b"1"
                await anyio.sleep(1.1)
                tasks.start_soon(later, "c")
                assert await response.read(1) == b"2"

    @pytest.mark.anyio
    async def test_shorter_after_longer(self, server: Server, make: Make) -> None:
        """A short timeout holds also after a read with a long one."""
        script = server.script(head(), piece(b"1"), gate("a"), piece(b"2"), gate("never"))
        async with aclosing(make()) as transport:
            response = await transport.open(post(script), timeout=5)
            async with aclosing(response):
                await response.read(60)
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(response.read, 60)
                    await anyio.wait_all_tasks_blocked()
                    script.release("a")
                started = time.monotonic()
                with pytest.raises(TimeoutError):
                    await response.read(0.1)
                assert time.monotonic() - started < PATIENCE

    @pytest.mark.anyio
    async def test_a_timeout_is_not_the_end(self, server: Server, make: Make) -> None:
        """Reading on after a timeout never looks as if the body had ended."""
        script = server.script(head(), piece(b"1"), gate("never"))
        async with aclosing(make()) as transport:
            response = await transport.open(post(script), timeout=5)
            async with aclosing(response):
                assert await response.read(5) == b"1"
                with pytest.raises(TimeoutError):
                    await response.read(0.01)
                with pytest.raises((TimeoutError, ConnectionLost)):
                    await response.read(0.01)


def test_two_reasons_at_once(server: Server) -> None:
    """A cancellation that comes in the same turn of the loop as the timeout is not taken for the timeout."""
    script = server.script(gate("never"))

    async def main() -> None:
        transport = AiohttpTransport()
        task = asyncio.create_task(transport.open(post(script), timeout=0.4))
        await in_thread(partial(script.waiting, 1))
        until = time.monotonic() + 0.5
        while time.monotonic() < until:  # the loop stands still, so that both are due when it goes on
            continue
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
