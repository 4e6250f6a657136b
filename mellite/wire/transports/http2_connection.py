"""One HTTP/2 connection of `Httpx2Transport`: many answers at once, each of which can be given up by itself.

h2 reads and writes the frames. httpcore2 has a connection like this one, which is not used because it sends no
RST_STREAM when an answer is given up, so that a model would write on; because a timeout of one stream ends all of them;
and because a piece waits until it is its reader's turn.

There is no task that reads. Of the streams that wait, one reads for all, and hands that on when it has what it wants,
so that giving up a stream is nothing more than leaving. Writing has a task of its own, for as long as there is
something to write: half a TLS record, left by a write that was given up, would break every other stream.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator, AsyncIterable, Callable
from contextlib import suppress
from functools import partial
from typing import Final, NoReturn, cast, final

import anyio
import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import httpcore2

from ... import loops
from ..broken import StreamReset
from .http2_stream import Frames, Stream, error_name

__all__ = ["Http2Connection"]

_READ: Final = 64 * 1024  # bytes of one read
_WINDOW: Final = 1024 * 1024  # bytes of one answer that may come before they are asked for
_ALL_WINDOWS: Final = 2**30  # and of all answers together: no stream that is read slowly holds up the others
_BACKLOG: Final = 256 * 1024  # bytes not written yet from which reading waits for them to be written
_STUCK: Final = 30.0  # seconds after which a server that takes no bytes counts as gone
_CATCHING_UP: Final = 0.2  # seconds for what came while the connection was idle
_CLOSING_TIME: Final = 1.0  # seconds that closing a connection may take
_OF_ONE_HOP: Final = frozenset(
    {b"connection", b"host", b"keep-alive", b"proxy-connection", b"te", b"transfer-encoding", b"upgrade"}
)
_BROKEN: Final = (httpcore2.NetworkError, httpcore2.TimeoutException, OSError)
_BROKEN_BELOW: Final = (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream)


def _tells_no_values(record: logging.LogRecord) -> bool:
    return record.levelno > logging.DEBUG


for _name in ("hpack.hpack", "hpack.table"):  # at DEBUG, hpack writes the values of headers to its log, and so keys
    logging.getLogger(_name).addFilter(_tells_no_values)


@final
class Http2Connection(httpcore2.AsyncConnectionInterface):
    """A connection on which a server speaks HTTP/2, for a pool of httpcore2's.

    Args:
        network: the connection, in TLS.
        origin: the server.
        keep_alive: how long it is kept without a stream, in seconds.
    """

    def __init__(self, network: httpcore2.AsyncNetworkStream, origin: httpcore2.Origin, keep_alive: float) -> None:
        self._network = network
        self._origin = origin
        self._keep_alive = keep_alive
        # Headers of answers are not judged here: a bad one would end the connection, and all streams with it.
        config = h2.config.H2Configuration(header_encoding=None, validate_inbound_headers=False)
        self._h2 = h2.connection.H2Connection(config)
        self._h2.local_settings = h2.settings.Settings(
            initial_values={
                h2.settings.SettingCodes.ENABLE_PUSH: 0,
                h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: _WINDOW,
                h2.settings.SettingCodes.MAX_HEADER_LIST_SIZE: _READ,
            }
        )
        del self._h2.local_settings[h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL]  # is the server's to say
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(_ALL_WINDOWS)
        self._frames = Frames()
        self._streams: dict[int, Stream] = {}
        self._waiting: dict[Stream, anyio.Event] = {}
        self._reader: Stream | None = None  # the stream that reads for all
        self._reads = 0
        self._outgoing = bytearray()
        self._written: anyio.Event | None = None  # while something is being written
        self._settled = False  # whether the server has said how many streams it takes
        self._retired = False  # whether it takes no new ones
        self._failure: Exception | None = None
        self._closed = False
        self._idle_since = time.monotonic()

    async def handle_async_request(self, request: httpcore2.Request) -> httpcore2.Response:
        """Send a request and return the head of the answer.

        Raises:
            ConnectionNotAvailable: if it has to go over another connection, and the server has done nothing about it.
        """
        body = b"".join([piece async for piece in cast("AsyncIterable[bytes]", request.stream)])
        stream = Stream()
        await self._admit(stream)
        try:
            await self._send(stream, request, body)
            await self._until(stream, lambda: stream.head is not None)
            status, headers = stream.status_and_headers()
        except BaseException as error:
            await self.leave(stream)
            if isinstance(error, StreamReset) and stream.untouched and request.extensions.setdefault("again", True):
                request.extensions["again"] = False
                raise httpcore2.ConnectionNotAvailable from None
            raise
        answer = _Answer(self, stream)
        return httpcore2.Response(
            status, headers=headers, content=answer, extensions={"http_version": b"HTTP/2", "network_stream": answer}
        )

    async def piece(self, stream: Stream, deadline: float | None) -> bytes:
        """Return what has come of an answer's body, or wait for it; nothing at its end.

        Raises:
            ReadTimeout: if nothing comes until the deadline, by time.monotonic(). Only this stream is concerned.
        """
        if not stream.pieces and not stream.ended:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            with anyio.move_on_after(left):
                await self._until(stream, lambda: bool(stream.pieces) or stream.ended)
            if not stream.pieces and not stream.ended:
                raise httpcore2.ReadTimeout
        data = b"".join(stream.pieces)
        stream.pieces.clear()
        self._acknowledge(stream)
        return data

    async def leave(self, stream: Stream) -> None:
        """End a stream: one that is not over is reset, so that the server does no more for it."""
        if self._streams.pop(stream.id, None) is not None:
            self._idle_since = time.monotonic()
            self._acknowledge(stream)
            if not (stream.ended and stream.sent) and stream.failure is None and self._failure is None:
                with suppress(h2.exceptions.ProtocolError):
                    self._h2.reset_stream(stream.id, h2.errors.ErrorCodes.CANCEL)
                self._write_soon()
        if not self._streams and (self._retired or self._failure is not None):
            await self.aclose()

    async def _admit(self, stream: Stream) -> None:
        """Wait until the server has said how many streams it takes, except for the first one."""
        if self._h2.highest_outbound_stream_id or self._streams:
            await self._until(stream, lambda: self._settled)
            if not self._streams and self._reader is None and self._network.get_extra_info("is_readable"):
                before = self._reads  # a PING, or the end
                with suppress(*_BROKEN, httpcore2.RemoteProtocolError), anyio.move_on_after(_CATCHING_UP):
                    await self._until(stream, lambda: self._reads > before)
        if not self.is_available():
            raise httpcore2.ConnectionNotAvailable

    async def _send(self, stream: Stream, request: httpcore2.Request, body: bytes) -> None:
        host = next(value for name, value in request.headers if name.lower() == b"host")
        headers = [
            (b":method", request.method),
            (b":authority", host),
            (b":scheme", request.url.scheme),
            (b":path", request.url.target),
            *((name.lower(), value) for name, value in request.headers if name.lower() not in _OF_ONE_HOP),
        ]
        try:
            stream.id = self._h2.get_next_available_stream_id()
        except h2.exceptions.NoAvailableStreamIDError:
            self._retired = True
            raise httpcore2.ConnectionNotAvailable from None
        self._streams[stream.id] = stream
        self._h2.send_headers(stream.id, headers, end_stream=not body)
        rest = memoryview(body)
        while rest:
            room = min(self._h2.local_flow_control_window(stream.id), self._h2.max_outbound_frame_size)
            if room > 0:
                self._h2.send_data(stream.id, bytes(rest[:room]), end_stream=len(rest) <= room)
                rest = rest[room:]
                if len(self._outgoing) > _BACKLOG:
                    await self._write()
                else:
                    self._write_soon()
                continue
            await self._until(stream, lambda: self._h2.local_flow_control_window(stream.id) > 0 or stream.is_refused())
            if stream.is_refused():
                return
        stream.sent = True
        await self._write()

    async def _until(self, stream: Stream, wanted: Callable[[], bool]) -> None:
        """Wait until something that the server does, and read meanwhile, unless another stream does."""
        try:
            while not wanted():
                if stream.failure is not None:
                    raise stream.failure
                if self._failure is not None:
                    self._raise_failure(self._failure)
                if self._reader is None:
                    self._reader = stream
                if self._reader is stream:
                    await self._read()
                else:
                    self._waiting[stream] = woken = anyio.Event()
                    await woken.wait()
        finally:
            self._waiting.pop(stream, None)
            if self._reader is stream:
                self._reader = None
            if self._reader is None:
                for woken in self._waiting.values():  # one has to read, from now on
                    woken.set()
                    break

    async def _read(self) -> None:
        if len(self._outgoing) > _BACKLOG:  # of answers to what was read
            await self._write()
        try:
            data = await self._network.read(_READ)
        except (*_BROKEN, *_BROKEN_BELOW) as error:
            return self._fail(error)
        self._reads += 1
        if not data:
            return self._fail(httpcore2.RemoteProtocolError("Server disconnected"))
        try:
            events = self._h2.receive_data(self._frames.without_goaways(data))
        except h2.exceptions.ProtocolError as error:
            return self._fail(httpcore2.RemoteProtocolError(str(error)))
        for event in events:
            self._take(event)
        if self._frames.goaways:
            self._go_away()
        if self._frames.overlong:
            return self._fail(httpcore2.RemoteProtocolError("a frame is too long"))
        self._write_soon()
        return None

    def _take(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.RemoteSettingsChanged() | h2.events.WindowUpdated(stream_id=0):
                self._settled = self._settled or isinstance(event, h2.events.RemoteSettingsChanged)
                self._wake_all()
                return
            case (
                h2.events.ResponseReceived(stream_id=number)
                | h2.events.DataReceived(stream_id=number)
                | h2.events.StreamEnded(stream_id=number)
                | h2.events.StreamReset(stream_id=number)
                | h2.events.WindowUpdated(stream_id=number)
            ):
                stream = self._streams.get(number or 0)
            case _:
                return
        if stream is not None:
            stream.take(event)
            if stream in self._waiting:
                self._waiting[stream].set()

    def _go_away(self) -> None:
        """Take no more streams; those that the server has not looked at can go over another connection."""
        self._retired = True
        while self._frames.goaways:
            last, code = self._frames.goaways.pop()
            for stream in self._streams.values():
                if stream.id > last and stream.failure is None:
                    stream.failure = StreamReset(f"the server takes no more requests here ({error_name(code)})")
                    stream.untouched = True
        self._wake_all()

    def _wake_all(self) -> None:
        for woken in self._waiting.values():
            woken.set()

    def _acknowledge(self, stream: Stream) -> None:
        size, stream.size = stream.size, 0
        if size and self._failure is None:
            with suppress(h2.exceptions.ProtocolError):
                self._h2.acknowledge_received_data(size, stream.id)
            self._write_soon()

    def _fail(self, error: Exception) -> None:
        if self._failure is None:
            self._failure = error
        self._wake_all()

    def _raise_failure(self, failure: Exception) -> NoReturn:
        """Raise a copy, as each stream's own."""
        if isinstance(failure, httpcore2.RemoteProtocolError):
            raise httpcore2.RemoteProtocolError(*failure.args)
        lost = httpcore2.ReadError()
        lost.__context__ = failure  # not its cause, which a pool of httpcore2's takes away
        raise lost

    async def _write(self) -> None:
        """Write everything that is pending, and wait until it is written."""
        self._write_soon()
        if self._written is not None:
            await self._written.wait()
        if self._failure is not None:
            self._raise_failure(self._failure)

    def _write_soon(self) -> None:
        self._outgoing += self._h2.data_to_send()
        if self._outgoing and self._written is None and self._failure is None:
            self._written = written = anyio.Event()
            loops.current().spawn(partial(self._write_all, written), partial(self._stop_writing, written))

    async def _write_all(self, written: anyio.Event) -> None:
        while self._outgoing:
            data = bytes(self._outgoing)
            self._outgoing.clear()
            try:
                with anyio.fail_after(_STUCK):
                    await self._network.write(data)
            except (*_BROKEN, *_BROKEN_BELOW) as error:
                self._fail(error)
                break
        self._written = None
        written.set()

    def _stop_writing(self, written: anyio.Event) -> None:
        if self._written is written:  # the task was cancelled, at the end of its loop
            self._written = None
            self._fail(httpcore2.WriteError())
            written.set()

    async def aclose(self) -> None:
        """Close the connection, and end all of its streams."""
        if self._closed:
            return
        self._closed = True
        self._fail(anyio.ClosedResourceError())
        with anyio.move_on_after(_CLOSING_TIME, shield=True):
            await self._network.aclose()

    def info(self) -> str:
        """Return what is shown of it."""
        return f"HTTP/2, {len(self._streams)} streams"

    def can_handle_request(self, origin: httpcore2.Origin) -> bool:
        """Whether it goes to this server."""
        return origin == self._origin

    def is_available(self) -> bool:
        """Whether it takes another stream."""
        most = max(1, self._h2.remote_settings.max_concurrent_streams) if self._settled else 2**31
        return not (self._closed or self._retired or self._failure is not None) and len(self._streams) < most

    def has_expired(self) -> bool:
        """Whether it is of no more use."""
        if self._streams:
            return False
        late = time.monotonic() > self._idle_since + self._keep_alive
        return late or self._retired or self._failure is not None

    def is_idle(self) -> bool:
        """Whether it has no stream."""
        return not self._streams

    def is_closed(self) -> bool:
        """Whether it was closed."""
        return self._closed

    def can_multiplex(self) -> bool:
        """Whether it takes several requests at once."""
        return True


@final
class _Answer:
    """The body of an answer, and its deadline for reads, as `Httpx2Transport` knows them of HTTP/1.1."""

    def __init__(self, connection: Http2Connection, stream: Stream) -> None:
        self._connection = connection
        self._stream = stream
        self.deadline: float | None = None

    async def __aiter__(self) -> AsyncGenerator[bytes, None]:
        while data := await self._connection.piece(self._stream, self.deadline):
            yield data

    async def aclose(self) -> None:
        """End the stream."""
        await self._connection.leave(self._stream)
