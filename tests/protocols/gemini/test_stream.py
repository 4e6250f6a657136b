"""Reading Gemini: every quirk of a stream, and the answer in one piece, by bytes of our own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mellite.errors import IncompleteStream, InvalidProviderOutput, MelliteError, ProviderInternal, RateLimited
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
from mellite.protocols.gemini import GeminiRaw
from mellite.protocols.gemini.stream import initial, step, unary
from mellite.values.fold import fold
from mellite.values.records import RawProviderResponse
from tests.protocols.gemini.chunks import REQUEST, call, chunk, events_of, finish_of, read, thought

SIGNED = {"google": {"thoughtSignature": "sig"}}


# --- text, thinking and how they follow each other ------------------------------------------------


def test_text_streams_in_a_block_of_one_step() -> None:
    """Text deltas are given as they were sent, inside one block, one step and before one Finish."""
    assert events_of([chunk("Hel"), chunk("lo."), chunk("", finish="STOP")])[:-1] == [
        ResponseStart(response_id="r1", response_model="gemini-m"),
        StepStart(),
        TextStart("text-0"),
        TextDelta("Hel"),
        TextDelta("lo."),
        TextEnd("text-0"),
        StepFinish(reason="stop", raw_reason="STOP"),
    ]


@pytest.mark.parametrize("field", ["responseId", "modelVersion"])
def test_which_answer_it_is_may_be_known_in_part(field: str) -> None:
    """Id and model are told as they come, each once."""
    first = {name: value for name, value in chunk("a").items() if name != field}
    starts = [event for event in events_of([first, chunk("b", finish="STOP")]) if isinstance(event, ResponseStart)]
    known = {"responseId": ResponseStart(response_id="r1"), "modelVersion": ResponseStart(response_model="gemini-m")}
    assert starts == [*[start for name, start in known.items() if name != field], known[field]]


def test_thinking_ends_where_the_text_begins() -> None:
    """Parts marked as thought are thinking, in blocks of their own."""
    chunks = [chunk(thought("Hm")), chunk(thought("m.")), chunk("Yes."), chunk(thought("b")), chunk("", finish="STOP")]
    events = [event for event in events_of(chunks) if not isinstance(event, (ResponseStart, StepStart, StepFinish))]
    assert events[:-1] == [
        ReasoningStart("reasoning-0"),
        ReasoningDelta("Hm"),
        ReasoningDelta("m."),
        ReasoningEnd("reasoning-0"),
        TextStart("text-0"),
        TextDelta("Yes."),
        TextEnd("text-0"),
        ReasoningStart("reasoning-1"),
        ReasoningDelta("b", "reasoning-1"),
        ReasoningEnd("reasoning-1"),
    ]


def test_a_signature_ends_its_block() -> None:
    """A signature belongs to the text before it, also if it comes with an empty part; what follows is another part."""
    chunks = [chunk("Hel"), chunk("lo."), chunk({"text": "", "thoughtSignature": "sig"}), chunk("Bye.", finish="STOP")]
    parts = read(chunks).parts
    assert [(part.text, part.provider_metadata) for part in parts] == [("Hello.", SIGNED), ("Bye.", None)]  # type: ignore[union-attr]


def test_a_signature_without_text_is_kept() -> None:
    """An empty part with a signature and nothing before it leaves an empty part that has it."""
    folded = read([chunk(call()), chunk({"text": "", "thoughtSignature": "sig"}, finish="STOP")])
    assert (folded.text, folded.parts[-1].provider_metadata) == ("", SIGNED)  # type: ignore[union-attr]
    thinking = read([chunk(thought("Hm.", thoughtSignature="sig")), chunk("a", finish="STOP")])
    assert thinking.parts[0].provider_metadata == SIGNED  # type: ignore[union-attr]


def test_only_the_first_candidate_speaks() -> None:
    """Of several candidates the first is the answer; all of them are in the raw response."""
    both = chunk("one", finish="STOP")
    both["candidates"].insert(0, {"index": 1, "content": {"parts": [{"text": "two"}]}, "finishReason": "MAX_TOKENS"})
    events = events_of([chunk("a"), both])
    assert (fold(events).text, finish_of(events).raw_reason) == ("aone", "STOP")
    texts = [each["content"]["parts"][0]["text"] for each in finish_of(events).response["candidates"]]
    assert texts == ["aone", "two"]


def test_candidates_may_not_tell_their_index() -> None:
    """Without an index, the place of a candidate is its index."""
    both = chunk("one", finish="STOP")
    del both["candidates"][0]["index"]
    both["candidates"].append({"content": {"parts": [{"text": "two"}]}, "finishReason": "MAX_TOKENS"})
    for events in (events_of([both]), list(unary(json.dumps(both).encode()))):
        assert (fold(events).text, finish_of(events).raw_reason) == ("one", "STOP")
        assert len(finish_of(events).response["candidates"]) == 2


# --- how it ends ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "reason"),
    [("STOP", "stop"), ("MAX_TOKENS", "length"), ("SAFETY", "content-filter"), ("RECITATION", "content-filter"),
     ("MODEL_ARMOR", "content-filter"), ("IMAGE_SAFETY", "content-filter"), ("MALFORMED_FUNCTION_CALL", "error"),
     ("UNEXPECTED_TOOL_CALL", "error"), ("OTHER", "unknown"), ("NEVER_HEARD_OF", "unknown")],
)  # fmt: skip
def test_finish_reasons(word: str, reason: str) -> None:
    """Each finish reason has its word in mellite; the provider's own is kept, also an unknown one."""
    finish = finish_of(events_of([chunk("a"), chunk(finish=word)]))
    assert (finish.reason, finish.raw_reason) == (reason, word)


def test_stop_with_calls_means_tool_calls() -> None:
    """Gemini says STOP where it calls functions; what else it says about them stays."""
    assert finish_of(events_of([chunk(call()), chunk("", finish="STOP")])).reason == "tool-calls"
    assert finish_of(events_of([chunk(call(), finish="UNEXPECTED_TOOL_CALL")])).reason == "error"


def test_the_last_of_several_finish_reasons_counts() -> None:
    """Older models say STOP with every chunk: the text goes on, and there is one Finish."""
    events = events_of([chunk("a", finish="STOP"), chunk("b", finish="STOP"), chunk("c", finish="MAX_TOKENS")])
    assert (finish_of(events).raw_reason, fold(events).text) == ("MAX_TOKENS", "abc")


def test_a_blocked_prompt_is_an_answer() -> None:
    """A prompt that was blocked has no candidates: a content filter, with the reason and Google's words about it."""
    feedback = {"blockReason": "PROHIBITED_CONTENT", "blockReasonMessage": "Not that."}
    usage = {"promptTokenCount": 7, "totalTokenCount": 7}
    blocked = {"promptFeedback": feedback, "usageMetadata": usage, "modelVersion": "m"}
    for events in (events_of([blocked]), list(unary(json.dumps(blocked).encode()))):
        finish = finish_of(events)
        assert (finish.reason, finish.raw_reason, finish.refusal) == (
            "content-filter",
            "PROHIBITED_CONTENT",
            "Not that.",
        )
        assert finish.usage is not None
        assert (finish.usage.input_tokens, finish.usage.output_tokens) == (7, None)
        assert finish.response["promptFeedback"] == feedback


def test_why_an_answer_was_filtered_is_told() -> None:
    """Google's words about a filtered answer are the refusal; those about an ordinary end are not."""
    filtered = chunk("a", finish="SAFETY")
    filtered["candidates"][0]["finishMessage"] = "Unsafe."
    assert finish_of(events_of([filtered])).refusal == "Unsafe."
    called = chunk(call(), finish="STOP")
    called["candidates"][0]["finishMessage"] = "Model generated function call(s)."
    assert finish_of(events_of([called])).refusal is None


@pytest.mark.parametrize(
    "chunks",
    [
        [],
        [chunk("a")],
        [chunk(call())],
        [{"usageMetadata": {"promptTokenCount": 1}}],
        [{"promptFeedback": {"blockReason": 0}}],
        [chunk("a", finish="FINISH_REASON_UNSPECIFIED")],
        [{"promptFeedback": {"blockReason": ""}}],
    ],
)
def test_no_finish_reason_is_incomplete(chunks: list[Any]) -> None:
    """A stream that ends without a finish reason broke off, also one that never began."""
    with pytest.raises(IncompleteStream, match=r"broke off|before it began"):
        events_of(chunks)


def test_what_was_used_by_then_is_in_the_error() -> None:
    """IncompleteStream and errors in the stream carry the last usage, also where chunks took the short way."""
    used = {"promptTokenCount": 3, "candidatesTokenCount": 1, "totalTokenCount": 4}
    chunks = [chunk("a"), chunk("b", usageMetadata={**used, "candidatesTokenCount": 9}), chunk("c", usageMetadata=used)]
    with pytest.raises(IncompleteStream) as caught:
        events_of(chunks)
    with pytest.raises(ProviderInternal) as failed:
        events_of([*chunks, {"error": {"code": 503, "message": "Overloaded.", "status": "UNAVAILABLE"}}])
    for error in (caught.value, failed.value):
        assert error.usage is not None
        assert (error.usage.input_tokens, error.usage.output_tokens) == (3, 1)


# --- usage ----------------------------------------------------------------------------------------


def test_usage_counts_thinking_and_hosted_tools() -> None:
    """Totals include thinking and the prompts of hosted tools, so that they add up to Google's own total."""
    raw = {
        "promptTokenCount": 147, "candidatesTokenCount": 108, "totalTokenCount": 783, "toolUsePromptTokenCount": 360,
        "thoughtsTokenCount": 168, "cachedContentTokenCount": 40,
    }  # fmt: skip
    usage = finish_of(events_of([chunk("a", finish="STOP", usageMetadata=raw)])).usage
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (507, 276, 783)
    assert (usage.cache_read_input_tokens, usage.non_cached_input_tokens, usage.reasoning_tokens) == (40, 467, 168)
    assert usage.raw == raw


def test_a_count_of_zero_is_known() -> None:
    """Zero is a number that Gemini reported; what is not reported is unknown."""
    raw = {"promptTokenCount": 3, "candidatesTokenCount": 0, "totalTokenCount": 3, "thoughtsTokenCount": -1}
    usage = finish_of(events_of([chunk("a", finish="STOP", usageMetadata=raw)])).usage
    assert usage is not None
    assert (usage.output_tokens, usage.reasoning_tokens, usage.cache_read_input_tokens) == (0, None, None)


def test_the_last_usage_that_says_anything_counts() -> None:
    """Each chunk has a usage: the last counts, unless it is all zeros; thinking alone is output too."""
    real = {"promptTokenCount": 5, "thoughtsTokenCount": 7}
    zeros = {"promptTokenCount": 0, "totalTokenCount": 0}
    for last in (chunk(finish="STOP", usageMetadata=zeros), chunk(finish="STOP")):
        usage = finish_of(
            events_of([chunk("a", usageMetadata={"promptTokenCount": 1}), chunk("b", usageMetadata=real), last])
        )
        assert usage.usage is not None
        assert (usage.usage.input_tokens, usage.usage.output_tokens) == (5, 7)
        assert usage.response["usageMetadata"] == real


# --- what is not a stream of Gemini ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": 429, "message": "Slow down.", "status": "RESOURCE_EXHAUSTED"}, RateLimited),
        ({"code": 500, "message": "Oops.", "status": "INTERNAL"}, ProviderInternal),
        ("something", MelliteError),
    ],
)
def test_an_error_inside_the_stream_is_raised(error: Any, kind: type[MelliteError]) -> None:
    """An error object inside the stream has the type that it says; an event called error needs no such object."""
    with pytest.raises(kind):
        events_of([chunk("a"), {"error": error}])
    with pytest.raises(MelliteError):
        step(initial(REQUEST), b'{"message": "Slow down.", "code": 429}', "error")


@pytest.mark.parametrize(
    "data",
    [
        '{"candidates":"x"}', "[]", "5", '"s"', "{nonsense", "", "[DONE", '{"candidates":[null]}',
        '{"candidates":[{"index":"0"}]}', '{"candidates":[{"content":"x"}]}',
        '{"candidates":[{"content":{"parts":5}}]}',
        '{"candidates":[{"content":{"parts":[1]}}]}', '{"candidates":[{"content":{"parts":[{"text":1}]}}]}',
        '{"candidates":[{"content":{"parts":[{"text":"a","thoughtSignature":1}]}}]}',
        '{"candidates":[{"content":{"parts":[{"functionCall":1}]}}]}',
        '{"candidates":[{"content":{"parts":[{"functionCall":{"name":1}}]}}]}',
        '{"candidates":[{"content":{"parts":[{"functionCall":{"args":{}}}]}}]}',
        '{"candidates":[{"content":{"parts":[{"functionCall":{"name":"a","args":[1]}}]}}]}',
        '{"candidates":[{"content":{"parts":[{"functionCall":{"name":"a","partialArgs":5}}]}}]}',
        '{"candidates":[{"finishReason":true}]}', '{"promptFeedback":{"blockReason":[]}}',
        "[" * 100_000 + "]" * 100_000, '{"a":NaN}', '{"a":1e999}',
        '{"created":%s,"candidates":[]}' % ("9" * 10_000),
    ],
)  # fmt: skip
@pytest.mark.parametrize("before", [[], [chunk("a")]])
def test_what_is_no_chunk_is_typed(data: str, before: list[Any]) -> None:
    """JSON of the wrong types, too deep or no JSON at all is InvalidProviderOutput, whatever came before."""
    with pytest.raises(InvalidProviderOutput) as caught:
        events_of([*before, data])
    assert not isinstance(caught.value, IncompleteStream)
    assert len(str(caught.value)) < 1000


def test_what_says_nothing_is_passed_over() -> None:
    """Null contents, missing parts and unknown objects are not errors."""
    chunks: list[Any] = [{"candidates": [{"content": None}]}, {"candidates": None}, {"new": 1}, {"candidates": [{}]}]
    chunks += [{"usageMetadata": "x"}, {"usageMetadata": {}}, {"promptFeedback": {"safetyRatings": []}}]
    assert read([*chunks, chunk("a"), *chunks, chunk({}, finish="STOP")]).text == "a"


def test_lone_surrogates_and_broken_bytes_survive() -> None:
    """Half a surrogate pair is kept; bytes that are not UTF-8 become U+FFFD."""
    broken = json.dumps(chunk("aXb")).encode().replace(b"X", b"\xff")
    assert read([chunk("\ud800"), chunk("a"), chunk("\udfff"), broken, chunk("", finish="STOP")]).text == (
        "\ud800a\udfffa\ufffdb"
    )


# --- the way without detours ----------------------------------------------------------------------


def test_many_chunks_of_text_read_the_same_as_few() -> None:
    """Text that takes the short way gives the same events and the same merged answer as any other."""
    words = [f" w{number}" for number in range(50)]
    usage = {"promptTokenCount": 3, "candidatesTokenCount": 4}
    unknown = {"neverHeardOf": {"a": [1]}}
    plain = events_of([*[chunk(word, usageMetadata=usage) for word in words], chunk("", finish="STOP")])
    long = events_of([*[chunk(word, usageMetadata=usage, **unknown) for word in words], chunk("", finish="STOP")])
    assert [event for event in plain if isinstance(event, TextDelta)] == [TextDelta(word) for word in words]
    assert plain[:-1] == long[:-1]
    assert finish_of(long).response == {**finish_of(plain).response, **unknown}


@pytest.mark.parametrize("level", ["chunk", "candidate", "content", "part"])
def test_what_comes_in_the_flow_is_kept(level: str) -> None:
    """A field that nobody expects in the flow of text is in the raw answer, wherever it stands."""
    odd = chunk("b")
    candidate = odd["candidates"][0]
    content = candidate["content"]
    {"chunk": odd, "candidate": candidate, "content": content, "part": content["parts"][0]}[level]["odd"] = 1
    events = events_of([chunk("a"), odd, chunk("c"), chunk("", finish="STOP")])
    assert fold(events).text == "abc"
    assert '"odd": 1' in json.dumps(finish_of(events).response)


@pytest.mark.parametrize("first", ["text", "thought"])
def test_a_change_of_course_is_seen_in_the_flow(first: str) -> None:
    """In the flow of text or thinking, a chunk with something else is read for what it is."""
    flow = [chunk({"text": str(number), "thought": first == "thought"}) for number in range(3)]
    other = [chunk({"text": "x", "thought": first == "text"}), chunk("a", "b"), chunk(call()), *flow]
    folded = read([*flow, *other, chunk("", finish="STOP")])
    said = {"text": ("012ab012", "x"), "thought": ("xab", "012012")}[first]
    assert (folded.text, folded.thinking, len(folded.tool_calls)) == (*said, 1)


# --- an answer in one piece -----------------------------------------------------------------------


def test_an_answer_in_one_piece_says_what_a_stream_says() -> None:
    """The same answer, streamed and whole, gives the same text, calls, usage and raw response."""
    parts = [
        thought("Hm.", thoughtSignature="s0"),
        {"text": "Hello.", "thoughtSignature": "s1"},
        call(id="c1", signature="s2"),
    ]
    usage = {"promptTokenCount": 3, "candidatesTokenCount": 4, "thoughtsTokenCount": 2, "totalTokenCount": 9}
    whole = chunk(*parts, finish="STOP", usageMetadata=usage)
    stream = [
        chunk(thought("H")), chunk(thought("m.")), chunk(thought("", thoughtSignature="s0")),
        chunk("Hel"), chunk("lo."),
        chunk({"text": "", "thoughtSignature": "s1"}), chunk(parts[2]), chunk("", finish="STOP", usageMetadata=usage),
    ]  # fmt: skip
    streamed, unstreamed = events_of(stream), list(unary(json.dumps(whole).encode()))
    assert finish_of(streamed) == finish_of(unstreamed)
    assert finish_of(streamed).response == whole
    assert fold(streamed).parts == fold(unstreamed).parts


def test_a_list_of_chunks_is_an_answer() -> None:
    """What a stream without ``alt=sse`` sends is read too; a list with an error is the error."""
    body = json.dumps([chunk("a"), chunk("b", finish="STOP")]).encode()
    assert fold(unary(body)).text == "ab"
    with pytest.raises(RateLimited):
        unary(b'[{"error": {"code": 429, "message": "Slow down."}}]')
    with pytest.raises(IncompleteStream):
        unary(json.dumps([chunk("a")]).encode())


@pytest.mark.parametrize(
    "body", ["", "{}", "[]", "null", "<html>", '{"candidates":[]}', '{"candidates":{"a":1}}', '{"promptFeedback":[]}']
)
def test_what_is_no_answer_is_typed(body: str) -> None:
    """A body that is not an answer of Gemini is InvalidProviderOutput; an error in it is that error."""
    with pytest.raises(InvalidProviderOutput):
        unary(body.encode())
    with pytest.raises(ProviderInternal):
        unary(b'{"error": {"code": 503, "message": "Overloaded."}}')


def test_an_answer_without_a_finish_reason_ends_for_an_unknown_one() -> None:
    """An answer in one piece is whole, whatever it does not say."""
    finish = finish_of(list(unary(json.dumps(chunk("a")).encode())))
    assert (finish.reason, finish.raw_reason) == ("unknown", None)


def test_log_probabilities_are_given() -> None:
    """The log probabilities stand in the finish, those of a stream together."""
    one, two = chunk("a"), chunk("b", finish="STOP")
    for number, each in enumerate((one, two)):
        each["candidates"][0]["logprobsResult"] = {"chosenCandidates": [{"token": number}]}
    assert finish_of(events_of([one, two])).logprobs == {"chosenCandidates": [{"token": 0}, {"token": 1}]}


def test_the_raw_answer_has_its_class() -> None:
    """The raw answer of this protocol is a GeminiRaw."""
    assert RawProviderResponse.for_protocol("gemini") is GeminiRaw
