"""An answer that is written as a vendor does is read by that vendor's protocol as the same events."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Any

import pytest
from hypothesis import given, settings, strategies

from mellite import Message
from mellite.events import (
    Event,
    Finish,
    ReasoningDelta,
    ReasoningEnd,
    TextDelta,
    ToolCallEvent,
    ToolInputDelta,
    ToolInputEnd,
    ToolInputError,
    ToolInputStart,
    Usage,
)
from mellite.messages import ToolCall
from mellite.protocols.answer_blocks import AnswerWriter
from mellite.request import Request
from mellite.server.dialects import DIALECTS
from mellite.wire.aws import EventStreamDecoder
from mellite.wire.framing import SseDecoder

PROTOCOLS = {name: name.replace("-", "_") for name in DIALECTS if name != "ollama-chat"}
USED = Usage.of(input_tokens=9, output_tokens=5, cache_read_input_tokens=4)
ASKED = Request.of([Message.user("Hi.")], model="m")
"""The usage of an answer that says all that every protocol can say."""


def writer(protocol: str) -> AnswerWriter:
    """What writes an answer in a protocol, as for a client that asked for the usage."""
    return DIALECTS[protocol].writer(model="m", id="1", fields={"stream_options": {"include_usage": True}}, created=0)


def streamed(protocol: str, events: Iterable[Event]) -> list[Event]:
    """The events that the protocol reads out of the stream that was written of others."""
    made = writer(protocol)
    return taken(protocol, b"".join([made.write(event) for event in events]))


def taken(protocol: str, data: bytes) -> list[Event]:
    """The events that a protocol reads out of a stream."""
    spoken = import_module(f"mellite.protocols.{PROTOCOLS[protocol]}").protocol()
    decoder = EventStreamDecoder() if protocol == "bedrock-converse" else SseDecoder()
    state = spoken.initial(ASKED)
    found: list[Event] = []
    for message in decoder.feed(data):
        found += spoken.step(state, message.raw, message.event)
    return [*found, *(() if state.done else spoken.halt(state))]


def whole(protocol: str, events: Iterable[Event]) -> list[Event]:
    """The events that the protocol reads out of the whole answer that was written of others."""
    made = writer(protocol)
    for event in events:
        made.write(event)
    spoken = import_module(f"mellite.protocols.{PROTOCOLS[protocol]}").protocol()
    return [*spoken.unary(json.dumps(made.whole()).encode())]


def said(events: Sequence[Event]) -> dict[str, Any]:
    """What an answer says, however it is cut into events."""
    calls = [each.call for each in events if isinstance(each, ToolCallEvent)]
    finish = [each for each in events if isinstance(each, Finish)]
    usage = finish[0].usage
    return {
        "text": "".join([each.text for each in events if isinstance(each, TextDelta)]),
        "thinking": "".join([each.text for each in events if isinstance(each, ReasoningDelta)]),
        "calls": [(call.name, call.arguments) for call in calls],
        "finishes": [each.reason for each in finish],
        "usage": None if usage is None else (usage.input_tokens, usage.output_tokens, usage.cache_read_input_tokens),
    }


def call(id: str, arguments: Any, *pieces: str) -> list[Event]:
    """A call of a tool as it arrives."""
    return [
        ToolInputStart(id, "look"),
        *[ToolInputDelta(id, "look", piece) for piece in pieces],
        ToolInputEnd(id, "look"),
        ToolCallEvent(ToolCall(id, "look", arguments, raw_arguments="".join(pieces) or None)),
    ]


ANSWERS: dict[str, list[Event]] = {
    "text": [TextDelta("Hel"), TextDelta("lo."), Finish("stop", usage=USED)],
    "nothing": [Finish("stop", usage=USED)],
    "too long": [TextDelta("Hel"), Finish("length", usage=USED)],
    "filtered": [TextDelta("Hel"), Finish("content-filter", usage=USED)],
    "thinking": [ReasoningDelta("H"), ReasoningDelta("m."), TextDelta("Yes."), Finish("stop", usage=USED)],
    "a call": [*call("c1", {"at": "Paris"}, '{"at"', ':"Paris"}'), Finish("tool-calls", usage=USED)],
    "a call without deltas": [ToolCallEvent(ToolCall("c1", "look", {"at": 1})), Finish("tool-calls", usage=USED)],
    "a call without arguments": [*call("c1", {}), Finish("tool-calls", usage=USED)],
    "text and two calls": [
        TextDelta("So."),
        *call("c1", {"a": 1}, '{"a":1}'),
        *call("c2", {"b": 2}, '{"b":2}'),
        Finish("tool-calls", usage=USED),
    ],
    "calls that are mixed": [
        ToolInputStart("c1", "look"),
        ToolInputStart("c2", "look"),
        ToolInputDelta("c2", "look", '{"b":'),
        ToolInputDelta("c1", "look", '{"a":'),
        ToolInputDelta("c2", "look", "2}"),
        ToolInputDelta("c1", "look", "1}"),
        ToolInputEnd("c1", "look"),
        ToolCallEvent(ToolCall("c1", "look", {"a": 1})),
        ToolCallEvent(ToolCall("c2", "look", {"b": 2})),
        Finish("tool-calls", usage=USED),
    ],
    "text between calls": [
        *call("c1", {"a": 1}, '{"a":1}'),
        TextDelta("And."),
        *call("c2", {"b": 2}, '{"b":2}'),
        Finish("tool-calls", usage=USED),
    ],
    "half a character": [TextDelta("\ud83d"), TextDelta("\u2028é"), Finish("stop", usage=USED)],
}


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_same_events(protocol: str, answer: str) -> None:
    """Text, thinking, calls, the end and the usage are read as they were, streamed and whole."""
    expected = said(ANSWERS[answer])
    for found in (streamed(protocol, ANSWERS[answer]), whole(protocol, ANSWERS[answer])):
        assert said(found) == expected


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_pieces_stay_pieces(protocol: str) -> None:
    """Each piece of text is one event again."""
    found = streamed(protocol, ANSWERS["text"])
    assert [each.text for each in found if isinstance(each, TextDelta)] == ["Hel", "lo."]


@pytest.mark.parametrize("protocol", ["anthropic-messages", "bedrock-converse"])
def test_signatures(protocol: str) -> None:
    """Claude's signature of its thinking comes along."""
    noted = {"anthropic": {"signature": "sig"}}
    events = [ReasoningDelta("Hm."), ReasoningEnd("reasoning-0", provider_metadata=noted), *ANSWERS["text"]]
    for found in (streamed(protocol, events), whole(protocol, events)):
        ends = [each.provider_metadata for each in found if isinstance(each, ReasoningEnd)]
        assert [next(iter(each.values()))["signature"] for each in ends if each] == ["sig"]


def test_nothing_is_shown_of_redacted_thinking() -> None:
    """Thinking of which nothing is shown goes back as it came."""
    noted = {"anthropic": {"redacted_data": "xyz"}}
    events = [ReasoningEnd("reasoning-0", provider_metadata=noted), *ANSWERS["text"]]
    for found in (streamed("anthropic-messages", events), whole("anthropic-messages", events)):
        assert [each.provider_metadata for each in found if isinstance(each, ReasoningEnd)] == [noted]


@pytest.mark.parametrize("protocol", ["openai-chat", "anthropic-messages", "openai-responses", "cohere-chat"])
def test_arguments_that_are_no_json(protocol: str) -> None:
    """What a model wrote is handed on as it is, where the arguments are a text on the wire."""
    broken: list[Event] = [
        ToolInputStart("c1", "look"),
        ToolInputDelta("c1", "look", "{oops"),
        ToolInputError("c1", "look", raw="{oops"),
        Finish("tool-calls", usage=USED),
    ]
    assert [each.raw for each in streamed(protocol, broken) if isinstance(each, ToolInputError)] == ["{oops"]


def decoded(made: AnswerWriter, events: Sequence[Event]) -> list[Any]:
    """The JSON of the events of a stream."""
    return [json.loads(each.raw) for each in SseDecoder().feed(b"".join(map(made.write, events)))]


def test_what_strict_clients_demand() -> None:
    """Blocks of Claude are counted without gaps; Responses begin with created and end with completed, numbered."""
    made = writer("anthropic-messages")
    events = [
        json.loads(each.data) for each in SseDecoder().feed(b"".join(map(made.write, ANSWERS["calls that are mixed"])))
    ]
    assert [each["index"] for each in events if each["type"] == "content_block_start"] == [0, 1]
    assert events[0]["message"]["usage"]["input_tokens"] == 0
    assert events[-2]["usage"]["input_tokens"] == 5
    made = writer("openai-responses")
    events = [
        json.loads(each.data) for each in SseDecoder().feed(b"".join(map(made.write, ANSWERS["text and two calls"])))
    ]
    assert events[0]["type"] == "response.created"
    assert events[-1]["type"] == "response.completed"
    assert [each["sequence_number"] for each in events] == list(range(len(events)))
    made = writer("gemini")
    lines = b"".join(map(made.write, ANSWERS["thinking"])).split(b"\n\n")
    assert all(line.startswith(b"data: {") and b"\n" not in line for line in lines[:-1])
    assert lines[-1] == b""


PIECES = strategies.lists(
    strategies.one_of(
        strategies.text(max_size=5).map(TextDelta),
        strategies.text(max_size=5).map(ReasoningDelta),
        strategies.dictionaries(strategies.text(max_size=3), strategies.integers(0, 9), max_size=2),
    ),
    max_size=8,
)


@settings(max_examples=50)
@given(pieces=PIECES)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_any_answer(protocol: str, pieces: list[Any]) -> None:
    """Whatever comes in whatever order is read as it was."""
    events: list[Event] = []
    for number, piece in enumerate(pieces):
        if isinstance(piece, dict):
            events += call(f"c{number}", piece, json.dumps(piece))
        else:
            events.append(piece)
    events.append(Finish("stop", usage=USED))
    expected = said(events)
    if expected["calls"]:
        expected["finishes"] = ["tool-calls"]
    assert said(streamed(protocol, events)) == expected
