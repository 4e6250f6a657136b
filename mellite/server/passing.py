"""Pass requests on to the providers themselves, whose answers go back as they are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from attrs import evolve

from ..providers import catalog
from ..values.empty import EMPTY
from ..values.errors import AuthenticationError, ConfigurationError, InvalidRequest
from ..wire.endpoint import is_private_link
from ..wire.http import HttpRequest, HttpResponse, Transport, shown_url
from ..wire.route import Route
from .dialects import asked, decoded
from .itself import MARKS, is_provider, refuse_itself
from .paths import Call, Lookup, call_of, lookup_of

__all__ = ["PassingTransport", "provider_for"]

#: Protocol -> the provider that made it, which is asked unless another one is named.
_MAKERS: Final[Mapping[str, str]] = {
    "anthropic-messages": "anthropic",
    "bedrock-converse": "bedrock",
    "cohere-chat": "cohere",
    "gemini": "google",
    "openai-chat": "openai-chat",
    "openai-responses": "openai",
}

#: Who answers a lookup -> the name of the provider; who it is for none is told by no header.
_VENDORS: Final[Mapping[str, str]] = {
    "": "openai",
    "anthropic": "anthropic",
    "cohere": "cohere",
    "google": "google",
    "ollama": "ollama",
    "openai": "openai",
}
_COHERES: Final = "/v1"
_OLLAMA: Final = "ollama-chat"
_VERSION: Final = re.compile(r"/v\d[a-z0-9]*/?$")

#: Headers that belong to the connection of the client, or to its signature, which holds for this server only.
_DROPPED: Final = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
#: Where clients send a key.
_KEYS: Final = frozenset({"api-key", "authorization", "x-api-key", "x-goog-api-key"})


def provider_for(call: Call, spec: str | None) -> str | None:
    """Return the name of a provider that speaks the protocol of a call; None if it does not.

    Args:
        call: what the client asks.
        spec: the provider, and perhaps a model, as `mellite.backend` takes it; None for the maker of the protocol.

    Example:
        >>> provider_for(call_of("/v1/chat/completions"), "openai:gpt-4o")
        'openai-chat'
        >>> provider_for(call_of("/v1/messages"), "openai:gpt-4o") is None
        True
    """
    if spec is None:
        return _MAKERS.get(call.protocol)
    name, _ = catalog.split(spec)
    for each in dict.fromkeys((name, f"{name}-chat", name.removesuffix("-chat"))):
        if catalog.knows(each) and catalog.find(each).protocol.id == call.protocol:
            return each
    return None


class PassingTransport:
    """A transport that asks the provider what the client asks, with the server's key, or else with the client's own.

    Args:
        live: sends the requests.
        spec: the provider; None for the maker of each protocol.

    Attributes:
        own_url: the address of the server that asks, which is refused as a provider; empty before it listens.
    """

    def __init__(self, live: Transport, spec: str | None = None) -> None:
        self._live = live
        self._spec = spec
        self.own_url = ""

    def __repr__(self) -> str:
        return f"PassingTransport({self._spec!r})"

    async def open(self, request: HttpRequest, *, timeout: float | None = None) -> HttpResponse:
        """Ask the provider; see `Transport.open`.

        Raises:
            InvalidRequest: if it is not known who is asked.
            ConfigurationError: if a key would go over plain http, or the provider is the server itself.
        """
        route, url = self._place(request)
        refuse_itself(route.endpoint, self.own_url)
        headers = {name: value for name, value in request.headers.items() if name not in _DROPPED and value.isascii()}
        taken = request.headers.get("accept-encoding", "")
        headers["accept-encoding"] = "gzip, deflate" if "gzip" in taken else "identity"
        if is_provider(route.endpoint):
            headers = {name: value for name, value in headers.items() if name not in MARKS}
        found = HttpRequest(request.method, url, headers=headers, body=request.body, context=request.context)
        return await self._live.open(await _signed(found, route), timeout=timeout)

    def _place(self, request: HttpRequest) -> tuple[Route, str]:
        """Return the route to who is asked, and the URL there.

        Raises:
            InvalidRequest: if it is not known who that is.
        """
        parts = urlsplit(request.url)
        call = call_of(parts.path, parts.query)
        name = None if call is None else provider_for(call, self._spec)
        if call is not None and name is not None:
            route = catalog.find(name)
            return route, _url(call, route, request.body)
        lookup = lookup_of(parts.path, parts.query, request.headers)
        if call is not None and call.protocol == _OLLAMA:
            lookup = Lookup(vendor="ollama", version="", tail="/api/chat")
        if lookup is None or self._spec is not None:
            msg = f"it is not known who is asked by {request.method} {parts.path}"
            raise InvalidRequest(msg, status=404)
        return _looked_up(lookup)

    async def aclose(self) -> None:
        """Close what sends the requests."""
        close = getattr(self._live, "aclose", None)
        if close is not None:
            await close()


def _looked_up(lookup: Lookup) -> tuple[Route, str]:
    """Return the route to who is asked beside generations, and the URL there."""
    route = catalog.find(_VENDORS[lookup.vendor])
    endpoint, base = route.endpoint, route.endpoint.base()
    tail, _, query = lookup.tail.partition("?")
    if lookup.vendor in ("cohere", "ollama"):  # who have this elsewhere than their calls
        base = _VERSION.sub("", base)
        endpoint = evolve(endpoint, version=_COHERES if lookup.vendor == "cohere" else "")
    elif endpoint.version and lookup.version:
        endpoint = evolve(endpoint, version=lookup.version)
    url = evolve(endpoint, path=tail.replace("{", "%7B"), query=EMPTY).url(base=base)
    return route, f"{url}{'&' if '?' in url else '?'}{query}" if query else url


def _url(call: Call, route: Route, body: bytes) -> str:
    model, streams = call.model, call.streams
    if streams is None:
        read = asked(call, decoded(body)) if body else None
        streams, model = (read.streams, read.request.model) if read is not None else (False, None)
    url = route.endpoint.url(model=model, query={}, streaming=streams, base=route.endpoint.base())
    return url.partition("?")[0] if call.form == "array" else url


async def _signed(request: HttpRequest, route: Route) -> HttpRequest:
    """Return a request with the key of the server, if it has one; else with that of the client."""
    plain = {name: value for name, value in request.headers.items() if not name.startswith("x-amz-")}
    bare = evolve(request, headers={name: value for name, value in plain.items() if name not in _KEYS})
    try:
        await route.auth.ready()
        added = route.auth.headers(bare)
    except AuthenticationError:
        if request.headers.get("authorization", "").startswith("AWS4-"):
            raise  # a signature for this server is none for the provider
        added = EMPTY
    own = {name: value for name, value in added.items() if value is not None}
    return _checked(evolve(bare, headers={**bare.headers, **own}) if own else request)


def _checked(request: HttpRequest) -> HttpRequest:
    if not is_private_link(request.url):
        msg = f"keys would go over plain http to {shown_url(request.url)}, where others can read them; use https"
        raise ConfigurationError(msg)
    return request
