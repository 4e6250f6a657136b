"""A client of one vendor asks for an answer in a form, and a backend of another one is told of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from attrs import frozen

import mellite
from mellite.backends import Scripted
from mellite.server.running import RunningServer
from tests.server.asking import SPECS, raw, served_backend

Server = Callable[..., RunningServer]

PARIS = '{"name": "Paris", "people": 2}'
HI = [{"role": "user", "content": "Hi."}]
SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
GOOGLE = {
    "type": "OBJECT",
    "properties": {
        "name": {"type": "STRING", "nullable": True},
        "tags": {"type": "ARRAY", "items": {"anyOf": [{"type": "STRING"}]}, "minItems": "1"},
    },
    "propertyOrdering": ["name", "tags"],
}
PLAIN = {
    "type": "object",
    "properties": {
        "name": {"type": ["string", "null"]},
        "tags": {"type": "array", "items": {"anyOf": [{"type": "string"}]}, "minItems": 1},
    },
}
ANY = {"type": "object"}

#: Where a provider is asked, and the variables that say so.
UPSTREAM = {
    "anthropic:claude-sonnet-4-5": ("ANTHROPIC_BASE_URL", ""),
    "google:gemini-2.5-flash": ("GOOGLE_GEMINI_BASE_URL", ""),
    "openai:gpt-4o-mini": ("OPENAI_BASE_URL", "/v1"),
}


@frozen
class City:
    """What is asked for."""

    name: str
    people: int


@pytest.mark.anyio
@pytest.mark.parametrize("upstream", UPSTREAM)
async def test_a_provider_of_another_vendor(
    mellite_server: Server, monkeypatch: pytest.MonkeyPatch, upstream: str
) -> None:
    """Whatever a client speaks, the provider gets the schema in its own words, and the client its answer."""
    provider = mellite_server(Scripted([PARIS] * len(SPECS)))
    variable, behind = UPSTREAM[upstream]
    monkeypatch.setenv(variable, f"{provider.url}{behind}")
    for name in ("ANTHROPIC_API_KEY", "GEMINI_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.setenv(name, "sk-of-the-server")
    server = mellite_server(upstream)
    for spec in SPECS:
        async with served_backend(server, spec) as backend:
            assert await backend.generate("Which city?", output=City) == City("Paris", 2)
    for request in provider.requests:
        assert '"people"' in json.dumps(request.json), request.path


@pytest.mark.parametrize(
    ("path", "body", "schema"),
    [
        ("/v1/chat/completions", {"messages": HI, "response_format": {"type": "json_object"}}, ANY),
        (
            "/v1/chat/completions",
            {
                "messages": HI,
                "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}},
            },
            SCHEMA,
        ),
        ("/v1/chat/completions", {"messages": HI, "response_format": {"type": "text"}}, None),
        ("/v1/responses", {"input": "Hi.", "text": {"format": {"type": "json_object"}, "verbosity": "low"}}, ANY),
        ("/v1/responses", {"input": "Hi.", "text": {"verbosity": "low"}}, None),
        ("/v1/messages", {"messages": HI, "output_format": {"type": "json_schema", "schema": SCHEMA}}, SCHEMA),
        (
            "/v1/messages",
            {"messages": HI, "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": SCHEMA}}},
            SCHEMA,
        ),
        (
            "/v1beta/models/m:generateContent",
            {"generationConfig": {"responseMimeType": "application/json", "responseSchema": GOOGLE}},
            PLAIN,
        ),
        ("/v1beta/models/m:generateContent", {"generationConfig": {"responseMimeType": "application/json"}}, ANY),
        ("/v2/chat", {"messages": HI, "response_format": {"type": "json_object", "schema": SCHEMA}}, SCHEMA),
        ("/v2/chat", {"messages": HI, "response_format": {"type": "json_object"}}, ANY),
        ("/api/chat", {"messages": HI, "format": "json"}, ANY),
        ("/api/chat", {"messages": HI, "format": SCHEMA}, SCHEMA),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_every_form(mellite_server: Server, path: str, body: dict[str, Any], schema: Any, stream: bool) -> None:
    """What a vendor's clients write is read; an answer that does not fit goes to the client as it is."""
    seen: list[mellite.Request] = []

    def answer(request: mellite.Request) -> str:
        seen.append(request)
        return "no JSON at all"

    asked = {"contents": [{"parts": [{"text": "Hi."}]}], **body} if "models" in path else {"model": "m", **body}
    if stream and "models" in path:
        path = path.replace("generate", "streamGenerate") + "?alt=sse"
    elif "models" not in path:
        asked["stream"] = stream
    found = raw(mellite_server(Scripted([answer])).url, path, json.dumps(asked).encode())
    assert (found.status, found.ended) == (200, True)
    for part in ("no ", "JSON"):
        assert part.encode() in b"".join(found.pieces)
    (request,) = seen
    assert request.output is str if schema is None else request.output == mellite.Json(schema)


@pytest.mark.parametrize(
    ("path", "body", "named"),
    [
        ("/v1/chat/completions", {"messages": HI, "response_format": {"type": "grammar"}}, "response_format"),
        ("/v1/chat/completions", {"messages": HI, "response_format": "json"}, "response_format"),
        ("/v1/responses", {"input": "Hi.", "text": {"format": {"type": "json_schema", "schema": {"type": 7}}}}, "7"),
        ("/v1beta/models/m:generateContent", {"generationConfig": {"responseMimeType": "text/x.enum"}}, "text/x.enum"),
    ],
)
def test_a_form_that_is_none(mellite_server: Server, path: str, body: dict[str, Any], named: str) -> None:
    """What no other vendor has, and what is not a schema, is refused by name."""
    asked = {"contents": [{"parts": [{"text": "Hi."}]}], **body} if "models" in path else {"model": "m", **body}
    found = raw(mellite_server("fake:echo").url, path, json.dumps(asked).encode())
    assert found.status == 400
    assert named in json.dumps(json.loads(b"".join(found.pieces)))
