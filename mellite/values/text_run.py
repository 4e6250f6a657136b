"""Find the deltas of an answer that is one block of text and nothing else, without a step for each event."""

from __future__ import annotations

from typing import Final, NamedTuple, cast

from .events import Event, Finish, RawChunk, ResponseStart, StepFinish, StepStart, TextDelta, TextEnd, TextStart

__all__ = ["TextRun", "text_run"]


class TextRun(NamedTuple):
    """The text deltas of an answer that consists of one block of plain text, in one run.

    Args:
        begin: the index of the first delta; `end` is the one behind the last.
        step: 1 if the deltas follow each other; 2 if there is a raw chunk between each two.
        id: of the block.
        texts: what the deltas say.
        before: the events before the run; `behind` those after it.
    """

    begin: int
    end: int
    step: int
    id: str
    texts: list[str]
    before: list[Event]
    behind: list[Event]


#: What may stand before the run, and after it.
_BEFORE: Final = frozenset({ResponseStart, RawChunk, StepStart, TextStart})
_BEHIND: Final = frozenset({ResponseStart, RawChunk, TextEnd, StepFinish, Finish})


def text_run(events: list[Event]) -> TextRun | None:
    """Return the run of text deltas; None for events that hold anything else, or hold it otherwise.

    Example:
        >>> run = text_run([StepStart(), TextDelta("Hel"), TextDelta("lo."), Finish("stop")])
        >>> run.texts, run.begin, run.end
        (['Hel', 'lo.'], 1, 3)
    """
    kinds = list(map(type, events))
    count = kinds.count(TextDelta)
    if not count:
        return None
    begin = kinds.index(TextDelta)
    step = 2 if count > 1 and kinds[begin + 1] is RawChunk else 1
    end = begin + (count - 1) * step + 1
    if kinds[begin:end:step].count(TextDelta) != count:
        return None
    if step > 1 and kinds[begin + 1 : end : 2].count(RawChunk) != count - 1:
        return None
    if not (_BEFORE.issuperset(kinds[:begin]) and _BEHIND.issuperset(kinds[end:])):
        return None
    deltas = cast("list[TextDelta]", events[begin:end:step])
    id, before, behind = deltas[0].id, events[:begin], events[end:]
    if len({delta.id for delta in deltas}) > 1 or not (_is_plain(before, id) and _is_plain(behind, id)):
        return None
    return TextRun(begin, end, step, id, [delta.text for delta in deltas], before, behind)


def _is_plain(events: list[Event], id: str) -> bool:
    """Tell whether there is at most one edge of a block among the events, of this id and without metadata."""
    edges = [event for event in events if type(event) is TextStart or type(event) is TextEnd]
    return not edges or (len(edges) == 1 and edges[0].id == id and not edges[0].provider_metadata)
