"""A request that a protocol has written is read back as it was, as far as the protocol can say it."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest
from attrs import evolve

from mellite import Message
from mellite.errors import InvalidRequest
from mellite.messages import CacheHint, Document, Image, Reasoning, Text, ToolCall, ToolResult, ToolValue
from mellite.request import Request, ToolChoice, ToolDefinition

PROTOCOLS = ("anthropic_messages", "bedrock_converse", "cohere_chat", "gemini", "openai_chat", "openai_responses")
TEXTUAL = ("cohere_chat", "openai_chat", "openai_responses")
"""Protocols in which the arguments of a call are a text."""

WEATHER = ToolDefinition(
    "get_weather",
    "Get the weather.",
    input_schema={"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)
PICTURE = Image(b"\x89PNG\r\n", media_type="image/png")


def written(protocol: str, request: Request) -> dict[str, Any]:
    """The body of a request, as it goes over the wire."""
    body = import_module(f"mellite.protocols.{protocol}").protocol().lower(request, stream=True)
    found: dict[str, Any] = json.loads(json.dumps(body))
    return found


def read(protocol: str, body: Any) -> Request:
    """What a server reads out of a body."""
    reading: Callable[[Any], Request] = import_module(f"mellite.protocols.{protocol}.request_reading").read
    return reading(body)


def asked(protocol: str, *messages: Message, **options: Any) -> Request:
    """A request as the reader gives it: without marks for the cache where the client has set them."""
    marks = {"cache": "none"} if protocol in ("anthropic_messages", "bedrock_converse") else {}
    model = {"bedrock_converse": "us.amazon.nova-micro-v1:0", "gemini": None}.get(protocol, "some-model")
    return Request.of(list(messages), model=model, **{"max_tokens": 100, **marks, **options})


def call(protocol: str) -> ToolCall:
    """A call of a tool as the protocol keeps it."""
    raw = '{"city": "Paris"}' if protocol in TEXTUAL else None
    noted = {"google": {"id": "call_1"}} if protocol == "gemini" else None
    return ToolCall("call_1", "get_weather", {"city": "Paris"}, raw_arguments=raw, provider_metadata=noted)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_texts_and_options(protocol: str) -> None:
    """A conversation of texts, a system prompt, and options."""
    talk = [Message.user("Hi."), Message.assistant("Yes?"), Message.user("Go on.")]
    request = asked(protocol, *talk, system="Be brief.", temperature=0.5, top_p=0.9)
    assert read(protocol, written(protocol, request)) == request


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_tools(protocol: str) -> None:
    """Tools, the choice of one, its call and its result."""
    result = ToolResult("call_1", "get_weather", "22 degrees")
    talk = [Message.user("Weather?"), Message.assistant("Let me see.", call(protocol)), Message.tool(result)]
    choice = ToolChoice("required") if protocol == "cohere_chat" else ToolChoice("tool", "get_weather")
    request = asked(protocol, *talk, tools=[WEATHER], tool_choice=choice)
    assert read(protocol, written(protocol, request)) == request


@pytest.mark.parametrize("protocol", [name for name in PROTOCOLS if name not in ("cohere_chat", "openai_chat")])
def test_results_that_failed_or_are_json(protocol: str) -> None:
    """What is not text among the results of tools."""
    if protocol in ("bedrock_converse", "gemini"):
        value = ToolValue("json", {"temperature": 22})
    elif protocol == "anthropic_messages":
        value = ToolValue("error", "It is broken.")
    else:
        value = ToolValue("content", (Text("Seen."), PICTURE))
    talk = [
        Message.user("?"),
        Message.assistant(call(protocol)),
        Message.tool(ToolResult("call_1", "get_weather", value)),
    ]
    request = asked(protocol, *talk, tools=[WEATHER])
    assert read(protocol, written(protocol, request)) == request


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_pictures(protocol: str) -> None:
    """A picture beside a text."""
    request = asked(protocol, Message.user("What is this?", PICTURE))
    assert read(protocol, written(protocol, request)) == request


@pytest.mark.parametrize("protocol", ["anthropic_messages", "bedrock_converse", "openai_responses", "openai_chat"])
def test_files(protocol: str) -> None:
    """A file with its name."""
    file = Document(b"%PDF-1", media_type="application/pdf", filename="report.pdf")
    request = asked(protocol, Message.user("Read.", file))
    assert read(protocol, written(protocol, request)) == request


@pytest.mark.parametrize("protocol", ["anthropic_messages", "bedrock_converse"])
def test_signed_thinking_and_marks(protocol: str) -> None:
    """Thinking with its signature, and marks for the cache."""
    talk = [
        Message.user(Text("Hi.", cache=CacheHint(ttl_seconds=3600))),
        Message.assistant(Reasoning("Hm.", encrypted="sig"), "Yes?"),
        Message.user("Go on."),
    ]
    request = asked(protocol, *talk, system=[Text("Be brief.", cache=CacheHint())])
    assert read(protocol, written(protocol, request)) == request


def test_encrypted_thinking_of_responses() -> None:
    """Thinking that OpenAI has encrypted."""
    talk = [Message.user("Hi."), Message.assistant(Reasoning("Hm.", encrypted="xyz"), "Yes?"), Message.user("Go on.")]
    request = asked("openai_responses", *talk)
    assert read("openai_responses", written("openai_responses", request)) == request


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_only_the_vendor_knows(protocol: str) -> None:
    """Fields without a place in a request are kept for the vendor."""
    namespace = {"anthropic_messages": "anthropic", "bedrock_converse": "bedrock", "cohere_chat": "cohere"}
    name = namespace.get(protocol, "google" if protocol == "gemini" else "openai")
    own = {"labels": {"a": "b"}} if protocol == "gemini" else {"service_tier": "flex"}
    request = evolve(asked(protocol, Message.user("Hi.")), provider_options={name: own})
    assert read(protocol, written(protocol, request)) == request


@pytest.mark.parametrize("protocol", [*PROTOCOLS, "ollama_chat"])
@pytest.mark.parametrize(
    "body",
    [
        [],
        {"messages": "Hi."},
        {"messages": [{"role": "alien", "content": "Hi."}], "contents": [{"role": "alien"}], "input": [{"role": "x"}]},
        {"messages": [1], "contents": [1], "input": [1]},
        {"tools": [{"type": 5}], "messages": 1, "contents": 1, "input": 1},
    ],
)
def test_what_is_no_request(protocol: str, body: Any) -> None:
    """A body of another shape is refused, with the place."""
    if protocol == "gemini" and body == {"messages": "Hi."}:
        return
    if protocol == "openai_responses" and body == {"messages": "Hi."}:
        return
    with pytest.raises(InvalidRequest):
        read(protocol, body)


def test_a_part_of_an_unknown_type_is_named() -> None:
    """What cannot be read is refused by its name and place."""
    body = {"messages": [{"role": "user", "content": [{"type": "hologram"}]}]}
    with pytest.raises(InvalidRequest, match=r"messages\[0\]\.content\[0\] is of the type 'hologram'"):
        read("openai_chat", body)
