"""A route to one provider: protocol, endpoint, auth and framing. Turns requests into HTTP and answers into events."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any, Final

from attrs import evolve, field, fields_dict, frozen

from .. import loops
from ..values.empty import EMPTY
from ..values.errors import (
    AuthenticationError,
    ConfigurationError,
    InvalidRequest,
    PayloadTooLarge,
    UnsupportedOption,
)
from ..values.events import Event
from ..values.filling import copier
from ..values.options import NO_OPTIONS, HttpOptions, Options, Timeouts
from ..values.request import Request
from .answering import Answering
from .auth.keys import LACKING, Auth, Scrubber, lacks_something, none
from .bounds import DEFAULT_BOUNDS, AnswerBounds
from .endpoint import Endpoint, is_private_link
from .error_context import Informing
from .framing import Framing, SseDecoder
from .http import HttpRequest, Transport, begin_of, check_request, checked_post, shown_url
from .json_body import encoded, merged, merged_http, of_copy
from .opening import Call, Place
from .plans import Ahead, Asked, Plan, Plans, Target
from .protocol import Protocol
from .pushing import Pushing
from .sink import Sink
from .transports.default import default_transport
from .versions import Versions

__all__ = ["Route"]

_HALF: Final = re.compile("[\ud800-\udfff]")
_DEFAULT_TIMEOUTS: Final = Timeouts()
_NO_HTTP: Final = HttpOptions()
_copied: Final = copier(Request)

#: The options that a route honours itself, with every protocol.
_OWN_OPTIONS: Final = frozenset({"timeouts", "stream", "drop_unsupported"})


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
        max_bytes: the most bytes that a request's body may have; None for no bound.
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
    transport: Callable[..., Transport] = default_transport
    model: str | None = None
    headers: Mapping[str, str] = EMPTY
    versions: Versions | None = None
    max_bytes: int | None = None
    options: Options = NO_OPTIONS
    provider_options: Mapping[str, Any] = EMPTY
    http: HttpOptions | None = None
    _plans: Plans = field(factory=Plans, init=False, eq=False, repr=False)

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
            TypeError: for a name that is not a field of a route.
        """
        return evolve(
            self,
            options=self.options.merged(options),
            provider_options=merged(self.provider_options, provider_options),
            http=merged_http(self.http, http),
            headers={**self.headers, **headers} if headers else self.headers,
            **changes,
        )

    def __getstate__(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in fields_dict(type(self)) if name != "_plans"}

    def __setstate__(self, state: Mapping[str, object]) -> None:
        known = {"max_bytes": None, **state, "_plans": Plans()}  # pickles of earlier versions have no such bound
        for name, value in known.items():
            object.__setattr__(self, name, value)

    # From a request to HTTP

    def prepare(self, request: Request) -> HttpRequest:
        """Return the HTTP request that would be sent, without sending it.

        Raises:
            InvalidRequest: if no model is named, or the protocol cannot express the request.
            UnsupportedOption: for an option that the route cannot honour, unless ``drop_unsupported`` is set.
            PayloadTooLarge: if the body has more bytes than the provider takes.
            AuthenticationError: with kind ``missing`` if there is no key.
            ConfigurationError: for a key or URL that cannot be used, or a key that would go over plain http.
        """
        with Informing(self.provider, request.model or self.model, self.auth):
            return self.compiled(request).http

    def compiled(self, request: Request, *, offline: bool = False, ahead: bool = False) -> Call:
        """Return a request in every form that sending it needs; without keys and settings that lack, if `offline`.

        Args:
            ahead: whether to keep it for when this very request is compiled next, which is when its key is checked.

        Raises:
            MelliteError: as `prepare` does.
        """
        given, plans = request, self._plans
        kept, plans.ahead = plans.ahead, None
        if kept is not None and kept.request is given and self._still_holds(kept, offline=offline):
            call: Call = kept.call
            return call
        request = self._with_defaults(request)
        model, options, extra = request.model, request.options, request.http or _NO_HTTP
        streaming = options.stream is not False
        output = None
        if request.output is not str:
            request, output = self.protocol.planned(request)
        request, repairs = self.protocol.mend(request)
        body = self.protocol.lower(request, stream=streaming)
        if extra.body:
            body = merged(body, extra.body)
        base, unsaid = self.endpoint.base_url, None
        if self.endpoint.variables or self.endpoint.settings:
            base, unsaid = self._base(offline=offline)
        headers: dict[str, str] | None = None
        if self.versions is not None:
            drop = options.drop_unsupported is True
            body, headers = self.versions.applied(body, _joined(self.headers, extra.headers), route=self.id, drop=drop)
        data, body = encoded(body)
        lineage = request.metadata.get("lineage")
        if self.max_bytes is not None and len(data) > self.max_bytes:
            raise self._too_large(len(data))
        if lineage and extra.headers:
            extra = of_copy(extra, lineage)
        context: dict[str, object] = {
            "provider": self.provider,
            "protocol": self.protocol.id,
            "model": model,
            "lineage": lineage,
            "repairs": repairs,
            "timeouts": options.timeouts or _DEFAULT_TIMEOUTS,
        }
        if unsaid:
            context["unsaid"] = unsaid  # the base URL depends on these, so only the rest of the URL is known
        target = (model, streaming, offline)
        asked = (base, self.headers, extra.headers, extra.query, headers)
        plan = plans.find(target, asked, None if ahead else self.auth)
        if plan is None:
            http, scrubber = self._first_request(target, asked, data, context)
        else:
            http, scrubber = checked_post(plan.url, plan.written, data, context), plan.scrubber
        call = Call(request=request, body=body, http=http, scrubber=scrubber, streaming=streaming, output=output)
        if ahead and plan is not None:
            plans.ahead = Ahead(given, call, base, plan)
        return call

    def compiled_ahead(self, request: Request) -> Call:
        """Return what `compiled` will, for somebody who looks at a request before it is sent, maybe by another.

        Without a key, or a setting, it is what would be sent if there were one.

        Raises:
            MelliteError: as `prepare` does.
        """
        try:
            return self.compiled(request, ahead=True)
        except (AuthenticationError, ConfigurationError):
            return self.compiled(request, offline=True)

    def forget_ahead(self) -> None:
        """Drop what `compiled_ahead` has kept, where it is not sent after all."""
        self._plans.ahead = None

    def _still_holds(self, kept: Ahead, *, offline: bool) -> bool:
        """Tell whether what was compiled ahead may be sent: with the key and to the URL that are in force now."""
        endpoint = self.endpoint
        if (endpoint.variables or endpoint.settings) and self._base(offline=offline)[0] != kept.base:
            return False
        return kept.plan.still_has_key_of(self.auth)

    def _base(self, *, offline: bool) -> tuple[str, list[str] | None]:
        """Return the base URL in force now; if `offline`, also the settings that it lacks and that stand open in it."""
        endpoint = self.endpoint
        if not (endpoint.variables or endpoint.settings):
            return endpoint.base_url, None
        unsaid = endpoint.unsaid() if offline and endpoint.settings else None
        if unsaid:
            return f"https://unknown-{'-and-'.join(unsaid)}.invalid", unsaid
        return endpoint.base(), None

    def _first_request(
        self, target: Target, asked: Asked, data: bytes, context: Mapping[str, object]
    ) -> tuple[HttpRequest, Scrubber]:
        """Write URL and headers, and keep how, for the next request that goes to the same place."""
        model, streaming, offline = target
        base, own, extra, query, versioned = asked
        _check_words(model, query)
        url = self.endpoint.url(model=model, query=query, streaming=streaming, base=base)
        headers = {**(_joined(own, extra) if versioned is None else versioned), "content-type": "application/json"}
        plan = self._signed(HttpRequest("POST", url, headers=headers, body=data, context=context), offline=offline)
        http = HttpRequest("POST", url, headers=plan.written.headers, body=data, context=context)
        check_request(http)
        self._plans.keep(target, asked, plan)
        return http, plan.scrubber

    def _too_large(self, size: int) -> PayloadTooLarge:
        msg = (
            f"the request has {size:,} bytes, and at most {self.max_bytes:,} may be sent to {self.provider}: send "
            "less, files by their URL or id for instance; if more is right, raise max_request_bytes of the backend"
        )
        return PayloadTooLarge(msg)

    def _with_defaults(self, request: Request) -> Request:
        changes: dict[str, Any] = {}
        if request.model is None:
            if self.model is None:
                msg = f"route {self.id!r} needs a model: name one as in 'openai:gpt-4o-mini', or give model=..."
                raise InvalidRequest(msg, parameter="model")
            changes["model"] = self.model
        given, options = self._plans.options
        if given is not request.options:
            options = self._supported(self.options.merged(request.options))
            self._plans.options = (request.options, options)
        if options is not request.options:
            changes["options"] = options
        if self.provider_options:
            changes["provider_options"] = merged(self.provider_options, request.provider_options)
        if self.http is not None:
            changes["http"] = merged_http(self.http, request.http)
        return _copied(request, changes) if changes else request

    def _supported(self, options: Options) -> Options:
        """Return the options without those that are to be dropped where the protocol does not have them.

        Raises:
            UnsupportedOption: for one that is not to be dropped.
        """
        unsupported = options.given().keys() - self.protocol.options - _OWN_OPTIONS
        if not unsupported:
            return options
        if options.drop_unsupported:
            return evolve(options, **dict.fromkeys(unsupported))
        name = min(unsupported)
        msg = (
            f"route {self.id!r} cannot honour the option {name!r}; leave it out, or allow that it is left out with "
            "drop_unsupported=True"
        )
        raise UnsupportedOption(msg, option=name)

    def _signed(self, http: HttpRequest, *, offline: bool) -> Plan:
        """Return how to send a request, with the headers of auth.

        Raises:
            AuthenticationError: if there is no key, unless nothing is sent.
            ConfigurationError: if a key would go over plain http.
        """
        # Nothing may raise in this frame while `added` exists: tracebacks with locals would show the key.
        try:
            constant = self.auth.constant_headers() is not None
            added = self.auth.headers(http)
        except (AuthenticationError, ConfigurationError) as error:
            if offline and lacks_something(error):
                return Plan(http.url, http.headers, LACKING, Scrubber())
            raise
        secrets: tuple[Any, ...] = tuple(added.values())
        headers: dict[str, Any] = {**http.headers, **added}
        if None in secrets:  # a header to remove
            secrets = tuple([value for value in secrets if value is not None])
            headers = {name: value for name, value in headers.items() if value is not None}
        if not secrets or is_private_link(http.url):
            headers["content-type"] = "application/json"
            return Plan(http.url, headers, dict(added) if constant else None, Scrubber(secrets))
        del added, secrets, headers
        msg = (
            f"the key would go over plain http to {shown_url(http.url)}, where others can read it; use https, or "
            "give no key if that server needs none"
        )
        raise ConfigurationError(msg)

    # From HTTP to events

    def stream(
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
        return self.answering(request, transport, keep_raw=keep_raw, bounds=bounds, place=place).pull()

    def answering(
        self,
        request: Request,
        transport: Transport,
        *,
        keep_raw: bool = True,
        bounds: AnswerBounds = DEFAULT_BOUNDS,
        place: Place | None = None,
    ) -> Answering:
        """Return the answer to a request that has not been sent yet; ``pull`` or ``batches`` sends it.

        The arguments are those of `stream`.
        """
        return Answering(self, request, transport, keep_raw=keep_raw, bounds=bounds, place=place)

    def push(
        self,
        request: Request,
        transport: Transport,
        sink: Sink,
        *,
        keep_raw: bool = True,
        bounds: AnswerBounds = DEFAULT_BOUNDS,
        place: Place | None = None,
    ) -> Pushing:
        """Send the request now, and push the events of the answer on to `sink` where they arrive; else as `stream`.

        Args:
            place: the place to hold among the generations that may run at once.

        Returns:
            What has been begun; it has not been sent if the transport, the credentials or the place have to be waited
            for.
        """
        begin = begin_of(transport)
        offline = getattr(transport, "offline", False) is True
        pushing = Pushing(self, request, transport, sink, keep_raw=keep_raw, bounds=bounds, place=place)
        if begin is None or not (offline or self.auth.is_ready()):
            return pushing
        if place is None or place.take_if_free(sink.generation):
            pushing.begin(begin, offline=offline)
        elif not (offline or loops.in_trio_task()) and self._total(request) is None:
            pushing.begin_later(begin, place)
        return pushing

    def _total(self, request: Request) -> float | None:
        """Return the total timeout of a request, which counts the wait for its place."""
        timeouts = self.options.merged(request.options).timeouts
        return None if timeouts is None else timeouts.total


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
            msg = f"{word!r} holds half a surrogate pair, which is not text that can be sent: copy it again"
            raise InvalidRequest(msg, parameter=parameter)
