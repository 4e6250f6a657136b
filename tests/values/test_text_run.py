"""An answer of one text is folded and kept in passes over whole lists: what comes of it is as one by one."""

from __future__ import annotations

import random
from typing import Any

import pytest

from mellite.events import (
    Event,
    Finish,
    RawChunk,
    ReasoningDelta,
    ResponseStart,
    StepFinish,
    StepStart,
    TextDelta,
    TextEnd,
    TextStart,
    ToolErrorEvent,
    Usage,
)
from mellite.values.compact import CompactLog
from mellite.values.fold import fold

#: Says nothing to `fold`, but is not part of an answer of one text.
STRANGER = ToolErrorEvent("1", "f")
METADATA = {"openai": {"item_id": "msg_1"}}


def answer(*, raw: bool = True, id: str = "text-0", count: int = 4) -> list[Event]:
    """An answer of one text, as a stream gives it."""
    usage = Usage.of(input_tokens=5, output_tokens=2)
    events: list[Event] = [ResponseStart(model="m"), ResponseStart(response_id="r"), StepStart(), TextStart(id)]
    for number in range(count):
        events += (
            [RawChunk(b"{%d}" % number), TextDelta(f"word {number} ", id)] if raw else [TextDelta("ab" * number, id)]
        )
    end = [RawChunk(b"[DONE]")] if raw else []
    return [*events, *end, TextEnd(id), StepFinish(0, usage=usage), Finish("stop", usage=usage)]


def agree(events: list[Event]) -> bool:
    """Check the fold and the log against those that are made event by event; return whether there was a run.

    Of few events no run is looked for, so that there are more of them here.
    """
    assert fold(events) == fold([*events, STRANGER])
    events = [*[RawChunk(b"ping")] * 40, *events]
    folded, slowly = fold(events), fold([*events, STRANGER])
    assert slowly.run is None
    assert folded == slowly
    text, thinking = folded.earlier  # the log has all steps, the answer is the last one
    said: dict[str, Any] = {"text": text + folded.text, "thinking": thinking + (folded.thinking or "") or None}
    log = CompactLog.of(events, **said, run=folded.run)
    assert log == CompactLog.of(events, **said)
    assert list(log.events()) == events
    assert log.marks.typecode == CompactLog.of(events, **said).marks.typecode
    return folded.run is not None


@pytest.mark.parametrize("id", ["text-0", "msg_1"])
@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize("count", [1, 2, 50])
def test_usual_answers(id: str, raw: bool, count: int) -> None:
    """What streams and whole answers give is found to be one run."""
    assert agree(answer(raw=raw, id=id, count=count))


def test_bare_answers() -> None:
    """Deltas and a finish are enough, and so are deltas alone: an answer that broke off."""
    assert agree([TextDelta("Hel"), TextDelta("lo."), Finish("stop")])
    assert agree([TextDelta("", "b"), Finish("stop")])
    assert agree([TextDelta("Hel")])
    assert agree([TextDelta("é" * 9_000), TextDelta("b")])
    assert not agree([Finish("stop")])
    assert not agree([])


OTHERWISE = {
    "two blocks": [TextDelta("a", "1"), TextDelta("b", "2"), Finish("stop")],
    "one id again": [TextDelta("a"), TextEnd("text-0"), TextDelta("b"), Finish("stop")],
    "begun late": [TextDelta("a"), TextStart("text-0"), Finish("stop")],
    "begun twice": [TextStart("text-0"), TextStart("text-0"), TextDelta("a"), Finish("stop")],
    "ended twice": [TextDelta("a"), TextEnd("text-0"), TextEnd("text-0"), Finish("stop")],
    "ended before": [TextStart("text-0"), TextEnd("text-0"), TextDelta("a"), Finish("stop")],
    "another begun": [TextStart("text-1"), TextDelta("a"), Finish("stop")],
    "another ended": [TextDelta("a"), TextEnd("text-1", provider_metadata=METADATA), Finish("stop")],
    "noted at its end": [TextDelta("a"), TextEnd("text-0", provider_metadata=METADATA), Finish("stop")],
    "noted at its beginning": [TextStart("text-0", provider_metadata=METADATA), TextDelta("a"), Finish("stop")],
    "thinking": [ReasoningDelta("hm"), TextDelta("a"), Finish("stop")],
    "two steps": [TextDelta("a"), StepFinish(0), StepStart(1), Finish("stop")],
    "two chunks for one delta": [TextDelta("a"), RawChunk(b"1"), RawChunk(b"2"), TextDelta("b"), Finish("stop")],
    "one chunk for two deltas": [TextDelta("a"), RawChunk(b"1"), TextDelta("b"), TextDelta("c"), Finish("stop")],
}


@pytest.mark.parametrize("events", OTHERWISE.values(), ids=OTHERWISE)
def test_other_answers(events: list[Event]) -> None:
    """What is not quite one text goes event by event, and what comes of it is right."""
    assert not agree(events)


def test_any_events() -> None:
    """Events in any order and number."""
    rnd = random.Random("any events")
    usage = Usage.of(input_tokens=1)
    made = [
        *[lambda: TextDelta("word"), lambda: TextDelta("", "text-0"), lambda: RawChunk(b"chunk")] * 3,
        lambda: TextDelta("other", "text-1"),
        lambda: TextStart("text-0"),
        lambda: TextEnd("text-0"),
        lambda: ResponseStart(model="m"),
        StepStart,
        lambda: StepFinish(0, usage=usage),
        lambda: Finish("length", usage=usage),
        lambda: ReasoningDelta("hm"),
    ]
    runs = 0
    for _ in range(3_000):
        events: list[Event] = [rnd.choice(made)() for _ in range(rnd.randrange(8))]
        runs += agree(events)
    assert runs > 200
