"""Ask over WebSockets that stay open: each request is a message, and the messages that come back read like a stream.

The answer is given as server-sent events, one for each message, so that routes, cassettes and cancellation work as
they do over HTTP. What is said, and when an answer is over, a `Dialogue` knows; this module only moves bytes.
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
from ...values.errors import ConnectionLost
from ..bounds import DEFAULT_BOUNDS, values_in
from ..http import HttpRequest, HttpResponse, Transport, check_request, shown_url
from .websocket_connection import Refused, connect, handshake_headers

if TYPE_CHECKING:
    import ssl

__all__ = ["Channel", "Dialogue", "WebSocketTransport"]

_IDLE: Final = 8  # connections that are kept open for what may come
#: How servers refuse that know no WebSockets.
_HTTP_ONLY: Final = frozenset({404, 405, 426, 501})


class Dialogue(Protocol):
    """Knows what is said on one connection, turn by turn."""

    def continues(self, body: bytes) -> bool:
        """Whether a request goes on where the last answer on this connection ended."""
        ...

    def ask(self, body: bytes) -> bytes:
        """The message that starts a turn, made of the body of an HTTP request."""
        ...

    def again(self) -> bytes:
        """The same turn for a server that has forgotten the one before."""
        ...

    def hear(self, message: bytes) -> Literal["more", "last", "again", "elsewhere"]:
        """What a message of the server means for the connection.

        Returns:
            ``more`` if the answer goes on; ``last`` if it is over; ``again`` if the server wants to be told `again`;
            ``elsewhere`` if another connection is to be asked.
        """
        ...

    def is_left_over(self, message: bytes) -> bool:
        """Whether a message that came between two turns is a part of an answer."""
        ...


class Channel(Protocol):
    """An open connection on which messages go to and fro; see `Connection`."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Of the answer to the handshake, by lower-case name."""
        ...

    async def send(self, message: bytes) -> None:
        """Send one message; ConnectionLost if the connection is closed."""
        ...

    async def receive(self) -> list[bytes]:
        """The next messages; none if the server closed the connection in good order."""
        ...

    async def waiting(self) -> list[bytes]:
        """The messages that have come by now, without waiting; ConnectionLost if the connection is closed."""
        ...

    async def abort(self) -> None:
        """End the connection at once."""
        ...

    async def aclose(self) -> None:
        """End the connection in good order."""
        ...


@final
class WebSocketTransport:
    """A `Transport` that keeps WebSockets open, and asks on the one where the conversation was.

    A connection answers one request at a time; others get connections of their own. One that turns out to be dead
    before anything came is replaced once. A request whose reader goes away ends its connection, and so does a server
    that says more than the answer: what is left over would be taken for the beginning of the next one.

    Args:
        dialogue: makes the `Dialogue` of a new connection.
        fallback: what sends the requests to a server that knows no WebSockets; without it, its refusal is the answer.
        max_age: how long a connection is used, in seconds; OpenAI closes one after an hour.
        max_idle: how long one may wait for its next turn, in seconds; meanwhile nobody answers the server's pings.
        ssl_context: the TLS settings; by default those of the system, shared by the process.
        dial: what opens connections; by default over the network, as in `connect`.

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
        dial: Callable[[HttpRequest, ssl.SSLContext | None], Awaitable[Channel]] = connect,
    ) -> None:
        self._dial = dial
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
        """Ask on a connection that is there, or on a new one; on a new one too where an old one fails at once."""
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
            return _Refusal(refused)
        pool.opened.add(connection)
        line = _Line(connection, self._dialogue(), _address(request))
        answer = await self._asked(pool, line, request)
        if answer is None:
            msg = f"{shown_url(request.url)} closed a new connection before it answered"
            raise ConnectionLost(msg)
        return answer

    async def _asked(self, pool: _Pool, line: _Line, request: HttpRequest) -> _Answer | None:
        """The answer to a request on one connection; None if the connection has to be given up."""
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
        """Close the connections of all loops: this loop's before it returns, the others soon."""
        await self._pools.aclose(loops.running())
        close = getattr(self._fallback, "aclose", None)
        if close is not None:
            await close()


def _address(request: HttpRequest) -> bytes:
    """What connections must have in common: where they go, and as whom; as a digest, as it holds the key."""
    said = [request.url, *[f"{name}: {value}" for name, value in sorted(handshake_headers(request).items())]]
    return blake2s("\n".join(said).encode()).digest()


class _Line:
    """A connection and what was said on it."""

    __slots__ = ("address", "connection", "dialogue", "since", "turns", "waits_since")

    def __init__(self, connection: Channel, dialogue: Dialogue, address: bytes) -> None:
        self.connection = connection
        self.dialogue = dialogue
        self.address = address
        self.since = self.waits_since = anyio.current_time()
        self.turns = 0  # that were answered

    async def is_in_step(self) -> bool:
        """Tell whether the next message will be of the next turn: nothing is left of the one before."""
        try:
            messages = await self.connection.waiting()
        except ConnectionLost:
            return False
        except BaseException:
            await self.connection.abort()
            raise
        return not any(map(self.dialogue.is_left_over, messages))


class _Pool:
    """The connections of one loop that wait for their next turn, the one longest idle first."""

    __slots__ = ("_closed", "_idle", "_max_age", "_max_idle", "opened")

    def __init__(self, max_age: float, max_idle: float) -> None:
        self._max_age = max_age
        self._max_idle = max_idle
        self._idle: list[_Line] = []
        self._closed = False
        self.opened: weakref.WeakSet[Channel] = weakref.WeakSet()

    async def take(self, request: HttpRequest) -> _Line | None:
        """The connection where the conversation was; any, where enough are open; else none."""
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
        """Close the sockets of an asyncio loop that was closed without its clean-up."""
        self._closed = True
        for connection in list(self.opened):
            release(connection)


@final
class _Answer(HttpResponse):
    """The messages of one turn as server-sent events."""

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
        """Wait for the first message; False if another connection has to be asked."""
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
                    break  # what else has come is of the turn that was refused
                self._take(message)
                if heard == "last":
                    await self._end(messages[number:])
                    break
        return True

    def _heard(self, message: bytes) -> Literal["more", "last", "again", "elsewhere"]:
        if _is_too_much(message):
            return "more"  # whoever reads the answer decides, and ends the connection
        return self._line.dialogue.hear(message)

    def _take(self, message: bytes) -> None:
        self._pieces.append(b"data: %s\n\n" % message.replace(b"\r", b" ").replace(b"\n", b" "))

    async def _end(self, left: Sequence[bytes]) -> None:
        """The answer is over: keep the connection for the next turn, unless more came than the answer."""
        self._state = "over"
        if any(_is_too_much(message) or self._line.dialogue.is_left_over(message) for message in left):
            await self._line.connection.abort()
        else:
            await self._pool.give_back(self._line)

    async def read(self, timeout: float | None = None) -> bytes:
        """The next messages; see `HttpResponse.read`."""
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
                self._state = "over"  # closed in good order, whatever is missing
                await self._line.connection.abort()
            return await self.read()
        msg = f"nothing more came from {shown_url(self._url)} within {timeout} s"
        raise TimeoutError(msg)

    async def aclose(self) -> None:
        """End the connection if the answer is not over; see `HttpResponse.aclose`."""
        if self._state == "open":
            self._state = "closed"
            await self._line.connection.abort()


def _is_too_much(message: bytes) -> bool:
    """Whether a message is more than may be decoded here, where nobody knows the bounds of the answer."""
    most = DEFAULT_BOUNDS.max_values
    return most is not None and len(message) > most and values_in(message, most) > most


@final
class _Refusal(HttpResponse):
    """The answer of a server that did not open the WebSocket."""

    __slots__ = ("_body",)

    def __init__(self, refused: Refused) -> None:
        self.status = refused.status
        self.headers = refused.headers
        self._body = refused.body

    async def read(self, timeout: float | None = None) -> bytes:  # noqa: ARG002 - all of it is here
        """The body; see `HttpResponse.read`."""
        body, self._body = self._body, b""
        return body

    async def aclose(self) -> None:
        """Nothing is open."""
