"""Copies in flight: send several at a time, all from one task, and handle each answer as soon as it has come."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, final

from ... import loops
from ...thunk.thunk import AnyThunk
from ..batch import Board, Notice
from .round import Round

if TYPE_CHECKING:
    from ...thunk.audience import Consumer
    from ...thunk.pump import Pump

__all__ = ["InFlight"]


@final
class InFlight:
    """Copies that are generated at the same time.

    A task for each copy would cost more than all else that sampling does. One task starts them and is told when one
    has settled; only what has to be awaited after that, such as an async check, runs in a task of its own.

    Args:
        round: the round that the copies belong to, with an open task group.
        width: the most copies that are generated or checked at the same time.
        make: makes the next copy.
        handle: does what follows once a copy has settled; returns an awaitable if that takes waiting.
    """

    __slots__ = ("_board", "_handle", "_make", "_open", "_round", "_waiting", "_width")

    def __init__(
        self,
        round: Round,
        width: int,
        make: Callable[[], AnyThunk],
        handle: Callable[[AnyThunk], Awaitable[None] | None],
    ) -> None:
        self._round = round
        self._width = width
        self._make = make
        self._handle = handle
        self._board = Board()
        self._open: dict[int, tuple[AnyThunk, Pump | None, Consumer | None]] = {}
        self._waiting = 0  # copies whose handling is awaited

    async def drain(self) -> None:
        """Send copies as long as the round may start more, and wait until all are handled."""
        board = self._board
        try:
            while True:
                self._fill()
                if board.settled:
                    self._take(board.settled.popleft())
                    continue
                if not self._open and not self._waiting:
                    return
                waiter = loops.waiter()
                with board.watched_by(waiter) as is_quiet:
                    if is_quiet():
                        await waiter.wait()
        except GeneratorExit:  # nothing can be awaited any more
            self._leave()
            raise
        except BaseException:
            for pump in self._leave():
                await pump.linger()
            raise

    def _fill(self) -> None:
        round = self._round
        while len(self._open) + self._waiting < self._width and round.may_start():
            try:
                copy = self._make()
                round.begin(copy)
                round.sends(copy)
                pump = copy.begin()
            except Exception as error:
                round.fail(error)
                return
            number = round.launched
            if pump is None:
                self._open[number] = (copy, None, None)
                self._board.settled.append(number)
                continue
            self._open[number] = (copy, pump, pump.enter(raises=False))
            pump.wake_when_settled(Notice(self._board, number))

    def _take(self, number: int) -> None:
        taken = self._open.pop(number, None)
        if taken is None:  # noted twice; or the end of an awaited handling
            return
        copy = taken[0]
        copy.is_computed()  # takes the outcome over from the generation
        round = self._round
        del round.generating[copy]
        try:
            rest = self._handle(copy)
        except Exception as error:
            round.fail(error)
            return
        if rest is not None:
            self._waiting += 1
            round.open_group().start_soon(round.guarded, self._end, rest)

    async def _end(self, rest: Awaitable[None]) -> None:
        try:
            await rest
        finally:
            self._waiting -= 1
            self._board.note(0)  # no copy has this number: it only wakes

    def _leave(self) -> list[Pump]:
        """Stop being a consumer of the copies, by cancellation; return the generations that end by it."""
        left = [(pump, consumer) for _, pump, consumer in self._open.values() if pump is not None]
        return [pump for pump, consumer in left if consumer is not None and pump.leave(consumer, cancelled=True)]
