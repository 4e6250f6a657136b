"""WebSockets of OpenAI Responses: each message of the client is a request, each event of its answer a message back."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any, Final

from aiohttp import WSMsgType, web

from ..cassettes.replaying.sockets import ReplaySockets
from ..cassettes.replaying.transport import ReplayTransport
from ..values.errors import MelliteError
from ..wire.framing import SseDecoder
from ..wire.http import HttpRequest, Transport
from .dialects import decoded
from .generating import GeneratingTransport
from .paths import Call
from .refusals import error_body, status_of
from .served import Served
from .sources import ANY_PATH

__all__ = ["Sockets"]

_LARGEST: Final = 64 * 1024 * 1024
_PROTOCOL: Final = "openai-responses"


class Sockets:
    """Answers over WebSockets, where the source can: a backend, or a cassette in which WebSockets are recorded.

    Args:
        source: what answers.
    """

    def __init__(self, source: Transport) -> None:
        self._generating = source if isinstance(source, GeneratingTransport) else None
        self._replaying: ReplaySockets | None = None
        if isinstance(source, ReplayTransport) and source.cassette.websockets:
            self._replaying = ReplaySockets(source.cassette, redaction=ANY_PATH)

    def takes(self, call: Call | None) -> bool:
        """Return whether a call is answered over a WebSocket."""
        wanted = call is not None and call.protocol == _PROTOCOL
        return wanted and (self._generating is not None or self._replaying is not None)

    async def serve(
        self, request: web.BaseRequest, call: Call, served: Served, *, marks: Mapping[str, str]
    ) -> web.WebSocketResponse:
        """Answer all messages of one client, until it goes; *marks* name the servers that pass them on."""
        socket = web.WebSocketResponse(max_msg_size=_LARGEST, compress=False)
        await socket.prepare(request)
        served.status = 101
        try:
            if self._replaying is not None:
                await self._replay(socket, call, self._replaying)
            elif self._generating is not None:
                await self._generate(socket, call, self._generating, marks)
        except MelliteError as error:
            served.error = str(error)
            await socket.send_str(_failure(error))
            await socket.close()
        return socket

    async def _replay(self, socket: web.WebSocketResponse, call: Call, sockets: ReplaySockets) -> None:
        recorded = await sockets(HttpRequest("GET", call.url))
        async for message in _messages(socket):
            await recorded.send(message)
            for answer in await recorded.waiting():
                await socket.send_str(answer.decode())

    async def _generate(
        self, socket: web.WebSocketResponse, call: Call, source: GeneratingTransport, marks: Mapping[str, str]
    ) -> None:
        async for message in _messages(socket):
            try:
                body = decoded(message)
                body.pop("type", None)
                data = json.dumps({**body, "stream": True}).encode()
                await self._answer(socket, source, HttpRequest("POST", call.url, headers=marks, body=data))
            except MelliteError as error:
                await socket.send_str(_failure(error))

    async def _answer(self, socket: web.WebSocketResponse, source: GeneratingTransport, request: HttpRequest) -> None:
        response = await source.open(request)
        decoder = SseDecoder()
        async with aclosing(response):
            while data := await response.read():
                for event in decoder.feed(data):
                    await socket.send_str(event.data)


async def _messages(socket: web.WebSocketResponse) -> AsyncIterator[bytes]:
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            yield message.data.encode()
        elif message.type is WSMsgType.BINARY:
            yield message.data


def _failure(error: MelliteError) -> str:
    status = status_of(error)
    body: dict[str, Any] = error_body(_PROTOCOL, status, str(error), code=error.code)
    return json.dumps({"type": "error", "status": status, **body})
