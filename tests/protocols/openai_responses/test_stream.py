"""The stream and the unary answers of OpenAI Responses: texts, thinking, ends and errors."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mellite.errors import (
    ContextOverflow,
    IncompleteStream,
    InvalidProviderOutput,
    InvalidRequest,
    MelliteError,
    ProviderInternal,
    RateLimited,
    UnknownProviderError,
)
from mellite.events import (
    Event,
    ReasoningEnd,
    ReasoningStart,
    ResponseStart,
    StepFinish,
    StepStart,
    TextDelta,
    TextEnd,
    TextStart,
)
from mellite.messages import Message, Reasoning, Text
from mellite.protocols.openai_responses import OpenAIResponsesRaw, protocol
from mellite.protocols.openai_responses.body import lower
from mellite.protocols.openai_responses.stream import initial, step, unary
from mellite.request import Request
from mellite.values.fold import fold
from mellite.values.records import RawProviderResponse
from tests.protocols.openai_responses.events import (
    CREATED,
    REQUEST,
    added,
    call,
    completed,
    done,
    event,
    events_of,
    finish_of,
    message,
    read,
    text,
    thinking,
    thought,
    written,
)

USAGE = {
    "input_tokens": 20,
    "input_tokens_details": {"cached_tokens": 8},
    "output_tokens": 18,
    "output_tokens_details": {"reasoning_tokens": 10},
    "total_tokens": 38,
}


def of(events: list[Event], *kinds: type) -> list[Any]:
    return [event for event in events if isinstance(event, kinds)]


# --- text -----------------------------------------------------------------------------------------


def test_a_whole_stream_of_text() -> None:
    """The events of a text in two pieces, from who answers to how it finished."""
    stream = [CREATED, added(message()), text("Hel"), text("lo."), done(message("Hello."))]
    events = events_of([*stream, completed(message("Hello."), usage=USAGE, service_tier="default")])
    finish = finish_of(events)
    assert events[:-2] == [
        ResponseStart(response_id="resp_1", response_model="gpt-test"),
        StepStart(),
        TextStart("msg_1"),
        TextDelta("Hel", "msg_1"),
        TextDelta("lo.", "msg_1"),
        TextEnd("msg_1", provider_metadata={"openai": {"item_id": "msg_1"}}),
    ]
    assert isinstance(events[-2], StepFinish)
    assert (finish.reason, finish.raw_reason) == ("stop", "completed")
    assert finish.usage is not None
    assert (finish.usage.output_tokens, finish.usage.total_tokens) == (18, 38)
    assert (finish.usage.input_tokens, finish.usage.cache_read_input_tokens, finish.usage.reasoning_tokens) == (
        20,
        8,
        10,
    )
    assert finish.response["output"] == [message("Hello.")]


@pytest.mark.parametrize("names", [True, False])
def test_the_name_of_the_event_is_not_needed(names: bool) -> None:
    """Some hosts only say in the JSON which event it is."""
    stream = [CREATED, added(message()), text("a"), text("b"), text("c"), completed(message("abc"))]
    assert read(stream, names=names).text == "abc"


def test_the_name_of_the_event_is_enough() -> None:
    """Where the JSON does not say which event it is, its name does."""
    state = initial(REQUEST)
    summary = step(state, b'{"delta": "Hm.", "output_index": 0}', "response.reasoning_summary_text.delta")
    assert fold(summary).thinking == "Hm."
    assert fold(step(state, b'{"delta": "a", "output_index": 1}', "response.output_text.delta")).text == "a"
    assert not step(state, b'{"delta": "{}", "output_index": 2}', "response.function_call_arguments.delta")


def test_parts_and_items_are_blocks_of_their_own() -> None:
    """Two parts of one message, and a second message, are three parts of ours, in order."""
    stream = [text("a"), text("b", part=1), done(message("a", "b")), text("c", index=1, id="msg_2")]
    folded = read([*stream, completed()])
    assert [part.text for part in folded.parts if isinstance(part, Text)] == ["a", "b", "c"]


def test_text_that_only_comes_with_the_end_of_its_item() -> None:
    """A host that sends no deltas is understood by what its items say when they are done."""
    assert read([added(message()), done(message("Hello.")), completed()]).text == "Hello."
    assert read([completed(message("Hello."))]).text == "Hello."


def test_the_end_of_a_text_that_only_comes_with_its_item() -> None:
    """Where pieces are missing at the end, the item has them."""
    assert read([text("Hel"), done(message("Hello.")), completed()]).text == "Hello."
    assert read([text("Hel"), completed(message("Hello."))]).text == "Hello."
    assert read([thought("a"), thought("b", part=1), done(thinking("a", "bc")), completed()]).thinking == "abc"


def test_text_is_not_said_twice() -> None:
    """What was streamed is not taken again from the end of the item or of the answer, whatever ids they bear."""
    stream = [added(message()), text("Hello."), done(message("Hello.")), completed(message("Hello.", id="msg_other"))]
    assert read(stream).text == "Hello."
    assert read([text("Hello."), completed(message("Hello.", id="msg_other"))]).text == "Hello."
    bare = event("output_text.delta", delta="Hello.")
    assert read([bare, completed(message("Hello.", id="msg_other"))]).text == "Hello."


def test_what_is_said_behind_the_end_of_an_item() -> None:
    """A piece for an item that is done, or of another kind, is a block of its own."""
    stream = [text("a"), done(message("a")), text("b"), thought("c", index=0), completed()]
    assert [(type(part), part.text) for part in read(stream).parts if isinstance(part, (Reasoning, Text))] == [
        (Text, "a"),
        (Text, "b"),
        (Reasoning, "c"),
    ]


def test_without_indices_ids_tell_items_apart() -> None:
    """Events over a WebSocket may have no output_index."""
    pieces = [("msg_1", "a"), ("msg_2", "b"), ("msg_2", "c"), ("msg_1", "d")]
    stream = [event("output_text.delta", item_id=id, delta=delta) for id, delta in pieces]
    assert [part.text for part in read([*stream, completed()]).parts if isinstance(part, Text)] == ["ad", "bc"]


def test_ids_that_change_with_every_event() -> None:
    """Some hosts give an item another id in each event; its index holds it together."""
    stream = [added(message(id="x1")), text("a", id="x2"), text("b", id="x3"), done(message("ab", id="x4"))]
    folded = read([*stream, completed(message("ab", id="x5"))])
    assert [part.text for part in folded.parts if isinstance(part, Text)] == ["ab"]


def test_ids_that_change_while_two_items_are_written() -> None:
    """The index counts for more than the id also where pieces of two items come in turn."""
    pieces = [text("a", 0, id="x1"), text("b", 1, id="x2"), text("c", 0, id="x3"), text("d", 1, id="x4")]
    stream = [added(message(id="y1")), added(message(id="y2"), 1), *pieces]
    assert [part.text for part in read([*stream, completed()]).parts if isinstance(part, Text)] == ["ac", "bd"]


def test_a_host_that_counts_no_items() -> None:
    """A new item under the index of one that is done is another item."""
    first, second = message("One."), message("Two.", id="msg_2")
    stream = [added(message()), text("One."), done(first), added(message(id="msg_2")), text("Two.", id="msg_2")]
    folded = read([*stream, done(second), completed(first, second)])
    assert [part.text for part in folded.parts if isinstance(part, Text)] == ["One.", "Two."]


def test_a_phase_is_kept_to_be_sent_back() -> None:
    """Whether a message is a commentary or the final answer stands in the metadata of its text."""
    stream = [added(message(phase="commentary")), text("Wait."), done(message("Wait.", phase="commentary"))]
    (part,) = read([*stream, completed()]).parts
    assert part == Text("Wait.", provider_metadata={"openai": {"item_id": "msg_1", "phase": "commentary"}})


def test_lone_surrogates_survive() -> None:
    """Half a character, which models do write, is kept as it came."""
    assert (
        read([text("a"), rb'{"type":"response.output_text.delta","output_index":0,"delta":"\ud800"}', completed()]).text
        == "a\ud800"
    )


def test_refusals_are_told_apart_from_text() -> None:
    """What the model says in place of an answer is the refusal of the generation, not its text."""
    stream = [event("refusal.delta", item_id="msg_1", output_index=0, delta=word) for word in ("I ", "won't.")]
    folded = read([*stream, completed()])
    assert folded.finish is not None
    assert (folded.text, folded.finish.refusal) == ("", "I won't.")
    refusal = {"type": "message", "id": "m", "content": [{"type": "refusal", "refusal": "No."}]}
    finish = finish_of(list(unary(json.dumps({"status": "completed", "output": [refusal]}).encode())))
    assert finish.refusal == "No."


def test_log_probabilities() -> None:
    """The log probabilities of all texts are given, one after the other."""
    parts = [{"type": "output_text", "text": token, "logprobs": [{"token": token}]} for token in "ab"]
    finish = finish_of(events_of([completed({"type": "message", "id": "m", "content": parts})]))
    assert finish.logprobs == [{"token": "a"}, {"token": "b"}]


# --- thinking -------------------------------------------------------------------------------------


def test_thinking_and_what_goes_back_of_it() -> None:
    """Each part of a summary is a block; the encrypted thinking, known at the end, is with the last."""
    stream = [added(thinking()), thought("One. "), thought("Two."), thought("Three.", part=1)]
    end = done(thinking("One. Two.", "Three.", encrypted_content="gAAA"))
    events = events_of([*stream, end, completed()])
    assert fold(events).thinking == "One. Two.Three."
    assert of(events, ReasoningEnd) == [
        ReasoningEnd("rs_1:0", provider_metadata={"openai": {"item_id": "rs_1"}}),
        ReasoningEnd("rs_1:1", provider_metadata={"openai": {"item_id": "rs_1", "encrypted_content": "gAAA"}}),
    ]


def test_thinking_that_goes_back_to_an_earlier_part() -> None:
    """Blocks of one item never overlap; whatever is written where, it is all one item again."""
    events = events_of(
        [thought("a"), thought("b", part=1), thought("c"), done(thinking(encrypted_content="x")), completed()]
    )
    kinds = [type(one) for one in of(events, ReasoningStart, ReasoningEnd)]
    assert kinds == [ReasoningStart, ReasoningEnd] * 3
    sent = lower(Request.of(Message.assistant(*fold(events).parts), model="m"), stream=False)["input"]
    assert [part["text"] for part in sent[0]["summary"]] == ["a", "b", "c"]
    assert (len(sent), sent[0]["encrypted_content"]) == (1, "x")


def test_thinking_of_which_nothing_is_shown() -> None:
    """Encrypted thinking without a summary is an empty part that goes back with the history."""
    item = thinking(encrypted_content="gAAA")
    for stream in ([added(thinking()), done(item), completed()], [completed(item)]):
        folded = read(stream)
        noted = {"openai": {"item_id": "rs_1", "encrypted_content": "gAAA"}}
        assert folded.parts == (Reasoning("", provider_metadata=noted),)
        assert folded.thinking is None


def test_what_only_the_end_of_the_answer_knows() -> None:
    """An item that is never done is completed by the item at its place in the whole answer, whatever its id."""
    (part,) = read([thought("a"), completed(thinking("a", id="rs_other", encrypted_content="x"))]).parts
    assert part == Reasoning("a", provider_metadata={"openai": {"item_id": "rs_1", "encrypted_content": "x"}})


def test_thinking_itself() -> None:
    """Hosts that show the thinking itself, not a summary, want it back as that."""
    delta = event("reasoning_text.delta", item_id="rs_1", output_index=0, content_index=0, delta="Hm.")
    item = thinking(content=[{"type": "reasoning_text", "text": "Hm."}])
    for stream in ([added(thinking()), delta, done(item), completed()], [completed(item)]):
        (part,) = read(stream).parts
        assert part == Reasoning("Hm.", provider_metadata={"openai": {"item_id": "rs_1", "kind": "reasoning_text"}})


def test_thinking_that_ends_after_the_text() -> None:
    """Items may be completed in another order than they began."""
    stream = [added(thinking()), thought("Hm."), added(message(), 1), text("4", index=1), done(message("4"), 1)]
    folded = read([*stream, done(thinking("Hm."), 0), completed()])
    assert (folded.thinking, folded.text) == ("Hm.", "4")
    assert [type(part) for part in folded.parts] == [Reasoning, Text]


def test_what_is_left_of_a_shortened_history_goes_back() -> None:
    """An item that only is encrypted, such as a compaction, is kept whole in an empty part."""
    item = {"type": "compaction", "id": "cmp_1", "encrypted_content": "gAAA"}
    (part,) = read([added(item), done(item), completed(item)]).parts
    assert part == Reasoning("", provider_metadata={"openai": {"item": item}})


# --- ends and errors ------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [[], ["[DONE]"], [event("in_progress", response={"id": "resp_1"})]])
def test_no_last_event_is_an_incomplete_stream(end: list[Any]) -> None:
    """A stream that stops before its last event has broken off, whatever else it says."""
    with pytest.raises(IncompleteStream, match="broke off"):
        events_of([CREATED, text("a"), *end])


def test_nothing_at_all_is_an_incomplete_stream() -> None:
    """An empty stream has ended before it began."""
    with pytest.raises(IncompleteStream, match="before it began"):
        events_of([])


@pytest.mark.parametrize(
    ("details", "reason"),
    [({"reason": "max_output_tokens"}, "length"), ({"reason": "content_filter"}, "content-filter"),
     ({"reason": "phase_of_the_moon"}, "unknown"), (None, "unknown"), ("odd", "unknown")],
)  # fmt: skip
def test_incomplete_answers_say_why(details: Any, reason: str) -> None:
    """An answer that was cut short is an answer, and its finish reason says so."""
    finish = finish_of(events_of([text("a"), completed(status="incomplete", incomplete_details=details)]))
    assert (finish.reason, finish.raw_reason) == (reason, "incomplete")


def test_what_is_complete_may_be_cut_short_all_the_same() -> None:
    """Where a host calls an answer complete and says why it is not, the reason counts."""
    finish = finish_of(events_of([completed(incomplete_details={"reason": "max_output_tokens"})]))
    assert (finish.reason, finish.raw_reason) == ("length", "completed")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": "server_error", "message": "Sorry."}, ProviderInternal),
        ({"code": "rate_limit_exceeded", "message": "Slow down."}, RateLimited),
        ({"code": "context_length_exceeded", "message": "Too long."}, ContextOverflow),
        ({"code": "invalid_prompt", "message": "No."}, InvalidRequest),
        ({"code": None, "message": "odd"}, UnknownProviderError),
        ("odd", UnknownProviderError),
        (None, UnknownProviderError),
    ],
)
def test_failed_answers_are_errors(error: Any, kind: type[MelliteError]) -> None:
    """A failed answer is the error that it says, with what was used."""
    with pytest.raises(kind) as caught:
        events_of([text("a"), completed(status="failed", error=error, usage=USAGE)])
    assert type(caught.value) is kind
    assert caught.value.usage is not None


@pytest.mark.parametrize(
    "said",
    [
        {"type": "error", "code": "rate_limit_exceeded", "message": "Slow down.", "param": None},
        {"type": "error", "error": {"type": "rate_limit_exceeded", "code": None, "message": "Slow down."}},
        {"type": "error", "status": 429, "error": {"message": "Slow down."}},
        {"error": {"code": "rate_limit_exceeded", "message": "Slow down."}},
        {"type": "error", "status": 429, "error": "Slow down."},
    ],
)
def test_errors_inside_the_stream(said: dict[str, Any]) -> None:
    """An error event of any shape is the error that it stands for, in the provider's words."""
    with pytest.raises(RateLimited, match="Slow down") as caught:
        events_of([text("a"), said])
    assert caught.value.__dict__["provider_message"] == "Slow down."


@pytest.mark.parametrize(
    "data",
    [b"", b"hello", b"null", b"[]", b"5", b"\xff\xfe", b"[" * 100_000,
     b'{"type": "response.completed"}', b'{"type": "response.completed", "response": []}',
     b'{"type": "response.completed", "response": {"output": {}}}',
     b'{"type": "response.completed", "response": {"output": [5]}}',
     b'{"type": "response.completed", "response": {"output": [{"type": 5}]}}',
     b'{"type": "response.output_text.delta", "delta": 5}', b'{"type": "response.output_text.delta"}',
     b'{"type": "response.output_item.added", "item": null}', b'{"type": "response.output_item.done", "item": {}}',
     b'{"type": "response.created", "response": "x"}'],
)  # fmt: skip
def test_what_is_no_stream_event_is_typed(data: bytes) -> None:
    """Broken JSON and values of the wrong types are InvalidProviderOutput."""
    with pytest.raises(InvalidProviderOutput):
        events_of([text("a"), data])


@pytest.mark.parametrize(
    "said", [{"type": "response.something.new", "x": 1}, {"type": "ping", "cost": "0"}, {"hello": 1}, {"type": ["odd"]}]
)
def test_unknown_events_pass_by(said: dict[str, Any]) -> None:
    """An event that nobody has heard of is in the raw answer, and no error."""
    assert read([text("a"), said, text("b"), completed()]).text == "ab"


def test_nothing_is_read_behind_the_end() -> None:
    """The last event ends the answer."""
    state = initial(REQUEST)
    step(state, json.dumps(completed(message("a"))).encode())
    assert state.done
    assert state.complete


# --- the answer as a value ------------------------------------------------------------------------


def test_the_merged_answer_is_what_the_last_event_says() -> None:
    """A streamed answer has the shape of the one in one piece, fields that nobody knows included."""
    last = completed(message("a"), metadata={"k": "v"}, something_new=[1])
    assert finish_of(events_of([text("a"), last])).response == last["response"]


def test_an_output_left_empty_is_put_together() -> None:
    """Where the last event has no output, it is made of the items that were streamed."""
    stream = [added(thinking()), thought("Hm."), done(thinking("Hm.", encrypted_content="g")), added(message(), 1)]
    stream += [text("Hi", index=1), text("!", index=1), added(call(), 2), written('{"a":1}', 2)]
    answer = finish_of(events_of([*stream, completed()])).response
    assert answer["output"] == [thinking("Hm.", encrypted_content="g"), message("Hi!"), call('{"a":1}')]
    assert answer["id"] == "resp_1"


def test_an_answer_in_one_piece_gives_what_the_stream_gives() -> None:
    """Text, thinking, calls, reason, usage and metadata agree."""
    output = [thinking("Hm.", encrypted_content="g"), message("Hi!", phase="commentary"), call('{"a":1}')]
    answer = {"id": "resp_1", "model": "gpt-test", "status": "completed", "output": output, "usage": USAGE}
    stream = [CREATED, added(thinking()), thought("Hm."), done(output[0]), added(message(), 1), text("Hi!", index=1)]
    stream += [done(output[1], 1), added(call(), 2), written('{"a":1}', 2), done(output[2], 2)]
    streamed = events_of([*stream, completed(*output, usage=USAGE)])
    whole = list(unary(json.dumps(answer).encode()))
    assert fold(streamed) == fold(whole)


@pytest.mark.parametrize("status", ["queued", "in_progress"])
def test_an_answer_that_is_still_being_made(status: str) -> None:
    """It is incomplete, and what there is of it is given first: its id, its model, its text."""
    body = json.dumps({"id": "resp_1", "model": "m", "status": status, "output": [message("Hel")]}).encode()
    answer, found = unary(body), []
    with pytest.raises(IncompleteStream, match="resp_1"):  # noqa: PT012 - what comes before it counts
        while True:
            found.append(next(answer))
    assert fold(found).text == "Hel"
    assert fold(found).start.response_id == "resp_1"


def test_an_answer_that_does_not_say_how_it_ended() -> None:
    """What is there without a status has ended well, in nobody's words."""
    finish = finish_of(list(unary(json.dumps({"output": [message("Hi!")]}).encode())))
    assert (finish.reason, finish.raw_reason) == ("stop", None)
    last = {"type": "response.done", "response": {"output": []}}
    finish = finish_of(events_of([text("Hi!"), last]))
    assert (finish.reason, finish.raw_reason) == ("stop", None)


def test_a_failed_answer_in_one_piece() -> None:
    """It is the error that it says, behind the text that there is."""
    answer = {"status": "failed", "error": {"code": "server_error", "message": "Sorry."}, "output": [message("Hel")]}
    events, found = unary(json.dumps(answer).encode()), []
    with pytest.raises(ProviderInternal, match="Sorry"):  # noqa: PT012 - what comes before it counts
        while True:
            found.append(next(events))
    assert fold(found).text == "Hel"


@pytest.mark.parametrize(
    "body",
    [b"", b"hello", b"null", b"[]", b"{}", b'{"output": {}}', b'{"output": [1]}', b'{"output": [{}]}',
     b'{"choices": [{"message": {"content": "Hi"}}]}', b"\xff\xfe", b"[" * 100_000],
)  # fmt: skip
def test_what_is_no_answer_is_typed(body: bytes) -> None:
    """A body that is not a response is InvalidProviderOutput."""
    with pytest.raises(InvalidProviderOutput):
        list(unary(body))


def test_an_error_object_in_one_piece_is_raised() -> None:
    """An error object under a good status is the error that it says."""
    with pytest.raises(RateLimited):
        list(unary(b'{"error": {"message": "x", "code": "rate_limit_exceeded"}}'))


def test_thinking_that_is_counted_apart_is_part_of_the_output() -> None:
    """The total of xAI holds the thinking beside the output; ours holds it within."""
    usage = {
        "input_tokens": 10,
        "output_tokens": 2,
        "output_tokens_details": {"reasoning_tokens": 30},
        "total_tokens": 42,
    }
    counted = finish_of(events_of([completed(usage=usage)])).usage
    assert counted is not None
    assert (counted.output_tokens, counted.reasoning_tokens, counted.total_tokens) == (32, 30, 42)
    more = finish_of(events_of([completed(usage={**usage, "output_tokens": 50, "total_tokens": 90})])).usage
    assert more is not None
    assert more.output_tokens == 80
    only = finish_of(events_of([completed(usage={**usage, "output_tokens": 30, "total_tokens": 40})])).usage
    assert only is not None
    assert only.output_tokens == 30  # nothing but thinking
    assert counted.raw == usage


def test_the_namespace_is_the_companys() -> None:
    """What goes back stands under the company's own name, so that no other gets to see it."""
    stream = [added(thinking()), done(thinking(encrypted_content="x")), completed()]
    (part,) = read(stream, namespaces=("openai", "xai")).parts
    assert part == Reasoning("", provider_metadata={"xai": {"item_id": "rs_1", "encrypted_content": "x"}})


def test_the_raw_class_is_found_by_protocol() -> None:
    """Answers over this protocol have their own class of raw response."""
    assert RawProviderResponse.for_protocol("openai-responses") is OpenAIResponsesRaw
    assert protocol().id == "openai-responses"


def test_blocks_of_thinking_begin_and_end() -> None:
    """Every block that begins also ends, once."""
    stream = [added(thinking()), thought("a"), thought("b", part=1), done(thinking("a", "b", "c"))]
    events = events_of([*stream, completed()])
    begun = [one.id for one in of(events, ReasoningStart)]
    assert begun == [one.id for one in of(events, ReasoningEnd)] == ["rs_1:0", "rs_1:1", "rs_1:2"]
