"""Pass requests on to the providers themselves, whose answers go back as they are."""

from __future__ import annotations

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
from .itself import VIA, is_plain, refuse_itself
from .paths import Call, call_of

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
        parts = urlsplit(request.url)
        call = call_of(parts.path, parts.query)
        name = None if call is None else provider_for(call, self._spec)
        if call is None or name is None:
            msg = f"it is not known who is asked by {request.method} {parts.path}"
            raise InvalidRequest(msg, status=404)
        route = catalog.find(name)
        refuse_itself(route.endpoint, self.own_url)
        headers = {name: value for name, value in request.headers.items() if name not in _DROPPED and value.isascii()}
        taken = request.headers.get("accept-encoding", "")
        headers["accept-encoding"] = "gzip, deflate" if "gzip" in taken else "identity"
        url = _url(call, route, request.body)
        if not is_plain(url):
            headers.pop(VIA, None)
        found = HttpRequest(request.method, url, headers=headers, body=request.body, context=request.context)
        return await self._live.open(await _signed(found, route), timeout=timeout)

    async def aclose(self) -> None:
        """Close what sends the requests."""
        close = getattr(self._live, "aclose", None)
        if close is not None:
            await close()


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
