"""One item of a map while it is being settled: a thunk that is driven, or a thunk that a strategy samples."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, final

from .. import loops
from ..strategies.requirements import Requirement
from ..strategies.sampling import Sample, SamplingResult, Strategy
from ..strategies.sampling.strategy import nearest
from ..thunk.thunk import AnyThunk
from ..values.errors import GenerationCancelled

if TYPE_CHECKING:
    from ..thunk.audience import Consumer
    from ..thunk.pump import Pump

__all__ = ["Driven", "Errand", "Sampled", "Settlement", "asked_in", "failure_of", "state_of"]

#: What a map gives back: the item itself, or what a strategy made of it.
Settlement: TypeAlias = "AnyThunk | SamplingResult[Any]"

#: The longest to wait for what was told to stop, in seconds.
_LINGER: Final = 10.0


class Errand(Protocol):
    """An item in progress. `begin` is called once, then what stops it at any time, from any thread but for `leave`."""

    def begin(self, loop: Callable[[], loops.Loop], notice: loops.Waker) -> bool:
        """Begin, and have `notice` woken when it has settled; return False if it had settled before."""
        ...

    def settlement(self) -> Settlement:
        """Return what it came to, once it has settled."""
        ...

    def cancel(self, reason: str) -> Awaitable[None]:
        """Stop it; what this returns waits until it has settled."""
        ...

    def leave(self) -> bool:
        """Want it no more; tell whether it ends by that, and can be waited for with `linger`."""
        ...

    async def linger(self) -> None:
        """Wait until what was left has ended."""
        ...

    def drop(self) -> None:
        """Do as `leave` does, also in a ``__del__``."""
        ...


@final
class Driven(Errand):
    """A thunk or run that is driven as it is."""

    __slots__ = ("_consumer", "_pump", "thunk")

    def __init__(self, thunk: AnyThunk) -> None:
        self.thunk = thunk
        self._pump: Pump | None = None
        self._consumer: Consumer | None = None

    def begin(self, loop: Callable[[], loops.Loop], notice: loops.Waker) -> bool:
        pump = self._pump = self.thunk.begin(loop)
        if pump is None:
            return False
        self._consumer = pump.enter(raises=False)
        pump.wake_when_settled(notice)
        return True

    def settlement(self) -> Settlement:
        self.thunk.is_computed()  # takes the outcome over from the generation
        return self.thunk

    def cancel(self, reason: str) -> Awaitable[None]:
        return self.thunk.cancel(reason)

    def leave(self) -> bool:
        pump, consumer = self._pump, self._consumer
        return pump is not None and consumer is not None and pump.leave(consumer, cancelled=True)

    async def linger(self) -> None:
        if self._pump is not None:
            await self._pump.linger()

    def drop(self) -> None:
        if self._pump is not None and self._consumer is not None:
            self._pump.drop(self._consumer, cancelled=True)


@final
class Sampled(Errand, Awaitable[None]):
    """A thunk that a strategy samples, in a task of its own; it serves the strategy as its ``watch``."""

    __slots__ = ("_loop", "_notice", "_required", "_result", "_samples", "_strategy", "_waiters", "_why", "thunk")

    def __init__(self, thunk: AnyThunk, strategy: Strategy, required: Sequence[Requirement]) -> None:
        self.thunk = thunk
        self._strategy = strategy
        self._required = required
        self._samples: list[Sample[Any]] = []  # for what a sampling has cost that was stopped
        self._result: SamplingResult[Any] | None = None
        self._why = "the map was left"
        self._waiters: list[loops.Waiter] = []

    def begin(self, loop: Callable[[], loops.Loop], notice: loops.Waker) -> bool:
        self._notice = notice
        home = self._loop = loop()
        if home.is_here():
            home.spawn(self._run, self._over)
        else:
            home.call_soon(home.spawn, self._run, self._over)
        return True

    async def _run(self) -> None:
        self._result = await self._strategy.result_of(self.thunk, self._required, watch=self)

    def _over(self) -> None:
        if self._result is None:
            best = nearest(self._samples)
            self._result = SamplingResult(
                winner=self.thunk if best is None else best.thunk,
                success=False,
                samples=tuple(self._samples),
                stop_reason="cancelled",
                strategy=type(self._strategy).__name__,
                requirements=tuple([each.description for each in self._required]),
                source=self.thunk,
                error=GenerationCancelled(f"the sampling was cancelled: {self._why}", reason=self._why),
            )
        self._samples.clear()
        self._notice.wake()
        while self._waiters:
            self._waiters.pop().wake()

    # As the strategy's watch

    def expects(self, total: int) -> None:
        """Do nothing: how many copies there may be is not shown."""

    def started(self, thunk: AnyThunk) -> None:
        """Do nothing: a copy that has begun is not shown."""

    def ended(self, sample: Sample[Any]) -> None:
        """Keep a copy that has settled."""
        self._samples.append(sample)

    # As an errand

    def settlement(self) -> Settlement:
        result = self._result
        if result is None:
            msg = "a sampling was asked what it came to before it had"
            raise RuntimeError(msg)
        return result

    def cancel(self, reason: str) -> Awaitable[None]:
        self._why = reason
        self.drop()
        return self

    def __await__(self) -> Generator[Any, Any, None]:
        return self._ended().__await__()

    async def _ended(self) -> None:
        while self._result is None:
            waiter = loops.waiter()
            self._waiters.append(waiter)
            if self._result is None:
                await waiter.wait()

    def leave(self) -> bool:
        self.drop()
        return self._result is None

    async def linger(self) -> None:
        if self._loop.is_here():
            with loops.move_on_after(_LINGER, shield=True):
                await self._ended()

    def drop(self) -> None:
        self._loop.call_soon(self._loop.cancel)


def state_of(settled: Settlement) -> str:
    """Return whether what was given back is done, failed or cancelled; a sampling without success has failed."""
    if not isinstance(settled, SamplingResult):
        return settled.state
    return "done" if settled.success else "cancelled" if settled.stop_reason == "cancelled" else "failed"


def failure_of(settled: Settlement) -> str | None:
    """Return the kind of a failure, as the name of its error; None without one, or if it was cancelled."""
    if state_of(settled) != "failed":
        return None
    if settled.error is not None:
        return type(settled.error).__name__
    return "no sample passed its checks"


def asked_in(settled: Settlement) -> Iterator[AnyThunk]:
    """Give the thunks whose tokens were paid for: the item, or the samples and their judges."""
    if not isinstance(settled, SamplingResult):
        yield settled
        return
    for sample in settled.samples:
        yield sample.thunk
        yield from sample.judges
