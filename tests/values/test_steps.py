"""An answer of several steps is read as its last step; deltas and events are those of all."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

import mellite
from mellite.events import (
    Event,
    Finish,
    ReasoningDelta,
    ResponseStart,
    StepFinish,
    StepStart,
    TextDelta,
    ToolCallEvent,
    ToolResultEvent,
    Usage,
)
from mellite.messages import ToolCall, ToolResult

ASKED = ToolCall("call_1", "look", {"at": "it"})


def steps(*, whole: bool) -> list[Event]:
    """Two steps with a tool between them; the second breaks off unless it is whole."""
    first, second = Usage.of(input_tokens=5, output_tokens=2), Usage.of(input_tokens=9, output_tokens=3)
    events: list[Event] = [
        StepStart(0),
        ResponseStart(response_id="one", model="m"),
        ReasoningDelta("Hm. "),
        TextDelta("Let me "),
        TextDelta("look."),
        ToolCallEvent(ASKED),
        StepFinish(0, reason="tool-calls", usage=first),
        ToolResultEvent(ToolResult("call_1", "look", "a cat")),
        StepStart(1),
        ResponseStart(response_id="two"),
        ReasoningDelta("Ah."),
        TextDelta("A "),
        TextDelta("cat."),
    ]
    if whole:
        events += [StepFinish(1, usage=second), Finish("stop", usage=first + second)]
    return events


class Played(mellite.Backend):
    """Answers with given events."""

    def __init__(self, events: list[Event]) -> None:
        self.events = events

    async def stream(self, request: mellite.Request) -> Any:
        """Yield them."""
        for event in self.events:
            yield event


def test_the_last_step_is_the_answer() -> None:
    """Text, thinking, calls, message and ids are the last step's; the usage is of both."""
    thunk = Played(steps(whole=True)).generate("What is it?")
    assert thunk.result() == thunk.value == "A cat."
    assert thunk.thinking == "Ah."
    assert thunk.tool_calls == ()
    assert thunk.message.content[-1] == mellite.Text("A cat.")
    assert len(thunk.message.content) == 2
    assert (thunk.generation.response_id, thunk.generation.model) == ("two", None)
    assert thunk.usage is not None
    assert thunk.usage.total_tokens == 19


def test_all_deltas_and_events_are_given() -> None:
    """Iterating gives the text of both steps, late and after pickling, too."""
    events = steps(whole=True)
    thunk = Played(events).generate("What is it?")
    assert list(thunk.iter()) == ["Let me ", "look.", "A ", "cat."] == list(thunk.iter())
    kept = pickle.loads(pickle.dumps(thunk))
    assert kept.value == "A cat."
    assert list(kept.iter()) == ["Let me ", "look.", "A ", "cat."]
    assert list(kept.outcome.compact.events()) == events


@pytest.mark.parametrize("count", range(2, 14))
def test_what_broke_off_keeps_the_usage_of_all_steps(count: int) -> None:
    """The usage of a step that is over counts, wherever the answer breaks off behind it."""
    events = steps(whole=True)[:count]
    thunk = Played(events).generate("What is it?")
    with pytest.raises(mellite.errors.IncompleteStream):
        thunk.result()
    used = thunk.usage.total_tokens if thunk.usage else None
    assert used == (7 if count > 6 else None)
    assert thunk.partial == "".join(
        event.text for event in events[8 if count > 8 else 0 :] if isinstance(event, TextDelta)
    )
