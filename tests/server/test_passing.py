"""Requests that are passed on reach the provider as they came, and what it says is recorded as it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mellite.cassettes import (
    Body,
    Cassette,
    HttpInteraction,
    RecordedRequest,
    RecordedResponse,
    ScriptedTransport,
    load_cassette,
)
from mellite.server.running import RunningServer
from tests.server.asking import raw, served_backend

Server = Callable[..., RunningServer]


@pytest.fixture
def provider(mellite_server: Server, monkeypatch: pytest.MonkeyPatch) -> RunningServer:
    """A provider, which is another server, under the variables by which providers are found."""
    server = mellite_server("fake:echo")
    monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    return server


@pytest.mark.anyio
@pytest.mark.parametrize("spec", ["openai-chat:gpt-4o-mini", "openai:gpt-4o-mini", "anthropic:claude-sonnet-4-5"])
@pytest.mark.parametrize("source", [None, "openai:gpt-4o-mini"])
async def test_passed_on_and_recorded(
    mellite_server: Server, provider: RunningServer, spec: str, source: str | None, tmp_path: Path
) -> None:
    """A client of a provider gets its answer; the recording answers the same client, and has no key."""
    if source is not None and spec.startswith("anthropic"):
        return
    file = tmp_path / "calls.json"
    server = mellite_server(source, record=file, even_in_ci=True)
    async with served_backend(server, spec) as backend:
        assert await backend.generate("Name three rivers.") == "Name three rivers."
    assert json.loads(provider.requests[0].body) == json.loads(server.requests[0].body)
    server.stop()
    (interaction,) = load_cassette(file).http
    assert interaction.request.url.startswith(provider.url)
    assert "sk-test" not in file.read_text()
    again = mellite_server(file)
    async with served_backend(again, spec) as backend:
        assert await backend.generate("Name three rivers.") == "Name three rivers."


@pytest.mark.anyio
async def test_another_protocol_than_the_provider_speaks(
    mellite_server: Server, provider: RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client of Claude is answered by OpenAI; what is recorded is what the client saw."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-server")
    file = tmp_path / "calls.json"
    server = mellite_server("openai:gpt-4o-mini", record=file, even_in_ci=True)
    async with served_backend(server, "anthropic:claude-sonnet-4-5") as backend:
        assert await backend.generate("Name three rivers.") == "Name three rivers."
    server.stop()
    assert provider.requests[0].path == "/v1/responses"
    assert provider.requests[0].model == "gpt-4o-mini"
    assert load_cassette(file).http[0].request.url == "https://api.anthropic.com/v1/messages"


def test_the_key_of_the_server_comes_before_that_of_the_client(
    mellite_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the server has a key it is sent, and the client's is not."""
    seen: list[Any] = []

    class Provider:
        async def open(self, request: Any, *, timeout: float | None = None) -> Any:
            seen.append(dict(request.headers))
            raise ConnectionError

    upstream = mellite_server(Provider())
    monkeypatch.setenv("OPENAI_BASE_URL", f"{upstream.url}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-server")
    body = b'{"model": "m", "messages": [{"role": "user", "content": "Hi."}]}'
    server = mellite_server(None)
    raw(server.url, "/v1/chat/completions", body, headers="authorization: Bearer sk-of-the-client\r\nx-tenant: a\r\n")
    assert seen[0]["authorization"] == "Bearer sk-of-the-server"
    assert seen[0]["x-tenant"] == "a"


def test_nobody_is_known_for_a_path(mellite_server: Server) -> None:
    """A path of no provider is a 404, in the words of OpenAI."""
    found = raw(mellite_server(None).url, "/weather", b"{}")
    assert found.status == 404
    assert "not known who is asked" in json.loads(b"".join(found.pieces))["error"]["message"]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ("openai-chat:gpt-4o", "/v1/chat/completions"),
        ("openai:gpt-4o", "/v1/responses"),
        ("anthropic:claude-sonnet-4-5", "/v1/responses"),
    ],
)
async def test_a_provider_is_asked_in_the_words_of_the_client(
    mellite_server: Server, provider: RunningServer, monkeypatch: pytest.MonkeyPatch, spec: str, path: str
) -> None:
    """A provider with several protocols is asked over that of the client, by the model that the server names."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-server")
    async with served_backend(mellite_server("openai:gpt-4o-mini"), spec) as backend:
        assert await backend.generate("Name three rivers.") == "Name three rivers."
    (request,) = provider.requests
    assert (request.path, request.model) == (path, "gpt-4o-mini")


@pytest.mark.parametrize("source", [None, "openai:gpt-4o-mini"])
@pytest.mark.parametrize("host", ["127.0.0.1", "LOCALHOST", "[::1]"])
def test_it_does_not_ask_itself(
    mellite_server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, source: str | None, host: str
) -> None:
    """Where the variables of the server name the server itself, a request is refused, and asked nowhere."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-server")
    for record in (None, tmp_path / "calls.json"):
        server = mellite_server(source, record=record, even_in_ci=True)
        port = server.url.rpartition(":")[2]
        base = f"http://{host}:{port}/v1"
        monkeypatch.setenv("OPENAI_BASE_URL", base)
        found = raw(server.url, "/v1/responses", b'{"model": "m", "input": "Hi."}')
        assert found.status == 400
        said = json.loads(b"".join(found.pieces))["error"]["message"]
        assert f"OPENAI_BASE_URL={base!r} is this server itself" in said
        assert len(server.requests) == 1


# Models, and what else is looked up

OPENAI = "authorization: Bearer sk-of-the-client\r\n"
ANTHROPIC = "x-api-key: sk-of-the-client\r\nanthropic-version: 2023-06-01\r\n"
GOOGLE = "x-goog-api-key: sk-of-the-client\r\n"
COHERE = "authorization: Bearer sk-of-the-client\r\nx-fern-sdk-name: cohere\r\n"
LOOKUPS = [
    ("OPENAI_BASE_URL", "/v1", "GET", "/v1/models", OPENAI, "/v1/models"),
    ("OPENAI_BASE_URL", "/v1", "GET", "/any/v1/models/ft:gpt-4o:a%2Fb?x=1", OPENAI, "/v1/models/ft:gpt-4o:a%2Fb?x=1"),
    ("OPENAI_BASE_URL", "/openai", "GET", "/v1/models", OPENAI, "/openai/models"),
    ("OPENAI_BASE_URL", "/v1", "POST", "/v1/responses/input_tokens", OPENAI, "/v1/responses/input_tokens"),
    ("ANTHROPIC_BASE_URL", "", "GET", "/v1/models?limit=20", ANTHROPIC, "/v1/models?limit=20"),
    ("ANTHROPIC_BASE_URL", "/proxy/v1", "GET", "/v1/models/claude", ANTHROPIC, "/proxy/v1/models/claude"),
    ("ANTHROPIC_BASE_URL", "", "POST", "/v1/messages/count_tokens", ANTHROPIC, "/v1/messages/count_tokens"),
    ("GOOGLE_GEMINI_BASE_URL", "", "GET", "/v1beta/models", "", "/v1beta/models"),
    ("GOOGLE_GEMINI_BASE_URL", "", "GET", "/v1/models?pageSize=5", GOOGLE, "/v1/models?pageSize=5"),
    ("GOOGLE_GEMINI_BASE_URL", "", "POST", "/v1beta/models/g:countTokens", GOOGLE, "/v1beta/models/g:countTokens"),
    ("GOOGLE_GEMINI_BASE_URL", "", "GET", "/v1/models?key=sk-of-the-client&pageSize=5", "", "/v1/models?pageSize=5"),
    ("CO_API_URL", "", "GET", "/v1/models?endpoint=chat", COHERE, "/v1/models?endpoint=chat"),
    ("CO_API_URL", "/v2", "GET", "/v1/models", COHERE, "/v1/models"),
    ("OLLAMA_BASE_URL", "/v1", "GET", "/api/tags", "", "/api/tags"),
    ("OLLAMA_BASE_URL", "", "POST", "/api/show", "", "/api/show"),
    ("OLLAMA_BASE_URL", "/v1", "POST", "/api/chat", "", "/api/chat"),
]


@pytest.mark.parametrize("lookup", LOOKUPS)
def test_what_is_looked_up_is_passed_on(
    mellite_server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lookup: tuple[str, ...]
) -> None:
    """The vendor whose client asks is asked, word for word, and with the client's key; a recording answers again."""
    variable, base, method, path, headers, expected = lookup
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "GEMINI_API_KEY", "GOOGLE_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    provider = ScriptedTransport([(200, {"content-type": "application/json"}, b'{"data": ["made up"]}')])
    upstream = mellite_server(provider)
    monkeypatch.setenv(variable, f"{upstream.url}{base}")
    server = mellite_server(None, record=tmp_path / "calls.json", even_in_ci=True)
    body = b'{"model": "m"}' if method == "POST" else b""
    found = raw(server.url, path, body, method=method, headers=headers)
    assert (found.status, b"".join(found.pieces)) == (200, b'{"data": ["made up"]}')
    assert (upstream.requests[0].method, upstream.requests[0].path, upstream.requests[0].body) == (
        method,
        expected,
        body,
    )
    if "of-the-client" in path + headers:
        assert "sk-of-the-client" in str(provider.requests[0].headers)
    server.stop()
    again = raw(mellite_server(tmp_path / "calls.json").url, path, body, method=method, headers=headers)
    assert again.pieces == found.pieces
    assert "sk-of-the-client" not in (tmp_path / "calls.json").read_text()


def test_lists_of_two_vendors_in_one_recording(mellite_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Vendors share a path; each client gets the list of its own."""
    calls = [("https://api.openai.com/v1/models", b'["gpt"]'), ("https://api.anthropic.com/v1/models", b'["claude"]')]
    recorded = [
        HttpInteraction(RecordedRequest("GET", url), RecordedResponse(200, body=Body(answer.decode())))
        for url, answer in calls
    ]
    server = mellite_server(Cassette(tuple(recorded)))
    assert raw(server.url, "/v1/models", method="GET", headers=OPENAI).pieces == [b'["gpt"]']
    assert raw(server.url, "/v1/models", method="GET", headers=ANTHROPIC).pieces == [b'["claude"]']
    assert raw(server.url, "/openai/v1/models", method="GET", headers=OPENAI).pieces == [b'["gpt"]']


@pytest.mark.parametrize("path", ["/v1/models/../files", "/v1/models/%2e%2E/files", "/v1/models/a/./b", "/v1/files"])
def test_a_lookup_leads_to_nothing_else(mellite_server: Server, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """No path leads from the models to something else of the provider's, for which the server's key would do, too."""
    upstream = mellite_server("fake:echo")
    monkeypatch.setenv("OPENAI_BASE_URL", f"{upstream.url}/v1")
    assert raw(mellite_server(None).url, path, method="GET").status == 404
    assert upstream.requests == ()


def test_a_key_in_the_query(mellite_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Google's clients may send their key in the URL: it goes on in the header."""
    monkeypatch.delenv("GEMINI_API_KEY", raising=False)
    provider = ScriptedTransport([(200, {"content-type": "application/json"}, b"{}")])
    upstream = mellite_server(provider)
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", upstream.url)
    path = "/v1beta/models/g:generateContent?key=sk-of-the-client"
    body = b'{"contents": [{"parts": [{"text": "Hi."}]}]}'
    assert raw(mellite_server(None).url, path, body).status == 200
    assert provider.requests[0].headers["x-goog-api-key"] == "sk-of-the-client"
    assert upstream.requests[0].path == "/v1beta/models/g:generateContent"
