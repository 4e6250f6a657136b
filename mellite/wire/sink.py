"""The sink for the events of an answer that is pushed."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol as Interface

from ..loops import Loop
from ..loops.places import Rests
from ..values.events import Event
from ..values.text_answer import Batch, TextAnswer

__all__ = ["Generation", "Sink"]


class Generation(Rests, Interface):
    """The generation that an answer is pushed for; see `mellite.thunk.pump.Pump`."""

    @property
    def loop(self) -> Loop:
        """The loop that it runs in."""
        ...


class Sink(Interface):
    """Takes the events: the generation itself, or what stands in front of it."""

    @property
    def generation(self) -> Generation:
        """The generation, which this may stand in front of."""
        ...

    def push(self, events: Sequence[Event]) -> bool:
        """Take events; return whether more are wanted now."""
        ...

    def end(self) -> None:
        """Take note that all has come."""
        ...

    def end_with_text(self, answer: TextAnswer) -> None:
        """Take an answer that is one text and no more: all has come."""
        ...

    def go_on(self, rest: AsyncGenerator[Batch, None]) -> None:
        """Pull the rest in a task."""
        ...

    def break_off(self, why: BaseException) -> bool:
        """Take note that the program is being ended; return whether one who waits raises that, and nobody else must."""
        ...
