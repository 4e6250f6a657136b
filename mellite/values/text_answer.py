"""An answer that is one text and no more: its text, and how to make its events if somebody looks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeAlias, final

from .empty import EMPTY
from .events import Event, Finish, ResponseStart, StepFinish
from .usage import Spent, spent

__all__ = ["Batch", "Brief", "Made", "Source", "TextAnswer"]


#: What limits want to know of an answer, which is read without its events: the HTTP headers that it came with, or
#: none where no name among them is about a limit; how many requests it took; its tokens, if the provider reports them.
Brief: TypeAlias = tuple[Mapping[str, str], int, Spent | None]


class Source(Protocol):
    """What an answer is made of."""

    def events(self) -> list[Event]:
        """Make all events of the answer, also those that were given before."""
        ...

    def brief(self) -> Brief | None:
        """Read what limits want to know, without making the events; None if those have to be made."""
        ...


@final
class Made:
    """The source of an answer whose events a function makes."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[[], list[Event]]) -> None:
        self._make = make

    def events(self) -> list[Event]:
        """Make them."""
        return self._make()

    def brief(self) -> None:
        """Return None."""


@final
class TextAnswer:
    """An answer that is one text and ended of its own accord.

    Args:
        text: the text.
        source: what it is made of.

    Attributes:
        text: the text.
    """

    __slots__ = ("_events", "_source", "text")

    def __init__(self, text: str, source: Source) -> None:
        self.text = text
        self._source = source
        self._events: list[Event] | None = None

    def events(self) -> list[Event]:
        """Return the events, which are made once, for all that look at them on their way."""
        events = self._events
        if events is None:
            self._events = events = self._source.events()
        return events

    def brief(self) -> Brief:
        """Return what limits want to know; the events are made only where that cannot be read without them."""
        return self._source.brief() or _brief_of(self.events())


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
    return headers, attempts, None if usage is None else spent(usage)
