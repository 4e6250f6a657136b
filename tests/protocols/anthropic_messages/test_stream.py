"""Reading a stream of Anthropic Messages: text, thinking, tools, and how it ends, by bytes of our own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mellite.errors import IncompleteStream
from mellite.events import (
    Event,
    ReasoningDelta,
    ReasoningEnd,
    ReasoningStart,
    ResponseStart,
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
from mellite.messages import Reasoning, Text, ToolCall, ToolResult
from mellite.protocols.anthropic_messages.stream import initial, step
from mellite.values.fold import fold
from tests.protocols.anthropic_messages.claude import (
    CALL,
    REQUEST,
    SAYS_A,
    begin,
    block,
    delta,
    end,
    events_of,
    finish_of,
    read,
    start,
    stop,
    text,
    thought,
    whole,
    written,
)

SEARCH = {"id": "srvtoolu_1", "name": "web_search", "input": {}}
FOUND = [{"type": "web_search_result", "url": "https://example.com", "encrypted_content": "abc"}]


def calls_in(events: list[Event]) -> list[tuple[str, str, Any]]:
    return [
        (event.call.id, event.call.name, event.call.arguments) for event in events if isinstance(event, ToolCallEvent)
    ]


# --- text and thinking ----------------------------------------------------------------------------


def test_text_streams_in_a_block_of_one_step() -> None:
    """Text deltas are given as they were sent, inside one block, one step and before one Finish."""
    values = [begin(), *block(0, "text", text(0, "Hel"), {"type": "ping"}, text(0, "lo."), text=""), *end()]
    assert events_of(values)[:-1] == [
        ResponseStart(response_id="msg_1", response_model="claude"),
        StepStart(),
        TextStart("text-0"),
        TextDelta("Hel"),
        TextDelta("lo."),
        TextEnd("text-0"),
        StepFinish(reason="stop", raw_reason="end_turn", usage=finish_of(events_of(values)).usage),
    ]


def test_names_of_events_are_not_needed() -> None:
    """A host that sends no event names is read by the types in the JSON."""
    values = [*SAYS_A, *end()]
    assert events_of(values, named=False) == events_of(values)


def test_thinking_ends_with_its_signature() -> None:
    """Thinking keeps its signature for the next turn; the delta that brings it does not end the block."""
    deltas = [thought(0, "Hm"), delta(0, "signature_delta", signature="sig"), thought(0, "m.")]
    values = [
        begin(),
        *block(0, "thinking", *deltas, thinking="", signature=""),
        *block(1, "text", text="Yes."),
        *end(),
    ]
    assert [event for event in events_of(values) if "Reasoning" in type(event).__name__] == [
        ReasoningStart("reasoning-0"),
        ReasoningDelta("Hm", "reasoning-0"),
        ReasoningDelta("m.", "reasoning-0"),
        ReasoningEnd("reasoning-0", provider_metadata={"anthropic": {"signature": "sig"}}),
    ]
    folded = read(values)
    assert (folded.thinking, folded.text) == ("Hmm.", "Yes.")
    assert folded.parts == (
        Reasoning("Hmm.", provider_metadata={"anthropic": {"signature": "sig"}}),
        Text("Yes."),
    )


def test_redacted_thinking_is_an_empty_part() -> None:
    """Redacted thinking shows no text, and its data is kept to be sent back."""
    folded = read([begin(), *block(0, "redacted_thinking", data="xyz"), *block(1, "text", text="Yes."), *end()])
    assert folded.thinking is None
    assert folded.parts[0] == Reasoning("", provider_metadata={"anthropic": {"redacted_data": "xyz"}})


def test_thinking_that_is_not_shown_keeps_its_signature() -> None:
    """Where the provider leaves out what was thought, an empty part carries the signature."""
    folded = read([begin(), *block(0, "thinking", thinking="", signature="sig"), *end()])
    assert folded.thinking is None
    assert folded.parts == (Reasoning("", provider_metadata={"anthropic": {"signature": "sig"}}),)


def test_blocks_of_text_are_joined() -> None:
    """Text that comes in several blocks, as between citations, is one text; the citations stay with their block."""
    cited = {"type": "web_search_result_location", "url": "https://example.com", "encrypted_index": "i"}
    values = [
        begin(),
        *block(0, "text", text(0, "It is "), text=""),
        *block(1, "text", delta(1, "citations_delta", citation=cited), text(1, "sunny"), citations=[], text=""),
        *block(2, "text", text(2, "."), text=""),
        *end(),
    ]
    folded = read(values)
    assert folded.text == "It is sunny."
    assert folded.parts[1] == Text("sunny", provider_metadata={"anthropic": {"citations": [cited]}})
    assert finish_of(events_of(values)).response["content"][1] == {
        "type": "text",
        "text": "sunny",
        "citations": [cited],
    }


def test_a_block_of_a_new_kind_comes_back() -> None:
    """A block that no part can hold is kept whole, to be sent back; what its deltas bring is in it."""
    values = [begin(), *block(0, "compaction", delta(0, "compaction_delta", content="Long ago."), content=None), *end()]
    known = {"type": "compaction", "content": "Long ago."}
    assert read(values).parts == (Reasoning("", provider_metadata={"anthropic": {"block": known}}),)
    assert finish_of(events_of(values)).response["content"] == [known]


# --- tools ----------------------------------------------------------------------------------------


def test_a_tool_call() -> None:
    """The input of a call streams raw; when its block ends the call is whole."""
    values = [
        begin(),
        *block(0, "tool_use", written(0, ""), written(0, '{"city":'), written(0, '"Paris"}'), **CALL),
        *end("tool_use"),
    ]
    assert events_of(values)[2:-2] == [
        ToolInputStart("toolu_1", "get_weather"),
        ToolInputDelta("toolu_1", "get_weather", '{"city":'),
        ToolInputDelta("toolu_1", "get_weather", '"Paris"}'),
        ToolInputEnd("toolu_1", "get_weather"),
        ToolCallEvent(ToolCall("toolu_1", "get_weather", {"city": "Paris"}, raw_arguments='{"city":"Paris"}')),
    ]
    assert finish_of(events_of(values)).reason == "tool-calls"


def test_input_may_be_there_at_the_start() -> None:
    """A call without deltas has the input that its block begins with; one without any input has none."""
    both = [*block(0, "tool_use", **{**CALL, "input": {"a": 1}}), *block(1, "tool_use", **{**CALL, "id": "toolu_2"})]
    events = events_of([begin(), *both, *end("tool_use")])
    assert calls_in(events) == [("toolu_1", "get_weather", {"a": 1}), ("toolu_2", "get_weather", {})]


@pytest.mark.parametrize("id", [None, "", 5])
def test_a_call_without_an_id_gets_one(id: Any) -> None:
    """A call needs an id to be answered: of a host that gives none it has one of its own, also in the raw answer."""
    events = events_of([begin(), *block(2, "tool_use", **{**CALL, "id": id}), *end("tool_use")])
    assert calls_in(events) == [("toolu_msg_1_2", "get_weather", {})]
    assert finish_of(events).response["content"][0]["id"] == "toolu_msg_1_2"


def test_what_is_not_known_of_an_answer_is_not_told() -> None:
    """Ids and names of models that are not texts are passed over; the rest of the message is in the raw answer."""
    events = events_of([begin(id="", model=5, service="x"), *block(0, "text", text="a"), *end()])
    assert not [event for event in events if isinstance(event, ResponseStart)]
    response = finish_of(events).response
    assert (response["service"], response["stop_reason"], response["role"]) == ("x", "end_turn", "assistant")


def test_who_called_is_kept_unless_it_is_the_model() -> None:
    """A call made by code that the server runs says so, and has to say so again; a direct one needs no words."""
    coded = {"type": "code_execution_20260120", "tool_id": "srvtoolu_1"}
    values = [
        begin(),
        *block(0, "tool_use", caller={"type": "direct"}, **CALL),
        *block(1, "tool_use", caller=coded, **{**CALL, "id": "toolu_2"}),
        *end("tool_use"),
    ]
    assert [call.provider_metadata for call in read(values).tool_calls] == [None, {"anthropic": {"caller": coded}}]


def test_broken_input_is_an_event_and_data() -> None:
    """Input that is not JSON does not end the stream: the call comes with what the model wrote."""
    events = events_of([begin(), *block(0, "tool_use", written(0, '{"city"'), **CALL), *end("tool_use")])
    assert ToolInputError("toolu_1", "get_weather", raw='{"city"') in events
    assert calls_in(events) == [("toolu_1", "get_weather", None)]
    assert fold(events).tool_calls[0].raw_arguments == '{"city"'
    assert finish_of(events).response["content"][0]["input"] == '{"city"'


@pytest.mark.parametrize("reason", ["max_tokens", "refusal", "model_context_window_exceeded"])
def test_a_call_that_was_cut_short_is_no_call(reason: str) -> None:
    """Where the answer hit its limit, a call that is not whole is not to be run."""
    events = events_of([begin(), *block(0, "tool_use", written(0, '{"city"'), **CALL), *end(reason)])
    assert calls_in(events) == []
    assert fold(events).tool_calls[0].arguments is None


def test_calls_whose_input_interleaves() -> None:
    """Blocks may grow side by side; each delta goes to the block of its number."""
    values = [
        begin(), start(0, "tool_use", **CALL), start(1, "tool_use", **{**CALL, "id": "toolu_2"}),
        written(1, '{"b"'), written(0, '{"a"'), written(1, ":2}"), written(0, ":1}"), stop(1), stop(0),
        *end("tool_use"),
    ]  # fmt: skip
    assert [call.arguments for call in read(values).tool_calls] == [{"a": 1}, {"b": 2}]


def test_tools_of_the_server() -> None:
    """A call that the server runs, and its result, are parts of the message that nobody here has to answer."""
    result = {"tool_use_id": "srvtoolu_1", "content": FOUND}
    values = [
        begin(),
        *block(0, "server_tool_use", written(0, '{"query":"x"}'), **SEARCH),
        *block(1, "web_search_tool_result", **result),
        *block(2, "text", text(2, "Found."), text=""),
        *end(),
    ]
    folded = read(values)
    call, found, said = folded.parts
    assert isinstance(call, ToolCall)
    assert (call.provider_executed, call.arguments) == (True, {"query": "x"})
    assert isinstance(found, ToolResult)
    assert (found.id, found.name, found.provider_executed) == ("srvtoolu_1", "web_search", True)
    assert (found.result.type, found.result.value) == ("json", FOUND)
    assert found.provider_metadata == {"anthropic": {"type": "web_search_tool_result"}}
    assert said == Text("Found.")
    assert finish_of(events_of(values)).reason == "stop"  # nothing is left to be done


@pytest.mark.parametrize(
    ("result", "failed"),
    [
        ({"content": {"type": "web_search_tool_result_error", "error_code": "max_uses_exceeded"}}, True),
        ({"content": [], "is_error": True}, True),
        ({"content": {"type": "web_fetch_result"}}, False),
    ],
)
def test_a_tool_of_the_server_may_fail(result: dict[str, Any], failed: bool) -> None:
    """A result that says that the tool failed is an error result; the answer goes on."""
    events = whole({"type": "web_search_tool_result", "tool_use_id": "srvtoolu_9", **result})
    results = [event.result for event in events if isinstance(event, ToolResultEvent)]
    assert [(item.name, item.result.type) for item in results] == [("web_search", "error" if failed else "json")]


def test_tools_over_mcp_are_the_servers() -> None:
    """A call of an MCP tool that the server runs keeps its type and its server's name."""
    events = whole({"type": "mcp_tool_use", "id": "mcptoolu_1", "name": "echo", "server_name": "s", "input": {"a": 1}})
    call = fold(events).tool_calls[0]
    assert (call.provider_executed, call.arguments) == (True, {"a": 1})
    assert call.provider_metadata == {"anthropic": {"type": "mcp_tool_use", "server_name": "s"}}


# --- how it ends ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "reason"),
    [("end_turn", "stop"), ("stop_sequence", "stop"), ("pause_turn", "stop"), ("max_tokens", "length"),
     ("model_context_window_exceeded", "length"), ("tool_use", "tool-calls"), ("refusal", "content-filter"),
     ("soon", "unknown")],
)  # fmt: skip
def test_stop_reasons(word: str, reason: str) -> None:
    """Each stop reason has its word in mellite; the provider's own is kept, also an unknown one."""
    finish = finish_of(events_of([*SAYS_A, *end(word)]))
    assert (finish.reason, finish.raw_reason) == (reason, word)
    finish = finish_of(whole({"type": "text", "text": "a"}, reason=word))
    assert (finish.reason, finish.raw_reason) == (reason, word)


def test_end_turn_with_a_call_means_tool_calls() -> None:
    """A call that is to be answered makes the reason tool-calls, whatever the word."""
    finish = finish_of(events_of([begin(), *block(0, "tool_use", **CALL), *end("end_turn")]))
    assert (finish.reason, finish.raw_reason) == ("tool-calls", "end_turn")


def test_a_refusal_says_why() -> None:
    """The explanation of a refusal is told with the finish, and is not text."""
    details = {"type": "refusal", "category": "cyber", "explanation": "Too dangerous."}
    events = events_of([*SAYS_A, *end("refusal", stop_details=details)])
    assert (finish_of(events).reason, finish_of(events).refusal) == ("content-filter", "Too dangerous.")
    assert finish_of(events).response["stop_details"] == details


@pytest.mark.parametrize("values", [[], [begin()], SAYS_A, [*SAYS_A, *end(None)], [*SAYS_A, {"type": "message_stop"}]])
def test_no_stop_reason_is_incomplete(values: list[Any]) -> None:
    """A stream that ends without a stop reason broke off, with message_stop and without."""
    with pytest.raises(IncompleteStream):
        events_of(values)


def test_trouble_no_longer_matters_once_the_reason_is_known() -> None:
    """With its stop reason an answer is complete, and with message_stop it is over: nothing more has to be read."""
    state = initial(REQUEST)
    seen = []
    for value in [*SAYS_A, *end()]:
        step(state, json.dumps(value).encode(), value["type"])
        seen.append((state.complete, state.done))
    assert seen == [*[(False, False)] * len(SAYS_A), (True, False), (True, True)]


def test_the_end_is_not_needed_where_the_reason_is_known() -> None:
    """A stream that is cut between its stop reason and message_stop has lost nothing."""
    assert read([*SAYS_A, end()[0]]).text == "a"


def test_blocks_that_never_end_end_with_the_message() -> None:
    """A host that forgets to end its blocks loses neither text nor calls."""
    events = events_of([begin(), start(0, "tool_use", **CALL), written(0, '{"a":1}'), *end("tool_use")])
    assert calls_in(events) == [("toolu_1", "get_weather", {"a": 1})]


def test_the_last_of_several_stop_reasons_counts() -> None:
    """Two message_deltas give one Finish with the last reason."""
    finish = finish_of(events_of([*SAYS_A, end("max_tokens")[0], *end("end_turn")]))
    assert finish.raw_reason == "end_turn"


def test_deltas_without_a_start_open_their_block() -> None:
    """A delta for a block that has not begun begins it; numbers may have gaps."""
    cited = delta(7, "citations_delta", citation={"url": "u"})
    signed = delta(3, "signature_delta", signature="sig")
    values = [begin(), signed, thought(3, "Hm."), cited, text(7, "a"), text(7, "b"), *end()]
    folded = read(values)
    assert (folded.thinking, folded.text) == ("Hm.", "ab")
    assert finish_of(events_of(values)).response["content"] == [
        {"type": "thinking", "thinking": "Hm.", "signature": "sig"},
        {"type": "text", "text": "ab", "citations": [{"url": "u"}]},
    ]


def test_a_number_may_be_used_again() -> None:
    """A host that gives each of its blocks the same number loses none of them."""
    values = [begin(), *block(0, "text", text="a"), *block(0, "text", text="b"), start(0, "text", text="c"), *end()]
    assert read(values).text == "abc"
    contents = finish_of(events_of(values)).response["content"]
    assert [item["text"] for item in contents] == ["a", "b", "c"]
