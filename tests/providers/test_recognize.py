"""Recorded requests of every protocol, recognized by URL and body: who was asked, and how it was written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from mellite.messages import CacheHint, Message, Text, ToolCall, ToolResult
from mellite.providers.recognize import route_of
from mellite.request import Request, ToolDefinition
from mellite.wire.route import Route

GOOGLE = "https://generativelanguage.googleapis.com/v1beta"
VERTEX = "https://aiplatform.googleapis.com/v1/projects/p/locations/global"
CALLED = [Message.user("hi"), Message.assistant(ToolCall("c", "f", {})), Message.tool(ToolResult("c", "f", 1))]


def found(url: str, body: Mapping[str, Any]) -> Route:
    route = route_of(url, body)
    assert route is not None
    return route


def written(route: Route, prompt: Any = "hi", **options: Any) -> dict[str, Any]:
    """What the route would send."""
    body: dict[str, Any] = json.loads(route.prepare(Request.of(prompt, **options)).body)
    return body


BEDROCK = "https://bedrock-runtime.us-east-1.amazonaws.com/model"
ASKS = {"model": "m", "messages": []}
STREAMS = {"model": "m", "stream": True}


@pytest.mark.parametrize(
    ("url", "body", "said"),
    [
        ("https://api.groq.com/openai/v1/chat/completions", {"model": "m"}, "groq openai-chat m whole"),
        ("https://api.openai.com/v1/chat/completions", STREAMS, "openai openai-chat m stream"),
        ("https://api.openai.com/v1/responses", STREAMS, "openai openai-responses m stream"),
        ("https://api.x.ai/v1/responses", {"model": "m"}, "xai openai-responses m whole"),
        ("https://api.anthropic.com/v1/messages", ASKS, "anthropic anthropic-messages m whole"),
        ("https://a.example.com/v1/messages?beta=true", ASKS, "a.example.com anthropic-messages m whole"),
        ("https://api.cohere.com/v2/chat", ASKS, "cohere cohere-chat m whole"),
        (f"{GOOGLE}/models/m:generateContent", {}, "google gemini m whole"),
        (f"{GOOGLE}/models/m:streamGenerateContent?alt=sse", {}, "google gemini m stream"),
        (f"{GOOGLE}/tunedModels/mine:generateContent", {}, "google gemini tunedModels/mine whole"),
        (f"{VERTEX}/publishers/google/models/m:generateContent", {}, "vertex gemini m whole"),
        (f"{VERTEX}/endpoints/4711:generateContent", {}, "vertex gemini endpoints/4711 whole"),
        (f"{BEDROCK}/a.b-v1%3A0/converse", {}, "bedrock bedrock-converse a.b-v1:0 whole"),
        (f"{BEDROCK}/m/converse-stream", {}, "bedrock bedrock-converse m stream"),
        # servers on this machine are anybody's
        ("http://localhost:11434/v1/chat/completions", {"model": "m"}, "localhost openai-chat m whole"),
    ],
)
def test_who_was_asked(url: str, body: Any, said: str) -> None:
    """The provider, its protocol and the model are known again, and whether the answer was streamed."""
    route = found(url, body)
    how = "stream" if route.options.stream else "whole"
    assert f"{route.provider} {route.protocol.id} {route.model} {how}" == said
    assert route.prepare(Request.of("hi")).url.partition("?")[0] == url.partition("?")[0]


@pytest.mark.parametrize(
    "url", ["https://example.com/weather", f"{GOOGLE}/models", "https://api.cohere.com/v1/chat", "nonsense", ""]
)
def test_what_is_no_request_for_an_answer(url: str) -> None:
    """Other requests are nobody's."""
    assert route_of(url, {"messages": []}) is None


@pytest.mark.parametrize("host", ["api.openai.com", "api.deepseek.com", "a.example.com"])
@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_the_field_for_the_most_tokens(host: str, field: str) -> None:
    """Of the two names, the one that was written is written again."""
    route = found(f"https://{host}/v1/chat/completions", {"model": "m", field: 5})
    assert {name: value for name, value in written(route, max_tokens=9).items() if "tokens" in name} == {field: 9}


@pytest.mark.parametrize("path", ["chat/completions", "responses"])
def test_what_is_written_only_where_it_was(path: str) -> None:
    """Whether answers are stored, and how strict tools are, is said where it was said."""
    url = f"https://api.openai.com/v1/{path}"
    tool = {"type": "function", "name": "f", "function": {"name": "f"}}
    plain = written(found(url, {"model": "m", "tools": [tool]}), tools=[ToolDefinition("f")])
    strict = {**tool, "strict": False, "function": {"name": "f", "strict": False}}
    full = written(found(url, {"model": "m", "store": False, "tools": [strict]}), tools=[ToolDefinition("f")])
    assert ("store" in plain, "strict" in json.dumps(plain)) == (False, False)
    assert ("store" in full, "strict" in json.dumps(full)) == (True, True)


def test_encrypted_thinking_is_asked_for_where_it_was() -> None:
    """A model that thinks today may have been asked without, and any model with."""
    url = "https://api.openai.com/v1/responses"
    asked = found(url, {"model": "m", "store": False, "include": ["reasoning.encrypted_content"]})
    assert written(asked)["include"] == ["reasoning.encrypted_content"]
    assert "include" not in written(found(url, {"model": "gpt-5.5", "store": False}))


def test_the_usage_of_a_stream_is_asked_for_where_it_was() -> None:
    """Streams may have been asked for with or without their usage."""
    url = "https://api.groq.com/openai/v1/chat/completions"
    without = found(url, {"model": "m", "stream": True})
    assert "stream_options" not in written(without)
    asked = found(url, {"model": "m", "stream": True, "stream_options": {"include_usage": True}})
    assert written(asked)["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize("marked", [True, False])
def test_marks_for_caches_are_written_where_they_were(marked: bool) -> None:
    """A request without marks gets none, also where today's would have some."""
    said = {"type": "text", "text": "Be brief.", **({"cache_control": {"type": "ephemeral"}} if marked else {})}
    prompt = [Message.system(Text("Be brief.", cache=CacheHint())), Message.user("hi")]
    for url, body in (
        ("https://api.anthropic.com/v1/messages", {"model": "m", "messages": [], "system": [said]}),
        ("https://openrouter.ai/api/v1/chat/completions", {"model": "qwen/m", "messages": [{"content": [said]}]}),
    ):
        assert ("cache_control" in json.dumps(written(found(url, body), prompt))) is marked


def test_results_of_tools_as_older_clients_wrote_them() -> None:
    """Results for Gemini have the shape that they had: a name and a content, or an output."""
    url = f"{GOOGLE}/models/m:generateContent"

    def response(older: Mapping[str, Any]) -> dict[str, Any]:
        part = {"functionResponse": {"name": "f", "response": older}}
        contents = written(found(url, {"contents": [{"role": "user", "parts": [part]}]}), CALLED)["contents"]
        shape: dict[str, Any] = contents[-1]["parts"][0]["functionResponse"]["response"]
        return shape

    assert response({"name": "f", "content": "1"}).keys() == {"name", "content"}
    assert "content" not in response({"output": "1"})
