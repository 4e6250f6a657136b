"""Cloudflare AI Gateway: URL of account and gateway, and the gateway's key beside that of the provider behind it."""

from __future__ import annotations

from typing import Final

from ..protocols.openai_chat import ChatDialect, protocol
from ..wire.auth.keys import Environment, bearer
from ..wire.endpoint import Endpoint, Setting
from ..wire.route import Route
from .compatible import ACCOUNT
from .environment_keys import key_of

__all__ = ["gateway_route"]

NAME: Final = "cloudflare-ai-gateway"
BASE_URL: Final = "https://gateway.ai.cloudflare.com/v1/{account}/{gateway}/compat"
KEYS: Final = ("CLOUDFLARE_API_TOKEN", "CF_AIG_TOKEN")
GATEWAY: Final = Setting(variables=("CLOUDFLARE_GATEWAY_ID", "CF_AIG_GATEWAY_ID"), default="default")


def gateway_route(*, api_key: str | None = None, base_url: str | None = None, model: str | None = None) -> Route:
    """Make the route to Cloudflare AI Gateway over Chat Completions, for ``cloudflare-ai-gateway:...``.

    A model's id begins with the provider behind the gateway, as in ``workers-ai/@cf/meta/llama-3.1-8b-instruct``. The
    environment gives the account in ``CLOUDFLARE_ACCOUNT_ID``, the gateway in ``CLOUDFLARE_GATEWAY_ID`` (else
    ``default``), and the gateway's key in ``CLOUDFLARE_API_TOKEN`` or ``CF_AIG_TOKEN``. With *base_url*, no key of the
    environment is sent.

    Args:
        api_key: the key of the provider behind the gateway, unless the gateway stores it. With this key, the gateway's
            own key is optional.
        base_url: another server.
        model: the model's id.

    Raises:
        ConfigurationError: if `base_url` is not a URL.

    Example:
        >>> gateway_route(api_key="sk-test").endpoint.base_url
        'https://gateway.ai.cloudflare.com/v1/{account}/{gateway}/compat'
    """
    if base_url is None:
        settings = {"account": ACCOUNT, "gateway": GATEWAY}
        endpoint = Endpoint(BASE_URL, "/chat/completions", settings=settings)
        auth = bearer(Environment(*KEYS), name="cf-aig-authorization", optional=api_key is not None)
        if api_key is not None:
            auth = bearer(api_key).and_then(auth)
    else:
        endpoint = Endpoint(base_url, "/chat/completions")
        auth = key_of(api_key, KEYS, "Cloudflare", elsewhere=True)
    return Route(
        id=NAME,
        provider=NAME,
        protocol=protocol(ChatDialect(namespaces=("openai", NAME))),
        endpoint=endpoint,
        auth=auth,
        model=model,
    )
