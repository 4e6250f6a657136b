"""An answer that is one text and no more: its text, and how to make its events if somebody looks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias, final

from .events import Event

__all__ = ["Batch", "TextAnswer"]


@final
class TextAnswer:
    """An answer that is one text and ended of its own accord.

    Attributes:
        text: the text.
        events: makes all events of the answer, also those that were given before.
    """

    __slots__ = ("events", "text")

    def __init__(self, text: str, events: Callable[[], list[Event]]) -> None:
        self.text = text
        self.events = events


#: What comes of an answer at once: events, or all of it.
Batch: TypeAlias = Sequence[Event] | TextAnswer
