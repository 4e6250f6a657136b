"""Any JSON in any place of an answer of Claude, and any history: a valid outcome or a typed error, nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from mellite.errors import MelliteError
from mellite.events import Event, Finish
from mellite.messages import CacheHint, Document, Image, Message, Reasoning, Text, ToolCall, ToolResult, ToolValue
from mellite.protocols.anthropic_messages.body import lower, mend
from mellite.protocols.anthropic_messages.stream import unary
from mellite.providers.anthropic import messages_route
from mellite.request import Request
from mellite.values.fold import fold
from tests.protocols.anthropic_messages.claude import SAYS_A, end, events_of

FIELDS = (
    "caller", "citation", "citations", "content", "data", "delta", "error", "id", "index", "input", "is_error",
    "message", "model", "name", "partial_json", "signature", "stop_details", "stop_reason", "text", "thinking",
    "tool_use_id", "type", "usage",
)  # fmt: skip
WORDS = st.sampled_from(
    ["", "end_turn", "max_tokens", "tool_use", "server_tool_use", "text", "thinking", "redacted_thinking",
     "web_search_tool_result", "mcp_tool_use", "{}", '{"a":', "\ud800", "x"]
)  # fmt: skip
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
BLOCKS = st.fixed_dictionaries({"type": WORDS}, optional={name: VALUES for name in FIELDS if name != "type"})
DELTAS = st.fixed_dictionaries(
    {"type": st.sampled_from(["text_delta", "thinking_delta", "input_json_delta", "signature_delta", "new_delta"])},
    optional=dict.fromkeys(("text", "thinking", "partial_json", "signature", "citation", "x"), WORDS | VALUES),
)
INDEXES = st.integers(0, 2)
EVENTS = (
    VALUES
    | st.fixed_dictionaries({"type": st.just("message_start"), "message": BLOCKS})
    | st.fixed_dictionaries({"type": st.just("content_block_start"), "index": INDEXES, "content_block": BLOCKS})
    | st.fixed_dictionaries({"type": st.just("content_block_delta"), "index": INDEXES, "delta": DELTAS})
    | st.fixed_dictionaries({"type": st.just("content_block_stop"), "index": INDEXES})
    | st.fixed_dictionaries({"type": st.just("message_delta"), "delta": BLOCKS, "usage": VALUES})
)


def check(events: list[Event]) -> None:
    """A valid outcome: one Finish at the end, an answer that folds and is JSON, and that can be sent back."""
    assert [type(event) for event in events].count(Finish) == 1
    finish = events[-1]
    assert isinstance(finish, Finish)
    folded = fold(events)
    json.dumps([finish.response, folded.text, folded.thinking])
    route = messages_route(api_key="sk-ant-test", model="claude-sonnet-4-5")
    route.prepare(Request.of([Message.user("hi"), Message("assistant", folded.parts), Message.user("Go on.")]))


@pytest.mark.slow
@settings(max_examples=120, derandomize=True)
@given(st.lists(EVENTS, max_size=8))
def test_any_stream(values: list[Any]) -> None:
    """Whatever the events of a stream hold."""
    try:
        events = events_of([*SAYS_A, *values, *end()], named=False)
    except MelliteError:
        return
    check(events)


@pytest.mark.slow
@settings(max_examples=120, derandomize=True)
@given(
    VALUES | st.fixed_dictionaries({"content": st.lists(BLOCKS, min_size=1, max_size=3)}, optional={"usage": VALUES})
)
def test_any_answer(answer: Any) -> None:
    """Whatever an answer in one piece holds."""
    try:
        events = list(unary(json.dumps(answer).encode()))
    except MelliteError:
        return
    check(events)


TEXTS = st.sampled_from(["", " ", "a", "b \n", "\ud800", "<&>"])
HINTS = st.none() | st.builds(CacheHint, ttl_seconds=st.sampled_from([None, 3600]))
NOTES = st.fixed_dictionaries(
    {},
    optional={
        "block": st.sampled_from([{"type": "compaction", "content": "a"}, {}, 5]),
        "caller": VALUES,
        "redacted_data": VALUES,
        "signature": VALUES,
        "type": st.sampled_from(["mcp_tool_use", "mcp_tool_result"]),
    },
)
METADATA = st.none() | st.dictionaries(st.sampled_from(["anthropic", "openai"]), NOTES, max_size=2)
IDS = st.sampled_from(["a", "b|1", "", "c" * 80])
PARTS = st.one_of(
    st.builds(Text, TEXTS, cache=HINTS, provider_metadata=METADATA),
    st.builds(Reasoning, TEXTS, encrypted=st.none() | TEXTS, provider_metadata=METADATA),
    st.builds(Image, st.just(b"x"), media_type=st.sampled_from(["image/png", "image/x"]), cache=HINTS),
    st.builds(Document, st.just(b"x"), media_type=st.sampled_from(["application/pdf", "text/plain"])),
    st.builds(
        ToolCall, IDS, st.sampled_from(["f", "web_search"]), VALUES,
        raw_arguments=st.none() | TEXTS, provider_executed=st.booleans(), provider_metadata=METADATA, cache=HINTS,
    ),
    st.builds(
        ToolResult, IDS, st.sampled_from(["f", "web_search"]),
        VALUES | st.builds(ToolValue, st.sampled_from(["json", "text", "error", "content"]), VALUES),
        provider_executed=st.booleans(), provider_metadata=METADATA, cache=HINTS,
    ),
)  # fmt: skip
MESSAGES = st.builds(
    Message, st.sampled_from(["user", "assistant", "tool", "system"]), st.lists(PARTS, max_size=3).map(tuple)
)


@pytest.mark.slow
@settings(max_examples=120, derandomize=True)
@given(st.lists(MESSAGES, min_size=1, max_size=5), st.sampled_from(["claude-sonnet-4-5", "claude-opus-4-8"]))
def test_any_history(messages: list[Message], model: str) -> None:
    """Whatever a history holds: every call has its result right behind it, at most four marks, nothing empty."""
    request = Request.of(messages, model=model)
    try:
        sent = lower(mend(request)[0], stream=False)["messages"]
    except MelliteError:
        return
    assert json.dumps(sent).count('"cache_control"') <= 4
    for at, message in enumerate(sent):
        assert message["content"]
        asked = {block["id"] for block in message["content"] if block["type"] == "tool_use"}
        if asked:
            following = sent[at + 1]["content"]
            answered = [block["tool_use_id"] for block in following if block["type"] == "tool_result"]
            assert asked == set(answered)
