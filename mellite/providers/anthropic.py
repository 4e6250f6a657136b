"""Anthropic, which makes Claude: URL, key and API version, for Messages."""

from __future__ import annotations

import re
from typing import Final

from attrs import evolve

from ..protocols.anthropic_messages import ANTHROPIC, protocol
from ..wire.auth.keys import Environment, bearer, header, none
from ..wire.endpoint import Endpoint
from ..wire.route import Route
from ..wire.versions import Versions
from .environment_keys import withheld

__all__ = ["BASE_URL", "OLDER_FIELDS", "VERSION", "VERSIONS", "messages_route"]

BASE_URL: Final = "https://api.anthropic.com/v1"
KEY: Final = "ANTHROPIC_API_KEY"
TOKEN: Final = "ANTHROPIC_AUTH_TOKEN"  # noqa: S105 - the name of the variable
BASE_URL_VARIABLE: Final = "ANTHROPIC_BASE_URL"

#: The newest version of the API: https://platform.claude.com/docs/en/api/versioning
VERSION: Final = "2026-10-21"

#: Fields that the newest version refuses with HTTP 400, even with their default values.
OLDER_FIELDS: Final = frozenset({"temperature", "top_k", "top_p"})
VERSIONS: Final = Versions(newest=VERSION, older="2023-06-01", older_fields=OLDER_FIELDS, header="anthropic-version")

#: The largest request, 32 MB: https://platform.claude.com/docs/en/api/overview#request-size-limits
MAX_BYTES: Final = 32 * 2**20

#: Microsoft Foundry takes every bearer token for one of Entra ID, and API keys only in ``x-api-key``:
#: https://platform.claude.com/docs/en/build-with-claude/claude-in-microsoft-foundry
_FOUNDRY: Final = re.compile(r"https://[^/?#]+\.azure\.com(:\d+)?([/?#]|$)", re.IGNORECASE)


def messages_route(
    *,
    api_key: str | None = None,
    base_url: str | None = None,
    model: str | None = None,
    version: str | None = None,
) -> Route:
    """Make the route to Anthropic over Messages, for ``anthropic:...``.

    By default the key comes from ``ANTHROPIC_AUTH_TOKEN`` or ``ANTHROPIC_API_KEY``, and the base URL from
    ``ANTHROPIC_BASE_URL``. The key is sent as a bearer token, as by Anthropic's own libraries from 2.0 on; only
    Microsoft Foundry gets it as ``x-api-key``. With *base_url*, no key of the environment is sent, as those are for
    Anthropic only. Beta features are requested by ``http=HttpOptions(headers={"anthropic-beta": "..."})``.

    Args:
        api_key: the key.
        base_url: another server with this protocol; the version at the end may be left out.
        model: the model's id.
        version: the version of the API for every call, as in ``2023-06-01``. By default the newest, or the one before
            for a call with an option that only that one accepts, such as ``temperature``.

    Raises:
        ConfigurationError: if `base_url` is not a URL.

    Example:
        >>> messages_route(api_key="sk-ant-test").endpoint.url()
        'https://api.anthropic.com/v1/messages'
    """
    if api_key is not None:
        auth = header("x-api-key", api_key) if _FOUNDRY.match(base_url or "") else bearer(api_key)
    elif base_url is None:
        auth = bearer(Environment(TOKEN, KEY))
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
        versions=evolve(VERSIONS, named=version),
        max_bytes=MAX_BYTES if base_url is None else None,
    )
