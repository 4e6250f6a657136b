"""One connection on asyncio: a protocol that takes bytes in where they arrive, and wakes the reader once for them."""

from __future__ import annotations

import asyncio
import contextvars
import os
import re
import socket
from typing import TYPE_CHECKING, Final, cast, final

from ....loops import forking
from ....loops.per_loop import release
from .addresses import first_connected
from .incoming import UNASKED, BrokenRules, CutOff, Incoming
from .tls_layer import TlsLayer
from .unread import watch

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from .origins import Origin, Proxy

__all__ = ["AsyncioConnection"]

#: Bytes of a body that wait to be read before the socket is read no further.
_ENOUGH: Final = 256 * 1024

#: Bytes to have room for in one read: of an answer that comes bit by bit, and of one of which much comes at once. Where
#: asyncio makes the room it is 256 KiB for every read, however little comes; from 128 KiB on, glibc and others ask the
#: system for it each time, and give it back.
_ROOM: Final = 4 * 1024
_MUCH_ROOM: Final = 120 * 1024

_NOTHING: Final = memoryview(b"")

_A_TURN: Final = 0.001  # seconds until the loop will have read what waits in a socket

_ONE_ADDRESS: Final = re.compile(r"[0-9.]+|.*:.*")


def _end_the_program(why: BaseException) -> None:
    raise why


@final
class AsyncioConnection(asyncio.BufferedProtocol):
    """A connection to one origin, for one exchange at a time; only for the thread of its loop.

    Attributes:
        origin: where it leads.
        proxy: the proxy that is asked for whole URLs; None for a server, or a tunnel to one.
        incoming: the answer that is coming; None where nothing was asked.
        idle_since: when it was last given back, by the loop's clock.
        is_usable: whether another request may be sent: it is open, and nothing came that nobody asked for.
        notify: called, in place of waking a reader, when more of the answer has come, its end, or the deadline.
        is_expired: whether the deadline has passed, and nothing came.
    """

    __slots__ = (
        "_context",
        "_deadline",
        "_failure",
        "_is_full",
        "_is_paused",
        "_is_unread",
        "_loop",
        "_outgoing",
        "_process",
        "_room",
        "_timer",
        "_timer_at",
        "_tls",
        "_transport",
        "_waiter",
        "idle_since",
        "incoming",
        "is_expired",
        "is_usable",
        "notify",
        "origin",
        "proxy",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, origin: Origin) -> None:
        self._loop = loop
        self.origin = origin
        self.proxy: Proxy | None = None
        self.incoming: Incoming | None = None
        self.idle_since = 0.0
        self.is_usable = False
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._is_paused = False
        self._is_unread: Callable[[], bool] | None = None
        self._is_full = False
        self._tls: TlsLayer | None = None
        self._failure: Exception | None = None  # why nothing more will come, also where nobody waits for an answer
        self._room = memoryview(bytearray(_ROOM))
        self._outgoing: memoryview = _NOTHING
        self.notify: Callable[[], None] | None = None
        self.is_expired = False
        self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        # Timers run in an empty context: that of the caller would live until the timer goes off. Each connection has
        # its own, because two threads cannot be in one context at the same time.
        self._context = contextvars.Context()
        self._process = forking.process.number

    # --- called by the loop ----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast("asyncio.Transport", transport)
        self.is_usable = True

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - the loops have no better idea of it
        """Return where the next bytes are to be written."""
        return self._room

    def buffer_updated(self, nbytes: int) -> None:
        """Take in the bytes that were written there, and wake the reader."""
        room, tls = self._room, self._tls
        data = room[:nbytes].tobytes() if tls is None else self._said(tls, room[:nbytes])
        if nbytes == len(room) == _ROOM:  # it is full
            self._room = memoryview(bytearray(_MUCH_ROOM))
        if not data:
            return
        incoming = self.incoming
        if incoming is None or incoming.is_complete:
            self._failure = BrokenRules(UNASKED)
            self.abort()
            return
        incoming.feed(data)
        if tls is not None and tls.is_ended:
            self._end_of_tls(tls)
            return
        if self.notify is not None:
            if incoming.has_head or incoming.error is not None:
                try:
                    self.notify()
                except (KeyboardInterrupt, SystemExit) as error:
                    if isinstance(self._loop, asyncio.BaseEventLoop):
                        raise
                    self._loop.call_soon(_end_the_program, error)  # uvloop would only log what is raised here
            return
        if incoming.buffered > _ENOUGH:
            self.pause()
        if incoming.has_head or incoming.error is not None:
            self._wake()

    def _said(self, tls: TlsLayer, data: memoryview) -> bytes:
        """Return what the server has said in TLS with these bytes; empty where that is nothing yet."""
        tls.take_in(data)
        if not tls.is_open:
            self._wake()  # who shakes hands
            return b""
        said = tls.read()
        self._send(tls.to_send())
        if not said and tls.is_ended:
            self._end_of_tls(tls)
        return said

    def _end_of_tls(self, tls: TlsLayer) -> None:
        """Take in that the server says no more, or what TLS does not allow."""
        self._outgoing = _NOTHING
        self._send(tls.farewell())
        if self._transport is not None:
            self._transport.close()
        self._end(tls.error)

    def eof_received(self) -> None:
        """Take in that the server sends no more; the loop closes the transport then.

        Also in TLS this is an end in order: many servers just close.
        """
        self._end(self._reset())

    def _reset(self) -> OSError | None:
        """Return what the system has to say of the end, if it was none in order.

        libuv, below uvloop, takes a reset that comes close behind data for an end, and leaves the error in the socket.
        """
        if self._transport is None or isinstance(self._loop, asyncio.BaseEventLoop):
            return None
        number = self._transport.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        return OSError(number, os.strerror(number)) if number else None

    def connection_lost(self, exc: Exception | None) -> None:
        """Take in that the connection is gone, for whatever reason."""
        self._end(exc)
        self._transport = None

    def _end(self, error: Exception | None) -> None:
        self.is_usable = False
        self._failure = self._failure or error
        if self.incoming is not None:
            self.incoming.end(error)
        self._wake()

    def _wake(self) -> None:
        if self.notify is not None:
            self.notify()
            return
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # --- called by the exchange ------------------------------------------------------------------

    async def send(self, head: bytes, body: bytes, incoming: Incoming, timeout: float | None) -> None:  # noqa: ARG002
        """Write a request in one go; its answer fills `incoming`. What the socket does not take yet is kept."""
        self.post(head, body, incoming)

    def post(self, head: bytes, body: bytes, incoming: Incoming) -> None:
        """Do what `send` does, which never waits here."""
        self.incoming = incoming
        transport = self._transport
        if transport is None or (self._tls is not None and self._tls.is_ended):
            incoming.end(self._failure or CutOff("the server closed it"))
        elif not (self.idle_since or self.origin.is_tls or self.is_fresh()):
            incoming.refuse()  # a server that speaks first; over TLS, the socket has more than what is for us
        elif len(body) <= _ENOUGH:
            transport.write(head + body if self._tls is None else self._tls.written(head + body))
        else:
            self._outgoing = memoryview(body)
            self._send(head if self._tls is None else self._tls.written(head))
            self._write_more()

    def _send(self, data: bytes) -> None:
        """Send bytes as they are, with TLS as its own."""
        if data and self._transport is not None:
            self._transport.write(data)

    def pause_writing(self) -> None:
        """Hold back what is still to be sent: the socket takes no more for now."""
        self._is_full = True

    def resume_writing(self) -> None:
        """Go on with a large body."""
        self._is_full = False
        self._write_more()

    def _write_more(self) -> None:
        """Write a large body in pieces, as fast as the socket takes them; never a second copy of the whole."""
        while self._outgoing and not self._is_full and self._transport is not None:
            piece, self._outgoing = self._outgoing[:_ENOUGH], self._outgoing[_ENOUGH:]
            self._transport.write(piece if self._tls is None else self._tls.written(piece))

    async def wait(self, timeout: float | None) -> None:
        """Wait until more has come, or the end.

        Args:
            timeout: how long, in seconds.

        Raises:
            TimeoutError: when that is over.
        """
        self.resume()
        self.watch(None if timeout is None else self._loop.time() + timeout)
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
            self._deadline = 0.0
        if self.is_expired:
            raise TimeoutError

    def call_back(self, notify: Callable[[], None]) -> None:
        """Call *notify* from now on, in place of waking a reader."""
        self.notify = notify

    def leave(self) -> None:
        """Call back no more: a task waits from now on."""
        self.notify = None
        self.watch(None)

    def watch(self, deadline: float | None) -> None:
        """Set when to tell that nothing came, by the loop's clock; None for never."""
        # One timer for many waits: while data keeps coming it is left where it is, and looks at the deadline when it
        # goes off. A timer for each wait would cost more than the rest of it.
        self.is_expired = False
        if deadline is None:
            self._deadline = 0.0
            return
        self._deadline = deadline
        if self._timer is not None:
            if self._timer_at <= deadline:
                return
            self._timer.cancel()
        self._set_timer(deadline)

    def _set_timer(self, at: float) -> None:
        self._timer_at = at
        self._timer = self._loop.call_at(at, self._look, context=self._context)

    def _look(self) -> None:
        self._timer = None
        if not self._deadline:  # nobody is waiting
            return
        now = self._loop.time()
        if now < self._deadline:
            self._set_timer(self._deadline)
        elif self._has_unread():  # what has arrived wins, also where the loop looks at timers first
            self._set_timer(now + _A_TURN)
        elif self.notify is not None or (self._waiter is not None and not self._waiter.done()):
            self.is_expired = True
            self._wake()

    def _has_unread(self) -> bool:
        if self._transport is None:
            return False
        if self._is_unread is None:
            self._is_unread = watch(self._transport.get_extra_info("socket").fileno())
        return self._is_unread()

    def call_soon(self, function: Callable[[], None]) -> None:
        """Call a function in the next turn of the loop."""
        self._loop.call_soon(function, context=self._context)

    def pause(self) -> None:
        """Read no further from the socket."""
        if not self._is_paused and self._transport is not None:
            self._is_paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self._is_paused and self._transport is not None:
            self._is_paused = False
            self._transport.resume_reading()

    def rest(self, now: float) -> bool:
        """Get ready for the next exchange; return False where there must be none."""
        transport = self._transport
        if not self.is_usable or transport is None or self._outgoing or transport.get_write_buffer_size():
            return False
        self.incoming = None
        self.notify = None
        self._deadline = 0.0
        if len(self._room) > _ROOM:  # not kept by each of many connections at rest
            self._room = memoryview(bytearray(_ROOM))
        self.idle_since = now
        self.resume()  # at rest, the loop must see what nobody asked for, and the end
        return True  # the timer stays: the next exchange may need it, and it does nothing where nobody waits

    def is_fresh(self) -> bool:
        """Whether nothing has come since it was given back, also in what the loop has not looked at yet."""
        return self.is_usable and self._transport is not None and not self._has_unread()

    def abort(self) -> None:
        """Close at once: nothing that is still to be sent, or to be said in TLS, holds the socket."""
        self.is_usable = False
        if self._process != forking.process.number:
            return  # the connection of the process before this one: see `mellite.loops.forking`
        self._outgoing = _NOTHING
        self._deadline = 0.0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        transport, self._transport = self._transport, None
        if transport is not None:
            if self._loop.is_closed():  # by hand: the transport can no longer close its socket
                release(transport)
            else:
                transport.abort()
        incoming = self.incoming
        if incoming is not None and incoming.is_complete:
            self.notify = None  # who is told of a whole answer closes this, and must not be told again meanwhile
        if incoming is not None and incoming.error is None:
            incoming.end(CutOff("it was closed on this side"))
        if self.notify is not None or not self._loop.is_closed():
            self._wake()

    # --- connecting ------------------------------------------------------------------------------

    @classmethod
    async def connect(cls, origin: Origin, host: str, port: int, tls: ssl.SSLContext | None) -> AsyncioConnection:
        """Open a connection to a host, which is the origin's or that of a proxy.

        Raises:
            OSError: if none of its addresses takes it; ssl.SSLError, an OSError, if TLS fails.
        """
        loop = asyncio.get_running_loop()
        if _ONE_ADDRESS.fullmatch(host):
            _, connection = await loop.create_connection(lambda: cls(loop, origin), host, port)
        else:
            connected = await first_connected(host, port)
            try:
                _, connection = await loop.create_connection(lambda: cls(loop, origin), sock=connected)
            except BaseException:
                if not isinstance(loop, asyncio.BaseEventLoop):
                    # uvloop closes the file then, and before 0.23 it leaves its number to the socket object, which
                    # would close whatever has that number by the time it is dropped.
                    connected.detach()
                raise
        if tls is not None:
            try:
                await connection.start_tls(tls, host)
            except BaseException:
                connection.abort()
                raise
        return connection

    async def start_tls(self, tls: ssl.SSLContext, host: str) -> None:
        """Speak TLS from here on, with this host: the origin's, that of a proxy, or the one behind a proxy.

        Raises:
            OSError: if the connection ends meanwhile; ssl.SSLError, an OSError, if TLS fails.
        """
        layer = self._tls = TlsLayer(tls, host, self._tls)
        while True:
            try:
                layer.shake_hands()
            finally:
                self._send(layer.to_send())  # where it failed, this tells the server why
            if layer.is_open:
                break
            if not self.is_usable:
                raise self._failure if isinstance(self._failure, OSError) else ConnectionResetError()
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        if layer.read():
            self._failure = BrokenRules(UNASKED)
            self.abort()
