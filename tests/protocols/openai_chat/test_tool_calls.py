"""Tool calls of Chat Completions, in all the pieces in which hosts send them."""

from __future__ import annotations

import json
from typing import Any

import attrs
import pytest

from mellite.errors import InvalidProviderOutput, InvalidRequest
from mellite.events import ToolCallEvent, ToolInputDelta, ToolInputEnd, ToolInputError, ToolInputStart
from mellite.messages import ToolCall
from mellite.protocols.tool_calls import arguments_object
from mellite.values.fold import fold
from tests.protocols.openai_chat.chunks import DONE, WEATHER, call, called, calls_in, delta, events_of, finish_of, read

# --- tool calls -----------------------------------------------------------------------------------

LONG = "y" * 8 * 1024 * 1024
MANY = {f"key_{number}": number for number in range(10_000)}


def test_a_tool_call_is_put_together() -> None:
    """A tool call starts when its arguments do, grows by deltas, and is whole at the end of the answer."""
    events = called(WEATHER)
    assert [event for event in events if "Tool" in type(event).__name__][:4] == [
        ToolInputStart("call_1", "get_weather"),
        ToolInputDelta("call_1", "get_weather", '{"city":'),
        ToolInputDelta("call_1", "get_weather", '"Paris"}'),
        ToolInputEnd("call_1", "get_weather"),
    ]
    assert calls_in(events) == [("call_1", "get_weather", {"city": "Paris"})]
    assert finish_of(events).reason == "tool-calls"


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        pytest.param(
            [call(0, "a", "f", "{"), call(1, "b", "g", "["), call(0, arguments="}"), call(1, arguments="]")],
            [("a", "f", {}), ("b", "g", [])], id="interleaved by index",
        ),
        pytest.param([call(0, "a", "f", '{"x":'), call(0, "a", "f", "1}")],
                     [("a", "f", {"x": 1})], id="id and name again"),
        pytest.param([call(0, arguments='{"x":'), call(0, "a"), call(0, name="f", arguments="1}")],
                     [("a", "f", {"x": 1})], id="id and name late"),
        pytest.param([call(0, "a", "get_"), call(0, name="weather"), call(0, arguments="{}")],
                     [("a", "get_weather", {})], id="name in pieces"),
        pytest.param([call(0, "a", "get_"), call(0, name="get_weather"), call(0, arguments="{}")],
                     [("a", "get_weather", {})], id="name so far"),
        pytest.param([call(None, "a", "f", '{"x"'), call(None, arguments=":1}"), call(None, "b", "g", "{}")],
                     [("a", "f", {"x": 1}), ("b", "g", {})], id="no index"),
        pytest.param([call(None, "a", "f", '{"x"'), call(None, "b", "g", "{}"), call(None, "a", None, ":1}")],
                     [("a", "f", {"x": 1}), ("b", "g", {})], id="no index, told apart by id"),
        pytest.param([call(None, None, "f", "{}"), call(None, None, "g", "{}")],
                     [("call_c1_0", "f", {}), ("call_c1_1", "g", {})], id="neither index nor id"),
        pytest.param([call(None, None, "f", '{"x"'), call(None, None, "f", ":1}")],
                     [("call_c1_0", "f", {"x": 1})], id="neither index nor id, one call"),
        pytest.param([call(None, None, "f", '{"x"'), call(None, "a", None, ":1}")],
                     [("a", "f", {"x": 1})], id="no index, id late"),
        pytest.param([call(0, "a", "f", '{"x"'), call(0, "a", "g", ":1}")], [("a", "f", {"x": 1})], id="name too late"),
        pytest.param([call(0, "a", "f", "{}"), call(0, "b", "f", "{}")],
                     [("a", "f", {}), ("b", "f", {})], id="one index for all"),
        pytest.param([call(0, "a", "f")], [("a", "f", {})], id="no arguments"),
        pytest.param([call(0, "a", "f", {"x": 1})], [("a", "f", {"x": 1})], id="arguments as an object"),
        pytest.param([call(0, 7, "f", "{}")], [("7", "f", {})], id="a number for an id"),
        pytest.param([call(0, "a", "f", "null")], [("a", "f", None)], id="null"),
        pytest.param([call(0, "a", "f", '{"x":1,"x":2}')], [("a", "f", {"x": 2})], id="a key twice"),
        pytest.param([call(0, "a", "f", '{"x":"\\ud800"}')], [("a", "f", {"x": "\ud800"})], id="a lone surrogate"),
        pytest.param([call(0, "a", "f", json.dumps({"x": 10**30}))], [("a", "f", {"x": 10**30})], id="a large number"),
        pytest.param([call(0, "a", "f", json.dumps({"x": LONG}))], [("a", "f", {"x": LONG})], id="8 MiB"),
        pytest.param([call(0, "a", "f", json.dumps(MANY))], [("a", "f", MANY)], id="10,000 keys"),
    ],
)  # fmt: skip
def test_tool_calls_come_in_many_forms(pieces: list[Any], expected: list[tuple[str, str, Any]]) -> None:
    """Whatever form the pieces have, the calls are read, and the deltas are the arguments."""
    events = called(pieces)
    assert calls_in(events) == expected
    for id, _, _ in expected:
        text = "".join([event.text for event in events if isinstance(event, ToolInputDelta) and event.id == id])
        raw = [event.call.raw_arguments for event in events if isinstance(event, ToolCallEvent) and event.call.id == id]
        assert [text] == raw


def test_arguments_may_come_with_the_finish_reason() -> None:
    """Arguments in the chunk that has the finish reason are part of the call; a second finish chunk changes nothing."""
    events = events_of([
        delta(tool_calls=[call(0, "a", "f", "")]),
        delta("tool_calls", tool_calls=[call(0, arguments='{"x":1}')]),
        delta("tool_calls", content=""),
        DONE,
    ])  # fmt: skip
    assert calls_in(events) == [("a", "f", {"x": 1})]


@pytest.mark.parametrize("raw", ['{"city": "Par', "nonsense", '{"x": 1}{}', '{"x": NaN}', "[" * 100_000])
def test_broken_arguments_are_kept_as_they_are(raw: str) -> None:
    """Arguments that are not JSON give a ToolInputError and a call without arguments; the answer is complete."""
    events = called([call(0, "a", "f", raw)])
    assert ToolInputError("a", "f", raw=raw) in events
    made = fold(events).tool_calls
    assert [(one.arguments, one.raw_arguments) for one in made] == [(None, raw)]
    assert finish_of(events).reason == "tool-calls"


@pytest.mark.parametrize("word", ["length", "content_filter"])
def test_a_call_that_was_cut_off_is_no_call(word: str) -> None:
    """Where the answer hit its limit, a call that is not whole is reported but not called; whole ones are."""
    events = called([call(0, "a", "f", "{}"), call(1, "b", "g", '{"x'), call(2, "c")], word)
    assert calls_in(events) == [("a", "f", {})]
    assert ToolInputError("b", "g", raw='{"x') in events
    assert finish_of(events).reason == word.replace("_", "-")


def test_a_call_without_a_name_is_no_answer() -> None:
    """A tool call that never gets a name is InvalidProviderOutput."""
    with pytest.raises(InvalidProviderOutput, match="no name"):
        called([call(0, "a", arguments="{}")])


def test_what_a_host_adds_to_a_call_is_kept() -> None:
    """Unknown fields of a call are kept with it, for the next turn and in the raw answer."""
    events = called([call(0, "a", "f", "{}", extra_content={"google": {"thought_signature": "s"}})])
    extra = {"extra_content": {"google": {"thought_signature": "s"}}}
    assert fold(events).tool_calls[0].provider_metadata == {"openai": extra}
    assert (
        finish_of(events).response["choices"][0]["message"]["tool_calls"][0]["extra_content"] == extra["extra_content"]
    )


def test_text_before_and_between_calls_is_text() -> None:
    """Text, thinking and calls in one answer are all read; calls end the thinking."""
    chunks = [delta(reasoning="Hm."), delta(content="Wait."), delta(tool_calls=[call(0, "a", "f", "{}")]),
              delta(content=" So."), delta("tool_calls"), DONE]  # fmt: skip
    folded = read(chunks)
    assert (folded.thinking, folded.text, len(folded.tool_calls)) == ("Hm.", "Wait. So.", 1)


@attrs.frozen
class Place:
    """Arguments as a value."""

    city: str


@pytest.mark.parametrize(
    ("call", "sent"),
    [
        (ToolCall("c", "f", {"a": 1}), {"a": 1}),
        (ToolCall("c", "f"), {}),
        (ToolCall("c", "f", None, raw_arguments=" null "), {}),
        (ToolCall("c", "f", None, raw_arguments='{"a'), {"arguments": '{"a'}),
        (ToolCall("c", "f", [1]), {"arguments": [1]}),
        (ToolCall("c", "f", Place("Paris")), {"city": "Paris"}),
    ],
)
def test_arguments_as_an_object(call: ToolCall, sent: dict[str, Any]) -> None:
    """Where a protocol wants an object, anything else is put into one, so that the model sees what it wrote."""
    assert arguments_object(call) == sent


def test_arguments_that_are_no_json_are_refused() -> None:
    """What JSON cannot hold is InvalidRequest in an object as well."""
    with pytest.raises(InvalidRequest, match="'c'"):
        arguments_object(ToolCall("c", "f", {"a": float("nan")}))
