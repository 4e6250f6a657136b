"""What takes the events of an answer that is pushed, and an answer in one piece as it is handed to it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Protocol as Interface, final

from ..loops.places import Rests
from ..values.events import Event
from .answering import Call, Way, start_of
from .http import ArrivingResponse
from .parsing import each

__all__ = ["Sink", "Whole"]


class Sink(Rests, Interface):
    """What takes the events; see `mellite.thunk.pump.Pump`."""

    def push(self, events: Sequence[Event]) -> bool:
        """Take events; return whether more are wanted now."""
        ...

    def end(self) -> None:
        """Take note that all has come."""
        ...

    def end_with_text(self, text: str, events: Callable[[], list[Event]]) -> None:
        """Take an answer that is one text and no more; `events` makes all its events, when asked."""
        ...

    def go_on(self, rest: AsyncGenerator[Event, None]) -> None:
        """Pull the rest of the events in a task."""
        ...

    def break_off(self, why: BaseException) -> None:
        """Take note that the program is being ended."""
        ...


@final
class Whole:
    """An answer in one piece, with all that its events are made of; not the bytes of the request, nor its key."""

    __slots__ = ("_asked", "_body", "_model", "_repairs", "_response", "_streaming", "_way")

    def __init__(self, way: Way, call: Call, response: ArrivingResponse, body: bytes) -> None:
        self._way = way
        self._model = call.request.model
        self._asked = call.body
        self._repairs = call.repairs
        self._streaming = call.streaming
        self._response = response
        self._body = body

    def events(self) -> list[Event]:
        """Return the events of the answer.

        Raises:
            MelliteError: what reading it raises.
        """
        way = self._way
        start = start_of(
            way,
            self._response,
            model=self._model,
            body=self._asked,
            repairs=self._repairs,
            streaming=self._streaming,
        )
        return [start, *each(way.protocol.unary, self._body)]
