"""Record what goes through a transport: every piece is handed on as it arrives, and stored when its answer is over."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Collection, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Protocol

import anyio
import anyio.to_thread

from ...loops import forking
from ...values.errors import CassetteError, InvalidProviderOutput, TransportError
from ...values.public_names import publish
from ...wire.http import HttpRequest, HttpResponse, Transport
from ...wire.transports.default import default_transport
from ..interactions import Cassette, Interaction
from ..secrets.redaction import Redaction
from ..timeline import Stopwatch
from .take import Take
from .turnstile import Turnstile

if TYPE_CHECKING:
    from typing import Self

__all__ = ["Memory", "RecordTransport", "Sink"]

_log: Final = logging.getLogger(__name__)

#: An answer of fewer bytes is stored before another task could have its turn.
_SMALL: Final = 16 * 1024


class Sink(Protocol):
    """Where recorded interactions go, such as a `mellite.cassettes.recording.journal.CassetteWriter`. It may block."""

    def append(
        self, interaction: Interaction, *, started: float | None = None, secrets: Collection[str] = ()
    ) -> object:
        """Store one, which must not hold any of the secrets; when this returns it is safe."""
        ...

    def finish(self) -> None:
        """The recording has ended well."""
        ...

    def abandon(self) -> None:
        """The recording went wrong."""
        ...


class Memory:
    """A sink that keeps interactions in memory."""

    def __init__(self) -> None:
        self._kept: list[tuple[float, int, Interaction]] = []

    @property
    def cassette(self) -> Cassette:
        """What was recorded so far, in the order in which the requests were sent."""
        return Cassette(tuple([interaction for _, _, interaction in sorted(self._kept, key=lambda kept: kept[:2])]))

    def append(
        self,
        interaction: Interaction,
        *,
        started: float | None = None,
        secrets: Collection[str] = (),  # noqa: ARG002
    ) -> None:
        """Keep one; whoever writes it to a file looks for secrets then."""
        self._kept.append((started or 0.0, len(self._kept), interaction))

    def finish(self) -> None:
        """Nothing is left to do."""

    def abandon(self) -> None:
        """Nothing is left to do."""


class RecordTransport:
    """A transport that sends requests over another one and records what comes back.

    Nothing is held back: a piece is handed on when it arrives. An answer is stored when it is over and before its end
    is handed on, so a call that is done is recorded. One whose reader goes away is stored as interrupted, with the
    pieces until then; one that breaks off as broken, with its error. What was never sent is not stored.

    A recording that fails, because of a secret or a full disk, does not fail the call: the error is kept, and raised
    when the recording ends. It may be used from several loops and threads.

    Args:
        live: what sends the requests; by default a transport over the network, closed with this one.
        into: where to; in memory by default. A function is called when the first request is about to be sent, with
            what the cassette may say of itself.
        redaction: what is kept of a request and a response.
        quick: storing does not wait for a disk: what is small is not worth a thread then.

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
        self._clock = Stopwatch()
        self._waiting: deque[Take] = deque()
        self._turnstile = Turnstile()
        self._opening = forking.lock()
        self._storing = forking.lock()
        self._problems: list[CassetteError] = []
        self._over = False
        self.stored = 0

    @property
    def cassette(self) -> Cassette:
        """What was recorded so far, if it is kept in memory; empty if it goes elsewhere."""
        return self._into.cassette if isinstance(self._into, Memory) else Cassette()

    @property
    def problems(self) -> tuple[CassetteError, ...]:
        """Why interactions could not be stored, if some could not; the first of them is raised at the end."""
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
            own: gives what to send it over, unless ``live`` was given; by default the recorder's own transport.

        Raises:
            CassetteError: if the cassette cannot be written, or the recording is over; nothing was sent.
        """
        asked = self._clock.now()
        if self._sink is None or self._over:
            await self._blocking(self._begin, request)
        take = Take(request, self._clock, asked=asked)
        self._turnstile.inside += 1
        try:
            live = own() if own is not None and self._live is None else self._transport()
            response = await live.open(request, timeout=timeout)
        except (TransportError, InvalidProviderOutput, TimeoutError) as error:
            await self.ended(take, error)
            raise
        except (GeneratorExit, Exception):  # nothing can be awaited any more; or it was not sent
            self._turnstile.inside -= 1
            raise
        except BaseException:  # a cancellation: whoever asked went away
            take.stops()
            await self.store(take)
            raise
        take.opens(response)
        return _RecordingResponse(response, take, self)

    def _transport(self) -> Transport:
        if self._live is not None:
            return self._live
        if self._own is None:
            self._own = default_transport()
        return self._own

    def _begin(self, request: HttpRequest) -> None:
        with self._opening:
            if self._over:
                msg = "the recording is over, and this request came after its end; begin another one"
                raise CassetteError(msg)
            if self._sink is None:
                into = self._into
                self._sink = into(_about(request)) if callable(into) else into

    # --- storing ------------------------------------------------------------------------------------

    async def ended(self, take: Take, error: Exception | None = None) -> None:
        """Store an interaction that has come to its end: when this returns, its reader may be told.

        Two that end in the same moment are told one after the other.
        """
        if take.end is not None:
            return
        await self._turnstile.enter()
        try:
            if take.breaks(error) if error is not None else take.ends():
                await self.store(take)
        finally:
            self._turnstile.leave()

    async def store(self, take: Take) -> None:
        """Store an interaction that is over; when this returns, it is safe, or its problem is kept.

        Being cancelled does not stop it.
        """
        self._turnstile.inside -= 1
        self._waiting.append(take)
        small = self._quick and take.size < _SMALL
        if small and self._storing.acquire(blocking=False):
            try:
                self._store_all()
            finally:
                self._storing.release()
        else:
            await self._blocking(self._store_waiting)

    async def _blocking(self, function: Callable[..., None], *args: Any) -> None:
        """Call a function that may have to wait for a disk, without making others wait."""
        if isinstance(self._into, Memory):
            function(*args)
            return
        with anyio.CancelScope(shield=True):
            # A limiter of its own: the threads that all share may be taken by those who wait for this very answer.
            await anyio.to_thread.run_sync(function, *args, limiter=anyio.CapacityLimiter(1))

    def _store_waiting(self) -> None:
        """Store all that is over, in the order in which it came to its end; others may have done so meanwhile."""
        with self._storing:
            self._store_all()

    def _store_all(self) -> None:
        while self._waiting:
            take = self._waiting.popleft()
            try:
                self._append(take)
            except CassetteError as error:
                _log.warning("an interaction is not recorded: %s", error)
                self._problems.append(error)

    def _append(self, take: Take) -> None:
        sink = self._sink
        if sink is None or self._over:
            msg = f"the recording was over before {take} was"
            raise CassetteError(msg)
        sink.append(
            take.interaction(self._redaction),
            started=take.started / 1_000_000,
            secrets=take.credentials(self._redaction),
        )
        self.stored += 1

    # --- the end ------------------------------------------------------------------------------------

    def finish(self) -> None:
        """End the recording well; again, it does nothing. It may have to wait for a disk.

        Raises:
            CassetteError: if something could not be stored.
        """
        self._end(well=True)

    def abandon(self) -> None:
        """End a recording that went wrong: a cassette that was to be replaced stays as it was."""
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
        """End the recording well, and close what was made for it."""
        await self._closed(self.finish)

    async def _closed(self, end: Callable[[], None]) -> None:
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
    """What a new cassette can say of itself: who is asked, in what language, for which model."""
    names = ("provider", "protocol", "model")
    return {name: value for name in names if isinstance(value := request.context.get(name), str) and value}


class _RecordingResponse(HttpResponse):
    """An answer that is handed on as it arrives, and stored when it is over."""

    __slots__ = ("_inner", "_recorder", "_take")

    def __init__(self, inner: HttpResponse, take: Take, recorder: RecordTransport) -> None:
        self.status = inner.status
        self.headers = inner.headers
        self._inner = inner
        self._take = take
        self._recorder = recorder

    async def read(self, timeout: float | None = None) -> bytes:
        """The next piece; see `HttpResponse.read`."""
        take = self._take
        try:
            piece = await self._inner.read(timeout)
        except (TransportError, InvalidProviderOutput, TimeoutError) as error:
            await self._recorder.ended(take, error)
            raise
        if piece:
            take.gets(piece)
        else:
            await self._recorder.ended(take)
        return piece

    async def aclose(self) -> None:
        """Close the answer; if it is not over, it is stored as far as it came."""
        stopped = self._take.stops()
        try:
            await self._inner.aclose()
        finally:
            if stopped:
                await self._recorder.store(self._take)


publish(globals(), "mellite.cassettes", "RecordTransport")
