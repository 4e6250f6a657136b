"""Chat tool calls, whatever servers do with indexes and ids; whole messages in streams; the old `function_call`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mellite.errors import IncompleteStream, InvalidProviderOutput
from mellite.events import Event, Finish, ToolCallEvent, ToolInputDelta
from mellite.protocols.openai_chat.stream import unary
from mellite.values.fold import fold
from tests.protocols.openai_chat.chunks import DONE, call, called, calls_in, delta, events_of, finish_of, read

A, B = '{"x":1}', '{"y":2}'
BOTH = [("a", "f", {"x": 1}), ("b", "g", {"y": 2})]
NAMELESS = [("call_c1_0", "f", {"x": 1}), ("call_c1_1", "g", {"y": 2})]
FIRST_PIECES = ['{"x"', ":1}"]


# --- parallel calls -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        # indexes and ids as they should be, side by side
        ([call(0, "a", "f", '{"x"'), call(1, "b", "g", '{"y"'), call(0, arguments=":1}"), call(1, arguments=":2}")],
         BOTH),
        # one index for all
        ([call(0, "a", "f", A), call(0, "b", "g", B)], BOTH),
        ([call(0, "a", "f", ""), call(0, arguments=A), call(0, "b", "g", ""), call(0, arguments=B)], BOTH),
        ([call(0, "a", "f", ""), call(0, "b", "g", "")], [("a", "f", {}), ("b", "g", {})]),
        ([call(0, "a", "f", "{}"), call(0, "b", "f", "{}")], [("a", "f", {}), ("b", "f", {})]),
        # id and name with every piece
        ([call(0, "a", "f", '{"x"'), call(0, "a", "f", ":1}"), call(1, "b", "g", '{"y"'), call(1, "b", "g", ":2}")],
         BOTH),
        ([call(0, "a", "f", '{"x"'), call(1, "b", "g", B), call(0, "a", "f", ":1}")], BOTH),
        # no index
        ([call(None, "a", "f", '{"x"'), call(None, "b", "g", '{"y"'), call(None, "a", arguments=":1}"),
          call(None, "b", arguments=":2}")], BOTH),
        # no id
        ([call(0, None, "f", A), call(0, None, "g", B)], NAMELESS),
        ([call(0, None, "f", '{"x"'), call(1, None, "g", B), call(0, arguments=":1}")], NAMELESS),
        # neither
        ([call(None, None, "f", '{"x"'), call(None, arguments=":1}"), call(None, None, "g", B)], NAMELESS),
        # an index that counts the pieces
        ([call(0, "a", "f", ""), call(1, arguments='{"x"'), call(2, arguments=":1}"), call(3, "b", "g", ""),
          call(4, arguments=B)], BOTH),
        ([call(0, "a", "f", ""), call(1, "a", None, '{"x"'), call(2, "a", "f", ":1}"), call(3, "b", "g", B)], BOTH),
        # another id with every piece
        ([call(0, "a", "f", '{"x"'), call(0, "z", None, ":1}"), call(1, "b", "g", '{"y"'), call(1, "y", None, ":2}")],
         BOTH),
        ([call(0, "a", "f", '{"x"'), call(0, "z", "f", ":1}"), call(1, "b", "g", B)], BOTH),
        # one id for all
        ([call(0, "a", "f", A), call(1, "a", "g", B)], [("a", "f", {"x": 1}), ("a", "g", {"y": 2})]),
        ([call(0, "a", "f", A), call(1, "a", "f", B)], [("a", "f", {"x": 1}), ("a", "f", {"y": 2})]),
        # an index that is a text
        ([call("0", "a", "f", '{"x"'), call("1", "b", "g", B), call("0", arguments=":1}")], BOTH),
        # a place-holder before the arguments
        ([call(0, "a", "f", "{}"), call(0, arguments='{"x"'), call(0, arguments=":1}"), call(1, "b", "g", "{}"),
          call(1, arguments=B)], BOTH),
        ([call(0, "a", "f", "{"), call(0, arguments="}"), call(0, arguments=A), call(1, "b", "g", B)], BOTH),
        ([call(0, "a", "f", "{}"), call(0, arguments=" "), call(0, arguments=A), call(1, "b", "g", B)], BOTH),
        # all of it once more
        ([call(0, "a", "f", A), call(0, "a", "f", A), call(1, "b", "g", B)], BOTH),
        # name and id behind the arguments
        ([call(0, arguments=A), call(0, "a", "f"), call(1, "b", "g", B)], BOTH),
    ],
)  # fmt: skip
def test_one_answer_from_all_of_these_shapes(pieces: list[Any], expected: list[Any]) -> None:
    """Two calls stay two, whole and in order, whatever the server does with indexes and ids."""
    events = called(pieces)
    assert calls_in(events) == expected
    assert finish_of(events).reason == "tool-calls"
    assert [
        each["function"]["arguments"] for each in finish_of(events).response["choices"][0]["message"]["tool_calls"]
    ] == [event.call.raw_arguments for event in events if isinstance(event, ToolCallEvent)]


def test_calls_of_one_delta_without_ids_are_each_their_own() -> None:
    """In one delta, calls without index and id are different calls, also of one function without arguments."""
    events = events_of(
        [delta(tool_calls=[call(None, None, "f", ""), call(None, None, "f", "")]), delta("tool_calls"), DONE]
    )
    assert [(name, arguments) for _, name, arguments in calls_in(events)] == [("f", {}), ("f", {})]


def test_a_place_holder_is_never_told() -> None:
    """Deltas show the arguments alone; an empty object that stays alone is told at the end."""
    for pieces, told in (([call(0, "a", "f", "{}"), call(0, arguments=A)], A), ([call(0, "a", "f", "{}")], "{}")):
        deltas = [event.text for event in called(pieces) if isinstance(event, ToolInputDelta)]
        assert "".join(deltas) == told


@pytest.mark.slow
def test_a_name_with_every_piece_costs_no_more_than_one() -> None:
    """Thousands of pieces that each bear the name, and end as a whole object would, are one call."""
    pieces = [call(0, None, "f", '{"x":"'), *[call(0, None, "f", "}}}}")] * 20_000, call(0, None, "f", '"}')]
    assert calls_in(called(pieces)) == [("call_c1_0", "f", {"x": "}}}}" * 20_000})]


# --- a whole message in a stream ------------------------------------------------------------------

MESSAGE = {
    "role": "assistant",
    "reasoning_content": "Hm.",
    "content": "Hello",
    "tool_calls": [
        {"id": "a", "type": "function", "function": {"name": "f", "arguments": A}},
        {"id": "b", "type": "function", "function": {"name": "g", "arguments": B}},
    ],
}


def whole(message: Any = MESSAGE, finish: str | None = "tool_calls", **more: Any) -> dict[str, Any]:
    return {"id": "c1", "model": "m", "choices": [{"index": 0, "message": message, "finish_reason": finish, **more}]}


@pytest.mark.parametrize(
    "before",
    [
        [],
        [delta(content="")],
        [delta(reasoning="Hm."), delta(content="Hel")],
        [delta(reasoning_content="H"), delta(content="Hello"), delta(tool_calls=[call(0, "a", "f", '{"x"')])],
        [delta(reasoning_content="Hm."), delta(content="Hello"), delta(tool_calls=[call(0, "a", "f", '{ "x": 1}')])],
        [delta(reasoning_content="Hm."), delta(content="Hello"), delta(tool_calls=MESSAGE["tool_calls"])],
        [whole(finish=None)],
    ],
)
def test_a_whole_message_in_a_stream_is_read(before: list[Any]) -> None:
    """A whole message gives what has not come yet: all, the rest, or nothing; never anything twice."""
    folded = read([*before, whole(), DONE])
    assert (folded.thinking, folded.text) == ("Hm.", "Hello")
    assert [(each.id, each.name, each.arguments) for each in folded.tool_calls] == BOTH
    assert folded.finish is not None
    said = folded.finish.response["choices"][0]["message"]
    assert (said["content"], len(said["tool_calls"])) == ("Hello", 2)


def test_a_message_beside_each_delta_is_what_it_has_come_to() -> None:
    """Perplexity tells with each delta what the message has come to: nothing is said twice."""
    chunks = []
    for at, piece in enumerate(("He", "llo", "")):
        chunk = delta("stop" if not piece else None, content=piece)
        chunk["choices"][0]["message"] = {"role": "assistant", "content": "Hello"[: 2 + 3 * at]}
        chunks.append(chunk)
    assert read(chunks).text == "Hello"


@pytest.mark.parametrize(
    "before", [delta(content="Bye"), delta(reasoning="Ah."), delta(tool_calls=[call(0, "a", "f", '{"x":2}')])]
)
def test_a_whole_message_that_says_something_else_is_refused(before: Any) -> None:
    """A message that contradicts what was streamed is InvalidProviderOutput and shows both."""
    with pytest.raises(InvalidProviderOutput, match=r"whole message|and then"):
        read([before, whole(), DONE])


@pytest.mark.parametrize("message", [5, "x", [1]])
def test_a_message_of_the_wrong_type_is_typed(message: Any) -> None:
    """What is not a message is InvalidProviderOutput."""
    with pytest.raises(InvalidProviderOutput, match="the message of a choice"):
        read([whole(message)])


# --- the old form ---------------------------------------------------------------------------------


def old_calls(events: list[Event]) -> list[tuple[str, str, Any]]:
    found = finish_of(events)
    assert (found.reason, found.raw_reason) == ("tool-calls", "function_call")
    assert found.response["choices"][0]["message"]["function_call"] == {"name": "f", "arguments": A}
    assert "tool_calls" not in found.response["choices"][0]["message"]
    return calls_in(events)


@pytest.mark.parametrize(
    "pieces",
    [
        [{"name": "f", "arguments": ""}, *[{"arguments": piece} for piece in FIRST_PIECES]],
        [{"name": "f"}, *[{"name": "f", "arguments": piece} for piece in FIRST_PIECES]],
        [{"name": "f", "arguments": A}],
    ],
)
def test_the_old_function_call_streams(pieces: list[Any]) -> None:
    """`function_call`, which `tool_calls` replaced, is a tool call; the raw answer shows it as it came."""
    events = events_of([*[delta(function_call=piece) for piece in pieces], delta("function_call"), DONE])
    assert old_calls(events) == [("call_c1_0", "f", {"x": 1})]


def test_the_old_function_call_in_one_piece() -> None:
    """In one piece, and as a whole message in a stream, it is the same call."""
    body = whole(
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": A}}, "function_call"
    )
    for events in (list(unary(json.dumps(body).encode())), events_of([body, DONE]), events_of([body, body, DONE])):
        assert old_calls(events) == [("call_c1_0", "f", {"x": 1})]


def test_a_function_call_that_says_nothing_or_the_same_is_none() -> None:
    """An empty one beside a text, and one beside the same call in its new form, add nothing."""
    empty = {"name": "", "arguments": ""}
    folded = read([delta(content="Hi.", function_call=empty), delta("stop"), DONE])
    assert (folded.text, folded.tool_calls) == ("Hi.", ())
    both: dict[str, Any] = {"function_call": {"name": "f", "arguments": A}, "tool_calls": [call(0, "a", "f", A)]}
    assert calls_in(events_of([delta(**both), delta("tool_calls"), DONE])) == BOTH[:1]


# --- a finish reason with every piece of a call ---------------------------------------------------


def test_a_finish_reason_on_each_piece_of_a_call() -> None:
    """LiteLLM says tool_calls with each piece: the last counts, and inside of arguments it is not an end."""
    pieces = [call(0, "a", "f", '{"x"'), call(0, arguments=":1}"), call(1, "b", "g", B)]
    chunks = [delta("tool_calls", tool_calls=[piece]) for piece in pieces]
    assert calls_in(events_of([*chunks, DONE])) == BOTH
    assert calls_in(events_of(chunks)) == BOTH  # a server that gives no [DONE]
    with pytest.raises(IncompleteStream, match="arguments"):
        events_of(chunks[:1])
    bare = [delta("tool_calls", tool_calls=[call(0, "a", "f", "")])]  # whose arguments were to come
    with pytest.raises(IncompleteStream, match="arguments"):
        events_of(bare)
    assert calls_in(events_of([*bare, DONE])) == [("a", "f", {})]
    assert calls_in(events_of([*bare, delta("tool_calls")])) == [("a", "f", {})]


def test_arguments_that_the_limit_cut_are_no_broken_stream() -> None:
    """Where the limit was hit, arguments end in the middle, and the answer is complete all the same."""
    events = events_of([delta("length", tool_calls=[call(0, "a", "f", '{"x"')])])
    assert isinstance(events[-1], Finish)
    assert (fold(events).finish or events[-1]).raw_reason == "length"
