"""mochi_llm_generate and mochi_llm_stream with recording on: four providers, asked once and replayed ever after."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import mellite
from mellite.cassettes import TextDirectory
from mellite.errors import AuthenticationError, RecordingForbidden, SyncInsideLoop, UnknownProvider
from tests.cli.programs import chat_answer
from tests.wire.server import Server, answer, serve

ASK = ("Say hello.", "Hello there!")


def sse(*events: dict[str, Any]) -> str:
    """An event stream, each event with its type as its name."""
    return "".join([f"event: {event.get('type', 'message')}\ndata: {json.dumps(event)}\n\n" for event in events])


def responses(text: str) -> str:
    """An answer as OpenAI's Responses streams it."""
    part = {"type": "output_text", "text": text, "annotations": []}
    item = {"id": "msg_1", "type": "message", "status": "completed", "role": "assistant", "content": [part]}
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    whole = {"id": "resp_1", "object": "response", "status": "completed", "model": "m", "output": [item]}
    usage = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
    return sse(
        {"type": "response.created", "response": {**whole, "status": "in_progress", "output": []}},
        {"type": "response.output_item.added", "output_index": 0, "item": {**item, "content": []}},
        {"type": "response.output_text.delta", **place, "delta": text},
        {"type": "response.output_text.done", **place, "text": text},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": {**whole, "usage": usage}},
    )


def anthropic(text: str) -> str:
    """An answer as Anthropic streams it."""
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": []}
    return sse(
        {"type": "message_start", "message": {**message, "usage": {"input_tokens": 3, "output_tokens": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 4}},
        {"type": "message_stop"},
    )


def gemini(text: str) -> str:
    """An answer as Gemini streams it."""
    usage = {"promptTokenCount": 3, "candidatesTokenCount": 4, "totalTokenCount": 7}
    candidate = {"content": {"role": "model", "parts": [{"text": text}]}, "finishReason": "STOP", "index": 0}
    return f"data: {json.dumps({'candidates': [candidate], 'usageMetadata': usage, 'modelVersion': 'm'})}\n\n"


class Case(NamedTuple):
    """A provider of Mochi's: where it is to be asked, and how it answers."""

    variable: str
    key: str
    body: str
    model: str
    """What is asked for where the program names no model; part of the request."""


CASES = {
    "openai": Case("OPENAI_BASE_URL", "OPENAI_API_KEY", responses(ASK[1]), "gpt-4o-mini"),
    "anthropic": Case("ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY", anthropic(ASK[1]), "claude-haiku-4-5"),
    "google": Case("GOOGLE_GEMINI_BASE_URL", "GEMINI_API_KEY", gemini(ASK[1]), "gemini-2.5-flash"),
    "llama": Case("LLAMA_BASE_URL", "LLAMA_API_KEY", chat_answer(ASK[1]), "default"),
}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server on this machine."""
    with serve() as running:
        yield running


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory to record into, recording on, and no other variable of the machine."""
    for case in CASES.values():
        monkeypatch.delenv(case.variable, raising=False)
        monkeypatch.delenv(case.key, raising=False)
    for name in ("RECORD", "CI", "MELLITE_CASSETTE_DIR", "GOOGLE_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MOCHI_LLM_CASSETTE_DIR", str(tmp_path))
    monkeypatch.setenv("MOCHI_LLM_CASSETTE_RECORD", "1")


def started(provider: str, server: Server, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The provider's address leads to the server, which answers as it does."""
    case = CASES[provider]
    script = server.script(answer(case.body.encode(), headers={"content-type": "text/event-stream"}))
    monkeypatch.setenv(case.variable, script.url)
    monkeypatch.setenv(case.key, "test-key")
    return script


@pytest.mark.parametrize("provider", list(CASES))
def test_recorded_once(
    provider: str, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The default model is asked once; the answer is recorded under the empty name, and replayed without a network."""
    script = started(provider, server, monkeypatch)
    assert mellite.mochi_llm_generate(provider, "", ASK[0]) == ASK[1]
    [got] = script.requests(1)
    assert CASES[provider].model in got.target + got.body.decode()
    recorded = TextDirectory(tmp_path).read(provider, "", ASK[0])
    assert (recorded.text, recorded.sidecar and recorded.sidecar.model) == (ASK[1], "")
    monkeypatch.delenv("MOCHI_LLM_CASSETTE_RECORD")
    monkeypatch.setenv(CASES[provider].variable, "http://127.0.0.1:9")
    assert mellite.mochi_llm_generate(provider, "", ASK[0]) == ASK[1]
    assert mellite.mochi_llm_generate(provider, "other", ASK[0]) == ""
    assert "mochi_llm: cassette not found: " in capsys.readouterr().err


def test_a_model_that_is_named(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that the program names is asked, and is a part of the key."""
    script = started("llama", server, monkeypatch)
    assert mellite.mochi_llm_generate("llama", "qwen", ASK[0]) == ASK[1]
    assert json.loads(script.requests(1)[0].body)["model"] == "qwen"
    assert TextDirectory(tmp_path).find("llama", "", ASK[0]) is None
    assert TextDirectory(tmp_path).read("llama", "qwen", ASK[0]).text == ASK[1]


def test_recording_anew(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """RECORD=true asks also for what is there, and replaces it; in CI it is refused."""
    TextDirectory(tmp_path).record("old", mellite.cassettes.Sidecar("llama", "", prompt=ASK[0]))
    started("llama", server, monkeypatch)
    assert mellite.mochi_llm_generate("llama", "", ASK[0]) == "old"
    monkeypatch.setenv("RECORD", "true")
    assert mellite.mochi_llm_generate("llama", "", ASK[0]) == ASK[1]
    assert TextDirectory(tmp_path).read("llama", "", ASK[0]).text == ASK[1]
    monkeypatch.setenv("CI", "true")
    with pytest.raises(RecordingForbidden):
        mellite.mochi_llm_generate("llama", "", ASK[0])


def test_what_cannot_be_asked(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A missing key and an unknown provider are errors when recording; without a directory nothing is asked."""
    with pytest.raises(AuthenticationError, match="ANTHROPIC_API_KEY"):
        mellite.mochi_llm_generate("anthropic", "", ASK[0])
    with pytest.raises(UnknownProvider, match="acme"):
        mellite.mochi_llm_generate("acme", "", ASK[0])
    monkeypatch.delenv("MOCHI_LLM_CASSETTE_DIR")
    assert mellite.mochi_llm_generate("openai", "", ASK[0]) == ""
    assert capsys.readouterr().err == "mochi_llm: MOCHI_LLM_CASSETTE_DIR not set\n"


@pytest.mark.anyio
async def test_inside_a_loop() -> None:
    """In async code a live call must not block: the error says so, and the stream is for it."""
    with pytest.raises(SyncInsideLoop):
        mellite.mochi_llm_generate("llama", "", ASK[0])


@pytest.mark.anyio
async def test_streamed(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The stream records as well, gives the recorded pieces again, and says what is missing like the whole answer."""
    script = started("llama", server, monkeypatch)
    for _ in range(2):
        assert [piece async for piece in mellite.mochi_llm_stream("llama", "", ASK[0])] == [ASK[1]]
    assert len(script.requests(1)) == 1
    assert TextDirectory(tmp_path).read("llama", "", ASK[0]).chunks == (ASK[1],)
    monkeypatch.delenv("MOCHI_LLM_CASSETTE_RECORD")
    assert [piece async for piece in mellite.mochi_llm_stream("llama", "", "other")] == []
    monkeypatch.delenv("MOCHI_LLM_CASSETTE_DIR")
    assert [piece async for piece in mellite.mochi_llm_stream("llama", "", ASK[0])] == []
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(": ")[2].partition(": ")[0] for line in lines] == [
        "cassette not found",
        "MOCHI_LLM_CASSETTE_DIR not set",
    ]
