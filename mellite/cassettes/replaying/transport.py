"""Replay an HTTP cassette instead of the network, comparing each request with the recording."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import anyio
import anyio.to_thread
from anyio.lowlevel import checkpoint
from attrs import evolve

from ... import loops
from ...loops import forking
from ...values.empty import EMPTY
from ...values.errors import CassetteMismatch, CassetteMiss, ConfigurationError
from ...values.public_names import publish
from ...wire.http import HttpRequest, HttpResponse, Sent
from ..files.read import load_cassette
from ..interactions import Cassette, HttpInteraction, RecordedResponse
from ..secrets.redaction import Redaction
from ..timeline import Timeline
from .answer import Pace, RecordedAnswer
from .canonical import same_target
from .claims import CLAIMS, Match, Part, Recorded
from .comparison import Comparison
from .cutting import NO_PIECES, Cut, check_cut, cut_as_recorded, cut_body, cut_untimed
from .misses import Refusal
from .order import Order
from .sent import ReplayedRequest, Ways
from .sharing import Laid, SharedAnswers

if TYPE_CHECKING:
    from os import PathLike

__all__ = ["DEADLINE", "Cut", "Match", "ReplayTransport", "cut_body"]

#: How long a replay waits by default for a reader to go away where the recorded one did, in seconds.
DEADLINE: Final = 5.0

#: From so many interactions on, a thread looks for the nearest one, so that the event loop goes on meanwhile.
_MANY: Final = 32

_REDACTION: Final = Redaction()

#: Statuses whose responses have no body; https://datatracker.ietf.org/doc/html/rfc9110#section-6.4.1.
_EMPTY: Final = frozenset({204, 205, 304})


class ReplayTransport:
    """A transport that answers from a cassette and never opens a socket.

    Method, URL, body (as JSON if it is JSON) and the headers that the cassette keeps must match, except for secrets. A
    request that matches none is refused and uses nothing up. Interactions over WebSockets are skipped. A copy or a
    pickle of a transport starts again at the first interaction.

    The end of an answer is replayed, too, if mellite recorded it. An answer that broke off raises the same error after
    the same pieces. One whose reader went away yields its pieces, and then waits for this reader to go away.

    Tasks of several loops and threads may use one transport. ``_lock`` guards which interactions are used; nothing is
    awaited and no other lock is taken under it. A forked child continues with its own copy.

    Args:
        cassette: the cassette, or the path of its file, which is read now.
        match: ``cursor``: requests must come in the recorded order; concurrent ones count in the order in which they
            arrive. ``pool``: a request gets the first unused interaction that matches. ``keyed``: likewise, but each
            copy of a thunk gets what was recorded for that very copy, and answers that ran at the same time end in the
            recorded order, so that the outcome does not depend on the scheduler. None: ``pool`` if recorded requests
            ran at the same time, else ``cursor``.
        cut: how to cut bodies into pieces: ``recorded``, as they came (in one piece if unknown); or otherwise, for
            tests of chunk boundaries. Pieces cut between two events of a stream may reach a backend joined.
        speed: the speed of the pieces, as a multiple of the recorded one; None for no delays.
        deadline: how long to wait, in seconds, for the reader of an answer to go away when the recorded one did.
        redaction: what is not compared because cassettes never hold it.
        part: the name of the test, if several share the cassette: its own interactions come first.
        lenient: whether to ignore what differs between equal runs of other clients, such as session ids and cache keys;
            by default if the cassette says that such a client was recorded.
        again: whether a ``pool`` that has used all answers to a request restarts with the first of them.

    Raises:
        CassetteMiss: if there is no such file.
        InvalidCassette: if it is damaged.
        ConfigurationError: for an argument that makes no sense.

    Example:
        >>> import anyio
        >>> from mellite.cassettes import HttpInteraction, RecordedRequest, RecordedResponse
        >>> from mellite.cassettes.bodies import Body
        >>> pair = HttpInteraction(
        ...     RecordedRequest("GET", "https://example.com/"), RecordedResponse(200, body=Body("Hello."))
        ... )
        >>> transport = ReplayTransport(Cassette((pair,)), cut=4)
        >>> async def replayed():
        ...     response = await transport.open(HttpRequest("GET", "https://example.com/"))
        ...     return response.status, await response.read(), await response.read(), await response.read()
        >>> anyio.run(replayed), transport.unused
        ((200, b'Hell', b'o.', b''), ())
    """

    #: Nothing is ever sent, so no key is needed.
    offline: Final = True

    def __init__(
        self,
        cassette: Cassette | str | PathLike[str],
        *,
        match: Match | None = "cursor",
        cut: Cut = "recorded",
        speed: float | None = None,
        deadline: float = DEADLINE,
        redaction: Redaction | None = None,
        part: str | None = None,
        lenient: bool | None = None,
        again: bool = False,
    ) -> None:
        if match is not None and match not in CLAIMS:
            msg = f"match is one of {', '.join(CLAIMS)}, not {match!r}"
            raise ConfigurationError(msg)
        if speed is not None and not (isinstance(speed, (int, float)) and speed > 0):
            msg = f"speed is a number above 0, as 1 for recorded time, or None for at once, not {speed!r}"
            raise ConfigurationError(msg)
        check_cut(cut)
        self.cassette = cassette if isinstance(cassette, Cassette) else load_cassette(cassette)
        self._options: dict[str, Any] = {
            "match": match,
            "cut": cut,
            "speed": speed,
            "deadline": deadline,
            "redaction": redaction,
            "part": part,
            "lenient": lenient,
            "again": again,
        }
        self._speed = speed
        self._redaction = redaction or _REDACTION
        client = (self.cassette.metadata or {}).get("client")
        comparison = Comparison(self._redaction, lenient=isinstance(client, str) if lenient is None else lenient)
        path = self.cassette.path
        self._recorded = [
            Recorded(one, redaction=self._redaction, comparison=comparison, path=path, number=number)
            for number, one in enumerate(self.cassette.interactions)
            if isinstance(one, HttpInteraction)
        ]
        self._claims = Part(self._recorded, part, match, again=again)
        self.match: Match = self._claims.match
        order = Order([one.timeline for one in self._recorded]) if self.match == "keyed" else None
        self._order = order if order is not None and order.concerns_any else None
        # A function that cuts is the caller's own, and runs in no callback of the loop; nor is a subclass passed by.
        self._is_plain = speed is None and self._order is None and not callable(cut)
        self._is_plain = self._is_plain and type(self).open is ReplayTransport.open
        # Only a pool that begins again answers several readers with the same.
        self._shared = SharedAnswers() if again and not callable(cut) else None
        self._used = bytearray(len(self._recorded))
        self._count = 0
        self._last_headers: tuple[str | None, Mapping[str, str], Mapping[str, str]] = None, EMPTY, EMPTY
        self._lock = forking.lock()

    @property
    def used(self) -> int:
        """The number of interactions that have been replayed."""
        return self._count

    @property
    def unused(self) -> tuple[HttpInteraction, ...]:
        """The interactions that no request has used yet; for a shared cassette, those of this test's part."""
        return tuple([self._recorded[place].interaction for place in self._claims.own if not self._used[place]])

    def check_used(self) -> None:
        """Make sure that every interaction was replayed; for the end of a test.

        Raises:
            CassetteMismatch: if some were not.
        """
        own = self._claims.own
        following = next((place for place in own if not self._used[place]), None)
        if following is not None:
            used = len(own) - len(self.unused)
            msg = (
                f"cassette {self.cassette.name!r}: {used} of {len(own)} interactions were used; the next is "
                f"{self._recorded[following]}; record it anew if the program asks less now"
            )
            raise CassetteMismatch(msg, path=self.cassette.path)

    def __reduce__(self) -> tuple[Callable[..., ReplayTransport], tuple[Cassette]]:
        return partial(ReplayTransport, **self._options), (self.cassette,)

    def __repr__(self) -> str:
        return f"ReplayTransport({self.cassette.name!r}, {self._count} of {len(self._recorded)} used)"

    async def open(self, request: HttpRequest, *, timeout: float | None = None) -> HttpResponse:
        """Answer from the cassette; see `Transport.open`.

        Raises:
            CassetteMiss: if nothing is left that matches; it says what was nearest, and how that differs.
            CassetteMismatch: if another request is next; or if the recorded reader went away before anything came, and
                this one does not.
            InvalidCassette: if the recorded body turns out to be damaged.
            TransportError: if the recorded request failed in this way.
            TimeoutError: if it takes longer than `timeout` seconds in recorded time, or took too long when recorded.
        """
        answer = await self.answer(request, timeout=timeout)
        if answer is None:
            raise await self.refused(request)
        return answer

    def begin(self, request: HttpRequest, notify: Callable[[], None]) -> Sent | None:
        """Answer without a task, on asyncio, unless pieces have a time or an order to keep; see `Transport`."""
        return self.sent(request, notify, self._or_refused)

    async def _or_refused(self, request: HttpRequest, timeout: float | None) -> HttpResponse:
        return await self.open(request, timeout=timeout)

    def sent(
        self,
        request: HttpRequest,
        notify: Callable[[], None],
        otherwise: Callable[[HttpRequest, float | None], Awaitable[HttpResponse]],
    ) -> Sent | None:
        """Do what `begin` does, but open requests that do not match with `otherwise`."""
        soon = loops.next_turn() if self._is_plain else None
        if soon is None:
            return None
        ways: Ways = self._claimed, self._at_once, self._in_time, otherwise
        return ReplayedRequest(request, notify, ways, soon)

    async def answer(self, request: HttpRequest, *, timeout: float | None = None) -> HttpResponse | None:
        """Answer from the cassette as `open` does, but return None if nothing matches."""
        index = self._claimed(request)
        if index is None:
            return None
        answer = self._at_once(index, request)
        if answer is None:
            return await self._in_time(index, request, timeout)
        await checkpoint()
        return answer

    def answer_blocking(self, request: HttpRequest, timeout: float | None = None) -> RecordedAnswer | None:
        """Answer as `answer` does, in code without await: read it with `RecordedAnswer.read_blocking`."""
        index = self._claimed(request)
        if index is None:
            return None
        answer = self._at_once(index, request)
        return loops.run_blocking(self._in_time, index, request, timeout) if answer is None else answer

    def _claimed(self, request: HttpRequest) -> int | None:
        """Claim the interaction that answers a request; return None if nothing fits."""
        for placed in self._placed(request) if "unsaid" in request.context else (request,):
            with self._lock:
                index = self._claims.claim(placed)
                if index is not None:
                    self._used[index] = 1
                    self._count += 1
                    return index
        return None

    def _placed(self, request: HttpRequest) -> list[HttpRequest]:
        """Return the request with each URL that it may mean: several if it leaves out host, account or region."""
        if not request.context.get("unsaid"):
            return [request]
        mine = self._redaction.url(request.url)
        urls = dict.fromkeys([one.interaction.request.url for one in self._recorded])
        return [evolve(request, url=url) for url in urls if same_target(url, mine)] or [request]

    def refusal(self, request: HttpRequest) -> CassetteMiss | CassetteMismatch:
        """Return the error for a request that nothing matches. Slow for a large cassette; see `refused`."""
        request = self._placed(request)[0]
        places = self._claims.own or range(len(self._recorded))
        with self._lock:
            used = bytes([self._used[place] for place in places])
        return Refusal(
            cassette=self.cassette,
            recorded=[self._recorded[place] for place in places],
            used=used,
            redaction=self._redaction,
            match=self.match,
            turn=sum(used),
            part=self._options["part"] if len(places) < len(self._recorded) else None,
        ).error(request)

    async def refused(self, request: HttpRequest) -> CassetteMiss | CassetteMismatch:
        """Return the same as `refusal` without blocking the event loop."""
        if len(self._recorded) < _MANY:
            return self.refusal(request)
        return await anyio.to_thread.run_sync(self.refusal, request, limiter=anyio.CapacityLimiter(1))

    def _at_once(self, index: int, request: HttpRequest) -> RecordedAnswer | None:
        """Return the answer if nothing has to be waited for, up to its end, and it ends well."""
        recorded = self._recorded[index]
        timeline = recorded.timeline if recorded.interaction.extra else None
        if timeline is not None and (
            self._speed is not None
            or timeline.end != "complete"
            or (self._order is not None and self._order.concerns(index))
        ):
            return None
        response = recorded.interaction.response
        if _has_no_body(response, request):
            return RecordedAnswer(response.status, _lowered(response), NO_PIECES)
        if self._shared is None:
            shared = self._untimed(response, timeline)
        else:
            shared = self._shared.get(index, partial(self._untimed, response, timeline))
        together = self._options["cut"] == "recorded"
        return RecordedAnswer(response.status, shared.headers, shared.pieces, together=together, shared=shared)

    def _untimed(self, response: RecordedResponse, timeline: Timeline | None) -> Laid:
        """Return an answer without the times of its pieces."""
        pieces = cut_untimed(response.body.data, self._options["cut"], timeline, path=self.cassette.path)
        return Laid(self._headers(response, whole=True), pieces)

    async def _in_time(self, index: int, request: HttpRequest, timeout: float | None) -> RecordedAnswer:
        """Wait until the recorded headers may be given, and return the answer."""
        recorded = self._recorded[index]
        timeline = recorded.timeline
        pace = Pace(
            timeline,
            speed=self._speed,
            deadline=self._options["deadline"],
            order=self._order,
            index=index,
            name=f"interaction {recorded.number} of cassette {self.cassette.name!r}",
            path=self.cassette.path,
        )
        try:
            await checkpoint()
            if timeline is not None:
                if timeline.opened is None:
                    await pace.end(0, timeout)
                await pace.until(timeline.opened or 0, timeout)
            found = self._timed(index, request)
        except BaseException:
            pace.over()
            raise
        return RecordedAnswer(
            recorded.interaction.response.status, found.headers, found.pieces, pace=pace, shared=found
        )

    def _timed(self, index: int, request: HttpRequest) -> Laid:
        """Return an answer with the times of its pieces."""
        recorded = self._recorded[index]
        response, timeline = recorded.interaction.response, recorded.timeline
        if _has_no_body(response, request):
            return Laid(_lowered(response), NO_PIECES)

        def laid() -> Laid:
            whole = timeline is None or timeline.end == "complete"
            pieces = cut_as_recorded(response.body.data, self._options["cut"], timeline, path=self.cassette.path)
            return Laid(self._headers(response, whole=whole), pieces)

        return laid() if self._shared is None else self._shared.get(-1 - index, laid)  # apart from those without times

    def _headers(self, response: RecordedResponse, *, whole: bool) -> Mapping[str, str]:
        """Return the headers of an answer by lower-case name; most of a cassette's are the same."""
        encoding, stored, headers = self._last_headers
        if encoding != response.body.encoding or stored != response.headers:
            headers = MappingProxyType(_true_headers(response, whole=whole))
            if not any(name.lower() == "content-length" for name in response.headers):
                self._last_headers = response.body.encoding, response.headers, headers
        return headers


def _has_no_body(response: RecordedResponse, request: HttpRequest) -> bool:
    """Return whether a response has no body, so that its length and encoding are those that another one would have."""
    return response.status in _EMPTY or (request.method != "POST" and request.method.upper() == "HEAD")


def _lowered(response: RecordedResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}


def _true_headers(response: RecordedResponse, *, whole: bool) -> dict[str, str]:
    """Return the headers that are true of the stored body: a body that is stored as text was decompressed before."""
    body = response.body
    headers = _lowered(response)
    if body.encoding == "base64":
        return headers
    headers.pop("content-encoding", None)
    length = headers.get("content-length")
    if whole and length is not None and length.strip() != str(len(body.data)):
        del headers["content-length"]
    return headers


publish(globals(), "mellite.cassettes", "ReplayTransport")
