"""What a provider ran itself, a search or code, is in the answer that a client of the same vendor is served."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import mellite
from mellite.backends import Scripted
from mellite.cassettes import ScriptedTransport
from mellite.events import Finish, TextDelta, ToolCallEvent, ToolResultEvent
from mellite.messages import ToolCall, ToolResult, ToolValue
from mellite.server.running import RunningServer
from tests.server.asking import raw

Server = Callable[..., RunningServer]

#: Protocol -> a backend, where it is asked, and what a client asks.
ASKED: dict[str, tuple[str, str, dict[str, Any]]] = {
    "anthropic-messages": (
        "anthropic:m",
        "/v1/messages",
        {"max_tokens": 9, "messages": [{"role": "user", "content": "Hi."}]},
    ),
    "openai-responses": ("openai:m", "/v1/responses", {"input": "Hi."}),
}
OWN = ("text", "thinking", "redacted_thinking", "tool_use", "message", "reasoning", "function_call")


def recorded(corpora: Path) -> Iterator[tuple[str, dict[str, Any], bytes]]:
    """The whole recorded answers in which a provider ran something: protocol, headers and body."""
    expected = {row["key"]: row for row in map(json.loads, (corpora / "expected.jsonl").read_text().splitlines())}
    with gzip.open(corpora / "interactions.jsonl.gz", "rt") as lines:
        for row in map(json.loads, lines):
            told = expected[row["key"]]
            if told["protocol"] in ASKED and told["expect"].get("server_tools") and not told["streaming"]:
                yield told["protocol"], row["headers"], base64.b64decode(row["body_b64"])


def hosted(answer: dict[str, Any]) -> list[Any]:
    """The blocks or items of an answer that are none of the model's own."""
    found = answer.get("content") or answer.get("output") or []
    return [each for each in found if each.get("type", "message") not in OWN]


def streamed(data: bytes) -> list[Any]:
    """Those of a stream, put together of its events."""
    found: list[Any] = []
    written: dict[int, str] = {}
    for line in data.decode().splitlines():
        event = json.loads(line[6:]) if line.startswith("data: {") else {}
        if event.get("type") == "content_block_start":
            found.append(event["content_block"])
        elif event.get("type") == "content_block_delta" and event["delta"]["type"] == "input_json_delta":
            written[event["index"]] = written.get(event["index"], "") + event["delta"]["partial_json"]
        elif event.get("type") == "response.output_item.done":
            found.append(event["item"])
        elif event.get("type") == "response.completed":
            assert hosted(event["response"]) == hosted({"output": found})
    for index, text in written.items():
        found[index]["input"] = json.loads(text)
    return hosted({"content": found})


def test_every_recorded_one(mellite_server: Server, corpora: Path) -> None:
    """Each block of the corpora that a provider ran comes through a backend as it was recorded."""
    count = 0
    for protocol, headers, body in recorded(corpora):
        spec, path, asked = ASKED[protocol]
        kept = {"content-type": headers["content-type"]}
        wanted = hosted(json.loads(body))
        for stream in (False, True):
            transport = ScriptedTransport([(200, kept, body)])
            server = mellite_server(mellite.backend(spec, api_key="sk-made-up", transport=transport, max_tokens=9))
            found = raw(server.url, path, json.dumps({"model": "m", "stream": stream, **asked}).encode())
            data = b"".join(found.pieces)
            assert (streamed(data) if stream else hosted(json.loads(data))) == wanted
            server.stop()
        count += len(wanted)
    assert count >= 10


@pytest.mark.parametrize("how", ["generateContent", "streamGenerateContent?alt=sse", "streamGenerateContent"])
def test_what_google_ran(mellite_server: Server, how: str) -> None:
    """Code that Google ran, and what it printed, are parts of the answer, between the texts."""
    ran = [
        {"executableCode": {"language": "PYTHON", "code": "print(6 * 7)"}},
        {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "42\n"}},
    ]
    parts = [{"text": "Let me see. "}, *ran, {"text": "It is 42."}]
    told = json.dumps({"candidates": [{"content": {"parts": parts, "role": "model"}, "finishReason": "STOP"}]})
    transport = ScriptedTransport([(200, {"content-type": "application/json"}, told)])
    backend = mellite.backend("google:m", api_key="made-up", transport=transport, stream=False)
    body = b'{"contents": [{"parts": [{"text": "What is 6 * 7?"}]}]}'
    data = b"".join(raw(mellite_server(backend).url, f"/v1beta/models/m:{how}", body).pieces).decode()
    if "sse" in how:
        chunks = [json.loads(line[6:]) for line in data.splitlines() if line]
    else:
        chunks = json.loads(data) if data.startswith("[") else [json.loads(data)]
    found = [part for chunk in chunks for part in chunk["candidates"][0]["content"]["parts"]]
    assert [part for part in found if part != {"text": ""}] == parts


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses"])
def test_those_of_another_vendor(mellite_server: Server, path: str) -> None:
    """What means nothing to the client's vendor is left out, and the rest is there."""
    noted = {"google": {"id": "1"}}
    call = ToolCall("c1", "code_execution", {"code": "1"}, provider_executed=True, provider_metadata=noted)
    value = ToolValue("json", {"outcome": "OK"})
    result = ToolResult("c1", "code_execution", value, provider_executed=True, provider_metadata=noted)
    events: list[Any] = [ToolCallEvent(call), ToolResultEvent(result), TextDelta("One."), Finish("stop")]
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi."}], "input": "Hi."}
    del body["input" if path != "/v1/responses" else "messages"]
    data = b"".join(raw(mellite_server(Scripted([events])).url, path, json.dumps(body).encode()).pieces)
    assert b"One." in data
    assert b"code_execution" not in data


def test_it_goes_back(mellite_server: Server, corpora: Path) -> None:
    """A client that sends such an answer back has it handed to the provider as it was."""
    for protocol, headers, body in recorded(corpora):
        spec, path, asked = ASKED[protocol]
        whole = json.loads(body)
        turn = {"role": "user", "content": "Go on."}
        if protocol == "anthropic-messages":
            asked = {
                **asked,
                "messages": [*asked["messages"], {"role": "assistant", "content": whole["content"]}, turn],
            }
        else:
            asked = {**asked, "input": [{"role": "user", "content": "Hi."}, *whole["output"], turn]}
        kept = {"content-type": headers["content-type"]}
        transport = ScriptedTransport([(200, kept, body)])
        server = mellite_server(mellite.backend(spec, api_key="sk-made-up", transport=transport, max_tokens=9))
        found = raw(server.url, path, json.dumps({"model": "m", **asked}).encode())
        assert found.status == 200, b"".join(found.pieces)
        sent = json.loads(transport.requests[0].body)
        back = {"output": sent["input"]} if "input" in sent else {"content": sent["messages"][1]["content"]}
        without = [{name: value for name, value in one.items() if name != "cache_control"} for one in hosted(back)]
        assert without == hosted(whole)
        server.stop()
