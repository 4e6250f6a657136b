"""Any JSON in any place of an answer: a valid outcome or a typed error, never anything else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from mellite.errors import MelliteError
from mellite.events import Event, Finish
from mellite.messages import CacheHint, Document, Image, Message, Part, Reasoning, Text, ToolCall, ToolResult
from mellite.protocols.error_answers import classify, failure_of
from mellite.protocols.openai_chat import protocol
from mellite.protocols.openai_chat.stream import unary
from mellite.providers.compatible import HOSTS
from mellite.request import Request
from mellite.values.fold import fold
from mellite.wire.protocol import Protocol
from tests.protocols.openai_chat.chunks import DONE, delta, events_of

FIELDS = (
    "annotations", "arguments", "choices", "content", "created", "custom", "delta", "error", "function",
    "id", "index", "logprobs", "message", "model", "name", "object", "reasoning", "reasoning_content", "text",
    "reasoning_details", "refusal", "thinking", "tool_calls", "type", "usage", "x_groq", "finish_reason",
)  # fmt: skip
WORDS = st.sampled_from(["", "stop", "length", "tool_calls", "error", "text", "thinking", "{}", '{"a":', "\ud800", "x"])
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 3)
    | st.just(10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4),
    max_leaves=12,
)
DELTAS = st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=4)
CHOICES = st.fixed_dictionaries(
    {"delta": DELTAS}, optional={"index": st.integers(0, 1) | VALUES, "finish_reason": VALUES}
)
CHUNKS = VALUES | st.fixed_dictionaries(
    {"choices": st.lists(CHOICES, max_size=2)}, optional={"usage": VALUES, "x": VALUES}
)


def check(events: list[Event]) -> None:
    """A valid outcome: one Finish at the end, and an answer that folds and is JSON."""
    assert [type(event) for event in events].count(Finish) == 1
    finish = events[-1]
    assert isinstance(finish, Finish)
    folded = fold(events)
    json.dumps([finish.response, folded.text, folded.thinking])


@pytest.mark.slow
@settings(max_examples=300, derandomize=True)
@given(st.lists(CHUNKS, max_size=6))
def test_any_stream(chunks: list[Any]) -> None:
    """Whatever the chunks of a stream hold."""
    try:
        events = events_of([delta(content="a"), *map(json.dumps, chunks), delta("stop"), DONE])
    except MelliteError:
        return
    check(events)


@settings(max_examples=200, derandomize=True)
@given(
    VALUES
    | st.fixed_dictionaries({"choices": st.lists(st.fixed_dictionaries({"message": DELTAS}), min_size=1, max_size=2)})
)
def test_any_answer(answer: Any) -> None:
    """Whatever an answer in one piece holds."""
    try:
        events = list(unary(json.dumps(answer).encode()))
    except MelliteError:
        return
    check(events)


@settings(max_examples=200, derandomize=True)
@given(VALUES, st.sampled_from([200, 400, 401, 413, 429, 500, 599]), st.binary(max_size=20))
def test_any_error(value: Any, status: int, noise: bytes) -> None:
    """Whatever an error answer holds, in JSON or out of it, has a type and says something."""
    body = json.dumps({"error": value}).encode()
    for error in (failure_of(value), classify(status, {}, body), classify(status, {}, body[:-3] + noise)):
        assert isinstance(error, MelliteError)
        assert str(error)


# --- what is asked --------------------------------------------------------------------------------

IDS = st.sampled_from(["call_1", "call_2", "", "ä" * 50])
PARTS: st.SearchStrategy[Part] = st.one_of(
    st.builds(Text, WORDS, cache=st.none() | st.just(CacheHint())),
    st.builds(Reasoning, WORDS, provider_metadata=st.none() | st.just({"openai": {"reasoning_details": [{"a": 1}]}})),
    st.builds(ToolCall, IDS, WORDS, VALUES, raw_arguments=st.none() | WORDS, provider_executed=st.booleans()),
    st.builds(ToolResult, IDS, WORDS, VALUES | st.just(Image(b"\x89PNG", media_type="image/png"))),
    st.sampled_from(
        [
            Image(url="https://example.com/a.png"),
            Document(b"%PDF", media_type="application/pdf"),
            Image(b"x", media_type="x/y"),
        ]
    ),
)
MESSAGES = st.builds(Message, st.sampled_from(["user", "assistant", "tool", "system"]), st.lists(PARTS, max_size=3))
PROTOCOLS = [protocol(host.dialect) for host in HOSTS.values()]


@pytest.mark.slow
@settings(max_examples=300, derandomize=True)
@given(st.lists(MESSAGES, min_size=1, max_size=6), st.sampled_from(PROTOCOLS), st.booleans())
def test_any_history(history: list[Message], spoken: Protocol[Any], stream: bool) -> None:
    """Whatever a history holds, it is refused by type, or each result in the body stands right behind its call."""
    request = Request.of(history, model="anthropic/m")
    try:
        body = spoken.lower(spoken.mend(request)[0], stream=stream)
    except MelliteError:
        return
    waiting: set[str] = set()
    for message in body["messages"]:
        if message["role"] == "tool":
            assert message["tool_call_id"] in waiting
            waiting.remove(message["tool_call_id"])
            continue
        assert not waiting
        waiting = {call["id"] for call in message.get("tool_calls", [])}
        assert len(waiting) == len(message.get("tool_calls", []))
        assert message["content"] is not None or waiting
    assert not waiting
    json.dumps(body)
