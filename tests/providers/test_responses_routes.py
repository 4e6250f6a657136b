"""Routes that speak Responses: URLs, keys and headers of OpenAI, Azure and xAI, and whole calls over them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mellite.backends import LiveBackend
from mellite.cassettes import ScriptedTransport
from mellite.errors import (
    AuthenticationError,
    ConfigurationError,
    IncompleteStream,
    InvalidProviderOutput,
    ProviderInternal,
    UnsupportedOption,
)
from mellite.messages import Message
from mellite.providers import azure
from mellite.providers.catalog import find
from mellite.providers.recognize import route_of
from mellite.request import HttpOptions, Request
from mellite.wire.http import HttpRequest
from tests.protocols.openai_responses.events import added, completed, done, message, text, thinking
from tests.wire.server import answer, serve

KEY = "key-of-a-test"
ANSWER = {"id": "resp_1", "model": "gpt-test-2", "status": "completed", "output": [message("Hello.")]}


def prepared(spec: str, **options: Any) -> HttpRequest:
    return find(spec, **options).prepare(Request.of("Hi."))


def stream(*events: dict[str, Any]) -> str:
    return "".join([f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events])


# --- where and as whom ----------------------------------------------------------------------------


def test_openai() -> None:
    """OpenAI is asked at its own URL, with a bearer token."""
    http = prepared("openai:gpt-test", api_key=KEY)
    assert (http.method, http.url) == ("POST", "https://api.openai.com/v1/responses")
    assert http.headers["authorization"] == f"Bearer {KEY}"


def test_openais_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key, the account and the base URL may come from the environment; without a key there is no call."""
    with pytest.raises(AuthenticationError, match="OPENAI_API_KEY") as caught:
        prepared("openai:gpt-test")
    assert caught.value.kind == "missing"
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    monkeypatch.setenv("OPENAI_BASE_URL", "https://proxy.example.com/v1/")
    http = prepared("openai:gpt-test")
    assert http.url == "https://proxy.example.com/v1/responses"
    assert (http.headers["authorization"], http.headers["openai-organization"]) == (f"Bearer {KEY}", "org-1")
    assert "authorization" not in prepared("openai:gpt-test", base_url="https://example.com/v1").headers


def test_azure_by_resource(monkeypatch: pytest.MonkeyPatch) -> None:
    """Azure is asked at the URL of one's own resource, with the key in a header of its own."""
    for path, make in (("responses", azure.responses_route), ("chat/completions", azure.chat_route)):
        http = make(api_key=KEY, resource="mine", model="deployed").prepare(Request.of("Hi."))
        assert http.url == f"https://mine.openai.azure.com/openai/v1/{path}?api-version=v1"
        assert http.headers["api-key"] == KEY
        assert "authorization" not in http.headers
        assert json.loads(http.body)["model"] == "deployed"
    with pytest.raises(ConfigurationError, match="AZURE_RESOURCE_NAME"):
        prepared("azure:deployed", api_key=KEY)
    monkeypatch.setenv("AZURE_RESOURCE_NAME", "ours")
    assert prepared("azure:deployed", api_key=KEY).url.startswith("https://ours.openai.azure.com/openai/v1/responses")


def test_azures_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The endpoint is what the portal shows; a resource that was named in code counts for more."""
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", "https://portal.openai.azure.com/")
    with pytest.raises(AuthenticationError, match="AZURE_OPENAI_API_KEY"):
        prepared("azure:deployed")
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", KEY)
    http = prepared("azure:deployed")
    assert http.url == "https://portal.openai.azure.com/openai/v1/responses?api-version=v1"
    assert http.headers["api-key"] == KEY
    named = azure.responses_route(resource="mine", model="deployed").prepare(Request.of("Hi."))
    assert named.url.startswith("https://mine.openai.azure.com/")


def test_azure_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """A base URL in code gets no key of the environment; another API version is one word."""
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", KEY)
    route = find("azure:deployed", base_url="https://example.com/openai/v1")
    newer = route.with_(http=HttpOptions(query={"api-version": "preview"})).prepare(Request.of("Hi."))
    assert newer.url == "https://example.com/openai/v1/responses?api-version=preview"
    assert "api-key" not in newer.headers
    for name in ("azure", "azure-chat"):
        given = prepared(f"{name}:deployed", base_url="https://example.com/openai/v1", api_key="mine")
        assert given.headers["api-key"] == "mine"
        assert "api-key" not in prepared(f"{name}:deployed", base_url="https://example.com/openai/v1").headers


@pytest.mark.parametrize("resource", ["a/b", "a.evil.com#", "a@b", " ", "a\r\nb"])
def test_a_resource_is_one_word(resource: str) -> None:
    """What would lead to another host is refused."""
    with pytest.raises(ConfigurationError):
        azure.responses_route(api_key=KEY, resource=resource, model="m").prepare(Request.of("Hi."))


def test_xai(monkeypatch: pytest.MonkeyPatch) -> None:
    """Grok is asked over Responses, and for its thinking in encrypted form."""
    http = prepared("xai:grok-4", api_key=KEY)
    assert (http.url, http.headers["authorization"]) == ("https://api.x.ai/v1/responses", f"Bearer {KEY}")
    assert json.loads(http.body)["include"] == ["reasoning.encrypted_content"]
    for model in ("grok-4-fast", "grok-10", "grok-code-fast-1"):
        assert "include" in json.loads(prepared(f"xai:{model}", api_key=KEY).body)
    assert "include" not in json.loads(prepared("xai:grok-3", api_key=KEY).body)
    monkeypatch.setenv("XAI_API_KEY", KEY)
    assert prepared("xai:grok-4").headers["authorization"] == f"Bearer {KEY}"
    assert "authorization" not in prepared("xai:grok-4", base_url="https://example.com/v1").headers
    assert prepared("xai-chat:grok-4", api_key=KEY).url == "https://api.x.ai/v1/chat/completions"


def test_what_responses_cannot_honour() -> None:
    """Options that this API does not have are refused by name, unless they may be dropped."""
    route = find("openai:gpt-test", api_key=KEY)
    for name, value in (("seed", 1), ("stop", "x"), ("top_k", 3), ("frequency_penalty", 0.5)):
        with pytest.raises(UnsupportedOption, match=name) as caught:
            route.prepare(Request.of("Hi.", **{name: value}))
        assert caught.value.option == name
        body = json.loads(route.prepare(Request.of("Hi.", **{name: value}, drop_unsupported=True)).body)
        assert name not in body


# --- whole calls ----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.anyio
@pytest.mark.parametrize("spec", ["openai:gpt-test", "azure:gpt-test", "xai:grok-4"])
@pytest.mark.parametrize("streaming", [True, False])
async def test_a_call_over_loopback(spec: str, streaming: bool) -> None:
    """Every provider is asked and answers, streamed or in one piece, with the same outcome."""
    events = [added(message()), text("Hel"), text("lo."), done(message("Hello.")), completed(message("Hello."))]
    body = stream(*events).encode() if streaming else json.dumps(ANSWER).encode()
    kind = "text/event-stream" if streaming else "application/json"
    with serve() as server:
        script = server.script(answer(body, headers={"content-type": kind, "x-request-id": "req_1"}))
        route = find(spec, api_key=KEY, base_url=f"{script.url}/v1")
        async with LiveBackend(route, stream=streaming) as backend:
            thunk = backend.generate("Hi.", system="Be brief.", max_tokens=20)
            assert await thunk == "Hello."
        (received,) = script.requests(1)
    sent = json.loads(received.body)
    assert sent["input"][0] == {"role": "system", "content": "Be brief."}
    assert (sent["max_output_tokens"], sent["store"], sent.get("stream", False)) == (20, False, streaming)
    assert KEY in (received.header("authorization") or received.header("api-key") or "")
    generation = thunk.generation
    assert (generation.provider, generation.protocol) == (route.provider, "openai-responses")
    assert (generation.response_id, generation.request_id) == ("resp_1", "req_1")
    assert (generation.finish_reason, generation.raw_finish_reason) == ("stop", "completed")
    assert generation.streaming is streaming
    assert thunk.raw.response["output"] == [message("Hello.")]


def settled(*answers: Any, **options: Any) -> Any:
    """A thunk with one of these answers, failed or not."""
    backend = LiveBackend(find("openai:gpt-5", api_key=KEY), transport=ScriptedTransport(list(answers)))
    return backend.generate("Hi.", **options)


@pytest.mark.parametrize(
    ("said", "kind", "reason"),
    [
        ({"status": "queued"}, IncompleteStream, "unknown"),
        ({"status": "in_progress"}, IncompleteStream, "unknown"),
        ({"status": "failed", "error": {"code": "server_error", "message": "Sorry."}}, ProviderInternal, "error"),
    ],
)
def test_answers_that_are_none(said: dict[str, Any], kind: type[Exception], reason: str) -> None:
    """An answer that failed, or is not there yet, says so, and what is known of it is kept."""
    thunk = settled(json.dumps({**ANSWER, **said}), stream=False)
    with pytest.raises(kind):
        thunk.result()
    generation = thunk.generation
    assert (generation.finish_reason, generation.raw_finish_reason) == (reason, said["status"])
    assert (generation.response_id, generation.response_model) == ("resp_1", "gpt-test-2")
    assert thunk.partial == "Hello."


def test_json_where_a_stream_was_asked() -> None:
    """A host that does not stream is understood; an error object under HTTP 200 is an error; a web page is refused."""
    assert settled(json.dumps(ANSWER)).result() == "Hello."
    with pytest.raises(ProviderInternal, match="Sorry"):
        settled(json.dumps({"error": {"code": "server_error", "message": "Sorry."}})).result()
    with pytest.raises(InvalidProviderOutput, match="web page"):
        settled("<html>Hello</html>").result()


def test_a_history_that_goes_back() -> None:
    """What came encrypted goes back encrypted, in its place."""
    item = thinking(encrypted_content="gAAA")
    first = settled(stream(added(thinking()), done(item), text("Hello.", index=1), completed(item, message("Hello."))))
    first.result()
    transport = ScriptedTransport([stream(text("Yes."), completed())])
    backend = LiveBackend(find("openai:gpt-5", api_key=KEY), transport=transport)
    backend.generate([Message.user("Hi."), first.message, Message.user("Really?")]).result()
    sent = json.loads(transport.requests[0].body)["input"]
    assert sent[1] == {"type": "reasoning", "summary": [], "encrypted_content": "gAAA"}
    assert sent[2] == {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hello."}]}


# --- recorded requests ----------------------------------------------------------------------------


def test_a_recorded_request_names_its_route() -> None:
    """A recorded request over Responses is asked again in the same words."""
    body = {
        "model": "gpt-5.5",
        "input": [{"role": "user", "content": [{"type": "input_text", "text": "Hi."}]}],
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "stream": True,
    }
    route = route_of("https://api.openai.com/v1/responses", body)
    assert route is not None
    assert (route.provider, route.id) == ("openai", "openai-responses")
    assert json.loads(route.prepare(Request.of("Hi.")).body) == body
    del body["store"], body["include"], body["stream"]
    bare = route_of("https://api.openai.com/v1/responses", body)
    assert bare is not None
    assert json.loads(bare.prepare(Request.of("Hi.")).body) == body
