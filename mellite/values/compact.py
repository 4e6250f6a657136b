"""The compact log: the events of a settled generation in little more memory than their text."""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Final, cast

from attrs import frozen

from .events import Event, RawChunk, ReasoningDelta, TextDelta, ToolInputDelta
from .text_run import TextRun

__all__ = ["CompactLog"]

# One number per event, and what the deltas say joined. One object kept per delta costs 14 times the text;
# this costs two bytes per event more than the text.
_OTHER, _TEXT, _THINKING, _INPUT, _RAW, _SWITCH = range(6)

#: The id of the block that text belongs to where there is one.
_FIRST_TEXT: Final = frozenset({"text-0"})


def _packed(marks: list[int]) -> array[int]:
    try:
        return array("H", marks)
    except OverflowError:
        return array("Q", marks)


def _marked(sizes: list[int], kinds: Sequence[int]) -> array[int]:
    """Return a mark for each size, of these kinds in turn.

    The marks are made as the digits of one large number, which takes a third of making them one by one.
    """
    number, length, order = 0, 2 * len(sizes), sys.byteorder
    with suppress(struct.error):
        number = int.from_bytes(struct.pack(f"{len(sizes)}H", *sizes), order)
    if not number or number & _digits((0xE000,), length):  # a size that has no room in 16 bits beside its kind
        cycle = [*kinds] * (len(sizes) // len(kinds) + 1)
        return _packed([size << 3 | kind for size, kind in zip(sizes, cycle, strict=False)])
    return array("H", (number << 3 | _digits(kinds, length)).to_bytes(length, order))


def _digits(cycle: Sequence[int], length: int) -> int:
    """Return a number of so many bytes whose digits are these, of 16 bits each, again and again."""
    digits = struct.pack(f"{len(cycle)}H", *cycle)
    return int.from_bytes((digits * (length // len(digits) + 1))[:length], sys.byteorder)


def _joined(marks: Sequence[array[int]]) -> array[int]:
    kind = "Q" if any(some.typecode == "Q" for some in marks) else "H"
    joined = array(kind)
    for some in marks:
        joined += some if some.typecode == kind else array(kind, some)
    return joined


@frozen(kw_only=True)
class CompactLog:
    """The events of a settled generation in a small form, from which equal events can be made again.

    Args:
        marks: per event its kind (low three bits) and its length, in characters or bytes.
        others: the events that are not deltas, in order.
        blocks: the ids (and names) that deltas switch to, in order.
        raw: the raw chunks, joined.
    """

    marks: array[int]
    others: tuple[Event, ...]
    blocks: tuple[tuple[int, str, str], ...]
    text: str
    thinking: str
    inputs: str
    raw: bytes

    @classmethod
    def of(cls, events: Sequence[Event], *, text: str, thinking: str | None, run: TextRun | None = None) -> CompactLog:
        """Compact `events`. `text` and `thinking` are their deltas, joined; they are kept, not copied.

        Args:
            run: where the deltas are, if it is known.
        """
        if run is not None:
            return cls._of_run(events, run, text)
        kinds = {type(event) for event in events}
        if ReasoningDelta not in kinds and ToolInputDelta not in kinds:
            ids = {event.id for event in events if type(event) is TextDelta}
            if ids <= _FIRST_TEXT:
                return cls._of_text(events, text)
        return cls._of_any(events, text=text, thinking=thinking)

    @classmethod
    def _of_run(cls, events: Sequence[Event], run: TextRun, text: str) -> CompactLog:
        """Compact events with one run of text deltas, in passes over whole lists."""
        sizes = [0] * (run.end - run.begin)
        sizes[:: run.step] = map(len, run.texts)
        raw: list[bytes] = []
        if run.step > 1:
            between = cast("Sequence[RawChunk]", events[run.begin + 1 : run.end : 2])
            raw = [chunk.data for chunk in between]
            sizes[1::2] = map(len, raw)
        deltas = _marked(sizes, (_TEXT, _RAW) if run.step > 1 else (_TEXT,))
        edges = [
            [len(event.data) << 3 | _RAW if type(event) is RawChunk else _OTHER for event in some]
            for some in (run.before, run.behind)
        ]
        first, last = ([event.data for event in some if type(event) is RawChunk] for some in (run.before, run.behind))
        switch = [] if run.id in _FIRST_TEXT else [_SWITCH]
        return cls(
            marks=_joined([_packed(edges[0] + switch), deltas, _packed(edges[1])]),
            others=tuple([event for event in (*run.before, *run.behind) if type(event) is not RawChunk]),
            blocks=((_TEXT, run.id, ""),) if switch else (),
            text=text,
            thinking="",
            inputs="",
            raw=b"".join([*first, *raw, *last]),
        )

    @classmethod
    def _of_text(cls, events: Sequence[Event], text: str) -> CompactLog:
        """Compact events with deltas of one block of text and no others, as most are, without a step for each."""
        said = [
            event.text if type(event) is TextDelta else event.data if type(event) is RawChunk else ""
            for event in events
        ]
        kinds = [_TEXT if type(event) is TextDelta else _RAW if type(event) is RawChunk else _OTHER for event in events]
        marks = [size << 3 | kind for size, kind in zip(map(len, said), kinds, strict=True)]
        return cls(
            marks=_packed(marks),
            others=tuple([event for event, kind in zip(events, kinds, strict=True) if kind == _OTHER]),
            blocks=(),
            text=text,
            thinking="",
            inputs="",
            raw=b"".join([event.data for event in events if type(event) is RawChunk]),
        )

    @classmethod
    def _of_any(cls, events: Sequence[Event], *, text: str, thinking: str | None) -> CompactLog:
        marks: list[int] = []
        mark = marks.append
        others: list[Event] = []
        blocks: list[tuple[int, str, str]] = []
        inputs: list[str] = []
        raw: list[bytes] = []
        text_id, thinking_id, input_id = "text-0", "reasoning-0", ("", "")
        for event in events:
            kind = type(event)
            if kind is TextDelta:
                if event.id != text_id:  # type: ignore[union-attr]
                    text_id = event.id  # type: ignore[union-attr]
                    blocks.append((_TEXT, text_id, ""))
                    mark(_SWITCH)
                mark(len(event.text) << 3 | _TEXT)  # type: ignore[union-attr]
            elif kind is RawChunk:
                raw.append(event.data)  # type: ignore[union-attr]
                mark(len(event.data) << 3 | _RAW)  # type: ignore[union-attr]
            elif kind is ReasoningDelta:
                if event.id != thinking_id:  # type: ignore[union-attr]
                    thinking_id = event.id  # type: ignore[union-attr]
                    blocks.append((_THINKING, thinking_id, ""))
                    mark(_SWITCH)
                mark(len(event.text) << 3 | _THINKING)  # type: ignore[union-attr]
            elif kind is ToolInputDelta:
                if (event.id, event.name) != input_id:  # type: ignore[union-attr]
                    input_id = (event.id, event.name)  # type: ignore[union-attr]
                    blocks.append((_INPUT, *input_id))
                    mark(_SWITCH)
                inputs.append(event.text)  # type: ignore[union-attr]
                mark(len(event.text) << 3 | _INPUT)  # type: ignore[union-attr]
            else:
                others.append(event)
                mark(_OTHER)
        return cls(
            marks=_packed(marks),
            others=tuple(others),
            blocks=tuple(blocks),
            text=text,
            thinking=thinking or "",
            inputs="".join(inputs),
            raw=b"".join(raw),
        )

    def texts(self) -> Iterator[str]:
        """Yield the text deltas, one by one."""
        at = 0
        for mark in self.marks:
            if mark & 7 == _TEXT:
                end = at + (mark >> 3)
                yield self.text[at:end]
                at = end

    def events(self) -> Iterator[Event]:
        """Yield events equal to the original ones, with the same boundaries."""
        others, blocks = iter(self.others), iter(self.blocks)
        ids = {_TEXT: ("text-0", ""), _THINKING: ("reasoning-0", ""), _INPUT: ("", "")}
        at = [0] * 6
        for mark in self.marks:
            kind = mark & 7
            if kind == _OTHER:
                yield next(others)
                continue
            if kind == _SWITCH:
                of, id, name = next(blocks)
                ids[of] = (id, name)
                continue
            start = at[kind]
            end = at[kind] = start + (mark >> 3)
            if kind == _TEXT:
                yield TextDelta(self.text[start:end], ids[_TEXT][0])
            elif kind == _RAW:
                yield RawChunk(self.raw[start:end])
            elif kind == _THINKING:
                yield ReasoningDelta(self.thinking[start:end], ids[_THINKING][0])
            else:
                id, name = ids[_INPUT]
                yield ToolInputDelta(id, name, self.inputs[start:end])

    def raw_chunks(self) -> Iterator[bytes]:
        """Yield the raw chunks, one by one."""
        at = 0
        for mark in self.marks:
            if mark & 7 == _RAW:
                end = at + (mark >> 3)
                yield self.raw[at:end]
                at = end
