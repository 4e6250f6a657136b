"""Start many thunks, at most so many at a time, and give each one back as soon as it has settled."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, TypeVar, final

from .. import loops
from ..thunk.thunk import AnyThunk, ModelOutputThunk
from ..values.errors import InvalidRequest

if TYPE_CHECKING:
    from ..thunk.audience import Consumer
    from ..thunk.pump import Pump

__all__ = ["Batch", "thunks_of"]

T = TypeVar("T")


def thunks_of(what: str, given: tuple[Any, ...]) -> tuple[AnyThunk, ...]:
    """Return the thunks that a caller gave: one by one, or all in one list.

    Raises:
        InvalidRequest: for what is no thunk; `what` says who was given it.
    """
    if len(given) == 1 and isinstance(given[0], Iterable) and not isinstance(given[0], (str, bytes)):
        given = tuple(given[0])
    for index, thunk in enumerate(given):
        if not isinstance(thunk, ModelOutputThunk):
            msg = f"{what} takes thunks, or one list of them, not {type(thunk).__name__} (at index {index})"
            raise InvalidRequest(msg)
    return given


@final
class Batch(Generic[T]):
    """Thunks on their way; each is given back once, as soon as it has settled, in whatever way.

    One task, or one thread, asks for the next one at a time. A thunk is started by whoever asks, in the loop that
    `loop` gives, unless it runs already; it then has this batch as a consumer who wants everything.

    Args:
        thunks: in any state; one that is there twice counts once.
        concurrency: how many of them run at the same time at most; None for all. One that has settled and has not been
            taken yet keeps its place.
        loop: gives the loop that thunks are started in.
    """

    __slots__ = ("_board", "_concurrency", "_loop", "_next", "_open", "_thunks")

    def __init__(
        self,
        thunks: Iterable[ModelOutputThunk[T]],
        concurrency: int | None = None,
        loop: Callable[[], loops.Loop] = loops.current,
    ) -> None:
        self._thunks = list(dict.fromkeys(thunks))
        self._next = 0  # the first that has not been started
        self._concurrency = concurrency
        self._loop = loop
        self._open: dict[int, tuple[Pump, Consumer] | None] = {}
        self._board = _Board()

    def __len__(self) -> int:
        return len(self._thunks)

    def _fill(self) -> None:
        """Start as many as may run."""
        while self._concurrency is None or len(self._open) < self._concurrency:
            index = self._next
            if index >= len(self._thunks):
                return
            self._next = index + 1
            pump = self._thunks[index].begin(self._loop)
            if pump is None:
                self._open[index] = None
                self._board.settled.append(index)
                continue
            self._open[index] = (pump, pump.enter())
            pump.wake_when_settled(_Notice(self._board, index))

    def _take(self) -> ModelOutputThunk[T] | None:
        """Take one that has settled, if there is one, and start another in its place."""
        settled = self._board.settled
        while settled:
            index = settled.popleft()
            if index in self._open:  # else it was told twice
                del self._open[index]
                self._fill()
                thunk = self._thunks[index]
                thunk.is_computed()  # so that it takes its outcome over from the generation
                return thunk
        return None

    async def next(self) -> ModelOutputThunk[T] | None:
        """Wait for the next one that settles; None when all have been given. Cancelled, it may be called again."""
        self._fill()
        while True:
            thunk = self._take()
            if thunk is not None or not self._open:
                return thunk
            waiter = loops.waiter()
            with self._board.watched_by(waiter) as is_quiet:
                if is_quiet():
                    await waiter.wait()

    def block(self, timeout: float | None) -> ModelOutputThunk[T] | None:
        """Wait as `next` does, for code without a loop.

        Raises:
            TimeoutError: if none settles within `timeout` seconds; it has no message.
        """
        self._fill()
        while True:
            thunk = self._take()
            if thunk is not None or not self._open:
                return thunk
            waiter = loops.thread_waiter()
            with self._board.watched_by(waiter) as is_quiet:
                if is_quiet() and not waiter.block(timeout):
                    raise TimeoutError

    @property
    def waiting(self) -> int:
        """How many have not been given back."""
        return len(self._open) + len(self._thunks) - self._next

    def settled(self) -> Iterator[ModelOutputThunk[T]]:
        """Give those that have settled by now, without waiting."""
        while (thunk := self._take()) is not None:
            yield thunk

    def leave(self) -> list[Pump]:
        """Leave by cancellation, and start nothing more; return the generations that end by it."""
        self._next = len(self._thunks)
        consumed = [each for each in self._open.values() if each is not None]
        return [pump for pump, consumer in consumed if pump.leave(consumer, cancelled=True)]

    def drop(self, *, cancelled: bool) -> None:
        """Leave from anywhere, also from inside the garbage collector."""
        for each in self._open.values():
            if each is not None:
                pump, consumer = each
                pump.drop(consumer, cancelled=cancelled)
        self._open.clear()


class _Board:
    """Where generations, in any thread, note that they have settled. It knows no thunk, so that it keeps none."""

    __slots__ = ("settled", "waiters")

    def __init__(self) -> None:
        self.settled: deque[int] = deque()
        self.waiters: list[loops.Waker] = []

    def watched_by(self, waiter: loops.Waker) -> _Watch:
        return _Watch(self, waiter)


class _Watch:
    """While it is open, `waiter` is woken by the next note."""

    __slots__ = ("_board", "_waiter")

    def __init__(self, board: _Board, waiter: loops.Waker) -> None:
        self._board = board
        self._waiter = waiter

    def __enter__(self) -> Callable[[], bool]:
        self._board.waiters.append(self._waiter)
        return self._is_quiet  # to be asked now: a note made before this is in the list, a later one wakes

    def _is_quiet(self) -> bool:
        return not self._board.settled

    def __exit__(self, *_: object) -> None:
        with suppress(ValueError):  # woken
            self._board.waiters.remove(self._waiter)


@final
class _Notice:
    """Stands among those who wait for a generation, and notes on a board that it has settled."""

    __slots__ = ("_board", "_index")

    def __init__(self, board: _Board, index: int) -> None:
        self._board = board
        self._index = index

    def wake(self) -> None:
        """Called once it has settled, from any thread; maybe twice."""
        board = self._board
        board.settled.append(self._index)
        while board.waiters:
            try:
                waiter = board.waiters.pop()
            except IndexError:  # another thread took the last one
                return
            waiter.wake()
