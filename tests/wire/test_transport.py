"""The contract that both network transports keep, against a real server in another process."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import time
import traceback
import weakref
from collections.abc import Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import anyio
import pytest
import trio

from mellite.errors import (
    ConnectError,
    ConnectionLost,
    InvalidCredential,
    InvalidProviderOutput,
    InvalidRequest,
    MelliteError,
)
from mellite.wire.transport import HttpRequest, HttpResponse, Transport, default_transport
from mellite.wire.transport_aiohttp import AiohttpTransport
from mellite.wire.transport_httpx2 import Httpx2Transport
from tests.wire.server import CLOSE, LAST, RESET, Script, Server, answer, gate, head, piece, send, serve

KEY = "sk-SECRET-0123456789"
Make: TypeAlias = Callable[..., Any]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server in a process of its own."""
    with serve() as server:
        yield server


@dataclass
class Loop:
    """A loop and a transport that works in it."""

    make: Make
    run: Callable[..., Any]


LOOPS = {
    "aiohttp-asyncio": Loop(AiohttpTransport, asyncio.run),
    "httpx2-asyncio": Loop(Httpx2Transport, asyncio.run),
    "httpx2-trio": Loop(Httpx2Transport, lambda coroutine: trio.run(lambda: coroutine)),
    "default-asyncio": Loop(default_transport, asyncio.run),
    "default-trio": Loop(default_transport, lambda coroutine: trio.run(lambda: coroutine)),
}


@pytest.fixture(params=["aiohttp-asyncio", "httpx2-asyncio", "httpx2-trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Each async test here runs on asyncio with both clients, and on trio."""
    return str(request.param).rpartition("-")[2]


@pytest.fixture
def make(request: pytest.FixtureRequest, anyio_backend: str) -> Make:
    """Makes the transport under test."""
    name = request.node.callspec.params["anyio_backend"]
    return LOOPS[name].make


def post(target: Script | str, body: bytes = b"{}", **headers: str) -> HttpRequest:
    """A request like those to a provider."""
    url = target if isinstance(target, str) else f"{target.url}/v1/chat?key={KEY}"
    return HttpRequest("POST", url, headers={"authorization": f"Bearer {KEY}", **headers}, body=body)


async def whole(response: HttpResponse, timeout: float | None = 5) -> bytes:
    """The rest of a body; the response is closed in every case."""
    async with aclosing(response):
        pieces = []
        while data := await response.read(timeout):
            pieces.append(data)
        return b"".join(pieces)


async def fetch(transport: Transport, target: Script | str, body: bytes = b"{}") -> bytes:
    """The body of the answer to one request."""
    return await whole(await transport.open(post(target, body), timeout=5))


def in_thread(function: Callable[[], Any]) -> Any:
    """Wait for the server without blocking the loop."""
    return anyio.to_thread.run_sync(function)


class TestAnswers:
    """What goes out and what comes back."""

    @pytest.mark.anyio
    async def test_unary(self, server: Server, make: Make) -> None:
        """Status, lower-case headers and body are the server's."""
        script = server.script(answer(b'{"a":1}', 201, {"X-Request-ID": "r1", "Content-Type": "application/json"}))
        async with aclosing(make()) as transport:
            response = await transport.open(post(script), timeout=5)
            assert (response.status, response.headers["x-request-id"]) == (201, "r1")
            assert await whole(response) == b'{"a":1}'

    @pytest.mark.anyio
    async def test_request_bytes(self, server: Server, make: Make) -> None:
        """Target, body and headers arrive as given; host, length and three defaults are all that is added."""
        script = server.script(answer(b""))
        target = "/models/a%2Fb:generate%3A?alt=sse&q=%20/+?x"
        request = HttpRequest("POST", script.url + target, headers={"X-Api-Key": KEY, "Accept": "a/b"}, body=b"\0body")
        async with aclosing(make()) as transport:
            await whole(await transport.open(request, timeout=5))
        [got] = script.requests(1)
        assert (got.method, got.body) == ("POST", b"\0body")
        assert got.target == f"/{script.number}{target}"
        assert {name.lower(): value for name, value in got.headers} == {
            "host": f"127.0.0.1:{server.port}",
            "x-api-key": KEY,
            "accept": "a/b",
            "accept-encoding": "gzip, deflate",
            "user-agent": "mellite",
            "content-length": "5",
        }

    @pytest.mark.anyio
    async def test_context_is_not_sent(self, server: Server, make: Make) -> None:
        """What is in `context` stays here."""
        script = server.script(answer(b""))
        request = HttpRequest("GET", script.url, context={"lineage": "CONTEXT"})
        async with aclosing(make()) as transport:
            await whole(await transport.open(request))
        [got] = script.requests(1)
        assert "CONTEXT" not in repr(got)

    @pytest.mark.anyio
    async def test_repeated_headers_are_joined(self, server: Server, make: Make) -> None:
        """Headers that come twice are joined with a comma, in order."""
        raw = b"HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a: 2\r\nset-cookie: c=1\r\ncontent-length: 0\r\n\r\n"
        script = server.script(send(raw))
        async with aclosing(make()) as transport:
            response = await transport.open(post(script), timeout=5)
            assert response.headers["x-a"] == "1, 2"
            await whole(response)
            await fetch(transport, script)
        assert [each.header("cookie") for each in script.requests(2)] == [None, None]

    @pytest.mark.anyio
    async def test_stream_piece_by_piece(self, server: Server, make: Make) -> None:
        """Each piece is handed on when it arrives: the server sends the next one only when asked to."""
        steps = [step for i in range(20) for step in (gate("next"), piece(b"event %d" % i))]
        script = server.script(head(), *steps, LAST)
        async with aclosing(make()) as transport:
            response = await transport.open(post(script), timeout=5)
            async with aclosing(response):
                for i in range(20):
                    await in_thread(partial(script.release, "next"))
                    assert await response.read(5) == b"event %d" % i
                assert await response.read(5) == b""
                assert await response.read(5) == b""

    @pytest.mark.anyio
    async def test_body_stays_compressed(self, server: Server, make: Make) -> None:
        """The body is handed on as it came, whatever its content-encoding says."""
        script = server.script(answer(b"not gzip", headers={"content-encoding": "gzip"}))
        async with aclosing(make()) as transport:
            assert await fetch(transport, script) == b"not gzip"

    @pytest.mark.anyio
    async def test_redirects_are_not_followed(self, server: Server, make: Make) -> None:
        """A redirect is an answer, and the key goes nowhere else."""
        other = server.script(answer(b"other"))
        script = server.script(answer(b"", 307, {"location": other.url}))
        async with aclosing(make()) as transport:
            response = await transport.open(post(script), timeout=5)
            assert (response.status, response.headers["location"]) == (307, other.url)
            await whole(response)
        assert other.requests(0) == []

    @pytest.mark.anyio
    @pytest.mark.parametrize("size", [0, 100_000, 3_000_000])
    async def test_large_bodies(self, server: Server, make: Make, size: int) -> None:
        """Bodies of any size go both ways whole."""
        body = bytes(range(256)) * (size // 256)
        script = server.script(answer(body))
        async with aclosing(make()) as transport:
            assert await fetch(transport, script, body) == body
        assert script.requests(1)[0].body == body

    @pytest.mark.anyio
    async def test_environment_is_not_used(self, server: Server, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        """Proxies in the environment are not used."""
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, "http://127.0.0.1:1")
        script = server.script(answer(b"direct"))
        async with aclosing(make()) as transport:
            assert await fetch(transport, script) == b"direct"


class TestConnections:
    """When connections are kept, and when they are closed."""

    @pytest.mark.anyio
    async def test_reused_after_the_end(self, server: Server, make: Make) -> None:
        """A body that was read to its end leaves the connection for the next request."""
        script = server.script(head(), piece(b"x"), LAST)
        async with aclosing(make()) as transport:
            for _ in range(5):
                await fetch(transport, script)
        assert len({each.connection for each in script.requests(5)}) == 1

    @pytest.mark.anyio
    async def test_reused_when_the_end_has_arrived(self, server: Server, make: Make) -> None:
        """Closing a response whose end was received, though not read, also keeps the connection."""
        script = server.script(answer(b"x" * 10))
        async with aclosing(make()) as transport:
            for _ in range(5):
                response = await transport.open(post(script), timeout=5)
                assert await response.read(5) == b"x" * 10
                await response.aclose()
        assert len({each.connection for each in script.requests(5)}) == 1

    @pytest.mark.anyio
    async def test_aclose_early(self, server: Server, make: Make) -> None:
        """Closing a response that is still arriving closes its connection within 100 ms, and may be done twice."""
        script = server.script(head(), piece(b"one"), gate("never"))
        async with aclosing(make()) as transport:
            response = await transport.open(post(script), timeout=5)
            assert await response.read(5) == b"one"
            await in_thread(partial(script.waiting, 1))
            closed = time.monotonic()
            await response.aclose()
            await response.aclose()
            [gone] = await in_thread(partial(script.gone, 1))
        assert gone.gone_at - closed < 0.1

    @pytest.mark.anyio
    async def test_aclose_of_the_transport(self, server: Server, make: Make) -> None:
        """Closing the transport closes its connections; using it again makes new ones."""
        script = server.script(answer(b"x"))
        transport = make()
        await fetch(transport, script)
        assert server.connections() == 1
        await transport.aclose()
        await in_thread(server.no_connections)
        assert await fetch(transport, script) == b"x"
        await transport.aclose()
        await in_thread(server.no_connections)

    @pytest.mark.anyio
    async def test_aclose_of_the_transport_ends_what_is_read(self, server: Server, make: Make) -> None:
        """Who waits for a piece when the transport is closed gets ConnectionLost, at once."""
        script = server.script(head(), piece(b"one"), gate("never"))
        transport = make()
        response = await transport.open(post(script), timeout=5)
        assert await response.read(5) == b"one"
        caught: list[MelliteError] = []

        async def read() -> None:
            try:
                await response.read(None)
            except ConnectionLost as error:
                caught.append(error)

        with anyio.fail_after(5):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(read)
                await anyio.wait_all_tasks_blocked()
                await transport.aclose()
        await response.aclose()
        assert len(caught) == 1

    @pytest.mark.anyio
    async def test_two_lengths(self, server: Server, make: Make) -> None:
        """An answer with both a length and chunks is refused, or its connection is not used again."""
        raw = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        script = server.script(send(raw))
        async with aclosing(make()) as transport:
            for _ in range(2):
                try:
                    assert await fetch(transport, script) == b"abc"
                except (InvalidProviderOutput, ConnectionLost):
                    continue
        assert len({each.connection for each in script.requests(2)}) == 2

    @pytest.mark.anyio
    async def test_many_at_once(self, server: Server, make: Make) -> None:
        """A thousand requests can be under way at the same time, each on a connection of its own."""
        script = server.script(gate("all"), answer(b"x"))
        results: list[bytes] = []

        async def one() -> None:
            results.append(await whole(await transport.open(post(script), timeout=60)))

        count = 1000 if make is not Httpx2Transport else 300
        async with aclosing(make()) as transport, anyio.create_task_group() as tasks:
            for _ in range(count):
                tasks.start_soon(one)
            await in_thread(partial(script.waiting, count))
            await in_thread(partial(script.release, "all", count))
        assert results == [b"x"] * count

    @pytest.mark.anyio
    async def test_limit(self, server: Server, make: Make) -> None:
        """More requests than `max_connections` wait their turn."""
        script = server.script(gate("one"), answer(b"x"))
        results: list[bytes] = []

        async def one() -> None:
            results.append(await fetch(transport, script))

        async with aclosing(make(max_connections=2)) as transport, anyio.create_task_group() as tasks:
            for _ in range(6):
                tasks.start_soon(one)
            await in_thread(partial(script.waiting, 2))
            await anyio.wait_all_tasks_blocked()
            assert server.connections() == 2
            script.release("one", 6)
        assert results == [b"x"] * 6


class TestCancellation:
    """A request may be given up at any point."""

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
                        await anyio.sleep(0)
                    else:
                        await in_thread(partial(script.waiting, turn * 4 + 4))
                    for scope in scopes[turn % 3 :]:
                        scope.cancel()
                    tasks.cancel_scope.cancel()
            started = time.monotonic()
            assert await fetch(transport, good) == b"good"
            assert time.monotonic() - started < 1
        await in_thread(server.no_connections)

    @pytest.mark.anyio
    async def test_while_sending(self, server: Server, make: Make) -> None:
        """A request that is given up while the server does not read it leaves no connection open."""
        with anyio.move_on_after(5) as guard:
            listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
            async with listener:
                port = listener.extra(anyio.abc.SocketAttribute.local_port)
                request = HttpRequest("POST", f"http://127.0.0.1:{port}/", body=bytes(50_000_000))
                async with aclosing(make()) as transport:
                    with pytest.raises(TimeoutError):
                        await transport.open(request, timeout=0.2)
        assert not guard.cancelled_caught

    @pytest.mark.anyio
    async def test_in_a_tls_handshake(self, make: Make) -> None:
        """A connection whose TLS handshake is given up is closed."""
        async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
            port = listener.extra(anyio.abc.SocketAttribute.local_port)
            async with aclosing(make()) as transport:
                with pytest.raises(TimeoutError):
                    await transport.open(HttpRequest("GET", f"https://127.0.0.1:{port}/"), timeout=0.1)
            [one] = listener.listeners if hasattr(listener, "listeners") else [listener]
            accepted, _ = one.extra(anyio.abc.SocketAttribute.raw_socket).accept()
            with accepted:
                accepted.setblocking(False)
                hello = accepted.recv(100_000)
                assert hello
                assert accepted.recv(100_000) == b""

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
            assert 0.2 <= time.monotonic() - started < 0.5
            await in_thread(partial(script.gone, 1))

    @pytest.mark.anyio
    async def test_body(self, server: Server, make: Make) -> None:
        """`read` gives up after its timeout, counted from each read anew, and the response can then be closed."""
        script = server.script(head(), piece(b"1"), gate("a"), piece(b"2"), gate("never"))
        async with aclosing(make()) as transport:
            response = await transport.open(post(script), timeout=5)
            assert await response.read(0.3) == b"1"
            await anyio.sleep(0.2)
            async with anyio.create_task_group() as tasks:

                async def later() -> None:
                    await anyio.sleep(0.2)
                    script.release("a")

                tasks.start_soon(later)
                assert await response.read(0.3) == b"2"
            started = time.monotonic()
            with pytest.raises(TimeoutError, match=r"within 0\.2 s"):
                await response.read(0.2)
            assert 0.2 <= time.monotonic() - started < 0.5
            await response.aclose()
            await in_thread(partial(script.gone, 1))

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
                assert time.monotonic() - started < 0.5

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


BROKEN = {
    "closed-before-status": ([CLOSE], {ConnectionLost}, b""),
    "reset-before-status": ([RESET], {ConnectionLost}, b""),
    "garbage": ([send(b"\0\1 not http\r\n\r\n"), CLOSE], {InvalidProviderOutput}, b""),
    "other-protocol": (
        [send(b"SSH-2.0-OpenSSH_9.6\r\n"), CLOSE],
        {InvalidProviderOutput, ConnectionLost},
        b"",
    ),
    "closed-in-headers": ([send(b"HTTP/1.1 200 OK\r\nx: "), CLOSE], {ConnectionLost}, b""),
    "bad-length": (
        [send(b"HTTP/1.1 200 OK\r\ncontent-length: abc\r\n\r\n"), gate("never")],
        {InvalidProviderOutput},
        b"",
    ),
    "endless-header": ([send(b"HTTP/1.1 200 OK\r\nx: " + b"A" * 300_000 + b"\r\n\r\n")], {InvalidProviderOutput}, b""),
    "closed-between-chunks": ([head(), piece(b"one"), gate("go"), CLOSE], {ConnectionLost}, b"one"),
    "closed-inside-chunk": ([head(), send(b"5\r\non"), gate("go"), CLOSE], {ConnectionLost}, b"on"),
    "reset-between-chunks": ([head(), piece(b"one"), gate("go"), RESET], {ConnectionLost}, b"one"),
    "reset-inside-chunk": ([head(), send(b"5\r\non"), gate("go"), RESET], {ConnectionLost}, b"on"),
    "too-short": ([head(body=9), send(b"one"), gate("go"), CLOSE], {ConnectionLost}, b"one"),
    "bad-chunk": ([head(), piece(b"one"), gate("go"), send(b"ZZ\r\nxx\r\n"), gate("never")], {ConnectionLost}, b"one"),
    "negative-chunk": (
        [head(), piece(b"one"), gate("go"), send(b"-1\r\nxx\r\n"), gate("never")],
        {ConnectionLost},
        b"one",
    ),
    "no-line-end": ([head(), piece(b"one"), gate("go"), send(b"3\r\ntwoXX"), gate("never")], {ConnectionLost}, b"one"),
}


class TestErrors:
    """Everything that goes wrong is an error of mellite's own, without secrets."""

    @pytest.mark.anyio
    @pytest.mark.parametrize("name", BROKEN)
    async def test_broken_answers(self, server: Server, make: Make, name: str) -> None:
        """A connection that breaks, or bytes that are not HTTP, are typed; what came before has been handed on."""
        steps, kinds, before = BROKEN[name]
        script = server.script(*steps)
        got = b""
        async with aclosing(make()) as transport:
            with pytest.raises(MelliteError) as caught:
                response = await transport.open(post(script), timeout=5)
                async with aclosing(response):
                    while len(got) < len(before):
                        got += await response.read(5)
                    script.release("go")
                    while data := await response.read(5):
                        got += data
        assert type(caught.value) in kinds
        assert got in (before, before + b"two")
        assert server.script(answer(b""))  # the server is still well
        leaks_nothing(caught.value)

    @pytest.mark.anyio
    @pytest.mark.parametrize("size", [3, 1_000_000])
    async def test_nothing_received_is_lost(self, server: Server, make: Make, size: int) -> None:
        """A reader that is late gets all that came before the connection broke, and then the error."""
        script = server.script(head(), piece(b"x" * size), send(b"7fffffff\r\n"), CLOSE)
        async with aclosing(make()) as transport:
            response = await transport.open(post(script), timeout=5)
            async with aclosing(response):
                await anyio.sleep(0.1)
                got = b""
                with pytest.raises(ConnectionLost):
                    while data := await response.read(5):
                        got += data
        assert got == b"x" * size

    @pytest.mark.anyio
    @pytest.mark.parametrize("raw", [b"HTTP/1.1 200 OK\r\n\r\nbody", b"HTTP/1.0 200 OK\r\n\r\nbody"])
    async def test_body_up_to_the_close(self, server: Server, make: Make, raw: bytes) -> None:
        """A body without a length ends where the connection is closed."""
        script = server.script(send(raw), CLOSE)
        async with aclosing(make()) as transport:
            assert await fetch(transport, script) == b"body"

    @pytest.mark.anyio
    async def test_informational_answers(self, server: Server, make: Make) -> None:
        """Answers of the 100 class are skipped."""
        script = server.script(send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 X\r\nlink: x\r\n\r\n"), answer(b"real"))
        async with aclosing(make()) as transport:
            assert await fetch(transport, script) == b"real"

    @pytest.mark.anyio
    async def test_refused(self, make: Make) -> None:
        """A port that nobody listens on is a ConnectError that says so and may be tried again."""
        async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
            port = listener.extra(anyio.abc.SocketAttribute.local_port)
        async with aclosing(make()) as transport:
            with pytest.raises(ConnectError, match="Connection refused") as caught:
                await transport.open(post(f"http://127.0.0.1:{port}/v1?key={KEY}"), timeout=5)
        assert caught.value.retryable
        leaks_nothing(caught.value)

    @pytest.mark.anyio
    async def test_tls_with_a_server_that_has_none(self, server: Server, make: Make) -> None:
        """Speaking TLS to a server that answers something else is an error of the connection."""
        async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
            port = listener.extra(anyio.abc.SocketAttribute.local_port)

            async def greet(stream: anyio.abc.SocketStream) -> None:
                async with stream:
                    await stream.send(b"220 mail.example ESMTP\r\n")

            async with aclosing(make()) as transport, anyio.create_task_group() as tasks:
                tasks.start_soon(listener.serve, greet)
                with pytest.raises((ConnectError, ConnectionLost)) as caught:
                    await transport.open(post(f"https://127.0.0.1:{port}/v1?key={KEY}"), timeout=5)
                tasks.cancel_scope.cancel()
        leaks_nothing(caught.value)

    @pytest.mark.anyio
    async def test_logs_hold_no_key(self, server: Server, make: Make, caplog: pytest.LogCaptureFixture) -> None:
        """Not even at DEBUG does any logger get the key, which is in a header and in the URL."""
        script = server.script(answer(b"x"))
        broken = server.script(head(), CLOSE)
        with caplog.at_level(logging.DEBUG):
            async with aclosing(make()) as transport:
                await fetch(transport, script)
                with pytest.raises(ConnectionLost):
                    await fetch(transport, broken)
        assert KEY not in caplog.text


def leaks_nothing(error: BaseException) -> None:
    """No key in what an error shows, up to a traceback with all local variables."""
    assert error.__cause__ is None
    assert error.__context__ is None
    shown = traceback.TracebackException.from_exception(error, capture_locals=True)
    ours = [frame for frame in shown.stack if "mellite" in frame.filename]
    assert KEY not in repr([(frame.locals, frame.line) for frame in ours])
    assert KEY not in f"{error} {error!r} {error.args}"


class TestValidation:
    """What is wrong with a request is said before a socket is opened."""

    URLS = (
        "",
        "example.com/v1",
        "ftp://example.com/",
        "file:///etc/passwd",
        "http://",
        "http:///v1",
        "http://:80/",
        "http://user:password@127.0.0.1/",
        "http://127.0.0.1:99999/",
        "http://127.0.0.1:0/",
        "http://127.0.0.1:x/",
        "http://127.0.0.1/a b",
        "http://127.0.0.1/\r\nx: y",
        "http://127.0.0.1/#fragment",
        "http://127.0.0.1/a/../b",
        "http://127.0.0.1/a/%2E%2e/b",
        "http://127.0.0.1/%",
        "http://127.0.0.1/é",
        "http://exämple.com/",
        "http://127.0.0.1\\@example.com/",
        "http://127.0.0.1/\0",
    )

    @pytest.mark.anyio
    @pytest.mark.parametrize("url", URLS)
    async def test_bad_urls(self, make: Make, url: str) -> None:
        """A URL that could mean something else, or nothing, is refused, and its query is not shown."""
        transport = make()
        with pytest.raises(InvalidRequest) as caught:
            await transport.open(post(f"{url}?key={KEY}"))
        assert caught.value.parameter == "url"
        assert "password" not in str(caught.value).replace("a user or password", "")
        leaks_nothing(caught.value)

    @pytest.mark.anyio
    @pytest.mark.parametrize(
        "value", [f"{KEY}\r\nx: y", f"{KEY}\n", f"{KEY}\0", f"{KEY}é", f"{KEY}€", f" {KEY}", f"{KEY}\x7f"]
    )
    @pytest.mark.parametrize("name", ["authorization", "x-api-key", "X-Goog-Api-Key", "cookie"])
    async def test_bad_credentials(self, make: Make, name: str, value: str) -> None:
        """A credential that cannot be sent is InvalidCredential, and is not shown."""
        with pytest.raises(InvalidCredential) as caught:
            await make().open(HttpRequest("POST", "http://127.0.0.1:1/", headers={name: value}))
        assert name.lower() in str(caught.value)
        leaks_nothing(caught.value)

    @pytest.mark.anyio
    @pytest.mark.parametrize(
        ("name", "value"),
        [("x-a", "1\r\nx-b: 2"), ("x-a", "€"), ("x a", "1"), ("", "1"), ("x-a:", "1"), ("x\r\ny", "1")]
        + [("transfer-encoding", "chunked"), ("content-length", "7"), ("expect", "100-continue"), ("upgrade", "h2c")],
    )
    async def test_bad_headers(self, make: Make, name: str, value: str) -> None:
        """A header that would break the request, or its framing, is InvalidRequest."""
        with pytest.raises(InvalidRequest) as caught:
            await make().open(HttpRequest("POST", "http://127.0.0.1:1/", headers={name: value}))
        assert caught.value.parameter == "headers"

    @pytest.mark.anyio
    async def test_bad_method(self, make: Make) -> None:
        """A method is one word."""
        with pytest.raises(InvalidRequest, match="method"):
            await make().open(HttpRequest("GET / HTTP/1.1\r\n", "http://127.0.0.1:1/"))

    def test_headers_are_str(self) -> None:
        """Headers of another type are refused when the request is made."""
        with pytest.raises(InvalidRequest, match="'x-a'"):
            HttpRequest("GET", "http://127.0.0.1/", headers={"x-a": 1})  # type: ignore[dict-item]

    def test_repr(self) -> None:
        """The repr of a request shows neither header values nor query nor body."""
        shown = repr(post(f"http://127.0.0.1/v1?key={KEY}#{KEY}", KEY.encode()))
        assert KEY not in shown
        assert shown == "HttpRequest('POST', 'http://127.0.0.1/v1?...', headers=['authorization'], body=<20 bytes>)"


@pytest.mark.parametrize("name", LOOPS)
class TestLoops:
    """One transport serves many loops, and leaves nothing behind in any."""

    def test_two_runs(self, server: Server, name: str) -> None:
        """A transport works in a second run; the end of a run closes its connections without a word."""
        script = server.script(answer(b"x"))
        transport = LOOPS[name].make()
        for _ in range(2):
            assert LOOPS[name].run(fetch(transport, script)) == b"x"
            server.no_connections()
            gc.collect()

    def test_threads(self, server: Server, name: str) -> None:
        """Loops in several threads use one transport at once."""
        script = server.script(gate("all"), answer(b"x"))
        transport = LOOPS[name].make()
        results: list[bytes] = []
        threads = [
            threading.Thread(target=lambda: results.append(LOOPS[name].run(fetch(transport, script)))) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        script.waiting(4)
        script.release("all", 4)
        for thread in threads:
            thread.join()
        assert results == [b"x"] * 4
        server.no_connections()

    def test_end_of_the_loop(self, server: Server, name: str) -> None:
        """A run that ends with an answer half read closes its connection."""
        script = server.script(head(), piece(b"one"), gate("never"))
        transport = LOOPS[name].make()

        async def main() -> None:
            async with aclosing(await transport.open(post(script))) as response:
                assert await response.read(5) == b"one"

        LOOPS[name].run(main())
        server.no_connections()

    @pytest.mark.parametrize("in_a_cycle", [False, True])
    def test_dropped(self, server: Server, name: str, in_a_cycle: bool) -> None:
        """A transport that nobody refers to any more closes its connections while the loop goes on."""
        script = server.script(answer(b"x"))

        async def main() -> None:
            transport = LOOPS[name].make()
            await fetch(transport, script)
            assert server.connections() == 1
            if in_a_cycle:
                cycle: list[Any] = [transport]
                cycle.append(cycle)
                del cycle
            del transport
            gc.collect()
            await in_thread(server.no_connections)

        LOOPS[name].run(main())

    def test_closed_from_another_loop(self, server: Server, name: str) -> None:
        """`aclose` in one loop also closes the connections in another that is still running."""
        script = server.script(answer(b"x"))
        transport = LOOPS[name].make()
        used, over = threading.Event(), threading.Event()

        async def use() -> None:
            await fetch(transport, script)
            used.set()
            await in_thread(over.wait)

        thread = threading.Thread(target=lambda: LOOPS[name].run(use()))
        thread.start()
        used.wait()
        LOOPS[name].run(transport.aclose())
        server.no_connections()
        over.set()
        thread.join()

    def test_clients_do_not_pile_up(self, server: Server, name: str) -> None:
        """What a transport keeps for a loop goes with the loop."""
        script = server.script(answer(b"x"))
        transport = LOOPS[name].make()
        loops: list[weakref.ref[Any]] = []

        async def main() -> None:
            await fetch(transport, script)
            loops.append(weakref.ref(asyncio.get_running_loop() if "asyncio" in name else trio.lowlevel.current_task()))

        for _ in range(3):
            LOOPS[name].run(main())
        gc.collect()
        assert [loop() for loop in loops] == [None, None, None]
