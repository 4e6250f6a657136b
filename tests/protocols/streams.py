"""Answers of every protocol as a server sends them, asked for through the public API."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import mellite
from mellite.cassettes import ScriptedTransport
from tests.wire.frames import message

#: Protocol -> a backend that speaks it.
SPECS = {
    "chat": "openai-chat:m",
    "claude": "anthropic:m",
    "cohere": "cohere:m",
    "converse": "bedrock:us.amazon.nova-micro-v1:0",
    "gemini": "google:gemini-2.5-flash",
    "responses": "openai:m",
    "vertex": "vertex:gemini-2.5-flash",
}


def wire(name: str, values: Sequence[Any]) -> bytes:
    """The bytes that a server sends for these events; a str is the data itself."""
    if name != "converse":
        lines = [f"data: {value if isinstance(value, str) else json.dumps(value)}\n\n" for value in values]
        return "".join(lines).encode()
    frames = [(kind, inner) for value in values for kind, inner in value.items()]
    return b"".join(
        [message({":event-type": kind, ":message-type": "event"}, json.dumps(inner).encode()) for kind, inner in frames]
    )


def asked(name: str, values: Sequence[Any], *more: Exception) -> mellite.ModelOutputThunk[str]:
    """A thunk whose answer streams these events; and then the line breaks, if an error is given."""
    body: list[Any] = [wire(name, values), *more]
    transport = ScriptedTransport([body])
    return mellite.backend(SPECS[name], api_key="sk-test", transport=transport).generate("Hi")


def whole(name: str, body: Any) -> mellite.ModelOutputThunk[str]:
    """A thunk whose answer comes in one piece; bytes are the body itself."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    transport = ScriptedTransport([[data]])
    return mellite.backend(SPECS[name], api_key="sk-test", transport=transport).generate("Hi", stream=False)
