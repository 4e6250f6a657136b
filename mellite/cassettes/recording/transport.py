"""Record what goes through a transport: pass on each piece as it arrives, and store each answer when it ends."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Collection, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Protocol

import anyio
import anyio.to_thread

from ...loops import forking
from ...values.errors import CassetteError, InvalidProviderOutput, TransportError
from ...values.public_names import publish
from ...values.telling import log
from ...wire.http import HttpRequest, HttpResponse, Sent, Transport, begin_of
from ...wire.transports.default import default_transport
from ..interactions import Cassette, Interaction
from ..secrets.redaction import Redaction
from ..timeline import Stopwatch
from .handing_on import RecordingResponse, RecordingSent
from .take import Asked, Take
from .turnstile import Turnstile

if TYPE_CHECKING:
    from typing import Self

__all__ = ["Memory", "RecordTransport", "Sink"]


#: An answer of fewer bytes is stored in the event loop. That takes about a millisecond, and a thread would hold the
#: interpreter's lock for up to five.
_SMALL: Final = 256 * 1024


class Sink(Protocol):
    """Where recorded interactions go, such as a `mellite.cassettes.CassetteWriter`.

    Its methods may block, and are called by one thread at a time, not always the same one.
    """

    def append(
        self, interaction: Interaction, *, started: float | None = None, secrets: Collection[str] = ()
    ) -> object:
        """Store one interaction safely before returning. Raise UnsafeCassette if it contains one of the secrets."""
        ...

    def finish(self) -> None:
        """End a recording that went well."""
        ...

    def abandon(self) -> None:
        """End a recording that failed."""
        ...


class Memory:
    """A sink that keeps interactions in memory."""

    def __init__(self) -> None:
        self._kept: list[tuple[float, int, Interaction]] = []

    @property
    def cassette(self) -> Cassette:
        """The interactions so far, in the order in which their requests were sent."""
        return Cassette(tuple([interaction for _, _, interaction in sorted(self._kept, key=lambda kept: kept[:2])]))

    def append(
        self,
        interaction: Interaction,
        *,
        started: float | None = None,
        secrets: Collection[str] = (),  # noqa: ARG002
    ) -> None:
        """Keep one interaction. Secrets are looked for when a cassette is written to a file."""
        self._kept.append((started or 0.0, len(self._kept), interaction))

    def finish(self) -> None:
        """Do nothing: the interactions are kept."""

    def abandon(self) -> None:
        """Do nothing: the interactions are kept."""


class RecordTransport:
    """A transport that sends requests over another one and records what comes back.

    A piece is handed on when it arrives. An answer is stored when it is over and before its end is handed on, so a
    call that is done is recorded. An answer whose reader goes away is stored as interrupted, with the pieces until
    then; one that breaks off is stored as broken, with its error. A request that was never sent is not stored.

    If an interaction cannot be stored, because of a secret or a full disk, the call does not fail; the error is raised
    when the recording ends.

    Tasks of several loops and threads may use one recorder. An answer that ends is admitted by the turnstile first;
    then a thread takes ``_storing``, and under it the sink takes its own locks. ``_opening`` is taken on its own, for
    the first request. No lock is held across an ``await``. In a forked child the locks are open and the turnstile is
    empty; answers that are on their way belong to the parent.

    Args:
        live: the transport that sends the requests; by default one over the network, closed with this one.
        into: where interactions are stored; in memory by default. A function is called when the first request is
            about to be sent, with the metadata for a new cassette.
        redaction: the rules for what to keep of a request and a response.
        quick: whether `into` stores without waiting for a disk, so that small answers are stored in the event loop.

    Example:
        >>> import anyio
        >>> from mellite.cassettes import ReplayTransport, ScriptedTransport
        >>> recorder = RecordTransport(ScriptedTransport([["data: 1", "data: 2"]]))
        >>> async def pieces(transport):
        ...     response = await transport.open(HttpRequest("GET", "https://example.com/"))
        ...     return [await response.read() for _ in range(3)]
        >>> anyio.run(pieces, recorder)
        [b'data: 1', b'data: 2', b'']
        >>> anyio.run(pieces, ReplayTransport(recorder.cassette))
        [b'data: 1', b'data: 2', b'']
    """

    def __init__(
        self,
        live: Transport | None = None,
        into: Sink | Callable[[Mapping[str, Any]], Sink] | None = None,
        *,
        redaction: Redaction | None = None,
        quick: bool = False,
    ) -> None:
        self._live = live
        self._own: Transport | None = None
        self._into = Memory() if into is None else into
        self._sink: Sink | None = None
        self._redaction = redaction or Redaction()
        self._quick = quick or isinstance(self._into, Memory)
        self._asked: Asked | None = None
        self._clock = Stopwatch()
        self._waiting: deque[Take] = deque()
        self._under_way: set[Take] = set()
        self._turnstile = Turnstile()
        self._opening = forking.lock()
        self._storing = forking.lock()
        self._problems: list[CassetteError] = []
        self._over = False
        self.stored = 0

    @property
    def cassette(self) -> Cassette:
        """The interactions so far, if they are kept in memory; empty if they go elsewhere."""
        return self._into.cassette if isinstance(self._into, Memory) else Cassette()

    @property
    def problems(self) -> tuple[CassetteError, ...]:
        """The errors of interactions that could not be stored; the first is raised when the recording ends."""
        return tuple(self._problems)

    def __repr__(self) -> str:
        return f"RecordTransport({self.stored} stored)"

    # --- requests -----------------------------------------------------------------------------------

    async def open(
        self, request: HttpRequest, *, timeout: float | None = None, own: Callable[[], Transport] | None = None
    ) -> HttpResponse:
        """Send the request; see `Transport.open`.

        Args:
            request: what to send.
            timeout: how long to wait for the headers, in seconds.
            own: makes the transport to send it over, unless ``live`` was given; by default the recorder's own.

        Raises:
            CassetteError: if the cassette cannot be written, or the recording is over; nothing was sent.
        """
        asked = self._clock.now()
        started = asked
        if self._sink is None or self._over:
            await self._blocking(self._begin, request)
            started = self._clock.now()
        take = self._enters(Take(request, self._clock, asked=asked, started=started))
        live = own() if own is not None and self._live is None else self._transport()
        return await self.answered(take, live.open(request, timeout=timeout))

    def begin(self, request: HttpRequest, notify: Callable[[], None]) -> Sent | None:
        """Send the request now, if the transport can do that without waiting; see `Transport`."""
        if self._sink is None or self._over or not self._quick:
            return None
        live = self._live or self._own
        begin = None if live is None else begin_of(live)
        if begin is None:
            return None
        take = Take(request, self._clock)
        sent = begin(request, notify)
        if sent is None:
            return None
        return RecordingSent(sent, self._enters(take), self)

    async def answered(self, take: Take, opening: Awaitable[HttpResponse]) -> HttpResponse:
        """Wait for status and headers; store what is over before they come."""
        try:
            response = await opening
        except (TransportError, InvalidProviderOutput, TimeoutError) as error:
            await self.ended(take, error)
            raise
        # A closed coroutine may not await, so nothing is stored for GeneratorExit. Any other Exception means that
        # the request was not sent.
        except (GeneratorExit, Exception):
            self._leaves(take)
            raise
        except BaseException:  # cancelled while waiting for the headers
            take.stops()
            await self.store(take)
            raise
        take.opens(response)
        return RecordingResponse(response, take, self)

    def _transport(self) -> Transport:
        if self._live is not None:
            return self._live
        if self._own is None:
            self._own = default_transport()
        return self._own

    def _begin(self, request: HttpRequest) -> None:
        """Open the sink, if this is the first request. May block."""
        with self._opening:
            if self._over:
                msg = "the recording is over, and this request came after its end; begin another one"
                raise CassetteError(msg)
            if self._sink is None:
                into = self._into
                self._sink = into(_about(request)) if callable(into) else into

    # --- storing ------------------------------------------------------------------------------------

    async def ended(self, take: Take, error: Exception | None = None) -> None:
        """Store an interaction that has ended. Only after this returns may its reader see the end.

        The turnstile lets the ends through one at a time.
        """
        if take.end is not None:
            return
        await self._turnstile.enter()
        try:
            if take.breaks(error) if error is not None else take.ends():
                await self.store(take)
        finally:
            self._turnstile.leave()

    def whole(self, take: Take, response: HttpResponse, most: int) -> bytes | None:
        """Take and store the rest of an answer that has fully arrived; None if it has not, or storing would wait."""
        most = min(most, _SMALL - take.size)
        if not self._quick or most <= 0 or not self._turnstile.enters_at_once():
            return None
        body = None
        try:
            if self._storing.acquire(blocking=False):
                try:
                    body = response.whole(most)
                    if body is not None:
                        self._ended_at_once(take, body)
                finally:
                    self._storing.release()
        finally:
            self._turnstile.leave(ended=body is not None)
        return body

    def _ended_at_once(self, take: Take, body: bytes) -> None:
        """Store an answer with the rest of its body. Call with ``_storing`` held."""
        if body:
            take.gets(body)
        if take.ends():
            self._leaves(take)
            self._waiting.append(take)
            self._store_all()

    def store_now(self, take: Take) -> None:
        """Store an interaction that is over; together with the next one if another thread is storing right now."""
        self._leaves(take)
        self._waiting.append(take)
        if self._storing.acquire(blocking=False):
            try:
                self._store_all()
            finally:
                self._storing.release()

    async def store(self, take: Take) -> None:
        """Store an interaction that is over, or keep the error if that fails. Shielded from cancellation."""
        self._leaves(take)
        self._waiting.append(take)
        # The loop must not wait for a lock: if a thread is storing, a thread stores this one, too.
        small = self._quick and take.size < _SMALL
        if small and self._storing.acquire(blocking=False):
            try:
                self._store_all()
            finally:
                self._storing.release()
        else:
            await self._blocking(self._store_waiting)

    def _enters(self, take: Take) -> Take:
        self._turnstile.inside += 1
        self._under_way.add(take)
        return take

    def _leaves(self, take: Take) -> None:
        self._turnstile.inside -= 1
        self._under_way.discard(take)

    async def _blocking(self, function: Callable[..., None], *args: Any) -> None:
        """Call a function that may block, in a thread unless the sink is memory. Shielded from cancellation."""
        if isinstance(self._into, Memory):
            function(*args)
            return
        with anyio.CancelScope(shield=True):
            # Not the shared limiter: its threads may all be taken by callers that wait for this very answer.
            await anyio.to_thread.run_sync(function, *args, limiter=anyio.CapacityLimiter(1))

    def _store_waiting(self) -> None:
        """Store the takes that are waiting, in the order in which they ended; another thread may have done so."""
        with self._storing:
            self._store_all()

    def _store_all(self) -> None:
        """Store the takes that are waiting. Call with ``_storing`` held."""
        while self._waiting:
            take = self._waiting.popleft()
            try:
                self._append(take)
            except CassetteError as error:
                log.warning("recording.failed", "an interaction is not recorded: %s", error)
                self._problems.append(error)

    def _append(self, take: Take) -> None:
        sink = self._sink
        if sink is None or self._over:
            msg = f"the recording was over before {take} was"
            raise CassetteError(msg)
        asked = self._asked = Asked.of(take.request, self._redaction, self._asked)
        sink.append(
            take.interaction(self._redaction, asked), started=take.started / 1_000_000, secrets=asked.credentials
        )
        self.stored += 1

    # --- in code without await ----------------------------------------------------------------------

    def begin_blocking(self, request: HttpRequest) -> Take:
        """Begin to record a request that the caller sends on its own. May block.

        One of `end_blocking`, `stop_blocking` and `withdraw` must follow.

        Raises:
            CassetteError: if the cassette cannot be written, or the recording is over.
        """
        if self._sink is None or self._over:
            self._begin(request)
        return self._enters(Take(request, self._clock))

    def end_blocking(self, take: Take, error: Exception | None = None) -> None:
        """Store an interaction that has ended, as `ended` does. May block."""
        if take.end is not None:
            return
        entered = self._turnstile.enter_blocking()
        try:
            if take.breaks(error) if error is not None else take.ends():
                self.stored_blocking(take)
        finally:
            if entered:
                self._turnstile.leave()

    def stop_blocking(self, take: Take) -> None:
        """Store that the reader of an answer went away, unless it was over. May block."""
        if take.stops():
            self.stored_blocking(take)

    def stored_blocking(self, take: Take) -> None:
        """Store an interaction that is over, or keep the error if that fails. May block."""
        self._leaves(take)
        self._waiting.append(take)
        self._store_waiting()

    def withdraw(self, take: Take) -> None:
        """Forget a request that was never sent."""
        self._leaves(take)

    def cut_off(self) -> None:
        """Store what has arrived of unfinished answers, as if their readers went away now. May block.

        Their readers may read on; the rest is not recorded.
        """
        for take in sorted(self._under_way, key=lambda take: take.started):
            self.stop_blocking(take)

    # --- the end ------------------------------------------------------------------------------------

    def finish(self) -> None:
        """End a recording that went well. Idempotent; may block.

        Raises:
            CassetteError: if something could not be stored.
        """
        self._end(well=True)

    def abandon(self) -> None:
        """End a failed recording: a cassette that was to be replaced stays as it was. Idempotent; may block."""
        self._end(well=False)

    def _end(self, *, well: bool) -> None:
        self._store_waiting()
        with self._storing:
            if self._over:
                return
            self._over = True
            if self._sink is not None:
                if well and not self._problems:
                    self._sink.finish()
                else:
                    self._sink.abandon()
        if well and self._problems:
            raise self._problems[0]

    async def aclose(self) -> None:
        """Finish the recording, and close the recorder's own transport."""
        await self._closed(self.finish)

    async def _closed(self, end: Callable[[], None]) -> None:
        """End the recording, and close the recorder's own transport even if that fails."""
        try:
            await self._blocking(end)
        finally:
            own, self._own = self._own, None
            close = getattr(own, "aclose", None)
            if close is not None:
                await close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._closed(self.finish if kind is None else self.abandon)


def _about(request: HttpRequest) -> dict[str, Any]:
    """Return the metadata that a request gives a new cassette: provider, protocol and model, or whose client asks."""
    names = ("provider", "protocol", "model", "client")
    return {name: value for name in names if isinstance(value := request.context.get(name), str) and value}


publish(globals(), "mellite.cassettes", "RecordTransport")
