"""No key reaches a cassette: each provider's requests are recorded with a key that can be looked for."""

from __future__ import annotations

import base64
import json
import logging
import traceback
from pathlib import Path

import pytest

import mellite
from mellite.cassettes import ScriptedTransport, load_cassette, use
from mellite.errors import MelliteError, UnsafeCassette
from mellite.wire.http import HttpRequest

SENTINEL = "sentinel.0123456789.abcdef"  # of no known form, so that it is found only for being the key
SETTINGS = {
    "AZURE_RESOURCE_NAME": "resource",
    "CLOUDFLARE_ACCOUNT_ID": "account",
    "CLOUDFLARE_GATEWAY_ID": "gateway",
    "GOOGLE_CLOUD_PROJECT": "project",
    "GOOGLE_CLOUD_LOCATION": "us-central1",
}
PROVIDERS = [
    *("anthropic", "azure", "azure-chat", "baseten", "bedrock", "cerebras", "cloudflare-ai-gateway"),
    *("cloudflare-workers-ai", "deepinfra", "deepseek", "fireworks", "google", "groq", "huggingface", "lmstudio"),
    *("mistral", "moonshot", "nvidia", "openai", "openai-chat", "openrouter", "perplexity", "together", "vertex"),
    *("xai", "xai-chat", "zai"),
]


def held_by(folder: Path) -> list[str]:
    """The files below a folder that have the key in them, as it is or in base64."""
    forms = [SENTINEL.encode(), base64.b64encode(SENTINEL.encode())]
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path.name for path in files if any(form in path.read_bytes() for form in forms)]


@pytest.mark.anyio
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_no_key_reaches_a_cassette(
    provider: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The key is in no file at any moment, in no error and in no log, also if the provider sends it back."""
    caplog.set_level(logging.DEBUG)
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    sent: list[HttpRequest] = []

    def fails(request: HttpRequest) -> tuple[int, dict[str, str], str]:
        sent.append(request)
        assert held_by(tmp_path) == []
        return 400, {"x-key": SENTINEL}, json.dumps({"error": {"message": "it failed"}})

    def tells(request: HttpRequest) -> tuple[int, dict[str, str], str]:
        sent.append(request)
        return 401, {}, json.dumps({"error": {"message": f"Incorrect API key provided: {SENTINEL}"}})

    path = tmp_path / "case.json"
    transport = use(path, mode="all", live=ScriptedTransport([fails, tells]), environment={})
    backend = mellite.backend(f"{provider}:some-model", api_key=SENTINEL, transport=transport)
    for _ in range(2):
        thunk = await backend.generate("Say hello.").settle()
        assert isinstance(thunk.error, MelliteError)
        assert SENTINEL not in "".join(traceback.format_exception(thunk.error))
        assert held_by(tmp_path) == []
    with pytest.raises(UnsafeCassette) as caught:
        await transport.aclose()
    assert len(sent) == 2
    assert all(SENTINEL in f"{dict(request.headers)} {request.url}" for request in sent), "it was not sent at all"
    assert [one.response.status for one in load_cassette(path).http] == [400]
    assert held_by(tmp_path) == []
    assert SENTINEL not in "".join(traceback.format_exception(caught.value))
    assert SENTINEL not in caplog.text
