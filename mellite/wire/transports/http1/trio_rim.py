"""One connection on trio: its socket is read by the task that wants the answer, or by its own, which calls back."""

from __future__ import annotations

import math
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, final

import trio

from ....loops import forking
from ....loops.trio_loop import note_end
from .incoming import CutOff, Incoming
from .origins import HAPPY_EYEBALLS
from .unread import watch

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from .origins import Origin, Proxy

__all__ = ["TrioConnection"]

_PIECE: Final = 64 * 1024
_LARGE: Final = 256 * 1024  # bytes of a body that may not fit into the socket's buffers


@final
class TrioConnection:
    """A connection to one origin, for one exchange at a time; only for the thread of its loop.

    Attributes:
        origin: where it leads.
        proxy: the proxy that is asked for whole URLs; None for a server, or a tunnel to one.
        incoming: the answer that is coming; None where nothing was asked.
        idle_since: when it was last given back, by trio's clock.
        is_usable: whether another request may be sent: it is open, and nothing came that nobody asked for.
        notify: called, where a task of its own reads, when more of the answer has come, its end, or the deadline.
        is_expired: whether the deadline has passed, and nothing came.
    """

    __slots__ = (
        "_broken",
        "_deadline",
        "_is_paused",
        "_is_wrapped",
        "_process",
        "_reading",
        "_sending",
        "_socket",
        "_stream",
        "_unread",
        "_woken",
        "idle_since",
        "incoming",
        "is_expired",
        "is_usable",
        "notify",
        "origin",
        "proxy",
    )

    def __init__(self, stream: trio.SocketStream, origin: Origin) -> None:
        self.origin = origin
        self.proxy: Proxy | None = None
        self.incoming: Incoming | None = None
        self.idle_since = 0.0
        self.is_usable = True
        self._socket = stream.socket
        self._stream: trio.abc.Stream = stream
        self._is_wrapped = os.name != "posix"  # the socket can only be read by its stream: also in TLS
        self._sending: trio.CancelScope | None = None
        self._broken: BaseException | None = None  # why sending ended; a TLS stream tells that only once
        self._unread: ssl.MemoryBIO | None = None  # what TLS has read from the socket, and not yet given out
        self._process = forking.process.number
        self.notify: Callable[[], None] | None = None
        self.is_expired = False
        self._is_paused = False
        self._deadline = math.inf
        self._reading: trio.CancelScope | None = None
        self._woken: trio.Event | None = None  # of the task that would read, while it must not

    async def send(self, head: bytes, body: bytes, incoming: Incoming, timeout: float | None) -> None:
        """Write a request; its answer fills `incoming`. A large body is sent while the answer is waited for."""
        self.incoming = incoming
        if not (self.idle_since or self.origin.is_tls or self.is_fresh()):
            incoming.refuse()  # a server that speaks first; over TLS, the socket has more than what is for us
            return
        if len(body) > _LARGE:
            self._sending = trio.CancelScope()
            trio.lowlevel.spawn_system_task(self._send_beside, head, body, self._sending)
            return
        with trio.move_on_after(float("inf") if timeout is None else timeout) as scope:
            try:
                await self._stream.send_all(head + body)
            except trio.BrokenResourceError as error:
                self._broken = error.__cause__
                return  # the server may have said why before it closed: the answer is read all the same
            except trio.ClosedResourceError:
                incoming.end(CutOff("it was closed on this side"))
        if scope.cancelled_caught:
            raise TimeoutError

    async def _send_beside(self, head: bytes, body: bytes, scope: trio.CancelScope) -> None:
        with scope:
            try:
                await self._stream.send_all(head + body)
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                self._broken = error.__cause__
                return  # what became of it is seen by the reader
            self._sending = None

    async def wait(self, timeout: float | None) -> None:
        """Read more, or the end.

        Args:
            timeout: how long, in seconds.

        Raises:
            TimeoutError: when that is over.
        """
        if timeout is None:
            await self._receive()
            return
        with trio.move_on_after(timeout) as scope:
            await self._receive()
        if scope.cancelled_caught:
            raise TimeoutError

    async def _receive(self) -> None:
        incoming = self.incoming
        if incoming is None:
            return
        try:
            data = await (self._stream.receive_some(_PIECE) if self._is_wrapped else self._read())
        except trio.ClosedResourceError:
            self.is_usable = False
            incoming.end(CutOff("it was closed on this side"))
        except OSError as error:
            self.is_usable = False
            incoming.end(error.with_traceback(None))  # whose frames know this: together they would be a cycle
        except trio.BrokenResourceError as error:
            self.is_usable = False
            cause = error.__cause__ or self._broken
            incoming.end(cause if isinstance(cause, OSError) else CutOff("the server closed it"))
        else:
            if data:
                incoming.feed(bytes(data))
            else:
                self.is_usable = False
                incoming.end()

    async def _read(self) -> bytes:
        """Wait until the socket has something, and read that. Its stream would try first, in vain: 20 calls a read.

        Raises:
            trio.ClosedResourceError, OSError: if nothing more can be read.
        """
        while self._socket.fileno() >= 0:
            await trio.lowlevel.wait_readable(self._socket)
            with suppress(BlockingIOError):
                return os.read(self._socket.fileno(), _PIECE)
        raise trio.ClosedResourceError

    # --- called back -----------------------------------------------------------------------------

    def call_back(self, notify: Callable[[], None]) -> None:
        """Have a task read what follows, and call *notify* whenever more has come or will not come any more."""
        self.notify = notify
        self._is_paused = self.is_expired = False
        self._deadline = math.inf
        incoming = self.incoming
        if incoming is not None:
            trio.lowlevel.spawn_system_task(self._read_on, incoming)

    def leave(self) -> None:
        """Call back no more: another task reads from now on."""
        self.notify = None
        if self._reading is not None:
            self._reading.cancel()
        self._wake()

    async def _read_on(self, incoming: Incoming) -> None:
        """Read until the exchange is over or left to another task; tell when the run ends."""
        try:
            while self.notify is not None and self.incoming is incoming:
                if self._is_paused or incoming.is_complete or incoming.error is not None:
                    self._woken = trio.Event()
                    await self._woken.wait()
                else:
                    await self._read_until_late(incoming)
        except trio.Cancelled:  # as all system tasks are, when the run ends
            if self.notify is not None and self.incoming is incoming:
                note_end(trio.lowlevel.current_trio_token())
                self.abort()
                self._tell()
            raise

    async def _read_until_late(self, incoming: Incoming) -> None:
        """Read until the deadline; it is set anew only when it has passed, and has moved meanwhile."""
        with trio.CancelScope(deadline=self._deadline) as scope:
            self._reading = scope
            while not (self._is_paused or incoming.is_complete or incoming.error is not None):
                await self._receive()
                notify = self.notify
                if notify is None or self.incoming is not incoming:
                    break
                notify()
        self._reading = None
        if scope.cancelled_caught and trio.current_time() >= self._deadline:
            self.is_expired = True
            self._tell()

    def _tell(self) -> None:
        if self.notify is not None:
            self.notify()

    def _wake(self) -> None:
        if self._woken is not None:
            self._woken.set()

    def watch(self, deadline: float | None) -> None:
        """Set when to tell that nothing came, by the clock of the run; None for never."""
        self.is_expired = False
        self._deadline = math.inf if deadline is None else deadline
        if self._reading is not None and self._deadline < self._reading.deadline:
            self._reading.deadline = self._deadline

    def call_soon(self, function: Callable[[], None]) -> None:
        """Call a function in the next turn of the run."""
        trio.lowlevel.current_trio_token().run_sync_soon(function)

    def pause(self) -> None:
        """Read no further from the socket."""
        self._is_paused = True

    def resume(self) -> None:
        """Read on."""
        self._is_paused = False
        self._wake()

    def rest(self, now: float) -> bool:
        """Get ready for the next exchange; return False where there must be none."""
        if not self.is_usable or self._sending is not None:
            return False
        self.incoming = self.notify = None
        self._wake()
        self.idle_since = now
        return True

    def is_fresh(self) -> bool:
        """Whether nothing has come since it was given back: neither bytes that nobody asked for nor the end."""
        if self._unread is not None and self._unread.pending:
            return False
        descriptor = self._socket.fileno()
        return descriptor >= 0 and not watch(descriptor)()

    def abort(self) -> None:
        """Close at once; a task that reads is told."""
        self.is_usable = False
        if self._process != forking.process.number:
            return  # the connection of the process before this one: see `mellite.loops.forking`
        if self._sending is not None:
            self._sending.cancel()
        self._socket.close()
        self._wake()
        if self.incoming is not None and self.incoming.error is None:
            self.incoming.end(CutOff("it was closed on this side"))

    # --- connecting ------------------------------------------------------------------------------

    @classmethod
    async def connect(cls, origin: Origin, host: str, port: int, tls: ssl.SSLContext | None) -> TrioConnection:
        """Open a connection to a host, which is the origin's or that of a proxy.

        Raises:
            OSError: if none of its addresses takes it; ssl.SSLError, an OSError, if TLS fails.
        """
        stream = await trio.open_tcp_stream(host, port, happy_eyeballs_delay=HAPPY_EYEBALLS)
        connection = cls(stream, origin)
        if tls is not None:
            await connection.start_tls(tls, host)
        return connection

    async def start_tls(self, tls: ssl.SSLContext, host: str) -> None:
        """Speak TLS from here on, with this host: the origin's, or the one behind a proxy."""
        inside: trio.SSLStream[Any] = trio.SSLStream(self._stream, tls, server_hostname=host, https_compatible=True)
        try:
            await inside.do_handshake()
        except trio.BrokenResourceError as error:
            self.abort()
            raise (error.__cause__ if isinstance(error.__cause__, OSError) else ConnectionResetError()) from None
        except BaseException:
            self.abort()
            raise
        self._stream = inside
        self._is_wrapped = True
        self._unread = getattr(inside, "_incoming", None)  # trio has no public name for it
