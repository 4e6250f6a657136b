"""The live backend: sends each request over a route and a transport, and yields the events as they arrive."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import TYPE_CHECKING, Any, Final, Unpack

from ..loops.places import Place, limit_of, stood_in
from ..thunk.backend import Backend
from ..values.errors import UnknownOption
from ..values.events import Event
from ..values.options import CommonOptions, Options, Timeouts
from ..values.public_names import publish
from ..values.request import Request
from ..values.text_answer import Batch
from ..values.whole_numbers import check_count
from ..wire.answering import Answering
from ..wire.bounds import DEFAULT_BOUNDS, AnswerBounds, check_bound
from ..wire.http import HttpRequest, Transport
from ..wire.route import Route
from ..wire.sink import Sink
from ..wire.transports.default import in_place_of
from .wrappers.retrying import Rule, Series
from .wrappers.wrapper import one_by_one

if TYPE_CHECKING:
    from .wrappers.quotas import Concurrency

__all__ = ["MOST", "LiveBackend"]

#: The default for the most generations of one backend at once: what a connection pool to one server bears, and what
#: providers allow an ordinary account.
MOST: Final = 64


#: What is said of one call, and is not a default for the calls of a backend.
_OF_A_CALL: Final = frozenset({"cache", "metadata", "output", "output_mode", "system", "tool_choice", "tools"})


def _check_names(options: Mapping[str, object]) -> None:
    """Refuse options that a backend would have to ignore.

    Raises:
        UnknownOption: for an option of a call.
    """
    for name in options:
        if name in _OF_A_CALL:
            msg = f"{name!r} belongs to a call, not to a backend: backend.generate(..., {name}=...)"
            raise UnknownOption(msg, option=name)


class LiveBackend(Backend):
    """A backend that asks a provider over the network.

    Usually made by ``mellite.backend("openai:gpt-4o-mini")``. One backend may be used from several event loops and
    threads, one after the other or at once. A pickle holds the arguments, but never a key that was given in code.

    Args:
        route: the route to the provider; see `mellite.providers.catalog.find`.
        model: the model's id, for requests that name none.
        transport: sends the requests; by default the route's transport, made for this backend and closed with it, or
            the one with which `mellite.wire.transports.default.standing_in` replaces it.
        timeouts: the default timeouts of calls.
        max_concurrency: the most generations that run at once, from sending to the end of the answer, over all loops
            and threads of the process: a number, or a `mellite.Concurrency` that several backends share; None for no
            limit. Others wait, in state ``running``; meanwhile their ``total`` timeout runs, ``first_byte`` and
            ``idle`` do not. A generation that is paused because no consumer reads on lets others go first. There is no
            limit if the transport only replays.
        retries: how often to retry a failure that may pass, as `mellite.Retry` does; `mellite.backend` passes 2.
        max_request_bytes: the most bytes of a request's body; more raises PayloadTooLarge before anything is sent. By
            default the provider's documented limit, if any.
        keep_raw: whether to keep each stream event as it arrived, for ``thunk.raw.streamed_chunks``.
        max_answer_bytes: the most bytes of one answer, decompressed; one event of a stream may have half as many. More
            raises OutputTooLarge. None for no bound.
        max_answer_values: the most values of JSON (objects, lists, their members and elements) to decode at once, or to
            keep of a stream. More raises OutputTooLarge, before they take memory. None for no bound.
        **options: defaults for every call, the fields of `mellite.request.Options`; and ``provider_options``, ``http``.

    Raises:
        UnknownOption: for an option that does not exist, naming the nearest, and for one that belongs to a call.
        InvalidRequest: for an option of the wrong type, a bound that is not a whole number of at least 1, or `retries`
            below 0.

    Example:
        >>> from mellite.cassettes import ScriptedTransport
        >>> from mellite.providers.catalog import find
        >>> answer = '{"choices": [{"message": {"content": "Hello!"}, "finish_reason": "stop"}]}'
        >>> backend = LiveBackend(find("openai-chat:gpt-4o", api_key="sk-test"), transport=ScriptedTransport([answer]))
        >>> backend.generate("Say hello.", temperature=0).result()
        'Hello!'
    """

    _rule: Rule | None = None  # so for pickles of earlier versions
    _limit_is_own: bool = True  # likewise

    def __init__(
        self,
        route: Route,
        *,
        model: str | None = None,
        transport: Transport | None = None,
        timeouts: Timeouts | None = None,
        retries: int = 0,
        keep_raw: bool = True,
        max_concurrency: int | Concurrency | None = MOST,
        max_request_bytes: int | None = None,
        max_answer_bytes: int | None = DEFAULT_BOUNDS.max_bytes,
        max_answer_values: int | None = DEFAULT_BOUNDS.max_values,
        **options: Unpack[CommonOptions],
    ) -> None:
        check_count("retries", retries, least=0)
        self._rule = Rule(attempts=retries + 1) if retries else None
        self._limit = limit_of("max_concurrency", max_concurrency)
        self._limit_is_own = isinstance(max_concurrency, int)  # not one that several backends share
        _check_names(options)
        defaults = Request.of("", **options)
        own = defaults.options.merged(Options.of({"timeouts": timeouts})) if timeouts is not None else defaults.options
        if model is not None or defaults.model is not None:
            route = route.with_(model=model or defaults.model)
        if max_request_bytes is not None:
            check_bound(max_request_bytes, "max_request_bytes")
            route = route.with_(max_bytes=max_request_bytes)
        self._route = route.with_(options=own, provider_options=defaults.provider_options, http=defaults.http)
        self._transport = transport
        self._own_transport: Transport | None = None
        self._keep_raw = keep_raw
        self._bounds = AnswerBounds(max_bytes=max_answer_bytes, max_values=max_answer_values)

    @property
    def route(self) -> Route:
        """The route, with the defaults of this backend."""
        return self._route

    @property
    def max_concurrency(self) -> int | None:
        """The most generations at once; None for no limit."""
        return None if self._limit is None else self._limit.most

    def prepare(self, request: Request) -> HttpRequest:
        """Return the HTTP request that would be sent, without sending it.

        Raises:
            MelliteError: as `mellite.wire.route.Route.prepare` does.
        """
        return self._route.prepare(request)

    def stream(self, request: Request) -> AsyncGenerator[Event, None]:
        """Send the request; yield the events of the answer as they arrive."""
        return self._answering(request).pull() if self._rule is None else one_by_one(self.batches(request))

    def batches(self, request: Request, *, once: bool = False) -> AsyncGenerator[Batch, None]:
        """Send the request; yield the events of the answer, in batches as they arrive.

        Args:
            once: whether to send it only once, whatever `retries` says, because the caller retries itself.
        """
        rule = self._rule
        if once or rule is None:
            return self._answering(request).batches()
        return Series(rule, self, request, began=rule.note_call()).batches()

    def is_batched(self) -> bool:
        """Whether `batches` yields what `stream` does: not if `stream` was overridden."""
        return getattr(self.stream, "__func__", None) is _STREAM

    def begin_pushing(self, request: Request, pump: Sink, *, once: bool = False) -> Any:
        """Send the request now, and push the events to `pump` as they arrive.

        Return None and do nothing if `stream` was overridden, by a subclass or a test.

        Args:
            once: whether to send it only once, whatever `retries` says.
        """
        if getattr(self.stream, "__func__", None) is not _STREAM:
            return None
        rule = self._rule
        if rule is not None and not once:
            return rule.begin(self, request, pump)
        transport = self.transport_now()
        place = self._place_for(transport)
        return self._route.push(request, transport, pump, keep_raw=self._keep_raw, bounds=self._bounds, place=place)

    def _answering(self, request: Request) -> Answering:
        transport = self.transport_now()
        place = self._place_for(transport)
        return self._route.answering(request, transport, keep_raw=self._keep_raw, bounds=self._bounds, place=place)

    def transport_now(self) -> Transport:
        """Return the transport that a call would use now."""
        return in_place_of(self._default_transport) if self._transport is None else self._transport

    def _place_for(self, transport: Transport) -> Place | None:
        limit = self._limit
        if limit is None or getattr(transport, "offline", False) is True:
            return None
        if self._limit_is_own and stood_in.get():
            return None
        return limit.place()

    def _default_transport(self) -> Transport:
        """Return this backend's own transport; make it at the first call.

        Two threads may each make one at their first call. The one that is overwritten serves its request, and closes
        its connections when it is dropped.
        """
        transport = self._own_transport
        if transport is None:
            transport = self._own_transport = self._route.transport()
        return transport

    def describe(self) -> str:
        """Return provider and model, as in ``openai:gpt-4o-mini``."""
        route = self._route
        return f"{route.provider}:{route.model}" if route.model else route.provider

    async def aclose(self) -> None:
        """Close the connections of the backend's own transport. The caller closes a transport given as an argument."""
        transport, self._own_transport = self._own_transport, None
        close = getattr(transport, "aclose", None)
        if close is not None:
            await close()

    def __repr__(self) -> str:
        return f"LiveBackend({self.describe()!r})"

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_own_transport": None}


_STREAM: Final = LiveBackend.stream

publish(globals(), "mellite.backends", "LiveBackend")
