"""Responses over WebSockets end to end: backends and thunks over loopback, and what was recorded of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import evolve

import mellite
from mellite import ModelOutputThunk
from mellite.backends import LiveBackend
from mellite.cassettes import RecordTransport, ReplayTransport
from mellite.errors import AuthenticationError, ConnectionLost, IncompleteStream, RateLimited
from mellite.messages import Message, ToolResult
from mellite.protocols.openai_responses import OPENAI, protocol
from mellite.providers.catalog import find
from mellite.providers.openai import websocket_transport
from mellite.request import Request, ToolDefinition
from tests.wire.sockets import close, hang_up, talking

MODEL = "gpt-4.1-mini"
CITY = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
WEATHER = ToolDefinition("get_weather", "Get current weather for a city.", input_schema=CITY)


def delta(text: str) -> dict[str, Any]:
    return {"type": "response.output_text.delta", "item_id": "msg_1", "output_index": 0, "delta": text}


def last(text: str) -> dict[str, Any]:
    item = {"type": "message", "id": "msg_1", "content": [{"type": "output_text", "text": text}]}
    return {"type": "response.completed", "response": {"id": "resp_1", "model": "m", "output": [item]}}


def backend_at(url: str, **dialect: Any) -> LiveBackend:
    route = find(f"openai-websocket:{MODEL}", api_key="sk-test", base_url=url)
    return LiveBackend(route.with_(protocol=protocol(evolve(OPENAI, **dialect))))


def recorded(corpora: Path, name: str) -> list[tuple[list[Any], list[list[str]]]]:
    """For each connection of a recording: what was asked, decoded, and the messages that answered each."""
    folder = corpora / "opencode" / "_successor-ai" / "recordings" / "openai-responses-websocket"
    connections = []
    for interaction in json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))["interactions"]:
        asked: list[Any] = []
        answers: list[list[str]] = []
        for event in interaction["events"]:
            if event["direction"] == "client":
                asked.append(json.loads(event["body"]))
                answers.append([])
            else:
                answers[-1].append(event["body"])
        connections.append((asked, answers))
    return connections


def after(request: Request, thunk: ModelOutputThunk[Any], *messages: Message) -> Request:
    return evolve(request, messages=(*request.messages, thunk.message, *messages))


# --- what was recorded ----------------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_tool_call_goes_on_over_one_socket(corpora: Path) -> None:
    """The result of a tool is all that the second turn says."""
    ((asked, answers),) = recorded(corpora, "continues-a-tool-call-over-one-socket")
    system = "Call get_weather once, then reply exactly: Paris is sunny."
    request = Request.of("What is the weather in Paris?", system=system, tools=[WEATHER], max_tokens=50, temperature=0)
    with talking([answers]) as server:
        async with backend_at(server.url) as backend:
            thunk = backend.generate(request)
            await thunk
            (call,) = thunk.tool_calls
            sunny = Message.tool(ToolResult(call.id, call.name, {"temperature": 22, "condition": "sunny"}))
            assert await backend.generate(after(request, thunk, sunny)) == "Paris is sunny."
    assert server.heard == [asked]


@pytest.mark.anyio
async def test_a_new_socket_is_told_everything(corpora: Path) -> None:
    """After the connection has gone, the next turn says all that was said, ids included where they are wanted."""
    (first, second) = recorded(corpora, "reconstructs-full-context-after-reconnect")
    system = "Follow the user's exact reply instruction."
    request = Request.of("Reply exactly: Alpha.", system=system, max_tokens=30, temperature=0)
    with talking([[[*first[1][0], close()]], second[1]]) as server:
        async with backend_at(server.url, message_ids=True) as backend:
            thunk = backend.generate(request)
            assert await thunk == "Alpha."
            assert await backend.generate(after(request, thunk, Message.user("Reply exactly: Beta."))) == "Beta."
    assert server.heard[0][0] == first[0][0]
    assert server.heard[1] == second[0]


@pytest.mark.anyio
async def test_a_server_that_forgot_is_told_everything(corpora: Path) -> None:
    """Where the last answer is not known any more, all is said again on the same connection."""
    (first, second) = recorded(corpora, "recovers-from-explicit-continuation-rejection")
    system = "Follow the user's exact reply instruction."
    request = Request.of("Reply exactly: Ready.", system=system, max_tokens=30, temperature=0)
    with talking([[*first[1], *second[1]]]) as server:
        async with backend_at(server.url, message_ids=True) as backend:
            thunk = backend.generate(request)
            assert await thunk == "Ready."
            following = backend.generate(after(request, thunk, Message.user("Reply exactly: Recovered.")))
            assert await following == "Recovered."
            assert following.generation.response_id == "resp_ws_rejection_2"
    assert server.heard == [[*first[0], *second[0]]]


# --- thunks ---------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_thunk_over_a_socket() -> None:
    """Text, metadata and raw answer are what they are over HTTP."""
    with talking([[[delta("Hel"), delta("lo."), last("Hello.")]]]) as server:
        backend = mellite.backend(f"openai-websocket:{MODEL}", api_key="sk-test", base_url=server.url)
        async with backend:
            thunk = backend.generate("Hi.")
            assert [text async for text in thunk] == ["Hel", "lo."]
    assert thunk.generation.finish_reason == "stop"
    assert (thunk.generation.streaming, thunk.generation.response_id) == (True, "resp_1")
    assert thunk.raw.status == 200
    assert [chunk["type"] for chunk in thunk.raw.streamed_chunks or []] == [
        "response.output_text.delta",
        "response.output_text.delta",
        "response.completed",
    ]


@pytest.mark.anyio
async def test_a_socket_always_streams() -> None:
    """Who asks for an answer in one piece gets it, though it comes in pieces."""
    with talking([[[delta("Hel"), delta("lo."), last("Hello.")]]]) as server:
        async with backend_at(server.url) as backend:
            thunk = backend.generate("Hi.", stream=False)
            assert await thunk == "Hello."
    assert thunk.generation.streaming
    assert "stream" not in server.heard[0][0]


@pytest.mark.slow
def test_without_a_loop() -> None:
    """Whoever has no loop asks all the same."""
    with talking([[[last("Hello.")]]]) as server:
        backend = backend_at(server.url)
        assert backend.generate("Hi.").result(timeout=10) == "Hello."
        del backend


@pytest.mark.slow
def test_one_backend_in_several_loops() -> None:
    """A backend may be used in one loop after the other, of either kind; each loop closes its own connections."""
    with talking([[[last("Hello.")]]] * 4) as server:
        backend = backend_at(server.url)
        for name in ("asyncio", "trio", "asyncio"):
            assert anyio.run(backend.generate("Hi.").avalue, backend=name) == "Hello."
            assert server.gone.acquire(timeout=5)
        assert backend.generate("Hi.").result(timeout=10) == "Hello."
        del backend
    assert server.codes[:3] == [1000] * 3


@pytest.mark.anyio
@pytest.mark.parametrize(("end", "kind"), [(close(), IncompleteStream), (hang_up, ConnectionLost)])
async def test_a_socket_that_breaks(end: Any, kind: type[Exception]) -> None:
    """An answer that broke off says so, and keeps the text."""
    with talking([[[delta("Hel"), end]]]) as server:
        async with backend_at(server.url) as backend:
            thunk = backend.generate("Hi.")
            with pytest.raises(kind):
                await thunk
            assert thunk.partial == "Hel"


@pytest.mark.anyio
async def test_a_thunk_that_is_cancelled() -> None:
    """Cancelling closes the connection, and the next request has one of its own."""
    with talking([[[delta("Hel")]], [[last("Hello.")]]]) as server:
        async with backend_at(server.url) as backend:
            thunk = backend.generate("Hi.")
            async for _ in thunk:
                await thunk.cancel_generation()
                break
            assert thunk.cancelled
            assert await anyio.to_thread.run_sync(server.gone.acquire, True, 5)
            assert await backend.generate("Hi.") == "Hello."


@pytest.mark.anyio
async def test_what_came_over_a_socket_is_replayed_over_anything() -> None:
    """A recorded answer reads like one over HTTP, and is replayed to whoever asks the same."""
    with talking([[[delta("Hel"), last("Hello.")]]]) as server:
        sockets = websocket_transport()
        recorder = RecordTransport(sockets)
        live = LiveBackend(find(f"openai-websocket:{MODEL}", api_key="k", base_url=server.url), transport=recorder)
        assert await live.generate("Hi.") == "Hello."
        await sockets.aclose()
        route = find(f"openai:{MODEL}", api_key="k", base_url=server.url)
    assert await LiveBackend(route, transport=ReplayTransport(recorder.cassette)).generate("Hi.") == "Hello."


@pytest.mark.anyio
async def test_errors_over_a_socket() -> None:
    """An error message, and a handshake that is refused, are the errors that they stand for."""
    said = {"type": "error", "status": 429, "error": {"code": "rate_limit_exceeded", "message": "Slow down."}}
    with talking([[[said]]]) as server:
        async with backend_at(server.url) as backend:
            with pytest.raises(RateLimited, match="Slow down"):
                await backend.generate("Hi.")
    with talking(refuse=401) as server:
        async with backend_at(server.url) as backend:
            with pytest.raises(AuthenticationError, match="Not you") as caught:
                await backend.generate("Hi.")
            assert caught.value.status == 401


@pytest.mark.anyio
async def test_the_key_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """No logger gets to see the key, however much is logged."""
    caplog.set_level(1)
    with talking([[[last("Hello.")]]]) as server:
        route = find(f"openai-websocket:{MODEL}", api_key="sk-very-secret", base_url=server.url)
        async with LiveBackend(route) as backend:
            await backend.generate("Hi.")
        assert server.headers[0]["authorization"] == "Bearer sk-very-secret"
    ours = [record for record in caplog.records if not record.name.startswith("websockets.server")]
    assert "sk-very-secret" not in "".join([record.getMessage() for record in ours])


@pytest.mark.anyio
async def test_grok_over_a_socket() -> None:
    """XAI speaks the same over its own URL."""
    with talking([[[last("Hello.")]]]) as server:
        async with LiveBackend(find("xai-websocket:grok-4", api_key="xai-key", base_url=server.url)) as backend:
            assert await backend.generate("Hi.") == "Hello."
    assert server.heard[0][0]["include"] == ["reasoning.encrypted_content"]


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["openai-websocket:gpt-5.5", "xai-websocket:grok-4"])
async def test_events_behind_the_end_of_a_turn_are_not_in_the_next_answer(name: str) -> None:
    """What a server says after an answer is over is nobody's answer."""
    created = {"type": "response.created", "response": {"id": "resp_1", "model": "m"}}
    first = [created, delta("One."), last("One."), delta("Old."), last("Old.")]
    with talking([[first], [[created, delta("Two."), last("Two.")]]]) as server:
        async with mellite.backend(name, api_key="k", base_url=server.url) as backend:
            thunk = backend.generate([Message.user("One?")])
            assert await thunk == "One."
            assert await backend.generate([Message.user("One?"), thunk.message, Message.user("Two?")]) == "Two."
