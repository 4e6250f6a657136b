"""Reading Anthropic Messages: every quirk of a stream, and the answer in one piece, by bytes of our own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mellite.errors import (
    AuthenticationError,
    ContextOverflow,
    IncompleteStream,
    InvalidProviderOutput,
    MelliteError,
    ProviderInternal,
    RateLimited,
)
from mellite.events import (
    Event,
    Finish,
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
from mellite.fold import fold
from mellite.messages import Reasoning, Text, ToolCall, ToolResult
from mellite.protocols.anthropic_messages import AnthropicRaw, classify, initial, step
from mellite.records import RawProviderResponse
from tests.protocols.claude import (
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
    """Input that is no JSON does not end the stream: the call comes with what the model wrote."""
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
    """The explanation of a refusal is told with the finish, and is no text."""
    details = {"type": "refusal", "category": "cyber", "explanation": "Too dangerous."}
    events = events_of([*SAYS_A, *end("refusal", stop_details=details)])
    assert (finish_of(events).reason, finish_of(events).refusal) == ("content-filter", "Too dangerous.")
    assert finish_of(events).response["stop_details"] == details


@pytest.mark.parametrize("values", [[], [begin()], SAYS_A, [*SAYS_A, *end(None)], [*SAYS_A, {"type": "message_stop"}]])
def test_no_stop_reason_is_incomplete(values: list[Any]) -> None:
    """A stream that ends without a stop reason broke off, with message_stop and without."""
    with pytest.raises(IncompleteStream):
        events_of(values)


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
    values = [begin(), thought(3, "Hm."), text(7, "a"), text(7, "b"), *end()]
    folded = read(values)
    assert (folded.thinking, folded.text) == ("Hm.", "ab")
    assert [item["type"] for item in finish_of(events_of(values)).response["content"]] == ["thinking", "text"]


def test_a_number_may_be_used_again() -> None:
    """A host that gives each of its blocks the same number loses none of them."""
    values = [begin(), *block(0, "text", text="a"), *block(0, "text", text="b"), start(0, "text", text="c"), *end()]
    assert read(values).text == "abc"
    contents = finish_of(events_of(values)).response["content"]
    assert [item["text"] for item in contents] == ["a", "b", "c"]


# --- usage ----------------------------------------------------------------------------------------


def test_usage_is_inclusive_and_split() -> None:
    """What was cached counts as input; thinking is a part of the output; the raw object is merged."""
    first = {"input_tokens": 9, "cache_read_input_tokens": 20, "cache_creation_input_tokens": 30, "output_tokens": 1}
    last = {"output_tokens": 7, "output_tokens_details": {"thinking_tokens": 4}}
    usage = finish_of(events_of([begin(usage={**first, "service_tier": "standard"}), *end(usage=last)])).usage
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens, usage.reasoning_tokens) == (59, 7, 66, 4)
    assert (usage.non_cached_input_tokens, usage.cache_read_input_tokens, usage.cache_write_input_tokens) == (9, 20, 30)
    assert usage.raw == {**first, **last, "service_tier": "standard"}


@pytest.mark.parametrize(
    ("first", "last", "counts"),
    [
        ({"input_tokens": 3, "output_tokens": 1}, {"input_tokens": 0, "output_tokens": 9}, (3, 9)),
        ({"input_tokens": 0, "output_tokens": 0}, {"input_tokens": 5, "output_tokens": 9}, (5, 9)),
        ({"input_tokens": 3, "output_tokens": 1}, {}, (3, 1)),
        ({"input_tokens": "x", "output_tokens": -1}, {"output_tokens": True}, (None, None)),
        (5, "x", None),
    ],
)
def test_usage_comes_in_two_reports(first: Any, last: Any, counts: Any) -> None:
    """The later report wins, but zeros never replace a count, and what makes no sense is unknown."""
    usage = finish_of(events_of([begin(usage=first), *end(usage=last)])).usage
    assert (None if usage is None else (usage.input_tokens, usage.output_tokens)) == counts


# --- errors and nonsense --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["error", "message"])
@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"type": "overloaded_error", "message": "Overloaded"}, ProviderInternal),
        ({"type": "api_error", "message": "Internal server error"}, ProviderInternal),
        ({"type": "timeout_error", "message": "Timed out"}, ProviderInternal),
        ({"type": "rate_limit_error", "message": "Slow down"}, RateLimited),
        ({"type": "authentication_error", "message": "invalid x-api-key"}, AuthenticationError),
        ({"type": "invalid_request_error", "message": "prompt is too long: 9 tokens > 8 maximum"}, ContextOverflow),
        ("something", MelliteError),
    ],
)
def test_an_error_inside_the_stream_has_its_type(error: Any, kind: type[MelliteError], name: str) -> None:
    """An error event is the error that it says, with the usage so far."""
    state = initial(REQUEST)
    step(state, json.dumps(begin()).encode(), "message_start")
    with pytest.raises(kind) as caught:
        step(state, json.dumps({"type": "error", "error": error, "request_id": "req_1"}).encode(), name)
    assert caught.value.usage is not None
    assert caught.value.usage.input_tokens == 3


def test_a_prompt_that_leaves_no_room_is_an_overflow() -> None:
    """That input and max_tokens together are too much is a context overflow, too."""
    message = "input length and `max_tokens` exceed context limit: 188240 + 21333 > 200000, decrease input length"
    error = classify(400, {}, json.dumps({"error": {"type": "invalid_request_error", "message": message}}).encode())
    assert isinstance(error, ContextOverflow)


@pytest.mark.parametrize(
    "value",
    [
        "[]", "null", "5", '"s"', "{nonsense", "", '{"type":"message_start"}', '{"type":"message_start","message":5}',
        '{"type":"content_block_start","index":0}', '{"type":"content_block_start","index":0,"content_block":5}',
        '{"type":"content_block_start","content_block":{"type":"text"}}',
        '{"type":"content_block_start","index":"0","content_block":{"type":"text"}}',
        '{"type":"content_block_start","index":0,"content_block":{"type":"text","text":5}}',
        '{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"a"}}',
        '{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","name":5}}',
        '{"type":"content_block_delta","index":0}', '{"type":"content_block_delta","index":0,"delta":[]}',
        '{"type":"content_block_delta","index":9,"delta":{"type":"input_json_delta","partial_json":"{"}}',
        '{"type":"content_block_delta","index":9,"delta":{"type":"new_delta"}}',
        '{"type":"content_block_delta","index":9,"delta":{"type":["x"]}}',
        '{"type":"content_block_delta","index":9,"delta":{"type":"text_delta","text":5}}',
        '{"type":"content_block_stop"}', '{"type":"message_delta","delta":5}',
        '{"type":"message_delta","delta":{"stop_reason":5}}', "[" * 100_000 + "]" * 100_000, '{"a":NaN}',
        '{"a":%s}' % ("9" * 10_000),
    ],
)  # fmt: skip
@pytest.mark.parametrize("before", [[], SAYS_A])
def test_what_is_no_event_is_typed(value: str, before: list[Any]) -> None:
    """JSON of the wrong types, too deep or no JSON at all is InvalidProviderOutput, whatever came before."""
    with pytest.raises(InvalidProviderOutput) as caught:
        events_of([*before, value])
    assert not isinstance(caught.value, IncompleteStream)
    assert len(str(caught.value)) < 1000


def test_a_delta_of_another_kind_than_its_block_is_invalid() -> None:
    """Text for a block of thinking is no stream of this protocol."""
    with pytest.raises(InvalidProviderOutput, match="text_delta"):
        events_of([begin(), start(0, "thinking", thinking=""), text(0, "a")])


@pytest.mark.parametrize("value", [{"type": "new_event", "x": 1}, {"x": 1}, {"type": "ping"}, {"type": ["x"]}, stop(9)])
def test_what_says_nothing_is_passed_over(value: dict[str, Any]) -> None:
    """Events of new types, and the end of blocks that never began, are no errors."""
    assert read([value, *SAYS_A, value, *end()]).text == "a"


def test_lone_surrogates_and_broken_bytes_survive() -> None:
    """Half a surrogate pair is text like any other; bytes that are no UTF-8 become replacement characters."""
    lone = b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"\\ud800"}}'
    broken = b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"\xff"}}'
    folded = read([begin(), start(0, "text", text=""), lone, broken, *end()])
    assert folded.text == "\ud800\ufffd"


# --- the answer in one piece ----------------------------------------------------------------------


def test_a_whole_answer_gives_the_same_events_as_a_stream() -> None:
    """Whether it streams makes no difference to what is read, but for where the deltas are cut."""
    content: list[dict[str, Any]] = [
        {"type": "thinking", "thinking": "Hm.", "signature": "sig"},
        {"type": "redacted_thinking", "data": "xyz"},
        {"type": "text", "text": "Let me see."},
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "x"}},
        {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": FOUND},
        {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Paris"}},
    ]
    grown = {"thinking": ("thinking", thought), "text": ("text", text)}
    values = [begin()]
    for index, item in enumerate(content):
        if item["type"] in grown:
            field, more = grown[item["type"]]
            empty = {name: value for name, value in item.items() if name not in ("type", field)}
            values += block(index, item["type"], more(index, item[field]), **{field: ""}, **empty)
        elif "input" in item:
            raw = json.dumps(item["input"], separators=(",", ":"))
            empty = {**{name: value for name, value in item.items() if name != "type"}, "input": {}}
            values += block(index, item["type"], written(index, raw), **empty)
        else:
            values += block(index, item["type"], **{name: value for name, value in item.items() if name != "type"})
    used = {"input_tokens": 3, "output_tokens": 5}
    streamed = events_of([*values, *end("tool_use")])
    at_once = whole(*content, reason="tool_use", usage=used, stop_sequence=None)
    assert streamed == at_once
    assert finish_of(streamed).response == finish_of(at_once).response


def test_a_whole_answer_keeps_what_it_came_with() -> None:
    """The raw answer is the provider's own object."""
    finish = finish_of(whole({"type": "text", "text": "a"}, context_management={"x": 1}, container={"id": "c"}))
    assert finish.response["context_management"] == {"x": 1}
    assert finish.response["content"] == [{"type": "text", "text": "a"}]


def test_a_whole_answer_without_a_reason_has_an_unknown_one() -> None:
    """An answer in one piece cannot have broken off: without a stop reason its end is unknown."""
    finish = finish_of(whole({"type": "text", "text": "a"}, reason=None))
    assert (finish.reason, finish.raw_reason) == ("unknown", None)


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b"{}", b'{"content":"a"}', b'{"content":[5]}', b'{"content":[{"type":"text","text":5}]}',
     b'{"content":[],"stop_reason":5}', b"{", b"[" * 100_000],
)  # fmt: skip
def test_what_is_no_answer_is_typed(body: bytes) -> None:
    """A body that is no message is InvalidProviderOutput."""
    from mellite.protocols.anthropic_messages import unary

    with pytest.raises(InvalidProviderOutput):
        unary(body)


def test_an_error_in_place_of_an_answer_is_raised() -> None:
    """An error object with status 200 is the error that it says."""
    from mellite.protocols.anthropic_messages import unary

    with pytest.raises(ProviderInternal, match="Overloaded"):
        unary(b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}')


def test_the_raw_class_is_found_by_the_protocol() -> None:
    """Raw answers of this protocol have a class of their own."""
    assert RawProviderResponse.for_protocol("anthropic-messages") is AnthropicRaw


def test_merging_takes_linear_time() -> None:
    """A hundred thousand deltas, on the short way and on the long one, merge in linear time."""
    for more in ({}, {"odd": 1}):
        data = json.dumps({**text(0, "word "), **more})
        events = events_of([begin(), start(0, "text", text=""), *[data] * 50_000, *end()])
        finish = events[-1]
        assert isinstance(finish, Finish)
        assert len(finish.response["content"][0]["text"]) == 250_000
