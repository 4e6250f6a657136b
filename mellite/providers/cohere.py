"""Cohere: URL and key, for its own Chat API."""

from __future__ import annotations

from typing import Final

from ..protocols.cohere_chat import protocol
from ..wire.auth.keys import bearer
from ..wire.endpoint import Endpoint
from ..wire.route import Route
from .environment_keys import key_of

__all__ = ["BASE_URL", "chat_route"]

BASE_URL: Final = "https://api.cohere.com/v2"

#: The variables that Cohere's own SDK reads, in this order; the second is not documented.
KEYS: Final = ("CO_API_KEY", "COHERE_API_KEY")
BASE_URL_VARIABLE: Final = "CO_API_URL"


def chat_route(*, api_key: str | None = None, base_url: str | None = None, model: str | None = None) -> Route:
    """Make the route to Cohere over version 2 of its Chat API, for ``cohere:...``.

    By default the key comes from ``CO_API_KEY`` or ``COHERE_API_KEY``, and the base URL from ``CO_API_URL``. With
    *base_url*, no key of the environment is sent, as those are for Cohere only. Documents to cite are
    `mellite.messages.Document` parts with text. Options that only Cohere has are given as
    ``provider_options={"cohere": {"safety_mode": "STRICT"}}``.

    Args:
        api_key: the key.
        base_url: another server with this protocol; the version at the end may be left out.
        model: the model's id.

    Raises:
        ConfigurationError: if `base_url` is not a URL.

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
