"""Responses answers whose events do not all say the same: the last word counts, and nothing comes short or twice."""

from __future__ import annotations

import json
from typing import Any

import pytest

import mellite
from mellite import ModelOutputThunk
from mellite.cassettes import ScriptedTransport
from mellite.errors import InvalidProviderOutput, ProviderInternal
from mellite.events import ReasoningEnd, ReasoningStart, TextDelta, TextEnd, TextStart
from mellite.messages import Text
from tests.protocols.openai_responses.events import (
    CREATED,
    added,
    call,
    completed,
    done,
    event,
    events_of,
    message,
    read,
    text,
    thinking,
    thought,
    written,
)

Answer = dict[str, Any]


def asked(*stream: Any) -> ModelOutputThunk[str]:
    """A thunk whose answer is a stream that a server sends."""
    body = "".join(f"event: {one['type']}\ndata: {json.dumps(one)}\n\n" for one in stream)
    backend = mellite.backend("openai:m", api_key="k", transport=ScriptedTransport([body]))
    return backend.generate("Hi")


def nothing_more() -> Answer:
    """The last event of a host that leaves the output out."""
    return event("completed", response={"id": "resp_1", "status": "completed", "output": None})


def whole(said: str, index: int = 0, part: int = 0, id: str = "msg_1") -> Answer:
    return event("output_text.done", item_id=id, output_index=index, content_index=part, text=said)


def part_whole(said: str, index: int = 0, part: int = 0) -> Answer:
    given = {"type": "output_text", "text": said}
    return event("content_part.done", item_id="msg_1", output_index=index, content_index=part, part=given)


def input_whole(arguments: str, **fields: Any) -> Answer:
    known = {"item_id": "fc_1", "output_index": 0}
    return event("function_call_arguments.done", **(fields or known), arguments=arguments)


NAMES = {"call_id": "call_1", "name": "get_weather"}


# --- what only comes when it is done --------------------------------------------------------------


@pytest.mark.parametrize("end", [nothing_more(), completed(message("Hello."))])
@pytest.mark.parametrize(
    "stream",
    [
        [whole("Hello.")],
        [part_whole("Hello.")],
        [text("Hel"), whole("Hello.")],
        [text("Hel"), part_whole("Hello."), done(message("Hello."))],
        [event("output_text.done", text="Hello.")],
        [event("output_text.delta", delta="Hel"), event("output_text.done", text="Hello.")],
        [added(message()), text("Hello."), whole("Hello."), part_whole("Hello."), done(message("Hello."))],
        [added(message()), whole("Hello.", index=7), done(message("Hello."))],  # another place, the same id
        [text("Hello."), done(message("Hello.")), whole("Hello.")],  # behind the end of its item
        [text("Hello."), event("output_text.done", item_id="msg_1", output_index=0, content_index=1, text="Hello.")],
        [text("Hello."), whole("")],  # which says nothing
    ],
)  # fmt: skip
def test_texts_that_are_told_as_a_whole(stream: list[Answer], end: Answer) -> None:
    """A text is what its pieces or its whole say, once."""
    folded = read([CREATED, *stream, end])
    assert [part.text for part in folded.parts if isinstance(part, Text)] == ["Hello."]
    assert folded.text == "Hello."


def test_the_rest_of_a_text_is_one_more_delta() -> None:
    """What only the whole has is given as soon as it is known, before the text ends."""
    events = events_of([text("Hel"), whole("Hello."), done(message("Hello.")), completed(message("Hello."))])
    kinds = (TextStart, TextDelta, TextEnd)
    assert [type(one) for one in events if isinstance(one, kinds)] == [TextStart, TextDelta, TextDelta, TextEnd]
    assert [one.text for one in events if isinstance(one, TextDelta)] == ["Hel", "lo."]


def test_a_part_that_only_the_whole_answer_has() -> None:
    """More of a message that is complete becomes another part of it, begun and ended."""
    stream = [text("One. "), done({**message(), "content": []}), completed(message("One. ", "Two."))]
    events = events_of(stream)
    assert [one.text for one in events if isinstance(one, TextDelta)] == ["One. ", "Two."]
    assert len([one for one in events if isinstance(one, TextStart)]) == 2
    assert len([one for one in events if isinstance(one, TextEnd)]) == 2


@pytest.mark.parametrize(
    "stream",
    [
        [event("reasoning_summary_text.done", item_id="rs_1", output_index=0, summary_index=0, text="Hm.")],
        [event("reasoning_summary_part.done", output_index=0, part={"type": "summary_text", "text": "Hm."})],
        [event("reasoning_text.done", item_id="rs_1", output_index=0, content_index=0, text="Hm.")],
        [thought("H"), event("reasoning_summary_text.done", output_index=0, summary_index=0, text="Hm.")],
        [thought("Hm."), event("reasoning_text.done", item_id="rs_1", output_index=0, text="Hm.")],
        [event("reasoning_text.delta", item_id="rs_1", output_index=0, delta="Hm."), done(thinking("Hm."))],
    ],
)  # fmt: skip
def test_thinking_that_is_told_as_a_whole(stream: list[Answer]) -> None:
    """Thinking, too, is there once, whatever kind of it its events name."""
    events = events_of([added(thinking()), *stream, nothing_more()])
    assert read([added(thinking()), *stream, nothing_more()]).thinking == "Hm."
    assert len([one for one in events if isinstance(one, ReasoningStart)]) == 1
    assert len([one for one in events if isinstance(one, ReasoningEnd)]) == 1


@pytest.mark.parametrize(
    "stream",
    [
        [added(call()), input_whole('{"a": 1}')],
        [added(call()), written('{"a"'), input_whole('{"a": 1}')],
        [added(call("{}")), written('{"a": 1}')],  # a place-holder
        [added(call('{"a": 1}'))],
        [added({"type": "function_call", "id": "fc_1"}), input_whole('{"a": 1}', item_id="fc_1", **NAMES)],
        [added(call(), None), input_whole('{"a": 1}', call_id="call_1")],
        [added(call()), written('{"a": 1}'), input_whole('{"a":1}'), done(call('{ "a": 1 }'))],
        [added(call()), written('{"a": 1}'), done(call(""))],
    ],
)  # fmt: skip
def test_arguments_that_are_told_as_a_whole(stream: list[Answer]) -> None:
    """Arguments are what their pieces or their whole say."""
    folded = read([CREATED, *stream, nothing_more()])
    assert [(tool.id, tool.name, tool.arguments) for tool in folded.tool_calls] == [("call_1", "get_weather", {"a": 1})]


def test_a_custom_input_that_is_told_as_a_whole() -> None:
    """The input of a custom tool has events of its own."""
    item = {"type": "custom_tool_call", "id": "ctc_1", "call_id": "call_1", "name": "sql", "input": ""}
    stream = [added(item), event("custom_tool_call_input.done", item_id="ctc_1", output_index=0, input="SELECT 1;")]
    (tool,) = read([*stream, nothing_more()]).tool_calls
    assert tool.raw_arguments == "SELECT 1;"


@pytest.mark.parametrize(
    "stream",
    [
        [event("refusal.done", item_id="msg_1", content_index=0, refusal="No.")],
        [event("refusal.delta", item_id="msg_1", delta="N"), event("refusal.done", item_id="msg_1", refusal="No.")],
        [event("content_part.done", item_id="msg_1", content_index=0, part={"type": "refusal", "refusal": "No."})],
    ],
)
def test_a_refusal_that_is_told_as_a_whole(stream: list[Answer]) -> None:
    """A refusal is what its pieces or its whole say, once."""
    finish = read([*stream, nothing_more()]).finish
    assert finish is not None
    assert finish.refusal == "No."


# --- whose piece it is ----------------------------------------------------------------------------


def test_pieces_that_only_name_their_call() -> None:
    """Pieces of two calls find theirs by the call id."""
    second = call(id="fc_2", call_id="call_2", name="get_time")
    pieces = [("call_1", '{"a"'), ("call_2", '{"b"'), ("call_1", ": 1}"), ("call_2", ": 2}")]
    stream = [event("function_call_arguments.delta", call_id=id, delta=delta) for id, delta in pieces]
    folded = read([added(call(), None), added(second, None), *stream, nothing_more()])
    assert [(tool.name, tool.arguments) for tool in folded.tool_calls] == [
        ("get_weather", {"a": 1}),
        ("get_time", {"b": 2}),
    ]


def test_pieces_under_another_place_than_their_call() -> None:
    """A call that was announced without a place, or under another one, is found by its ids."""
    for announced in (added(call(), None), added(call(), 3)):
        folded = read([announced, written('{"a": 1}', 0), nothing_more()])
        assert [(tool.id, tool.arguments) for tool in folded.tool_calls] == [("call_1", {"a": 1})]


# --- what is sent twice ---------------------------------------------------------------------------


def twice(item: Answer, *pieces: Answer, deltas: bool) -> list[Answer]:
    """An item at its place, and once more at the next: with or without its pieces."""
    bare = {**item, **{name: [] for name in ("content", "summary") if name in item}}
    again = [{**piece, "output_index": 1} for piece in pieces] if deltas else []
    return [added(bare), *pieces, done(item), added(bare, 1), *again, done(item, 1)]


@pytest.mark.parametrize("deltas", [True, False])
@pytest.mark.parametrize("end", ["nothing", "once"])
@pytest.mark.parametrize(
    ("item", "pieces"),
    [
        (message("Hello. "), [text("Hel"), text("lo. ")]),
        (call('{"a": 1}'), [written('{"a"'), written(": 1}")]),
        (thinking("Hm."), [thought("Hm.")]),
        ({"type": "web_search_call", "id": "ws_1", "action": {"query": "q"}}, []),
    ],
)  # fmt: skip
def test_an_item_that_is_sent_twice(item: Answer, pieces: list[Answer], end: str, deltas: bool) -> None:
    """An item under an id that was there is no other one, unless it says something else."""
    stream = twice(item, *pieces, deltas=deltas)
    once = read([*stream[: 2 + len(pieces)], completed(item)])
    folded = read([*stream, nothing_more() if end == "nothing" else completed(item)])
    assert (folded.text, folded.thinking, folded.parts) == (once.text, once.thinking, once.parts)


def test_an_item_that_is_there_twice_in_the_whole_answer() -> None:
    """The last word counts: a model may say the same thing twice, and some hosts only have one id."""
    item = message("Hello. ")
    folded = read([*twice(item, text("Hello. "), deltas=True), completed(item, item)])
    assert folded.text == "Hello. Hello. "


def test_one_id_for_all_items() -> None:
    """Under one id there may be several texts, also such as begin alike; and calls are told apart by their call ids."""
    first, second, third = message("Hello."), message("Hello again."), message("Hel")
    stream = [added(message()), text("Hello."), done(first), added(message(), 1), text("Hello", 1)]
    stream += [text(" again.", 1), done(second, 1), added(message(), 2), text("Hel", 2), done(third, 2)]
    for end in (nothing_more(), completed(first, second, third)):
        assert read([*stream, end]).text == "Hello.Hello again.Hel"
    calls = [call(f'{{"n": {n}}}', call_id=f"call_{n}") for n in (1, 2)]
    stream = [one for n, item in enumerate(calls) for one in (added(call(call_id=item["call_id"]), n), done(item, n))]
    for end in (nothing_more(), completed(*calls)):
        assert [tool.arguments for tool in read([*stream, end]).tool_calls] == [{"n": 1}, {"n": 2}]


# --- what contradicts the whole -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stream", "place"),
    [
        ([text("Heo."), whole("Hello."), nothing_more()], r"output item 0 \(msg_1\).* character 2 .*'o\.'.*'llo\.'"),
        ([text("Heo."), part_whole("Hello."), nothing_more()], "output item 0"),
        ([text("Heo."), done(message("Hello.")), nothing_more()], "output item 0"),
        ([text("Heo."), completed(message("Hello."))], "output item 0"),
        ([text("Hello. Hi."), completed(message("Hello."))], r"character 6 .*' Hi\.'.*''"),
        ([text("Hello."), text("Hello.", 1, id="msg_2"), completed(message("Hello."))], r"item 1 \(msg_2\)"),
        ([text("One."), text("Two.", 1, id="msg_2"), completed(message("One. "), message("T", id="msg_2"))], "item 1"),
        ([text("One"), text("Two.", 1, id="msg_2"), completed(message("One."), message("Two.", id="msg_2"))], "item 0"),
        ([text("Two.", 1), completed(message("One.", id="msg_0"), message("Two."))], "item"),
        ([added(call()), written('{"a": 1}'), done(call('{"a": 2}')), nothing_more()], "arguments of output item 0"),
        ([added(call()), written('{"a": 1}'), completed(call('{"a": 2}'))], "arguments of output item 0"),
        ([added(call()), done(call('{"a": 1}')), completed(call('{"a": 2}'))], "arguments of output item 0"),
        ([added(call()), done(call("")), completed(call('{"a": 2}'))], "arguments of output item 0"),
        ([done(call("{}")), done(call("{}", id="fc_2", call_id="call_2"), 1), completed(call("{}"))], "call_2"),
    ],
)  # fmt: skip
def test_pieces_that_are_not_what_the_whole_has(stream: list[Answer], place: str) -> None:
    """A piece that got lost, or came twice, is an error that names the place; what came stays readable."""
    with pytest.raises(InvalidProviderOutput, match=place):
        events_of([CREATED, *stream])


def test_damaged_arguments_are_those_of_the_whole() -> None:
    """Pieces that make no JSON were damaged on their way; the call has what the provider says it is."""
    (tool,) = read(
        [added(call()), written('{"city": '), written('is"}'), done(call('{"city": "Paris"}')), completed()]
    ).tool_calls
    assert tool.arguments == {"city": "Paris"}


@pytest.mark.parametrize(
    ("streamed", "last"),
    [
        ([text(" Hello.\n")], message("Hello.")),
        ([text("Hello.")], message("Hello.\n")),
        ([text(" Hel"), text("lo.")], message("Hello.")),
        ([text("Hello.")], message("Hel", "lo.")),  # in other parts
        ([text("Hel"), text("lo.", part=1)], message("Hello.")),
        ([text("Hello.")], message("Hello.", id="msg_other")),
        ([text("Hello.")], {**message(), "content": []}),
    ],
)
def test_what_is_no_contradiction(streamed: list[Answer], last: Answer) -> None:
    """White space around a text, other ids and other parts are how some hosts put the same answer."""
    assert read([*streamed, completed(last)]).text.strip() == "Hello."


@pytest.mark.parametrize(
    "end", [completed(message("a\U0001f600b")), whole("a\U0001f600b"), done(message("a\U0001f600b"))]
)
def test_a_character_that_was_cut_in_two(end: Answer) -> None:
    """Servers that count in UTF-16 cut characters; the whole has them whole."""
    events = events_of([text("a\ud83d"), text("\ude00b"), end, completed()])
    assert [one.text for one in events if isinstance(one, TextDelta)] == ["a\ud83d", "\ude00b"]


def test_texts_in_other_items() -> None:
    """A whole answer with all of the text in more or fewer messages than were streamed is the same answer."""
    one, two = message("Hel"), message("lo.", id="msg_2")
    assert read([text("Hel"), text("lo.", 1, id="msg_2"), completed(message("Hello.", id="m"))]).text == "Hello."
    assert read([text("Hello."), completed(one, two)]).text == "Hello."


def test_thinking_may_be_put_otherwise_in_the_end() -> None:
    """Hosts show another summary in the end; the text is what counts."""
    folded = read([added(thinking()), thought("Hm."), done(thinking("Well.")), text("4", 1), completed()])
    assert (folded.thinking, folded.text) == ("Hm.", "4")


def test_what_a_content_filter_took_back() -> None:
    """An answer that was filtered may have less in the end than was streamed."""
    end = completed(status="incomplete", incomplete_details={"reason": "content_filter"})
    end["response"]["output"] = [message("He")]
    folded = read([text("Hello"), end])
    assert folded.text == "Hello"
    assert folded.finish is not None
    assert folded.finish.reason == "content-filter"


# --- numbers that jump ----------------------------------------------------------------------------


def numbered(*stream: Answer, without: int | None = None) -> list[Answer]:
    """The events with their sequence numbers; one of them may have got lost."""
    counted = [{**one, "sequence_number": number} for number, one in enumerate(stream)]
    return [one for one in counted if one["sequence_number"] != without]


TOLD = [CREATED, added(message()), text("He"), text("ll"), text("o.")]


@pytest.mark.parametrize("end", [[], [whole("Hello.")], [done(message("Hello."))]])
def test_a_piece_that_got_lost(end: list[Answer]) -> None:
    """A gap in the numbers between two pieces of a text is an error, whether or not the whole text comes."""
    stream = [*TOLD, *end, nothing_more()]
    assert read(numbered(*stream)).text == "Hello."
    with pytest.raises(InvalidProviderOutput, match="output item 0"):
        events_of(numbered(*stream, without=3))
    with pytest.raises(InvalidProviderOutput, match="output item 0"):
        events_of(numbered(*TOLD, completed(message("Hello.")), without=3))


def test_a_piece_of_arguments_that_got_lost() -> None:
    """Arguments that could be whole are not taken where an event is missing in their middle."""
    stream = [CREATED, added(call()), written('{"a": "x'), written("y"), written('z"}'), nothing_more()]
    with pytest.raises(InvalidProviderOutput, match="stream event 3 is missing in the middle of the arguments"):
        events_of(numbered(*stream, without=3))


def test_numbers_that_jump_where_nothing_is_missing() -> None:
    """Hosts leave out events that they do not need, or count in their own way; the whole text settles it."""
    for number in (0, 1):
        assert read(numbered(*TOLD, nothing_more(), without=number)).text == "Hello."
    counted = [{**one, "sequence_number": 10 * number} for number, one in enumerate(TOLD)]
    assert read([*counted, nothing_more()]).text == "Hello."
    restarted = [*numbered(*TOLD), {**whole("Hello."), "sequence_number": 40}]
    assert read([*restarted, nothing_more()]).text == "Hello."


# --- ends -----------------------------------------------------------------------------------------


def test_an_answer_called_complete_that_is_not() -> None:
    """Some hosts always call the last event ``response.completed``: the status inside of it counts."""
    details = {"reason": "max_output_tokens"}
    cut = event(
        "completed", response={"status": "incomplete", "output": [message("Hel")], "incomplete_details": details}
    )
    finish = read([text("Hel"), cut]).finish
    assert finish is not None
    assert finish.reason == "length"
    failed = event("completed", response={"status": "failed", "error": {"code": "server_error", "message": "Sorry."}})
    with pytest.raises(ProviderInternal, match="Sorry"):
        events_of([text("Hel"), failed])


@pytest.mark.anyio
async def test_a_contradiction_fails_the_thunk() -> None:
    """The thunk fails with the error, and keeps what came."""
    stream = [CREATED, text("Heo."), done(message("Hello.")), completed(message("Hello."))]
    thunk = await asked(*stream).settle()
    assert isinstance(thunk.error, InvalidProviderOutput)
    assert (thunk.partial, thunk.generation.response_id) == ("Heo.", "resp_1")
