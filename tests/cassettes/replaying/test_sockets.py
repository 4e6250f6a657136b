"""ReplaySockets: recorded WebSockets, frame for frame, without a socket."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from mellite.backends import LiveBackend
from mellite.cassettes import (
    Body,
    Cassette,
    ReplaySockets,
    WebSocketClose,
    WebSocketConnection,
    WebSocketEvent,
    WebSocketInteraction,
    WebSocketOpen,
)
from mellite.errors import CassetteMismatch, CassetteMiss, ConnectionLost
from mellite.messages import Message, ToolResult
from mellite.protocols.openai_responses import OPENAI, protocol
from mellite.protocols.openai_responses.dialogue import ResponsesDialogue
from mellite.providers.catalog import find
from mellite.request import Request, ToolDefinition
from mellite.wire.http import HttpRequest
from mellite.wire.transports.websocket import WebSocketTransport

pytestmark = pytest.mark.anyio

URL = "https://api.example.com/v1/responses"
ASKED = HttpRequest("POST", URL)
CITY = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}


def recorded(corpora: Path, name: str, **dialect: Any) -> tuple[LiveBackend, ReplaySockets]:
    """A backend on a recording of the corpora."""
    folder = corpora / "opencode" / "_successor-ai" / "recordings" / "openai-responses-websocket"
    sockets = ReplaySockets(folder / f"{name}.json")
    route = find("openai-websocket:gpt-4.1-mini", api_key="sk-test").with_(protocol=protocol(evolve(OPENAI, **dialect)))
    return LiveBackend(route, transport=WebSocketTransport(ResponsesDialogue, dial=sockets)), sockets


async def test_two_turns_on_one_connection(corpora: Path) -> None:
    """A recorded tool loop replays over one recorded connection: what is said is compared, what came comes."""
    backend, sockets = recorded(corpora, "continues-a-tool-call-over-one-socket")
    weather = ToolDefinition("get_weather", "Get current weather for a city.", input_schema=CITY)
    system = "Call get_weather once, then reply exactly: Paris is sunny."
    request = Request.of("What is the weather in Paris?", system=system, tools=[weather], max_tokens=50, temperature=0)
    thunk = backend.generate(request)
    await thunk
    (call,) = thunk.tool_calls
    sunny = Message.tool(ToolResult(call.id, call.name, {"temperature": 22, "condition": "sunny"}))
    following = backend.generate(evolve(request, messages=(*request.messages, thunk.message, sunny)))
    assert await following == "Paris is sunny."
    assert sockets.unused == ()


async def test_a_second_connection(corpora: Path) -> None:
    """Where the recorded connection was over, the next one is the next that was recorded."""
    backend, sockets = recorded(corpora, "reconstructs-full-context-after-reconnect", message_ids=True)
    system = "Follow the user's exact reply instruction."
    request = Request.of("Reply exactly: Alpha.", system=system, max_tokens=30, temperature=0)
    thunk = backend.generate(request)
    assert await thunk == "Alpha."
    assert len(sockets.unused) == 1
    beta = Message.user("Reply exactly: Beta.")
    assert await backend.generate(evolve(request, messages=(*request.messages, thunk.message, beta))) == "Beta."
    assert sockets.unused == ()


async def test_another_question(corpora: Path) -> None:
    """What was not said when it was recorded is a mismatch that shows where it differs, and a thunk's own error."""
    backend, _ = recorded(corpora, "reconstructs-full-context-after-reconnect", message_ids=True)
    thunk = await backend.generate("Reply exactly: Gamma.", max_tokens=30, temperature=0).settle()
    assert isinstance(thunk.error, CassetteMismatch)
    assert "message 0 of the client is not the one that was recorded" in str(thunk.error)
    assert "Reply exactly: Gamma." in str(thunk.error)


def event(direction: Any, body: str) -> WebSocketEvent:
    """A frame."""
    return WebSocketEvent(direction, "text", body=Body(body))


def sockets(*events: WebSocketEvent, code: int | None = 1000, url: str = "wss://api.example.com/v1/responses") -> Any:
    """A cassette of one connection."""
    one = WebSocketInteraction(
        events, open=WebSocketOpen(url), connection=WebSocketConnection(0, close=WebSocketClose(code, "bye"))
    )
    return ReplaySockets(Cassette((one,)), deadline=0.01)


async def test_the_server_waits_for_the_client() -> None:
    """Messages of the server come up to the next that the client has to send; nobody waits for ever."""
    dial = sockets(event("server", "hi"), event("client", '{"a": 1}'), event("server", "b"), event("server", "c"))
    socket = await dial(ASKED)
    assert await socket.receive() == [b"hi"]
    with pytest.raises(CassetteMismatch, match="the server said nothing more here before message 0 of the client"):
        await socket.receive()
    await socket.send(b'{"a":1.0}')
    assert [await socket.receive() for _ in range(3)] == [[b"b"], [b"c"], []]
    with pytest.raises(ConnectionLost, match="it has 1 messages of the client; this is one more"):
        await socket.send(b"{}")


async def test_what_is_wrong_is_said() -> None:
    """Another message, another place, one connection too many and a bad end each have their error."""
    dial = sockets(event("client", '{"a": 1, "token": "[REDACTED]"}'), code=1011)
    with pytest.raises(CassetteMismatch, match=r"url expected 'wss://api.example.com/v1/responses', received"):
        await dial(HttpRequest("POST", URL + "/other"))
    socket = await dial(ASKED)
    with pytest.raises(CassetteMismatch, match=r"\$\.a expected 1, received 2"):
        await socket.send(b'{"a": 2, "token": "live"}')
    await socket.send(b'{"a": 1, "token": "live"}')
    with pytest.raises(ConnectionLost, match="closed with code 1011: 'bye'"):
        await socket.receive()
    with pytest.raises(CassetteMiss, match="only 1 WebSockets were recorded"):
        await dial(ASKED)
