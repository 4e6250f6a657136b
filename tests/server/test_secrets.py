"""No secret of a client or of the server reaches what is recorded, wherever it stands."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mellite.backends import Constant
from mellite.errors import UnsafeCassette
from mellite.server.running import RunningServer
from tests.server.asking import raw

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
