"""xAI: its URL and its key, for Responses; and for Chat Completions, which it no longer develops."""

from __future__ import annotations

from typing import Final

from ..protocols.openai_responses.stream import ResponsesDialect, protocol
from ..wire.endpoint import Endpoint
from ..wire.route import Route
from . import compatible
from .environment_keys import key_of
from .openai import websocket_transport

__all__ = ["chat_route", "responses_route", "websocket_route"]

_HOST: Final = compatible.HOSTS["xai"]
_DIALECT: Final = ResponsesDialect(namespaces=("openai", "xai"), reasoning_models=r"grok-([4-9]|\d\d|code)")


def responses_route(*, api_key: str | None = None, base_url: str | None = None, model: str | None = None) -> Route:
    """Grok over Responses, which is what ``xai:...`` means.

    The key comes from ``XAI_API_KEY`` where it is not given. Answers are not stored unless
    ``provider_options={"xai": {"store": True}}`` says so, and models that think are asked for their thinking in
    encrypted form, so that it can go back with the history.

    Args:
        api_key: the key.
        base_url: another server that speaks this protocol; no key of the environment is sent there.
        model: the model's id.

    Raises:
        ConfigurationError: if `base_url` is no URL.

    Example:
        >>> responses_route(api_key="xai-test").endpoint.url()
        'https://api.x.ai/v1/responses'
    """
    return Route(
        id="xai-responses",
        provider="xai",
        protocol=protocol(_DIALECT),
        endpoint=Endpoint(_HOST.base_url if base_url is None else base_url, "/responses"),
        auth=key_of(api_key, _HOST.keys, _HOST.base_url, elsewhere=base_url is not None),
        model=model,
    )


def websocket_route(*, api_key: str | None = None, base_url: str | None = None, model: str | None = None) -> Route:
    """Grok over Responses on a WebSocket that stays open, which is what ``xai-websocket:...`` means.

    See `mellite.providers.openai.websocket_route`.

    Args:
        api_key: the key; this and the others as `responses_route` takes them.
        base_url: another server that speaks this protocol; no key of the environment is sent there.
        model: the model's id.

    Raises:
        ConfigurationError: if `base_url` is no URL.

    Example:
        >>> websocket_route(api_key="xai-test").id
        'xai-responses-websocket'
    """
    route = responses_route(api_key=api_key, base_url=base_url, model=model)
    return route.with_(id="xai-responses-websocket", transport=websocket_transport)


def chat_route(*, api_key: str | None = None, base_url: str | None = None, model: str | None = None) -> Route:
    """Grok over Chat Completions, which is what ``xai-chat:...`` means.

    Args:
        api_key: the key; this and the others as `responses_route` takes them.
        base_url: another server that speaks this protocol; no key of the environment is sent there.
        model: the model's id.

    Raises:
        ConfigurationError: if `base_url` is no URL.

    Example:
        >>> chat_route(api_key="xai-test").endpoint.url()
        'https://api.x.ai/v1/chat/completions'
    """
    return compatible.chat_route(_HOST, api_key=api_key, base_url=base_url, model=model)
