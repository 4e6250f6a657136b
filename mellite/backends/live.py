"""A live backend: sends each request over a route, through a transport, and hands on what comes back as it comes."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, Final

from ..loops.places import Limit, check_concurrency
from ..thunk.backend import Backend
from ..values.events import Event
from ..values.options import Options, Timeouts
from ..values.public_names import publish
from ..values.request import Request
from ..wire.bounds import DEFAULT_BOUNDS, AnswerBounds
from ..wire.http import HttpRequest, Transport
from ..wire.route import Route
from ..wire.transports.default import in_place_of

__all__ = ["MOST", "LiveBackend"]

#: How many generations of one backend run at the same time, unless somebody says otherwise: what a pool of connections
#: to one server bears, and providers let an ordinary account do.
MOST: Final = 64


class LiveBackend(Backend):
    """A provider, asked over HTTP.

    Usually made by ``mellite.backend("openai:gpt-4o-mini")``. It may be used from several loops and threads, one after
    the other or at once. Pickling it keeps how it was made, but never a key that was given in code.

    Args:
        route: which provider, over which protocol; see `mellite.providers.catalog.find`.
        model: the model's id, for requests that name none.
        transport: what sends the requests; by default the one that the route names, made for this
            backend and closed with it, or what `mellite.wire.transports.default.standing_in` puts in its place.
        timeouts: the clocks of each call, unless a request says otherwise.
        max_concurrency: how many generations may run at the same time at most, over all loops and threads of the
            process, counted from sending to the end of the answer; None for any number. Others wait their turn, as
            ``running``; their ``total`` runs meanwhile, ``first_byte`` and ``idle`` do not. One that pauses because
            nobody reads on lets others go first. Where the transport only replays, there is no limit.
        keep_raw: whether to keep each stream event as it came, for ``thunk.raw.streamed_chunks``.
        max_answer_bytes: the most bytes of one answer, decompressed, streamed or not, of which one event of a stream
            may be half; more is OutputTooLarge. None is no bound.
        max_answer_values: the most values of JSON (objects, lists, their members and elements) that are decoded at once
            or kept of a stream; more is OutputTooLarge, before they take memory. None is no bound.
        **options: defaults for every call, the fields of `mellite.request.Options`; and ``provider_options``, ``http``.

    Raises:
        UnknownOption: for an option that does not exist, with the nearest name.
        InvalidRequest: for one of the wrong type, or a bound that is no number of at least 1.

    Example:
        >>> from mellite.cassettes import ScriptedTransport
        >>> from mellite.providers.catalog import find
        >>> answer = '{"choices": [{"message": {"content": "Hello!"}, "finish_reason": "stop"}]}'
        >>> backend = LiveBackend(find("openai-chat:gpt-4o", api_key="sk-test"), transport=ScriptedTransport([answer]))
        >>> backend.generate("Say hello.", temperature=0).result()
        'Hello!'
    """

    def __init__(
        self,
        route: Route,
        *,
        model: str | None = None,
        transport: Transport | None = None,
        timeouts: Timeouts | None = None,
        keep_raw: bool = True,
        max_concurrency: int | None = MOST,
        max_answer_bytes: int | None = DEFAULT_BOUNDS.max_bytes,
        max_answer_values: int | None = DEFAULT_BOUNDS.max_values,
        **options: Any,
    ) -> None:
        check_concurrency("max_concurrency", max_concurrency)
        self._limit = None if max_concurrency is None else Limit(max_concurrency)
        defaults = Request.of("", **options)
        own = defaults.options.merged(Options.of({"timeouts": timeouts})) if timeouts is not None else defaults.options
        if model is not None or defaults.model is not None:
            route = route.with_(model=model or defaults.model)
        self._route = route.with_(options=own, provider_options=defaults.provider_options, http=defaults.http)
        self._transport = transport
        self._own_transport: Transport | None = None
        self._keep_raw = keep_raw
        self._bounds = AnswerBounds(max_bytes=max_answer_bytes, max_values=max_answer_values)

    @property
    def route(self) -> Route:
        """The route, with the defaults of this backend in it."""
        return self._route

    def prepare(self, request: Request) -> HttpRequest:
        """What would be sent for a request, without sending it.

        Raises:
            MelliteError: as `mellite.wire.route.Route.prepare` does.
        """
        return self._route.prepare(request)

    def stream(self, request: Request) -> AsyncGenerator[Event, None]:
        """The events of the answer, as they arrive."""
        transport = self._transport
        if transport is None:
            transport = in_place_of(self._default_transport)
        limit = self._limit
        place = None if limit is None or getattr(transport, "offline", False) is True else limit.place()
        return self._route.stream(request, transport, keep_raw=self._keep_raw, bounds=self._bounds, place=place)

    def _default_transport(self) -> Transport:
        """The transport that the route names, made once."""
        transport = self._own_transport
        if transport is None:
            transport = self._own_transport = self._route.transport()
        return transport

    def describe(self) -> str:
        """As in ``openai:gpt-4o-mini``."""
        route = self._route
        return f"{route.provider}:{route.model}" if route.model else route.provider

    async def aclose(self) -> None:
        """Close the pooled connections. A transport that was given is closed by whoever made it."""
        transport, self._own_transport = self._own_transport, None
        close = getattr(transport, "aclose", None)
        if close is not None:
            await close()

    def __repr__(self) -> str:
        return f"LiveBackend({self.describe()!r})"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_own_transport": None}


publish(globals(), "mellite.backends", "LiveBackend")
