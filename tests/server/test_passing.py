"""Requests that are passed on reach the provider as they came, and what it says is recorded as it was."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mellite.cassettes import load_cassette
from mellite.server.running import RunningServer
from tests.server.asking import raw, served_backend
from tests.servers.running import free_port

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


@contextmanager
def serving(source: str | None, port: int, upstream: int) -> Iterator[str]:
    """A server in a process of its own whose provider is whoever listens on another port: its address."""
    own = {"OPENAI_BASE_URL": f"http://127.0.0.1:{upstream}/v1", "OPENAI_API_KEY": "sk-made-up"}
    command = [sys.executable, "-m", "mellite", "serve", *([source] if source else []), "--port", str(port)]
    quiet: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, text=True, env=os.environ | own, **quiet) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[-1]
        finally:
            process.kill()


@pytest.mark.parametrize("source", [None, "openai-chat:gpt-4o-mini"])
def test_what_comes_back_by_way_of_another_server(source: str | None) -> None:
    """Two servers that ask each other end a request with an error that says so."""
    ports = free_port(), free_port()
    with serving(source, *ports) as url, serving(source, *reversed(ports)):
        for stream in (b"false", b"true"):
            asked = b'{"model": "m", "stream": %b, "messages": [{"role": "user", "content": "Hi."}]}' % stream
            found = raw(url, "/v1/chat/completions", asked)
            assert found.status == 400
            assert "has come back to this server by way of 1 more" in b"".join(found.pieces).decode()
