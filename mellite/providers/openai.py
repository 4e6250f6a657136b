"""OpenAI: its URL, its key and its headers, for Responses and for Chat Completions."""

from __future__ import annotations

from typing import Final

from ..protocols.openai_chat import stream as openai_chat
from ..protocols.openai_responses import stream as openai_responses
from ..protocols.openai_responses.dialogue import ResponsesDialogue
from ..wire.auth.keys import Auth, Environment, bearer, header
from ..wire.endpoint import Endpoint
from ..wire.route import Route
from ..wire.transports.default import default_transport
from ..wire.transports.websocket import WebSocketTransport
from .environment_keys import key_of

__all__ = ["chat_route", "responses_route", "websocket_route", "websocket_transport"]

BASE_URL: Final = "https://api.openai.com/v1"
KEY: Final = "OPENAI_API_KEY"
BASE_URL_VARIABLE: Final = "OPENAI_BASE_URL"


def responses_route(*, api_key: str | None = None, base_url: str | None = None, model: str | None = None) -> Route:
    """OpenAI over Responses, which is what ``openai:...`` means.

    The key comes from ``OPENAI_API_KEY`` and the base URL from ``OPENAI_BASE_URL`` where they are not given;
    ``OPENAI_ORG_ID`` and ``OPENAI_PROJECT_ID`` are sent if they are set. With a `base_url` given here nothing of the
    environment is sent: the key there is for OpenAI, not for whoever answers at that URL.

    Answers are not stored unless ``provider_options={"openai": {"store": True}}`` says so, and models that think are
    asked for their thinking in encrypted form, so that it can go back with the history.

    Args:
        api_key: the key.
        base_url: another server that speaks this protocol, as in ``http://localhost:8000/v1``.
        model: the model's id.

    Raises:
        ConfigurationError: if `base_url` is no URL.

    Example:
        >>> responses_route(api_key="sk-test").endpoint.url()
        'https://api.openai.com/v1/responses'
    """
    endpoint, auth = _place(api_key, base_url, "/responses")
    protocol = openai_responses.protocol(openai_responses.OPENAI)
    return Route(id="openai-responses", provider="openai", protocol=protocol, endpoint=endpoint, auth=auth, model=model)


def websocket_route(*, api_key: str | None = None, base_url: str | None = None, model: str | None = None) -> Route:
    """OpenAI over Responses on a WebSocket that stays open, which is what ``openai-websocket:...`` means.

    Needs ``pip install 'mellite[websocket]'``. Turns of one conversation that follow each other go over one connection,
    and only what is new is sent, which saves time where many tools are called. Answers always stream.

    Args:
        api_key: the key; this and the others as `responses_route` takes them.
        base_url: another server that speaks this protocol, as in ``https://example.com/v1``.
        model: the model's id.

    Raises:
        ConfigurationError: if `base_url` is no URL.

    Example:
        >>> websocket_route(api_key="sk-test").id
        'openai-responses-websocket'
    """
    route = responses_route(api_key=api_key, base_url=base_url, model=model)
    return route.with_(id="openai-responses-websocket", transport=websocket_transport)


def websocket_transport() -> WebSocketTransport:
    """What sends Responses over WebSockets, to whichever company; over HTTP to servers that know no WebSockets."""
    return WebSocketTransport(ResponsesDialogue, fallback=default_transport())


def chat_route(*, api_key: str | None = None, base_url: str | None = None, model: str | None = None) -> Route:
    """OpenAI over Chat Completions, which is what ``openai-chat:...`` means.

    Args:
        api_key: the key; this and the others as `responses_route` takes them.
        base_url: another server that speaks this protocol, as in ``http://localhost:8000/v1``.
        model: the model's id.

    Raises:
        ConfigurationError: if `base_url` is no URL.

    Example:
        >>> chat_route(api_key="sk-test").endpoint.url()
        'https://api.openai.com/v1/chat/completions'
    """
    endpoint, auth = _place(api_key, base_url, "/chat/completions")
    protocol = openai_chat.protocol(openai_chat.OPENAI)
    return Route(id="openai-chat", provider="openai", protocol=protocol, endpoint=endpoint, auth=auth, model=model)


def _place(api_key: str | None, base_url: str | None, path: str) -> tuple[Endpoint, Auth]:
    """Where to ask, and as whom."""
    if base_url is None:
        auth = bearer(Environment(KEY) if api_key is None else api_key).and_then(_account())
        return Endpoint(BASE_URL, path, variables=(BASE_URL_VARIABLE,)), auth
    return Endpoint(base_url, path), key_of(api_key, (KEY,), BASE_URL, elsewhere=True)


def _account() -> Auth:
    organization = header("openai-organization", Environment("OPENAI_ORG_ID"), optional=True)
    return organization.and_then(header("openai-project", Environment("OPENAI_PROJECT_ID"), optional=True))
