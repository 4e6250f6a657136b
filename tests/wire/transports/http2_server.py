"""A server that speaks HTTP/2 over TLS, for one test: what is done for each request is a function of the test."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings
import trustme
from anyio.abc import ByteStream, TaskGroup

from tests.wire.transports.http1.servers import GONE, serving

CA = trustme.CA()
CERT = CA.issue_cert("127.0.0.1", "localhost")


def server_tls(*protocols: str) -> ssl.SSLContext:
    """The settings of a server that speaks these protocols, by their names in ALPN."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    CERT.configure_cert(tls)
    if protocols:
        tls.set_alpn_protocols(list(protocols))
    return tls


def client_tls() -> ssl.SSLContext:
    """The settings of a client that trusts the CA of these tests."""
    tls = ssl.create_default_context()
    CA.configure_trust(tls)
    return tls


class Exchange:
    """A request as it comes, and the means to answer it.

    Attributes:
        number: the number of its stream.
        connection: which connection it came on; the first is 1.
        headers: with those that begin with a colon.
        body: what has come of it.
        taking: whether the client may send more of it.
        sent: set when all of it has come.
        given_up: set when the client has reset the stream, or gone.
        code: the error code with which it was reset.
    """

    def __init__(self, speaker: Speaker, event: h2.events.RequestReceived) -> None:
        self.speaker = speaker
        self.connection = speaker.number
        self.number = event.stream_id or 0
        self.headers = {name.decode(): value.decode() for name, value in event.headers or []}
        self.body = b""
        self.taking = True
        self.sent = anyio.Event()
        self.given_up = anyio.Event()
        self.code: int | None = None

    async def head(self, status: int = 200, **headers: str) -> None:
        """Send status and headers."""
        fields = [(":status", str(status)), *((name.replace("_", "-"), value) for name, value in headers.items())]
        self.speaker.state.send_headers(self.number, fields)
        await self.speaker.flush()

    async def piece(self, data: bytes, *, last: bool = False) -> None:
        """Send a piece of the body, which must fit into a frame."""
        self.speaker.state.send_data(self.number, data, end_stream=last)
        await self.speaker.flush()

    async def answer(self, data: bytes, status: int = 200) -> None:
        """Send a whole answer, as fast as the client takes it."""
        await self.head(status)
        rest = memoryview(data)
        while len(rest) > (room := self.room()):
            if room:
                self.speaker.state.send_data(self.number, bytes(rest[:room]))
                rest = rest[room:]
                await self.speaker.flush()
            else:
                self.speaker.more_room = anyio.Event()
                await self.speaker.more_room.wait()
        await self.piece(bytes(rest), last=True)

    def room(self) -> int:
        """How many bytes the client takes now."""
        return min(self.speaker.state.local_flow_control_window(self.number), 16_384)

    async def reset(self, code: int) -> None:
        """Reset the stream."""
        self.speaker.state.reset_stream(self.number, code)
        await self.speaker.flush()


Handle = Callable[[Exchange], Awaitable[None]]


class Speaker:
    """One connection of the server.

    Attributes:
        exchanges: the requests, by the numbers of their streams.
        received: all events of h2's, in order.
    """

    def __init__(self, number: int, stream: ByteStream, handle: Handle, settings: dict[int, int]) -> None:
        self.number = number
        self.stream = stream
        self.handle = handle
        self.exchanges: dict[int, Exchange] = {}
        self.received: list[h2.events.Event] = []
        self.more_room = anyio.Event()
        self.state = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding=None))
        self.state.local_settings = h2.settings.Settings(client=False, initial_values=settings)
        self._lock = anyio.Lock()

    async def flush(self) -> None:
        """Send what h2 has to send."""
        async with self._lock:
            if data := self.state.data_to_send():
                await self.stream.send(data)

    async def raw(self, data: bytes) -> None:
        """Send bytes past h2."""
        await self.flush()
        async with self._lock:
            await self.stream.send(data)

    async def goaway(self, last: int, code: int = 0) -> None:
        """Say that no stream after this one is answered; the connection goes on."""
        await self.raw(b"\0\0\x08\x07\0" + bytes(4) + last.to_bytes(4, "big") + code.to_bytes(4, "big"))

    async def run(self) -> None:
        """Serve the connection."""
        self.state.initiate_connection()
        try:
            async with anyio.create_task_group() as tasks:
                await self.flush()
                while True:
                    for event in self.state.receive_data(await self.stream.receive()):
                        self.received.append(event)
                        self.take(event, tasks)
                    await self.flush()
        except* GONE:
            pass
        finally:
            for exchange in self.exchanges.values():
                exchange.given_up.set()

    def take(self, event: h2.events.Event, tasks: TaskGroup) -> None:
        """Note one event."""
        exchange = self.exchanges.get(getattr(event, "stream_id", 0) or 0)
        if isinstance(event, h2.events.RequestReceived):
            exchange = Exchange(self, event)
            self.exchanges[exchange.number] = exchange
            tasks.start_soon(self.serve, exchange)
        elif isinstance(event, h2.events.WindowUpdated):
            self.more_room.set()
        elif exchange is None:
            return
        elif isinstance(event, h2.events.DataReceived):
            exchange.body += event.data or b""
            if exchange.taking:
                self.state.acknowledge_received_data(event.flow_controlled_length or 0, exchange.number)
        elif isinstance(event, h2.events.StreamEnded):
            exchange.sent.set()
        elif isinstance(event, h2.events.StreamReset):
            exchange.code = event.error_code
            exchange.given_up.set()

    async def serve(self, exchange: Exchange) -> None:
        """Do what the test says."""
        with suppress(h2.exceptions.ProtocolError, *GONE):
            await self.handle(exchange)


class Http2Server:
    """What a test knows of the server."""

    def __init__(self) -> None:
        self.url = ""
        self.connections: list[Speaker] = []

    @property
    def exchanges(self) -> list[Exchange]:
        """All requests, in order."""
        return [exchange for each in self.connections for exchange in each.exchanges.values()]


@asynccontextmanager
async def serving_http2(handle: Handle, settings: dict[Any, int] | None = None) -> AsyncIterator[Http2Server]:
    """Serve HTTP/2 until the block ends.

    Args:
        handle: called for each request, when its headers have come.
        settings: of HTTP/2, by their codes.
    """
    server = Http2Server()

    async def connected(number: int, stream: ByteStream) -> None:
        speaker = Speaker(number, stream, handle, settings or {})
        server.connections.append(speaker)
        await speaker.run()

    async with serving(connected, server_tls("h2")) as port:
        server.url = f"https://127.0.0.1:{port}"
        yield server
