"""What was recorded is replayed by whoever has no key, project, account or region: every provider."""

from __future__ import annotations

from pathlib import Path

import pytest

from mellite.backends import LiveBackend
from mellite.cassettes import ReplayTransport, ScriptedTransport, use
from mellite.errors import AuthenticationError, CassetteMismatch, CassetteMiss, ConfigurationError
from mellite.providers.catalog import find, names
from mellite.wire.http import HttpRequest, HttpResponse
from tests.providers.answers import ANSWERS
from tests.providers.test_loopback import KEY, ROWS, Row

pytestmark = pytest.mark.anyio

SOCKETS = {
    name: Row("", key, protocol="openai-responses")
    for name, key in (("openai-websocket", "OPENAI_API_KEY"), ("xai-websocket", "XAI_API_KEY"))
}
EVERY = {
    **ROWS,
    **SOCKETS,
    "azure at an endpoint": Row(
        "",
        "AZURE_OPENAI_API_KEY",
        protocol="openai-responses",
        environment={"AZURE_OPENAI_ENDPOINT": "https://mine.cognitiveservices.example.com/"},
    ),
    "vertex with a key": Row("", "GOOGLE_VERTEX_API_KEY", protocol="gemini"),
}
"""What to call it -> which variables it needs to be recorded."""


@pytest.fixture
def _nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable of any provider, and no file of a cloud's own tools."""
    for row in EVERY.values():
        for name in filter(None, (row.key, *row.environment)):
            monkeypatch.delenv(name, raising=False)
    for name in ("HOME", "CLOUDSDK_CONFIG", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "nothing"))


def backend_of(what: str, transport: ScriptedTransport | ReplayTransport | None = None) -> LiveBackend:
    name = what.partition(" ")[0]
    return LiveBackend(find(f"{name}:m-1", base_url=EVERY[what].base_url), transport=transport)


def test_every_provider_is_tried() -> None:
    """A new provider needs a row."""
    assert set(names()) <= set(EVERY)


@pytest.mark.slow
@pytest.mark.usefixtures("_nothing")
@pytest.mark.parametrize("what", sorted(EVERY))
async def test_replay_without_anything(what: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Recording needs what it needs; replaying needs none of it, and asks nobody for a token."""
    row = EVERY[what]
    path = tmp_path / "case.json"
    said = ANSWERS[row.protocol]
    live = ScriptedTransport([(200, {"content-type": said.content_type}, list(said.pieces))])
    with monkeypatch.context() as full:
        for name, value in {row.key: KEY, **row.environment}.items():
            if name:
                full.setenv(name, value)
        async with use(path, mode="all", live=live, environment={}) as recording:
            assert await backend_of(what, recording).generate("hi") == "Hello!"
    for transport in (use(path, environment={}), ReplayTransport(path), ReplayTransport(path, match="pool")):
        assert await backend_of(what, transport).generate("hi") == "Hello!"
        transport.check_used()
    with pytest.raises((CassetteMismatch, CassetteMiss), match=r"\bhi\b") as caught:
        await backend_of(what, ReplayTransport(path)).generate("bye")
    assert "invalid" not in str(caught.value)


@pytest.mark.usefixtures("_nothing")
@pytest.mark.parametrize("what", ["openai", "vertex", "bedrock", "cloudflare-workers-ai", "azure"])
async def test_recording_needs_them(what: str, tmp_path: Path) -> None:
    """Where something may be sent, what is missing is an error as ever."""
    async with use(tmp_path / "case.json", mode="once", live=ScriptedTransport([]), environment={}) as recording:
        with pytest.raises((AuthenticationError, ConfigurationError)):
            await backend_of(what, recording).generate("hi")
        assert not recording.recorded


@pytest.mark.usefixtures("_nothing")
async def test_what_was_given_is_compared(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A region that somebody named is compared, and so is the model in the URL."""
    path = tmp_path / "case.json"
    said = ANSWERS["bedrock-converse"]
    live = ScriptedTransport([(200, {"content-type": said.content_type}, list(said.pieces))])
    with monkeypatch.context() as full:
        for name, value in {"AWS_SECRET_ACCESS_KEY": KEY, **ROWS["bedrock"].environment}.items():
            full.setenv(name, value)
        async with use(path, mode="all", live=live, environment={}) as recording:
            await backend_of("bedrock", recording).generate("hi")
    with pytest.raises(CassetteMismatch, match="m-2"):
        await LiveBackend(find("bedrock:m-2"), transport=ReplayTransport(path)).generate("hi")
    monkeypatch.setenv("AWS_REGION", "us-west-2")
    with pytest.raises(CassetteMismatch, match="us-west-2"):
        await backend_of("bedrock", ReplayTransport(path)).generate("hi")


class Around:
    """A transport of somebody's around a cassette, which does not say that it never sends anything."""

    def __init__(self, inner: ReplayTransport) -> None:
        self.inner = inner

    async def open(self, request: HttpRequest, *, timeout: float | None = None) -> HttpResponse:
        """Hand it on."""
        return await self.inner.open(request, timeout=timeout)


@pytest.mark.usefixtures("_nothing")
async def test_whoever_does_not_say_so_needs_a_key() -> None:
    """Only what says that it is offline is taken for it."""
    with pytest.raises(AuthenticationError):
        await LiveBackend(
            find("openai:m"), transport=Around(ReplayTransport("mellite/demo_cassettes/chat.json"))
        ).generate("hi")
