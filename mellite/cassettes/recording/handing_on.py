"""An answer while it is recorded: handed on as it arrives, by a task or without one."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol

from ...values.errors import InvalidProviderOutput, TransportError
from ...wire.http import ArrivingResponse, HttpResponse, Sent
from .take import Take

__all__ = ["Recorder", "RecordingResponse", "RecordingSent"]


class Recorder(Protocol):
    """Stores an answer when it ends; see `RecordTransport`."""

    async def answered(self, take: Take, opening: Awaitable[HttpResponse]) -> HttpResponse:
        """Wait for status and headers; store what is over before they come."""
        ...

    async def ended(self, take: Take, error: Exception | None = None) -> None:
        """Store an interaction that has ended, before its reader is told."""
        ...

    def whole(self, take: Take, response: HttpResponse, most: int) -> bytes | None:
        """Take and store the rest of an answer that has fully arrived; None if it has not, or storing would wait."""
        ...

    def store_now(self, take: Take) -> None:
        """Store an interaction that is over."""
        ...

    async def store(self, take: Take) -> None:
        """Store an interaction that is over."""
        ...


class RecordingSent:
    """A request that is on its way without a task that waits for the answer; see `mellite.wire.http.Sent`."""

    __slots__ = ("_recorder", "_sent", "_take", "again", "pause", "resume", "watch")

    def __init__(self, sent: Sent, take: Take, recorder: Recorder) -> None:
        self._sent = sent
        self._take = take
        self._recorder = recorder
        self.watch = sent.watch
        self.pause = sent.pause
        self.resume = sent.resume
        self.again = sent.again

    @property
    def is_broken(self) -> bool:
        """Whether no answer will come."""
        return self._sent.is_broken

    @property
    def is_expired(self) -> bool:
        """Whether the deadline has passed, and nothing came."""
        return self._sent.is_expired

    def response(self) -> ArrivingResponse | None:
        """Return the response once its head is there."""
        response = self._sent.response()
        if response is None:
            return None
        self._take.opens(response)
        return RecordingResponse(response, self._take, self._recorder)

    async def opened(self, timeout: float | None) -> HttpResponse:
        """Wait for the head, from where the exchange stands now."""
        return await self._recorder.answered(self._take, self._sent.opened(timeout))

    def left(self) -> Sent:
        """Call back no more; return what a task waits with."""
        self._sent = self._sent.left()
        return self

    def close(self, response: ArrivingResponse | None) -> None:
        """Close the response, or the connection before there is one; store that the reader went away."""
        inner = response.inner if isinstance(response, RecordingResponse) else response
        self._sent.close(inner if isinstance(inner, ArrivingResponse) else None)
        if self._take.stops():
            self._recorder.store_now(self._take)


class RecordingResponse(ArrivingResponse):
    """An answer that is handed on as it arrives, and stored when it is over.

    One that is all here is taken and stored at once. What arrives later is left to a task, by saying that nothing more
    comes without one: storing may have to wait. The last piece is handed on when the answer is stored, if the transport
    knows by then that it is the last one: who has all of an answer may need no end of it.
    """

    __slots__ = ("_arriving", "_kept", "_recorder", "_take", "inner", "is_encoded")

    is_complete = False
    is_coming = False
    buffered = 0

    def __init__(self, inner: HttpResponse, take: Take, recorder: Recorder) -> None:
        self.status = inner.status
        self.headers = inner.headers
        self.is_encoded = "content-encoding" in inner.headers
        self.inner = inner
        self._arriving = inner if isinstance(inner, ArrivingResponse) else None
        self._kept = b""
        self._take = take
        self._recorder = recorder

    def arrived(self) -> bytes:
        """Return nothing: `read` has it."""
        return b""

    def close(self) -> None:
        """Close the answer. Store what came of it, if it was not over."""
        inner = self.inner
        if isinstance(inner, ArrivingResponse):
            inner.close()
        if self._take.stops():
            self._recorder.store_now(self._take)

    async def read(self, timeout: float | None = None) -> bytes:
        """Read the next piece; see `HttpResponse.read`."""
        take = self._take
        if self._kept:
            kept, self._kept = self._kept, b""
            return kept
        try:
            piece = await self.inner.read(timeout)
        except (TransportError, InvalidProviderOutput, TimeoutError) as error:
            await self._recorder.ended(take, error)
            raise
        if not piece:
            await self._recorder.ended(take)
            return b""
        take.gets(piece)
        arriving = self._arriving
        if arriving is not None and arriving.is_complete and not arriving.buffered:
            try:
                await self._recorder.ended(take)
            except BaseException:  # cancelled: the next read has what came
                self._kept = piece
                raise
        return piece

    def whole(self, most: int) -> bytes | None:
        """Return the rest of the body, if it is all here; see `HttpResponse.whole`."""
        return self._recorder.whole(self._take, self.inner, most)

    async def aclose(self) -> None:
        """Close the answer. Store what came of it, if it was not over."""
        stopped = self._take.stops()
        try:
            await self.inner.aclose()
        finally:
            if stopped:
                await self._recorder.store(self._take)
