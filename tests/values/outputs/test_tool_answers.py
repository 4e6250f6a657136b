"""The arguments of the tool for the answer as the text, in the events of a stream, however they come."""

from __future__ import annotations

from typing import Any

import pytest

from mellite import ToolCall
from mellite.events import (
    Event,
    Finish,
    RawChunk,
    ReasoningDelta,
    ResponseStart,
    StepFinish,
    TextDelta,
    TextEnd,
    TextStart,
    ToolCallEvent,
    ToolInputDelta,
    ToolInputEnd,
    ToolInputError,
    ToolInputStart,
)
from mellite.values.outputs.tool_answers import AnswerOfTool, is_answered

PROSE: list[Event] = [TextStart("t"), TextDelta("Let me see. ", id="t"), TextEnd("t")]
END: list[Event] = [StepFinish(0, reason="tool-calls"), Finish("tool-calls")]


def written(id: str, name: str, *pieces: str, whole: str | None = None) -> list[Event]:
    """A call as it is written."""
    raw = "".join(pieces) if whole is None else whole
    call = ToolCall(id, name, {}, raw_arguments=raw)
    deltas = [ToolInputDelta(id, name, piece) for piece in pieces]
    return [ToolInputStart(id, name), *deltas, ToolInputEnd(id, name), ToolCallEvent(call)]


def answer(*pieces: str) -> list[Event]:
    return [TextStart("answer"), *[TextDelta(piece, "answer") for piece in pieces], TextEnd("answer")]


STOP: list[Event] = [StepFinish(0, reason="stop"), Finish("stop")]
START: list[Event] = [ResponseStart(output_mode="tool"), RawChunk(b"{}"), ReasoningDelta("Hm.")]
OTHER = written("c0", "look", '{"q"', ": 1}")
SEARCH: list[Event] = [
    ToolInputStart("s", "web_search", provider_executed=True),
    ToolInputDelta("s", "web_search", "{}"),
    ToolInputEnd("s", "web_search", provider_executed=True),
    ToolCallEvent(ToolCall("s", "web_search", {}, provider_executed=True)),
]
BROKEN = [
    ToolInputStart("c1", "answer"),
    ToolInputDelta("c1", "answer", '{"a'),
    ToolInputError("c1", "answer", raw='{"ab'),
]
ONLY_WHOLE: list[Event] = [ToolCallEvent(ToolCall("c1", "answer", {"é": 1}))]
LATE = written("c1", "answer", whole="{}")
AGAIN = written("c1", "answer", "{}") + written("c2", "answer", "[]") + written("c3", "look", "{}")
CUT = [ToolInputStart("c1", "answer"), ToolInputDelta("c1", "answer", '{"a'), Finish("length")]


@pytest.mark.parametrize(
    ("events", "turned"),
    [
        (START + written("c1", "answer", '{"a"', ": 1}") + END, START + answer('{"a"', ": 1}") + STOP),
        (PROSE + written("c1", "answer", "{}") + END, answer("{}") + STOP),
        (written("c1", "answer", "{}") + PROSE + END, answer("{}") + STOP),
        ([*PROSE, Finish("stop")], [*PROSE, Finish("stop")]),
        (PROSE + OTHER + END, PROSE + OTHER + END),
        (OTHER + written("c1", "answer", "{}") + END, OTHER + answer("{}") + STOP),
        (PROSE + OTHER + written("c1", "answer", "{}") + END, PROSE + OTHER + answer("{}") + STOP),
        (PROSE + SEARCH + written("c1", "answer", "{}") + END, SEARCH + answer("{}") + STOP),
        (AGAIN + END, answer("{}") + written("c3", "look", "{}") + STOP),
        (BROKEN + END, answer('{"a', "b") + STOP),
        (ONLY_WHOLE + END, answer('{"é": 1}') + STOP),
        (LATE + END, answer("{}") + STOP),
        (CUT, [*answer('{"a'), Finish("length")]),
        ([*PROSE, Finish("content-filter", refusal="No.")], [*PROSE, Finish("content-filter", refusal="No.")]),
    ],
)
def test_what_events_become(events: list[Event], turned: list[Event]) -> None:
    """The first call of the tool is the text; what is said beside it is left out; others stay as they are."""
    assert AnswerOfTool("answer").take(events) == turned
    one_by_one = AnswerOfTool("answer")
    assert [each for event in events for each in one_by_one.take([event])] == turned
    assert is_answered(turned) is any(isinstance(event, TextStart) and event.id == "answer" for event in turned)


def test_the_answer_is_not_late() -> None:
    """Arguments are passed on with the event that brings them."""
    turned: Any = AnswerOfTool("answer")
    assert turned.take([TextDelta("Hm. ")]) == []
    assert turned.take([ToolInputStart("c1", "answer")]) == [TextStart("answer")]
    assert turned.take([ToolInputDelta("c1", "answer", "{")]) == [TextDelta("{", "answer")]
