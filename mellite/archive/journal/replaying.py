"""Give again what a journal has of a call, in the order in which calls settled."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Sequence
from typing import Any, Final

import anyio
from attrs import evolve

from ...cassettes.replaying.order import NEVER, Order
from ...cassettes.timeline import Timeline
from ...values.events import Event, Finish, ResponseStart
from .contents import error_of, unpacked
from .index import Call, Index

__all__ = ["Replays", "replays_of"]

#: So many seconds more than a cancelled call went on, its replay waits for being cancelled.
_PATIENCE: Final = 1.0
_CANCELLED: Final = "it was cancelled when the journal was written, and nobody did so this time"


class Replays:
    """The calls of a journal that are given again, each once.

    Args:
        calls: those calls.
        index: what is known of the journal's file.

    Attributes:
        unclaimed: those that have not been asked for, as they were driven.
    """

    def __init__(self, calls: Iterable[Call], index: Index) -> None:
        self.unclaimed = {call.number: call for call in sorted(calls, key=lambda call: call.driven)}
        self._places = {number: place for place, number in enumerate(self.unclaimed)}
        self._order = Order([_timeline(call) for call in self.unclaimed.values()])
        self._index = index

    def claim(self, call: Call) -> bool:
        """Take a call, if it is to be given again and has not been."""
        return self.unclaimed.pop(call.number, None) is not None

    async def stream(self, call: Call, generation: Any, body: Any) -> AsyncGenerator[Event, None]:
        """Yield the events of a call that was claimed, and end as it ended."""
        events = unpacked(body["events"], self._index.find)
        place, order = self._places[call.number], self._order
        end = next((at for at, event in enumerate(events) if type(event) is Finish), len(events))
        was_cancelled = call.state == "cancelled"
        order.begins(place, NEVER if was_cancelled else call.settled)
        try:
            for event in _again(events[:end]):
                yield event
            if was_cancelled:
                await _until_cancelled(call, generation)
            if order.concerns(place):
                await order.until(place, call.settled, end=True)
            if body.get("error") is not None:
                raise error_of(body["error"])
            for event in events[end:]:
                yield event
        finally:
            order.ends(place)


def replays_of(index: Index, *, errors: str) -> Replays:
    """Return the calls of models that are given again; see `mellite.journal` for `errors`."""
    found = [
        call
        for call in index.calls.values()
        if call.of == "call" and call.is_settled and (errors == "replay" or _was_seen(call, index.last_driven))
    ]
    return Replays(found, index)


def _was_seen(call: Call, last_driven: int) -> bool:
    """Tell whether the program has gone on from what came of a call, or would come to the same again."""
    is_final = call.state == "done" or (call.state == "failed" and not call.retryable)
    return is_final or last_driven > call.settled


def _timeline(call: Call) -> Timeline:
    took = call.settled - call.driven
    if call.state == "cancelled":
        return Timeline(started=call.driven, opened=took, ended=took, end="interrupted")
    return Timeline(started=call.driven, ended=took)


def _again(events: Sequence[Event]) -> list[Event]:
    """Return events that say that they are given again."""
    told = [evolve(event, replayed=True) if type(event) is ResponseStart else event for event in events]
    return told if any(type(event) is ResponseStart for event in told) else [ResponseStart(replayed=True), *told]


async def _until_cancelled(call: Call, generation: Any) -> None:
    """Wait for the program to cancel a call that it had cancelled; if it does not, cancel it."""
    with anyio.move_on_after((call.settled - call.driven) / 1_000_000 + _PATIENCE):
        await anyio.sleep_forever()
    generation.request_cancel(_CANCELLED)
    await generation.loop.checkpoint()
