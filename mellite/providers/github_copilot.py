"""GitHub Copilot: URL and token; newer GPT models over Responses, all others over Chat Completions."""

from __future__ import annotations

import re
from typing import Final

from attrs import evolve

from ..wire.endpoint import Endpoint
from ..wire.route import Route
from .environment_keys import key_of

__all__ = ["chat_route", "responses_route", "route"]

NAME: Final = "github-copilot"
BASE_URL: Final = "https://api.githubcopilot.com"
KEYS: Final = ("GITHUB_COPILOT_TOKEN", "COPILOT_GITHUB_TOKEN")
_RESPONSES: Final = re.compile(r"gpt-([5-9]|\d\d)(?!\d)")
_NAMESPACES: Final = ("openai", NAME)


def route(*, api_key: str | None = None, base_url: str | None = None, model: str | None = None) -> Route:
    """Make the route to Copilot for ``github-copilot:...``, over the protocol that Copilot offers for the model.

    That is Responses for GPT-5 and later except ``gpt-5-mini``, else Chat Completions. By default the token comes from
    ``GITHUB_COPILOT_TOKEN``. Copilot expects headers that name an editor: add them by ``route.with_(headers=...)``.

    Args:
        api_key: the token.
        base_url: another server, such as a company's own; no token of the environment is sent there.
        model: the model's id, which decides on the protocol, even if requests name other models later.

    Raises:
        ConfigurationError: if `base_url` is not a URL.

    Example:
        >>> [route(api_key="t", model=model).endpoint.path for model in ("gpt-5.1", "gpt-4.1")]
        ['/responses', '/chat/completions']
    """
    newer = model is not None and _RESPONSES.match(model) is not None and not model.startswith("gpt-5-mini")
    make = responses_route if newer else chat_route
    return make(api_key=api_key, base_url=base_url, model=model)


def chat_route(*, api_key: str | None = None, base_url: str | None = None, model: str | None = None) -> Route:
    """Make the route to Copilot over Chat Completions, for any model."""
    from ..protocols import openai_chat

    return Route(
        id=f"{NAME}-chat",
        provider=NAME,
        protocol=openai_chat.protocol(openai_chat.ChatDialect(namespaces=_NAMESPACES)),
        endpoint=Endpoint(BASE_URL if base_url is None else base_url, "/chat/completions"),
        auth=key_of(api_key, KEYS, "GitHub", elsewhere=base_url is not None),
        model=model,
    )


def responses_route(*, api_key: str | None = None, base_url: str | None = None, model: str | None = None) -> Route:
    """Make the route to Copilot over Responses, for any model."""
    from ..protocols import openai_responses

    return Route(
        id=f"{NAME}-responses",
        provider=NAME,
        protocol=openai_responses.protocol(evolve(openai_responses.OPENAI, namespaces=_NAMESPACES)),
        endpoint=Endpoint(BASE_URL if base_url is None else base_url, "/responses"),
        auth=key_of(api_key, KEYS, "GitHub", elsewhere=base_url is not None),
        model=model,
    )
