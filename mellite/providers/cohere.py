"""Cohere: its URL and its key, for its own Chat."""

from __future__ import annotations

from typing import Final

from ..protocols.cohere_chat.stream import protocol
from ..wire.auth.keys import bearer
from ..wire.endpoint import Endpoint
from ..wire.route import Route
from .environment_keys import key_of

__all__ = ["BASE_URL", "chat_route"]

BASE_URL: Final = "https://api.cohere.com/v2"

#: As Cohere's own SDK reads them, in this order; the second is not documented.
KEYS: Final = ("CO_API_KEY", "COHERE_API_KEY")
BASE_URL_VARIABLE: Final = "CO_API_URL"


def chat_route(*, api_key: str | None = None, base_url: str | None = None, model: str | None = None) -> Route:
    """Cohere over its Chat, version 2, which is what ``cohere:...`` means.

    The key comes from ``CO_API_KEY`` or ``COHERE_API_KEY``, and the base URL from ``CO_API_URL`` where they are not
    given. With a `base_url` given here no key of the environment is sent: that is for Cohere, not for whoever answers
    there. Documents to cite are `mellite.messages.Document` parts of text; what only Cohere has goes into
    ``provider_options={"cohere": {"safety_mode": "STRICT"}}``.

    Args:
        api_key: the key.
        base_url: another server that speaks this protocol, with its version at the end or without it.
        model: the model's id.

    Raises:
        ConfigurationError: if `base_url` is no URL.

    Example:
        >>> chat_route(api_key="co-test").endpoint.url()
        'https://api.cohere.com/v2/chat'
    """
    variables = (BASE_URL_VARIABLE,) if base_url is None else ()
    return Route(
        id="cohere-chat",
        provider="cohere",
        protocol=protocol(),
        endpoint=Endpoint(base_url or BASE_URL, "/chat", version="/v2", variables=variables),
        auth=key_of(api_key, KEYS, BASE_URL, elsewhere=base_url is not None, send=bearer),
        model=model,
    )
