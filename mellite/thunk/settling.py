"""Generate many thunks at once, and wait for all of them, or for the first that fails."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, final

from .. import loops
from .audience import LOOK

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .audience import Audience, Consumer
    from .call import CallInfo
    from .outcome import State

__all__ = ["Settling", "settle_all", "settle_until_failure"]


class Settling(Protocol):
    """A thunk, as far as code that waits for many looks at it."""

    @property
    def call(self) -> CallInfo:
        """The call that the thunk stands for."""
        ...

    @property
    def state(self) -> State:
        """What has become of the thunk."""
        ...

    def is_computed(self) -> bool:
        """Return whether the thunk has settled, and take the outcome over from its generation."""
        ...

    def begin(self) -> Audience | None:
        """Return the running generation, begun now unless it runs already; None if the thunk is settled."""
        ...


async def settle_all(*thunks: Settling) -> None:
    """Generate many thunks at once, and wait until all are settled; see `mellite.gather`."""
    consumed: list[tuple[Audience, Consumer]] = []
    try:
        for thunk in thunks:
            pump = thunk.begin()
            if pump is not None:
                consumed.append((pump, pump.enter()))
        for pump, _ in consumed:
            if pump.settled is None:
                await pump.wait_settled()
            elif pump.interrupt is not None:
                pump.raise_interrupt()
    except BaseException as error:
        await _give_up(consumed, error)
        raise
    for thunk in thunks:
        thunk.is_computed()


async def settle_until_failure(*thunks: Settling) -> None:
    """Generate many thunks at once, and wait until all are settled, or one has failed or was cancelled.

    The others are left then as by a reader that breaks off: those that nobody else waits for pause.
    """
    consumed: list[tuple[Audience, Consumer]] = []
    try:
        for thunk in thunks:
            pump = thunk.begin()
            if pump is not None:
                consumed.append((pump, pump.enter()))
            elif thunk.state != "done":
                break
        else:
            await _settled_or_failed([pump for pump, _ in consumed])
    except BaseException as error:
        await _give_up(consumed, error)
        raise
    for pump, consumer in consumed:
        pump.leave(consumer, cancelled=False)


async def _settled_or_failed(pumps: Sequence[Audience]) -> None:
    if len(pumps) == 1:
        await pumps[0].wait_settled()
        return
    lookout = _Lookout(pumps)
    try:
        await lookout.wait()
    finally:
        lookout.leave()
    for pump in pumps:
        if pump.interrupt is not None:
            pump.raise_interrupt()


async def _give_up(consumed: Sequence[tuple[Audience, Consumer]], error: BaseException) -> None:
    """Leave by cancellation; wait until what ends by it is closed, unless nothing can be awaited any more."""
    ended = [pump for pump, consumer in consumed if pump.leave(consumer, cancelled=True)]
    if not isinstance(error, GeneratorExit):
        for pump in ended:
            await pump.linger()


@final
class _Lookout:
    """Waits, in one task, for the first of some generations that fails, or for the last that settles.

    No lock is needed: a generation that settles is noted before the waiter is looked for, and a waiter is there before
    the notes are looked at.
    """

    def __init__(self, pumps: Sequence[Audience]) -> None:
        self._notices = [_Notice(self, pump) for pump in pumps]
        self._running = set(pumps)
        self._is_over = not pumps
        self._waiter: loops.Waiter | None = None
        for notice in self._notices:
            notice.pump.wake_when_settled(notice)

    def note(self, pump: Audience) -> None:
        """Note that a generation has settled; called in any thread, maybe twice."""
        self._running.discard(pump)
        outcome = pump.settled
        if not self._running or (outcome is not None and outcome.state != "done"):
            self._is_over = True
            if self._waiter is not None:
                self._waiter.wake()

    async def wait(self) -> None:
        """Wait until one has failed, or all have settled."""
        while not self._is_over:
            waiter = self._waiter = loops.waiter()
            abroad = [pump for pump in list(self._running) if pump.loop.home is not waiter.home]
            if self._is_over:
                return
            if not abroad:
                await waiter.wait()
                continue
            with loops.move_on_after(LOOK):
                await waiter.wait()
            for pump in abroad:
                pump.check_loop()

    def leave(self) -> None:
        """Be told no more."""
        for notice in self._notices:
            notice.pump.forget_at_end(notice)


@final
class _Notice:
    """What a generation wakes once it has settled: tells a `_Lookout` which one it is."""

    __slots__ = ("_lookout", "pump")

    def __init__(self, lookout: _Lookout, pump: Audience) -> None:
        self._lookout = lookout
        self.pump = pump

    def wake(self) -> None:
        """Tell the lookout; called in any thread, maybe twice."""
        self._lookout.note(self.pump)
