"""Google AI Studio: URL and key, for Gemini."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

from ..protocols.gemini import protocol
from ..wire.auth.keys import Environment, header, none
from ..wire.endpoint import Endpoint
from ..wire.route import Route
from .environment_keys import withheld

__all__ = ["gemini_route"]

BASE_URL: Final = "https://generativelanguage.googleapis.com"
BASE_URL_VARIABLE: Final = "GOOGLE_GEMINI_BASE_URL"
KEYS: Final = ("GEMINI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_GENERATIVE_AI_API_KEY")


def model_path(model: str) -> str:
    """Return a model's path in URLs of AI Studio; the id may name its collection, as in ``tunedModels/my-model``.

    Example:
        >>> model_path("gemini-2.5-flash"), model_path("models/gemini-2.5-flash"), model_path("tunedModels/my-model")
        ('models/gemini-2.5-flash', 'models/gemini-2.5-flash', 'tunedModels/my-model')
    """
    found = re.fullmatch(r"(models|tunedModels)/([^/]+)", model)
    collection, name = ("models", model) if found is None else found.groups()
    return f"{collection}/{quote(name, safe='')}"


def endpoint(base_url: str, *, variables: tuple[str, ...] = ()) -> Endpoint:
    """Make the endpoint of Gemini, with another path for streams."""
    return Endpoint(
        base_url,
        "/{model}:generateContent",
        version="/v1beta",
        streaming_path="/{model}:streamGenerateContent",
        streaming_query={"alt": "sse"},
        variables=variables,
        model_path=model_path,
    )


def gemini_route(*, api_key: str | None = None, base_url: str | None = None, model: str | None = None) -> Route:
    """Make the route to Gemini on Google AI Studio, for ``google:...``.

    By default the key comes from ``GEMINI_API_KEY``, ``GOOGLE_API_KEY`` or ``GOOGLE_GENERATIVE_AI_API_KEY``, and the
    base URL from ``GOOGLE_GEMINI_BASE_URL``. With *base_url*, no key of the environment is sent, as those are for
    Google only.

    Args:
        api_key: the key.
        base_url: another server with this protocol; ``/v1beta`` is appended unless the URL ends with a version.
        model: the model's id.

    Raises:
        ConfigurationError: if `base_url` is not a URL.

    Example:
        >>> gemini_route(api_key="AIza-test", model="gemini-2.5-flash").endpoint.url(model="gemini-2.5-flash")
        'https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-flash:generateContent'
    """
    keys = Environment(*KEYS)
    if base_url is None:
        where = endpoint(BASE_URL, variables=(BASE_URL_VARIABLE,))
        auth = header("x-goog-api-key", keys if api_key is None else api_key)
    else:
        where = endpoint(base_url)
        auth = none(withheld(keys.describe(), BASE_URL)) if api_key is None else header("x-goog-api-key", api_key)
    return Route(id="gemini", provider="google", protocol=protocol(), endpoint=where, auth=auth, model=model)
