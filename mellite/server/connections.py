"""The connections of clients: how many there may be at once, and how long the head of a request may take."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from .refusals import error_body

if TYPE_CHECKING:
    from aiohttp import StreamReader

__all__ = ["Connection", "WatchedServer"]

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


class Connection(web.RequestHandler):
    """The connection of one client, which is dropped when the head of a request takes too long.

    The clock of a body is that of `mellite.server.bodies.body_of`: only a handler reads it.
    """

    def __init__(self, server: WatchedServer, **how: Any) -> None:
        super().__init__(server, **how)
        self._watched = server
        self._head_clock = _HeadClock(server.patience, self._drop_half_request)
        self._is_refused = False
        self._is_answering = False
        self._latest_body: StreamReader | None = None

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
        if self._watched.open <= self._watched.most:
            super().connection_made(transport)
            return
        self._is_refused = True
        if isinstance(transport, asyncio.WriteTransport):
            msg = f"there are {self._watched.most} connections, and files for no more: see ulimit -n"
            transport.write(_last_words(503, msg, "retry-after: 1\r\n"))
        transport.close()

    def data_received(self, data: bytes) -> None:
        """Take bytes of the client. The first of a head start the clock."""
        if not self._is_answering and data and (self._latest_body is None or self._latest_body.is_eof()):
            self._head_clock.start()
        super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        """End the connection, and its clock."""
        self._watched.open -= 1
        self._head_clock.close()
        if not self._is_refused:
            super().connection_lost(exc)

    def _drop_half_request(self) -> None:
        if self.transport is not None:
            msg = f"the head of the request was not there after {self._watched.patience:g} s"
            self.transport.write(_last_words(408, msg))
        self.force_close()


def _last_words(status: int, message: str, more: str = "") -> bytes:
    """Return an answer after which the connection is closed."""
    body = json.dumps(error_body("", status, message)).encode()
    top = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{more}"
    rest = f"content-type: application/json\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
    return f"{top}{rest}".encode() + body


class WatchedServer(web.Server):
    """A server that drops clients whose requests stop coming, and takes no more clients than there are files for.

    Args:
        handler: answers requests, and tells their `Connection` when it has.
        patience: seconds that the head of a request may take.
        request_factory: makes requests, and tells their `Connection` that one begins.
        **how: the other arguments of aiohttp's server, and of its connections.

    Attributes:
        open: how many connections there are.
        most: how many there may be: half of the files that this process may have open, as answers and recordings need
            some of their own.
    """

    def __init__(self, handler: Any, *, patience: float, request_factory: Any, **how: Any) -> None:
        super().__init__(handler, request_factory=request_factory, handler_cancellation=True)
        self.patience = patience
        self.open = 0
        self.most = _most_files() // 2
        self._how = {"keepalive_timeout": _IDLE, "lingering_time": min(_LINGERING, patience), **how}

    def __call__(self) -> Connection:
        """Return what handles a new connection."""
        return Connection(self, loop=asyncio.get_running_loop(), **self._how)

    async def listen(self, runner: web.ServerRunner, port: int) -> None:
        """Listen on a port of the loopback interface.

        Raises:
            OSError: if the port is taken.
        """
        listener = socket.create_server(("127.0.0.1", port))
        await web.SockSite(runner, listener, backlog=_AT_ONCE).start()
        listener.listen(_BACKLOG)


def _most_files() -> int:
    """Return how many files this process may have open."""
    if sys.platform == "win32":
        return _WITHOUT_LIMIT
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _WITHOUT_LIMIT if soft == resource.RLIM_INFINITY else soft
