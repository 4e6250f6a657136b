"""What hosts of Chat Completions want otherwise, as their own references say, apart from mellite's table."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from mellite.errors import UnsupportedOption
from mellite.messages import CacheHint, Message, Reasoning, Text, ToolCall, ToolResult
from mellite.providers.catalog import find
from mellite.request import Request

KEY = "sk-sentinel-4711-do-not-show"
LONG = "call_a.b!c-" + "0123456789" * 5
TALK = [
    Message.user("Is it sunny?"),
    Message.assistant(Text("Hm."), ToolCall(f"{LONG}1", "look", {}), ToolCall(f"{LONG}2", "look", {})),
    Message.tool(ToolResult(f"{LONG}1", "look", "sun"), ToolResult(f"{LONG}2", "look", "rain")),
    Message.user("And?"),
]
THOUGHT = [Message.user("hi"), Message.assistant(Reasoning("Hm."), Text("Hello.")), Message.user("And?")]


def sent(spec: str, prompt: Any = "hi", **options: Any) -> dict[str, Any]:
    """The body of a request."""
    body: dict[str, Any] = json.loads(find(spec, api_key=KEY).prepare(Request.of(prompt, **options)).body)
    return body


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ("cerebras:m", "reasoning"),
        ("groq:m", "reasoning"),
        ("openrouter:m", "reasoning"),
        ("deepseek:m", "reasoning_content"),
        ("moonshot:m", "reasoning_content"),
        ("vllm:m", "reasoning_content"),
        ("mistral:m", None),
    ],
)
def test_where_earlier_thinking_goes(spec: str, field: str | None) -> None:
    """Thinking of earlier turns stands in the host's own field; Mistral refuses a message with one that it lacks."""
    said = sent(spec, THOUGHT)["messages"][1]
    known = {name: value for name, value in said.items() if name not in ("role", "content")}
    assert known == ({} if field is None else {field: "Hm."})


def test_deepseek_wants_the_thinking_of_every_call() -> None:
    """DeepSeek refuses an assistant message without its thinking, if only an empty one."""
    assert sent("deepseek:m", TALK)["messages"][1]["reasoning_content"] == ""
    assert "reasoning_content" not in sent("groq:m", TALK)["messages"][1]


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ("mistral:m", "[a-zA-Z0-9]{9}"),
        ("openrouter:anthropic/m", "[a-zA-Z0-9_-]+"),
        ("openai-chat:m", ".{1,40}"),
        ("azure-chat:m", ".{1,40}"),
        ("groq:m", re.escape(LONG) + "[12]"),
    ],
)
def test_ids_of_calls(monkeypatch: pytest.MonkeyPatch, spec: str, wanted: str) -> None:
    """Ids of another provider get the form that the host takes; two stay two, and results belong to their calls."""
    monkeypatch.setenv("AZURE_RESOURCE_NAME", "res-1")
    messages = sent(spec, TALK)["messages"]
    ids = [call["id"] for call in messages[1]["tool_calls"]]
    assert len(set(ids)) == 2
    assert all(re.fullmatch(wanted, id) for id in ids)
    assert [message["tool_call_id"] for message in messages[2:4]] == ids


def test_mistral_hears_an_assistant_before_the_user() -> None:
    """Mistral refuses a user right behind a tool's result; its seed has a name of its own."""
    assert [message["role"] for message in sent("mistral:m", TALK)["messages"][-3:]] == ["tool", "assistant", "user"]
    assert [message["role"] for message in sent("groq:m", TALK)["messages"][-2:]] == ["tool", "user"]
    body = sent("mistral:m", seed=3)
    assert (body["random_seed"], "seed" in body) == (3, False)
    assert sent("groq:m", seed=3)["seed"] == 3


def test_what_openrouter_wants() -> None:
    """Behind OpenRouter, Claude wants its tools named, if only as none; effort and budget stand in an object."""
    assert sent("openrouter:anthropic/m", TALK)["tools"] == []
    assert "tools" not in sent("groq:m", TALK)
    assert "tools" not in sent("openrouter:anthropic/m")
    assert sent("openrouter:m", reasoning_effort="low")["reasoning"] == {"effort": "low"}
    assert sent("openrouter:m", reasoning_budget=900)["reasoning"] == {"max_tokens": 900}
    assert sent("groq:m", reasoning_effort="low")["reasoning_effort"] == "low"


@pytest.mark.parametrize(
    ("spec", "marked"),
    [("openrouter:anthropic/m", True), ("openrouter:qwen/m", True), ("openrouter:openai/m", False), ("groq:m", False)],
)
def test_whose_caches_are_marked(spec: str, marked: bool) -> None:
    """Behind OpenRouter, Claude and Qwen are told what to cache; the others do so unasked, and are told nothing."""
    prompt = [Message.system(Text("Be brief.", cache=CacheHint())), Message.user("hi")]
    assert ("cache_control" in json.dumps(sent(spec, prompt, cache="none"))) is marked


def test_cerebras_takes_no_penalties() -> None:
    """Options that Cerebras answers with HTTP 400 are refused before anything is sent."""
    for name in ("frequency_penalty", "presence_penalty"):
        with pytest.raises(UnsupportedOption, match=name):
            sent("cerebras:m", **{name: 0.5})
        assert sent("deepinfra:m", **{name: 0.5})[name] == 0.5


@pytest.mark.parametrize("host", ["fireworks", "llama.cpp", "lmstudio", "openrouter", "perplexity", "together", "vllm"])
def test_who_takes_top_k(host: str) -> None:
    """These hosts take `top_k`, which OpenAI does not have."""
    assert sent(f"{host}:m", top_k=5)["top_k"] == 5
