"""A recorded answer that is replayed: the same pieces, at once or in recorded time, and the same end."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import anyio
from anyio.lowlevel import checkpoint

from ...loops import run_blocking
from ...values import errors
from ...values.errors import CassetteMismatch, ConnectionLost, MelliteError
from ...wire.http import ArrivingResponse
from .order import NEVER, Order

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..timeline import Fault, Timeline
    from .cutting import Pieces
    from .sharing import Laid

__all__ = ["EVERY", "Pace", "RecordedAnswer", "fault_of"]

#: A read lets other tasks run once in so many pieces: a turn of the loop for each would cost more than the reading.
EVERY: Final = 16

#: Pieces that end with an event are handed on together, up to so many bytes, where they need not come one by one.
_TOGETHER: Final = 64 * 1024
_JSON: Final = (b"{", b"[")


def fault_of(fault: Fault | None) -> Exception:
    """Make the recorded error anew. A class that is not one of mellite's errors becomes ConnectionLost."""
    if fault is None:
        return ConnectionLost("the connection broke, as it did when this was recorded")
    if fault.type == "TimeoutError":
        return TimeoutError(fault.message)
    kind = getattr(errors, fault.type, None)
    if isinstance(kind, type) and issubclass(kind, MelliteError):
        error = kind(fault.message)
        if isinstance(error, ConnectionLost):
            error.ending = fault.ending
        return error
    return ConnectionLost(fault.message, ending=fault.ending)


class Pace:
    """When a recorded answer may give its pieces: at once or in recorded time, and in its turn among others.

    Only the reader of the answer uses it.

    Args:
        timeline: the recorded times and end; None if they are not known, and then everything comes at once.
        speed: how many times as fast as recorded; None for at once.
        deadline: how long to wait for the reader to go away where the recorded one did, in seconds.
        order: the order among answers that ran at the same time; None if it does not matter.
        index: which interaction this is.
        name: what to call the answer in messages.
        path: the cassette, for errors.
    """

    __slots__ = ("_began", "_cause", "_deadline", "_index", "_name", "_order", "_path", "_speed", "timeline")

    def __init__(
        self,
        timeline: Timeline | None,
        *,
        speed: float | None = None,
        deadline: float = 0,
        order: Order | None = None,
        index: int = 0,
        name: str = "the answer",
        path: str | None = None,
    ) -> None:
        self.timeline = timeline
        self._speed = speed if timeline is not None else None
        self._deadline = deadline
        self._order = order if order is not None and order.concerns(index) else None
        self._index = index
        self._name = name
        self._path = path
        self._began = time.monotonic()
        self._cause = NEVER
        if self._order is not None and timeline is not None:
            if timeline.end == "interrupted":
                self._cause = self._order.cause(index, timeline.started + timeline.ended)
            opened = timeline.ended if timeline.opened is None else timeline.opened
            self._order.begins(index, self._moment(opened))

    @property
    def waits(self) -> bool:
        """Whether `until` may wait before a piece."""
        return self._speed is not None or self._order is not None

    def _moment(self, after: int) -> int:
        """Return the moment, for the order, of what came `after` microseconds after the start."""
        started = 0 if self.timeline is None else self.timeline.started
        return min(started + after, self._cause - 1)

    async def until(self, after: int, timeout: float | None, *, end: bool = False) -> None:
        """Wait until a piece, or the `end`, may be given that came `after` microseconds after the start.

        Raises:
            TimeoutError: if that takes longer than `timeout` seconds in recorded time. Waiting for other answers does
                not count, because the server did not take that time.
        """
        if self._order is not None and self.timeline is not None:
            await self._order.until(self._index, self._moment(after), end=end)
        if self._speed is not None:
            left = after / 1_000_000 / self._speed - (time.monotonic() - self._began)
            if left > 0:
                await anyio.sleep(left if timeout is None else min(left, timeout))
                if timeout is not None and left > timeout:
                    raise TimeoutError

    def gives(self, times: Sequence[int], number: int) -> None:
        """Tell the order that `number` pieces have been given of those that came at `times`."""
        timeline = self.timeline
        if self._order is None or timeline is None:
            return
        if number < len(times):
            following = self._moment(times[number])
        else:
            following = NEVER if timeline.end == "interrupted" else timeline.started + timeline.ended
        self._order.gives(self._index, following)

    def over(self) -> None:
        """Tell the order that the reader is done, or went away. Idempotent."""
        if self._order is not None:
            self._order.ends(self._index)

    async def end(self, pieces: int, timeout: float | None) -> None:
        """Replay the end, after so many pieces: return, raise the recorded error, or wait for the reader to go away.

        Raises:
            CassetteMismatch: if the reader does not go away, though the recorded one did.
            TimeoutError: likewise, if its timeout is no longer than the deadline.
            Exception: the recorded error.
        """
        timeline = self.timeline
        if timeline is None:
            return
        if timeline.end != "interrupted":
            await self.until(timeline.ended, timeout, end=True)
            if timeline.end == "broken":
                raise fault_of(timeline.fault)
            return
        self.over()
        # Sleep for the whole deadline, whatever the timeout: the recorded reader went away before its own timeout,
        # so this one must be given the time to do the same.
        await anyio.sleep(self._deadline)
        if timeout is not None and timeout <= self._deadline:
            raise TimeoutError
        what = f"{pieces} piece{'' if pieces == 1 else 's'} of it" if pieces else "anything came"
        msg = (
            f"{self._name} is not whole: its reader went away {'after ' if pieces else 'before '}{what} when it was "
            "recorded, and now somebody wants the rest; record it anew if that is right"
        )
        raise CassetteMismatch(msg, path=self._path)


class RecordedAnswer(ArrivingResponse):
    """An answer from a cassette.

    Args:
        status: the HTTP status.
        headers: by lower-case name.
        pieces: what each `read` returns, and when it came.
        pace: when each piece may be given, and how the answer ends; None if nothing is waited for, and it ends well.
        together: whether `arrived` may give pieces together that were cut between two events.
        shared: what keeps the body for all who read it, held until the answer is closed.

    Attributes:
        shared: what was given; None once the answer is closed.
        taken: how many bytes have been given.
    """

    __slots__ = (
        "_body",
        "_closed",
        "_count",
        "_ends",
        "_pace",
        "_times",
        "_together",
        "is_encoded",
        "replayed",
        "shared",
        "taken",
    )

    is_complete = True
    is_coming = False

    def __init__(
        self,
        status: int,
        headers: Mapping[str, str],
        pieces: Pieces,
        *,
        pace: Pace | None = None,
        together: bool = False,
        shared: Laid | None = None,
    ) -> None:
        self.status = status
        self.headers = headers
        self.replayed = True
        self._body, self._ends, times = pieces
        self._times: Sequence[int] = ()
        self._pace = pace
        self._together = together
        self.shared = shared
        self._count = 0
        self._closed = False
        self.taken = 0
        self.is_encoded = "content-encoding" in headers
        if pace is not None:
            self._times = times if pace.waits else ()
            pace.gives(self._times, 0)

    async def read(self, timeout: float | None = None) -> bytes:
        """Read the next piece; see `HttpResponse.read`.

        Raises:
            TimeoutError: if the piece comes after more than `timeout` seconds in recorded time, or a timeout was
                recorded here.
            ConnectionLost: if the connection broke when it was recorded, or the answer was closed already.
            CassetteMismatch: if the recorded reader went away here, and this one does not.
        """
        if self._closed:
            msg = "the response was read after it was closed"
            raise ConnectionLost(msg)
        count = self._count
        if count == 1 or (count and not count % EVERY):  # no turn before the first piece: `open` has given one
            await checkpoint()
        if count >= len(self._ends):
            if self._pace is not None:
                await self._pace.end(count, timeout)
            return b""
        if self._times and self._pace is not None:
            await self._pace.until(self._times[count], timeout)
            self._pace.gives(self._times, count + 1)
        return self._next(count + 1)

    def read_blocking(self, timeout: float | None = None) -> bytes:
        """Read the next piece as `read` does, in code without await."""
        if self._pace is not None or self._closed:
            return run_blocking(self.read, timeout)
        count = self._count
        return self._next(count + 1) if count < len(self._ends) else b""

    def _next(self, count: int) -> bytes:
        """Return the pieces up to the one with this number, counted from 1 on."""
        start, end = self.taken, self._ends[count - 1]
        self._count = count
        self.taken = end
        return self._body[start:end]

    def whole(self, most: int) -> bytes | None:
        """Return the whole answer if it is one piece, or JSON, which is read whole; see `HttpResponse.whole`."""
        body, size, count = self._body, len(self._body), len(self._ends)
        if self._count or self._pace is not None or size > most or not (count == 1 or body[:1] in _JSON):
            return None
        self._count = count
        self.taken = size
        return body

    def pieces(self, most: int) -> Sequence[bytes]:
        """Return all pieces that are left, if nothing is waited for and they have *most* bytes at most; else none."""
        if self._pace is not None or self._closed or not 0 < self.buffered <= most:
            return ()
        return [self._next(count) for count in range(self._count + 1, len(self._ends) + 1)]

    @property
    def buffered(self) -> int:  # type: ignore[override]
        """The number of bytes that `arrived` has not given yet."""
        return len(self._body) - self.taken

    def arrived(self) -> bytes:
        """Return the next piece, or several that were cut between events; see `ArrivingResponse.arrived`.

        Only for an answer without a pace.
        """
        body, ends, count = self._body, self._ends, self._count
        if count >= len(ends):
            return b""
        if self._together:
            last = bisect_right(ends, self.taken + _TOGETHER, lo=count) - 1
            while count < last and body[ends[count] - 2 : ends[count]] == b"\n\n":
                count += 1
        return self._next(count + 1)

    async def aclose(self) -> None:
        """Close the answer, and tell the order that its reader went away."""
        self.close()

    def close(self) -> None:
        """Do what `aclose` does."""
        self._closed = True
        self._body, self._ends, self.shared = b"", (), None
        if self._pace is not None:
            self._pace.over()
