"""Cloudflare's gateway, GitHub Copilot, Z.ai, and any server that speaks Chat Completions."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mellite.errors import AuthenticationError, ConfigurationError
from mellite.providers import cloudflare, github_copilot
from mellite.providers.catalog import find
from mellite.request import Request, ToolDefinition
from mellite.wire.route import Route

KEY = "sk-sentinel-4711-do-not-show"
VARIABLES = (
    "CF_AIG_GATEWAY_ID", "CF_AIG_TOKEN", "CLOUDFLARE_ACCOUNT_ID", "CLOUDFLARE_API_KEY", "CLOUDFLARE_API_TOKEN",
    "CLOUDFLARE_GATEWAY_ID", "CLOUDFLARE_WORKERS_AI_TOKEN", "COPILOT_GITHUB_TOKEN", "GITHUB_COPILOT_TOKEN",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of this machine's environment reaches a test."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def asked(route: Route, **options: Any) -> tuple[str, dict[str, str]]:
    """Where a request would go, and with which headers."""
    http = route.prepare(Request.of("hi", **options))
    return http.url, {name: value for name, value in http.headers.items() if name != "content-type"}


# --- Cloudflare -----------------------------------------------------------------------------------

GATEWAY = "https://gateway.ai.cloudflare.com/v1/acct-1"


def test_the_gateway_has_a_key_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Account, gateway and the gateway's key come from the environment, when a call is made."""
    route = find("cloudflare-ai-gateway:workers-ai/@cf/meta/llama-3.1-8b-instruct")
    assert route.model == "workers-ai/@cf/meta/llama-3.1-8b-instruct"
    with pytest.raises(ConfigurationError, match="CLOUDFLARE_ACCOUNT_ID"):
        asked(route)
    monkeypatch.setenv("CLOUDFLARE_ACCOUNT_ID", "acct-1")
    with pytest.raises(AuthenticationError, match="CLOUDFLARE_API_TOKEN or CF_AIG_TOKEN"):
        asked(route)
    for name in ("CF_AIG_TOKEN", "CLOUDFLARE_API_TOKEN"):
        monkeypatch.setenv(name, f"{KEY}-{name}")
        assert asked(route) == (
            f"{GATEWAY}/default/compat/chat/completions", {"cf-aig-authorization": f"Bearer {KEY}-{name}"},
        )  # fmt: skip
    monkeypatch.setenv("CLOUDFLARE_GATEWAY_ID", "mine")
    assert asked(route)[0] == f"{GATEWAY}/mine/compat/chat/completions"


def test_a_key_for_who_is_behind_the_gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key given in code is for the provider behind it; the gateway's own goes along if there is one."""
    monkeypatch.setenv("CLOUDFLARE_ACCOUNT_ID", "acct-1")
    route = cloudflare.gateway_route(api_key=KEY, model="openai/gpt-4o-mini")
    assert asked(route)[1] == {"authorization": f"Bearer {KEY}"}
    monkeypatch.setenv("CF_AIG_TOKEN", "gateway-token")
    assert asked(route)[1] == {"authorization": f"Bearer {KEY}", "cf-aig-authorization": "Bearer gateway-token"}
    elsewhere = cloudflare.gateway_route(base_url="https://example.com/v1", model="m")
    assert asked(elsewhere) == ("https://example.com/v1/chat/completions", {})


def test_workers_ai(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers AI has the account in its URL; an account that would lead elsewhere is refused."""
    monkeypatch.setenv("CLOUDFLARE_ACCOUNT_ID", "acct-1")
    route = find("workers-ai:@cf/meta/llama-3.1-8b-instruct", api_key=KEY)
    assert (route.provider, route.model) == ("cloudflare-workers-ai", "@cf/meta/llama-3.1-8b-instruct")
    assert asked(route) == (
        "https://api.cloudflare.com/client/v4/accounts/acct-1/ai/v1/chat/completions",
        {"authorization": f"Bearer {KEY}"},
    )
    monkeypatch.setenv("CLOUDFLARE_ACCOUNT_ID", "../../evil")
    with pytest.raises(ConfigurationError, match="CLOUDFLARE_ACCOUNT_ID"):
        asked(route)


# --- GitHub Copilot -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("gpt-5", "/responses"),
        ("gpt-5.1-codex", "/responses"),
        ("gpt-10", "/responses"),
        ("gpt-5-mini", "/chat/completions"),
        ("gpt-5-mini-2026", "/chat/completions"),
        ("gpt-4.1", "/chat/completions"),
        ("claude-sonnet-4.5", "/chat/completions"),
        (None, "/chat/completions"),
    ],
)
def test_copilot_speaks_what_it_offers_for_a_model(model: str | None, path: str) -> None:
    """Newer GPT models are asked over Responses, all others over Chat Completions."""
    route = find("github-copilot" if model is None else f"github-copilot:{model}", api_key=KEY)
    assert asked(route, **({"model": "m"} if model is None else {})) == (
        f"https://api.githubcopilot.com{path}", {"authorization": f"Bearer {KEY}"},
    )  # fmt: skip


def test_copilots_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """The token comes from its own variables, and does not go to another server; editors add their headers."""
    route = find("copilot:gpt-4.1")
    with pytest.raises(AuthenticationError, match="GITHUB_COPILOT_TOKEN"):
        asked(route)
    monkeypatch.setenv("GITHUB_COPILOT_TOKEN", KEY)
    assert asked(route)[1] == {"authorization": f"Bearer {KEY}"}
    assert asked(find("copilot:gpt-5", base_url="https://copilot.example.com"))[1] == {}
    editor = github_copilot.route(model="gpt-4.1").with_(headers={"Editor-Version": "mine/1"})
    assert asked(editor)[1]["editor-version"] == "mine/1"


# --- others ---------------------------------------------------------------------------------------


def test_zai_is_asked_for_the_pieces_of_calls() -> None:
    """Z.ai, and its plan for coding, are told to stream calls."""
    for name, base in (("zai", "paas"), ("z.ai", "paas"), ("zai-coding", "coding/paas")):
        route = find(f"{name}:glm-4.7", api_key=KEY)
        http = route.prepare(Request.of("hi", tools=[ToolDefinition("f")]))
        assert http.url == f"https://api.z.ai/api/{base}/v4/chat/completions"
        assert json.loads(http.body)["tool_stream"] is True


def test_any_server_that_speaks_chat() -> None:
    """A server without a row is asked at its base URL, with a key if one is given; the URL has to be said."""
    with pytest.raises(ConfigurationError, match="base_url"):
        find("openai-compatible:mine")
    route = find("openai-compatible:mine", base_url="http://localhost:9/v1")
    assert asked(route, top_k=5) == ("http://localhost:9/v1/chat/completions", {})
    keyed = find("openai-compatible:mine", base_url="https://example.com/v1", api_key=KEY)
    assert asked(keyed)[1] == {"authorization": f"Bearer {KEY}"}
