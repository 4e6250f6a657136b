"""A route to one provider: protocol, endpoint, auth and framing. Turns requests into HTTP and answers into events."""

from __future__ import annotations

import re
import sys
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any, Final, Protocol as Interface

import anyio
from attrs import evolve, field, frozen

from .. import loops
from ..values.empty import EMPTY
from ..values.errors import (
    AuthenticationError,
    ConfigurationError,
    InvalidProviderOutput,
    InvalidRequest,
    TotalTimeout,
    UnsupportedOption,
)
from ..values.events import Event, ResponseStart
from ..values.options import NO_OPTIONS, HttpOptions, Options, Timeouts
from ..values.provider_json import JsonObject
from ..values.request import Request
from .auth.keys import Auth, Scrubber, lacks_something, none
from .bounds import DEFAULT_BOUNDS, AnswerBounds
from .endpoint import Endpoint, is_private_link
from .error_context import Informing, request_id, safe_headers
from .framing import Framing, SseDecoder
from .http import HttpRequest, HttpResponse, Transport, check_request, shown_url
from .json_body import encoded, merged, merged_http
from .parsing import Parser, each
from .protocol import Protocol
from .refusals import refusal
from .response import BodyReader, open_response
from .transports.default import default_transport
from .versions import Versions

__all__ = ["Route"]

_EXCERPT: Final = 200
_EVENTS: Final = re.compile("event-?stream")  # content types of server-sent events and of AWS's event streams
_OK: Final = range(200, 300)
_HALF: Final = re.compile("[\ud800-\udfff]")
_DEFAULT_TIMEOUTS: Final = Timeouts()
_NO_HTTP: Final = HttpOptions()

#: The options that a route honours itself, with every protocol.
_OWN_OPTIONS: Final = frozenset({"timeouts", "stream", "drop_unsupported"})


class Place(Interface):
    """One place among a limited number of generations; see `mellite.loops.places.Place`."""

    def take_if_free(self) -> bool:
        """Take the place if that needs no waiting; return whether it was taken."""
        ...

    async def take(self) -> None:
        """Wait until the place is free, then take it."""
        ...

    def give_back(self) -> None:
        """Give the place back for good, whether it was taken or not. Idempotent."""
        ...


@frozen(kw_only=True)
class _Call:
    """One request in every form that sending it needs."""

    request: Request
    body: JsonObject
    http: HttpRequest
    scrubber: Scrubber
    streaming: bool

    @property
    def timeouts(self) -> Timeouts:
        return self.request.options.timeouts or _DEFAULT_TIMEOUTS


@frozen(kw_only=True)
class Route:
    """Everything needed to ask one provider over one protocol. An immutable value; `with_` returns a changed copy.

    Args:
        id: the route's name in messages, as in ``openai-chat``.
        provider: the provider's name, as in ``openai``.
        protocol: the format of requests and answers.
        endpoint: the URL.
        auth: the credentials.
        framing: makes the decoder for one stream.
        transport: makes the transport, for a backend that is given none.
        model: the model's id, for requests that name none.
        headers: headers of every request.
        versions: the API versions to choose from, for providers that have several.
        options: defaults for the options of a request; `provider_options` and `http` likewise.

    Example:
        >>> from mellite.providers.openai import chat_route
        >>> route = chat_route(api_key="sk-test", model="gpt-4o-mini")
        >>> route.prepare(Request.of("Hello.")).url
        'https://api.openai.com/v1/chat/completions'
    """

    id: str
    provider: str
    protocol: Protocol[Any]
    endpoint: Endpoint
    auth: Auth = field(factory=none)
    framing: Callable[[], Framing] = SseDecoder
    transport: Callable[[], Transport] = default_transport
    model: str | None = None
    headers: Mapping[str, str] = EMPTY
    versions: Versions | None = None
    options: Options = NO_OPTIONS
    provider_options: Mapping[str, Any] = EMPTY
    http: HttpOptions | None = None

    def with_(
        self,
        *,
        options: Options = NO_OPTIONS,
        provider_options: Mapping[str, Any] = EMPTY,
        http: HttpOptions | None = None,
        headers: Mapping[str, str] = EMPTY,
        **changes: Any,
    ) -> Route:
        """Return a copy with these defaults merged over the present ones and the other fields replaced.

        Raises:
            TypeError: for a name that is no field of a route.
        """
        return evolve(
            self,
            options=self.options.merged(options),
            provider_options=merged(self.provider_options, provider_options),
            http=merged_http(self.http, http),
            headers={**self.headers, **headers} if headers else self.headers,
            **changes,
        )

    # From a request to HTTP

    def prepare(self, request: Request) -> HttpRequest:
        """Return the HTTP request that would be sent, without sending it.

        Raises:
            InvalidRequest: if no model is named, or the protocol cannot express the request.
            UnsupportedOption: for an option that the route cannot honour, unless ``drop_unsupported`` is set.
            AuthenticationError: with kind ``missing`` if there is no key.
            ConfigurationError: for a key or URL that cannot be used, or a key that would go over plain http.
        """
        with Informing(self.provider, request.model or self.model, self.auth):
            return self._compile(request).http

    def _compile(self, request: Request, *, offline: bool = False) -> _Call:
        request = self._with_defaults(request)
        streaming = request.options.stream is not False
        request, repairs = self.protocol.mend(request)
        body = self.protocol.lower(request, stream=streaming)
        extra = request.http or _NO_HTTP
        _check_words(request.model, extra.query)
        if extra.body:
            body = merged(body, extra.body)
        unsaid = self.endpoint.unsaid() if offline else []
        base = f"https://unknown-{'-and-'.join(unsaid)}.invalid" if unsaid else None
        url = self.endpoint.url(model=request.model, query=extra.query, streaming=streaming, base=base)
        headers = _joined(self.headers, extra.headers)
        if self.versions is not None:
            drop = request.options.drop_unsupported is True
            body, headers = self.versions.applied(body, headers, route=self.id, drop=drop)
        data, body = encoded(body)
        headers["content-type"] = "application/json"
        lineage = request.metadata.get("lineage")
        context: dict[str, object] = {
            "provider": self.provider,
            "protocol": self.protocol.id,
            "model": request.model,
            "lineage": lineage,
            "repairs": repairs,
            "timeouts": request.options.timeouts or _DEFAULT_TIMEOUTS,
        }
        if unsaid:
            context["unsaid"] = unsaid  # the base URL depends on these, so only the rest of the URL is known
        http = HttpRequest("POST", url, headers=headers, body=data, context=context)
        http, scrubber = self._signed(http, offline=offline)
        check_request(http)
        return _Call(request=request, body=body, http=http, scrubber=scrubber, streaming=streaming)

    def _with_defaults(self, request: Request) -> Request:
        changes: dict[str, Any] = {}
        if request.model is None:
            if self.model is None:
                msg = f"route {self.id!r} needs a model: name one as in 'openai:gpt-4o-mini', or give model=..."
                raise InvalidRequest(msg, parameter="model")
            changes["model"] = self.model
        options = self.options.merged(request.options)
        unsupported = options.given().keys() - self.protocol.options - _OWN_OPTIONS
        if unsupported:
            if not options.drop_unsupported:
                name = min(unsupported)
                msg = (
                    f"route {self.id!r} cannot honour the option {name!r}; leave it out, or allow that it is left out "
                    "with drop_unsupported=True"
                )
                raise UnsupportedOption(msg, option=name)
            options = evolve(options, **dict.fromkeys(unsupported))
        if options is not request.options:
            changes["options"] = options
        if self.provider_options:
            changes["provider_options"] = merged(self.provider_options, request.provider_options)
        if self.http is not None:
            changes["http"] = merged_http(self.http, request.http)
        return evolve(request, **changes) if changes else request

    def _signed(self, http: HttpRequest, *, offline: bool) -> tuple[HttpRequest, Scrubber]:
        # Nothing may raise in this frame while `added` exists: tracebacks with locals would show the key.
        try:
            added = self.auth.headers(http)
        except (AuthenticationError, ConfigurationError) as error:
            if offline and lacks_something(error):
                return http, Scrubber()
            raise
        if not added:
            return http, Scrubber()
        secrets: tuple[Any, ...] = tuple(added.values())
        headers: dict[str, Any] = {**http.headers, **added}
        if None in secrets:  # a header to remove
            secrets = tuple([value for value in secrets if value is not None])
            headers = {name: value for name, value in headers.items() if value is not None}
        if not secrets or is_private_link(http.url):
            headers["content-type"] = "application/json"
            signed = HttpRequest(http.method, http.url, headers=headers, body=http.body, context=http.context)
            return signed, Scrubber(secrets)
        del added, secrets, headers
        msg = (
            f"the key would go over plain http to {shown_url(http.url)}, where others can read it; use https, or "
            "give no key if that server needs none"
        )
        raise ConfigurationError(msg)

    # From HTTP to events

    async def stream(
        self,
        request: Request,
        transport: Transport,
        *,
        keep_raw: bool = True,
        bounds: AnswerBounds = DEFAULT_BOUNDS,
        place: Place | None = None,
    ) -> AsyncGenerator[Event, None]:
        """Send the request and yield the events of the answer, the last of which is the only Finish.

        The response is closed however the generator ends: by the end of the answer, an error, `aclose` or
        cancellation.

        Args:
            request: the request.
            transport: sends the request; one that is ``offline`` needs no keys and no settings.
            keep_raw: whether to yield each stream event as it arrived, too, as a RawChunk.
            bounds: the largest answer to accept.
            place: the place to hold among the generations that may run at once, from sending to the end of the answer.

        Raises:
            MelliteError: of any kind, with provider, model, status and request id as far as they are known.
        """
        offline = getattr(transport, "offline", False) is True
        with Informing(self.provider, request.model or self.model, self.auth) as known:
            since = None if place is None or place.take_if_free() else await self._wait_for(place, request)
            try:
                if not offline:
                    await self.auth.ready()
                call = self._compile(request, offline=offline)
                known.scrubber = call.scrubber
                shown = shown_url(call.http.url)
                reader = await open_response(
                    transport, call.http, call.timeouts, shown=shown, bounds=bounds, since=since
                )
                known.response = reader.response
                try:
                    yield self._start(call, reader.response)
                    streams = await self._is_stream(call, reader)
                    if streams is not call.streaming:
                        yield ResponseStart(streaming=streams)
                    if streams:
                        parser = Parser(self.protocol, self._framing(bounds), call.request, bounds, keep_raw=keep_raw)
                        known.usage = parser.usage
                        while not parser.over:
                            for event in parser.take(await parser.next(reader)):
                                yield event
                        await reader.drain()
                    else:
                        body = await reader.rest()
                        bounds.check(body)
                        for event in each(self.protocol.unary, body):
                            yield event
                except BaseException:
                    await reader.abandon()
                    raise
                await reader.response.aclose()
            finally:
                if place is not None:
                    place.give_back()

    async def _wait_for(self, place: Place, request: Request) -> float:
        """Take *place*; return when the wait began, on the loop's clock, for the total timeout to count from.

        Call this before signing the request: signatures and tokens expire.
        """
        since = loops.clock()()
        timeouts = self.options.merged(request.options).timeouts or _DEFAULT_TIMEOUTS
        with anyio.move_on_after(timeouts.total):
            await place.take()
            return since
        msg = (
            f"the answer was not complete within {timeouts.total} s: it waited for its turn, as many generations as "
            "max_concurrency allows were running; raise Timeouts(total=...), or max_concurrency of the backend"
        )
        raise TotalTimeout(msg)

    def _framing(self, bounds: AnswerBounds) -> Framing:
        """Make the decoder for one stream, with the largest event that *bounds* allow."""
        framing = self.framing()
        if isinstance(framing, SseDecoder) and bounds.max_event != DEFAULT_BOUNDS.max_event:
            framing.limit = sys.maxsize if bounds.max_event is None else bounds.max_event
        return framing

    def _start(self, call: _Call, response: HttpResponse) -> ResponseStart:
        return ResponseStart(
            provider=self.provider,
            protocol=self.protocol.id,
            model=call.request.model,
            request_id=request_id(response),
            status=response.status,
            headers=safe_headers(response.headers),
            request_body=call.body,
            attempts=1,
            replayed=getattr(response, "replayed", None),
            repairs=call.http.context["repairs"] or None,
            streaming=call.streaming,
        )

    async def _is_stream(self, call: _Call, reader: BodyReader) -> bool:
        """Tell from the first bytes whether the body is a stream of events or one JSON value.

        A body that begins like JSON is JSON: some servers send the wrong content type.

        Raises:
            MelliteError: the error that an HTTP error status or a web page stands for.
        """
        response = reader.response
        if response.status not in _OK:
            raise await refusal(
                reader, self.protocol, url=call.http.url, path=self.endpoint.path, provider=self.provider
            )
        head = (await reader.peek()).lstrip(b"\xef\xbb\xbf \t\r\n")
        first = head[:1]
        if first == b"<":
            text = " ".join(head[:_EXCERPT].decode("utf-8", "replace").split())
            url = shown_url(call.http.url)
            msg = f"HTTP {response.status} from {url} is a web page, not an answer; is the base URL right? {text!r}"
            raise InvalidProviderOutput(msg)
        if call.streaming:
            return first not in (b"{", b"[")
        return first not in (b"{", b"[") and _EVENTS.search(response.headers.get("content-type", "")) is not None


def _joined(under: Mapping[str, str], over: Mapping[str, str]) -> dict[str, str]:
    """Return headers by lower-case name; those of *over* win."""
    return {name.lower(): value for name, value in {**under, **over}.items()} if under or over else {}


def _check_words(model: str | None, query: Mapping[str, str]) -> None:
    """Refuse half a surrogate pair: a URL cannot hold one, and replacing it would name another model.

    Raises:
        InvalidRequest: if the model's id or the query holds one.
    """
    if not query and (model is None or model.isascii()):
        return
    for parameter, word in (("model", model), *[("http", word) for item in query.items() for word in item]):
        if isinstance(word, str) and not word.isascii() and _HALF.search(word) is not None:
            msg = f"{word!r} holds half a surrogate pair, which is no text that can be sent: copy it again"
            raise InvalidRequest(msg, parameter=parameter)
