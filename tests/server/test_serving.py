"""A served backend or cassette answers whoever speaks a vendor's protocol: whole, streamed, or with an error."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

import mellite
from mellite import Message, ToolCall
from mellite.backends import Failing, Scripted
from mellite.cassettes import Body, Cassette, HttpInteraction, RecordedRequest, RecordedResponse
from mellite.errors import ConfigurationError, InvalidRequest, MelliteError, RateLimited
from mellite.events import Event, Finish, ReasoningDelta, ReasoningEnd, TextDelta, Usage
from mellite.server.running import RunningServer
from tests.server.asking import SPECS, raw, served_backend

Server = Callable[..., RunningServer]

USED = Usage.of(input_tokens=5, output_tokens=7)


@pytest.mark.anyio
@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("stream", [True, False])
async def test_a_text(mellite_server: Server, spec: str, stream: bool) -> None:
    """The text of the backend arrives, with its usage and its end."""
    server = mellite_server("fake:echo")
    async with served_backend(server, spec) as backend:
        thunk = backend.generate("Hello there, you!", stream=stream)
        assert await thunk == "Hello there, you!"
    assert thunk.finish_reason == "stop"
    assert (thunk.usage and thunk.usage.output_tokens) == 3
    assert [request.status for request in server.requests] == [200]


@pytest.mark.anyio
@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("stream", [True, False])
async def test_thinking_and_calls(mellite_server: Server, spec: str, stream: bool) -> None:
    """Thinking, text and calls of tools arrive, each with what belongs to it."""
    call = ToolCall("call_1", "get_weather", {"city": "Paris"})
    other = ToolCall("call_2", "get_weather", {"city": "Rome"})
    answer: list[Any] = [
        ReasoningDelta("Hm."),
        ReasoningEnd("reasoning-0", provider_metadata={"anthropic": {"signature": "sig"}}),
        TextDelta("Let me see."),
        call,
        other,
        Finish("tool-calls", usage=USED),
    ]
    async with served_backend(mellite_server(Scripted([answer])), spec) as backend:
        thunk = backend.generate("What is the weather?", stream=stream)
        assert await thunk == "Let me see."
    assert thunk.thinking == "Hm."
    assert [(each.name, each.arguments) for each in thunk.tool_calls] == [
        ("get_weather", {"city": "Paris"}),
        ("get_weather", {"city": "Rome"}),
    ]
    assert thunk.finish_reason == "tool-calls"
    assert thunk.usage is not None
    assert (thunk.usage.input_tokens, thunk.usage.output_tokens) == (5, 7)


@pytest.mark.anyio
@pytest.mark.parametrize("spec", SPECS)
async def test_an_error_before_anything(mellite_server: Server, spec: str) -> None:
    """What fails before it says anything is an error with its status."""
    async with served_backend(mellite_server(Failing(RateLimited("Slow down.", retry_after=3))), spec) as backend:
        with pytest.raises(RateLimited, match="Slow down") as raised:
            await backend.generate("Hi.")
    assert raised.value.status == 429
    assert raised.value.retry_after == 3


@pytest.mark.anyio
@pytest.mark.parametrize("spec", SPECS)
async def test_an_error_in_the_middle(mellite_server: Server, spec: str) -> None:
    """What fails after it said something ends the stream with an error; the text so far is kept."""
    backend_ = Scripted([["Once upon ", "a time", RateLimited("Slow down.")]])
    async with served_backend(mellite_server(backend_), spec) as backend:
        thunk = backend.generate("Hi.")
        with pytest.raises(MelliteError):
            await thunk
    assert thunk.partial == "Once upon a time"


@pytest.mark.anyio
@pytest.mark.parametrize("spec", SPECS)
async def test_a_client_that_goes_away_cancels(mellite_server: Server, spec: str) -> None:
    """The generation is cancelled when its client goes away."""
    cancelled = threading.Event()

    class Slow:
        async def stream(self, request: object) -> AsyncIterator[Event]:
            try:
                for _ in range(1000):
                    yield TextDelta("word ")
                    await anyio.sleep(0.01)
                yield Finish("stop")
            finally:
                cancelled.set()

    server = mellite_server(Slow())
    async with served_backend(server, spec) as backend:
        async for _ in (thunk := backend.generate("Hi.")):
            break
        await thunk.cancel_generation()
    assert await anyio.to_thread.run_sync(cancelled.wait, 5)


@pytest.mark.anyio
async def test_a_conversation_with_tools_is_read(mellite_server: Server) -> None:
    """The backend gets the messages, tools and options that the client was given."""
    seen: list[mellite.Request] = []

    def answer(request: mellite.Request) -> str:
        seen.append(request)
        return "Sunny."

    talk = [
        Message.user("Weather?"),
        Message.assistant(ToolCall("call_1", "get_weather", {"city": "Paris"}, raw_arguments='{"city":"Paris"}')),
        Message.tool(mellite.messages.ToolResult("call_1", "get_weather", "22 degrees")),
    ]
    tool = mellite.request.ToolDefinition("get_weather", "Get it.", input_schema={"type": "object", "properties": {}})
    server = mellite_server(Scripted([answer] * len(SPECS)))
    for spec in SPECS:
        async with served_backend(server, spec) as backend:
            await backend.generate(talk, system="Be brief.", tools=[tool], max_tokens=7)
    assert len(seen) == len(SPECS)
    for request in seen:
        assert request.system[0].text == "Be brief."
        assert [message.role for message in request.messages] == ["user", "assistant", "tool"]
        assert request.messages[1].tool_calls[0].arguments == {"city": "Paris"}
        result = request.messages[2].content[0]
        assert isinstance(result, mellite.messages.ToolResult)
        assert result.name == "get_weather"
        assert [each.name for each in request.tools] == ["get_weather"]
        assert request.options.max_tokens == 7


# Cassettes


@pytest.mark.anyio
@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("stream", [True, False])
async def test_recorded_and_served_again(mellite_server: Server, spec: str, stream: bool, tmp_path: Path) -> None:
    """What a server has recorded it answers from, byte for byte, and in the same pieces."""
    file = tmp_path / "chat.json"
    pieces: list[list[bytes]] = []
    for source, record in (("fake:echo", file), (file, None)):
        server = mellite_server(source, record=record, even_in_ci=True)
        async with served_backend(server, spec) as backend:
            assert await backend.generate("Name three rivers.", stream=stream) == "Name three rivers."
        request = server.requests[0]
        pieces.append(raw(server.url, request.path, request.body).pieces)
        server.stop()
    assert len(pieces[0]) == len(pieces[1]) >= (3 if stream else 1)


@pytest.mark.parametrize("size", [1, 100_000], ids=["small", "large"])
def test_the_pieces_of_a_recorded_stream(mellite_server: Server, size: int) -> None:
    """Each recorded piece is a chunk, whether all are sent at once or in turn; HTTP/1.0 gets them without."""
    texts = [f"data: {number}{'.' * size}\n\n" for number in range(5)]
    asked = RecordedRequest("POST", "https://api.openai.com/v1/chat/completions", headers={}, body=Body("{}"))
    headers = {"content-type": "text/event-stream"}
    told = RecordedResponse(200, headers=headers, body=Body("".join(texts)))
    cut = {"chunks": f"{len(texts[0])}x5", "openedUs": 0, "endedUs": 0, "end": "complete"}
    times = {"mellite": {**cut, "started": "2026-11-30T00:00:00.000000Z"}}
    server = mellite_server(Cassette((HttpInteraction(asked, told, extra=times),)))
    found = raw(server.url, "/v1/chat/completions", b"{}")
    assert (found.pieces, found.ended) == ([text.encode() for text in texts], True)
    found = raw(server.url, "/v1/chat/completions", b"{}", version="1.0")
    assert b"".join(found.pieces).decode() == "".join(texts)


def test_a_large_answer_in_one_piece(mellite_server: Server) -> None:
    """What was recorded as one large piece goes out in parts, which a slow client takes one by one."""
    text = "".join([f"{number:09}\n" for number in range(70_000)])
    asked = RecordedRequest("POST", "https://api.openai.com/v1/chat/completions", headers={}, body=Body("{}"))
    told = RecordedResponse(200, headers={"content-type": "application/json"}, body=Body(text))
    found = raw(mellite_server(Cassette((HttpInteraction(asked, told),))).url, "/v1/chat/completions", b"{}")
    assert (b"".join(found.pieces).decode(), found.ended) == (text, True)
    assert max(map(len, found.pieces)) <= 256 * 1024


@pytest.mark.parametrize(("speed", "least"), [("recorded", 0.4), ("2", 0.2), ("instant", 0.0)])
def test_the_time_of_a_recorded_stream(mellite_server: Server, speed: str, least: float) -> None:
    """At the recorded speed each piece comes no sooner than it came then; by a factor, so much sooner."""
    asked = RecordedRequest("POST", "https://api.openai.com/v1/chat/completions", headers={}, body=Body("{}"))
    told = RecordedResponse(200, headers={"content-type": "text/event-stream"}, body=Body("data: 1\n\ndata: 2\n\n"))
    times = {"chunks": "9x2@200000", "openedUs": 0, "endedUs": 400_000, "end": "complete"}
    extra = {"mellite": {**times, "started": "2026-11-30T00:00:00.000000Z"}}
    server = mellite_server(Cassette((HttpInteraction(asked, told, extra=extra),)), speed=speed)
    began = time.monotonic()
    found = raw(server.url, "/v1/chat/completions", b"{}")
    assert time.monotonic() - began >= least
    assert (found.pieces, found.ended) == ([b"data: 1\n\n", b"data: 2\n\n"], True)


@pytest.mark.anyio
async def test_a_request_that_was_not_recorded(mellite_server: Server) -> None:
    """A request that nothing fits is told in what it differs from the nearest one."""
    server = mellite_server("mellite/demo_cassettes/chat.json")
    async with served_backend(server, "openai-chat:gpt-4o-mini") as backend:
        with pytest.raises(InvalidRequest, match=r"\$\.messages\[1\]\.content expected .*rivers"):
            await backend.generate("Name three lakes.", system="Be brief.")
        assert "Nile" in await backend.generate("Name three rivers.", system="Be brief.")


def test_the_same_request_again_and_at_once(mellite_server: Server) -> None:
    """A cassette answers the same request as often as it comes, whatever differs from run to run."""
    server = mellite_server("mellite/demo_cassettes/chat.json")
    recorded = json.loads(Path("mellite/demo_cassettes/chat.json").read_text())["interactions"][0]
    body = json.loads(recorded["request"]["body"])
    for number in range(3):
        told = {**body, "prompt_cache_key": f"run-{number}", "metadata": {"user_id": f"u{number}"}}
        found = raw(server.url, "/any/prefix/chat/completions?api-version=1", json.dumps(told).encode())
        assert b"".join(found.pieces).decode() == recorded["response"]["body"]


def test_a_source_that_is_none(mellite_server: Server) -> None:
    """What cannot be served is refused when the server is started."""
    for source, error in ((12, ConfigurationError), ("nobody:x", mellite.errors.UnknownProvider)):
        with pytest.raises(error):
            mellite_server(source)
    with pytest.raises(mellite.errors.CassetteMiss):
        mellite_server("no/such/file.json")
    with pytest.raises(mellite.errors.UnknownOption, match="faults"):
        mellite_server("fake:echo", fault=("429:1",))


def test_a_server_in_a_block_of_its_own(mellite_server: Server) -> None:
    """A server of the fixture may be used in a block, too, and again after it: it listens once at a time."""
    server = mellite_server("fake:echo")
    url, body = server.url, b'{"model": "m", "messages": [{"role": "user", "content": "Hi."}]}'
    for count in (1, 2):
        with server:
            assert (server.url == url) is (count == 1)
            assert raw(server.url, "/v1/chat/completions", body).status == 200
            assert len(server.requests) == 1
        with pytest.raises(ConnectionRefusedError):
            raw(server.url, "/v1/chat/completions", body)
