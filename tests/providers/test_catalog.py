"""Finding providers by name, and every row of the table of compatible hosts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from mellite.backends import LiveBackend
from mellite.cassettes import ScriptedTransport
from mellite.errors import AuthenticationError, MelliteError, UnknownProvider
from mellite.providers import openai
from mellite.providers.catalog import find, names, split
from mellite.providers.compatible import HOSTS, Host, chat_route
from mellite.request import Request

KEY = "sk-sentinel-4711-do-not-show"
WHOLE = b'{"choices": [{"message": {"content": "Hello."}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 1}}'
ROWS = pytest.mark.parametrize("host", HOSTS.values(), ids=list(HOSTS))


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key and no base URL of this machine's environment reaches a test."""
    for host in HOSTS.values():
        for variable in (*host.keys, *host.base_urls):
            monkeypatch.delenv(variable, raising=False)
        for setting in host.settings.values():
            monkeypatch.setenv(setting.variables[0], "acct-1")
    for variable in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.delenv(variable, raising=False)


def headers_of(route: Any) -> dict[str, str]:
    return dict(route.prepare(Request.of("hi", model="m")).headers)


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "provider", "model"),
    [
        ("openai:gpt-4o-mini", "openai", "gpt-4o-mini"),
        ("openai/gpt-4o-mini", "openai", "gpt-4o-mini"),
        ("openrouter:openai/gpt-4o-mini", "openrouter", "openai/gpt-4o-mini"),
        ("openrouter/openai/gpt:free", "openrouter", "openai/gpt:free"),
        ("ollama:llama3.2:1b", "ollama", "llama3.2:1b"),
        (" OpenAI : gpt-4o-mini ", "openai", "gpt-4o-mini"),
        ("vllm", "vllm", None),
        ("groq:", "groq", None),
    ],
)
def test_a_provider_and_its_model(spec: str, provider: str, model: str | None) -> None:
    """Whichever separator comes first divides the provider from the model; case of the provider does not matter."""
    assert split(spec) == (provider, model)
    route = find(spec, api_key=KEY)
    assert (route.provider, route.model) == (provider, model)


@pytest.mark.parametrize(("spec", "near"), [("opneai:gpt-4o", "openai"), ("gorq:x", "groq"), ("deepsek/x", "deepseek")])
def test_an_unknown_provider_names_the_nearest(spec: str, near: str) -> None:
    """A misspelled provider is UnknownProvider with the nearest name."""
    with pytest.raises(UnknownProvider, match=near):
        find(spec)


@pytest.mark.parametrize("spec", ["", ":x", "zzzzzzzz:x", "../x", "x\r\ny:z"])
def test_nonsense_is_an_unknown_provider(spec: str) -> None:
    """What is nothing like a provider's name is UnknownProvider with the list of them."""
    with pytest.raises(UnknownProvider, match="groq"):
        find(spec)


@pytest.mark.parametrize(
    ("name", "protocol", "id"),
    [
        ("azure", "openai-responses", "azure-openai-responses"),
        ("azure-chat", "openai-chat", "azure-openai-chat"),
        ("openai", "openai-responses", "openai-responses"),
        ("openai-chat", "openai-chat", "openai-chat"),
        ("openai-responses", "openai-responses", "openai-responses"),
        ("xai", "openai-responses", "xai-responses"),
        ("xai-chat", "openai-chat", "xai-chat"),
    ],
)
def test_who_speaks_both_means_responses(name: str, protocol: str, id: str) -> None:
    """`openai:`, `azure:` and `xai:` mean Responses; Chat Completions is there under a name of its own."""
    route = find(f"{name}:m", api_key=KEY)
    assert (route.protocol.id, route.id, route.model) == (protocol, id, "m")


def test_every_provider_has_a_name() -> None:
    """The names are those of the providers with a module of their own, and of every row of the table."""
    assert {"azure", "openai", "openai-chat", "xai", *HOSTS} <= set(names())


def test_the_documentation_names_every_provider() -> None:
    """Whoever looks for a provider finds its name and its key on one page."""
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "choose-a-provider.md").read_text()
    assert [name for name in names() if f"`{name}`" not in page] == []


# --- keys and URLs --------------------------------------------------------------------------------


def test_openais_key_and_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """Key, organization and project come from OpenAI's own variables, when a call is made."""
    route = openai.chat_route(model="m")
    with pytest.raises(AuthenticationError, match="OPENAI_API_KEY"):
        headers_of(route)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert "openai-organization" not in headers_of(route)
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-1")
    headers = headers_of(route)
    assert headers["authorization"] == f"Bearer {KEY}"
    assert (headers["openai-organization"], headers["openai-project"]) == ("org-1", "proj-1")


def test_a_base_url_in_code_gets_nothing_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key of the environment belongs to the provider: another server only gets a key that was given for it."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    for name in ("openai", "groq"):
        elsewhere = headers_of(find(f"{name}:m", base_url="https://example.com/v1"))
        assert not {"authorization", "openai-organization"} & elsewhere.keys()
        given = headers_of(find(f"{name}:m", base_url="https://example.com/v1", api_key="mine"))
        assert given["authorization"] == "Bearer mine"
    monkeypatch.setenv("OPENAI_BASE_URL", "https://proxy.example.com/v1")
    assert headers_of(find("openai:m"))["authorization"] == f"Bearer {KEY}"  # both are the environment's


# --- every row ------------------------------------------------------------------------------------


@ROWS
def test_a_row_makes_a_request(host: Host) -> None:
    """Every host has a URL of its own and takes its key from its own variable."""
    http = chat_route(host, api_key=KEY, model="m").prepare(Request.of("hi", max_tokens=5))
    assert http.url == f"{host.base_url.format(account='acct-1')}/chat/completions"
    assert http.headers["authorization"] == f"Bearer {KEY}"
    parts = urlsplit(host.base_url)
    assert parts.scheme == ("https" if host.key_required else "http")
    assert parts.hostname == "localhost" or host.key_required
    body = json.loads(http.body)
    assert (body["model"], body[host.dialect.max_tokens]) == ("m", 5)


@ROWS
def test_a_row_reads_its_own_variables(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key, and for local servers the base URL, come from the variables that the row names."""
    route = chat_route(host, model="m")
    if host.key_required:
        with pytest.raises(AuthenticationError, match=host.keys[0]):
            headers_of(route)
    else:
        assert "authorization" not in headers_of(route)
    for variable in host.keys:
        monkeypatch.setenv(variable, KEY)
        assert headers_of(route)["authorization"] == f"Bearer {KEY}"
        monkeypatch.delenv(variable)
    for variable in host.base_urls:
        monkeypatch.setenv(variable, "http://localhost:9/v1")
        assert route.prepare(Request.of("hi")).url == "http://localhost:9/v1/chat/completions"


@ROWS
@pytest.mark.anyio
async def test_a_row_answers(host: Host) -> None:
    """A thunk over every row is filled, streamed and in one piece, and carries the host's name."""
    chunks = b'data: {"choices":[{"delta":{"content":"Hello."},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    backend = LiveBackend(chat_route(host, api_key=KEY, model="m"), transport=ScriptedTransport([chunks, WHOLE]))
    for stream in (True, False):
        thunk = backend.generate("hi", stream=stream)
        assert await thunk == "Hello."
        assert (thunk.generation.provider, thunk.generation.protocol) == (host.name, "openai-chat")


@ROWS
def test_a_row_says_which_options_it_takes(host: Host) -> None:
    """An option that a host does not take is refused with its name, and every other one is sent."""
    route = chat_route(host, api_key=KEY, model="m")
    options: dict[str, Any] = {
        "temperature": 0.5, "top_p": 0.5, "top_k": 3, "frequency_penalty": 0.5, "presence_penalty": 0.5, "seed": 3,
        "stop": "x", "reasoning_effort": "low", "reasoning_budget": 100,
    }  # fmt: skip
    for name, value in options.items():
        if name in route.protocol.options:
            assert len(json.loads(route.prepare(Request.of("hi", **{name: value})).body)) > 2
        else:
            with pytest.raises(MelliteError, match=f"{host.name}-chat.*{name}"):
                route.prepare(Request.of("hi", **{name: value}))


@ROWS
def test_a_row_reads_its_own_provider_options(host: Host) -> None:
    """Provider options under the host's name are laid over those under openai."""
    route = chat_route(host, api_key=KEY, model="m")
    request = Request.of("hi", provider_options={"openai": {"user": "a", "x": 1}, host.name: {"user": "b"}})
    body = json.loads(route.prepare(request).body)
    assert (body["user"], body["x"]) == ("b", 1)


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("azure:m", "azure"),
        ("azure-chat:m", "azure"),
        ("cloudflare-ai-gateway:m", "cloudflare-ai-gateway"),
        ("github-copilot:gpt-4.1", "github-copilot"),
        ("github-copilot:gpt-5", "github-copilot"),
        ("xai:m", "xai"),
        ("xai-chat:m", "xai"),
    ],
)
def test_who_speaks_as_openai_reads_its_own_provider_options(
    monkeypatch: pytest.MonkeyPatch, spec: str, name: str
) -> None:
    """Provider options under the provider's name are laid over those under openai, over either protocol."""
    for variable in ("AZURE_RESOURCE_NAME", "CLOUDFLARE_ACCOUNT_ID"):
        monkeypatch.setenv(variable, "mine")
    options = {"openai": {"user": "a", "x": 1}, name: {"user": "b"}, "mistral": {"user": "c"}}
    body = json.loads(find(spec, api_key=KEY).prepare(Request.of("hi", provider_options=options)).body)
    assert (body["user"], body["x"]) == ("b", 1)
