"""The contents of an HTTP cassette: recorded requests and responses, and frames over WebSockets.

These are values. A body is decoded when it is asked for; keys that mellite does not know are kept in ``extra``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from attrs import field, frozen

from ..values.empty import EMPTY
from ..values.pictured import Pictured
from ..values.provider_json import Json
from ..values.public_names import publish
from ..values.signatures import write_signature
from .bodies import Body

if TYPE_CHECKING:
    from ..values.portrait import Portrait, Row

__all__ = [
    "Cassette",
    "HttpInteraction",
    "Interaction",
    "RecordedRequest",
    "RecordedResponse",
    "WebSocketClose",
    "WebSocketConnection",
    "WebSocketEvent",
    "WebSocketInteraction",
    "WebSocketOpen",
]


@frozen
class RecordedRequest:
    """A request as it was recorded: without most headers, its secrets replaced.

    Args:
        method: as in ``POST``.
        url: absolute.
        headers: as they stand in the file.
        body: always text.
        extra: keys that mellite does not know.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default=EMPTY, kw_only=True)
    body: Body = field(factory=lambda: Body(""), kw_only=True)
    extra: Mapping[str, Json] = field(default=EMPTY, kw_only=True)


@frozen
class RecordedResponse:
    """A response as it was recorded.

    Args:
        status: the HTTP status.
        headers: as they stand in the file.
        body: text, or bytes in base64.
        extra: keys that mellite does not know.
    """

    status: int
    headers: Mapping[str, str] = field(default=EMPTY, kw_only=True)
    body: Body = field(factory=lambda: Body(""), kw_only=True)
    extra: Mapping[str, Json] = field(default=EMPTY, kw_only=True)


@frozen
class HttpInteraction:
    """One request and the response to it.

    Args:
        request: what was sent.
        response: what came back.
        transport: ``http``, or None if an older file does not say.
        extra: keys that mellite does not know.
    """

    request: RecordedRequest
    response: RecordedResponse
    transport: Literal["http"] | None = field(default="http", kw_only=True)
    extra: Mapping[str, Json] = field(default=EMPTY, kw_only=True)


@frozen
class WebSocketOpen:
    """The request that opened a WebSocket."""

    url: str
    headers: Mapping[str, str] = field(default=EMPTY, kw_only=True)
    extra: Mapping[str, Json] = field(default=EMPTY, kw_only=True)


@frozen
class WebSocketClose:
    """The close of a WebSocket: the code, as in 1000, and the reason."""

    code: int | None = None
    reason: str | None = None
    extra: Mapping[str, Json] = field(default=EMPTY, kw_only=True)


@frozen
class WebSocketConnection:
    """One of the connections of a recording.

    Args:
        sequence: the number of the connection, from 0 on.
        url: the address that was dialled.
        protocols: the subprotocols that were asked for.
        close: how it was closed; None if the file does not say.
        extra: keys that mellite does not know.
    """

    sequence: int | None = None
    url: str | None = None
    protocols: tuple[str, ...] = field(default=(), kw_only=True)
    close: WebSocketClose | None = field(default=None, kw_only=True)
    extra: Mapping[str, Json] = field(default=EMPTY, kw_only=True)


@frozen
class WebSocketEvent:
    """One frame.

    Args:
        direction: the side that sent it.
        kind: ``text`` or ``binary``.
        body: its content.
        extra: keys that mellite does not know.
    """

    direction: Literal["client", "server"]
    kind: Literal["text", "binary"]
    body: Body = field(kw_only=True)
    extra: Mapping[str, Json] = field(default=EMPTY, kw_only=True)


@frozen
class WebSocketInteraction:
    """The frames that went over one WebSocket.

    Args:
        events: the frames of both sides, in order.
        open: the request that opened it, if it was recorded.
        connection: the connection, if it was recorded.
        extra: keys that mellite does not know.
    """

    events: tuple[WebSocketEvent, ...]
    open: WebSocketOpen | None = field(default=None, kw_only=True)
    connection: WebSocketConnection | None = field(default=None, kw_only=True)
    extra: Mapping[str, Json] = field(default=EMPTY, kw_only=True)


Interaction: TypeAlias = HttpInteraction | WebSocketInteraction


@frozen
class Cassette(Pictured):
    """A whole cassette.

    Args:
        interactions: in the order in which they were recorded.
        metadata: the file's metadata: name, provider, protocol, model, tags; None if it has none.
        path: the file; None if it was not read from one.
        extra: keys that mellite does not know.
    """

    interactions: tuple[Interaction, ...] = ()
    metadata: Mapping[str, Json] | None = field(default=None, kw_only=True)
    path: str | None = field(default=None, kw_only=True)
    extra: Mapping[str, Json] = field(default=EMPTY, kw_only=True)

    @property
    def http(self) -> tuple[HttpInteraction, ...]:
        """The HTTP interactions, without those over a WebSocket."""
        return tuple([one for one in self.interactions if isinstance(one, HttpInteraction)])

    @property
    def websockets(self) -> tuple[WebSocketInteraction, ...]:
        """The interactions over a WebSocket."""
        return tuple([one for one in self.interactions if isinstance(one, WebSocketInteraction)])

    @property
    def name(self) -> str:
        """The name for messages: the cassette's own, or else that of its file."""
        named = (self.metadata or {}).get("name")
        if isinstance(named, str) and named:
            return named
        return self.path or "in memory"

    def _portrait(self) -> Portrait:
        """Return what is to be seen. No body is decoded, and no query of a URL shown: keys may be in both."""
        from ..values.portrait import MOST_ROWS, Portrait, Table, counted

        told = self.metadata or {}
        return Portrait(
            kind="cassette",
            name=self.name,
            facts=(
                ("calls", counted(len(self.interactions), "interaction")),
                *[(name, value) for name in _TOLD if isinstance(value := told.get(name), str)],
            ),
            table=Table(
                "interactions",
                ("#", "request", "status", "sent", "received"),
                rows=tuple([_row(index, one) for index, one in enumerate(self.interactions[:MOST_ROWS])]),
                total=len(self.interactions),
                right=frozenset(("#", "status", "sent", "received")),
            ),
        )


#: What a cassette says of itself that is shown, in this order.
_TOLD: Final = ("provider", "protocol", "model", "recordedAt")


def _row(index: int, interaction: Interaction) -> Row:
    from ..values.portrait import Row, counted

    if isinstance(interaction, HttpInteraction):
        request, response = interaction.request, interaction.response
        asked = f"{request.method} {_place(request.url)}"
        return Row((str(index), asked, str(response.status), _size(request.body), _size(response.body)))
    known = interaction.open or interaction.connection
    frames = [sum(event.direction == side for event in interaction.events) for side in ("client", "server")]
    asked = f"WebSocket {_place((known.url if known is not None else None) or '')}"
    return Row((str(index), asked, "", *[counted(count, "frame") for count in frames]))


def _place(url: str) -> str:
    """Return a URL without user, query and fragment."""
    kept = url.partition("#")[0].partition("?")[0]
    scheme, mark, rest = kept.partition("://")
    host, slash, path = rest.partition("/")
    return f"{host.rpartition('@')[2]}{slash}{path}" if mark else scheme


def _size(body: Body) -> str:
    """Return about how large a body is: as it is stored, so that none is decoded."""
    count = len(body.stored)
    return f"{count:,} B" if count < 10_000 else f"{count / 1000:,.0f} kB"


publish(
    globals(),
    "mellite.cassettes",
    "Cassette",
    "HttpInteraction",
    "RecordedRequest",
    "RecordedResponse",
    "WebSocketClose",
    "WebSocketConnection",
    "WebSocketEvent",
    "WebSocketInteraction",
    "WebSocketOpen",
)

write_signature(RecordedRequest, {"body": "Body('')"})
write_signature(RecordedResponse, {"body": "Body('')"})
