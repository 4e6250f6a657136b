"""The connections of clients to servers of mellite's: how many at once, and how long heads and readers may take."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import struct
import sys
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from aiohttp import web

from ..values.provider_json import JsonObject
from .client_progress import unread_bytes

if TYPE_CHECKING:
    from aiohttp import StreamReader
    from aiohttp.http_parser import RawRequestMessage

__all__ = ["REQUEST_SECONDS", "SEND_SECONDS", "Connection", "WatchedServer", "reset"]

#: Seconds that the head of a request may take, unless somebody says otherwise.
REQUEST_SECONDS: Final = 30.0

#: Seconds for which a client may take nothing of what waits for it, unless somebody says otherwise.
SEND_SECONDS: Final = 60.0

#: Seconds for which a connection stays open on which no request comes: longer than pools of clients keep theirs.
_IDLE: Final = 300.0

#: Seconds, at most, for which the rest of a refused body is read, so that its client sees why it was refused.
_LINGERING: Final = 10.0

#: How many clients may wait to be accepted.
_BACKLOG: Final = 4096

#: How many of them are accepted in one turn of the loop. asyncio takes the backlog for this number, and reports a
#: failure for each: where files run out, thousands of reports a second would leave it no time to recover.
_AT_ONCE: Final = 4

#: Files where the system has no limit for them.
_WITHOUT_LIMIT: Final = 1_000_000

#: The most bytes that the kernel takes for a client beyond those on their way. Without a bound it takes megabytes for
#: each client that reads nothing, and then tells only of each megabyte that it is read.
_UNSENT: Final = 128 * 1024

#: How often it is looked, in the time that a client has, whether it takes anything.
_LOOKS: Final = 4

#: The body of a request, in bytes, where the handler reads none.
_NO_BODY: Final = 0

#: A linger time of 0: closing resets the connection.
_ABORTIVE: Final = struct.pack("ii", 1, 0)

#: Where aiohttp tells of requests that are none: they are answered, and nobody here has to be told.
_SILENT: Final = logging.Logger("mellite.server", logging.CRITICAL)  # noqa: LOG001 - nobody else is to find it

#: Returns the body of a refusal, from its status and what is to be said.
Refusal: TypeAlias = Callable[[int, str], JsonObject]


class _HeadClock:
    """Runs from the first byte of a head to its last, however many come in between.

    Args:
        patience: seconds that a head may take.
        late: is called when one takes longer.
    """

    def __init__(self, patience: float, late: Callable[[], None]) -> None:
        self._patience = patience
        self._late = late
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.Handle | None = None
        self._since: float | None = None

    def start(self) -> None:
        """Start, unless the clock runs. One timer serves all heads of a period: most end long before it rings."""
        if self._since is None:
            self._since = self._loop.time()
            if self._timer is None:
                self._timer = self._loop.call_at(self._since + self._patience, self._ring)

    def stop(self) -> None:
        """Stop: the head is there."""
        self._since = None

    def close(self) -> None:
        """End for good."""
        self.stop()
        if self._timer is not None:
            self._timer.cancel()

    def _ring(self) -> None:
        self._timer = None
        if self._since is None:
            return
        due = self._since + self._patience
        if self._loop.time() < due:
            self._timer = self._loop.call_at(due, self._ring)
        else:  # a turn later: if this process stood still, the rest of the head may just have been read
            self._timer = self._loop.call_soon(self._drop)

    def _drop(self) -> None:
        self._timer = None
        if self._since is not None:
            self._late()


class _SendClock:
    """Runs while bytes wait for a client, and begins anew whenever it takes some of them.

    What the transport has left is looked at first. TCP lets that shrink in large steps, so that before a client is
    given up, what its program has read is looked at, where the system tells.

    It counts looks rather than seconds: a process that stood still has not looked, and drops nobody for it.

    Args:
        patience: seconds for which the client may take nothing.
        transport: holds what waits.
        late: is called when nothing was taken for longer.
    """

    def __init__(self, patience: float, transport: asyncio.WriteTransport, late: Callable[[], None]) -> None:
        self._period = patience / _LOOKS
        self._transport = transport
        self._late = late
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._is_running = False
        self._waiting = 0  # bytes, at the last look
        self._in_vain = 0  # looks since some were taken
        self._unread: int | None = None  # bytes, at the first of these

    def start(self) -> None:
        """Start: there is something that the client has not taken. One timer serves all waits of a period."""
        self._is_running = True
        self._note(self._transport.get_write_buffer_size())
        if self._timer is None:
            self._timer = self._loop.call_later(self._period, self._look)

    def stop(self) -> None:
        """Stop: all is taken."""
        self._is_running = False

    def close(self) -> None:
        """End for good."""
        self.stop()
        if self._timer is not None:
            self._timer.cancel()

    def _note(self, waiting: int) -> None:
        self._waiting, self._in_vain = waiting, 0

    def _look(self) -> None:
        self._timer = None
        if not self._is_running:
            return
        waiting = self._transport.get_write_buffer_size()
        if waiting < self._waiting:
            self._note(waiting)
        elif self._in_vain < _LOOKS:  # one more than fit in the time: the first may have come at once
            if not self._in_vain:
                self._unread = self._unread_bytes()
            self._in_vain += 1
        elif self._is_read():
            self._note(waiting)
        else:
            self._late()
            return
        self._timer = self._loop.call_later(self._period, self._look)

    def _is_read(self) -> bool:
        """Whether the client has read something since the first look in vain."""
        now = self._unread_bytes()
        return now is not None and self._unread is not None and now < self._unread

    def _unread_bytes(self) -> int | None:
        sock = self._transport.get_extra_info("socket")
        in_sockets = None if sock is None else unread_bytes(sock)
        return None if in_sockets is None else in_sockets + self._transport.get_write_buffer_size()


class Connection(web.RequestHandler):
    """The connection of one client, which is dropped when a head takes too long, or nothing of an answer is taken.

    The clock of a body is that of whoever reads it: only a handler does.

    Attributes:
        dropped: why the client was dropped in the middle of an answer; empty if it was not.
    """

    def __init__(self, server: WatchedServer, **how: Any) -> None:
        super().__init__(server, **how)
        self._watched = server
        self._head_clock = _HeadClock(server.request_seconds, self._drop_half_request)
        self._send_clock: _SendClock | None = None
        self._client: asyncio.WriteTransport | None = None  # also when aiohttp has closed it, and bytes still wait
        self._is_refused = False
        self._is_answering = False
        self._latest_body: StreamReader | None = None
        self.dropped = ""

    def begin(self, body: StreamReader) -> None:
        """Note that the head of a request is there."""
        self._head_clock.stop()
        self._is_answering = True
        self._latest_body = body

    def end(self) -> None:
        """Note that a request is answered; the rest of its body may still come."""
        self._is_answering = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, unless there are too many connections."""
        self._watched.open += 1
        if isinstance(transport, asyncio.WriteTransport):
            self._client = transport
            transport.set_write_buffer_limits(high=0)  # `pause_writing` as soon as anything waits
            self._send_clock = _SendClock(self._watched.send_seconds, transport, self._drop_reader)
        if self._watched.open <= self._watched.most:
            super().connection_made(transport)
            return
        self._is_refused = True
        if self._client is not None:
            msg = f"there are {self._watched.most} connections, and files for no more: see ulimit -n"
            self._client.write(self._last_words(503, msg, "retry-after: 1\r\n"))
        transport.close()

    def data_received(self, data: bytes) -> None:
        """Take bytes of the client. The first of a head start the clock."""
        if not self._is_answering and data and (self._latest_body is None or self._latest_body.is_eof()):
            self._head_clock.start()
        super().data_received(data)

    def pause_writing(self) -> None:
        """Wait: the client has not taken all of what was written."""
        super().pause_writing()
        if self._send_clock is not None:
            self._send_clock.start()

    def resume_writing(self) -> None:
        """Go on: the client has taken all."""
        super().resume_writing()
        if self._send_clock is not None:
            self._send_clock.stop()

    def connection_lost(self, exc: BaseException | None) -> None:
        """End the connection, and its clocks."""
        self._watched.open -= 1
        self._head_clock.close()
        if self._send_clock is not None:
            self._send_clock.close()
        if not self._is_refused:
            super().connection_lost(exc)

    def _drop_half_request(self) -> None:
        if self.transport is not None:
            msg = f"the head of the request was not there after {self._watched.request_seconds:g} s"
            self.transport.write(self._last_words(408, msg))
        self.force_close()

    def _drop_reader(self) -> None:
        self.dropped = f"the client was dropped: it took nothing of its answer for {self._watched.send_seconds:g} s"
        reset(self._client)

    def _last_words(self, status: int, message: str, more: str = "") -> bytes:
        """Return an answer after which the connection is closed."""
        body = json.dumps(self._watched.refusal(status, message)).encode()
        top = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{more}"
        rest = f"content-type: application/json\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
        return f"{top}{rest}".encode() + body


def reset(transport: asyncio.BaseTransport | None) -> None:
    """Reset a connection: its client sees an error in place of an end, and what waits for it is gone at once."""
    if not isinstance(transport, asyncio.WriteTransport):
        return
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORTIVE)
    transport.abort()


class WatchedServer(web.Server):
    """A server that drops clients that stop in the middle, and takes no more clients than there are files for.

    Args:
        handler: answers requests. It is cancelled when its client goes, or is dropped.
        request_seconds: seconds that the head of a request may take.
        send_seconds: seconds for which a client may take nothing of what waits for it.
        refusal: returns the JSON with which a request is refused, from the status and a message.
        largest: the largest body of a request that the handler reads, in bytes.
        **how: the other arguments of aiohttp's connections.

    Attributes:
        open: how many connections there are.
        most: how many there may be: half of the files that this process may have open, as answers and recordings need
            some of their own.
    """

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        *,
        request_seconds: float,
        send_seconds: float,
        refusal: Refusal,
        largest: int = _NO_BODY,
        **how: Any,
    ) -> None:
        make_request: Any = self._request  # of a `Connection`, which is what this server makes
        super().__init__(_ending(handler), request_factory=make_request, handler_cancellation=True)
        self.request_seconds = request_seconds
        self.send_seconds = send_seconds
        self.refusal = refusal
        self.open = 0
        self.most = _most_files() // 2
        self._largest = largest
        bounds: dict[str, Any] = {"keepalive_timeout": _IDLE, "lingering_time": min(_LINGERING, request_seconds)}
        self._how = {"access_log": None, "logger": _SILENT, **bounds, **how}

    def __call__(self) -> Connection:
        """Return what handles a new connection."""
        return Connection(self, loop=asyncio.get_running_loop(), **self._how)

    def _request(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: Connection,
        writer: Any,
        task: asyncio.Task[None],
    ) -> web.BaseRequest:
        loop = asyncio.get_running_loop()
        protocol.begin(payload)
        return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=self._largest)

    async def listen(self, runner: web.ServerRunner, port: int) -> None:
        """Listen on a port of the loopback interface.

        Raises:
            OSError: if the port is taken.
        """
        listener = socket.create_server(("127.0.0.1", port))
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):  # connections have it from their listener
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT)
        await web.SockSite(runner, listener, backlog=_AT_ONCE).start()
        listener.listen(_BACKLOG)


def _ending(
    handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
) -> Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]:
    """Return a handler that tells the connection when the request is answered."""

    async def answered(request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await handler(request)
        finally:
            if isinstance(request.protocol, Connection):
                request.protocol.end()

    return answered


def _most_files() -> int:
    """Return how many files this process may have open."""
    if sys.platform == "win32":
        return _WITHOUT_LIMIT
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _WITHOUT_LIMIT if soft == resource.RLIM_INFINITY else soft
