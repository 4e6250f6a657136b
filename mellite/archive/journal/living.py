"""Take down an answer while it arrives: its events and their times, and how it ended."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Final, Protocol, final, get_args

from ...cassettes.recording.turnstile import Turnstile
from ...values.backend_streams import iterator_of
from ...values.errors import MelliteError
from ...values.events import Event, Finish
from ...values.provider_json import JsonObject
from .contents import Packing, error_written
from .growing import PERIOD
from .lines import State

__all__ = ["Ending", "Taking"]

_EVENTS: Final = frozenset(get_args(Event))


class Ending(Protocol):
    """Keeps how a call ended."""

    def __call__(self, state: State, body: JsonObject, *, retryable: bool = False) -> None:
        """Write it down."""
        ...


@final
class Taking:
    """Yields the events of a generation, and writes down what came of it before its last event is handed on.

    Args:
        generation: what is asked.
        packing: packs the events.
        end: writes them down.
        synced: waits until that is on the disk; None where nobody waits for it.
        turnstile: lets ends through one at a time, so that a replay can keep their order.
        grown: is told ten times a second what has arrived, and returns whether anybody wants to know.
    """

    def __init__(
        self,
        generation: Any,
        packing: Packing,
        end: Ending,
        *,
        synced: Callable[[], Awaitable[None]] | None,
        turnstile: Turnstile,
        grown: Callable[[Sequence[Event]], bool],
    ) -> None:
        self._generation = generation
        self._packing = packing
        self._end = end
        self._synced = synced
        self._turnstile = turnstile
        self._grown = grown
        self._told = self._tell_at = 0
        self._events: list[Event] = []
        self._times: list[int] = []
        self._began = time.perf_counter_ns()
        self._is_whole = False

    async def stream(self, proceed: Callable[[Any], AsyncIterator[Event]]) -> AsyncGenerator[Event, None]:
        """Yield the events that `proceed` opens.

        Raises:
            BackendError: if the backend gives no async iterator.
        """
        source = _opened(self._generation, proceed)
        self._turnstile.inside += 1
        try:
            async for event in source:
                if type(event) is Finish and not self._is_whole:
                    await self._finish(event)
                elif type(event) in _EVENTS:
                    self._note(event)
                yield event
            if not self._is_whole:  # which is an error, and the generation says so
                await self._failed(None, retryable=True)
        except Exception as error:
            if self._generation.is_cancelling:
                self._cancelled()
            else:
                await self._failed(error, retryable=isinstance(error, MelliteError) and error.retryable)
            raise
        except BaseException:
            self._cancelled()
            raise
        finally:
            self._turnstile.inside -= 1
            close = getattr(source, "aclose", None)
            if close is not None:
                await close()

    def _note(self, event: Event) -> None:
        at = (time.perf_counter_ns() - self._began) // 1000
        self._events.append(event)
        self._times.append(at)
        if at >= self._tell_at:
            self._tell_at = at + PERIOD
            if self._grown(self._events[self._told :]):
                self._told = len(self._events)

    async def _finish(self, event: Finish) -> None:
        """Write all down."""
        await self._turnstile.enter()
        try:
            self._note(event)
            self._is_whole = True
            self._end("done", self._body())
            if self._synced is not None:
                await self._synced()
        finally:
            self._turnstile.leave()

    async def _failed(self, error: Exception | None, *, retryable: bool) -> None:
        await self._turnstile.enter()
        try:
            self._end("failed", self._body(error), retryable=retryable)
            if self._synced is not None:
                await self._synced()
        finally:
            self._turnstile.leave()

    def _cancelled(self) -> None:
        if not self._is_whole:
            self._end("cancelled", self._body())

    def _body(self, error: Exception | None = None) -> JsonObject:
        events = self._packing.events(self._events)
        told: JsonObject = {"id": self._generation.generation_id, "events": events, "times": self._times}
        return told if error is None else {**told, "error": error_written(error, self._generation.call.backend)}


def _opened(generation: Any, proceed: Callable[[Any], AsyncIterator[Event]]) -> AsyncIterator[Event]:
    opened: AsyncIterator[Event] = iterator_of(proceed(generation), generation.call.backend)
    return opened
