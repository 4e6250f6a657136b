"""One WebSocket on asyncio or trio: the handshake, messages out, messages in. The rules are those of `websockets`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NoReturn, final
from urllib.parse import urlsplit

import anyio
from anyio.lowlevel import checkpoint

from ...values.errors import (
    ConnectError,
    ConnectionLost,
    InvalidProviderOutput,
    MelliteError,
    MissingExtra,
    OutputTooLarge,
)
from ..broken import how_it_broke
from ..http import HttpRequest, sent_headers, shown_url, tls_context

if TYPE_CHECKING:
    import ssl

    from anyio.abc import ByteStream
    from websockets.client import ClientProtocol
    from websockets.frames import Frame
    from websockets.http11 import Response

__all__ = ["Connection", "Refused", "connect", "handshake_headers"]

_LARGEST: Final = 64 * 1024 * 1024  # bytes of one message
_CLOSING_TIME: Final = 1.0  # seconds that closing in good order may take
_CLEAN: Final = frozenset({1000, 1001, 1005})
_TOO_BIG: Final = 1009
_TURNS: Final = 8  # of the loop: a select, a wake-up and a read, with TLS between them, and room

#: Headers of an HTTP request that mean nothing on a WebSocket.
_NOT_SENT: Final = frozenset({"accept", "accept-encoding", "content-length", "content-type"})

#: Says nothing, ever: the library would log headers, with the key in them.
_SILENT: Final = logging.Logger(  # noqa: LOG001 - nobody is to find and configure it
    "mellite.wire.transports.websocket", logging.CRITICAL + 1
)


class Refused(Exception):  # it is the answer of a server, and never leaves the transport
    """The server did not open a WebSocket; what it answered instead."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        super().__init__(status)
        self.status = status
        self.headers = headers
        self.body = body


async def connect(asked: HttpRequest, ssl_context: ssl.SSLContext | None = None) -> Connection:
    """Open a WebSocket.

    Args:
        asked: where and as whom; ``http`` and ``https`` stand for ``ws`` and ``wss``, its headers go along.
        ssl_context: the TLS settings; by default those of the system.

    Raises:
        MissingExtra: if websockets is not installed.
        ConnectError: if no connection could be made; ConnectionLost if it broke.
        Refused: if the server answered the handshake otherwise.
        InvalidProviderOutput: if what came is no answer to a handshake.
    """
    # No frame that may raise holds the headers: a traceback shows the locals.
    try:
        from websockets.client import ClientProtocol
        from websockets.uri import parse_uri
    except ModuleNotFoundError as error:
        msg = "asking over a WebSocket needs websockets: pip install 'mellite[websocket]'"
        raise MissingExtra(msg) from error
    stream = await _dial(asked.url, ssl_context)
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
    """The headers of a request that a handshake has, too."""
    return {name: value for name, value in sent_headers(asked).items() if name not in _NOT_SENT}


def _greet(protocol: ClientProtocol, asked: HttpRequest) -> None:
    greeting = protocol.connect()
    for name, value in handshake_headers(asked).items():
        if name not in greeting.headers:  # what the handshake itself needs
            greeting.headers[name] = value
    protocol.send_request(greeting)


async def _dial(url: str, ssl_context: ssl.SSLContext | None) -> ByteStream:
    import socket
    import ssl

    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port
    shown = shown_url(url)
    try:
        if parts.scheme == "http":
            return await anyio.connect_tcp(host, port or 80)
        context = ssl_context or tls_context()
        return await anyio.connect_tcp(
            host, port or 443, tls=True, ssl_context=context, tls_hostname=host, tls_standard_compatible=False
        )
    except ssl.SSLCertVerificationError as error:
        msg = f"the certificate of {shown} is not trusted: {error.verify_message}"
        raise ConnectError(msg, retryable=False) from error
    except socket.gaierror as error:
        msg = f"cannot connect to {shown}: the host was not found: {error.strerror}"
        raise ConnectError(msg) from error
    except (OSError, anyio.BrokenResourceError, anyio.EndOfStream) as error:
        msg = f"cannot connect to {shown}: no connection: {how_it_broke(error)}"
        raise ConnectError(msg) from error


@final
class Connection:
    """An open WebSocket.

    Attributes:
        headers: of the answer to the handshake, by lower-case name.
    """

    __slots__ = ("__weakref__", "_flushing", "_messages", "_pieces", "_protocol", "_stream", "_url", "headers")

    def __init__(self, stream: ByteStream, protocol: ClientProtocol, url: str) -> None:
        self.headers: Mapping[str, str] = {}
        self._stream = stream
        self._protocol = protocol
        self._url = url
        self._messages: list[bytes] = []  # whole ones that nobody has taken yet
        self._pieces: list[bytes] = []  # of one that is not whole
        self._flushing = False  # bytes are on their way out, and must not be cut off

    async def shake_hands(self) -> None:
        """Send the handshake, and wait for the answer to it."""
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
        """The next messages, all that are there; none if the server closed the connection in good order.

        Raises:
            ConnectionLost: if the connection broke, or was closed for another reason.
            OutputTooLarge: if a message is too large.
            InvalidProviderOutput: if what came breaks the rules.
        """
        while not self._messages:
            if self._protocol.state.name in ("CLOSING", "CLOSED"):
                return self._ended()
            await self._pull()
        messages, self._messages = self._messages, []
        return messages

    async def waiting(self) -> list[bytes]:
        """Take the messages that have come by now, without waiting for more; also answer the server's pings.

        Raises:
            ConnectionLost: if the connection broke or was closed meanwhile.
        """
        failures: list[MelliteError] = []
        async with anyio.create_task_group() as group:
            group.start_soon(self._listen, failures)
            for _ in range(_TURNS):  # of the loop, in which what is there already is taken in
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
        """Take in what has come, and answer what wants to be answered."""
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
        if event.opcode in (0, 1, 2):  # a continuation, text, bytes
            self._pieces.append(bytes(event.data))
            if event.fin:
                self._messages.append(b"".join(self._pieces))
                self._pieces = []

    async def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if not data:
                return  # nothing more is sent on this connection
            try:
                self._flushing = True
                await self._stream.send(data)
                self._flushing = False
            except (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
                if self._messages:
                    return  # what has come counts for more than an answer to a ping
                self._lose(how_it_broke(error))

    async def abort(self) -> None:
        """Close it where it stands, also while being cancelled."""
        with anyio.CancelScope(shield=True):
            await anyio.aclose_forcefully(self._stream)

    async def aclose(self) -> None:
        """Close it in good order, if that goes quickly."""
        with anyio.move_on_after(_CLOSING_TIME, shield=True):
            try:
                if self._protocol.state.name == "OPEN":
                    self._protocol.send_close(1000)
                    await self._flush()
            except ConnectionLost:
                pass  # it is gone, which is what was wanted
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
