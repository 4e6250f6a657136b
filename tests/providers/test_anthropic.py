"""Anthropic's route: URL, key, headers, and a call over it."""

from __future__ import annotations

import json

import pytest

from mellite.backends import LiveBackend
from mellite.cassettes import ScriptedTransport
from mellite.errors import (
    AuthenticationError,
    ConfigurationError,
    IncompleteStream,
    InvalidProviderOutput,
    InvalidRequest,
    ProviderInternal,
    UnsupportedOption,
)
from mellite.messages import Message, Reasoning
from mellite.protocols.anthropic_messages import AnthropicRaw
from mellite.providers import vertex_anthropic
from mellite.providers.anthropic import messages_route
from mellite.providers.catalog import find
from mellite.providers.vertex import LOCATIONS, PROJECTS
from mellite.request import HttpOptions, Request
from tests.protocols.anthropic_messages.claude import SAYS_A, end

KEY = "sk-ant-sentinel-4711-do-not-show"
STREAM = "".join([f"event: {each['type']}\ndata: {json.dumps(each)}   \n\n" for each in [*SAYS_A, *end()]]).encode()
WHOLE = (
    b'{"id":"msg_1","model":"claude","content":[{"type":"text","text":"a"}],"stop_reason":"end_turn",'
    b'"usage":{"input_tokens":3,"output_tokens":5}}'
)


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key and no base URL of this machine's environment reaches a test."""
    for variable in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL"):
        monkeypatch.delenv(variable, raising=False)


def test_a_request() -> None:
    """The URL, the version and the key stand where Anthropic wants them."""
    assert find("claude:m").provider == "anthropic"
    http = find("anthropic:claude-opus-4-8", api_key=KEY).prepare(Request.of("Hi.", system="Be brief."))
    assert http.url == "https://api.anthropic.com/v1/messages"
    assert dict(http.headers) == {
        "anthropic-version": "2026-10-21",
        "authorization": f"Bearer {KEY}",
        "content-type": "application/json",
    }
    body = json.loads(http.body)
    assert (body["model"], body["stream"], body["max_tokens"]) == ("claude-opus-4-8", True, 32_000)
    assert [part["cache_control"] for part in body["system"]] == [{"type": "ephemeral"}]


def test_the_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key and the base URL are read when a call is made; a token is sent as one."""
    route = messages_route(model="m")
    with pytest.raises(AuthenticationError, match="ANTHROPIC_API_KEY") as caught:
        route.prepare(Request.of("hi"))
    assert caught.value.kind == "missing"
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    assert route.prepare(Request.of("hi")).headers["authorization"] == f"Bearer {KEY}"
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "token-1")
    assert route.prepare(Request.of("hi")).headers["authorization"] == "Bearer token-1"


@pytest.mark.parametrize(
    "base", ["https://proxy.example.com/claude", "https://proxy.example.com/claude/v1", "https://proxy.example.com/claude/v1/"]
)  # fmt: skip
def test_a_base_url_may_have_its_version_or_not(monkeypatch: pytest.MonkeyPatch, base: str) -> None:
    """Anthropic's own variable holds no version, other people's URLs do: both lead to the same place."""
    route = messages_route(api_key=KEY, model="m", base_url=base)
    assert route.prepare(Request.of("hi")).url == "https://proxy.example.com/claude/v1/messages"
    monkeypatch.setenv("ANTHROPIC_BASE_URL", base)
    route = messages_route(api_key=KEY, model="m")
    assert route.prepare(Request.of("hi")).url == "https://proxy.example.com/claude/v1/messages"


def test_a_base_url_in_code_gets_no_key_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key of the environment is for Anthropic; another server only gets one that was given for it."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", KEY)
    http = messages_route(model="m", base_url="https://example.com").prepare(Request.of("hi"))
    assert KEY not in str(dict(http.headers))


def test_foundry_takes_keys_in_a_header_of_their_own() -> None:
    """Microsoft Foundry would take a bearer token for one of Entra; everybody else gets one."""
    hosts = {
        "https://mine.services.ai.azure.com/anthropic": "x-api-key",
        "https://azure.com.example.org": "authorization",
    }
    for base, name in hosts.items():
        http = messages_route(api_key=KEY, model="m", base_url=base).prepare(Request.of("hi"))
        assert [header for header in http.headers if KEY in http.headers[header]] == [name]


def test_a_beta_is_a_header() -> None:
    """Betas are asked for with a header of the request."""
    http = HttpOptions(headers={"anthropic-beta": "context-1m-2025-08-07"})
    assert messages_route(api_key=KEY, model="m").prepare(Request.of("hi", http=http)).headers["anthropic-beta"] == (
        "context-1m-2025-08-07"
    )


@pytest.mark.parametrize(
    "model",
    [f"{before}claude-opus-4-6@20260101" for before in ("", "anthropic/", "models/", "publishers/anthropic/models/")],
)
def test_claude_on_vertex(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On Vertex AI the model stands in the URL, and the key of the environment stays at home."""
    for variable in ("GOOGLE_VERTEX_ACCESS_TOKEN", "GOOGLE_VERTEX_API_KEY"):
        monkeypatch.setenv(variable, KEY)
    http = vertex_anthropic.messages_route(project="p-1", location="eu", model=model).prepare(Request.of("hi"))
    assert http.url == (
        "https://aiplatform.eu.rep.googleapis.com/v1beta1/projects/p-1/locations/eu"
        "/publishers/anthropic/models/claude-opus-4-6@20260101:streamRawPredict"
    )
    assert http.headers["authorization"] == f"Bearer {KEY}"
    elsewhere = vertex_anthropic.messages_route(base_url="https://example.com/v1", model=model).prepare(
        Request.of("hi")
    )
    assert elsewhere.url.startswith("https://example.com/v1/publishers/anthropic/models/claude-opus")
    assert KEY not in str(dict(elsewhere.headers))


def test_a_key_of_vertex_is_no_project_for_claude(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that stands for a project of Gemini's does not do for Claude: the project has to be named."""
    for variable in (*PROJECTS, *LOCATIONS):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("GOOGLE_VERTEX_API_KEY", KEY)
    with pytest.raises(ConfigurationError, match="GOOGLE_CLOUD_PROJECT"):
        vertex_anthropic.messages_route(api_key=KEY, model="m").prepare(Request.of("hi"))


def test_options_that_claude_knows() -> None:
    """The route takes the options that the protocol can express, and no others."""
    assert messages_route().protocol.options == {
        "max_tokens", "parallel_tool_calls", "reasoning_budget", "reasoning_effort", "stop", "temperature", "top_k",
        "top_p",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["frequency_penalty", "presence_penalty", "seed"])
def test_options_that_claude_does_not_know(name: str) -> None:
    """What the protocol has no field for is refused by name, and left out where that is allowed."""
    route = messages_route(api_key=KEY, model="m")
    with pytest.raises(UnsupportedOption, match=f"anthropic-messages.*{name}"):
        route.prepare(Request.of("hi", **{name: 1}))
    assert name not in json.loads(route.prepare(Request.of("hi", drop_unsupported=True, **{name: 1})).body)


@pytest.mark.anyio
@pytest.mark.parametrize("stream", [True, False])
async def test_a_call(stream: bool) -> None:
    """A thunk over the route is filled, streamed and in one piece."""
    transport = ScriptedTransport([(200, {"request-id": "req_1"}, [STREAM if stream else WHOLE])])
    thunk = LiveBackend(messages_route(api_key=KEY, model="m"), transport=transport).generate("hi", stream=stream)
    assert await thunk == "a"
    known = thunk.generation
    assert (known.provider, known.protocol, known.response_id) == ("anthropic", "anthropic-messages", "msg_1")
    assert (known.request_id, known.finish_reason, known.streaming) == ("req_1", "stop", stream)
    assert known.usage is not None
    assert (known.usage.input_tokens, known.usage.output_tokens) == (3, 5)
    assert isinstance(thunk.raw, AnthropicRaw)
    assert thunk.raw.response is not None
    assert thunk.raw.response["content"] == [{"type": "text", "text": "a"}]


@pytest.mark.anyio
@pytest.mark.parametrize(("stream", "body"), [(True, WHOLE), (False, STREAM)])
async def test_the_form_of_an_answer_is_seen(stream: bool, body: bytes) -> None:
    """An answer in one piece where a stream was asked for, and the reverse, is read as what it is."""
    transport = ScriptedTransport([(200, {"content-type": "text/event-stream"}, [body])])
    thunk = LiveBackend(messages_route(api_key=KEY, model="m"), transport=transport).generate("hi", stream=stream)
    assert await thunk == "a"
    assert thunk.generation.streaming is not stream


@pytest.mark.anyio
@pytest.mark.parametrize(("stream", "kind"), [(True, IncompleteStream), (False, InvalidProviderOutput)])
async def test_nothing_at_all_is_no_answer(stream: bool, kind: type[Exception]) -> None:
    """An empty body with status 200 is an error."""
    backend = LiveBackend(messages_route(api_key=KEY, model="m"), transport=ScriptedTransport([b""]))
    with pytest.raises(kind):
        await backend.generate("hi", stream=stream)


@pytest.mark.anyio
async def test_repairs_are_told() -> None:
    """What had to be changed in the history is told with the answer, and in the body that was sent."""
    backend = LiveBackend(messages_route(api_key=KEY, model="m"), transport=ScriptedTransport([STREAM]))
    foreign = Reasoning("Hm.", provider_metadata={"openai": {"id": "rs_1"}})
    thunk = backend.generate([Message.user("a"), Message.assistant(foreign, "b"), Message.user("c")])
    await thunk
    assert thunk.generation.repairs == ("thinking without a signature of Anthropic is left out",)
    assert thunk.raw.request_body["messages"][1]["content"] == [{"type": "text", "text": "b"}]


@pytest.mark.anyio
async def test_a_call_that_is_refused_halfway() -> None:
    """An error inside the stream keeps the text before it, and the usage so far."""
    failing = STREAM[: STREAM.index(b"event: content_block_stop")] + (
        b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'
    )
    transport = ScriptedTransport([(200, {"request-id": "req_1"}, [failing])])
    thunk = LiveBackend(messages_route(api_key=KEY, model="m"), transport=transport).generate("hi")
    with pytest.raises(ProviderInternal, match="Overloaded") as caught:
        await thunk
    assert (caught.value.partial, caught.value.request_id, caught.value.retryable) == ("a", "req_1", True)
    assert caught.value.usage is not None
    assert caught.value.usage.input_tokens == 3


@pytest.mark.anyio
async def test_a_refused_request() -> None:
    """An error answer is typed, and names what the server said and which request it was."""
    body = b'{"type":"error","error":{"type":"invalid_request_error","message":"messages: too few"},"request_id":"r"}'
    transport = ScriptedTransport([(400, {"request-id": "req_1"}, [body])])
    thunk = LiveBackend(messages_route(api_key=KEY, model="m"), transport=transport).generate("hi")
    with pytest.raises(InvalidRequest, match="messages: too few") as caught:
        await thunk
    assert (caught.value.status, caught.value.request_id, caught.value.provider) == (400, "req_1", "anthropic")
