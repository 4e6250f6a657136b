"""What flows is read in few steps: text, thinking and arguments of tools, with the same events as the long way."""

from __future__ import annotations

import base64
import gzip
import json
import random
import sys
from collections.abc import Iterator, Sequence
from itertools import takewhile
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from attrs import evolve

import mellite
from mellite.errors import MelliteError
from mellite.events import Event, Finish
from mellite.protocols import (
    anthropic_messages,
    bedrock_converse,
    cohere_chat,
    gemini,
    openai_chat,
    openai_responses,
)
from mellite.wire.aws import EventStreamDecoder
from mellite.wire.framing import Frame, SseDecoder
from mellite.wire.parsing import Parser
from mellite.wire.protocol import Protocol

MODULES = (anthropic_messages, bedrock_converse, cohere_chat, gemini, openai_chat, openai_responses)
PROTOCOLS: dict[str, Protocol[Any]] = {each.id: each for each in (module.protocol() for module in MODULES)}
REQUEST = mellite.Request.of("hi")
Raw = tuple[bytes, str]


def chat(**delta: Any) -> dict[str, Any]:
    """A chunk of Chat Completions."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}


def called(index: int, arguments: str, **first: Any) -> dict[str, Any]:
    """A chunk with more of the arguments of a call."""
    name = {"name": first.pop("name")} if "name" in first else {}
    return chat(tool_calls=[{"index": index, **first, "function": {**name, "arguments": arguments}}])


def google(text: str, **more: Any) -> dict[str, Any]:
    """A chunk of Gemini."""
    content = {"parts": [{"text": text, **more}], "role": "model"}
    return {"candidates": [{"content": content, "index": 0}], "modelVersion": "g", "responseId": "r"}


def claude(kind: str, index: int = 0, **delta: str) -> dict[str, Any]:
    """A delta of Anthropic's Messages."""
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **delta}}


def amazon(index: int = 0, **delta: Any) -> dict[str, Any]:
    """A delta of Converse."""
    return {"contentBlockDelta": {"contentBlockIndex": index, "delta": delta, "p": "abc"}}


def cohere(kind: str, index: int = 0, **message: Any) -> dict[str, Any]:
    """An event of Cohere's Chat."""
    return {"type": kind, "index": index, "delta": {"message": message}}


def openai(kind: str, delta: str, number: int, **place: Any) -> dict[str, Any]:
    """A delta of Responses."""
    return {"type": f"response.{kind}.delta", "delta": delta, "sequence_number": number, "obfuscation": "x", **place}


def added(index: int, kind: str, **item: Any) -> dict[str, Any]:
    """The beginning of an item of Responses."""
    return {
        "type": "response.output_item.added",
        "output_index": index,
        "item": {"id": f"i{index}", "type": kind, **item},
    }


AT = {"item_id": "i0", "output_index": 0}

#: Protocol and what flows -> how it begins, and an event of what flows.
FLOWS: dict[tuple[str, str], tuple[list[Any], Any]] = {
    ("openai-chat", "text"): ([chat(role="assistant", content="a")], chat(content="b")),
    ("openai-chat", "thinking"): ([chat(reasoning_content="a")], chat(reasoning_content="b")),
    ("openai-chat", "thinking by its other name"): ([chat(reasoning="a")], chat(reasoning="b", content="")),
    ("openai-chat", "arguments"): ([called(0, "", id="1", name="f"), called(0, "{")], called(0, '"a')),
    ("gemini", "text"): ([google("a")], google("b")),
    ("gemini", "thinking"): ([google("a", thought=True)], google("b", thought=True)),
    ("anthropic-messages", "text"): (
        [{"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}],
        claude("text_delta", text="b"),
    ),
    ("anthropic-messages", "thinking"): (
        [{"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}}],
        claude("thinking_delta", thinking="b"),
    ),
    ("anthropic-messages", "arguments"): (
        [{"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use", "id": "1", "name": "f"}}],
        claude("input_json_delta", partial_json="b"),
    ),
    ("bedrock-converse", "text"): ([amazon(text="a")], amazon(text="b")),
    ("bedrock-converse", "thinking"): (
        [amazon(reasoningContent={"text": "a"})],
        amazon(reasoningContent={"text": "b"}),
    ),
    ("bedrock-converse", "arguments"): (
        [{"contentBlockStart": {"contentBlockIndex": 0, "start": {"toolUse": {"toolUseId": "1", "name": "f"}}}}],
        amazon(toolUse={"input": "b"}),
    ),
    ("cohere-chat", "text"): (
        [cohere("content-start", content={"type": "text", "text": "a"})],
        cohere("content-delta", content={"text": "b"}),
    ),
    ("cohere-chat", "thinking"): (
        [cohere("content-start", content={"type": "thinking", "thinking": "a"})],
        cohere("content-delta", content={"thinking": "b"}),
    ),
    ("cohere-chat", "arguments"): (
        [cohere("tool-call-start", tool_calls={"id": "1", "function": {"name": "f", "arguments": "{"}})],
        cohere("tool-call-delta", tool_calls={"function": {"arguments": '"b'}}),
    ),
    ("openai-responses", "text"): (
        [added(0, "message"), openai("output_text", "a", 1, content_index=0, **AT)],
        openai("output_text", "b", 2, content_index=0, **AT),
    ),
    ("openai-responses", "thinking"): (
        [added(0, "reasoning"), openai("reasoning_text", "a", 1, content_index=0, **AT)],
        openai("reasoning_text", "b", 2, content_index=0, **AT),
    ),
    ("openai-responses", "summary"): (
        [added(0, "reasoning"), openai("reasoning_summary_text", "a", 1, summary_index=1, **AT)],
        openai("reasoning_summary_text", "b", 2, summary_index=1, **AT),
    ),
    ("openai-responses", "arguments"): (
        [
            added(0, "function_call", call_id="c", name="f"),
            openai("function_call_arguments", "{", 1, **AT),
        ],
        openai("function_call_arguments", '"b', 2, **AT),
    ),
    ("openai-responses", "input"): (
        [
            added(0, "custom_tool_call", call_id="c", name="f"),
            openai("custom_tool_call_input", "a", 1, **AT),
        ],
        openai("custom_tool_call_input", "b", 2, **AT),
    ),
}
EVERY_FLOW = pytest.mark.parametrize(("id", "what"), FLOWS, ids=lambda word: word)

#: Endings, and what else may come in between, for every protocol.
BETWEEN: dict[str, list[Any]] = {
    "openai-chat": [
        chat(content=""),
        chat(content=None, reasoning="c", reasoning_content="c"),
        chat(reasoning="", content="c"),
        chat(content="c", tool_calls=[{"index": 0, "function": {"arguments": "1"}}]),
        called(1, "{}", id="2", name="g"),
        called(1, ""),
        called(7, "d"),
        called(0, "e", id="", name=""),
        called(0, "e", id="1", name="f"),
        {"choices": [{"index": 0, "delta": {"function_call": {"name": "f", "arguments": "1"}}}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        {"choices": [{"index": 0, "delta": {"content": "c"}, "finish_reason": "tool_calls"}]},
        {"choices": [{"index": 1, "delta": {"content": "other"}}]},
        {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2}},
        None,
    ],
    "gemini": [
        google(""),
        google("c", thoughtSignature="s"),
        {**google("c"), "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 3}},
        {"candidates": [{"content": {"parts": [{"functionCall": {"name": "f", "args": {"a": 1}}}]}}]},
        {"candidates": [{"content": {}, "finishReason": "STOP"}], "usageMetadata": {"promptTokenCount": 5}},
        None,
    ],
    "anthropic-messages": [
        {"type": "content_block_stop", "index": 0},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": "x"}},
        claude("text_delta", 1, text="c"),
        claude("signature_delta", signature="s"),
        {"type": "ping"},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
    ],
    "bedrock-converse": [
        amazon(1, text="c"),
        amazon(text=""),
        amazon(reasoningContent={"signature": "s"}),
        {"contentBlockStop": {"contentBlockIndex": 0}},
        {"messageStop": {"stopReason": "end_turn"}},
    ],
    "cohere-chat": [
        cohere("content-start", 1, content={"type": "thinking", "thinking": "t"}),
        cohere("content-delta", content={"text": "c", "thinking": "d"}),
        cohere("content-delta", 1, content={"text": "c"}),
        cohere("content-end"),
        cohere("tool-call-start", 1, tool_calls={"id": "2", "function": {"name": "g", "arguments": ""}}),
        cohere("tool-call-delta", 1, tool_calls={"function": {"arguments": "1"}}),
        cohere("tool-call-delta", tool_calls={"function": {"arguments": ""}}),
        cohere("tool-call-end"),
        cohere("tool-plan-delta", tool_plan="I will."),
        {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": {}}},
    ],
    "openai-responses": [
        added(1, "message"),
        openai("output_text", "c", 9, content_index=0, item_id="i1", output_index=1),
        openai("output_text", "c", 9, content_index=1, **AT),
        openai("reasoning_summary_text", "c", 9, summary_index=0, **AT),
        openai("reasoning_text", "c", 9, content_index=0, **AT),
        openai("function_call_arguments", "c", 9, item_id="i1", output_index=1),
        openai("function_call_arguments", "c", 9, item_id="i0"),
        {"type": "response.function_call_arguments.done", "arguments": "{}", **AT},
        {"type": "response.output_text.done", "text": "abc", "content_index": 0, **AT},
        {"type": "response.output_item.done", "output_index": 0, "item": {"id": "i0", "type": "reasoning"}},
        {"type": "response.completed", "response": {"status": "completed", "output": []}},
    ],
}


def told(id: str, frames: Sequence[Raw]) -> tuple[list[Event], str]:
    """The events of a stream, and how it broke off, if it did."""
    protocol = PROTOCOLS[id]
    state = protocol.initial(REQUEST)
    events: list[Event] = []
    try:
        for data, name in frames:
            if not state.done:
                events += protocol.step(state, data, name)
        if not state.done:
            events += protocol.halt(state)
    except MelliteError as error:
        return events, repr(error)
    return events, ""


def told_at_once(id: str, frames: Sequence[Raw]) -> tuple[list[Event], str]:
    """The same, where all of the stream comes in one piece, so that what flows is not taken event by event."""
    parser = Parser(PROTOCOLS[id], SseDecoder(), REQUEST, keep_raw=False)
    events = [*parser.take(b"".join([b"event: %s\ndata: %s\n\n" % (name.encode(), data) for data, name in frames]))]
    if parser.failure is not None:
        return events, repr(parser.failure)
    try:
        return [*events, *(() if parser.over else parser.take(b""))], ""
    except MelliteError as error:
        return events, repr(error)


def told_one_by_one(id: str, frames: Sequence[Raw], *, keep_raw: bool = False) -> tuple[list[Event], str]:
    """The same, where each event comes in a piece of its own, so that it may be read by its likeness to the last."""
    parser = Parser(PROTOCOLS[id], SseDecoder(), REQUEST, keep_raw=keep_raw)
    events: list[Event] = []
    for data, name in frames:
        named = b"event: %s\n" % name.encode() if name != "message" else b""
        if not parser.over:
            events += parser.take(named + b"data: %s\n\n" % data)
        if parser.failure is not None:
            return events, repr(parser.failure)
    try:
        return [*events, *(() if parser.over else parser.take(b""))], ""
    except MelliteError as error:
        return events, repr(error)


def told_by_flow(id: str, frames: Sequence[Raw]) -> tuple[list[Event], str]:
    """The same, where as much as flows is taken at once, before each event that is taken by itself."""
    protocol = PROTOCOLS[id]
    state = protocol.initial(REQUEST)
    events: list[Event] = []
    at = 0
    try:
        while at < len(frames) and not state.done:
            data, name = frames[at]
            alike = [raw for raw, _ in takewhile(lambda frame, name=name: frame[1] == name, frames[at:])]
            flowed = protocol.flow(state, alike, name) if protocol.flow is not None else ()
            events += flowed
            if flowed:
                at += len(flowed)
            else:
                events += protocol.step(state, data, name)
                at += 1
        if not state.done:
            events += protocol.halt(state)
    except MelliteError as error:
        return events, repr(error)
    return events, ""


def the_long_way(frames: Sequence[Raw]) -> Iterator[Raw]:
    """The same events, none of which is plain: of another name, and with a field that means nothing."""
    for data, name in frames:
        if data.lstrip().startswith(b"{"):
            yield b'{"zz":null,' + data.lstrip()[1:], name if name == "error" else "zz"
        else:
            yield data, name


def without(value: Any) -> Any:
    """A value without that field."""
    if isinstance(value, dict):
        return {name: without(inner) for name, inner in value.items() if name != "zz"}
    return [without(inner) for inner in value] if isinstance(value, list) else value


def agree(id: str, frames: Sequence[Raw]) -> int:
    """Check that both ways tell the same; return how many events there are."""
    (short, broke), (long, broke_long) = told(id, frames), told(id, [*the_long_way(frames)])
    long = [evolve(event, response=without(event.response)) if type(event) is Finish else event for event in long]
    assert short == long
    assert broke == broke_long.replace("'zz': None, ", "")
    assert told_by_flow(id, frames) == (short, broke)
    if b"\n" not in b"".join([data for data, _ in frames]):
        assert told_at_once(id, frames) == (short, broke)
        assert told_one_by_one(id, frames) == (short, broke)
    return len(short)


@EVERY_FLOW
def test_few_calls(id: str, what: str) -> None:
    """What flows takes at most 14 function calls an event: text at most 5."""
    protocol = PROTOCOLS[id]
    state = protocol.initial(REQUEST)
    begun, more = FLOWS[id, what]
    for value in (*begun, more):
        protocol.step(state, json.dumps(value).encode(), "message")
    data, seen = json.dumps(more).encode(), []

    def note(_frame: FrameType, event: str, _what: object) -> None:
        if event in ("call", "c_call"):
            seen.append(event)

    before = sys.getprofile()
    sys.setprofile(note)
    events = protocol.step(state, data, "message")
    sys.setprofile(before)
    assert len(events) == 1
    assert len(seen) - 1 <= (5 if what == "text" else 14)


@EVERY_FLOW
def test_what_flows(id: str, what: str) -> None:
    """An undisturbed flow tells the same events as one in which each event is looked at in full."""
    begun, more = FLOWS[id, what]
    frames = [(json.dumps(value).encode(), "message") for value in (*begun, *[more] * 5)]
    assert agree(id, frames) >= 6


@EVERY_FLOW
def test_disturbed_flows(id: str, what: str) -> None:
    """Whatever comes in between, in any order, and whatever flows before or after it."""
    rnd = random.Random(f"{id} {what}")
    others = [part for (of, _), parts in FLOWS.items() if of == id for part in (*parts[0], parts[1])]
    begun, more = FLOWS[id, what]
    for _ in range(150):
        values = [*begun, more]
        while len(values) < rnd.randrange(4, 30):
            values.append(rnd.choice((more, more, rnd.choice(others), rnd.choice(BETWEEN[id]))))
        values += rnd.choice(([], [], BETWEEN[id][-3:]))
        agree(id, [(written(value, rnd), "message") for value in values])


def written(value: Any, rnd: random.Random) -> bytes:
    """The JSON of an event, with another text in place of "b", other padding and blanks."""
    data = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    data = data.replace('"b"', json.dumps(rnd.choice(("b", "c", "\\", '"}', "", "\u00e9\ud83d\ude00", "the", "\n"))))
    data = data.replace('"obfuscation":"x"', f'"obfuscation":"{"x" * rnd.randrange(3)}"')
    if data.endswith("}}"):
        data = data[:-1] + " " * rnd.randrange(3) + "}"
    return data.encode("utf-8", "surrogatepass")


def test_content_behind_the_end_of_converse() -> None:
    """Thinking that begins with its signature behind a stop reason takes that back once it says something."""
    values = [
        {"messageStop": {"stopReason": "end_turn"}},
        amazon(reasoningContent={"signature": "s"}),
        amazon(reasoningContent={"text": "b"}),
    ]
    assert agree("bedrock-converse", [(json.dumps(value).encode(), "message") for value in values])


#: What shows only where it comes just so, by protocol.
JUST_SO: dict[str, list[Any]] = {
    "openai-responses": [
        added(0, "message"),
        *[openai("output_text", "a", number, content_index=0, **AT) for number in (1, 2, 3, 7)],
        {"type": "response.completed", "response": {"status": "completed", "output": []}},
    ],
    "gemini": [
        google("a"),
        {**google("b"), "usageMetadata": {"promptTokenCount": 5}},
        google("c"),
        {"candidates": [{"content": {}, "finishReason": "STOP"}]},
    ],
    "bedrock-converse": [amazon(text="a"), {"messageStop": {"stopReason": "end_turn"}}, amazon(text="b")],
}


@pytest.mark.parametrize("id", JUST_SO)
def test_just_so(id: str) -> None:
    """Numbers that leave a gap, usage before the end, and content behind it count where much is taken at once, too."""
    agree(id, [(json.dumps(value).encode(), "message") for value in JUST_SO[id]])


ADDRESSES = {
    "/messages": "anthropic-messages",
    "/converse-stream": "bedrock-converse",
    "cohere": "cohere-chat",
    ":streamGenerateContent": "gemini",
    "/chat/completions": "openai-chat",
    "/responses": "openai-responses",
}


def frames_of(id: str, body: bytes, rnd: random.Random, cuts: int) -> list[Raw]:
    """The events of a recorded stream, which arrives in pieces."""
    framing = EventStreamDecoder() if id == "bedrock-converse" else SseDecoder()
    at = sorted(rnd.randrange(len(body)) for _ in range(cuts))
    frames: list[Frame] = []
    for start, end in zip([0, *at], [*at, len(body)], strict=True):
        frames += framing.feed(body[start:end])
    return [(frame.raw, frame.event) for frame in frames if frame.raw]


def test_recorded_streams(corpora: Path) -> None:
    """Every recorded stream tells the same, however it is cut."""
    rnd = random.Random("cuts")
    seen: dict[str, int] = {}
    with gzip.open(corpora / "interactions.jsonl.gz", "rt") as lines:
        for row in map(json.loads, lines):
            body = base64.b64decode(row["body_b64"])
            id = next((id for address, id in ADDRESSES.items() if address in row["uri"]), None)
            if id is None or body.lstrip()[:1] in (b"{", b"[", b""):
                continue
            whole = frames_of(id, body, rnd, 0)
            for cuts in (1, 7, 60):
                assert frames_of(id, body, rnd, cuts) == whole
            seen[id] = seen.get(id, 0) + agree(id, whole)
    assert set(seen) >= {"anthropic-messages", "gemini", "openai-chat", "openai-responses"}
    assert sum(seen.values()) > 1_000
