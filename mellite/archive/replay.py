"""Read every answer in an HTTP cassette as a settled thunk, whatever program has asked for it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import aclosing, suppress
from os import PathLike
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from attrs import evolve

from ..backends.live import LiveBackend
from ..cassettes.bodies import Body, decoded
from ..cassettes.files.read import load_cassette
from ..cassettes.interactions import Cassette, HttpInteraction, RecordedRequest, RecordedResponse, WebSocketInteraction
from ..cassettes.replaying.cutting import Pieces, cut_as_recorded
from ..cassettes.replaying.transport import ReplayTransport
from ..cassettes.timeline import Timeline
from ..loops.sync import run_blocking
from ..providers.recognize import question_of, route_of
from ..thunk.observing import InForce, here, set_in_force
from ..values.errors import MelliteError
from ..values.events import Event
from ..values.messages import Message
from ..values.options import Timeouts
from ..values.request import Request
from ..wire.http import HttpRequest, HttpResponse, Transport
from ..wire.route import Route

if TYPE_CHECKING:
    from ..thunk.thunk import ModelOutputThunk

__all__ = ["calls_of", "replay_all", "replay_one", "route_and_body", "timed_events"]

_IN_URLS: Final = "!#$%&'()*+,/:;=?@[]~"


def replay_all(path: str | PathLike[str]) -> Iterator[tuple[str, ModelOutputThunk[Any] | None]]:
    """Read each recorded answer through the protocol that its request spoke.

    Args:
        path: the file of the cassette.

    Yields:
        The URL of each interaction, and its settled thunk: done, or failed with the error that the answer stands for;
        None instead of the thunk if mellite does not know the protocol.

    Raises:
        CassetteMiss: if there is no such file.
        InvalidCassette: if it is damaged.

    Example:
        >>> for url, thunk in replay_all("mellite/demo_cassettes/chat.json"):
        ...     print(url, thunk.value)
        https://api.openai.com/v1/chat/completions The Amazon, the Nile and the Danube.
    """
    for interaction in load_cassette(path).interactions:
        if isinstance(interaction, HttpInteraction):
            yield interaction.request.url, replay_one(interaction)
        else:
            known = interaction.open or interaction.connection
            yield (known.url if known is not None else None) or "", None


def replay_one(interaction: HttpInteraction) -> ModelOutputThunk[Any] | None:
    """Return the settled thunk of one recorded answer; None if mellite does not know the protocol.

    An answer whose reader went away when it was recorded is a failed one: there is nothing to wait for. The recorded
    body is sent as it is, so a request may contain anything, even what the server refused.
    """
    asked = _asked_again(interaction, _Answer(interaction))
    if asked is None:
        return None
    backend, question = asked
    thunk = backend.generate([Message.user(question)])
    # Nobody looks on: who reads a recording generates nothing that belongs into a log or a trace.
    around = here()
    set_in_force(InForce(observed=False))
    try:
        thunk.result()
    except MelliteError as error:
        if error is not thunk.error:  # the thunk's own error is part of the result; any other is not
            raise
    finally:
        set_in_force(around)
    return thunk


def timed_events(interaction: HttpInteraction) -> list[tuple[int, Event]]:
    """Return the events of a recorded answer, each with when it came, in microseconds after the request was sent.

    Empty if mellite does not know the protocol, or the recording has no times. What comes after damage is left out.
    """
    timeline = Timeline.of(interaction.extra)
    if timeline is None:
        return []
    pieces = cut_as_recorded(interaction.response.body.data, "recorded", timeline)
    transport = _Pieces(interaction, pieces)
    asked = _asked_again(interaction, transport)
    return [] if asked is None else run_blocking(_timed, *asked, transport)


async def _timed(backend: LiveBackend, question: str, transport: _Pieces) -> list[tuple[int, Event]]:
    found: list[tuple[int, Event]] = []
    stream = backend.stream(Request((Message.user(question),)))
    async with aclosing(stream):
        with suppress(MelliteError):  # the error of the answer, which whoever reads it whole is told
            async for event in stream:
                found.append((transport.at, event))  # noqa: PERF401 - what came before an error stays
    return found


def _asked_again(interaction: HttpInteraction, transport: Transport) -> tuple[LiveBackend, str] | None:
    """Return what asks for a recorded answer, and the question; None if mellite does not know the protocol."""
    route, body = route_and_body(interaction)
    if route is None:
        return None

    def recorded_body(request: Request, *, stream: bool) -> dict[str, Any]:  # noqa: ARG001
        return dict(body)

    protocol = evolve(route.protocol, lower=recorded_body, mend=lambda request: (request, ()))
    route = route.with_(model=route.model or "unknown", protocol=protocol)
    return LiveBackend(route, transport=transport, timeouts=_recorded_clocks(interaction)), question_of(body)


def route_and_body(interaction: HttpInteraction) -> tuple[Route | None, Mapping[str, Any]]:
    """Return the route that a recorded request took, or None if mellite does not know it, and its JSON."""
    is_json, body = decoded(interaction.request.body.characters)
    if not is_json or not isinstance(body, dict):
        return None, {}
    # A recorder may have replaced a name by characters that no URL has, as in /accounts/{account}/.
    url = quote(interaction.request.url, safe=_IN_URLS)
    try:
        return route_of(url, body), body
    except ValueError:  # not a URL
        return None, body


def calls_of(socket: WebSocketInteraction) -> list[HttpInteraction]:
    """Return the calls over a WebSocket as they would have gone over HTTP; empty if mellite does not know how.

    A message of the client begins a call. The messages of the server up to the next one are the events of its answer.

    Args:
        socket: the interaction. The only protocol that is known is OpenAI's Responses.
    """
    known = socket.open or socket.connection
    url = (known.url if known is not None else None) or ""
    if not url.startswith(("wss://", "ws://")):
        return []
    calls: list[tuple[dict[str, Any], list[str]]] = []
    for event in socket.events:
        is_json, value = decoded(event.body.text)
        if not is_json or not isinstance(value, dict):
            return []
        if event.direction == "server" and calls:
            calls[-1][1].append(f"data: {event.body.text}\n\n")
        elif event.direction == "server" or value.pop("type", None) != "response.create":
            return []
        else:
            calls.append((value, []))
    return [
        HttpInteraction(
            RecordedRequest("POST", f"http{url[2:]}", body=Body(json.dumps({**asked, "stream": True}))),
            RecordedResponse(200, headers={"content-type": "text/event-stream"}, body=Body("".join(answer))),
        )
        for asked, answer in calls
    ]


def _recorded_clocks(interaction: HttpInteraction) -> Timeouts:
    """Return timeouts with which a recorded timeout happens again. An older file does not say which of them ran out."""
    timeline = Timeline.of(interaction.extra)
    if timeline is None or timeline.fault is None or timeline.fault.type != "TimeoutError":
        return Timeouts()
    if timeline.fault.clock is not None:
        clocks: dict[str, float | None] = {"first_byte": None, "idle": None, "total": None}
        return Timeouts(**{**clocks, timeline.fault.clock: timeline.fault.seconds})
    last = max([at for _, at in timeline.pieces()], default=timeline.opened or 0)
    seconds = max(round((timeline.ended - last) / 1_000_000, 3), 0.001)
    return Timeouts(first_byte=seconds, idle=seconds)


class _Answer:
    """A transport that gives one recorded answer to any request."""

    def __init__(self, interaction: HttpInteraction) -> None:
        self._interaction = interaction

    async def open(self, request: HttpRequest, *, timeout: float | None = None) -> HttpResponse:
        """Replay the answer, with the recorded request in the place of the one that was made."""
        recorded = self._interaction.request
        replay = ReplayTransport(Cassette((self._interaction,)), deadline=0)
        body = recorded.body.data
        return await replay.open(
            HttpRequest(recorded.method, recorded.url, headers=recorded.headers, body=body, context=request.context),
            timeout=timeout,
        )


class _Pieces:
    """A transport that gives the pieces of one recorded answer at once.

    Attributes:
        at: when the last piece that was read had come, in microseconds.
    """

    def __init__(self, interaction: HttpInteraction, pieces: Pieces) -> None:
        self._recorded = interaction.response
        self._pieces = pieces
        self.at = 0

    async def open(self, request: HttpRequest, *, timeout: float | None = None) -> HttpResponse:  # noqa: ARG002
        """Return the answer."""
        body, ends, times = self._pieces
        starts = [0, *ends[:-1]]
        parts = [(body[start:end], at) for start, end, at in zip(starts, ends, times or [0] * len(ends), strict=True)]
        return _InPieces(self._recorded, iter(parts), self)


class _InPieces(HttpResponse):
    """An answer whose pieces tell when they had come."""

    __slots__ = ("_left", "_teller")

    def __init__(self, recorded: RecordedResponse, left: Iterator[tuple[bytes, int]], teller: _Pieces) -> None:
        self.status = recorded.status
        self.headers = {name.lower(): value for name, value in recorded.headers.items()}
        self._left = left
        self._teller = teller

    async def read(self, timeout: float | None = None) -> bytes:  # noqa: ARG002
        """Return the next piece."""
        piece, self._teller.at = next(self._left, (b"", self._teller.at))
        return piece

    async def aclose(self) -> None:
        """Do nothing: there is no connection."""
