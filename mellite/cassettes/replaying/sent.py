"""Answer a request from a cassette without a task: the loop hands the recorded answer on, in its next turn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias, final

from ...values.errors import MelliteError
from .answer import EVERY, RecordedAnswer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ...wire.http import ArrivingResponse, HttpRequest, HttpResponse, Sent

__all__ = ["ReplayedRequest", "Ways"]

_PIECE: Final = 32 * 1024  # after so many bytes the loop has its turn; what is handed on at once is twice that at most

#: What a replayed request needs of `ReplayTransport`: what claims the interaction that answers a request, or returns
#: None; what returns its answer if that waits for nothing; what waits and returns it; and what opens a request that
#: nothing fits, or raises why not.
Ways: TypeAlias = tuple[
    "Callable[[HttpRequest], int | None]",
    "Callable[[int, HttpRequest], RecordedAnswer | None]",
    "Callable[[int, HttpRequest, float | None], Awaitable[HttpResponse]]",
    "Callable[[HttpRequest, float | None], Awaitable[HttpResponse]]",
]


@final
class ReplayedRequest:
    """A request on its way to a cassette; see `mellite.wire.http.Sent`.

    The interaction is claimed in the next turn of the loop, which is when a task would claim it: requests of both kinds
    arrive in the order in which they were begun.

    Args:
        request: the request.
        notify: called when more of the answer is there.
        ways: what to do with it.
        soon: has a function called in the next turn of the loop.

    Attributes:
        is_broken: whether the answer is left to `opened`, which waits or raises.
        is_expired: False: what is answered here is not waited for.
    """

    __slots__ = (
        "_answer",
        "_index",
        "_is_asked",
        "_is_due",
        "_is_paused",
        "_notify",
        "_request",
        "_soon",
        "_ways",
        "is_broken",
    )

    is_expired = False

    def __init__(
        self,
        request: HttpRequest,
        notify: Callable[[], None],
        ways: Ways,
        soon: Callable[[Callable[[], None]], object],
    ) -> None:
        self._request = request
        self._notify: Callable[[], None] | None = notify
        self._ways = ways
        self._soon = soon
        self._index: int | None = None
        self._answer: RecordedAnswer | None = None
        self._is_paused = False
        self._is_asked = False  # by the reader, to be called back
        self._is_due = True  # `_tell` runs, or will
        self.is_broken = False
        soon(self._tell)

    def response(self) -> RecordedAnswer | None:
        """Claim the interaction, and return its answer if that can be given at once."""
        claimed, at_once, _, _ = self._ways
        index = self._index = claimed(self._request)
        if index is not None:
            try:
                self._answer = at_once(index, self._request)
            except MelliteError:  # `opened` raises it once more
                self._answer = None
        self.is_broken = self._answer is None
        return self._answer

    async def opened(self, timeout: float | None) -> HttpResponse:
        """Give the answer in its time; see `Transport.open`."""
        _, _, in_time, otherwise = self._ways
        if self._index is None:
            return await otherwise(self._request, timeout)
        return await in_time(self._index, self._request, timeout)

    def _tell(self) -> None:
        self._is_due = self._has_more()
        if self._is_due:
            self._soon(self._tell)

    def _has_more(self) -> bool:
        """Tell of some pieces, and in the end of the end; return whether to go on in the next turn of the loop."""
        before = 0 if self._answer is None else self._answer.taken
        for _ in range(EVERY):
            notify, answer = self._notify, self._answer
            if notify is None or self._is_paused:
                return False
            is_over = answer is not None and not answer.buffered
            self._is_asked = False
            notify()
            if self._is_asked:
                return True
            if is_over or self._answer is None:
                return False
            if self._answer.taken - before >= _PIECE:
                break
        return True

    def watch(self, deadline: float | None) -> None:
        """Do nothing: all of the answer is there."""

    def pause(self) -> None:
        """Tell of nothing more."""
        self._is_paused = True

    def resume(self) -> None:
        """Tell of the rest."""
        if self._is_paused:
            self.again()

    def again(self) -> None:
        """Call back in the next turn of the loop."""
        self._is_paused = False
        self._is_asked = True
        if not self._is_due and self._notify is not None:
            self._is_due = True
            self._soon(self._tell)

    def left(self) -> Sent:
        """Call back no more; return what a task opens the answer with."""
        self._notify = None
        return self

    def close(self, response: ArrivingResponse | None) -> None:
        """Call back no more, and close the response."""
        self._notify = None
        if response is not None:
            response.close()
