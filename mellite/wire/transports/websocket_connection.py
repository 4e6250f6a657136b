"""One WebSocket on asyncio or trio: handshake, messages out, messages in. Frames are left to `websockets`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NoReturn, final

import anyio
from anyio.lowlevel import checkpoint

from ...values.errors import (
    ConnectionLost,
    InvalidProviderOutput,
    MelliteError,
    MissingExtra,
    OutputTooLarge,
)
from ..broken import how_it_broke
from ..http import HttpRequest, sent_headers, shown_url
from .websocket_dialing import Dialing

if TYPE_CHECKING:
    import ssl

    from anyio.abc import ByteStream
    from websockets.client import ClientProtocol
    from websockets.frames import Frame
    from websockets.http11 import Response

__all__ = ["Connection", "Refused", "connect", "handshake_headers"]

_LARGEST: Final = 64 * 1024 * 1024  # bytes of one message
_CLOSING_TIME: Final = 1.0  # seconds that a proper close may take
# Close codes, from https://www.rfc-editor.org/rfc/rfc6455#section-7.4.1
_CLEAN: Final = frozenset({1000, 1001, 1005})
_TOO_BIG: Final = 1009
_TURNS: Final = 8  # turns of the event loop that suffice for a select, a wake-up and a read, with TLS between them

#: Headers of an HTTP request that have no meaning in a WebSocket handshake.
_NOT_SENT: Final = frozenset({"accept", "accept-encoding", "content-length", "content-type"})

#: A logger that is always silent: the library would log headers, and the key with them.
_SILENT: Final = logging.Logger(  # noqa: LOG001 - not registered, so that it cannot be configured to speak
    "mellite.wire.transports.websocket", logging.CRITICAL + 1
)


_AS_THE_ENVIRONMENT_SAYS: Final = Dialing()


class Refused(Exception):  # a server's response; never leaves the transport
    """The server's HTTP response when it did not open a WebSocket."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        super().__init__(status)
        self.status = status
        self.headers = headers
        self.body = body


async def connect(
    asked: HttpRequest, ssl_context: ssl.SSLContext | None = None, *, dialing: Dialing = _AS_THE_ENVIRONMENT_SAYS
) -> Connection:
    """Open a WebSocket.

    Args:
        asked: the request with the URL, where ``http`` and ``https`` stand for ``ws`` and ``wss``, and the headers.
        ssl_context: the TLS settings; by default those of the system.
        dialing: opens the connection.

    Raises:
        MissingExtra: if websockets is not installed.
        ConnectError: if no connection could be made.
        ConfigurationError: if the proxy cannot be used.
        ConnectionLost: if the connection broke.
        Refused: if the server did not open a WebSocket.
        InvalidProviderOutput: if the response is malformed.
    """
    # No frame that may raise holds the headers: tracebacks may show local variables.
    try:
        from websockets.client import ClientProtocol
        from websockets.uri import parse_uri
    except ModuleNotFoundError as error:
        msg = "asking over a WebSocket needs websockets: pip install 'mellite[websocket]'"
        raise MissingExtra(msg) from error
    stream = await dialing(asked, ssl_context)
    protocol = ClientProtocol(parse_uri(f"ws{asked.url[4:]}"), max_size=_LARGEST, logger=_SILENT)
    try:
        _greet(protocol, asked)
        connection = Connection(stream, protocol, shown_url(asked.url))
        await connection.shake_hands()
    except BaseException:
        with anyio.CancelScope(shield=True):
            await anyio.aclose_forcefully(stream)
        raise
    return connection


def handshake_headers(asked: HttpRequest) -> dict[str, str]:
    """Return the headers of a request that belong into a handshake."""
    return {name: value for name, value in sent_headers(asked).items() if name not in _NOT_SENT}


def _greet(protocol: ClientProtocol, asked: HttpRequest) -> None:
    greeting = protocol.connect()
    for name, value in handshake_headers(asked).items():
        if name not in greeting.headers:  # the handshake's own headers come first
            greeting.headers[name] = value
    protocol.send_request(greeting)


@final
class Connection:
    """An open WebSocket, for one task at a time in the event loop that opened it.

    Attributes:
        headers: the headers of the handshake's response, by lower-case name.
    """

    __slots__ = ("__weakref__", "_flushing", "_messages", "_pieces", "_protocol", "_stream", "_url", "headers")

    def __init__(self, stream: ByteStream, protocol: ClientProtocol, url: str) -> None:
        self.headers: Mapping[str, str] = {}
        self._stream = stream
        self._protocol = protocol
        self._url = url
        self._messages: list[bytes] = []  # whole messages that were not returned yet
        self._pieces: list[bytes] = []  # fragments of a message that is not whole
        self._flushing = False  # a send is under way; if it is cancelled, a part of a frame may have been sent

    async def shake_hands(self) -> None:
        """Send the handshake and wait for the response.

        Raises:
            Refused, ConnectionLost, InvalidProviderOutput: as `connect` does.
        """
        from websockets.exceptions import InvalidStatus

        await self._flush()
        while self._protocol.state.name == "CONNECTING" and self._protocol.handshake_exc is None:
            await self._pull()
        failure = self._protocol.handshake_exc
        if isinstance(failure, InvalidStatus):
            answer = failure.response
            raise Refused(answer.status_code, _lowered(answer), bytes(answer.body or b""))
        if failure is not None:
            if self._protocol.reader.eof and isinstance(failure.__cause__, EOFError):
                self._lose("it was closed")
            msg = f"{self._url} did not answer as WebSockets do: {failure}"
            raise InvalidProviderOutput(msg)

    async def send(self, message: bytes) -> None:
        """Send one message.

        Raises:
            ConnectionLost: if the connection is closed.
        """
        from websockets.exceptions import InvalidState

        try:
            self._protocol.send_text(message)
        except InvalidState:
            self._lose("it was closed")
        await self._flush()

    async def receive(self) -> list[bytes]:
        """Wait for messages; return all that have arrived, or none if the server closed the connection properly.

        Raises:
            ConnectionLost: if the connection broke, or was closed with an error code.
            OutputTooLarge: if a message is too large.
            InvalidProviderOutput: if the server's bytes break the rules of WebSockets.
        """
        while not self._messages:
            if self._protocol.state.name in ("CLOSING", "CLOSED"):
                return self._ended()
            await self._pull()
        messages, self._messages = self._messages, []
        return messages

    async def waiting(self) -> list[bytes]:
        """Return the messages that have arrived, without waiting for more; answer the server's pings.

        A task reads for a few turns of the loop and is cancelled then. If that may have cut off a message that was
        being received or sent, the connection counts as lost.

        Raises:
            ConnectionLost: if the connection is broken or closed.
        """
        failures: list[MelliteError] = []
        async with anyio.create_task_group() as group:
            group.start_soon(self._listen, failures)
            for _ in range(_TURNS):  # time for the task to read what has arrived
                await checkpoint()
            group.cancel_scope.cancel()
        if failures or self._flushing or self._pieces or self._protocol.state.name != "OPEN":
            self._lose("it was closed, or left in the middle of a message, between two turns")
        messages, self._messages = self._messages, []
        return messages

    async def _listen(self, failures: list[MelliteError]) -> None:
        try:
            while self._protocol.state.name == "OPEN":
                await self._pull()
        except MelliteError as error:
            failures.append(error)

    def _ended(self) -> list[bytes]:
        close, sent = self._protocol.close_rcvd, self._protocol.close_sent
        if self._protocol.parser_exc is not None and close is None and sent is not None:
            if sent.code == _TOO_BIG:
                msg = f"{self._url} sent a message of more than {_LARGEST:,} bytes"
                raise OutputTooLarge(msg)
            if not isinstance(self._protocol.parser_exc, EOFError):
                msg = f"{self._url} sent what breaks the rules of WebSockets"
                raise InvalidProviderOutput(msg)
        if close is None:
            self._lose("it ended without saying so")
        if close.code not in _CLEAN:
            self._lose(f"it was closed with code {close.code}: {close.reason!r}")
        return []

    async def _pull(self) -> None:
        """Receive bytes once; keep their messages, and send the replies that they demand, such as pongs."""
        try:
            data = await self._stream.receive()
        except anyio.EndOfStream:
            self._protocol.receive_eof()
        except (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            self._lose(how_it_broke(error))
        else:
            self._protocol.receive_data(data)
        from websockets.frames import Frame
        from websockets.http11 import Response

        for event in self._protocol.events_received():
            if isinstance(event, Response):
                self.headers = _lowered(event)
            elif isinstance(event, Frame):
                self._take(event)
        await self._flush()

    def _take(self, event: Frame) -> None:
        if event.opcode in (0, 1, 2):  # continuation, text, binary
            self._pieces.append(bytes(event.data))
            if event.fin:
                self._messages.append(b"".join(self._pieces))
                self._pieces = []

    async def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if not data:
                return  # an empty piece means that the sending side is closed
            try:
                self._flushing = True
                await self._stream.send(data)
                self._flushing = False
            except (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
                if self._messages:
                    return  # the messages that have arrived count more than the reply to a ping
                self._lose(how_it_broke(error))

    async def abort(self) -> None:
        """Close the connection at once, even while the task is being cancelled."""
        with anyio.CancelScope(shield=True):
            await anyio.aclose_forcefully(self._stream)

    async def aclose(self) -> None:
        """Close the connection with a close frame, or without one if sending it takes too long."""
        with anyio.move_on_after(_CLOSING_TIME, shield=True):
            try:
                if self._protocol.state.name == "OPEN":
                    self._protocol.send_close(1000)
                    await self._flush()
            except ConnectionLost:
                pass  # the connection is gone, as intended
            finally:
                await anyio.aclose_forcefully(self._stream)

    def _lose(self, reason: str) -> NoReturn:
        msg = f"the connection to {self._url} broke before the answer was complete: {reason}"
        raise ConnectionLost(msg)


def _lowered(answer: Response) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in answer.headers.raw_items():
        key = name.lower()
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    return headers
