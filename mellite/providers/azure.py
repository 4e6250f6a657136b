"""Azure OpenAI: URL of the customer's resource and key, for Responses and Chat Completions; models are deployments."""

from __future__ import annotations

from functools import partial
from typing import Final

from attrs import evolve

from ..wire.auth.keys import Auth, header
from ..wire.endpoint import Endpoint, Setting
from ..wire.route import Route
from .environment_keys import key_of

__all__ = ["chat_route", "responses_route"]

BASE_URL: Final = "https://{resource}.openai.azure.com"
KEY: Final = "AZURE_OPENAI_API_KEY"
ENDPOINT_VARIABLE: Final = "AZURE_OPENAI_ENDPOINT"
_VERSION: Final = {"api-version": "v1"}
_NAMESPACES: Final = ("openai", "azure")


def responses_route(
    *,
    api_key: str | None = None,
    base_url: str | None = None,
    model: str | None = None,
    resource: str | None = None,
) -> Route:
    """Make the route to Azure OpenAI over Responses, for ``azure:...``.

    By default the key comes from ``AZURE_OPENAI_API_KEY``; it is sent in the header ``api-key``. The server comes from
    ``AZURE_OPENAI_ENDPOINT``, as the portal shows it, or else from ``AZURE_RESOURCE_NAME``. With *base_url*, the key of
    the environment is not sent.

    Args:
        api_key: the key.
        base_url: the whole base URL, as in ``https://mine.openai.azure.com/openai/v1``.
        model: the name of the deployment.
        resource: the name of the resource, the first word of its host name.

    Raises:
        ConfigurationError: if `base_url` is not a URL.

    Example:
        >>> responses_route(api_key="key", resource="mine").endpoint.url()
        'https://mine.openai.azure.com/openai/v1/responses?api-version=v1'
    """
    from ..protocols import openai_responses

    return Route(
        id="azure-openai-responses",
        provider="azure",
        protocol=openai_responses.protocol(evolve(openai_responses.OPENAI, namespaces=_NAMESPACES)),
        endpoint=_endpoint("/responses", base_url=base_url, resource=resource),
        auth=_auth(api_key, elsewhere=base_url is not None),
        model=model,
    )


def chat_route(
    *,
    api_key: str | None = None,
    base_url: str | None = None,
    model: str | None = None,
    resource: str | None = None,
) -> Route:
    """Make the route to Azure OpenAI over Chat Completions, for ``azure-chat:...``.

    Args:
        api_key: the key; all arguments as for `responses_route`.
        base_url: the whole base URL, as in ``https://mine.openai.azure.com/openai/v1``.
        model: the name of the deployment.
        resource: the name of the resource, the first word of its host name.

    Raises:
        ConfigurationError: if `base_url` is not a URL.

    Example:
        >>> chat_route(api_key="key", resource="mine").endpoint.url()
        'https://mine.openai.azure.com/openai/v1/chat/completions?api-version=v1'
    """
    from ..protocols import openai_chat

    return Route(
        id="azure-openai-chat",
        provider="azure",
        protocol=openai_chat.protocol(evolve(openai_chat.OPENAI, namespaces=_NAMESPACES)),
        endpoint=_endpoint("/chat/completions", base_url=base_url, resource=resource),
        auth=_auth(api_key, elsewhere=base_url is not None),
        model=model,
    )


def _endpoint(path: str, *, base_url: str | None, resource: str | None) -> Endpoint:
    if base_url is not None:
        return Endpoint(base_url, path, query=_VERSION)
    settings = {"resource": Setting(resource, variables=("AZURE_RESOURCE_NAME",))}
    variables = () if resource is not None else (ENDPOINT_VARIABLE,)
    return Endpoint(BASE_URL, f"/openai/v1{path}", query=_VERSION, variables=variables, settings=settings)


def _auth(api_key: str | None, *, elsewhere: bool) -> Auth:
    return key_of(api_key, (KEY,), "your resource", elsewhere=elsewhere, send=partial(header, "api-key"))
