"""An answer that is one text and no more: its text, and how to make its events if somebody looks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeAlias, final

from .empty import EMPTY
from .events import Event, Finish, ResponseStart, StepFinish
from .usage import Spent, spent

__all__ = ["Batch", "Brief", "TextAnswer"]


class Brief(NamedTuple):
    """What limits want to know of an answer, which is read without its events.

    Attributes:
        headers: the HTTP headers that it came with.
        attempts: how many requests it took.
        spent: the tokens; None if the provider reports none.
    """

    headers: Mapping[str, str]
    attempts: int
    spent: Spent | None


@final
class TextAnswer:
    """An answer that is one text and ended of its own accord.

    Args:
        text: the text.
        events: makes all events of the answer, also those that were given before.
        brief: reads what those would tell, where that is quicker.

    Attributes:
        text: the text.
    """

    __slots__ = ("_brief", "_events", "_make", "text")

    def __init__(
        self, text: str, events: Callable[[], list[Event]], *, brief: Callable[[], Brief] | None = None
    ) -> None:
        self.text = text
        self._make = events
        self._brief = brief
        self._events: list[Event] | None = None

    def events(self) -> list[Event]:
        """Return the events, which are made once, for all that look at them on their way."""
        events = self._events
        if events is None:
            self._events = events = self._make()
        return events

    def brief(self) -> Brief:
        """Return what limits want to know; the events are made only where that cannot be read without them."""
        return _brief_of(self.events()) if self._brief is None else self._brief()


#: What comes of an answer at once: events, or all of it.
Batch: TypeAlias = Sequence[Event] | TextAnswer


def _brief_of(events: Sequence[Event]) -> Brief:
    headers, attempts, usage = EMPTY, 1, None
    for event in events:
        if type(event) is ResponseStart:
            headers = event.headers or headers
            attempts = event.attempts or attempts
        elif type(event) is Finish or type(event) is StepFinish:
            usage = event.usage or usage
    return Brief(headers, attempts, None if usage is None else spent(usage))
