"""The typed events of a stream: which, in which order, and that the last is always completed."""

from __future__ import annotations

import attrs
import pytest

from mellite import Requirement, ValidationResult, stream
from mellite.backends import Constant, Echo, Failing, Scripted
from mellite.errors import ConnectionLost, InvalidRequest
from mellite.events import Finish, ReasoningDelta, TextDelta, ToolCallEvent, ToolInputDelta
from mellite.messages import ToolCall
from mellite.streaming import (
    ChunkEvent,
    CompletedEvent,
    DoneEvent,
    ErrorEvent,
    FullValidationEvent,
    QuickCheckEvent,
    RetryEvent,
    ThinkingEvent,
    ToolInputEvent,
)
from tests.strategies.streaming.support import forbid
from tests.thunk.support import Source

pytestmark = pytest.mark.anyio


def short(event):
    """An event in a few words."""
    names = ("type", "verdict", "chunk", "text", "success")
    return " ".join(str(getattr(event, name)) for name in names if hasattr(event, name)).strip()


async def events_of(s):
    """All events of a stream."""
    async with s:
        return [event async for event in s.events()]


async def test_success():
    """A stream that succeeds: a quick check before each chunk, done, the full validation, completed."""
    requirements = [forbid("x"), lambda thunk: ValidationResult(True, "fine")]
    thunk = Echo().generate("one two")
    found = await events_of(stream(thunk, requirements=requirements, chunking="words"))
    assert [short(event) for event in found] == [
        "quick-check unknown one",
        "chunk one",
        "quick-check unknown two",
        "chunk two",
        "done",
        "full-validation",
        "completed True",
    ]
    check, chunk, *_, done, full, completed = found
    assert (check.requirement.description, check.chunk.start, check.result) == ("no x", 0, None)
    assert (chunk.chunk, chunk.chunk.end, chunk.attempt) == ("one ", 4, 1)
    assert done.thunk is thunk
    assert full.validations == (ValidationResult(True), ValidationResult(True, "fine"))
    assert (completed.failures, completed.error, completed.attempts) == ((), None, 1)


async def test_retries():
    """Each further attempt begins with a retry event that says why; every event knows its attempt."""
    backend = Scripted([["ok ", "bad "], "long", "ok"])
    requirements = [forbid("bad"), Requirement("short", lambda thunk: len(thunk.value) < 4)]
    found = await events_of(stream(backend.generate("x"), requirements=requirements, attempts=3, chunking="words"))
    assert [(short(event), event.attempt) for event in found[:-1]] == [
        ("quick-check unknown ok", 1),
        ("chunk ok", 1),
        ("quick-check fail bad", 1),
        ("retry", 2),
        ("quick-check unknown long", 2),
        ("chunk long", 2),
        ("done", 2),
        ("full-validation", 2),
        ("retry", 3),
        ("quick-check unknown ok", 3),
        ("chunk ok", 3),
        ("done", 3),
        ("full-validation", 3),
    ]
    assert short(found[-1]) == "completed True"
    retries = [event for event in found if isinstance(event, RetryEvent)]
    assert [[failure.reason for failure in event.failures] for event in retries] == [["no bad"], ["short"]]
    assert [failure.attempt for failure in found[-1].failures] == [1, 2]


async def test_rejection():
    """A stream that is rejected ends with completed, without success."""
    found = await events_of(stream(Constant("bad").generate("x"), requirements=[forbid("bad")]))
    assert [short(event) for event in found] == ["quick-check fail bad", "completed False"]
    assert found[-1].failures[0].reason == "no bad"


async def test_errors():
    """A generation that goes wrong is an error event; nothing is raised, and completed comes last and keeps it."""
    backend = Scripted([["te", ConnectionLost("gone")], ["xt", ConnectionLost("gone again")]])
    found = await events_of(stream(backend.generate("x"), attempts=2))
    assert [short(event) for event in found] == ["chunk te", "error", "retry", "chunk xt", "error", "completed False"]
    first, second = [event for event in found if isinstance(event, ErrorEvent)]
    assert (str(first.error), str(second.error), second.attempt) == ("gone", "gone again", 2)
    assert found[-1].error is second.error


async def test_thinking_and_tool_input():
    """Thinking and tool input are handed on as they come, and are not checked."""
    events = [
        ReasoningDelta("bad idea"),
        TextDelta("Let me see."),
        ToolInputDelta("1", "look", '{"at": '),
        ToolInputDelta("1", "look", '"bad"}'),
        ToolCallEvent(ToolCall("1", "look", {"at": "bad"})),
        Finish("tool-calls"),
    ]
    found = await events_of(stream(Source(events).generate("x"), requirements=[forbid("bad")]))
    assert found[0] == ThinkingEvent("bad idea")
    assert found[3:5] == [ToolInputEvent("look", '{"at": ', id="1"), ToolInputEvent("look", '"bad"}', id="1")]
    assert short(found[-1]) == "completed True"


@pytest.mark.parametrize(
    ("make", "last_but_one"),
    [
        (lambda: stream(Failing(ConnectionLost("gone")).generate("x")), ErrorEvent),
        (lambda: stream(Constant("").generate("x")), DoneEvent),
        (lambda: stream(Constant("x").generate("x"), requirements=[lambda thunk: False]), FullValidationEvent),
        (lambda: stream(Constant("x").generate("x"), requirements=[forbid("x")]), QuickCheckEvent),
        (lambda: stream(Constant("x y").generate("x"), chunking=lambda text: []), ErrorEvent),
        (
            lambda: stream(
                Constant("x").generate("x"), requirements=[forbid("x")], attempts=2, repair=lambda request, failures: 3
            ),
            ErrorEvent,
        ),
    ],
)
async def test_the_last_is_completed(make, last_but_one):
    """However a stream ends, the last event is completed, once."""
    found = await events_of(make())
    assert type(found[-2]) is last_but_one
    assert [type(event) for event in found].count(CompletedEvent) == 1
    assert type(found[-1]) is CompletedEvent


async def test_chunks_and_events_share_a_position():
    """Chunks taken before are not among the events; who asks after the end still gets completed."""
    async with stream(Echo().generate("one two three"), requirements=[forbid("x")], chunking="words") as s:
        assert await anext(s) == "one "
        rest = [event async for event in s.events()]
        assert [event.chunk for event in rest if isinstance(event, ChunkEvent)] == ["two ", "three"]
        assert s.text == "one two three"
        assert [type(event) async for event in s.events()] == [CompletedEvent]
        assert [chunk async for chunk in s] == []


async def test_chunks_after_events():
    """Chunks can be taken from where the events were left."""
    async with stream(Echo().generate("one two three"), chunking="words") as s:
        events = s.events()
        assert (await anext(events)).chunk == "one "
        assert [chunk async for chunk in s] == ["two ", "three"]


async def test_events_outside_the_block():
    """Events are read inside the block, too."""
    s = stream(Echo().generate("x"))
    with pytest.raises(InvalidRequest, match="async with"):
        await anext(s.events())


def test_types_are_words():
    """Every event says in a word what it is."""
    kinds = [
        ChunkEvent,
        QuickCheckEvent,
        ThinkingEvent,
        ToolInputEvent,
        DoneEvent,
        FullValidationEvent,
        RetryEvent,
        CompletedEvent,
        ErrorEvent,
    ]
    assert [kind.type for kind in kinds] == [
        "chunk",
        "quick-check",
        "thinking",
        "tool-input",
        "done",
        "full-validation",
        "retry",
        "completed",
        "error",
    ]
    assert "type" not in attrs.fields_dict(ChunkEvent)
