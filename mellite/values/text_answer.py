"""An answer that is one text and no more: its text, and how to make its events if somebody looks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias, final

from .events import Event

__all__ = ["Batch", "TextAnswer"]


@final
class TextAnswer:
    """An answer that is one text and ended of its own accord.

    Args:
        text: the text.
        events: makes all events of the answer, also those that were given before.

    Attributes:
        text: the text.
    """

    __slots__ = ("_events", "_make", "text")

    def __init__(self, text: str, events: Callable[[], list[Event]]) -> None:
        self.text = text
        self._make = events
        self._events: list[Event] | None = None

    def events(self) -> list[Event]:
        """Return the events, which are made once, for all that look at them on their way."""
        events = self._events
        if events is None:
            self._events = events = self._make()
        return events


#: What comes of an answer at once: events, or all of it.
Batch: TypeAlias = Sequence[Event] | TextAnswer
