"""Any JSON in any place of a Responses answer: a valid outcome or a typed error, never anything else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from mellite.errors import MelliteError
from mellite.events import Event, Finish
from mellite.messages import Message
from mellite.protocols.openai_responses.body import lower
from mellite.protocols.openai_responses.stream import unary
from mellite.request import Request
from mellite.values.fold import fold
from tests.protocols.openai_responses.events import CREATED, added, call, completed, events_of, message, text, thinking

FIELDS = (
    "action", "arguments", "call_id", "code", "content", "content_index", "delta", "encrypted_content", "environment",
    "error", "id", "incomplete_details", "input", "item", "item_id", "logprobs", "message", "model", "name", "output",
    "output_index", "phase", "reason", "refusal", "response", "status", "summary", "summary_index", "text", "type",
    "usage", "input_tokens", "input_tokens_details", "cached_tokens", "namespace", "annotations", "queries",
)  # fmt: skip
TYPES = (
    "code_interpreter_call", "compaction", "computer_call", "custom_tool_call", "function_call", "message", "mcp_call",
    "output_text", "reasoning", "reasoning_text", "refusal", "shell_call", "summary_text", "web_search_call", "error",
)  # fmt: skip
EVENTS = (
    "cancelled", "completed", "content_part.added", "created", "custom_tool_call_input.delta", "done", "failed",
    "function_call_arguments.delta", "in_progress", "incomplete", "output_item.added", "output_item.done",
    "output_text.delta", "output_text.done", "queued", "reasoning_summary_text.delta", "reasoning_text.delta",
    "refusal.delta",
)  # fmt: skip
WORDS = st.sampled_from(
    ["", "completed", "failed", "queued", "msg_1", "fc_1", "max_output_tokens", "{}", '{"a":', "\ud800", "x", *TYPES]
)
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
ITEMS = st.builds(
    lambda kind, fields: {**fields, "type": kind},
    st.sampled_from(TYPES),
    st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=5),
)
RESPONSES = st.fixed_dictionaries(
    {"output": st.lists(ITEMS | VALUES, max_size=3)},
    optional={"status": WORDS, "usage": VALUES, "incomplete_details": VALUES, "error": VALUES, "id": VALUES},
)
PIECES = st.builds(
    lambda kind, fields, item, response: {
        "item": item, "response": response, "output_index": 0, "delta": "a", **fields, "type": f"response.{kind}",
    },
    st.sampled_from(EVENTS),
    st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=3),
    ITEMS,
    RESPONSES,
)  # fmt: skip


def check(events: list[Event]) -> None:
    """A valid outcome: one Finish at the end, and an answer that folds, is JSON, and can go back as history."""
    assert [type(event) for event in events].count(Finish) == 1
    finish = events[-1]
    assert isinstance(finish, Finish)
    folded = fold(events)
    json.dumps([finish.response, folded.text, folded.thinking, finish.refusal, finish.logprobs])
    json.dumps(lower(Request.of([Message.user("hi"), Message.assistant(*folded.parts)]), stream=False))


@pytest.mark.slow
@settings(max_examples=150, derandomize=True)
@given(st.lists(PIECES | VALUES, max_size=6), st.booleans())
def test_any_stream(pieces: list[Any], names: bool) -> None:
    """Whatever the events of a stream hold."""
    known = [CREATED, added(thinking()), added(message(), 1), text("a", index=1), added(call(), 2)]
    try:
        events = events_of([*known, *map(json.dumps, pieces), completed()], names=names)
    except MelliteError:
        return
    check(events)


@settings(max_examples=100, derandomize=True)
@given(RESPONSES | VALUES)
def test_any_answer(answer: Any) -> None:
    """Whatever an answer in one piece holds."""
    try:
        events = list(unary(json.dumps(answer).encode()))
    except MelliteError:
        return
    check(events)
