"""Responses over a WebSocket: from a backend, and from a cassette in which one was recorded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import mellite
from mellite.backends import Scripted
from mellite.server.running import RunningServer
from tests.server.asking import raw

Server = Callable[..., RunningServer]

RESPONSES = "/v1/responses"


@pytest.mark.anyio
async def test_turns_over_one_socket(mellite_server: Server) -> None:
    """A client that sends only what is new is answered as if it had sent all."""
    seen: list[list[str]] = []

    def answer(request: mellite.Request) -> str:
        seen.append([message.text for message in request.messages])
        return f"Answer {len(seen)}."

    server = mellite_server(Scripted([answer, answer]))
    spec = "openai-websocket:gpt-4o-mini"
    async with mellite.backend(spec, api_key="sk-test", base_url=f"{server.url}/v1") as backend:
        chat = mellite.Conversation(backend)
        first = chat.ask("One.")
        assert await first == "Answer 1."
        assert await chat.after(first).ask("Two.") == "Answer 2."
    assert seen == [["One."], ["One.", "Answer 1.", "Two."]]
    assert [request.status for request in server.requests] == [101]


def test_an_answer_that_is_named(mellite_server: Server) -> None:
    """Over HTTP, too, a request may name the answer before it; one that nobody gave is refused with its code."""
    server = mellite_server("fake:echo")

    def ask(**fields: str) -> tuple[int, dict[str, object]]:
        found = raw(server.url, RESPONSES, json.dumps({"model": "m", **fields}).encode())
        return found.status, json.loads(b"".join(found.pieces))

    status, first = ask(input="One.")
    assert status == 200
    assert ask(input="Two.", previous_response_id=str(first["id"]))[0] == 200
    status, error = ask(input="Two.", previous_response_id="resp_other")
    assert status == 400
    assert isinstance(error["error"], dict)
    assert error["error"]["code"] == "previous_response_not_found"


@pytest.mark.anyio
async def test_a_recorded_socket(mellite_server: Server, tmp_path: Path) -> None:
    """The messages of a recorded WebSocket come again, each after the message that it answers."""
    done = {"type": "response.completed", "response": {"id": "resp_1", "status": "completed", "output": []}}
    delta = {"type": "response.output_text.delta", "item_id": "m", "delta": "Recorded."}
    turn = {"role": "user", "content": [{"type": "input_text", "text": "Hi."}]}
    asked = {"type": "response.create", "model": "m", "store": False, "input": [turn]}
    events = [
        {"direction": who, "kind": "text", "body": json.dumps(body)}
        for who, body in (("client", asked), ("server", delta), ("server", done))
    ]
    recorded = {"transport": "websocket", "open": {"url": "wss://api.openai.com/v1/responses", "headers": {}}}
    file = tmp_path / "socket.json"
    file.write_text(json.dumps({"version": 1, "interactions": [{**recorded, "events": events}]}))
    server = mellite_server(file)
    spec = "openai-websocket:m"
    async with mellite.backend(spec, api_key="sk-test", base_url=f"{server.url}/v1", retries=0) as backend:
        assert await backend.generate("Hi.") == "Recorded."


def test_no_socket_where_none_was_recorded(mellite_server: Server) -> None:
    """Where only HTTP was recorded a WebSocket is refused, so that clients ask by POST."""
    server = mellite_server("mellite/demo_cassettes/chat.json")
    upgrade = "connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: x\r\n"
    assert raw(server.url, RESPONSES, method="GET", headers=upgrade).status == 426
