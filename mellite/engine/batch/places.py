"""The batch service for a call, by the route of its backend; or the reason why it has none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from attrs import field, frozen

from ...backends.live import LiveBackend
from ...thunk.resolving import resolved_now
from ...thunk.thunk import AnyThunk
from ...values.backend_streams import name_of
from ...values.errors import CannotTravel, ConfigurationError, InvalidRequest
from ...values.options import Timeouts
from ...values.request import Request
from ...values.type_names import a_type_name
from ...wire.http import HttpRequest
from ...wire.route import Route
from .lines import Format

__all__ = ["BatchPlace", "backend_of", "checked_backend", "place_of", "request_in_batch"]

_FORMATS: Final[Mapping[str, Format]] = {
    "openai-chat": "openai",
    "openai-responses": "openai",
    "anthropic-messages": "anthropic",
    "gemini": "gemini",
}

#: Providers with an API like OpenAI's but for batches, which they take in a way of their own.
_OWN: Final[Mapping[str, Format]] = {"azure": "azure", "mistral": "mistral"}

#: Providers whose batch services want something that a backend does not have.
_REFUSED: Final = {
    "bedrock": "its batches read and write buckets of S3, under a role of the account, which no key gives",
    "vertex": "its batches read and write buckets of Google Cloud Storage, which the account has to have",
    "vertex-anthropic": "its batches read and write buckets of Google Cloud Storage, which the account has to have",
    "xai": "its batches have an API of their own",
}

#: Headers that a batch needs as its calls do, and that hold no key.
_KEPT: Final = ("anthropic-beta", "anthropic-version")

#: Nobody waits for an answer out of a batch by a clock of the call.
_UNTIMED: Final = Timeouts(first_byte=None, idle=None, total=None)


@frozen(kw_only=True)
class BatchPlace:
    """Where calls go that may be in one batch.

    Args:
        format: how the service writes lines.
        provider: the provider's name.
        protocol: the id of the protocol.
        model: the model.
        url: the URL of the call without a batch.
        base: the base URL of the service.
        path: the path of the call, as it stands in lines.
        headers: headers that all these calls have, without keys.
    """

    format: Format
    provider: str
    protocol: str
    model: str
    url: str
    base: str
    path: str
    headers: Mapping[str, str] = field(hash=False)


def checked_backend(thunk: AnyThunk) -> LiveBackend:
    """Return the backend of a thunk that can be part of a batch.

    Raises:
        InvalidRequest: for a run, a prompt with a thunk that has not settled, a provider without such a service, and
            more than one answer to a call.
        CannotTravel: for a backend that asks no provider, or has a wrapper around it.
    """
    call = thunk.call
    backend: Any = call.backend
    if hasattr(backend, "asked_for_steps"):
        msg = "a run cannot be part of a batch: each of its steps needs the answer of the one before; use on='local'"
        raise InvalidRequest(msg, parameter="items")
    if not isinstance(backend, LiveBackend):
        msg = (
            f"{name_of(backend)} cannot be part of a batch: it is {a_type_name(type(backend))}, and a batch is of "
            "calls of mellite.backend('provider:model'), without wrappers; use on='local'"
        )
        raise CannotTravel(msg, attribute="backend")
    if resolved_now(call) is None:
        msg = "there is a thunk in the prompt that has not settled; settle it first, a batch cannot wait for it"
        raise InvalidRequest(msg, parameter="items")
    route = backend.route
    why = _REFUSED.get(route.provider)
    if "websocket" in route.id:
        why = f"it asks over a WebSocket, and a batch is of files; ask {route.provider!r} without"
    if why is None and route.protocol.id not in _FORMATS:
        why = f"mellite knows no batch service for {route.protocol.id}"
    if why is not None:
        msg = f"{backend.describe()} cannot be part of a batch: {why}; use on='local'"
        raise InvalidRequest(msg, parameter="items")
    return backend


def request_in_batch(request: Request) -> Request:
    """Return a request as it is asked in a batch: it does not stream, and no clock runs."""
    return Request.of(request, stream=False, timeouts=_UNTIMED)


def place_of(route: Route, http: HttpRequest, model: str | None) -> BatchPlace:
    """Return where a call goes.

    Args:
        route: its route.
        http: the request as it would be sent.
        model: the model that it names.
    """
    parts = urlsplit(http.url)
    url = urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))
    kind: Format = _FORMATS[route.protocol.id]
    named = model or route.model or ""
    if kind == "gemini":
        base, _, rest = url.rpartition("/models/")
        path, named_in_url = "", f"models/{rest.partition(':')[0]}"
        named = named_in_url if base else named
    else:
        below = route.endpoint.path.removeprefix("/openai/v1")  # Azure's has that where the resource alone is given
        base = url.removesuffix(below)
        path = f"/v1{below}"
    if kind == "openai":
        kind = _OWN.get(route.provider, kind)
    return BatchPlace(
        format=kind,
        provider=route.provider,
        protocol=route.protocol.id,
        model=named,
        url=url,
        base=base,
        path=path,
        headers={name: http.headers[name] for name in _KEPT if name in http.headers},
    )


def backend_of(place: BatchPlace) -> LiveBackend:
    """Return a backend that asks where a batch was sent, with the key in the environment.

    Raises:
        UnknownProvider: if the provider is one of another package that is not installed here.
    """
    from ...providers.catalog import find

    by_chat = place.protocol == "openai-chat" and place.provider in ("azure", "openai")
    name = f"{place.provider}-chat" if by_chat else place.provider
    model = place.model.removeprefix("models/")
    spec = f"{name}:{model}"
    route = find(spec)
    if _url_now(route, model) != place.url:
        route = find(spec, base_url=place.base)
    return LiveBackend(route)


def _url_now(route: Route, model: str) -> str | None:
    """Return where a route asks by the environment; None if that does not say, as of a resource of Azure."""
    try:
        base = route.endpoint.base()
    except ConfigurationError:
        return None
    return route.endpoint.url(model=model, base=base).partition("?")[0]
