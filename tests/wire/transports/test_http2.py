"""Many answers over one connection of HTTP/2, each of which can end by itself, seen from both sides."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import anyio
import pytest
from anyio.abc import ByteStream
from h2.errors import ErrorCodes
from h2.settings import SettingCodes

import mellite
from mellite.errors import ConnectError, ConnectionLost, InvalidProviderOutput
from mellite.wire.http import HttpRequest, HttpResponse
from mellite.wire.transports.httpx2 import Httpx2Transport
from tests.wire.transports.http1.servers import OK, request_of, serving
from tests.wire.transports.http2_server import Exchange, Handle, Http2Server, client_tls, server_tls, serving_http2
from tests.wire.transports.support import KEY, leaks_nothing, post, read_all, whole

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """The loop of a test."""
    return str(request.param)


@asynccontextmanager
async def asking(
    handle: Handle, settings: dict[SettingCodes, int] | None = None, **options: int
) -> AsyncIterator[tuple[Http2Server, Httpx2Transport]]:
    """A server and a transport that trusts it."""
    with anyio.fail_after(60):
        async with serving_http2(handle, settings) as server:
            transport = Httpx2Transport(http2=True, ssl_context=client_tls(), **options)
            try:
                yield server, transport
            finally:
                await transport.aclose()


async def echo(exchange: Exchange) -> None:
    """Answer with what was asked."""
    await exchange.sent.wait()
    await exchange.answer(exchange.body)


async def counting(exchange: Exchange) -> None:
    """Send a piece every now and then, until nobody wants them."""
    await exchange.head()
    with anyio.move_on_after(20):
        while not exchange.given_up.is_set():
            await exchange.piece(b"x")
            with anyio.move_on_after(0.002):
                await exchange.given_up.wait()


async def silent(exchange: Exchange) -> None:
    """Never answer."""
    await exchange.given_up.wait()


def by_path(**handlers: Handle) -> Handle:
    """Answer by the first part of the path."""

    async def handle(exchange: Exchange) -> None:
        await handlers[exchange.headers[":path"].split("/")[1]](exchange)

    return handle


async def open_at(transport: Httpx2Transport, url: str, body: bytes = b"{}") -> HttpResponse:
    """The head of the answer to a request, within a time that only tells from waiting for ever."""
    return await transport.open(post(url, body), timeout=60)


async def read_whole(transport: Httpx2Transport, url: str, got: list[bytes]) -> None:
    """Ask, and append the pieces of the answer as they come."""
    await read_all(await open_at(transport, url), got)


async def test_unary() -> None:
    """What is sent arrives as given, the answer is the server's, and one connection takes request after request."""

    async def handle(exchange: Exchange) -> None:
        await exchange.sent.wait()
        await exchange.head(201, x_request_id="r1")
        await exchange.piece(b"done", last=True)

    async with asking(handle) as (server, transport):
        for _ in range(3):
            request = HttpRequest(
                "POST", f"{server.url}/a%2Fb?q=%20/+?x", headers={"X-Api-Key": KEY, "Connection": "close"}, body=b"{}"
            )
            response = await transport.open(request, timeout=5)
            assert (response.status, dict(response.headers)) == (201, {"x-request-id": "r1"})
            assert await whole(response) == b"done"
        assert len(server.connections) == 1
        assert [exchange.body for exchange in server.exchanges] == [b"{}"] * 3
        assert server.exchanges[0].headers == {
            ":method": "POST",
            ":authority": server.url.removeprefix("https://"),
            ":scheme": "https",
            ":path": "/a%2Fb?q=%20/+?x",
            "x-api-key": KEY,
            "accept": "*/*",
            "accept-encoding": "gzip, deflate",
            "user-agent": "mellite",
            "content-length": "2",
        }


async def test_without_a_body() -> None:
    """A request without a body ends with its headers."""
    async with asking(echo) as (server, transport):
        assert await whole(await transport.open(HttpRequest("GET", server.url), timeout=5)) == b""
        assert "content-length" not in server.exchanges[0].headers


async def test_large_bodies() -> None:
    """Bodies larger than every window go both ways whole, several at once."""
    body = bytes(range(256)) * 12_000

    async def one() -> None:
        assert await whole(await open_at(transport, server.url, body)) == body

    async with asking(echo) as (server, transport), anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(one)


async def test_pieces_as_they_arrive() -> None:
    """Each piece is handed on when it arrives, also where another stream is the one that reads."""
    asked = {name: anyio.Event() for name in "ab"}

    async def handle(exchange: Exchange) -> None:
        name = exchange.headers[":path"][1]
        await exchange.head()
        for i in range(20):
            await asked[name].wait()
            asked[name] = anyio.Event()
            await exchange.piece(b"%d" % i)
        await exchange.piece(b"", last=True)

    async with asking(by_path(quiet=silent, a=handle, b=handle)) as (server, transport):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(open_at, transport, f"{server.url}/quiet")
            await anyio.wait_all_tasks_blocked()
            responses = {name: await open_at(transport, f"{server.url}/{name}") for name in "ab"}
            for i in range(20):
                for name, response in responses.items():
                    asked[name].set()
                    assert await response.read(2) == b"%d" % i
            for response in responses.values():
                assert await response.read(2) == b""
            tasks.cancel_scope.cancel()
        assert len(server.connections) == 1


async def test_many_streams_over_one_connection() -> None:
    """A hundred requests at once, which are all under way before the first is answered, share a connection."""
    all_there = anyio.Event()

    async def handle(exchange: Exchange) -> None:
        if len(server.exchanges) == 100:
            all_there.set()
        await all_there.wait()
        await echo(exchange)

    async def one(number: int) -> None:
        assert await whole(await open_at(transport, server.url, b"%d" % number)) == b"%d" % number

    async with asking(handle) as (server, transport):
        async with anyio.create_task_group() as tasks:
            for number in range(100):
                tasks.start_soon(one, number)
        assert len(server.connections) == 1


async def test_more_requests_than_streams() -> None:
    """What a server does not take over one connection goes over others, up to the limit; the rest waits."""

    async def one(number: int) -> None:
        assert await whole(await open_at(transport, server.url, b"%d" % number)) == b"%d" % number

    limit = {SettingCodes.MAX_CONCURRENT_STREAMS: 3}
    async with asking(echo, limit, max_connections=2) as (server, transport):
        async with anyio.create_task_group() as tasks:
            for number in range(40):
                tasks.start_soon(one, number)
        assert len(server.connections) == 2
        assert len(server.exchanges) == 40


@pytest.mark.parametrize("stage", ["before the head", "in the body", "while reading"])
async def test_giving_up_resets_the_stream(stage: str) -> None:
    """The server is told at once that an answer is not wanted any more; the others on its connection go on."""
    asked = anyio.Event()

    async def handle(exchange: Exchange) -> None:
        asked.set()
        await silent(exchange)

    async with asking(by_path(counting=counting, silent=handle)) as (server, transport):
        other = await open_at(transport, f"{server.url}/counting")
        if stage == "before the head":
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(transport.open, post(f"{server.url}/silent"))
                await asked.wait()
                tasks.cancel_scope.cancel()
        else:
            response = await open_at(transport, f"{server.url}/counting")
            if stage == "while reading":
                with anyio.move_on_after(0.1):
                    while await response.read():
                        pass
            await response.aclose()
        given_up = server.exchanges[1]
        with anyio.fail_after(20):
            await given_up.given_up.wait()
        assert given_up.code == ErrorCodes.CANCEL
        for _ in range(5):
            assert await other.read(2)
        assert len(server.connections) == 1
        await other.aclose()


async def test_many_given_up_at_any_point() -> None:
    """Whenever requests are given up, the connection stays whole: its other streams and the next request go on."""
    async with asking(by_path(counting=counting, echo=echo)) as (server, transport):
        other = await open_at(transport, f"{server.url}/counting")
        scopes = [anyio.CancelScope() for _ in range(80)]

        async def one(scope: anyio.CancelScope) -> None:
            with scope:
                await whole(await transport.open(post(f"{server.url}/counting", bytes(3000))))

        async with anyio.create_task_group() as tasks:
            for scope in scopes:
                tasks.start_soon(one, scope)
            for scope in scopes:
                await anyio.lowlevel.checkpoint()
                scope.cancel()
        assert await whole(await open_at(transport, f"{server.url}/echo", b"next")) == b"next"
        assert await other.read(2)
        await other.aclose()
        for exchange in server.exchanges:
            await (exchange.sent if exchange.headers[":path"] == "/echo" else exchange.given_up).wait()
        assert len(server.connections) == 1


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_cancelled_tasks_of_asyncio() -> None:
    """The same where asyncio itself cancels tasks, which no scope can shield from."""
    async with asking(by_path(counting=counting, echo=echo)) as (server, transport):
        other = await open_at(transport, f"{server.url}/counting")
        for turns in range(40):
            task = asyncio.create_task(open_at(transport, f"{server.url}/counting", bytes(3000)))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                await task.result().aclose()
        assert await whole(await open_at(transport, f"{server.url}/echo", b"next")) == b"next"
        assert await other.read(2)
        await other.aclose()
        assert len(server.connections) == 1


async def test_timeouts_are_of_each_stream() -> None:
    """A stream that is silent for too long ends alone."""
    async with asking(by_path(counting=counting, silent=silent, stalling=stalling)) as (server, transport):
        other = await open_at(transport, f"{server.url}/counting")
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            await transport.open(post(f"{server.url}/silent"), timeout=0.2)
        stalled = await open_at(transport, f"{server.url}/stalling")
        assert await stalled.read(5) == b"first"
        with pytest.raises(TimeoutError) as caught:
            await stalled.read(0.2)
        await stalled.aclose()
        assert 0.4 <= time.monotonic() - began < 20
        leaks_nothing(caught.value)
        for exchange in server.exchanges[1:]:
            await exchange.given_up.wait()
        assert await other.read(2)
        assert len(server.connections) == 1
        await other.aclose()


async def stalling(exchange: Exchange) -> None:
    """Send one piece and no more."""
    await exchange.head()
    await exchange.piece(b"first")
    await exchange.given_up.wait()


@pytest.mark.parametrize("begun", [False, True])
async def test_reset_by_the_server(begun: bool) -> None:
    """A stream that the server resets is lost, which may be tried again; what came before has been handed on."""

    async def handle(exchange: Exchange) -> None:
        if begun:
            await exchange.head()
            await exchange.piece(b"first")
        await exchange.reset(ErrorCodes.INTERNAL_ERROR)

    async with asking(by_path(counting=counting, reset=handle)) as (server, transport):
        other = await open_at(transport, f"{server.url}/counting")
        got: list[bytes] = []
        with pytest.raises(ConnectionLost, match=r"the server reset the stream \(INTERNAL_ERROR\)") as caught:
            await read_whole(transport, f"{server.url}/reset", got)
        assert b"".join(got) == (b"first" if begun else b"")
        assert (caught.value.retryable, caught.value.ending) == (True, "reset")
        leaks_nothing(caught.value)
        assert await other.read(2)
        await other.aclose()


async def test_refused_streams_are_tried_again_once() -> None:
    """What a server says it did nothing about is sent again, once."""

    async def refuse(exchange: Exchange) -> None:
        await exchange.reset(ErrorCodes.REFUSED_STREAM)

    async def refuse_first(exchange: Exchange) -> None:
        await (refuse if exchange.number == 1 else echo)(exchange)

    async with asking(by_path(first=refuse_first, always=refuse)) as (server, transport):
        assert await whole(await open_at(transport, f"{server.url}/first", b"kept")) == b"kept"
        with pytest.raises(ConnectionLost, match="REFUSED_STREAM"):
            await open_at(transport, f"{server.url}/always")
        assert len(server.exchanges) == 4


async def test_going_away() -> None:
    """After GOAWAY, answers under way come whole; what the server has not looked at goes over another connection."""
    go_on = anyio.Event()

    async def handle(exchange: Exchange) -> None:
        if exchange.connection == 2:
            await echo(exchange)
        elif exchange.number == 1:
            await exchange.head()
            await exchange.piece(b"first")
            await go_on.wait()
            await exchange.piece(b"last", last=True)
        else:
            await exchange.speaker.goaway(1)

    async with asking(handle) as (server, transport):
        response = await open_at(transport, server.url)
        assert await response.read(5) == b"first"
        assert await whole(await open_at(transport, server.url, b"moved")) == b"moved"
        go_on.set()
        assert await whole(response) == b"last"
        with anyio.fail_after(20):  # then the connection is closed
            await server.connections[0].exchanges[3].given_up.wait()


async def test_closed_between_two_requests() -> None:
    """A connection that the server has left while it was idle costs no request."""
    for leave in ("goaway", "close"):

        async def handle(exchange: Exchange) -> None:
            await echo(exchange)
            if exchange.connection == 1:
                if leave == "goaway":  # noqa: B023
                    await exchange.speaker.goaway(exchange.number)
                else:
                    await exchange.speaker.stream.aclose()

        async with asking(handle) as (server, transport):
            for number in (1, 2):
                assert await whole(await open_at(transport, server.url, b"x")) == b"x"
                await anyio.wait_all_tasks_blocked()
                await anyio.sleep(0.05)
                assert len(server.connections) == number


async def test_a_connection_that_breaks() -> None:
    """All answers under way are lost, each with an error of its own; the next request has a new connection."""

    async def breaking(exchange: Exchange) -> None:
        if exchange.connection == 1:
            await exchange.speaker.stream.aclose()
        else:
            await echo(exchange)

    async with asking(by_path(counting=counting, breaking=breaking)) as (server, transport):
        responses = [await open_at(transport, f"{server.url}/counting") for _ in range(2)]
        with pytest.raises(ConnectionLost) as caught:
            await open_at(transport, f"{server.url}/breaking")
        assert caught.value.ending == "cut"
        leaks_nothing(caught.value)
        for response in responses:
            with pytest.raises(ConnectionLost):
                await whole(response)
        assert await whole(await open_at(transport, f"{server.url}/breaking", b"new")) == b"new"


@pytest.mark.parametrize(
    "data", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0\0\x05\0\0\0\0\0\0hello", b"\0\0\1\x06\0\0\0\0\0x"]
)
async def test_what_is_not_http2(data: bytes) -> None:
    """Bytes that break the rules are an error that says so."""

    async def handle(exchange: Exchange) -> None:
        await exchange.speaker.raw(data)

    async with asking(handle) as (server, transport):
        with pytest.raises(InvalidProviderOutput, match="breaks the rules of HTTP") as caught:
            await open_at(transport, server.url)
        leaks_nothing(caught.value)


async def test_a_slow_reader_holds_nobody_up() -> None:
    """An answer that nobody reads stops at the window of its stream, and the others come."""

    async def endless(exchange: Exchange) -> None:
        await exchange.answer(bytes(50_000_000))

    async with asking(by_path(endless=endless, echo=echo)) as (server, transport):
        response = await open_at(transport, f"{server.url}/endless")
        body = bytes(500_000)
        for _ in range(5):
            assert await whole(await open_at(transport, f"{server.url}/echo", body)) == body
        assert server.exchanges[0].room() == 0
        await response.aclose()
        await server.exchanges[0].given_up.wait()
        assert await whole(await open_at(transport, f"{server.url}/echo", body)) == body


async def test_refused_while_it_is_sent() -> None:
    """A request whose body the server does not take is answered all the same."""

    async def handle(exchange: Exchange) -> None:
        exchange.taking = False
        await exchange.head(413)
        await exchange.piece(b"too large", last=True)

    async with asking(handle) as (server, transport):
        response = await open_at(transport, server.url, bytes(10_000_000))
        assert (response.status, await whole(response)) == (413, b"too large")
        await server.exchanges[0].given_up.wait()
        assert len(server.exchanges[0].body) < 1_000_000


async def test_the_transport_is_closed() -> None:
    """Answers under way are lost, and the error says on which side."""
    async with asking(counting) as (server, transport):
        response = await open_at(transport, server.url)
        await transport.aclose()
        with pytest.raises(ConnectionLost, match="closed on this side") as caught:
            await whole(response)
        assert caught.value.ending is None
        await server.exchanges[0].given_up.wait()


@pytest.mark.parametrize("spoken", [("http/1.1",), ()])
async def test_a_server_without_http2(spoken: tuple[str, ...]) -> None:
    """HTTP/1.1 is spoken with a server that has nothing else, or says nothing; each request has a connection."""
    there = anyio.Event()
    count = 0

    async def handle(number: int, stream: ByteStream) -> None:
        nonlocal count
        while True:
            await request_of(stream)
            count += 1
            if count == 5:
                there.set()
            await there.wait()
            await stream.send(OK)

    async def one() -> None:
        assert await whole(await open_at(transport, f"https://127.0.0.1:{port}")) == b"ok"

    tls = server_tls(*spoken)
    async with (
        serving(handle, tls) as port,
        aclosing(Httpx2Transport(http2=True, ssl_context=client_tls())) as transport,
    ):
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(one)
        await one()


async def test_an_untrusted_server() -> None:
    """All requests that wait for a connection are told that the server is not trusted."""
    said: list[bool | None] = []

    async def one() -> None:
        with pytest.raises(ConnectError, match="not trusted: unable to get local issuer certificate") as caught:
            await open_at(transport, server.url)
        leaks_nothing(caught.value)
        said.append(caught.value.retryable)

    async with (
        serving_http2(echo) as server,
        aclosing(Httpx2Transport(http2=True)) as transport,
        anyio.create_task_group() as requests,
    ):
        for _ in range(5):
            requests.start_soon(one)
    assert said == [False] * 5


async def test_no_connection() -> None:
    """One attempt that fails goes for all requests that wait for it."""
    numbers: list[int] = []

    async def handle(number: int, stream: ByteStream) -> None:
        numbers.append(number)
        await stream.receive()

    async def one() -> None:
        with pytest.raises(ConnectError, match="closed it") as caught:
            await open_at(transport, f"https://127.0.0.1:{port}")
        assert caught.value.retryable
        leaks_nothing(caught.value)

    async with (
        serving(handle) as port,
        aclosing(Httpx2Transport(http2=True)) as transport,
        anyio.create_task_group() as requests,
    ):
        for _ in range(5):
            requests.start_soon(one)
    assert numbers == [1]


async def test_given_up_while_connecting() -> None:
    """The request that makes the connection is given up; the next one that waits for it makes it."""

    async def one() -> None:
        assert await whole(await open_at(transport, server.url, b"x")) == b"x"

    async with asking(echo) as (server, transport), anyio.create_task_group() as tasks:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as first:
                first.start_soon(open_at, transport, server.url)
                for _ in range(3):
                    await anyio.lowlevel.checkpoint()
                tasks.start_soon(one)
                tasks.start_soon(one)
                await anyio.lowlevel.checkpoint()
                scope.cancel()


async def test_a_generation_that_is_cancelled() -> None:
    """A stream of a model's answer comes piece by piece, and the server is told when the thunk is cancelled."""

    async def handle(exchange: Exchange) -> None:
        await exchange.sent.wait()
        await exchange.head(content_type="text/event-stream")
        for number in range(10_000):
            chunk = {"choices": [{"index": 0, "delta": {"content": f"{number} "}, "finish_reason": None}]}
            await exchange.piece(f"data: {json.dumps(chunk)}\n\n".encode())
            await anyio.sleep(0.005)

    async with asking(handle) as (server, transport):
        backend = mellite.backend("openai-chat:m", base_url=f"{server.url}/v1", api_key=KEY, transport=transport)
        thunk = backend.generate("Count.")
        got = ""
        async for piece in thunk.astream():
            got += piece
            if "5" in got:
                break
        thunk.cancel()
        await server.exchanges[0].given_up.wait()
        assert got.startswith("0 1 2 3 4 5")
        assert server.exchanges[0].code == ErrorCodes.CANCEL


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("package", ["h2", "httpcore2"])
async def test_without_the_packages(package: str) -> None:
    """What is missing is named where HTTP/2 is asked for, with the command that installs it."""
    code = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "from mellite.errors import MissingExtra\n"
        "from mellite.wire.transports.httpx2 import Httpx2Transport\n"
        "Httpx2Transport()\n"
        "try: Httpx2Transport(http2=True)\n"
        "except MissingExtra as error: print(error)\n"
    )
    said = await anyio.run_process([sys.executable, "-c", code])
    assert said.stdout.decode().strip() == (
        f"Httpx2Transport(http2=True) needs {package}: pip install 'mellite[http2]'"
    )


async def test_logs_hold_no_key(caplog: pytest.LogCaptureFixture) -> None:
    """Not even at DEBUG does any logger get the key, which is in a header."""
    with caplog.at_level(logging.DEBUG):
        async with asking(echo) as (server, transport):
            for _ in range(2):
                await whole(await transport.open(post(server.url, **{"x-api-key": KEY}), timeout=5))
    assert KEY not in caplog.text
    assert "Encoded header block" not in caplog.text
