"""OpenAI: URL, key and headers, for Responses (over HTTP or a WebSocket) and Chat Completions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Unpack

from ..wire.auth.keys import Auth, Environment, bearer, header
from ..wire.endpoint import Endpoint
from ..wire.route import Route
from ..wire.transports.default import NetworkOptions, default_transport
from .environment_keys import key_of

# A route asks in one of two protocols, so that each is imported where it is needed.

if TYPE_CHECKING:
    from ..wire.transports.websocket import WebSocketTransport

__all__ = ["chat_route", "responses_route", "websocket_route", "websocket_transport"]

BASE_URL: Final = "https://api.openai.com/v1"
KEY: Final = "OPENAI_API_KEY"
BASE_URL_VARIABLE: Final = "OPENAI_BASE_URL"


def responses_route(*, api_key: str | None = None, base_url: str | None = None, model: str | None = None) -> Route:
    """Make the route to OpenAI over Responses, for ``openai:...``.

    By default the key comes from ``OPENAI_API_KEY``, and the base URL from ``OPENAI_BASE_URL``; ``OPENAI_ORG_ID`` and
    ``OPENAI_PROJECT_ID`` are sent if they are set. With *base_url*, nothing of the environment is sent, as the key
    there is for OpenAI only.

    OpenAI stores no answers unless told to by ``provider_options={"openai": {"store": True}}``. Reasoning models are
    asked for their reasoning in encrypted form, so that it can be sent back with the history.

    Args:
        api_key: the key.
        base_url: another server with this protocol, as in ``http://localhost:8000/v1``.
        model: the model's id.

    Raises:
        ConfigurationError: if `base_url` is not a URL.

    Example:
        >>> responses_route(api_key="sk-test").endpoint.url()
        'https://api.openai.com/v1/responses'
    """
    from ..protocols import openai_responses

    endpoint, auth = _place(api_key, base_url, "/responses")
    protocol = openai_responses.protocol(openai_responses.OPENAI)
    return Route(id="openai-responses", provider="openai", protocol=protocol, endpoint=endpoint, auth=auth, model=model)


def websocket_route(*, api_key: str | None = None, base_url: str | None = None, model: str | None = None) -> Route:
    """Make the route to OpenAI over Responses on a WebSocket that stays open, for ``openai-websocket:...``.

    Needs ``pip install 'mellite[websocket]'``. The turns of a conversation share a connection, and each sends only what
    is new, which saves time when many tools are called. Answers always stream.

    Args:
        api_key: the key; all arguments as for `responses_route`.
        base_url: another server with this protocol, as in ``https://example.com/v1``.
        model: the model's id.

    Raises:
        ConfigurationError: if `base_url` is not a URL.

    Example:
        >>> websocket_route(api_key="sk-test").id
        'openai-responses-websocket'
    """
    route = responses_route(api_key=api_key, base_url=base_url, model=model)
    return route.with_(id="openai-responses-websocket", transport=websocket_transport)


def websocket_transport(**network: Unpack[NetworkOptions]) -> WebSocketTransport:
    """Make a transport for Responses over WebSockets, of any company; it uses HTTP for servers without WebSockets."""
    from ..protocols.openai_responses.dialogue import ResponsesDialogue
    from ..wire.tls import tls_settings  # with these come TLS and HTTP, which a replay does without
    from ..wire.transports.http1.origins import FROM_ENVIRONMENT
    from ..wire.transports.websocket import WebSocketTransport

    return WebSocketTransport(
        ResponsesDialogue,
        fallback=default_transport(**network),
        proxy=network.get("proxy", FROM_ENVIRONMENT),
        ssl_context=tls_settings(network.get("ca"), network.get("cert"), None),
    )


def chat_route(*, api_key: str | None = None, base_url: str | None = None, model: str | None = None) -> Route:
    """Make the route to OpenAI over Chat Completions, for ``openai-chat:...``.

    Args:
        api_key: the key; all arguments as for `responses_route`.
        base_url: another server with this protocol, as in ``http://localhost:8000/v1``.
        model: the model's id.

    Raises:
        ConfigurationError: if `base_url` is not a URL.

    Example:
        >>> chat_route(api_key="sk-test").endpoint.url()
        'https://api.openai.com/v1/chat/completions'
    """
    from ..protocols import openai_chat

    endpoint, auth = _place(api_key, base_url, "/chat/completions")
    protocol = openai_chat.protocol(openai_chat.OPENAI)
    return Route(id="openai-chat", provider="openai", protocol=protocol, endpoint=endpoint, auth=auth, model=model)


def _place(api_key: str | None, base_url: str | None, path: str) -> tuple[Endpoint, Auth]:
    """Return the endpoint and the auth of a route."""
    if base_url is None:
        auth = bearer(Environment(KEY) if api_key is None else api_key).and_then(_account())
        return Endpoint(BASE_URL, path, variables=(BASE_URL_VARIABLE,)), auth
    return Endpoint(base_url, path), key_of(api_key, (KEY,), BASE_URL, elsewhere=True)


def _account() -> Auth:
    organization = header("openai-organization", Environment("OPENAI_ORG_ID"), optional=True)
    return organization.and_then(header("openai-project", Environment("OPENAI_PROJECT_ID"), optional=True))
