"""OpenAI: its URL, its key and its headers, for Chat Completions."""

from __future__ import annotations

from typing import Final

from ..protocols.openai_chat import OPENAI, protocol
from ..wire.auth import Auth, Environment, bearer, header, none
from ..wire.endpoint import Endpoint
from ..wire.route import Route

__all__ = ["chat_route"]

BASE_URL: Final = "https://api.openai.com/v1"
KEY: Final = "OPENAI_API_KEY"
BASE_URL_VARIABLE: Final = "OPENAI_BASE_URL"


def chat_route(*, api_key: str | None = None, base_url: str | None = None, model: str | None = None) -> Route:
    """OpenAI over Chat Completions.

    The key comes from ``OPENAI_API_KEY`` and the base URL from ``OPENAI_BASE_URL`` where they are not given;
    ``OPENAI_ORG_ID`` and ``OPENAI_PROJECT_ID`` are sent if they are set. With a `base_url` given here nothing of the
    environment is sent: the key there is for OpenAI, not for whoever answers at that URL.

    Args:
        api_key: the key.
        base_url: another server that speaks this protocol, as in ``http://localhost:8000/v1``.
        model: the model's id.

    Raises:
        ConfigurationError: if `base_url` is no URL.

    Example:
        >>> chat_route(api_key="sk-test").endpoint.url()
        'https://api.openai.com/v1/chat/completions'
    """
    if base_url is None:
        endpoint = Endpoint(BASE_URL, "/chat/completions", variables=(BASE_URL_VARIABLE,))
        auth = bearer(Environment(KEY) if api_key is None else api_key).and_then(_account())
    else:
        endpoint = Endpoint(base_url, "/chat/completions")
        auth = none(withheld(KEY, BASE_URL)) if api_key is None else bearer(api_key)
    return Route(
        id="openai-chat", provider="openai", protocol=protocol(OPENAI), endpoint=endpoint, auth=auth, model=model
    )


def _account() -> Auth:
    organization = header("openai-organization", Environment("OPENAI_ORG_ID"), optional=True)
    return organization.and_then(header("openai-project", Environment("OPENAI_PROJECT_ID"), optional=True))


def withheld(variables: str, owner: str) -> str:
    """Why no key of the environment was sent to a base URL that was given in code."""
    return f"no key was sent: {variables} is for {owner} only; give api_key=... with base_url=..."
