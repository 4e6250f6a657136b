"""A transport over WebSockets that stay open: a request is one message, and the messages of the answer are its body.

Each message of the answer becomes one server-sent event, so that routes, cassettes and cancellation work as they do
over HTTP. A `Dialogue` knows the messages, and when an answer is over; this module only moves bytes.

The transport may be used from any number of loops and threads. A pool and its connections belong to one loop and are
touched only there, so nothing here needs a lock. The exception is `_Pool.discard`, which runs when an asyncio loop has
been closed.
"""

from __future__ import annotations

import weakref
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from hashlib import blake2s
from typing import TYPE_CHECKING, Final, Literal, Protocol, final

import anyio

from ... import loops
from ...loops.per_loop import ClientPerLoop, release
from ...values.errors import ConnectionLost, InvalidProviderOutput
from ..bounds import DEFAULT_BOUNDS, values_in
from ..http import HttpRequest, HttpResponse, Transport, check_request, shown_url
from .http1.origins import FROM_ENVIRONMENT
from .websocket_connection import Refused, connect, handshake_headers
from .websocket_dialing import Dialing

if TYPE_CHECKING:
    import ssl

__all__ = ["Channel", "Dialogue", "WebSocketTransport"]

_IDLE: Final = 8  # connections to keep open between requests
#: The statuses with which servers without WebSockets answer a handshake.
_HTTP_ONLY: Final = frozenset({404, 405, 426, 501})


class Dialogue(Protocol):
    """The protocol of one connection, turn by turn: which messages to send, and what the server's messages mean."""

    def continues(self, body: bytes) -> bool:
        """Return whether a request continues the last answer on this connection."""
        ...

    def ask(self, body: bytes) -> bytes:
        """Return the message that starts a turn, made from the body of an HTTP request."""
        ...

    def again(self) -> bytes:
        """Return the message that repeats the turn in full, for a server that has forgotten the one before."""
        ...

    def hear(self, message: bytes) -> Literal["more", "last", "again", "elsewhere"]:
        """Take a message from the server.

        Returns:
            ``more`` if the answer goes on; ``last`` if the answer is complete; ``again`` to send the message of
            `again`; ``elsewhere`` to repeat the request on another connection.
        """
        ...

    def is_left_over(self, message: bytes) -> bool:
        """Return whether a message that arrived between two turns is part of an answer."""
        ...


class Channel(Protocol):
    """An open connection for messages; see `mellite.wire.transports.websocket_connection.Connection`."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers of the handshake's response, by lower-case name."""
        ...

    async def send(self, message: bytes) -> None:
        """Send one message; raise ConnectionLost if the connection is closed."""
        ...

    async def receive(self) -> list[bytes]:
        """Wait for messages and return them; return none if the server closed the connection properly."""
        ...

    async def waiting(self) -> list[bytes]:
        """Return the messages that have arrived, without waiting; raise ConnectionLost if the connection is closed."""
        ...

    async def abort(self) -> None:
        """Close the connection at once."""
        ...

    async def aclose(self) -> None:
        """Close the connection properly, with a close frame."""
        ...


@final
class WebSocketTransport:
    """A `Transport` that keeps WebSockets open, and sends each request on the connection of its conversation.

    A connection serves one request at a time; concurrent requests get connections of their own. An old connection that
    turns out to be dead before the first message of an answer is replaced by a new one, once. A connection is closed
    if its response is closed early, or if the server sends more than the answer, which would be mistaken for the start
    of the next one.

    Args:
        dialogue: makes the `Dialogue` of a new connection.
        fallback: the transport for servers without WebSockets; without one, the server's refusal is the response.
        max_age: how many seconds a connection is used; OpenAI closes one after an hour.
        max_idle: how many seconds a connection is kept for its next turn, while the server's pings are not answered.
        ssl_context: the TLS settings; by default those of the system, shared by the process.
        proxy: the URL of a proxy, None for none; by default what HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY say.
        dial: opens a connection; by default over the network, by `connect`.

    Example:
        >>> from mellite.protocols.openai_responses.dialogue import ResponsesDialogue
        >>> transport = WebSocketTransport(ResponsesDialogue)
    """

    __slots__ = ("_dial", "_dialogue", "_fallback", "_pools", "_ssl")

    def __init__(
        self,
        dialogue: Callable[[], Dialogue],
        *,
        fallback: Transport | None = None,
        max_age: float = 55 * 60,
        max_idle: float = 5 * 60,
        ssl_context: ssl.SSLContext | None = None,
        proxy: str | None = FROM_ENVIRONMENT,
        dial: Callable[[HttpRequest, ssl.SSLContext | None], Awaitable[Channel]] | None = None,
    ) -> None:
        self._dial = dial or partial(connect, dialing=Dialing(proxy))
        self._dialogue = dialogue
        self._fallback = fallback
        self._ssl = ssl_context
        self._pools: ClientPerLoop[_Pool] = ClientPerLoop(
            partial(_Pool, max_age, max_idle), _Pool.aclose, _Pool.discard
        )

    async def open(self, request: HttpRequest, *, timeout: float | None = None) -> HttpResponse:
        """Send the request and wait for the first message of the answer; see `Transport.open`.

        Raises:
            MissingExtra: if websockets is not installed.
        """
        check_request(request)
        loop = loops.running()
        pool = self._pools.find(loop) or await self._pools.start(loop)
        with anyio.move_on_after(timeout):
            answer = await self._answer(pool, request)
            if answer.status not in _HTTP_ONLY or self._fallback is None:
                return answer
            return await self._fallback.open(request, timeout=timeout)
        msg = f"no answer from {shown_url(request.url)} within {timeout} s"
        raise TimeoutError(msg)

    async def _answer(self, pool: _Pool, request: HttpRequest) -> HttpResponse:
        """Send the request on an open connection if one suits; on a new one otherwise, or if the open one fails."""
        line = await pool.take(request)
        while line is not None and not await line.is_in_step():
            await line.connection.abort()
            line = await pool.take(request)
        if line is not None:
            answer = await self._asked(pool, line, request)
            if answer is not None:
                return answer
        try:
            connection = await self._dial(request, self._ssl)
        except Refused as refused:
            return _refusal(refused, request)
        pool.opened.add(connection)
        line = _Line(connection, self._dialogue(), _address(request))
        answer = await self._asked(pool, line, request)
        if answer is None:
            msg = f"{shown_url(request.url)} closed a new connection before it answered"
            raise ConnectionLost(msg)
        return answer

    async def _asked(self, pool: _Pool, line: _Line, request: HttpRequest) -> _Answer | None:
        """Send the request on *line* and wait for the first message; return None, connection closed, to try another."""
        answer = _Answer(pool, line, request.url)
        try:
            await line.connection.send(line.dialogue.ask(request.body))
            begun = await answer.begin()
        except ConnectionLost:
            await line.connection.abort()
            if line.turns == 0:
                raise
            return None
        except BaseException:
            await line.connection.abort()
            raise
        if not begun:
            await line.connection.abort()
            return None
        return answer

    async def aclose(self) -> None:
        """Close the connections of all loops: this loop's before returning, those of other loops soon after."""
        await self._pools.aclose(loops.running())
        close = getattr(self._fallback, "aclose", None)
        if close is not None:
            await close()


def _address(request: HttpRequest) -> bytes:
    """Return a digest of what a connection must share with a request: URL and headers. Hashed, as they hold the key."""
    said = [request.url, *[f"{name}: {value}" for name, value in sorted(handshake_headers(request).items())]]
    return blake2s("\n".join(said).encode()).digest()


class _Line:
    """An open connection with its dialogue."""

    __slots__ = ("address", "connection", "dialogue", "since", "turns", "waits_since")

    def __init__(self, connection: Channel, dialogue: Dialogue, address: bytes) -> None:
        self.connection = connection
        self.dialogue = dialogue
        self.address = address
        self.since = self.waits_since = anyio.current_time()
        self.turns = 0  # the number of complete answers

    async def is_in_step(self) -> bool:
        """Return whether the connection is open and nothing is left of the last answer."""
        try:
            messages = await self.connection.waiting()
        except ConnectionLost:
            return False
        except BaseException:
            await self.connection.abort()
            raise
        return not any(map(self.dialogue.is_left_over, messages))


class _Pool:
    """The idle connections of one loop, the longest idle first; a connection in use is not in the pool."""

    __slots__ = ("_closed", "_idle", "_max_age", "_max_idle", "opened")

    def __init__(self, max_age: float, max_idle: float) -> None:
        self._max_age = max_age
        self._max_idle = max_idle
        self._idle: list[_Line] = []
        self._closed = False
        self.opened: weakref.WeakSet[Channel] = weakref.WeakSet()

    async def take(self, request: HttpRequest) -> _Line | None:
        """Take out the connection of the request's conversation, or any with its address if the pool is full."""
        now = anyio.current_time()
        old = [
            line for line in self._idle if now - line.since > self._max_age or now - line.waits_since > self._max_idle
        ]
        for line in old:
            self._idle.remove(line)
            await line.connection.abort()
        address = _address(request)
        known = [line for line in self._idle if line.address == address]
        found = next((line for line in reversed(known) if line.dialogue.continues(request.body)), None)
        if found is None and len(self._idle) >= _IDLE:
            found = known[0] if known else None
        if found is not None:
            self._idle.remove(found)
        return found

    async def give_back(self, line: _Line) -> None:
        if self._closed:
            await line.connection.abort()
            return
        line.turns += 1
        line.waits_since = anyio.current_time()
        self._idle.append(line)
        if len(self._idle) > _IDLE:
            await self._idle.pop(0).connection.abort()

    async def aclose(self) -> None:
        self._closed = True
        while self._idle:
            await self._idle.pop().connection.aclose()

    def discard(self) -> None:
        """Release the sockets of an asyncio loop that was closed before its pool. May run in the garbage collector."""
        self._closed = True
        for connection in list(self.opened):
            release(connection)


@final
class _Answer(HttpResponse):
    """A response whose body is the messages of one turn, as server-sent events."""

    __slots__ = ("_line", "_pieces", "_pool", "_state", "_url")

    def __init__(self, pool: _Pool, line: _Line, url: str) -> None:
        self.status = 200
        self.headers = {**line.connection.headers, "content-type": "text/event-stream"}
        self._pool = pool
        self._line = line
        self._url = url
        self._pieces: list[bytes] = []
        self._state = "open"  # or "over" (the connection was given back), "closed"

    async def begin(self) -> bool:
        """Wait for the first message; return False if the request must be sent on another connection."""
        while not self._pieces and self._state == "open":
            messages = await self._line.connection.receive()
            if not messages:
                return False
            for number, message in enumerate(messages, start=1):
                heard = self._heard(message)
                if heard == "elsewhere":
                    return False
                if heard == "again":
                    await self._line.connection.send(self._line.dialogue.again())
                    break  # the other messages belong to the turn that was refused
                self._take(message)
                if heard == "last":
                    await self._end(messages[number:])
                    break
        return True

    def _heard(self, message: bytes) -> Literal["more", "last", "again", "elsewhere"]:
        if _is_too_much(message):
            return "more"  # not decoded here: the reader of the answer refuses the message, and closes the response
        return self._line.dialogue.hear(message)

    def _take(self, message: bytes) -> None:
        self._pieces.append(b"data: %s\n\n" % message.replace(b"\r", b" ").replace(b"\n", b" "))

    async def _end(self, left: Sequence[bytes]) -> None:
        """End the answer. Keep the connection, unless *left*, which followed the answer, holds parts of another."""
        self._state = "over"
        if any(_is_too_much(message) or self._line.dialogue.is_left_over(message) for message in left):
            await self._line.connection.abort()
        else:
            await self._pool.give_back(self._line)

    async def read(self, timeout: float | None = None) -> bytes:
        """Read the next messages; see `HttpResponse.read`."""
        if self._pieces:
            data = b"".join(self._pieces)
            self._pieces.clear()
            return data
        if self._state == "over":
            return b""
        if self._state == "closed":
            msg = f"the answer of {shown_url(self._url)} cannot be read on: it was closed"
            raise ConnectionLost(msg)
        with anyio.move_on_after(timeout):
            messages = await self._line.connection.receive()
            for number, message in enumerate(messages, start=1):
                heard = self._heard(message)
                self._take(message)
                if heard == "last":
                    await self._end(messages[number:])
                    break
            if not messages:
                self._state = "over"  # the server closed properly; the parser notices if the answer is incomplete
                await self._line.connection.abort()
            return await self.read()
        msg = f"nothing more came from {shown_url(self._url)} within {timeout} s"
        raise TimeoutError(msg)

    async def aclose(self) -> None:
        """Close the connection unless the answer is over; see `HttpResponse.aclose`."""
        if self._state == "open":
            self._state = "closed"
            await self._line.connection.abort()


def _is_too_much(message: bytes) -> bool:
    """Return whether a message exceeds the default bounds: too large to decode here, where the call's are not known."""
    most = DEFAULT_BOUNDS.max_values
    return most is not None and len(message) > most and values_in(message, most) > most


def _refusal(refused: Refused, request: HttpRequest) -> HttpResponse:
    """Return the response of a server that did not open the WebSocket.

    Raises:
        InvalidProviderOutput: if it says that all is well: it has not heard the request, so that is not the answer.
    """
    if refused.status // 100 == 2:
        msg = (
            f"HTTP {refused.status} from {shown_url(request.url)}, which was to open a WebSocket, came before it had "
            "heard the request, and so is no answer; is the base URL right?"
        )
        raise InvalidProviderOutput(msg, status=refused.status)
    return _Refusal(refused)


@final
class _Refusal(HttpResponse):
    """A response from a server that did not open the WebSocket."""

    __slots__ = ("_body",)

    def __init__(self, refused: Refused) -> None:
        self.status = refused.status
        self.headers = refused.headers
        self._body = refused.body

    async def read(self, timeout: float | None = None) -> bytes:  # noqa: ARG002 - the whole body is here
        """Return the body, then ``b""``; see `HttpResponse.read`."""
        body, self._body = self._body, b""
        return body

    async def aclose(self) -> None:
        """Do nothing: the connection is closed already."""
