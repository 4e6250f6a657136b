"""Models are listed and looked up as the clients of each vendor do it: those of a backend, and those of a cassette."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from mellite.backends import Scripted
from mellite.cassettes import Body, Cassette, HttpInteraction, RecordedRequest, RecordedResponse, load_cassette
from mellite.server.running import RunningServer
from tests.server.asking import raw

Server = Callable[..., RunningServer]

GOOGLE = "x-goog-api-key: made-up\r\n"


def told(server: RunningServer, path: str, body: bytes = b"", *, headers: str = "", status: int = 200) -> Any:
    """The JSON that a server answers."""
    found = raw(server.url, path, body, method="POST" if body else "GET", headers=headers)
    assert found.status == status, found
    return json.loads(b"".join(found.pieces))


def recorded(*calls: tuple[str, str], method: str = "POST") -> Cassette:
    """A cassette of calls: the URL and the body of each."""
    requests = [RecordedRequest(method, url, headers={}, body=Body(body)) for url, body in calls]
    return Cassette(tuple([HttpInteraction(one, RecordedResponse(200, body=Body("{}"))) for one in requests]))


CALLS = recorded(
    ("https://api.openai.com/v1/chat/completions", '{"model": "gpt-4o"}'),
    ("https://api.openai.com/v1/chat/completions", '{"model": "gpt-4o"}'),
    ("https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-flash:generateContent", "{}"),
    ("https://api.openai.com/v1/embeddings", '{"model": "no-model-of-a-call"}'),
    ("https://api.openai.com/v1/responses", "no JSON"),
)


def test_models_of_mistral(mellite_server: Server) -> None:
    """Mistral's client knows kinds of models of its own, and wants to be told what each can do."""
    server, headers = mellite_server("fake:echo"), "user-agent: mistral-client-python/3.7.0\r\n"
    (listed,) = told(server, "/v1/models", headers=headers)["data"]
    for one, name in ((listed, "Echo"), (told(server, "/v1/models/mistral-small", headers=headers), "mistral-small")):
        assert (one["id"], one["type"]) == (name, "base")
        assert one["capabilities"]["completion_chat"] is True


def test_all_models(mellite_server: Server) -> None:
    """OpenAI's, Anthropic's and Cohere's clients find theirs in one list, Google's and Ollama's in others."""
    for source, names in (("fake:echo", ["Echo"]), (CALLS, ["gpt-4o", "gemini-2.5-flash"])):
        server = mellite_server(source)
        found = told(server, "/openai/v1/models?limit=20")
        assert [one["id"] for one in found["data"]] == names
        assert [one["display_name"] for one in found["data"]] == names
        assert [one["name"] for one in found["models"]] == names
        assert (found["first_id"], found["last_id"], found["has_more"]) == (names[0], names[-1], False)
        for path, headers in (("/v1beta/models", ""), ("/v1/models?pageSize=50", GOOGLE)):
            listed = told(server, path, headers=headers)["models"]
            assert [one["name"] for one in listed] == [f"models/{name}" for name in names]
        assert [one["model"] for one in told(server, "/api/tags")["models"]] == names
        assert told(server, "/api/ps") == {"models": []}
        assert told(server, "/api/version")["version"] >= "0.12"


@pytest.mark.parametrize("name", ["gpt-4o", "some/model:1", "../../etc/passwd", "<script>", "ü", "a" * 5000])
def test_one_model(mellite_server: Server, name: str) -> None:
    """A backend answers for any name, so any name is one of its models; a name is a name and never a file."""
    server = mellite_server("fake:echo")
    for form in (quote(name), quote(name, safe="")):
        assert told(server, f"/v1/models/{form}")["id"] == name
        assert told(server, f"/v1beta/models/{form}")["name"] == f"models/{name}"
        assert told(server, f"/v1/models/{form}", headers=GOOGLE)["name"] == f"models/{name}"
    asked = json.dumps({"model": name}).encode()
    assert "tools" in told(server, "/api/show", asked)["capabilities"]


def test_a_model_that_was_not_recorded(mellite_server: Server) -> None:
    """A cassette has the models that were asked; another one is a 404 that lists them."""
    server = mellite_server(CALLS)
    assert told(server, "/v1/models/gpt-4o")["id"] == "gpt-4o"
    assert told(server, "/v1beta/models/gemini-2.5-flash")["displayName"] == "gemini-2.5-flash"
    assert told(server, "/api/show", b'{"model": "gpt-4o:latest"}')["modelfile"] == "FROM gpt-4o"
    error = told(server, "/v1/models/gpt-5", status=404)["error"]
    assert error["code"] == "model_not_found"
    assert "there are: 'gpt-4o', 'gemini-2.5-flash'" in error["message"]
    assert "gpt-5" in json.dumps(told(server, "/api/show", b'{"name": "gpt-5"}', status=404))
    assert told(server, "/api/show", b"[]", status=400)


def test_what_is_recorded_comes_first(mellite_server: Server) -> None:
    """A list of models that was recorded is answered as it was."""
    server = mellite_server(recorded(("https://api.openai.com/v1/models", ""), method="GET"))
    assert told(server, "/v1/models") == {}


def test_a_recording_server_lists_too(mellite_server: Server, tmp_path: Path) -> None:
    """A server that records answers for its backend, and records no list."""
    server = mellite_server(Scripted(["Hi."]), record=tmp_path / "calls.json", even_in_ci=True)
    assert told(server, "/v1/models")["data"][0]["id"] == "Scripted"
    assert told(server, "/v1/chat/completions", b'{"model": "m", "messages": [{"role": "user", "content": "Hi."}]}')
    server.stop()
    (one,) = load_cassette(tmp_path / "calls.json").http
    assert one.request.url.endswith("/chat/completions")
