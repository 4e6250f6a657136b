"""A step that fails halfway: the run has all that came before that, however early the step had failed."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from anyio.lowlevel import checkpoint

import mellite
from mellite.errors import ConnectionLost
from mellite.events import Event, Finish, ReasoningDelta, StepFinish, TextDelta, ToolCallEvent, Usage
from mellite.messages import ToolCall
from tests.thunk.support import caught, collected_then

pytestmark = pytest.mark.anyio


class Breaks(mellite.Backend):
    """A backend that asks for a tool first if it is to, and then breaks off in the middle of its answer.

    Args:
        suspends: whether it waits before each event, so that the run reads while it answers.
        calls: whether the step that fails is the second.
    """

    def __init__(self, *, suspends: bool, calls: bool = False) -> None:
        self.suspends = suspends
        self.calls = calls

    async def stream(self, request: mellite.Request) -> AsyncIterator[Event]:
        events: list[Event] = [
            ReasoningDelta("hm"),
            TextDelta("a "),
            TextDelta("b "),
            StepFinish(usage=Usage(input_tokens=3)),
        ]
        if self.calls and request.messages[-1].role != "tool":
            events = [TextDelta("look: "), ToolCallEvent(ToolCall("1", "look", {})), Finish("tool-calls")]
        for event in events:
            if self.suspends:
                await checkpoint()
            yield event
        if type(events[-1]) is not Finish:
            raise ConnectionLost("gone")


def look() -> str:
    """Look."""
    return "nothing"


@pytest.mark.parametrize("suspends", [False, True])
@pytest.mark.parametrize("way", ["await", "iterate", "events"])
async def test_keeps_what_came(way: str, *, suspends: bool) -> None:
    """Text, thinking and usage of a step that had failed before the run read any of it."""
    run = mellite.run(Breaks(suspends=suspends), "hi")
    if way == "await":
        error = await caught(run)
    else:
        read, error = await collected_then(run if way == "iterate" else run.events())
        texts = [each if isinstance(each, str) else each.text for each in read if isinstance(each, (str, TextDelta))]
        assert texts == ["a ", "b "]
    assert (run.state, run.partial, run.thinking) == ("failed", "a b ", "hm")
    assert isinstance(error, ConnectionLost)
    assert (error.partial, run.stop_reason, run.thunks[0].partial) == ("a b ", "failed", "a b ")
    assert run.usage == run.generation.usage == run.thunks[0].usage == Usage(input_tokens=3)


@pytest.mark.parametrize("suspends", [False, True])
async def test_keeps_what_came_of_a_later_step(*, suspends: bool) -> None:
    """The deltas of all steps, and the history up to the step that failed."""
    run = mellite.run(Breaks(suspends=suspends, calls=True), "hi", tools=[look])
    read, error = await collected_then(run)
    assert read == ["look: ", "a ", "b "]
    assert isinstance(error, ConnectionLost)
    assert [message.role for message in run.messages] == ["user", "assistant", "tool"]
    assert (len(run.steps), run.thunks[1].partial) == (1, "a b ")
