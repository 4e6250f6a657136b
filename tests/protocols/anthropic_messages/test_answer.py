"""What Claude used, errors in an answer, what is not an answer at all, and answers in one piece."""

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
from mellite.events import Finish
from mellite.protocols.anthropic_messages import AnthropicRaw
from mellite.protocols.anthropic_messages.stream import initial, step, unary
from mellite.protocols.error_answers import classify
from mellite.values.records import RawProviderResponse
from tests.protocols.anthropic_messages.claude import (
    REQUEST,
    SAYS_A,
    begin,
    block,
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

FOUND = [{"type": "web_search_result", "url": "https://example.com", "encrypted_content": "abc"}]


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


@pytest.mark.parametrize("data", [b'{"message": "Overloaded"}', b'{"type": "error"}', b'{"error": {"message": "x"}}'])
def test_an_error_event_needs_no_certain_shape(data: bytes) -> None:
    """An event of the name error, of the type error or with an error in it is one."""
    with pytest.raises(MelliteError) as caught:
        step(initial(REQUEST), data, "error" if b"type" not in data else "message")
    assert not isinstance(caught.value, InvalidProviderOutput)


def test_a_prompt_that_leaves_no_room_is_an_overflow() -> None:
    """That input and max_tokens together are too much is a context overflow, too."""
    message = "input length and `max_tokens` exceed context limit: 188240 + 21333 > 200000, decrease input length"
    error = classify(400, {}, json.dumps({"error": {"type": "invalid_request_error", "message": message}}).encode())
    assert isinstance(error, ContextOverflow)


@pytest.mark.parametrize(
    "value",
    [
        "[]", "5", '"s"', "{nonsense", "", '{"type":"message_start"}', '{"type":"message_start","message":5}',
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
    """Text for a block of thinking is not a stream of this protocol."""
    with pytest.raises(InvalidProviderOutput, match="text_delta"):
        events_of([begin(), start(0, "thinking", thinking=""), text(0, "a")])


@pytest.mark.parametrize("value", [{"type": "new_event", "x": 1}, {"x": 1}, {"type": "ping"}, {"type": ["x"]}, stop(9)])
def test_what_says_nothing_is_passed_over(value: dict[str, Any]) -> None:
    """Events of new types, and the end of blocks that never began, are not errors."""
    assert read([value, *SAYS_A, value, *end()]).text == "a"


def test_lone_surrogates_and_broken_bytes_survive() -> None:
    """Half a surrogate pair is text like any other; bytes that are not UTF-8 become replacement characters."""
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
    """A body that is not a message is InvalidProviderOutput."""
    with pytest.raises(InvalidProviderOutput):
        unary(body)


@pytest.mark.parametrize("head", [b"", b'"type":"error",'])
def test_an_error_in_place_of_an_answer_is_raised(head: bytes) -> None:
    """An error object with status 200 is the error that it says."""
    with pytest.raises(ProviderInternal, match="Overloaded"):
        unary(b"{" + head + b'"error":{"type":"overloaded_error","message":"Overloaded"}}')
    with pytest.raises(MelliteError, match="instead of an answer"):
        unary(b'{"type":"error"}')


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
