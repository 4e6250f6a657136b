"""A route: protocol x endpoint x auth x framing. Compiles a request to HTTP, and turns the answer into events."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final
from typing import Protocol as Interface

from attrs import evolve, field, frozen

from ..errors import (
    AuthenticationError,
    ConfigurationError,
    InvalidProviderOutput,
    InvalidRequest,
    MelliteError,
    TransportError,
    UnknownProviderError,
    UnsupportedOption,
)
from ..events import Event, Finish, RawChunk, ResponseStart
from ..request import EMPTY, NO_OPTIONS, HttpOptions, Options, Request, Timeouts
from ..usage import Usage
from .auth import Auth, Scrubber, lacks_something, none
from .body import encoded, merged, merged_http
from .endpoint import Endpoint, is_private_link
from .framing import SseDecoder
from .http import HttpRequest, HttpResponse, Transport, check_request, shown_url
from .informing import Informing, request_id, safe_headers
from .protocol import Protocol, State
from .reading import BodyReader, open_response
from .transport import default_transport

__all__ = ["Framing", "Route"]

_ERROR_BODY: Final = 1024 * 1024  # as much of an error answer as is read
_WHOLE_BODY: Final = 64 * 1024 * 1024  # the largest answer in one piece
_EXCERPT: Final = 200
_EVENTS: Final = re.compile("event-?stream")  # server-sent events, and AWS's own kind
_OK: Final = range(200, 300)
_REDIRECTS: Final = range(300, 400)

#: Events that only keep the connection alive.
_PINGS: Final = frozenset({"ping", "keepalive"})

#: The options that a route honours itself, whatever its protocol.
_OWN_OPTIONS: Final = frozenset({"timeouts", "stream", "drop_unsupported"})


class Frame(Interface):
    """A piece that a framing cut out of the stream."""

    @property
    def event(self) -> str: ...

    @property
    def raw(self) -> bytes: ...


class Framing(Interface):
    """Cuts a stream of bytes into frames."""

    @property
    def damaged(self) -> bool:
        """Whether something was passed over that may have been a frame once."""
        ...

    @property
    def failure(self) -> MelliteError | None:
        """What stopped it behind the frames that it gave."""
        ...

    def feed(self, data: bytes) -> Sequence[Frame]:
        """Take the next bytes; give the frames that they complete."""
        ...


@frozen(kw_only=True)
class _Call:
    """One request, compiled."""

    request: Request
    body: dict[str, Any]
    http: HttpRequest
    scrubber: Scrubber
    streaming: bool

    @property
    def timeouts(self) -> Timeouts:
        return self.request.options.timeouts or _DEFAULT_TIMEOUTS


_DEFAULT_TIMEOUTS: Final = Timeouts()


@frozen(kw_only=True)
class Route:
    """Everything needed to ask one provider over one protocol. A value; `with_` changes it.

    Args:
        id: its name in messages, as in ``openai-chat``.
        provider: the provider's name, as in ``openai``.
        protocol: the JSON that is spoken.
        endpoint: where.
        auth: who is asking.
        framing: makes a decoder for one stream.
        transport: makes what sends the requests, for a backend that is given none.
        model: the model's id, for requests that name none.
        headers: always sent.
        options: defaults for the options of a request; likewise `provider_options` and `http`.

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
        """A route with these defaults merged over its own, and its other fields replaced.

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
        """What would be sent, without sending it.

        Raises:
            InvalidRequest: if no model is named, or the protocol cannot say what is asked.
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
        if extra.body:
            body = merged(body, extra.body)
        unsaid = self.endpoint.unsaid() if offline else []
        base = f"https://unknown-{'-and-'.join(unsaid)}.invalid" if unsaid else None
        url = self.endpoint.url(model=request.model, query=extra.query, streaming=streaming, base=base)
        data, body = encoded(body)
        headers = {name.lower(): value for name, value in {**self.headers, **extra.headers}.items()}
        headers["content-type"] = "application/json"
        lineage = request.metadata.get("lineage")
        context: dict[str, Any] = {
            "provider": self.provider,
            "protocol": self.protocol.id,
            "model": request.model,
            "lineage": lineage,
            "repairs": repairs,
            "timeouts": request.options.timeouts or _DEFAULT_TIMEOUTS,
        }
        if unsaid:
            context["unsaid"] = unsaid  # what the base URL depends on: only what follows it is known
        http = HttpRequest("POST", url, headers=headers, body=data, context=context)
        check_request(http)
        http, scrubber = self._signed(http, offline=offline)
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
        # Nothing may fail in this frame while `added` is there: a traceback shows the locals.
        try:
            added = self.auth.headers(http)
        except (AuthenticationError, ConfigurationError) as error:
            if offline and lacks_something(error):
                return http, Scrubber()
            raise
        if not added:
            return http, Scrubber()
        secrets = tuple([value for value in added.values() if value is not None])
        if not secrets or is_private_link(http.url):
            headers = {name: value for name, value in {**http.headers, **added}.items() if value is not None}
            headers["content-type"] = "application/json"
            signed = HttpRequest(http.method, http.url, headers=headers, body=http.body, context=http.context)
            return signed, Scrubber(secrets)
        del added, secrets
        msg = (
            f"the key would go over plain http to {shown_url(http.url)}, where others can read it; use https, or "
            "give no key if that server needs none"
        )
        raise ConfigurationError(msg)

    # From HTTP to events

    async def stream(
        self, request: Request, transport: Transport, *, keep_raw: bool = True
    ) -> AsyncGenerator[Event, None]:
        """Send the request and give the events of the answer; exactly one Finish ends it.

        Args:
            request: what is asked.
            transport: what sends it; where that is ``offline``, keys and settings that are missing do not matter.
            keep_raw: whether each stream event is also given as it came, as a RawChunk.

        Raises:
            MelliteError: of any kind; it names provider, model, status and request id as far as they are known.
        """
        offline = getattr(transport, "offline", False) is True
        with Informing(self.provider, request.model or self.model, self.auth) as known:
            if not offline:
                await self.auth.ready()
            call = self._compile(request, offline=offline)
            known.scrubber = call.scrubber
            reader = await open_response(transport, call.http, call.timeouts, shown=shown_url(call.http.url))
            known.response = reader.response
            try:
                yield self._start(call, reader.response)
                streams = await self._is_stream(call, reader)
                if streams is not call.streaming:
                    yield ResponseStart(streaming=streams)
                if streams:
                    parser = _Parser(self, call, keep_raw=keep_raw)
                    known.usage = parser.usage
                    while not parser.over:
                        for event in parser.take(await parser.next(reader)):
                            yield event
                    await reader.drain()
                else:
                    body = await reader.rest(_WHOLE_BODY)
                    for event in _each(self.protocol.unary, body):
                        yield event
            except BaseException:
                await reader.abandon()
                raise
            await reader.response.aclose()

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
        """Whether the body is a stream of events or one piece: by what it begins with, as headers lie.

        Raises:
            MelliteError: what an HTTP error or a web page stands for.
        """
        response = reader.response
        if response.status not in _OK:
            raise await self._refusal(reader)
        head = (await reader.peek()).lstrip(b"\xef\xbb\xbf \t\r\n")
        first = head[:1]
        if first == b"<":
            text = " ".join(head[:_EXCERPT].decode("utf-8", "replace").split())
            msg = f"HTTP {response.status} came with a web page, not with an answer; is the base URL right? {text!r}"
            raise InvalidProviderOutput(msg)
        if call.streaming:
            return first not in (b"{", b"[")
        return first not in (b"{", b"[") and _EVENTS.search(response.headers.get("content-type", "")) is not None

    async def _refusal(self, reader: BodyReader) -> MelliteError:
        response = reader.response
        status = response.status
        if status in _REDIRECTS:
            msg = (
                f"HTTP {status}: the server sends the request elsewhere, which mellite does not follow, as the key "
                f"would go there too; if it is right, change the base URL to fit {response.headers.get('location')!r}"
            )
            return UnknownProviderError(msg)
        return self.protocol.classify(status, response.headers, await reader.start(_ERROR_BODY))


class _Parser:
    """Bytes in, events out; and what to make of trouble on the way.

    Attributes:
        over: nothing more needs to be read.
    """

    __slots__ = ("_failure", "_framing", "_halt", "_keep_raw", "_progress", "_state", "_step", "over")

    def __init__(self, route: Route, call: _Call, *, keep_raw: bool) -> None:
        self._state: State = route.protocol.initial(call.request)
        self._step = route.protocol.step
        self._halt = route.protocol.halt
        self._framing = route.framing()
        self._keep_raw = keep_raw
        self._progress = True
        self._failure: MelliteError | None = None
        self.over = False

    async def next(self, reader: BodyReader) -> bytes:
        """The next bytes; empty at the end, and where the connection breaks after all that matters has come."""
        if self._failure is not None:
            raise self._failure
        if self._progress:
            reader.waiting = None
        try:
            return await reader.read()
        except TransportError:
            if self._state.complete:
                return b""
            raise

    def take(self, data: bytes) -> Sequence[Event]:
        """The events in some bytes; what goes wrong after the first is raised by `next`, so that none is lost."""
        if not data:
            self.over = True
            return _readable(lambda: self._halt(self._state))
        events: list[Event] = []
        self._progress = False
        try:
            frames = self._framing.feed(data)
            if self._framing.damaged:  # nothing of these bytes is given, as nobody knows where the gap is
                msg = "the stream is damaged: a line of it is neither an event nor text, so something may be missing"
                raise InvalidProviderOutput(msg)
            for frame in frames:
                raw = frame.raw
                if not raw:
                    continue
                if frame.event not in _PINGS:  # which say that the server lives, not that the answer goes on
                    self._progress = True
                if self._keep_raw:
                    events.append(RawChunk(raw))
                events += self._step(self._state, raw, frame.event)
                if self._state.done:
                    self.over = True
                    break
            else:
                self._failure = self._framing.failure
        except MelliteError as error:
            self._failure = error
        except RecursionError:
            self._failure = _too_deep()
        return events

    def usage(self) -> Usage | None:
        """What has been used by now, as far as the provider said: what the answer would say if it ended here."""
        if self.over:  # it has ended, and told what it knows
            return None
        try:
            events = _readable(lambda: self._halt(self._state))
        except MelliteError as error:
            return error.usage
        return next((event.usage for event in events if isinstance(event, Finish)), None)


def _each(parse: Callable[[bytes], Iterable[Event]], body: bytes) -> Iterator[Event]:
    try:
        yield from parse(body)
    except RecursionError:
        raise _too_deep() from None


def _readable(parse: Callable[[], Sequence[Event]]) -> Sequence[Event]:
    try:
        return parse()
    except RecursionError:
        raise _too_deep() from None


def _too_deep() -> InvalidProviderOutput:
    msg = "the answer is nested too deeply to be read"
    return InvalidProviderOutput(msg)


_NO_HTTP: Final = HttpOptions()
