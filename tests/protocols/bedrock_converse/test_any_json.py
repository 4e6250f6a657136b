"""Any JSON in any place of an answer of Bedrock, and any history: a valid outcome or a typed error, nothing else."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from mellite.errors import MelliteError
from mellite.events import Event, Finish
from mellite.messages import CacheHint, Document, Image, Message, Reasoning, Text, ToolCall, ToolResult, ToolValue
from mellite.protocols.bedrock_converse import classify
from mellite.protocols.bedrock_converse.stream import unary
from mellite.providers.bedrock import converse_route
from mellite.request import Request
from mellite.values.fold import fold
from tests.protocols.bedrock_converse.converse import CLAUDE, NOVA, SAYS_A, begin, body_of, end, events_of, more, stop

FIELDS = (
    "citation", "citationsContent", "code", "content", "contentBlockIndex", "delta", "input", "inputTokens", "json",
    "message", "messageStop", "metadata", "name", "p", "reasoningContent", "reasoningText", "redactedContent",
    "signature", "start", "status", "stopReason", "text", "toolResult", "toolUse", "toolUseId", "type", "usage",
)  # fmt: skip
WORDS = st.sampled_from(["", "end_turn", "tool_use", "max_tokens", "server_tool_use", "{}", '{"a":', "\ud800", "aGk="])
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
KINDS = st.sampled_from(["text", "reasoningContent", "toolUse", "toolResult", "citation", "citationsContent", "new"])
BLOCKS = st.dictionaries(KINDS, VALUES, max_size=2)
INDEXES = st.integers(0, 2)
USES = st.builds(lambda ref, name: {"toolUseId": ref, "name": name}, st.sampled_from(["a", "b"]), st.just("f"))
EVENTS = (
    VALUES
    | st.dictionaries(st.sampled_from(["messageStart", "metadata", "xException", "error", "new"]), VALUES, max_size=2)
    | st.builds(lambda index, block: begin(index, **block), INDEXES, BLOCKS)
    | st.builds(lambda index, use: begin(index, toolUse=use), INDEXES, USES)
    | st.builds(lambda index, block: more(index, **block), INDEXES, BLOCKS)
    | st.builds(lambda index, text: more(index, text=text), INDEXES, WORDS)
    | st.builds(lambda index, text: more(index, toolUse={"input": text}), INDEXES, WORDS)
    | st.builds(
        lambda index, said: more(index, reasoningContent=said), INDEXES, st.dictionaries(st.sampled_from(FIELDS), WORDS)
    )
    | st.builds(stop, INDEXES)
)


def check(events: list[Event]) -> None:
    """A valid outcome: one Finish at the end, an answer that folds and is JSON, and that can be sent back."""
    assert [type(event) for event in events].count(Finish) == 1
    finish = events[-1]
    assert isinstance(finish, Finish)
    folded = fold(events)
    json.dumps([finish.response, folded.text, folded.thinking])
    talk = [Message.user("a"), Message("assistant", folded.parts), Message.user("b")]
    for model in (CLAUDE, NOVA):
        json.dumps(body_of(talk, model=model))


@pytest.mark.slow
@settings(max_examples=200, derandomize=True)
@given(st.lists(EVENTS, max_size=6))
def test_any_stream(values: list[Any]) -> None:
    """Whatever the events of a stream hold."""
    try:
        events = events_of([*SAYS_A, *values, *end()])
    except MelliteError:
        return
    check(events)


@pytest.mark.slow
@settings(max_examples=200, derandomize=True)
@given(
    VALUES
    | st.builds(
        lambda content, rest: {"output": {"message": {"content": content}}, **rest},
        st.lists(BLOCKS | st.builds(lambda use: {"toolUse": use}, USES), max_size=3),
        st.dictionaries(st.sampled_from(["stopReason", "usage", "metrics"]), VALUES | WORDS, max_size=2),
    )
)
def test_any_answer(answer: Any) -> None:
    """Whatever an answer in one piece holds."""
    try:
        events = list(unary(json.dumps(answer).encode()))
    except MelliteError:
        return
    check(events)


@pytest.mark.slow
@settings(max_examples=200, derandomize=True)
@given(VALUES, st.sampled_from([200, 400, 403, 424, 429, 500]), WORDS, st.binary(max_size=20))
def test_any_error(value: Any, status: int, type: str, noise: bytes) -> None:
    """Whatever an error answer holds, in JSON or out of it, has a type and says something."""
    body = json.dumps(value).encode()
    for error in (
        classify(status, {"x-amzn-errortype": type}, body),
        classify(status, {}, json.dumps({"message": value, "__type": value}).encode()),
        classify(status, {}, body[:-3] + noise),
    ):
        assert isinstance(error, MelliteError)
        assert str(error)


HINTS = st.sampled_from([None, CacheHint(), CacheHint(ttl_seconds=3600)])
IDS = st.sampled_from(["a", "b", "c|1", ""])
PARTS = (
    st.builds(Text, WORDS, cache=HINTS)
    | st.builds(lambda text: Reasoning(text, provider_metadata={"bedrock": {"signature": text}}), WORDS)
    | st.builds(Reasoning, WORDS)
    | st.builds(lambda ref, value: ToolCall(ref, "f", value), IDS, VALUES)
    | st.builds(lambda ref, value, hint: ToolResult(ref, "f", value, cache=hint), IDS, VALUES, HINTS)
    | st.builds(lambda ref, value: ToolResult(ref, "f", ToolValue("error", value)), IDS, VALUES)
    | st.builds(lambda hint: Image(b"x", media_type="image/png", cache=hint), HINTS)
    | st.builds(lambda hint: Document(b"x", media_type="application/pdf", cache=hint), HINTS)
)
MESSAGES = st.builds(
    lambda role, parts: Message(role, tuple(parts)),
    st.sampled_from(["user", "assistant", "tool", "system"]),
    st.lists(PARTS, max_size=4),
)


@pytest.mark.slow
@settings(max_examples=200, derandomize=True)
@given(st.lists(MESSAGES, min_size=1, max_size=6), st.sampled_from([CLAUDE, NOVA]))
def test_any_history(messages: list[Message], model: str) -> None:
    """Whatever a history holds is sent in roles that alternate, with a result behind every call, or refused."""
    try:
        http = converse_route(api_key="k", model=model).prepare(Request.of(messages))
    except MelliteError:
        return
    talk = json.loads(http.body)["messages"]
    assert all(one["role"] != following["role"] for one, following in pairwise(talk))
    for message, following in zip(talk, [*talk[1:], {"content": []}], strict=False):
        called = [block["toolUse"]["toolUseId"] for block in message["content"] if "toolUse" in block]
        answered = [block["toolResult"]["toolUseId"] for block in following["content"] if "toolResult" in block]
        assert sorted(called) == sorted(answered)
        assert message["content"]
