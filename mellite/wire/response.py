"""Read one HTTP response under the three timeouts: first byte, idle between events, and total."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Final

from .. import loops
from ..values.errors import (
    FirstByteTimeout,
    IdleTimeout,
    InvalidProviderOutput,
    MissingExtra,
    TotalTimeout,
    TransportError,
)
from ..values.options import Timeouts
from .bounds import DEFAULT_BOUNDS, AnswerBounds
from .content_encoding import BodyDecoder
from .http import HttpResponse

__all__ = ["DRAIN_SECONDS", "PIECE", "BodyReader", "open_response", "reader_from"]

#: How long to read on so that the connection can be used again, in seconds.
DRAIN_SECONDS: Final = 0.05
_DRAIN_BYTES: Final = 64 * 1024

#: The most bytes to look at in one turn of the loop.
PIECE: Final = 64 * 1024


class _Clocks:
    """The timeouts of one call, counted from when this object is made, or the total from *since*.

    Attributes:
        now: tells the time of the running loop.
        began: what the total timeout counts from; None if there is none.
        idle: how long the next event may take.
    """

    __slots__ = ("_timeouts", "_total_ends", "began", "idle", "now")

    def __init__(self, timeouts: Timeouts, since: float | None = None) -> None:
        self._timeouts = timeouts
        self.now = loops.clock()
        self.idle = timeouts.idle
        self.began = self._total_ends = None
        if timeouts.total is not None:
            self.began = self.now() if since is None else since
            self._total_ends = self.began + timeouts.total

    def left(self, limit: float | None, since: float, now: float) -> tuple[float | None, bool]:
        """Return the seconds left of *limit*, counted from *since*, or of the total if that ends first.

        The second value tells whether the total ends first. None stands for no limit.
        """
        left = None if limit is None else limit - (now - since)
        if self._total_ends is not None and (left is None or self._total_ends - now <= left):
            return self._total_ends - now, True
        return left, False

    def left_to_begin(self, began: float | None) -> tuple[float | None, bool]:
        """Return the seconds until the first byte has to be there, counted from *began* or now; see `left`."""
        first_byte = self._timeouts.first_byte
        if self._total_ends is None and began is None:
            return first_byte, False
        now = self.now()
        return self.left(first_byte, now if began is None else began, now)

    def is_over(self) -> bool:
        """Return whether the total timeout has passed."""
        return self._total_ends is not None and self.now() >= self._total_ends

    def ran_out(self, url: str, *, total: bool, first: bool) -> TransportError:
        """Return the error for the timeout that has passed."""
        timeouts = self._timeouts
        if total:
            msg = f"the answer of {url} was not complete within {timeouts.total} s; raise Timeouts(total=...) for more"
            return TotalTimeout(msg)
        if first:
            msg = f"no answer from {url} within {timeouts.first_byte} s; raise Timeouts(first_byte=...) to wait longer"
            return FirstByteTimeout(msg)
        msg = f"no event from {url} for {timeouts.idle} s; raise Timeouts(idle=...) to wait longer"
        return IdleTimeout(msg)


async def open_response(
    opening: Callable[..., Awaitable[HttpResponse]],
    timeouts: Timeouts,
    *,
    shown: str,
    bounds: AnswerBounds = DEFAULT_BOUNDS,
    since: float | None = None,
    began: float | None = None,
) -> BodyReader:
    """Send a request and wait for status and headers.

    Args:
        opening: sends the request, and waits as `Transport.open` does, within a ``timeout``.
        timeouts: the timeouts of the call.
        shown: the URL for messages.
        bounds: the largest body to accept.
        since: when the total timeout began, on the loop's clock; None for now.
        began: when the request was sent, if that was before; the timeouts count from then.

    Raises:
        FirstByteTimeout, TotalTimeout: if the headers did not arrive in time.
        MelliteError: what `Transport.open` raises.
    """
    clocks = _Clocks(timeouts, since if began is None else began)
    timeout, total = clocks.left_to_begin(began)
    if timeout is not None and timeout < 0:
        timeout = 0
    try:
        return BodyReader(await opening(timeout=timeout), clocks, shown, bounds)
    except TimeoutError:
        pass
    raise clocks.ran_out(shown, total=total, first=True)


def reader_from(
    response: HttpResponse,
    timeouts: Timeouts,
    *,
    shown: str,
    bounds: AnswerBounds,
    since: float | None,
    taken: int,
) -> BodyReader:
    """Return the reader of the rest of a body, of which *taken* bytes were read before; else as `open_response`."""
    reader = BodyReader(response, _Clocks(timeouts, since), shown, bounds)
    reader.count(taken)
    return reader


def _slices(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), PIECE):
        yield data[start : start + PIECE]


class BodyReader:
    """The reader of one response body: decompresses it under timeouts and bounds. For one task at a time.

    A large read, or the much larger data that it inflates to, is returned in slices. Between two slices the total
    timeout is checked and the event loop gets its turn.

    Attributes:
        response: the response.
        waiting: when the wait for the next event began, on the loop's clock. The parser sets it to None at each event,
            which restarts the idle timeout.
    """

    __slots__ = (
        "_bounds",
        "_clocks",
        "_decoder",
        "_head",
        "_is_whole",
        "_pieces",
        "_shown",
        "_taken",
        "response",
        "waiting",
    )

    def __init__(self, response: HttpResponse, clocks: _Clocks, shown: str, bounds: AnswerBounds) -> None:
        self.response = response
        self.waiting: float | None = None
        self._clocks = clocks
        self._shown = shown
        self._bounds = bounds
        self._taken = 0  # bytes of the body, decompressed
        self._decoder: BodyDecoder | None = None
        self._pieces: Iterator[bytes] | None = None
        self._head = b""
        self._is_whole = False  # the head is all of the body

    @property
    def began(self) -> float | None:
        """What the total timeout counts from, on the loop's clock; None if there is none."""
        return self._clocks.began

    async def read(self) -> bytes:
        """Read the next piece of the body, at most 64 KiB; return ``b""`` at the end.

        Raises:
            IdleTimeout, TotalTimeout: if nothing arrived in time.
            ConnectionLost: if the connection broke.
            InvalidProviderOutput: if the body does not match its ``content-encoding``, or ends too soon.
            OutputTooLarge: if the body is larger than its bound.
        """
        if self._head:
            head, self._head = self._head, b""
            return head
        piece = None if self._pieces is None else await self._left_over()
        if piece is None:
            decoder = self._decoder
            if decoder is None:
                decoder = self._decoder = BodyDecoder(self.response.headers.get("content-encoding"))
            piece = await self._receive()
            if not decoder.identity:
                piece = await self._decoded(decoder, piece)
            elif len(piece) > PIECE:
                self._pieces = _slices(piece)
                piece = next(self._pieces)
        self._taken += len(piece)
        if self._bounds.max_bytes is not None and self._taken > self._bounds.max_bytes:
            raise self._bounds.too_long()
        return piece

    async def _left_over(self) -> bytes | None:
        """Return the next piece of what was read before; None at its end."""
        for piece in self._pieces or ():
            await loops.checkpoint()
            if self._clocks.is_over():
                raise self._clocks.ran_out(self._shown, total=True, first=False)
            return piece
        self._pieces = None
        return None

    async def _decoded(self, decoder: BodyDecoder, data: bytes) -> bytes:
        """Decode what has come, and what follows until it comes to something."""
        while data:
            self._pieces = decoder.feed(data)
            for piece in self._pieces:
                return piece
            data = await self._receive()
        decoder.end()
        return b""

    async def _receive(self) -> bytes:
        now = self._clocks.now()
        since = self.waiting
        if since is None:
            since = self.waiting = now
        timeout, total = self._clocks.left(self._clocks.idle, since, now)
        if timeout is None or timeout > 0:
            try:
                return await self.response.read(timeout)
            except TimeoutError:
                pass
        raise self._clocks.ran_out(self._shown, total=total, first=False)

    async def peek(self) -> bytes:
        """Return the start of the body, up to a byte that is not white space. `read` returns these bytes again."""
        if self._is_whole:
            return self._head
        head = self._whole()
        if head is not None:
            self._head, self._is_whole = head, True
            return head
        head, self._head = self._head, b""
        while not head.lstrip(b"\xef\xbb\xbf \t\r\n") and len(head) < _DRAIN_BYTES:
            piece = await self.read()
            if not piece:
                break
            head += piece
        self._head = head
        return head

    def count(self, taken: int) -> None:
        """Count bytes of the body that were looked at before."""
        self._taken += taken

    def put_back(self, data: bytes, *, is_whole: bool) -> None:
        """Have `read` return these bytes first, which were taken off the response; all of the body if `is_whole`."""
        if is_whole:
            self._head, self._is_whole = data, True
        elif data:
            self._pieces = _slices(data)

    def _whole(self) -> bytes | None:
        """Return the whole body, if it is here already and short enough to be returned as it is."""
        if "content-encoding" in self.response.headers or self._taken or self._head or self._pieces is not None:
            return None
        most = self._bounds.max_bytes
        return self.response.whole(PIECE if most is None or most > PIECE else most)

    async def rest(self) -> bytes:
        """Read the rest of the body.

        Raises:
            MelliteError: what `read` raises.
        """
        if self._is_whole:
            head, self._head = self._head, b""
            return head
        body = bytearray()
        while piece := await self.read():
            body += piece
            self.waiting = None  # without events, every piece counts as progress
        return bytes(body)

    async def start(self, limit: int) -> bytes:
        """Read the first *limit* bytes; fewer if the body ends or fails: the status of an error answer counts more."""
        body = bytearray()
        with suppress(TransportError, InvalidProviderOutput, MissingExtra):
            while len(body) < limit and (piece := await self.read()):
                body += piece
        return bytes(body[:limit])

    async def drain(self) -> None:
        """Read what follows the answer, if it arrives at once, so that the connection can be used again."""
        read = 0
        with suppress(TimeoutError, TransportError):
            while read < _DRAIN_BYTES and (piece := await self.response.read(DRAIN_SECONDS)):
                read += len(piece)

    async def abandon(self) -> None:
        """Close the response at once, even while the task is being cancelled."""
        with loops.move_on_after(None, shield=True):
            await self.response.aclose()
