"""Start many thunks, a limited number at a time, and give each back as soon as it has settled."""

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

__all__ = ["Batch", "Board", "Notice", "thunks_of"]

T = TypeVar("T")


def thunks_of(what: str, given: tuple[Any, ...]) -> tuple[AnyThunk, ...]:
    """Return the thunks that a caller gave as separate arguments or as one list.

    Raises:
        InvalidRequest: for an element that is not a thunk; `what` is the name of the function that was called.
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
    """Thunks in progress. Each is given back once, as soon as it is done, failed or cancelled.

    One task or thread at a time may call `next` or `block`. That call also starts the thunks that do not run yet, in
    the loop that `loop` returns; the batch is then a consumer of each, which wants all of it. `leave` is called from
    the same task or thread, `drop` from anywhere.

    Args:
        thunks: thunks in any state; duplicates count once.
        concurrency: the most thunks that run at the same time; None for all. A settled thunk keeps its place until it
            is taken.
        loop: returns the loop to start thunks in.
    """

    __slots__ = ("_board", "_concurrency", "_loop", "_next", "_open", "_thunks")

    def __init__(
        self,
        thunks: Iterable[ModelOutputThunk[T]],
        concurrency: int | None = None,
        loop: Callable[[], loops.Loop] = loops.current,
    ) -> None:
        self._thunks = list(dict.fromkeys(thunks))
        self._next = 0  # index of the first thunk that has not been started
        self._concurrency = concurrency
        self._loop = loop
        self._open: dict[int, tuple[Pump, Consumer] | None] = {}
        self._board = Board()

    def __len__(self) -> int:
        return len(self._thunks)

    def _fill(self) -> None:
        """Start as many thunks as may run."""
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
            self._open[index] = (pump, pump.enter(raises=False))
            pump.wake_when_settled(Notice(self._board, index))

    def _take(self) -> ModelOutputThunk[T] | None:
        """Take a settled thunk, if there is one, and start another in its place."""
        settled = self._board.settled
        while settled:
            index = settled.popleft()
            if index in self._open:  # else it was noted twice
                del self._open[index]
                self._fill()
                thunk = self._thunks[index]
                thunk.is_computed()  # takes the outcome over from the generation
                return thunk
        return None

    async def next(self) -> ModelOutputThunk[T] | None:
        """Wait for the next settled thunk; None when all have been given. May be called again after a cancellation."""
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
        """Wait for the next settled thunk, blocking the thread; None when all have been given.

        Raises:
            TimeoutError: if no thunk settles within `timeout` seconds; it has no message.
        """
        self._fill()
        while True:
            thunk = self._take()
            if thunk is not None or not self._open:
                return thunk
            waiter = loops.ThreadWaiter()
            with self._board.watched_by(waiter) as is_quiet:
                if is_quiet() and not waiter.block(timeout):
                    raise TimeoutError

    @property
    def waiting(self) -> int:
        """The number of thunks that have not been given back."""
        return len(self._open) + len(self._thunks) - self._next

    def settled(self) -> Iterator[ModelOutputThunk[T]]:
        """Give the thunks that have settled by now, without waiting."""
        while (thunk := self._take()) is not None:
            yield thunk

    def leave(self) -> list[Pump]:
        """Stop being a consumer, by cancellation, and start nothing more; return the generations that end by it."""
        self._next = len(self._thunks)
        consumed = [each for each in self._open.values() if each is not None]
        return [pump for pump, consumer in consumed if pump.leave(consumer, cancelled=True)]

    def drop(self, *, cancelled: bool) -> None:
        """Stop being a consumer, from any thread, also in a ``__del__``: each pump is told in its own loop."""
        for each in self._open.values():
            if each is not None:
                pump, consumer = each
                pump.drop(consumer, cancelled=cancelled)
        self._open.clear()


@final
class Board:
    """A board on which generations note that they have settled, from any thread, without a lock.

    A generation first appends its index, then wakes the waiters; a waiter first enters its name, then looks for
    indexes. So no note is missed, in whatever order the two run. The board refers to no thunk and keeps none alive.
    """

    __slots__ = ("settled", "waiters")

    def __init__(self) -> None:
        self.settled: deque[int] = deque()
        self.waiters: list[loops.Waker] = []

    def note(self, index: int) -> None:
        """Enter an index, and wake who waits for one."""
        self.settled.append(index)
        while self.waiters:
            try:
                waiter = self.waiters.pop()
            except IndexError:  # another thread took the last one
                return
            waiter.wake()

    def watched_by(self, waiter: loops.Waker) -> _Watch:
        """Return a context in which `waiter` is woken by the next note."""
        return _Watch(self, waiter)


class _Watch:
    """A context in which `waiter` is woken by the next note."""

    __slots__ = ("_board", "_waiter")

    def __init__(self, board: Board, waiter: loops.Waker) -> None:
        self._board = board
        self._waiter = waiter

    def __enter__(self) -> Callable[[], bool]:
        self._board.waiters.append(self._waiter)
        return self._is_quiet  # the caller asks before it waits: an earlier note is in the list, a later one wakes

    def _is_quiet(self) -> bool:
        return not self._board.settled

    def __exit__(self, *_: object) -> None:
        with suppress(ValueError):  # removed when it was woken
            self._board.waiters.remove(self._waiter)


@final
class Notice:
    """A waiter in the list of a generation, which notes on a board that the generation has settled."""

    __slots__ = ("_board", "_index")

    def __init__(self, board: Board, index: int) -> None:
        self._board = board
        self._index = index

    def wake(self) -> None:
        """Note on the board that the generation has settled. Called in any thread, maybe twice."""
        self._board.note(self._index)
