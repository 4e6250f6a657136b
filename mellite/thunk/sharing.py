"""Generate equal requests that are asked at the same time once: `share`."""

from __future__ import annotations

import contextvars
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING, Self, final

from ..loops import forking
from ..values.errors import InvalidRequest
from ..values.events import Event
from ..values.public_names import publish
from ..values.request import Request
from .audience import AHEAD, Consumer
from .observing import InForce, Interceptor, Opener, enter, here, set_in_force
from .pump import Pump

if TYPE_CHECKING:
    from .call import Streams
    from .outcome import Outcome

__all__ = ["Sharing", "share"]


def share() -> Sharing:
    """Return a context in which equal requests to the same backend are generated once, for all thunks that ask.

    All thunks awaited or iterated inside the block, or in tasks started inside it, take part, on asyncio and trio,
    wherever they were made. Requests are equal if all their values are: messages, model, options, metadata and the
    rest, with thunks in the prompt replaced by their text. Copies (``copy.copy``, ``resample``, sampling) never share:
    they are meant to differ.

    Each thunk can still be awaited, iterated over and cancelled by itself; the generation is cancelled when the last
    thunk that shares it is. An error reaches all of them. All show the ``generation_id``, usage and cost of the one
    generation. An answer is kept until the block ends, so later equal requests get it too; a failed or cancelled one is
    not. Running generations are shared within one event loop, answers everywhere.

    Example:
        >>> import asyncio
        >>> import mellite
        >>> backend = mellite.backends.Scripted(["generated once"])
        >>> async def main():
        ...     with mellite.share() as shared:
        ...         first, second = backend.generate("Hello."), backend.generate("Hello.")
        ...         return await asyncio.gather(first, second), shared.saved
        >>> asyncio.run(main())
        (['generated once', 'generated once'], 1)
    """
    return Sharing()


@final
class Sharing(Interceptor):
    """The context that `share` returns.

    Attributes:
        generations: how many generations were begun in it.
        saved: how many thunks joined one of them instead of beginning their own.
    """

    def __init__(self) -> None:
        self.generations = 0
        self.saved = 0
        self._lock = forking.lock()
        self._known: dict[tuple[object, ...], list[_Generation]] = {}
        self._open = False
        self._around = InForce()
        self._leave: Callable[[], None] | None = None

    def __enter__(self) -> Self:
        if self._open:
            msg = "this share() is open already; make another one with mellite.share()"
            raise InvalidRequest(msg)
        self._open = True
        self._around = _unshared(here())
        self._leave = enter(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._open = False  # tasks started inside may go on: their context still has this
        self._known.clear()
        leave, self._leave = self._leave, None
        if leave is not None:
            leave()

    def stream(self, generation: Pump, proceed: Opener) -> AsyncIterator[Event]:
        """Open the events of a thunk that begins: its own, or those of a generation that it shares."""
        if not self._open or generation.call.lineage:
            return proceed(generation)
        with self._lock:
            shared, new = self._joinable(generation)
            followed = _Following(shared, generation)
        if new:
            shared.start(self._around)
        return followed

    def _joinable(self, pump: Pump) -> tuple[_Generation, bool]:
        request, backend = pump.request, pump.call.backend
        known = self._known.setdefault((id(backend), request.model, request.text), [])
        for generation in known:
            if generation.can_be_joined() and _same(generation.request, request):
                self.saved += 1
                return generation, False
        known[:] = [generation for generation in known if not generation.is_over()]
        generation = _Generation(request, backend, pump)
        known.append(generation)
        self.generations += 1
        return generation, True


def _unshared(force: InForce | None) -> InForce:
    """Return what is in force for a generation that is shared; those who look on are told of each thunk instead."""
    apart = () if force is None else [each for each in force.interceptors if not isinstance(each, Sharing)]
    return InForce(interceptors=tuple(apart), observed=False)


def _same(one: Request, other: Request) -> bool:
    """Whether two requests are the same to a model. 1 and True are equal in Python, but not there."""
    try:
        return one == other and repr(one) == repr(other)
    except (TypeError, ValueError, RecursionError):  # a value that cannot be compared, such as an array
        return False


@final
class _Generation:
    """A generation that thunks share: its pump while it runs, its answer when it is done, neither if it failed."""

    __slots__ = ("answer", "backend", "pump", "request")

    def __init__(self, request: Request, backend: Streams, first: Pump) -> None:
        self.request = request
        self.backend = backend  # kept alive, so that no other backend gets its id
        self.answer: Outcome | None = None
        pump = first.apart(request)
        pump.wake_when_settled(self)
        self.pump: Pump | None = pump

    def start(self, around: InForce) -> None:
        """Begin, in a context without sharing: what the backend asks of others is not shared.

        Args:
            around: what else is in force there.
        """
        pump = self.pump
        if pump is not None:
            context = contextvars.copy_context()
            context.run(set_in_force, around)
            context.run(pump.start)

    def can_be_joined(self) -> bool:
        """Whether another thunk may join: there is an answer, or it runs in this loop and is not being cancelled."""
        pump = self.pump
        if pump is None:
            return self.answer is not None
        return pump.loop.is_here() and not pump.loop.is_closed() and not pump.is_cancelling

    def is_over(self) -> bool:
        """Whether it failed or was cancelled."""
        return self.pump is None and self.answer is None

    def wake(self) -> None:
        """Take note that the generation has settled, and keep its answer, if there is one."""
        outcome = self.pump.settled if self.pump is not None else None
        if outcome is not None and outcome.state == "done":
            self.answer = outcome
        self.pump = None


@final
class _Following(AsyncIterator[Event]):
    """The events of a shared generation, as the stream of one thunk that shares it."""

    __slots__ = ("_answer", "_consumer", "_events", "_index", "_leader", "_pump")

    def __init__(self, generation: _Generation, pump: Pump) -> None:
        leader, answer = generation.pump, generation.answer
        self._pump = pump
        self._leader = leader
        self._answer: Iterator[Event] = iter(()) if answer is None else answer.compact.events()
        self._consumer = Consumer(AHEAD)
        self._events: list[Event] = []
        self._index = 0
        if leader is not None:
            self._events = leader.events
            pump.generation_id = leader.generation_id
            leader.join(self._consumer)
        elif answer is not None:
            pump.generation_id = answer.generation.generation_id or pump.generation_id

    async def __anext__(self) -> Event:
        leader = self._leader
        if leader is None:
            for event in self._answer:
                return event
            raise StopAsyncIteration
        while True:
            index = self._index
            if index < len(self._events):
                self._index = index + 1
                return self._events[index]
            outcome = leader.settled
            if outcome is not None and index == len(self._events):
                if leader.has_text_only:
                    self._leader, self._answer = None, islice(outcome.compact.events(), index, None)
                    return next(self._answer)
                leader.raise_interrupt()
                return await self._end(outcome)
            leader.ask(self._consumer, index + AHEAD)
            await leader.wait_beyond(index)

    async def _end(self, outcome: Outcome) -> Event:
        self._leader = None
        if outcome.state == "cancelled":  # not by this thunk, and so not by all that share it
            self._pump.request_cancel(getattr(outcome.error, "reason", None) or "the shared generation was cancelled")
            await self._pump.loop.checkpoint()
        outcome.raise_error()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Leave. The last thunk to leave a running generation cancels it, and waits until it is closed."""
        leader, self._leader = self._leader, None
        if leader is not None and leader.leave(self._consumer, cancelled=True):
            await leader.linger()


publish(globals(), "mellite", "share")
