"""No secret of a client or of the server reaches what is recorded, wherever it stands."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mellite.backends import Constant, Scripted
from mellite.cassettes import load_cassette
from mellite.errors import UnsafeCassette
from mellite.server.running import RunningServer
from tests.server.asking import raw
from tests.values.secrets.made_up import KEYS as PLANTED
from tests.wire.server import LAST, answer, head, piece, serve

Server = Callable[..., RunningServer]

#: Made up, and of the forms that keys have.
KEYS = {
    "openai": "sk-proj-" + "a1B2" * 10,
    "anthropic": "sk-ant-api03-" + "c3D4" * 10,
    "google": "AIza" + "e5F6g7H8" * 4 + "abc",
    "aws": "AKIA" + "ABCD1234" * 2,
    "github": "ghp_" + "k9L0" * 9,
    "bearer": "0123456789abcdef" * 3,
}


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_headers_query_and_fields(mellite_server: Server, tmp_path: Path, key: str) -> None:
    """Keys in headers, in the query and in fields that are named after them are not kept."""
    file = tmp_path / "calls.json"
    server = mellite_server(Constant("Hello."), record=file, even_in_ci=True)
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi."}], "metadata": {"api_key": key}}
    headers = "".join(
        [f"{name}: {key}\r\n" for name in ("x-api-key", "x-goog-api-key", "api-key", "cookie", "x-amz-security-token")]
    )
    path = f"/v1/chat/completions?key={key}&api_key={key}"
    found = raw(server.url, path, json.dumps(body).encode(), headers=f"authorization: Bearer {key}\r\n{headers}")
    assert found.status == 200
    server.stop()
    assert key not in file.read_text()
    assert json.loads(file.read_text())["interactions"]


@pytest.mark.parametrize("key", [KEYS[name] for name in ("openai", "anthropic", "google", "aws", "github")])
def test_what_was_said(mellite_server: Server, tmp_path: Path, key: str) -> None:
    """A key in a prompt or in an answer keeps the call from being recorded; the client gets its answer nevertheless."""
    file = tmp_path / "calls.json"
    server = mellite_server("fake:echo", record=file, even_in_ci=True)
    body = {"model": "m", "messages": [{"role": "user", "content": f"My key is {key} today."}]}
    found = raw(server.url, "/v1/chat/completions", json.dumps(body).encode())
    assert key in b"".join(found.pieces).decode()
    with pytest.raises(UnsafeCassette):
        server.stop()
    assert not file.exists() or key not in file.read_text()
    assert all(key.encode() not in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def held_by(folder: Path, *secrets: str) -> list[str]:
    """The secrets that a file below a folder has in it, as they are or in base64."""
    forms = [(each, form) for each in secrets for form in (each.encode(), base64.b64encode(each.encode()))]
    texts = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    return [secret for secret, form in forms if any(form in text for text in texts)]


@pytest.mark.slow
@pytest.mark.parametrize("stream", [True, False])
def test_every_planted_shape(mellite_server: Server, tmp_path: Path, stream: bool) -> None:
    """A key of any known form is kept out: in a prompt, and cut over two events of an answer; the others are kept."""
    file = tmp_path / "calls.json"
    script = [each for one, other in PLANTED.values() for each in (["It is ", one, other, "."], "Hello.", "Hello.")]
    server = mellite_server(Scripted(script), record=file, even_in_ci=True)
    for number, (one, other) in enumerate(PLANTED.values()):
        for kind, text in enumerate((f"Which is number {number}?", f"It is {one}{other}.", f"Hello, {number}!")):
            body = {"model": "m", "messages": [{"role": "user", "content": text}], "stream": stream}
            found = raw(server.url, "/v1/chat/completions", json.dumps(body).encode())
            assert (found.status, found.ended) == (200, True), (number, kind)
    with pytest.raises(UnsafeCassette) as raised:
        server.stop()
    secrets = [f"{one}{other}" for one, other in PLANTED.values()]
    assert held_by(tmp_path, *secrets) == []
    assert not any(secret in str(raised.value) for secret in secrets)
    assert len(load_cassette(file).http) == len(PLANTED)


@pytest.mark.parametrize("streamed", [True, False])
def test_a_provider_that_tells_the_key(
    mellite_server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, streamed: bool
) -> None:
    """A key of no known form is kept out for being the key, wherever a provider that is passed on to repeats it."""
    key = "sentinel.0123456789.abcdef"
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    head_ = {"content-type": "text/event-stream", "x-your-key": key, "set-cookie": f"a={key}"}
    with serve() as provider:
        told = [head(200, head_), piece(f"data: {key[:9]}".encode()), piece(f"{key[9:]}\n\n".encode()), LAST]
        script = provider.script(told if streamed else answer(f"Incorrect API key: {key}".encode(), 401))
        monkeypatch.setenv("OPENAI_BASE_URL", f"{script.url}/v1")
        server = mellite_server(None, record=tmp_path / "calls.json", even_in_ci=True)
        body = b'{"model": "m", "messages": [{"role": "user", "content": "Hi."}]}'
        found = raw(server.url, "/v1/chat/completions", body, headers=f"authorization: Bearer {key}\r\n")
        assert key.encode() in b"".join(found.pieces)
        assert script.requests(1)[0].header("authorization") == f"Bearer {key}"
        with pytest.raises(UnsafeCassette) as raised:
            server.stop()
    assert key not in str(raised.value)
    assert held_by(tmp_path, key) == []
