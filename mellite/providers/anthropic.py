"""Anthropic, the company of Claude: its URL, its key and its headers, for Messages."""

from __future__ import annotations

from typing import Final

from ..protocols.anthropic_messages import ANTHROPIC, protocol
from ..wire.auth import Environment, bearer, header, none
from ..wire.endpoint import Endpoint
from ..wire.route import Route
from .keys import withheld

__all__ = ["BASE_URL", "VERSION", "messages_route"]

BASE_URL: Final = "https://api.anthropic.com/v1"
KEY: Final = "ANTHROPIC_API_KEY"
TOKEN: Final = "ANTHROPIC_AUTH_TOKEN"  # noqa: S105 - a name, not a token
BASE_URL_VARIABLE: Final = "ANTHROPIC_BASE_URL"
VERSION: Final = "2023-06-01"


def messages_route(*, api_key: str | None = None, base_url: str | None = None, model: str | None = None) -> Route:
    """Anthropic over Messages, which is what ``anthropic:...`` means.

    The key comes from ``ANTHROPIC_API_KEY``, or as a bearer token from ``ANTHROPIC_AUTH_TOKEN``, and the base URL from
    ``ANTHROPIC_BASE_URL`` where they are not given. With a `base_url` given here no key of the environment is sent: it
    is for Anthropic, not for whoever answers at that URL. A beta is asked for with
    ``http=HttpOptions(headers={"anthropic-beta": "..."})``.

    Args:
        api_key: the key.
        base_url: another server that speaks this protocol, with its version at the end or without it.
        model: the model's id.

    Raises:
        ConfigurationError: if `base_url` is no URL.

    Example:
        >>> messages_route(api_key="sk-ant-test").endpoint.url()
        'https://api.anthropic.com/v1/messages'
    """
    if api_key is not None:
        auth = header("x-api-key", api_key)
    elif base_url is None:
        auth = bearer(Environment(TOKEN)).or_else(header("x-api-key", Environment(KEY)))
    else:
        auth = none(withheld(KEY, BASE_URL))
    variables = (BASE_URL_VARIABLE,) if base_url is None else ()
    return Route(
        id="anthropic-messages",
        provider="anthropic",
        protocol=protocol(ANTHROPIC),
        endpoint=Endpoint(base_url or BASE_URL, "/messages", version="/v1", variables=variables),
        auth=auth,
        model=model,
        headers={"anthropic-version": VERSION},
    )
