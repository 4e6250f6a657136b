"""Answers that grow show nothing of a key, however it is cut, and what they cost grows with what is new."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import anyio
import anyio.to_thread
import pytest

import mellite
from mellite.archive.journal.growing import GrowingAnswers, Growth
from mellite.backends import Scripted
from mellite.events import (
    Event,
    Finish,
    ReasoningDelta,
    ReasoningEnd,
    TextDelta,
    TextEnd,
    ToolInputDelta,
    ToolInputStart,
)
from mellite.viewer.growing_texts import GrowingTexts, Grown, news
from mellite.viewer.sources import source_at

KEY = "sk-proj-" + "Abcd1234Efgh5678Ijkl9012Mnop3456"


class Reader:
    """A page that hears of one answer.

    Attributes:
        shown: all that it has shown, one moment after the other.
        names: the events that it was told.
        received: how many characters it was told.
    """

    def __init__(self) -> None:
        self.shown: list[str] = []
        self.names: list[str] = []
        self.received = 0
        self._known: Grown | None = None
        self._texts = {"thinking": "", "text": ""}

    def hear(self, grown: Grown | None) -> None:
        """Hear what the answer is now."""
        told = None if grown is None else news(self._known, grown)
        self._known = grown
        if told is None:
            return
        self.names.append(told[0])
        for kind in self._texts if told[0] == "growing" else told[1]:
            new = str(told[1].get(kind, ""))
            self.received += len(new)
            self._texts[kind] = new if told[0] == "growing" else self._texts[kind] + new
        self.shown.append("".join(self._texts.values()))


def viewed(directory: Path, events: Sequence[Event], *, at_once: int = 1) -> Reader:
    """What a page shows while events arrive in a journal that is looked at."""
    writer, answers, texts, reader = Growth(str(directory)), GrowingAnswers(str(directory)), GrowingTexts(), Reader()
    answers.look()
    for place in range(0, len(events), at_once):
        assert writer.tell(1, events[place : place + at_once])
        _, pieces = answers.look()
        texts.take(pieces)
        reader.hear(texts.of([1]).get("1"))
    return reader


def in_letters(kind: type[TextDelta | ReasoningDelta], text: str, id: str) -> list[Event]:
    """A text letter by letter."""
    return [kind(letter, id) for letter in text]


def leaks(shown: Sequence[str]) -> list[str]:
    """What of a key is shown: five letters of it that follow each other in it."""
    parts = [KEY[at : at + 5] for at in range(8, len(KEY) - 5)]
    return [each for each in shown if any(part in each for part in parts)]


@pytest.mark.parametrize("at_once", [1, 3, 10_000])
def test_a_key_between_other_blocks(tmp_path: Path, at_once: int) -> None:
    """A key is hidden that comes letter by letter, between other blocks and kinds, and over blocks that follow."""
    chance = random.Random(3)
    one = in_letters(TextDelta, f"It is {KEY}, then. ", "a")
    other = in_letters(TextDelta, f"Beside {KEY} too. ", "b")
    thought = in_letters(ReasoningDelta, f"Hm, {KEY}! So ", "r")
    woven: list[Event] = []
    left = [one, other, thought]
    while left:
        each = chance.choice(left)
        woven.append(each.pop(0))
        left = [rest for rest in left if rest]
    cited: list[Event] = [
        TextDelta(f"And {KEY[:20]}", "c"),
        TextEnd("c"),
        TextDelta(f"{KEY[20:]}. So ", "d"),
        TextEnd("d"),
    ]
    reader = viewed(tmp_path, [*woven, ReasoningEnd("r"), TextEnd("a"), TextEnd("b"), *cited], at_once=at_once)
    assert leaks(reader.shown) == []
    assert reader.shown[-1].count("[REDACTED]") == 4
    assert reader.shown[-1].startswith("Hm, [REDACTED]! So ")


def test_only_what_is_new(tmp_path: Path) -> None:
    """A reader of a long answer is told each character once, as soon as its word is over; an empty one is not told."""
    words = [TextDelta(f"word{number} ") for number in range(3000)]
    reader = viewed(tmp_path, [TextDelta(""), *words], at_once=10)
    assert reader.shown[-1] == "".join([event.text for event in words])
    assert set(reader.names) == {"growing", "more"}
    assert reader.received < len(reader.shown[-1]) + 60 * 4096


def steps_taken(directory: Path, count: int) -> int:
    """How many lines and calls it takes to show an answer of so many deltas, ten at a time."""
    events = [TextDelta(f"word{number:06} ") for number in range(count)]
    total = 0

    def note(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal total
        total += 1
        if event == "call" and frame.f_code.co_name == "masked":
            total += len(frame.f_locals["text"]) // 10

    sys.setprofile(note)
    try:
        viewed(directory, events, at_once=10)
    finally:
        sys.setprofile(None)
    return total


def test_cost_is_linear(tmp_path: Path) -> None:
    """Ten times as long an answer takes ten times as many calls and characters that are looked through."""
    few, many = [steps_taken(tmp_path, count) for count in (300, 3000)]
    assert many < few * 11


def test_another_file(tmp_path: Path) -> None:
    """Answers are told anew when their file is another one, also of the same length, and after it was cut."""
    writer, answers = Growth(str(tmp_path)), GrowingAnswers(str(tmp_path))
    answers.look()
    told: list[tuple[bool, list[str | None]]] = []

    def look() -> None:
        is_void, pieces = answers.look()
        told.append((is_void, [piece.text for piece in pieces]))

    writer.tell(1, [TextDelta("One two ")])
    look()
    look()
    writer.forget()
    look()
    writer.tell(1, [TextDelta("One, too")])
    look()
    writer.tell(1, [TextDelta(" and more")])
    look()
    (tmp_path / "growing").write_bytes(json.dumps([1, "cut"]).encode() + b"\n")
    look()
    assert told == [
        (False, ["One two "]),
        (False, []),
        (False, []),
        (True, ["One, too"]),
        (False, [" and more"]),
        (True, ["cut"]),
    ]


def test_a_reader_of_an_answer_that_begins_anew(tmp_path: Path) -> None:
    """A reader is told all of an answer that is asked again, though it is as long as the one before."""
    first, again, reader = GrowingTexts(), GrowingTexts(), Reader()
    for texts, words in ((first, "One two "), (again, "Two one ")):
        writer, answers = Growth(str(tmp_path)), GrowingAnswers(str(tmp_path))
        answers.look()
        writer.tell(1, [TextDelta(words)])
        texts.take(answers.look()[1])
        reader.hear(texts.of([1])["1"])
    assert reader.shown == ["One two ", "Two one "]


@pytest.mark.anyio
async def test_a_timeline_of_calls_that_are_written_at_once(tmp_path: Path) -> None:
    """A key, and what is secret by its field, is hidden in the arguments of tools that are written in turns."""
    written = {
        "c1": json.dumps({"command": f"export X='{KEY}'", "n": 1}),
        "c2": json.dumps({"user": "eva", "password": "hunter2 and more", "m": 2}),
    }
    events: list[Event] = [ToolInputStart(id, f"run_{id}") for id in written]
    for at in range(0, max(map(len, written.values())), 3):
        events += [
            ToolInputDelta(id, f"run_{id}", text[at : at + 3]) for id, text in written.items() if text[at : at + 3]
        ]
    events += [TextDelta(KEY[:15], "a"), TextDelta("beside ", "b"), TextDelta(KEY[15:], "a")]
    events += [TextEnd("a"), TextDelta(f" and {KEY[:20]}", "c"), TextEnd("c"), TextDelta(KEY[20:], "d"), Finish("stop")]
    with mellite.journal(tmp_path / "journal"):
        await Scripted([events]).generate("Run them.").settle()
    source = await anyio.to_thread.run_sync(source_at, str(tmp_path / "journal"))
    timeline = source.timeline("1")
    assert timeline is not None
    said = {
        block: "".join([step["text"] for step in timeline["steps"] if step["block"] == block])
        for block in ("c1", "c2", "a", "c", "d")
    }
    assert said == {
        "c1": """run_c1({"command": "export X='[REDACTED]'", "n": 1}""",
        "c2": 'run_c2({"user": "eva", "password": [REDACTED], "m": 2}',
        "a": "[REDACTED]",
        "c": " and [REDACTED]",
        "d": "",
    }
    assert leaks([json.dumps(timeline)]) == []
