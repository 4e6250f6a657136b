"""Reading Bedrock's Converse: every quirk of a stream, and the answer in one piece, by bytes of our own."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from mellite.errors import IncompleteStream
from mellite.events import (
    Event,
    Finish,
    ReasoningDelta,
    ReasoningEnd,
    ReasoningStart,
    StepFinish,
    StepStart,
    TextDelta,
    TextEnd,
    TextStart,
    ToolCallEvent,
    ToolInputDelta,
    ToolInputEnd,
    ToolInputError,
    ToolInputStart,
    ToolResultEvent,
)
from mellite.messages import Reasoning, Text, ToolCall, ToolResult, ToolValue
from mellite.protocols.bedrock_converse.stream import initial, step, unary
from mellite.values.fold import fold
from tests.protocols.bedrock_converse.converse import (
    BEGIN,
    REQUEST,
    SAYS_A,
    answer,
    begin,
    called,
    end,
    events_of,
    finish_of,
    more,
    read,
    stop,
    text,
    thought,
    whole,
)


def calls_in(events: list[Event]) -> list[tuple[str, str, Any]]:
    return [
        (event.call.id, event.call.name, event.call.arguments) for event in events if isinstance(event, ToolCallEvent)
    ]


# --- text and thinking ----------------------------------------------------------------------------


def test_text_streams_in_a_block_of_one_step() -> None:
    """Text deltas are given as they were sent, inside one block, one step and before one Finish; empty ones are not."""
    events = events_of([BEGIN, text(0, "Hel"), text(0, ""), text(0, "lo."), stop(0), *end()])
    assert events[:-1] == [
        StepStart(),
        TextStart("text-0"),
        TextDelta("Hel", "text-0"),
        TextDelta("lo.", "text-0"),
        TextEnd("text-0"),
        StepFinish(0, reason="stop", raw_reason="end_turn", usage=finish_of(events).usage),
    ]
    assert (finish_of(events).reason, finish_of(events).raw_reason) == ("stop", "end_turn")


def test_a_block_that_begins_with_an_empty_text_still_begins() -> None:
    """The first delta may be empty: the block begins with it, and what follows is in it."""
    assert events_of([text(0, ""), text(0, "a"), *end()])[1:4] == [
        TextStart("text-0"),
        TextDelta("a", "text-0"),
        TextEnd("text-0"),
    ]


def test_blocks_are_told_apart_by_their_number() -> None:
    """Text in several blocks keeps them apart, also where their deltas take turns or one is never stopped."""
    folded = read([BEGIN, text(0, "a"), text(1, "b"), text(0, "c"), stop(0), text(1, "d"), *end()])
    assert folded.parts == (Text("ac"), Text("bd"))


def test_thinking_has_a_signature() -> None:
    """Thinking streams in a block of its own, whose signature, in however many pieces, stands at its end."""
    values = [
        BEGIN,
        thought(0, text="Hm"),
        thought(0, text="m."),
        thought(0, signature="si"),
        thought(0, signature="g"),
    ]
    events = events_of([*values, stop(0), text(1, "a"), stop(1), *end()])
    assert events[1:5] == [
        ReasoningStart("reasoning-0"),
        ReasoningDelta("Hm", "reasoning-0"),
        ReasoningDelta("m.", "reasoning-0"),
        ReasoningEnd("reasoning-0", provider_metadata={"bedrock": {"signature": "sig"}}),
    ]
    assert fold(events).thinking == "Hmm."


def test_hidden_thinking_is_kept() -> None:
    """What of the thinking is not shown comes in pieces of base64, and is kept to be sent back as one."""
    pieces = [base64.b64encode(piece).decode() for piece in (b"a", b"bcd")]
    folded = read([BEGIN, *[thought(0, redactedContent=piece) for piece in pieces], stop(0), *SAYS_A[1:], *end()])
    hidden = base64.b64encode(b"abcd").decode()
    assert folded.parts[0] == Reasoning("", provider_metadata={"bedrock": {"redactedContent": hidden}})
    assert folded.thinking is None
    odd = read([thought(0, redactedContent="a!"), thought(0, redactedContent="b"), *end()])
    assert odd.parts[0].provider_metadata == {"bedrock": {"redactedContent": "a!b"}}  # type: ignore[union-attr]


def test_a_block_that_changes_its_kind_is_two() -> None:
    """Thinking and text under one number, as some models send them, are two blocks."""
    folded = read([thought(0, text="Hm."), text(0, "a"), thought(0, text="So."), *end()])
    assert folded.parts == (Reasoning("Hm."), Text("a"), Reasoning("So."))


def test_a_delta_of_two_kinds_loses_nothing() -> None:
    """A delta that brings more than one thing, which none should, gives both."""
    values = [thought(0, text="a"), more(0, reasoningContent={"text": "b"}, text="c"), *end()]
    assert read(values).parts == (Reasoning("ab"), Text("c"))
    values = [text(0, "a"), more(0, text="b", reasoningContent={"text": "c"}), *end()]
    assert read(values).parts == (Text("ab"), Reasoning("c"))


def test_citations_stand_with_their_text() -> None:
    """What a text refers to is kept with it, streamed and in one piece."""
    source = {"title": "T", "source": "s", "location": {"documentPage": {"documentIndex": 0, "start": 1, "end": 2}}}
    part = Text("a", provider_metadata={"bedrock": {"citations": [source]}})
    streamed = events_of([BEGIN, text(0, "a"), more(0, citation=source), stop(0), *end()])
    assert fold(streamed).parts == (part,)
    cited = {"citationsContent": {"content": [{"text": "a"}], "citations": [source]}}
    assert fold(whole(cited)).parts == (part,)
    assert finish_of(streamed).response == answer(cited)


# --- tool calls -----------------------------------------------------------------------------------


def test_a_tool_call_streams_its_arguments() -> None:
    """Pieces of arguments are given as they come; the call is whole when its block ends, before the answer does."""
    events = events_of([BEGIN, *called(0, "t1", "get_weather", '{"city":', '"Paris"}'), *end("tool_use")])
    call = ToolCall("t1", "get_weather", {"city": "Paris"}, raw_arguments='{"city":"Paris"}')
    assert events[1:6] == [
        ToolInputStart("t1", "get_weather"),
        ToolInputDelta("t1", "get_weather", '{"city":'),
        ToolInputDelta("t1", "get_weather", '"Paris"}'),
        ToolInputEnd("t1", "get_weather"),
        ToolCallEvent(call),
    ]
    assert finish_of(events).reason == "tool-calls"


def test_tool_calls_whose_pieces_take_turns() -> None:
    """Two calls at once are kept apart by the number of their block."""
    first, second = called(0, "a", "f", "{", "}"), called(1, "b", "g", '{"x"', ":1}")
    mixed = [part for pair in zip(first, second, strict=True) for part in pair]
    events = events_of([BEGIN, *mixed, more(0, text=""), *end("tool_use")])
    assert calls_in(events) == [("a", "f", {}), ("b", "g", {"x": 1})]
    assert [(event.id, event.text) for event in events if isinstance(event, ToolInputDelta)] == [
        ("a", "{"),
        ("b", '{"x"'),
        ("a", "}"),
        ("b", ":1}"),
    ]


def test_pieces_of_nothing_are_not_given() -> None:
    """An empty piece of arguments, as models send them first, is not an event."""
    events = events_of([*called(0, "a", "f", "", "{}", ""), *end("tool_use")])
    assert [event.text for event in events if isinstance(event, ToolInputDelta)] == ["{}"]


@pytest.mark.parametrize(
    ("pieces", "arguments"),
    [([], {}), ([""], {}), (["null"], None), (["[1]"], [1]), (['"x"'], "x"), (['{"a":"\\ud800"}'], {"a": "\ud800"})],
)
def test_odd_arguments(pieces: list[str], arguments: Any) -> None:
    """No arguments are an empty object; JSON that is none is given as it is."""
    assert calls_in(events_of([*called(0, "a", "f", *pieces), *end("tool_use")])) == [("a", "f", arguments)]


def test_broken_arguments_are_data() -> None:
    """Arguments that are not JSON are an event and a call without arguments; the stream goes on."""
    events = events_of([*called(0, "a", "f", '{"x": tru'), text(1, "b"), stop(1), *end("tool_use")])
    assert ToolInputError("a", "f", raw='{"x": tru') in events
    assert calls_in(events) == [("a", "f", None)]
    assert fold(events).parts == (ToolCall("a", "f", None, raw_arguments='{"x": tru'), Text("b"))
    assert finish_of(events).response["output"]["message"]["content"][0]["toolUse"]["input"] == '{"x": tru'


def test_a_call_that_was_cut_short_is_no_call() -> None:
    """Where the answer hit its limit, a call whose arguments are not whole is not given; a whole one is."""
    events = events_of([*called(0, "a", "f", "{}"), *called(1, "b", "g", '{"x'), *end("max_tokens")])
    assert calls_in(events) == [("a", "f", {})]
    assert finish_of(events).reason == "length"


def test_a_call_is_why_the_answer_ended() -> None:
    """A model that says it simply ended, after it called a tool, waits for the tool."""
    assert finish_of(events_of([*called(0, "a", "f"), *end("end_turn")])).reason == "tool-calls"


def test_tools_that_bedrock_runs() -> None:
    """Calls and results of Bedrock's own tools are marked as such, and keep what has to be sent back."""
    hosted = {"type": "server_tool_use"}
    result = begin(1, toolResult={"toolUseId": "a", "type": "nova_grounding_result", "status": "success"})
    parts = [more(1, toolResult=[{"text": "fo"}]), more(1, toolResult=[{"text": "und"}])]
    events = events_of([BEGIN, *called(0, "a", "nova_grounding", "{}", **hosted), result, *parts, stop(1), *end()])
    noted = {"bedrock": {"type": "server_tool_use"}}
    call = ToolCall("a", "nova_grounding", {}, raw_arguments="{}", provider_executed=True, provider_metadata=noted)
    native = {"toolUseId": "a", "type": "nova_grounding_result", "status": "success", "content": [{"text": "found"}]}
    given = ToolResult(
        "a",
        "nova_grounding",
        ToolValue("text", "found"),
        provider_executed=True,
        provider_metadata={"bedrock": {"toolResult": native}},
    )
    assert ToolCallEvent(call) in events
    assert ToolResultEvent(given) in events
    assert finish_of(events).reason == "stop"
    use = {"toolUse": {"toolUseId": "a", "name": "nova_grounding", "input": {}, **hosted}}
    assert finish_of(events).response == answer(use, {"toolResult": native})
    again = whole(use, {"toolResult": native})
    assert [event for event in again if isinstance(event, ToolResultEvent)] == [ToolResultEvent(given)]


@pytest.mark.parametrize(
    ("status", "content", "value"),
    [
        ("error", [{"text": "no"}], ToolValue("error", "no")),
        ("success", [{"text": "a"}, {"json": {"b": 1}}], ToolValue("json", [{"text": "a"}, {"json": {"b": 1}}])),
        ("success", [], ToolValue("json", [])),
    ],
)
def test_results_of_bedrocks_own_tools(status: str, content: list[Any], value: ToolValue) -> None:
    """Texts are text, or an error where the tool failed; anything else is JSON."""
    (event,) = [
        event
        for event in whole({"toolResult": {"toolUseId": "x", "status": status, "content": content}})
        if isinstance(event, ToolResultEvent)
    ]
    assert event.result.result == value


# --- the end --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool-calls"),
        ("content_filtered", "content-filter"),
        ("guardrail_intervened", "content-filter"),
        ("malformed_model_output", "error"),
        ("malformed_tool_use", "error"),
        ("something_new", "unknown"),
    ],
)
def test_stop_reasons(word: str, reason: str) -> None:
    """Each of Bedrock's reasons has its word here, and is kept as it was; an unknown one does no harm."""
    for events in (events_of([*SAYS_A, *end(word)]), whole({"text": "a"}, reason=word)):
        assert (finish_of(events).reason, finish_of(events).raw_reason) == (reason, word)
        assert fold(events).text == "a"


@pytest.mark.parametrize("count", range(len([*SAYS_A])))
def test_without_a_stop_reason_the_answer_is_incomplete(count: int) -> None:
    """A stream that ends before its stop reason, wherever, is an IncompleteStream, also when usage came."""
    with pytest.raises(IncompleteStream, match=r"broke off|before it began"):
        events_of(SAYS_A[:count])
    with pytest.raises(IncompleteStream) as caught:
        events_of([*SAYS_A, end()[1]])
    assert caught.value.usage is not None
    assert caught.value.usage.output_tokens == 5


def test_an_answer_of_nothing() -> None:
    """An answer without any content is one step of nothing, also where it did not say that it begins."""
    for events in (events_of(end()), whole()):
        assert [type(event) for event in events] == [StepStart, StepFinish, Finish]
        assert finish_of(events).response["output"]["message"] == {"role": "assistant", "content": []}


def test_the_usage_may_be_missing() -> None:
    """Where the stream ends behind the stop reason, the answer is whole; what it used is unknown."""
    events = events_of([*SAYS_A, end()[0]])
    assert finish_of(events).usage is None
    assert finish_of(events).reason == "stop"


def test_usage_before_the_stop_reason() -> None:
    """The order of stop reason and usage makes no difference; nothing is read behind the second of them."""
    state = initial(REQUEST)
    for value in (*SAYS_A, end()[1]):
        step(state, json.dumps(value).encode())
        assert not state.done
    events = list(step(state, json.dumps(end()[0]).encode()))
    assert state.done
    assert finish_of(events).usage is not None


def test_usage_counts_the_cache() -> None:
    """Bedrock counts what came from and went to the cache beside the input: here the input is all of it."""
    used = {"inputTokens": 22, "outputTokens": 13, "totalTokens": 2527, "cacheReadInputTokens": 2000,
            "cacheWriteInputTokens": 492, "cacheReadInputTokenCount": 2000}  # fmt: skip
    for events in (events_of([*SAYS_A, *end(usage=used)]), whole({"text": "a"}, usage=used)):
        usage = finish_of(events).usage
        assert usage is not None
        assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (2514, 13, 2527)
        assert (usage.non_cached_input_tokens, usage.cache_read_input_tokens) == (22, 2000)
        assert (usage.cache_write_input_tokens, usage.raw) == (492, used)


def test_usage_of_zeros_never_replaces_a_real_one() -> None:
    """A second report that says nothing changes nothing."""
    zeros = {"inputTokens": 0, "outputTokens": 0, "totalTokens": 0}
    values = [*SAYS_A, end()[1], {"metadata": {"usage": zeros}}, end()[0]]
    usage = finish_of(events_of(values)).usage
    assert usage is not None
    assert usage.input_tokens == 3
    assert finish_of(events_of([*SAYS_A, *end(usage={"inputTokens": "many"})])).usage is not None


# --- the raw answer -------------------------------------------------------------------------------


def test_a_merged_stream_is_the_answer_in_one_piece() -> None:
    """The pieces of every kind of block, put together, have the shape that Bedrock sends in one piece."""
    trace = {"guardrail": {"actionReason": "No action."}}
    hidden = base64.b64encode(b"ab").decode()
    values = [
        BEGIN,
        thought(0, text="H"), thought(0, text="m."), thought(0, signature="sig"), stop(0),
        thought(1, redactedContent=hidden), stop(1),
        text(2, "a"), text(2, "b"), stop(2),
        *called(3, "t", "f", '{"x":', "1}"),
        begin(4, image={"format": "png"}), more(4, image={"source": {"bytes": "QUI="}}), stop(4),
        {"messageStop": {"stopReason": "tool_use", "additionalModelResponseFields": {"k": 1}, "p": "ab"}},
        {"metadata": {"usage": {"inputTokens": 3}, "metrics": {"latencyMs": 7}, "trace": trace, "p": "x"}},
    ]  # fmt: skip
    events = events_of(values)
    expected = answer(
        {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "sig"}}},
        {"reasoningContent": {"redactedContent": hidden}},
        {"text": "ab"},
        {"toolUse": {"toolUseId": "t", "name": "f", "input": {"x": 1}}},
        {"image": {"format": "png", "source": {"bytes": "QUI="}}},
        reason="tool_use",
        usage={"inputTokens": 3},
        trace=trace,
        additionalModelResponseFields={"k": 1},
    )
    assert finish_of(events).response == expected
    again = unary(json.dumps(expected).encode())
    assert finish_of(list(again)).response == expected
    assert fold(again).parts[:3] == fold(events).parts[:3]
    assert calls_in(list(again)) == calls_in(events)


def test_what_nobody_has_heard_of_is_kept() -> None:
    """Unknown events and blocks change nothing and are in the raw answer; lists and texts go on with each piece."""
    values = [
        BEGIN,
        {"newEvent": {"a": 1}},
        begin(0, song={"key": "C", "bars": [1]}),
        more(0, song={"bars": [2], "words": "la"}),
        more(0, song={"words": "la", "deep": {"x": 1}}),
        more(0, song={"deep": {"y": 2}, "key": "D"}),
        stop(0),
        more(1, oddity=5),
        *end(),
    ]
    response = finish_of(events_of(values)).response
    song, odd = response["output"]["message"]["content"]
    assert song == {"song": {"key": "CD", "bars": [1, 2], "words": "lala", "deep": {"x": 1, "y": 2}}}
    assert odd == {"oddity": 5}
    assert response["newEvent"] == {"a": 1}
