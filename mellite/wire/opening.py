"""Send one request from a task, and wait for the head of its answer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final, NamedTuple, Protocol as Interface, final

from attrs import frozen

from .. import loops
from ..loops import Loop
from ..loops.places import Rests
from ..values.errors import TotalTimeout
from ..values.events import ResponseStart
from ..values.options import Options, Timeouts
from ..values.outputs.plan import OutputPlan
from ..values.provider_json import JsonObject
from ..values.request import Request
from ..values.telling import log
from .auth.keys import Auth, Scrubber
from .bounds import AnswerBounds
from .endpoint import Endpoint
from .error_context import Informing, request_id, safe_headers
from .framing import Framing
from .http import ArrivingResponse, Head, HttpRequest, HttpResponse, Sent, Transport, shown_url
from .parsing import Parser
from .protocol import Protocol
from .response import BodyReader, open_response, reader_from
from .sent_requests import tell_of, tell_of_wait

__all__ = ["DEFAULT_TIMEOUTS", "OK", "Call", "Opened", "Opening", "Place", "Standing", "Way", "start_of"]

DEFAULT_TIMEOUTS: Final = Timeouts()
OK: Final = range(200, 300)


class Place(Interface):
    """One place among a limited number of generations; see `mellite.loops.places.Place`."""

    def take_if_free(self, owner: Rests | None = None) -> bool:
        """Take the place for a generation, the current one by default, if that needs no waiting; tell if it is held."""
        ...

    async def take(self) -> None:
        """Wait until the place is free, then take it."""
        ...

    def take_later(self, owner: Rests, loop: Loop, taken: Callable[[], None]) -> None:
        """Take the place for a generation once it is free, then call `taken`."""
        ...

    def give_back(self, *, between_tasks: bool = False) -> None:
        """Give the place back for good, whether it was taken or not. Idempotent."""
        ...


@frozen(kw_only=True)
class Call:
    """One request in every form that sending it needs."""

    request: Request
    body: JsonObject
    http: HttpRequest
    scrubber: Scrubber
    streaming: bool
    output: OutputPlan | None = None  # how the answer is held to the type that was asked for

    @property
    def timeouts(self) -> Timeouts:
        """The timeouts of the call."""
        return self.request.options.timeouts or DEFAULT_TIMEOUTS

    @property
    def repairs(self) -> tuple[str, ...] | None:
        """What was changed in the history, a sentence each; None for nothing."""
        return self.http.context["repairs"] or None

    def start(self, way: Way, response: HttpResponse) -> ResponseStart:
        """Return the event with what is known once the head of the answer is there."""
        return start_of(
            way,
            response,
            model=self.request.model,
            body=self.body,
            repairs=self.repairs,
            streaming=self.streaming,
            output=self.output,
        )


class Way(Interface):
    """What an answer needs to know of the way on which its request went; see `mellite.wire.route.Route`."""

    @property
    def provider(self) -> str:
        """The provider's name."""
        ...

    @property
    def model(self) -> str | None:
        """The model's id, for requests that name none."""
        ...

    @property
    def protocol(self) -> Protocol[Any]:
        """The format of the answer."""
        ...

    @property
    def endpoint(self) -> Endpoint:
        """The URL."""
        ...

    @property
    def auth(self) -> Auth:
        """The credentials."""
        ...

    @property
    def framing(self) -> Callable[[], Framing]:
        """What makes the decoder for one stream."""
        ...

    @property
    def options(self) -> Options:
        """Defaults for the options of a request."""
        ...

    def compiled(self, request: Request, *, offline: bool = False) -> Call:
        """Return a request as it is sent."""
        ...


@frozen(kw_only=True)
class Standing:
    """Where an answer stands that was begun without a task.

    Args:
        call: the request.
        sent: the same on its way; None if it has not been sent yet.
        response: the response, if its head is there.
        parser: the parser of a stream, in the middle of it.
        has_started: whether the event of the start has been given.
        held: what has been taken off the body, and was not looked at yet.
        is_whole: whether `held` is all of the body.
        taken: how many bytes of the body were looked at.
        began: when the request was sent, on the loop's clock.
        progressed: when the wait for the next event began.
        failure: what has to be raised.
    """

    call: Call
    sent: Sent | None = None
    response: HttpResponse | None = None
    parser: Parser | None = None
    has_started: bool = False
    held: bytes = b""
    is_whole: bool = False
    taken: int = 0
    began: float | None = None
    progressed: float | None = None
    failure: Exception | None = None


def start_of(
    way: Way,
    response: HttpResponse | Head,
    *,
    model: str | None,
    body: JsonObject,
    repairs: tuple[str, ...] | None,
    streaming: bool,
    output: OutputPlan | None,
) -> ResponseStart:
    """Return the event with what is known once the head of the answer is there."""
    return ResponseStart(
        provider=way.provider,
        protocol=way.protocol.id,
        model=model,
        request_id=request_id(response),
        status=response.status,
        headers=safe_headers(response.headers),
        request_body=body,
        attempts=1,
        replayed=getattr(response, "replayed", None),
        repairs=repairs,
        streaming=streaming,
        output_mode=None if output is None else output.mode,
        output_key=None if output is None else output.key,
    )


class Opened(NamedTuple):
    """A stream whose head is there, and no more was looked at."""

    call: Call
    response: ArrivingResponse
    since: float | None
    """What the total timeout counts from; None if there is none."""


@final
class Opening:
    """A request that a task sends, up to the head of its answer.

    Args:
        way: the route.
        request: the request.
        transport: sends the request; one that is ``offline`` needs no keys and no settings.
        bounds: the largest answer to accept.
        place: the place to hold among the generations that may run at once.
        standing: where the answer stands, if it was begun before.
        call: what is sent, if the request was compiled just now.

    Attributes:
        known: completes the errors of this answer.
    """

    __slots__ = (
        "_bounds",
        "_call",
        "_failure",
        "_opened",
        "_place",
        "_request",
        "_standing",
        "_transport",
        "_way",
        "known",
    )

    def __init__(
        self,
        way: Way,
        request: Request,
        transport: Transport,
        *,
        bounds: AnswerBounds,
        place: Place | None,
        standing: Standing | None = None,
        call: Call | None = None,
    ) -> None:
        self._way = way
        self._request = request
        self._transport = transport
        self._bounds = bounds
        self._place = place
        self._standing = standing
        self._call = call
        self._opened: tuple[BodyReader, Call] | None = None
        self._failure: Exception | None = None
        self.known = Informing(way.provider, request.model or way.model, way.auth)

    async def tried(self) -> Opened | None:
        """Send the request; return the answer, once its head is there, if it is a stream that may be pushed from there.

        If not, or if anything fails, `opened` returns it, or raises what failed.
        """
        try:
            with self.known:
                reader, call = self._opened = await self._open(self.known)
        except Exception as error:
            self._failure = error
            return None
        response = reader.response
        if not (call.streaming and response.status in OK and isinstance(response, ArrivingResponse)):
            return None
        return None if response.is_encoded else Opened(call, response, reader.began)

    async def opened(self) -> tuple[BodyReader, Call]:
        """Send the request, if that was not done; return the reader of the answer once its head is there.

        Raises:
            MelliteError: of any kind.
        """
        failure, self._failure = self._failure, None
        try:
            if failure is not None:
                raise failure
            return self._opened or await self._open(self.known)
        finally:
            del failure  # see "Cycles" in `mellite.thunk`

    async def _open(self, known: Informing) -> tuple[BodyReader, Call]:
        """Send the request; return the reader of the answer once its head is there."""
        place, stands = self._place, self._standing
        since = None
        if stands is None:
            offline = getattr(self._transport, "offline", False) is True
            since = None if place is None or place.take_if_free() else await self._wait_for(place)
            if not (offline or self._way.auth.is_ready()):
                await self._way.auth.ready()
            call = self._call or self._way.compiled(self._request, offline=offline)
            if log.is_detailed and not offline:
                tell_of(call.http)
        else:
            call = stands.call
        known.scrubber = call.scrubber
        shown = shown_url(call.http.url)
        if stands is not None and stands.response is not None:
            reader = reader_from(
                stands.response, call.timeouts, shown=shown, bounds=self._bounds, since=stands.began, taken=stands.taken
            )
            reader.waiting = stands.progressed
            reader.put_back(stands.held, is_whole=stands.is_whole)
        else:
            sent = None if stands is None else stands.sent
            began = None if stands is None else stands.began
            opening = partial(self._transport.open, call.http) if sent is None else sent.opened
            reader = await open_response(
                opening, call.timeouts, shown=shown, bounds=self._bounds, since=since, began=began
            )
        known.response = reader.response
        return reader, call

    async def _wait_for(self, place: Place) -> float:
        """Take *place*; return when the wait began, on the loop's clock, for the total timeout to count from.

        Call this before signing the request: signatures and tokens expire.
        """
        since = loops.clock()()
        if log.is_detailed:
            tell_of_wait(self._way.provider)
        timeouts = self._way.options.merged(self._request.options).timeouts or DEFAULT_TIMEOUTS
        with loops.move_on_after(timeouts.total):
            await place.take()
            return since
        msg = (
            f"the answer was not complete within {timeouts.total} s: it waited for its turn, as many generations as "
            "max_concurrency allows were running; raise Timeouts(total=...), or max_concurrency of the backend"
        )
        raise TotalTimeout(msg)
