"""The text of an answer while it arrives, however often it is read: what came since the last time is added to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from ..values.events import Event, StepStart, TextDelta

__all__ = ["TextSoFar"]


@final
class TextSoFar:
    """The text of the last step of an answer, as `mellite.values.fold.fold` has it; read by any thread."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        # How many events were read, and their text. Whoever reads on takes it out of here meanwhile, so that the text
        # can grow in its place; another thread begins from the first event then.
        self._known: list[tuple[int, str]] = []

    def of(self, events: Sequence[Event]) -> str:
        """Return the text of events, to which more have been appended since the last call.

        Example:
            >>> said, events = TextSoFar(), [TextDelta("Hel")]
            >>> before = said.of(events)
            >>> events.append(TextDelta("lo."))
            >>> before, said.of(events)
            ('Hel', 'Hello.')
        """
        try:
            read, text = self._known.pop()
        except IndexError:
            read, text = 0, ""
        new = events[read:]
        starts = [index for index, event in enumerate(new) if type(event) is StepStart and event.index]
        if starts:
            text = ""
        text += "".join([event.text for event in new[starts[-1] if starts else 0 :] if type(event) is TextDelta])
        self._known.append((read + len(new), text))
        return text
