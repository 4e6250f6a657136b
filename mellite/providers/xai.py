"""xAI: URL and key, for Responses (over HTTP or a WebSocket) and Chat Completions, which xAI no longer develops."""

from __future__ import annotations

from typing import Final

from ..protocols.openai_responses import ResponsesDialect, protocol
from ..wire.endpoint import Endpoint
from ..wire.route import Route
from . import compatible
from .environment_keys import key_of
from .openai import websocket_transport

__all__ = ["chat_route", "responses_route", "websocket_route"]

_HOST: Final = compatible.HOSTS["xai"]
_DIALECT: Final = ResponsesDialect(namespaces=("openai", "xai"), reasoning_models=r"grok-([4-9]|\d\d|code)")


def responses_route(*, api_key: str | None = None, base_url: str | None = None, model: str | None = None) -> Route:
    """Make the route to Grok over Responses, for ``xai:...``.

    By default the key comes from ``XAI_API_KEY``. xAI stores no answers unless told to by
    ``provider_options={"xai": {"store": True}}``. Reasoning models are asked for their reasoning in encrypted form, so
    that it can be sent back with the history.

    Args:
        api_key: the key.
        base_url: another server with this protocol; no key of the environment is sent there.
        model: the model's id.

    Raises:
        ConfigurationError: if `base_url` is not a URL.

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
    """Make the route to Grok over Responses on a WebSocket that stays open, for ``xai-websocket:...``.

    See `mellite.providers.openai.websocket_route`.

    Args:
        api_key: the key; all arguments as for `responses_route`.
        base_url: another server with this protocol; no key of the environment is sent there.
        model: the model's id.

    Raises:
        ConfigurationError: if `base_url` is not a URL.

    Example:
        >>> websocket_route(api_key="xai-test").id
        'xai-responses-websocket'
    """
    route = responses_route(api_key=api_key, base_url=base_url, model=model)
    return route.with_(id="xai-responses-websocket", transport=websocket_transport)


def chat_route(*, api_key: str | None = None, base_url: str | None = None, model: str | None = None) -> Route:
    """Make the route to Grok over Chat Completions, for ``xai-chat:...``.

    Args:
        api_key: the key; all arguments as for `responses_route`.
        base_url: another server with this protocol; no key of the environment is sent there.
        model: the model's id.

    Raises:
        ConfigurationError: if `base_url` is not a URL.

    Example:
        >>> chat_route(api_key="xai-test").endpoint.url()
        'https://api.x.ai/v1/chat/completions'
    """
    return compatible.chat_route(_HOST, api_key=api_key, base_url=base_url, model=model)
