"""What may be done with a connection again: nothing on which anything came that nobody asked for."""

from __future__ import annotations

from contextlib import aclosing

import anyio
import pytest
from anyio.abc import ByteStream

from mellite.errors import ConnectError, ConnectionLost, InvalidProviderOutput
from mellite.wire.transports.default import HttpRequest
from mellite.wire.transports.http1 import Http1Transport
from mellite.wire.transports.http1.connecting import connect
from mellite.wire.transports.http1.incoming import Incoming
from mellite.wire.transports.http1.origins import split
from tests.wire.server import answer, gate, send, serve
from tests.wire.transports.http1.servers import OK, request_of, serving
from tests.wire.transports.http1.test_tls import GOOD, client_tls, server_tls
from tests.wire.transports.support import connecting_within, whole

pytestmark = pytest.mark.anyio

STALE = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nstale"


def ask(port: int, body: bytes = b"{}") -> HttpRequest:
    """A request to a server of a test."""
    return HttpRequest("POST", f"http://127.0.0.1:{port}/v1", body=body)


async def fetch(transport: Http1Transport, port: int, body: bytes = b"{}", connect: float = 10) -> bytes:
    """The body of the answer to one request."""
    return await whole(await transport.open(connecting_within(connect, ask(port, body)), timeout=5))


async def test_a_kept_connection_that_was_closed() -> None:
    """A server that says keep-alive and closes loses no call: each is sent once more, on a fresh connection."""
    requests: list[int] = []

    async def handle(number: int, stream: ByteStream) -> None:
        requests.append(number)
        await request_of(stream)
        await stream.send(OK)

    async with serving(handle) as port, aclosing(Http1Transport()) as transport:
        for _ in range(20):
            assert await fetch(transport, port) == b"ok"
    assert requests == list(range(1, 21))


async def test_a_request_that_meets_the_close() -> None:
    """A kept connection that is closed on the next request, before a byte of the answer: sent once more."""

    async def handle(number: int, stream: ByteStream) -> None:
        await request_of(stream)
        await stream.send(OK)
        await request_of(stream)  # and close

    async with serving(handle) as port, aclosing(Http1Transport()) as transport:
        assert [await fetch(transport, port) for _ in range(3)] == [b"ok"] * 3


async def test_never_twice() -> None:
    """The fresh connection is the last: when it is closed, too, the call fails."""
    served: list[int] = []

    async def handle(number: int, stream: ByteStream) -> None:
        await request_of(stream)
        served.append(number)
        if number == 1:
            await stream.send(OK)
            await request_of(stream)
            served.append(number)

    async with serving(handle) as port, aclosing(Http1Transport()) as transport:
        assert await fetch(transport, port) == b"ok"
        with pytest.raises(ConnectionLost, match="the server closed it"):
            await fetch(transport, port)
    assert served == [1, 1, 2]


async def test_never_on_a_fresh_one() -> None:
    """A request on a fresh connection is sent once only."""
    served: list[int] = []

    async def handle(number: int, stream: ByteStream) -> None:
        await request_of(stream)
        served.append(number)

    async with serving(handle) as port, aclosing(Http1Transport()) as transport:
        with pytest.raises(ConnectionLost):
            await fetch(transport, port)
    assert served == [1]


async def test_never_after_a_byte() -> None:
    """Once a byte of the answer has come, the request is not sent again."""
    served: list[int] = []

    async def handle(number: int, stream: ByteStream) -> None:
        await request_of(stream)
        await stream.send(OK)
        await request_of(stream)
        served.append(number)
        await stream.send(b"H")

    async with serving(handle) as port, aclosing(Http1Transport()) as transport:
        assert await fetch(transport, port) == b"ok"
        with pytest.raises(ConnectionLost):
            await fetch(transport, port)
    assert served == [1]


@pytest.mark.parametrize("extra", [STALE, b"x", STALE[:20]], ids=["answer", "byte", "part"])
async def test_bytes_on_a_resting_connection(extra: bytes) -> None:
    """Bytes that come while nobody asks are never taken for the next answer."""
    sent = anyio.Event()

    async def handle(number: int, stream: ByteStream) -> None:
        await request_of(stream)
        await stream.send(OK)
        if number == 1:
            await anyio.wait_all_tasks_blocked()
            await stream.send(extra)
            sent.set()
            await request_of(stream)

    async with serving(handle) as port, aclosing(Http1Transport()) as transport:
        assert await fetch(transport, port) == b"ok"
        await sent.wait()
        await anyio.wait_all_tasks_blocked()
        assert await fetch(transport, port) == b"ok"


@pytest.mark.parametrize("extra", [STALE, b"x", STALE[:20]], ids=["answer", "byte", "part"])
async def test_bytes_glued_to_an_answer(extra: bytes) -> None:
    """Bytes behind a whole answer, in the same packet, do not become the next one."""

    async def handle(number: int, stream: ByteStream) -> None:
        await request_of(stream)
        await stream.send(OK + (extra if number == 1 else b""))
        await request_of(stream)

    async with serving(handle) as port, aclosing(Http1Transport()) as transport:
        assert [await fetch(transport, port) for _ in range(2)] == [b"ok"] * 2


async def test_bytes_behind_a_large_answer() -> None:
    """Reading goes on while a connection rests, also where it had been held back for a body not taken in time."""
    body = bytes(300_000)
    sent, read = anyio.Event(), anyio.Event()

    async def handle(number: int, stream: ByteStream) -> None:
        await request_of(stream)
        if number > 1:
            await stream.send(OK)
        await stream.send(b"HTTP/1.1 200 OK\r\ncontent-length: 300000\r\n\r\n" + body)
        sent.set()
        await read.wait()
        await stream.send(STALE)
        await request_of(stream)

    async with serving(handle) as port, aclosing(Http1Transport()) as transport:
        response = await transport.open(ask(port), timeout=5)
        await sent.wait()
        for _ in range(5):
            await anyio.wait_all_tasks_blocked()
        assert await whole(response) == body
        read.set()
        for _ in range(5):
            await anyio.wait_all_tasks_blocked()
        assert await fetch(transport, port) == b"ok"


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
@pytest.mark.parametrize("waiting", [False, True], ids=["rests", "goes to the next"])
async def test_bytes_between_two_requests(tls: bool, waiting: bool) -> None:
    """Bytes in a packet, or a record of TLS, of their own are seen before the next request is sent."""
    read, sent, over = anyio.Event(), anyio.Event(), anyio.Event()

    async def handle(number: int, stream: ByteStream) -> None:
        await request_of(stream)
        if number > 1:
            await stream.send(OK)
        await stream.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\no")
        await read.wait()
        await stream.send(b"k")
        await stream.send(STALE)
        sent.set()
        await request_of(stream)

    async def next_one() -> None:
        assert await whole(await transport.open(request, timeout=5)) == b"ok"
        over.set()

    async with (
        serving(handle, server_tls(GOOD) if tls else None) as port,
        aclosing(Http1Transport(max_connections=1, ssl_context=client_tls())) as transport,
        anyio.create_task_group() as tasks,
    ):
        request = HttpRequest("POST", f"http{'s' * tls}://127.0.0.1:{port}/", body=b"{}")
        response = await transport.open(request, timeout=5)
        assert await response.read(5) == b"o"
        if waiting:
            tasks.start_soon(next_one)
            await anyio.wait_all_tasks_blocked()
        read.set()
        await sent.wait()
        assert await response.read(5) == b"k"
        await response.aclose()
        await next_one()
        await over.wait()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
    ],
    ids=["close", "1.0"],
)
async def test_not_kept(answer: bytes) -> None:
    """A connection that the server will close is not used again, though it is still open."""
    numbers: list[int] = []

    async def handle(number: int, stream: ByteStream) -> None:
        while True:
            await request_of(stream)
            numbers.append(number)
            await stream.send(answer)

    async with serving(handle) as port, aclosing(Http1Transport()) as transport:
        assert [await fetch(transport, port) for _ in range(2)] == [b"ok"] * 2
    assert numbers == [1, 2]


async def test_the_queue_is_fair() -> None:
    """Requests beyond the limit are sent in the order in which they came, to whatever host."""
    order: list[bytes] = []

    async def handle(number: int, stream: ByteStream) -> None:
        while True:
            request = await request_of(stream)
            order.append(request.rpartition(b"\r\n\r\n")[2])
            await anyio.wait_all_tasks_blocked()
            await stream.send(OK)

    async with (
        serving(handle) as one,
        serving(handle) as other,
        aclosing(Http1Transport(max_connections=1)) as transport,
        anyio.create_task_group() as tasks,
    ):
        for number in range(10):
            tasks.start_soon(fetch, transport, (one, other)[number % 3 == 0], b"%d" % number)
            await anyio.wait_all_tasks_blocked()
    assert order == [b"%d" % number for number in range(10)]


async def test_one_who_gives_up_in_the_queue_holds_no_place() -> None:
    """A cancelled request leaves the queue; the others get their turn."""
    go = anyio.Event()

    async def handle(number: int, stream: ByteStream) -> None:
        while True:
            await request_of(stream)
            await go.wait()
            await stream.send(OK)

    async with serving(handle) as port, aclosing(Http1Transport(max_connections=1)) as transport:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(fetch, transport, port)
            await anyio.wait_all_tasks_blocked()
            with anyio.move_on_after(0.01):
                await fetch(transport, port)
            tasks.start_soon(fetch, transport, port)
            await anyio.wait_all_tasks_blocked()
            go.set()
        assert await fetch(transport, port) == b"ok"


async def test_waiting_for_a_place_is_not_connecting() -> None:
    """The clock of connecting does not run while a request waits for a place."""
    go = anyio.Event()

    async def handle(number: int, stream: ByteStream) -> None:
        while True:
            await request_of(stream)
            await go.wait()
            await stream.send(OK)

    async with (
        serving(handle) as port,
        aclosing(Http1Transport(max_connections=1)) as transport,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(fetch, transport, port, b"", 0.2)
        tasks.start_soon(fetch, transport, port, b"", 0.2)
        await anyio.sleep(0.4)
        go.set()


async def test_a_server_that_takes_no_connection() -> None:
    """Connecting has a clock of its own, and the error says so."""
    async with await anyio.create_tcp_listener(local_host="127.0.0.1", backlog=1) as listener:
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        async with anyio.create_task_group() as tasks:
            for _ in range(8):  # more than the backlog takes: the rest is left without an answer
                tasks.start_soon(_hold, port)
            await anyio.wait_all_tasks_blocked()
            async with aclosing(Http1Transport()) as transport:
                with pytest.raises(ConnectError, match=r"no connection within 0\.2 s") as caught:
                    await transport.open(connecting_within(0.2, ask(port)))
            assert caught.value.retryable
            tasks.cancel_scope.cancel()


async def _hold(port: int) -> None:
    async with await anyio.connect_tcp("127.0.0.1", port):
        await anyio.sleep_forever()


async def test_bytes_that_the_loop_has_not_seen() -> None:
    """Bytes that came while the loop was held up, and that it has not looked at, are not the next answer either."""
    with serve() as server:
        script = server.script(*answer(b"ok"), gate("more"), send(STALE), gate("never"))
        async with aclosing(Http1Transport()) as transport:
            request = HttpRequest("POST", script.url, body=b"{}")
            assert await whole(await transport.open(request, timeout=5)) == b"ok"
            script.release("more")  # the loop is held up by this, and by the next line
            assert server.connections() == 1
            following = server.script(answer(b"fresh"))
            request = HttpRequest("POST", following.url, body=b"{}")
            assert await whole(await transport.open(request, timeout=5)) == b"fresh"


GREETINGS = {"a greeting": b"220 mail ESMTP\r\n", "an answer": STALE, "part of one": STALE[:20]}


@pytest.mark.parametrize("greeting", GREETINGS)
async def test_a_server_that_speaks_first(greeting: str) -> None:
    """What comes on a fresh connection before the request is not its answer, and the request is not sent."""
    spoken = anyio.Event()
    asked: list[bytes] = []

    async def handle(number: int, stream: ByteStream) -> None:
        await stream.send(GREETINGS[greeting])
        spoken.set()
        asked.append(await request_of(stream))

    async with serving(handle) as port:
        origin, _ = split(f"http://127.0.0.1:{port}/")
        connection = await connect(origin, tls=None, proxy=None)
        await spoken.wait()
        incoming = Incoming("POST")
        await connection.send(b"POST / HTTP/1.1\r\n\r\n", b"", incoming, None)
        while incoming.error is None and not incoming.has_head:
            await connection.wait(5)
        assert str(incoming.error) == "it came before it was asked for"
        connection.abort()
        await anyio.wait_all_tasks_blocked()
    assert asked == []


@pytest.mark.parametrize("turns", range(6))
async def test_a_greeting_is_no_answer(turns: int) -> None:
    """A server that greets is told by the same error whenever its greeting comes, and is not asked again."""
    numbers: list[int] = []

    async def handle(number: int, stream: ByteStream) -> None:
        numbers.append(number)
        for _ in range(turns):
            await anyio.lowlevel.checkpoint()
        await stream.send(GREETINGS["a greeting"])
        await stream.receive()

    async with serving(handle) as port, aclosing(Http1Transport()) as transport:
        with pytest.raises(InvalidProviderOutput, match="breaks the rules of HTTP") as caught:
            await fetch(transport, port)
    assert caught.value.retryable is False
    assert numbers == [1]
