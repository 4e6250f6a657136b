"""What a backend cannot give a client is refused by name: hosted tools of another vendor, several answers at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from mellite.server.running import RunningServer
from tests.server.asking import raw

Server = Callable[..., RunningServer]

CLAUDE, GPT = "anthropic:claude-sonnet-4-5", "openai:gpt-4o-mini"
CHAT, MESSAGES, RESPONSES = "/v1/chat/completions", "/v1/messages", "/v1/responses"
GENERATE = "/v1beta/models/m:generateContent"
FUNCTION = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}
SEARCH = {"type": "web_search_20250305", "name": "web_search"}


@pytest.mark.parametrize(
    ("upstream", "asked", "named"),
    [
        (CLAUDE, (RESPONSES, {"tools": [{"type": "web_search"}]}), "web_search"),
        (CLAUDE, (RESPONSES, {"tools": [FUNCTION]}), None),
        (CLAUDE, (CHAT, {"n": 1, "user": "u", "metadata": {}}), None),
        (CLAUDE, (CHAT, {"functions": [FUNCTION]}), "functions"),
        (CLAUDE, (CHAT, {"logprobs": True}), "'logprobs' is OpenAI's own"),
        (CLAUDE, (GENERATE, {"tools": [{"googleSearch": {}}]}), "Google's own"),
        (CLAUDE, (GENERATE, {"generationConfig": {"responseModalities": ["TEXT", "IMAGE"]}}), "responseModalities"),
        (CLAUDE, (GENERATE, {"generationConfig": {"responseModalities": ["TEXT"]}}), None),
        (GPT, (MESSAGES, {"tools": [SEARCH]}), "web_search"),
        (GPT, (MESSAGES, {"metadata": {"user_id": "u"}}), None),
        (GPT, (RESPONSES, {"tools": [{"type": "web_search"}]}), None),
        (GPT, (CHAT, {"n": 2}), "'n' asks for 2 answers"),
        ("fake:echo", (GENERATE, {"generationConfig": {"candidateCount": 2}}), "'candidateCount' asks for 2 answers"),
    ],
)
def test_what_a_backend_cannot_give(
    mellite_server: Server, monkeypatch: pytest.MonkeyPatch, upstream: str, asked: tuple[str, Any], named: str | None
) -> None:
    """What an answer would lack is refused, and the provider is not asked."""
    provider = mellite_server("fake:echo")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", provider.url)
    monkeypatch.setenv("OPENAI_BASE_URL", f"{provider.url}/v1")
    for name in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.setenv(name, "sk-of-the-server")
    path, fields = asked
    turn = [{"role": "user", "content": "Hi."}]
    said = {"contents": [{"parts": [{"text": "Hi."}]}]} if path == GENERATE else {"model": "m", "messages": turn}
    if path == RESPONSES:
        said = {"model": "m", "input": turn}
    found = raw(mellite_server(upstream).url, path, json.dumps({**said, **fields}).encode())
    assert (found.status, len(provider.requests)) == ((200, 1) if named is None else (400, 0))
    assert named is None or named in json.dumps(json.loads(b"".join(found.pieces)))
