"""Every provider's route, driven end to end against a real server on this machine: URL, headers, body, key, answer."""

from __future__ import annotations

import itertools
import json
import pickle
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import attrs
import pytest

from mellite.backends import LiveBackend
from mellite.cassettes import ScriptedTransport
from mellite.errors import AuthenticationError, InvalidCredential, MelliteError, RateLimited
from mellite.providers.catalog import find, names
from mellite.request import Request
from mellite.wire.http import HttpRequest, HttpResponse, Transport
from mellite.wire.transports.default import default_transport
from tests.providers.answers import ANSWERS
from tests.wire.answers import shown
from tests.wire.server import LAST, Received, Script, Server, answer, head, piece, serve

KEY = "sk-sentinel-4711-do-not-show"
BEARER = {"authorization": f"Bearer {KEY}"}


@attrs.frozen
class Row:
    """What is known about a provider from its own reference, apart from mellite's table.

    Args:
        url: where streams are asked for.
        key: the environment variable with the key; empty for none.
        headers: that say who is asking, besides ``content-type``; ``~`` before a value makes it a pattern.
        body: what differs in the body from that of its protocol; None for a field that is not there.
        whole_url: where answers in one piece are asked for, if elsewhere.
        protocol: what it speaks.
        environment: other variables that have to be set.
    """

    url: str
    key: str
    headers: Mapping[str, str] = attrs.field(default=BEARER, kw_only=True)
    body: Mapping[str, Any] = attrs.field(factory=dict[str, Any], kw_only=True)
    whole_url: str | None = attrs.field(default=None, kw_only=True)
    protocol: str = attrs.field(default="openai-chat", kw_only=True)
    environment: Mapping[str, str] = attrs.field(factory=dict[str, str], kw_only=True)
    base_url: str | None = attrs.field(default=None, kw_only=True)


LONG = {"max_tokens": None, "max_completion_tokens": 9}
NOT_STORED = {**LONG, "store": False}
QUIET = {"stream_options": None}
CLOUDFLARE = {"CLOUDFLARE_ACCOUNT_ID": "acct-1"}
AZURE = "https://res-1.openai.azure.com/openai/v1"
VERTEX = "https://europe-west4-aiplatform.googleapis.com/v1beta1/projects/p-1/locations/europe-west4"
GOOGLE = "https://generativelanguage.googleapis.com/v1beta/models/m-1"
AMAZON = "https://bedrock-runtime.eu-central-1.amazonaws.com/model/m-1"
SIGNED = {
    "authorization": (
        r"~AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/\d{8}/eu-central-1/bedrock/aws4_request, "
        r"SignedHeaders=content-type;host;x-amz-date, Signature=[0-9a-f]{64}"
    ),
    "x-amz-date": r"~\d{8}T\d{6}Z",
}

ROWS: Mapping[str, Row] = {
    "anthropic": Row(
        "https://api.anthropic.com/v1/messages",
        "ANTHROPIC_API_KEY",
        protocol="anthropic-messages",
        headers={"authorization": f"Bearer {KEY}", "anthropic-version": "2026-10-21"},
    ),
    "azure": Row(
        f"{AZURE}/responses?api-version=v1",
        "AZURE_OPENAI_API_KEY",
        protocol="openai-responses",
        headers={"api-key": KEY},
        environment={"AZURE_RESOURCE_NAME": "res-1"},
    ),
    "azure-chat": Row(
        f"{AZURE}/chat/completions?api-version=v1",
        "AZURE_OPENAI_API_KEY",
        headers={"api-key": KEY},
        body=NOT_STORED,
        environment={"AZURE_RESOURCE_NAME": "res-1"},
    ),
    "baseten": Row("https://inference.baseten.co/v1/chat/completions", "BASETEN_API_KEY"),
    "bedrock": Row(
        f"{AMAZON}/converse-stream",
        "AWS_SECRET_ACCESS_KEY",
        whole_url=f"{AMAZON}/converse",
        protocol="bedrock-converse",
        headers=SIGNED,
        environment={"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_REGION": "eu-central-1"},
    ),
    "cerebras": Row("https://api.cerebras.ai/v1/chat/completions", "CEREBRAS_API_KEY"),
    "cloudflare-ai-gateway": Row(
        "https://gateway.ai.cloudflare.com/v1/acct-1/default/compat/chat/completions",
        "CLOUDFLARE_API_TOKEN",
        headers={"cf-aig-authorization": f"Bearer {KEY}"},
        environment=CLOUDFLARE,
    ),
    "cloudflare-workers-ai": Row(
        "https://api.cloudflare.com/client/v4/accounts/acct-1/ai/v1/chat/completions",
        "CLOUDFLARE_API_KEY",
        environment=CLOUDFLARE,
    ),
    "cohere": Row("https://api.cohere.com/v2/chat", "CO_API_KEY", protocol="cohere-chat"),
    "deepinfra": Row("https://api.deepinfra.com/v1/openai/chat/completions", "DEEPINFRA_API_KEY"),
    "deepseek": Row("https://api.deepseek.com/v1/chat/completions", "DEEPSEEK_API_KEY"),
    "fireworks": Row("https://api.fireworks.ai/inference/v1/chat/completions", "FIREWORKS_API_KEY"),
    "github-copilot": Row("https://api.githubcopilot.com/chat/completions", "GITHUB_COPILOT_TOKEN"),
    "google": Row(
        f"{GOOGLE}:streamGenerateContent?alt=sse",
        "GEMINI_API_KEY",
        whole_url=f"{GOOGLE}:generateContent",
        protocol="gemini",
        headers={"x-goog-api-key": KEY},
    ),
    "groq": Row("https://api.groq.com/openai/v1/chat/completions", "GROQ_API_KEY", body=LONG),
    "huggingface": Row("https://router.huggingface.co/v1/chat/completions", "HF_TOKEN"),
    "llama.cpp": Row("http://localhost:8080/v1/chat/completions", "LLAMA_API_KEY"),
    "lmstudio": Row("http://localhost:1234/v1/chat/completions", "LMSTUDIO_API_KEY"),
    "mistral": Row("https://api.mistral.ai/v1/chat/completions", "MISTRAL_API_KEY", body=QUIET),
    "moonshot": Row("https://api.moonshot.ai/v1/chat/completions", "MOONSHOT_API_KEY"),
    "nvidia": Row("https://integrate.api.nvidia.com/v1/chat/completions", "NVIDIA_API_KEY"),
    "ollama": Row("http://localhost:11434/v1/chat/completions", "OLLAMA_API_KEY"),
    "openai": Row("https://api.openai.com/v1/responses", "OPENAI_API_KEY", protocol="openai-responses"),
    "openai-chat": Row("https://api.openai.com/v1/chat/completions", "OPENAI_API_KEY", body=NOT_STORED),
    "openai-compatible": Row(
        "http://localhost:9000/v1/chat/completions", "", headers={}, base_url="http://localhost:9000/v1"
    ),
    "openrouter": Row("https://openrouter.ai/api/v1/chat/completions", "OPENROUTER_API_KEY", body=LONG),
    "perplexity": Row("https://api.perplexity.ai/chat/completions", "PERPLEXITY_API_KEY", body=QUIET),
    "together": Row("https://api.together.xyz/v1/chat/completions", "TOGETHER_API_KEY"),
    "vertex": Row(
        f"{VERTEX}/publishers/google/models/m-1:streamGenerateContent?alt=sse",
        "GOOGLE_VERTEX_ACCESS_TOKEN",
        whole_url=f"{VERTEX}/publishers/google/models/m-1:generateContent",
        protocol="gemini",
        environment={"GOOGLE_CLOUD_PROJECT": "p-1", "GOOGLE_CLOUD_LOCATION": "europe-west4"},
    ),
    "vertex-anthropic": Row(
        f"{VERTEX}/publishers/anthropic/models/m-1:streamRawPredict",
        "GOOGLE_VERTEX_ACCESS_TOKEN",
        whole_url=f"{VERTEX}/publishers/anthropic/models/m-1:rawPredict",
        protocol="anthropic-messages",
        body={"model": None, "anthropic_version": "2026-10-21"},
        environment={"GOOGLE_CLOUD_PROJECT": "p-1", "GOOGLE_CLOUD_LOCATION": "europe-west4"},
    ),
    "vllm": Row("http://localhost:8000/v1/chat/completions", "VLLM_API_KEY"),
    "xai": Row("https://api.x.ai/v1/responses", "XAI_API_KEY", protocol="openai-responses"),
    "xai-chat": Row("https://api.x.ai/v1/chat/completions", "XAI_API_KEY", body=LONG),
    "zai": Row("https://api.z.ai/api/paas/v4/chat/completions", "ZAI_API_KEY"),
    "zai-coding": Row("https://api.z.ai/api/coding/paas/v4/chat/completions", "ZAI_API_KEY"),
}

OVER_SOCKETS = {"openai-websocket", "xai-websocket"}
"""Providers that answer over a WebSocket, and are driven in test_responses_websocket.py."""

STREAM = {"stream": True}
CHAT_MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Say hello."}]
BODIES: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
    "anthropic-messages": (
        {
            "model": "m-1",
            "system": [{"type": "text", "text": "Be brief."}],
            "messages": [{"role": "user", "content": [{"type": "text", "text": "Say hello."}]}],
            "max_tokens": 9,
        },
        STREAM,
    ),
    "bedrock-converse": (
        {
            "modelId": "m-1",
            "system": [{"text": "Be brief."}],
            "messages": [{"role": "user", "content": [{"text": "Say hello."}]}],
            "inferenceConfig": {"maxTokens": 9},
        },
        {},
    ),
    "cohere-chat": ({"model": "m-1", "messages": CHAT_MESSAGES, "max_tokens": 9, "stream": False}, STREAM),
    "gemini": (
        {
            "systemInstruction": {"parts": [{"text": "Be brief."}]},
            "contents": [{"role": "user", "parts": [{"text": "Say hello."}]}],
            "generationConfig": {"maxOutputTokens": 9},
        },
        {},
    ),
    "openai-chat": (
        {"model": "m-1", "messages": CHAT_MESSAGES, "max_tokens": 9},
        {"stream": True, "stream_options": {"include_usage": True}},
    ),
    "openai-responses": (
        {
            "model": "m-1",
            "input": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": [{"type": "input_text", "text": "Say hello."}]},
            ],
            "max_output_tokens": 9,
            "store": False,
        },
        STREAM,
    ),
}
"""Protocol -> the body of the question that is asked here, and what is added where the answer is to be streamed."""


class Detour:
    """Takes requests that would leave this machine to a server on it; all else is as it would be."""

    def __init__(self, to: Script, through: Transport) -> None:
        self.to = to
        self.through = through
        self.asked: list[str] = []

    async def open(self, request: HttpRequest, *, timeout: float | None = None) -> HttpResponse:
        self.asked.append(request.url)
        parts = urlsplit(request.url)
        rest = request.url.removeprefix(f"{parts.scheme}://{parts.netloc}")
        return await self.through.open(attrs.evolve(request, url=f"{self.to.url}{rest}"), timeout=timeout)

    async def aclose(self) -> None:
        await self.through.aclose()  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server in a process of its own."""
    with serve() as server:
        yield server


@pytest.fixture
def row(name: str, monkeypatch: pytest.MonkeyPatch) -> Row:
    """A provider, with its key in the environment and nothing of this machine's."""
    found = ROWS[name]
    for other in ROWS.values():
        for variable in (other.key, *other.environment):
            if variable:
                monkeypatch.delenv(variable, raising=False)
    for variable, value in {found.key: KEY, **found.environment}.items():
        if variable:
            monkeypatch.setenv(variable, value)
    return found


def test_every_provider_is_here() -> None:
    """A provider that is added is driven here as well."""
    assert ROWS.keys() | OVER_SOCKETS == set(names())


def check(received: Received, row: Row, *, streaming: bool) -> None:
    """The request is what the provider's reference says, and nothing else says who is asking."""
    ours = {"accept", "accept-encoding", "connection", "content-length", "content-type", "host", "user-agent"}
    assert received.method == "POST"
    assert received.header("content-type") == "application/json"
    said = {name.lower(): value for name, value in received.headers if name.lower() not in ours}
    assert said.keys() == row.headers.keys()
    for name, value in row.headers.items():
        assert re.fullmatch(value[1:], said[name]) if value.startswith("~") else said[name] == value
    body, streamed = BODIES[row.protocol]
    expected = {**body, **(streamed if streaming else {}), **row.body}
    assert json.loads(received.body) == {name: value for name, value in expected.items() if value is not None}


@pytest.mark.anyio
@pytest.mark.parametrize("name", sorted(ROWS))
async def test_a_provider_answers(server: Server, name: str, row: Row) -> None:
    """A route asks where and how its provider wants it, with its key, and reads the answer, streamed and whole."""
    spoken = ANSWERS[row.protocol]
    events = head(200, {"content-type": spoken.content_type, "x-request-id": "req-1"})
    for streaming, steps in (
        (True, [events, *map(piece, spoken.pieces), LAST]),
        (False, answer(spoken.whole, 200, {"content-type": "application/json", "x-request-id": "req-1"})),
    ):
        script = server.script(steps)
        detour = Detour(script, default_transport())
        route = find(f"{name}:m-1", base_url=row.base_url)
        thunk = LiveBackend(route, transport=detour).generate(
            "Say hello.", system="Be brief.", max_tokens=9, cache="none", stream=streaming
        )
        assert await thunk == "Hello!"
        await detour.aclose()
        url = row.url if streaming else row.whole_url or row.url
        assert detour.asked == [url]
        (received,) = script.requests(1)
        assert received.target.partition("/")[2].partition("/")[2] == url.split("/", 3)[3]
        check(received, row, streaming=streaming)
        generation = thunk.generation
        assert (generation.protocol, generation.model, generation.streaming) == (row.protocol, "m-1", streaming)
        assert (generation.finish_reason, generation.request_id) == ("stop", "req-1")
        assert generation.usage is not None
        assert (generation.usage.input_tokens, generation.usage.output_tokens) == (5, 2)
        assert KEY not in repr(thunk.raw)


@pytest.mark.slow
@pytest.mark.anyio
@pytest.mark.parametrize("name", sorted(ROWS))
async def test_a_provider_refuses(server: Server, name: str, row: Row) -> None:
    """A refused key and a request too many are errors that name the provider, and never the key."""
    no_key = answer(json.dumps({"error": {"message": f"bad key {KEY}"}}).encode(), 401)
    too_many = answer(b'{"message": "slow down"}', 429, {"retry-after": "7"})
    for steps, kind in ((no_key, AuthenticationError), (too_many, RateLimited)):
        detour = Detour(server.script(steps), default_transport())
        thunk = LiveBackend(find(f"{name}:m-1", base_url=row.base_url), transport=detour).generate("hi")
        with pytest.raises(kind) as caught:
            await thunk
        await detour.aclose()
        error = caught.value
        assert str(error).startswith(f"{error.provider}: HTTP {error.status}: ")
        assert name.startswith(error.provider or "?")
        assert (error.model, error.retry_after) == ("m-1", 7.0 if kind is RateLimited else None)
        # A server that was never told the key, or that only got a signature made with it, cannot really repeat it.
        assert KEY not in shown(error) or not row.key or name == "bedrock"


LEADING_AWAY = (
    "../../admin", "a?key=b", "a#b", "a%0d%0ab", "a\r\nx: y", "a/../b", "..", "a b", "\u2028", "@x", "models/..",
)  # fmt: skip


@pytest.mark.parametrize("name", sorted(ROWS))
def test_a_model_leads_nowhere_else(name: str, row: Row) -> None:
    """Whatever a model is called, the request goes to the same host and operation, or is refused by type."""
    route = find(name, base_url=row.base_url)
    for model, streaming in itertools.product(LEADING_AWAY, (True, False)):
        expected = urlsplit(row.url if streaming else row.whole_url or row.url)
        try:
            url = urlsplit(route.prepare(Request.of("hi", model=model, stream=streaming)).url)
        except MelliteError:
            continue
        assert (url.scheme, url.netloc, url.query, url.fragment) == (
            expected.scheme,
            expected.netloc,
            expected.query,
            "",
        )
        before, _, after = expected.path.partition("m-1")
        assert url.path.startswith(before)
        assert url.path.endswith(after)
        assert url.path.count("/") == expected.path.count("/")
        assert ".." not in url.path.split("/")


@pytest.mark.anyio
@pytest.mark.parametrize("name", sorted(ROWS))
async def test_a_key_is_shown_nowhere(name: str, row: Row) -> None:
    """A key given in code or by the environment is in no repr, field, pickle or crash report of what mellite keeps."""
    for given in (None, KEY):
        backend = LiveBackend(
            find(f"{name}:m-1", api_key=given, base_url=row.base_url), transport=ScriptedTransport([(401, {}, [b"no"])])
        )
        thunk = backend.generate("hi")
        with pytest.raises(AuthenticationError) as caught:
            await thunk
        route = backend.route
        kept = [
            repr(each) for each in (backend, vars(backend), route, route.auth, thunk, thunk.raw, thunk.generate_log)
        ]
        assert not [text for text in (*kept, shown(caught.value)) if KEY in text]
        assert KEY.encode() not in pickle.dumps((backend, route, thunk, caught.value))


@pytest.mark.slow
@pytest.mark.anyio
@pytest.mark.parametrize("name", sorted(ROWS))
async def test_a_key_that_cannot_be_sent(name: str, row: Row, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key with a line break, a NUL, a space or more than ASCII is refused before anything is sent, and not shown."""
    for bad in ("\r\nx: y", "\n", "\0", " x", "\u00e9", "\u20ac"):
        transport = ScriptedTransport([])
        route = find(f"{name}:m-1", api_key=KEY + bad, base_url=row.base_url)
        thunk = await LiveBackend(route, transport=transport).generate("hi").settle()
        assert isinstance(thunk.error, InvalidCredential)
        assert transport.requests == []
        assert KEY not in shown(thunk.error)
        if row.key and bad != "\0":  # which no variable can hold
            monkeypatch.setenv(row.key, KEY + bad)
            thunk = await LiveBackend(find(f"{name}:m-1"), transport=transport).generate("hi").settle()
            assert isinstance(thunk.error, InvalidCredential)
            assert transport.requests == []
            assert KEY not in shown(thunk.error)


@pytest.mark.anyio
@pytest.mark.parametrize("name", sorted(ROWS))
@pytest.mark.usefixtures("row")
async def test_another_server_gets_no_key_of_the_environment(name: str) -> None:
    """With a base URL in code the provider's key stays at home: the request has none, or is not sent at all."""
    transport = ScriptedTransport([(401, {}, "no")])
    route = find(f"{name}:m-1", base_url="https://elsewhere.example.com/v1")
    thunk = await LiveBackend(route, transport=transport).generate("hi").settle()
    assert isinstance(thunk.error, AuthenticationError)
    sent = f"{[(request.url, dict(request.headers), request.body) for request in transport.requests]}"
    assert KEY not in sent
    assert "authorization" not in sent
    assert all(request.url.startswith("https://elsewhere.example.com/v1") for request in transport.requests)


@pytest.mark.anyio
@pytest.mark.parametrize("name", sorted(ROWS))
async def test_a_missing_key_is_told_by_its_variable(
    name: str, row: Row, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Making a backend and a thunk needs no key; the call says which variable is missing, and sends nothing."""
    for variable in ("HOME", "CLOUDSDK_CONFIG", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(variable, str(tmp_path / "nothing"))
    if row.key:
        monkeypatch.delenv(row.key)
    transport = ScriptedTransport([(401, {}, "no")])
    thunk = LiveBackend(find(f"{name}:m-1", base_url=row.base_url), transport=transport).generate("hi")
    assert transport.requests == []
    await thunk.settle()
    assert isinstance(thunk.error, AuthenticationError)
    if urlsplit(row.url).hostname == "localhost":  # a server of one's own may need none
        assert "authorization" not in transport.requests[0].headers
    else:
        assert transport.requests == []
        assert row.key in str(thunk.error)
