"""Reading Chat Completions: every quirk of a stream, and the answer in one piece, by bytes of our own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mellite.errors import (
    ContextOverflow,
    IncompleteStream,
    InvalidProviderOutput,
    MelliteError,
    ProviderInternal,
    RateLimited,
)
from mellite.events import (
    ReasoningDelta,
    ReasoningEnd,
    ReasoningStart,
    ResponseStart,
    StepFinish,
    StepStart,
    TextDelta,
    TextEnd,
    TextStart,
)
from mellite.protocols.openai_chat import OpenAIChatRaw
from mellite.protocols.openai_chat.stream import initial, step, unary
from mellite.values.fold import fold
from mellite.values.records import RawProviderResponse
from tests.protocols.openai_chat.chunks import (
    DONE,
    REQUEST,
    WEATHER,
    call,
    called,
    calls_in,
    delta,
    events_of,
    finish_of,
    read,
)

# --- text, thinking and how they follow each other ------------------------------------------------


def test_text_streams_in_a_block_of_one_step() -> None:
    """Text deltas are given as they were sent, inside one block, one step and before one Finish."""
    chunks = [delta(role="assistant", content=""), delta(content="Hel"), delta(content="lo."), delta("stop"), DONE]
    assert events_of(chunks)[:-1] == [
        ResponseStart(response_id="c1", response_model="m"),
        StepStart(),
        TextStart("text-0"),
        TextDelta("Hel"),
        TextDelta("lo."),
        TextEnd("text-0"),
        StepFinish(reason="stop", raw_reason="stop"),
    ]


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning", "reasoning_text"])
def test_thinking_has_many_names(field: str) -> None:
    """Thinking is read from each field that hosts use, in a block that ends where the text begins."""
    chunks = [delta(**{field: "Hm"}), delta(**{field: "m."}), delta(content="Yes."), delta("stop"), DONE]
    events = [
        event for event in events_of(chunks) if "Reasoning" in type(event).__name__ or "Text" in type(event).__name__
    ]
    assert events == [
        ReasoningStart("reasoning-0"),
        ReasoningDelta("Hm"),
        ReasoningDelta("m."),
        ReasoningEnd("reasoning-0"),
        TextStart("text-0"),
        TextDelta("Yes."),
        TextEnd("text-0"),
    ]


def test_two_names_of_the_same_thinking_are_read_once() -> None:
    """Where a delta has the same thinking under two names, it counts once."""
    folded = read([delta(reasoning_content="Hm.", reasoning="Hm."), delta("stop", content="Yes."), DONE])
    assert (folded.thinking, folded.text) == ("Hm.", "Yes.")


def test_thinking_may_come_again_after_text() -> None:
    """Thinking after text is a block of its own; the text goes on."""
    folded = read(
        [delta(reasoning="a"), delta(content="1"), delta(reasoning="b"), delta(content="2"), delta("stop"), DONE]
    )
    assert (folded.thinking, folded.text) == ("ab", "12")
    events = events_of([delta(reasoning="a"), delta(content="1"), delta(reasoning="b"), delta("stop")])
    ids = [event.id for event in events if isinstance(event, ReasoningStart)]
    assert ids == ["reasoning-0", "reasoning-1"]


def test_thinking_and_text_in_one_delta_come_in_this_order() -> None:
    """A delta with both gives thinking first, also in the middle of a stream of text."""
    folded = read([delta(content="a"), delta(content="b", reasoning_content="t"), delta("stop"), DONE])
    assert (folded.thinking, folded.text) == ("t", "ab")


def test_content_may_be_a_list_of_parts() -> None:
    """Content in parts gives its text and its thinking; other parts stay in the raw answer."""
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]},
        {"type": "text", "text": "Yes."},
        {"type": "reference", "reference_ids": [1]},
    ]
    events = events_of([delta(content=parts), delta(content=" Sure."), delta("stop"), DONE])
    assert (fold(events).thinking, fold(events).text) == ("Hm.", "Yes. Sure.")
    merged = finish_of(events).response["choices"][0]["message"]["content"]
    assert merged == [*parts, {"type": "text", "text": " Sure."}]


def test_details_of_thinking_are_kept_for_the_next_turn() -> None:
    """`reasoning_details` come back on the end of the thinking, put together by index, although text began before."""
    details = {"type": "reasoning.text", "index": 0}
    chunks = [
        delta(reasoning="Hm", reasoning_details=[{**details, "text": "Hm"}]),
        delta(reasoning="m", reasoning_details=[{**details, "text": "m"}]),
        delta(content="Yes.", reasoning_details=[{**details, "signature": "sig"}]),
        delta("stop"),
        DONE,
    ]
    ends = [event for event in events_of(chunks) if isinstance(event, ReasoningEnd)]
    known = {"reasoning_details": [{**details, "text": "Hmm", "signature": "sig"}]}
    assert ends == [ReasoningEnd("reasoning-0", provider_metadata={"openai": known})]


def test_encrypted_thinking_leaves_an_empty_block() -> None:
    """Details without any visible thinking are kept too, in a block without text."""
    details = [{"type": "reasoning.encrypted", "data": "abc", "index": 0}]
    folded = read([delta(content="Yes.", reasoning_details=details), delta("stop"), DONE])
    assert (folded.thinking, folded.text) == (None, "Yes.")
    assert [part.provider_metadata for part in folded.parts if part.provider_metadata] == [
        {"openai": {"reasoning_details": details}}
    ]


def test_a_refusal_is_no_text() -> None:
    """A refusal is told with the finish, and does not pass for an answer."""
    events = events_of([delta(refusal="I can"), delta(refusal="not."), delta("stop"), DONE])
    assert finish_of(events).refusal == "I cannot."
    assert fold(events).text == ""


def test_thinking_inside_the_text_stays_there() -> None:
    """`<think>` in the content is content."""
    assert read([delta(content="<think>a</think>b"), delta("stop"), DONE]).text == "<think>a</think>b"


def test_only_the_first_choice_speaks() -> None:
    """Of several choices the first is the answer; all of them are in the raw response."""
    chunk = delta(content="one")
    chunk["choices"].insert(0, {"index": 1, "delta": {"content": "two"}, "finish_reason": "stop"})
    events = events_of([delta(content="a"), chunk, delta("stop"), DONE])
    assert fold(events).text == "aone"
    contents = [choice["message"]["content"] for choice in finish_of(events).response["choices"]]
    assert contents == ["aone", "two"]


# --- how it ends ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "reason"),
    [("stop", "stop"), ("end", "stop"), ("length", "length"), ("content_filter", "content-filter"),
     ("tool_calls", "tool-calls"), ("function_call", "tool-calls"), ("model_length", "length"), ("soon", "unknown")],
)  # fmt: skip
def test_finish_reasons(word: str, reason: str) -> None:
    """Each finish reason has its word in mellite; the provider's own is kept, also an unknown one."""
    finish = finish_of(events_of([delta(content="a"), delta(word), DONE]))
    assert (finish.reason, finish.raw_reason) == (reason, word)


def test_stop_with_tool_calls_means_tool_calls() -> None:
    """OpenAI says "stop" where a tool was forced: that is tool-calls, and the raw reason stays."""
    finish = finish_of(called(WEATHER, "stop"))
    assert (finish.reason, finish.raw_reason) == ("tool-calls", "stop")


def test_the_last_of_several_finish_reasons_counts() -> None:
    """Two finish reasons before [DONE] give one Finish with the last; text in between is not lost."""
    events = events_of([delta(content="a"), delta("length", content="b"), delta(content="c"), delta("stop"), DONE])
    assert (finish_of(events).raw_reason, fold(events).text) == ("stop", "abc")
    assert finish_of(events_of([delta("stop", content="a"), delta(""), DONE])).raw_reason == "stop"


@pytest.mark.parametrize("word", ["error", "network_error", "insufficient_system_resource"])
def test_a_finish_reason_may_be_a_failure(word: str) -> None:
    """A finish reason that says that something broke is ProviderInternal, after the text."""
    with pytest.raises(ProviderInternal, match=word) as caught:
        events_of([delta(content="a"), delta(word), DONE])
    assert caught.value.retryable


@pytest.mark.parametrize("end", [[], [DONE]])
@pytest.mark.parametrize("reason", [None, ""])
def test_no_finish_reason_is_incomplete(end: list[str], reason: str | None) -> None:
    """A stream that ends without a finish reason broke off, with [DONE] and without."""
    with pytest.raises(IncompleteStream):
        events_of([delta(reason, content="a"), *end])


def test_a_host_may_be_known_to_give_no_finish_reason() -> None:
    """A dialect without required finish reasons takes [DONE] for one."""
    events = events_of([delta("", content="a"), DONE], finish_required=False)
    assert (finish_of(events).reason, fold(events).text) == ("unknown", "a")


def test_done_is_not_needed() -> None:
    """A stream that ends after its finish reason is complete; [DONE] may have spaces around it."""
    assert read([delta(content="a"), delta("stop")]).text == "a"
    assert read([delta(content="a"), delta("stop"), " [DONE] "]).text == "a"


@pytest.mark.parametrize("event", ["message", "error"])
def test_an_error_inside_the_stream_is_raised(event: str) -> None:
    """An error object inside the stream is the error that it says, with the usage so far."""
    state = initial(REQUEST)
    step(state, json.dumps({**delta(content="a"), "usage": {"prompt_tokens": 3, "completion_tokens": 1}}).encode())
    with pytest.raises(ProviderInternal, match="Overloaded") as caught:
        step(state, b'{"error":{"message":"Overloaded","type":"overloaded_error","code":529}}', event)
    assert caught.value.usage is not None
    assert caught.value.usage.input_tokens == 3


def test_an_event_called_error_needs_no_error_object() -> None:
    """An event of the name error is one, whatever its JSON looks like."""
    with pytest.raises(RateLimited, match="Slow down"):
        step(initial(REQUEST), b'{"message": "Slow down.", "code": 429}', "error")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"message": "x", "code": 429}, RateLimited),
        ({"message": "This model's maximum context length is 5 tokens."}, ContextOverflow),
        ("something", MelliteError),
    ],
)
def test_an_error_inside_the_stream_has_its_type(error: Any, kind: type[MelliteError]) -> None:
    """Errors inside a stream are told apart like those of HTTP."""
    with pytest.raises(kind):
        events_of([{**delta("error", content=""), "error": error}])


# --- what is not a chat stream -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "chunk",
    [
        '{"id":1,"choices":"x"}', "[]", "5", '"s"', "{nonsense", "", '{"choices":[null]}', '{"choices":[5]}',
        '{"choices":[{"index":{"a":1}}]}', '{"choices":[{"index":"0"}]}', '{"choices":[{"delta":"x"}]}',
        '{"choices":[{"delta":{"content":123}}]}',
        '{"choices":[{"delta":{"content":[1]}}]}',
        '{"choices":[{"delta":{"tool_calls":{}}}]}', '{"choices":[{"delta":{"tool_calls":[1]}}]}',
        '{"choices":[{"delta":{"tool_calls":[{"function":1}]}}]}',
        '{"choices":[{"delta":{"tool_calls":[{"function":{"name":1}}]}}]}',
        '{"choices":[{"delta":{"tool_calls":[{"function":{"arguments":1}}]}}]}',
        '{"choices":[{"delta":{},"finish_reason":5}]}', "[" * 100_000 + "]" * 100_000, '{"a":NaN}', '{"a":1e999}',
        '{"created":%s,"choices":[]}' % ("9" * 10_000),
    ],
)  # fmt: skip
@pytest.mark.parametrize("before", [[], [delta(content="a")]])
def test_what_is_no_chunk_is_typed(chunk: str, before: list[Any]) -> None:
    """JSON of the wrong types, too deep or no JSON at all is InvalidProviderOutput, whatever came before."""
    with pytest.raises(InvalidProviderOutput) as caught:
        events_of([*before, chunk])
    assert not isinstance(caught.value, IncompleteStream)
    assert len(str(caught.value)) < 1000


def test_what_says_nothing_is_passed_over() -> None:
    """Null deltas, missing choices and unknown objects are not errors."""
    chunks: list[Any] = [{"choices": [{"delta": None}]}, {"choices": None}, {"object": "ping"}, {"choices": []}]
    assert read([*chunks, delta(content="a"), *chunks, delta("stop"), DONE]).text == "a"


def test_bytes_that_are_no_utf8_become_replacement_characters() -> None:
    """Broken UTF-8 inside a chunk is shown as U+FFFD, never a UnicodeDecodeError."""
    data = json.dumps(delta(content="aXb")).encode().replace(b"X", b"\xff")
    assert read([data, delta("stop"), DONE]).text == "a\ufffdb"


def test_lone_surrogates_survive() -> None:
    """Half a surrogate pair in text is kept, at the start and in the flow of a stream."""
    assert (
        read([delta(content="\ud800"), delta(content="a"), delta(content="\udfff"), delta("stop"), DONE]).text
        == "\ud800a\udfff"
    )


# --- the way without detours ----------------------------------------------------------------------


def test_many_chunks_of_text_read_the_same_as_few() -> None:
    """Text that takes the short way gives the same events and the same merged answer as any other."""
    words = [f" w{number}" for number in range(50)]
    unknown = {"never_heard_of": {"a": [1]}}
    plain = events_of([*[delta(content=word) for word in words], delta("stop"), DONE])
    long = events_of([*[{**delta(content=word), **unknown} for word in words], delta("stop"), DONE])
    assert [event for event in plain if isinstance(event, TextDelta)] == [TextDelta(word) for word in words]
    assert plain[:-1] == long[:-1]
    assert finish_of(long).response == {**finish_of(plain).response, **unknown}


@pytest.mark.parametrize("first", ["content", "reasoning_content"])
def test_a_change_of_course_is_seen_in_the_flow(first: str) -> None:
    """In the flow of text or thinking, a chunk with something else is read for what it is."""
    flow = [delta(**{first: "a"}) for _ in range(20)]
    for change, check in (
        (delta("length"), lambda folded: folded.finish.reason == "length"),
        (delta(tool_calls=[call(0, "a", "f", "{}")]), lambda folded: len(folded.tool_calls) == 1),
        (
            {**delta(), "usage": {"prompt_tokens": 1, "completion_tokens": 2}},
            lambda folded: folded.usage.total_tokens == 3,
        ),
        (delta(refusal="No."), lambda folded: folded.finish.refusal == "No."),
        (delta(content="b", reasoning_content="t"), lambda folded: "b" in folded.text and "t" in folded.thinking),
        (delta(**{first: "a"}), lambda folded: True),
    ):
        folded = read([*flow, change, delta("stop") if change["choices"][0]["finish_reason"] is None else change, DONE])
        assert check(folded), change
        kept = folded.text if first == "content" else folded.thinking
        assert (kept or "").startswith("a" * 20)


def test_usage_in_each_chunk_is_not_added_up() -> None:
    """Of counts sent with every piece, as vLLM can, the last ones count: in the flow, at its end and cut off."""
    counts = [
        {"prompt_tokens": 10, "completion_tokens": number, "total_tokens": 10 + number} for number in range(1, 21)
    ]
    flow = [{**delta(content="a"), "usage": usage} for usage in counts]
    ends = [{**delta("stop"), "usage": counts[-1]}, {**delta(), "choices": [], "usage": counts[-1]}, DONE]
    used = read([*flow, *ends]).usage
    assert (used.input_tokens, used.output_tokens, used.total_tokens) == (10, 20, 30)
    with pytest.raises(IncompleteStream) as caught:
        events_of(flow)
    assert caught.value.usage is not None
    assert (caught.value.usage.input_tokens, caught.value.usage.output_tokens) == (10, 20)


# --- in one piece ---------------------------------------------------------------------------------


def whole(message: Any, finish: Any = "stop", **more: Any) -> bytes:
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return json.dumps({"id": "c1", "model": "m", "choices": [choice], **more}).encode()


def test_one_piece_gives_the_events_of_a_stream() -> None:
    """An answer in one piece gives what the same answer would have given as a stream of one chunk each."""
    message = {"role": "assistant", "reasoning": "Hm.", "content": "Yes.",
               "tool_calls": [call(None, "a", "f", '{"x":1}'), call(None, "b", "f", "{}")]}  # fmt: skip
    usage = {"prompt_tokens": 1, "completion_tokens": 2}
    events = list(unary(whole(message, "tool_calls", usage=usage)))
    pieces = [delta(reasoning="Hm."), delta(content="Yes."), delta(tool_calls=[call(0, "a", "f", '{"x":1}')]),
              delta(tool_calls=[call(1, "b", "f", "{}")]), {**delta("tool_calls"), "usage": usage}, DONE]  # fmt: skip
    assert events[:-1] == events_of(pieces)[:-1]
    assert finish_of(events).response == json.loads(whole(message, "tool_calls", usage=usage))


def test_calls_in_one_piece_are_each_their_own() -> None:
    """In one piece, calls with the same index and the same id are still different calls."""
    message = {"content": None, "tool_calls": [call(0, "a", "f", "{}"), call(0, "a", "g", "[]")]}
    assert calls_in(list(unary(whole(message)))) == [("a", "f", {}), ("a", "g", [])]


@pytest.mark.parametrize(("finish", "raw"), [("", ""), (None, None), ("stop", "stop")])
def test_a_whole_answer_needs_no_finish_reason(finish: Any, raw: Any) -> None:
    """An answer in one piece is complete whatever its finish reason, which is kept as it is."""
    done = finish_of(list(unary(whole({"content": "Yes."}, finish))))
    assert (done.raw_reason, done.reason) == (raw, "stop" if raw == "stop" else "unknown")


def test_refusal_logprobs_and_choices_in_one_piece() -> None:
    """Refusal and log probabilities of the first choice are told; all choices are in the response."""
    first = {
        "index": 0,
        "message": {"content": None, "refusal": "No."},
        "finish_reason": "stop",
        "logprobs": {"content": []},
    }
    body = {"choices": [{**first, "index": 1, "message": {"content": "two"}}, first]}
    finish = finish_of(list(unary(json.dumps(body).encode())))
    assert (finish.refusal, finish.logprobs, finish.response) == ("No.", {"content": []}, body)


@pytest.mark.parametrize(
    "body",
    [b"", b"hello", b"null", b"[]", b"{}", b'{"choices": []}', b'{"choices": {}}', b'{"choices": [1]}',
     b'{"choices": [{"message": null}]}', b'{"choices": [{"message": {"content": 1}}]}',
     b'{"choices": [{"text": 5}]}',
     b'{"nothing": 5}', b"\xff\xfe", b"[" * 100_000],
)  # fmt: skip
def test_what_is_no_answer_is_typed(body: bytes) -> None:
    """A body that is not a chat completion is InvalidProviderOutput."""
    with pytest.raises(InvalidProviderOutput):
        unary(body)


def test_an_error_object_in_one_piece_is_raised() -> None:
    """An error object under a good status is the error that it says."""
    with pytest.raises(RateLimited):
        unary(b'{"error": {"message": "x", "code": "rate_limit_exceeded"}}')


def test_the_raw_class_is_found_by_protocol() -> None:
    """Answers over this protocol have their own class of raw response."""
    assert RawProviderResponse.for_protocol("openai-chat") is OpenAIChatRaw
