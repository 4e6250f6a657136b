"""Replay recorded WebSockets instead of the network, frame for frame, for a `WebSocketTransport`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import anyio
from anyio.lowlevel import checkpoint

from ...loops import forking
from ...values.empty import EMPTY
from ...values.errors import CassetteMismatch, CassetteMiss, ConnectionLost
from ...values.public_names import publish
from ...values.secrets.names import environment_secrets
from ...wire.http import HttpRequest
from ..files.read import load_cassette
from ..interactions import Cassette, WebSocketInteraction
from ..secrets.redaction import Redaction
from .canonical import canonical_url, snapshot
from .matching import differences, explained

if TYPE_CHECKING:
    import ssl
    from os import PathLike

__all__ = ["ReplaySockets"]

#: Close codes of a WebSocket that ended in good order; https://datatracker.ietf.org/doc/html/rfc6455#section-7.4.1.
_CLEAN: Final = (None, 1000, 1001, 1005)


class ReplaySockets:
    """Recorded WebSockets, dialled in the recorded order. Opens no socket.

    The client must send what it sent in the recording, compared as JSON without secrets. After each of its messages
    come the recorded messages of the server, one at a time, up to the next one that the client must send.

    It may be dialled from several loops and threads; ``_lock`` guards the count of connections. A connection belongs
    to the task that dialled it.

    Args:
        cassette: the cassette, or the path of its file, which is read now.
        deadline: how long to wait, in seconds, for the client to send its next message.
        redaction: what is not compared because cassettes never hold it.

    Raises:
        CassetteMiss: if there is no such file.
        InvalidCassette: if it is damaged.

    Example:
        >>> from mellite.protocols.openai_responses.dialogue import ResponsesDialogue
        >>> from mellite.wire.transports.websocket import WebSocketTransport
        >>> transport = WebSocketTransport(ResponsesDialogue, dial=ReplaySockets(Cassette()))
    """

    def __init__(
        self,
        cassette: Cassette | str | PathLike[str],
        *,
        deadline: float = 5.0,
        redaction: Redaction | None = None,
    ) -> None:
        self.cassette = cassette if isinstance(cassette, Cassette) else load_cassette(cassette)
        self._recorded = self.cassette.websockets
        self._numbers = [
            number for number, one in enumerate(self.cassette.interactions) if isinstance(one, WebSocketInteraction)
        ]
        self._deadline = deadline
        self._redaction = redaction or Redaction()
        self._lock = forking.lock()
        self._used = 0

    @property
    def unused(self) -> tuple[WebSocketInteraction, ...]:
        """The connections that have not been opened yet."""
        return self._recorded[self._used :]

    async def __call__(self, request: HttpRequest, ssl_context: ssl.SSLContext | None = None) -> _Socket:  # noqa: ARG002
        """Open the next connection.

        Raises:
            CassetteMiss: if all have been opened.
            CassetteMismatch: if it was recorded with another URL.
        """
        await checkpoint()
        with self._lock:
            index = self._used
            total = len(self._recorded)
            if index >= total:
                msg = f"cassette {self.cassette.name!r}: only {total} WebSockets were recorded, and this is one more"
                raise CassetteMiss(msg, path=self.cassette.path)
            self._check_url(request, index)
            self._used = index + 1
        name = f"the WebSocket of interaction {self._numbers[index]} of cassette {self.cassette.name!r}"
        return _Socket(self._recorded[index], name, self._redaction, deadline=self._deadline, path=self.cassette.path)

    def _check_url(self, request: HttpRequest, index: int) -> None:
        one = self._recorded[index]
        url = one.open.url if one.open is not None else one.connection.url if one.connection is not None else None
        expected, received = [_address(each, self._redaction) for each in (url or request.url, request.url)]
        if expected != received:
            msg = (
                f"cassette {self.cassette.name!r}: this is not the WebSocket of interaction {self._numbers[index]}: "
                f"url expected {expected!r}, received {received!r}"
            )
            raise CassetteMismatch(msg, path=self.cassette.path)


def _address(url: str, redaction: Redaction) -> str:
    """Return a URL without secrets, with ``ws`` for ``http`` and ``wss`` for ``https``."""
    plain = canonical_url(redaction.url(url))
    return f"ws{plain[4:]}" if plain.startswith("http") else plain


class _Socket:
    """One recorded connection.

    Attributes:
        headers: those of the answer to the handshake; empty, since no cassette keeps them.
    """

    def __init__(
        self, one: WebSocketInteraction, name: str, redaction: Redaction, *, deadline: float, path: str | None
    ) -> None:
        self.headers: Mapping[str, str] = EMPTY
        self._one = one
        self._name = name
        self._redaction = redaction
        self._deadline = deadline
        self._path = path
        self._said = 0  # how many messages the client has sent
        self._given = 0  # how many recorded events are over

    async def send(self, message: bytes) -> None:
        """Send a message, which must be the one that was recorded next.

        Raises:
            ConnectionLost: if the client sent nothing more when this was recorded.
            CassetteMismatch: if it is another message.
        """
        await checkpoint()
        recorded = [event for event in self._one.events if event.direction == "client"]
        if self._said >= len(recorded):
            msg = f"{self._name} is over: it has {len(recorded)} messages of the client; this is one more"
            raise ConnectionLost(msg)
        sides = [
            snapshot("SEND", "", headers={}, body=body, redaction=self._redaction)
            for body in (recorded[self._said].body.data, message)
        ]
        found = differences(*sides, secrets=environment_secrets(os.environ))
        if found:
            which = f"message {self._said} of the client"
            msg = f"{self._name}: {which} is not the one that was recorded:\n{explained(found)}"
            raise CassetteMismatch(msg, path=self._path)
        self._said += 1

    async def receive(self) -> list[bytes]:
        """Return the next message of the server; an empty list if it closed the connection in good order.

        Raises:
            ConnectionLost: if it was closed otherwise.
            CassetteMismatch: if the client has to send something first, and does not before the deadline.
        """
        await checkpoint()
        said = sum(1 for event in self._one.events[: self._given] if event.direction == "client")
        for event in self._one.events[self._given :]:
            if event.direction == "client":
                if said == self._said:
                    return await self._wait()
                said += 1
            self._given += 1
            if event.direction == "server":
                return [event.body.data]
        close = self._one.connection.close if self._one.connection is not None else None
        if close is not None and close.code not in _CLEAN:
            msg = f"{self._name} was closed with code {close.code}: {close.reason!r}"
            raise ConnectionLost(msg)
        return []

    async def waiting(self) -> list[bytes]:
        """Return the messages that the server sent before the client's next one."""
        await checkpoint()
        messages: list[bytes] = []
        said = sum(1 for event in self._one.events[: self._given] if event.direction == "client")
        for event in self._one.events[self._given :]:
            if event.direction == "client":
                if said == self._said:
                    break
                said += 1
            else:
                messages.append(event.body.data)
            self._given += 1
        return messages

    async def _wait(self) -> list[bytes]:
        """Wait for the reader to go away, and refuse if it does not before the deadline."""
        await anyio.sleep(self._deadline)
        msg = f"{self._name}: the server said nothing more here before message {self._said} of the client"
        raise CassetteMismatch(msg, path=self._path)

    async def abort(self) -> None:
        """Do nothing: no socket is open."""

    async def aclose(self) -> None:
        """Do nothing: no socket is open."""


publish(globals(), "mellite.cassettes", "ReplaySockets")
