"""Any JSON in any place of an answer of Gemini, and any history: a valid outcome or a typed error, nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from mellite.errors import MelliteError
from mellite.events import Event
from mellite.messages import Image, Message, Part, Reasoning, Text, ToolCall, ToolResult
from mellite.protocols.gemini import protocol
from mellite.protocols.gemini.schema import parameters_of
from mellite.protocols.gemini.stream import unary
from mellite.request import Request
from mellite.values.fold import fold
from mellite.wire.json_body import encoded
from tests.protocols.gemini.chunks import chunk, events_of, finish_of

FIELDS = (
    "args", "blockReason", "blockReasonMessage", "candidates", "citationMetadata", "code", "codeExecutionResult",
    "content", "error", "executableCode", "finishMessage", "finishReason", "functionCall", "groundingMetadata", "id",
    "index", "inlineData", "jsonPath", "logprobsResult", "modelVersion", "name", "outcome", "output", "partialArgs",
    "parts", "promptFeedback", "promptTokenCount", "response", "responseId", "role", "stringValue", "text", "thought",
    "thoughtSignature", "toolCall", "toolResponse", "toolType", "usageMetadata", "willContinue",
)  # fmt: skip
WORDS = st.sampled_from(["", "STOP", "SAFETY", "MAX_TOKENS", "$.a", "$.a[0]", "\ud800", "x"])
PLAIN = (
    st.none()
    | st.booleans()
    | st.integers(-2, 3)
    | st.just(10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | WORDS
)
VALUES = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4),
    max_leaves=12,
)
CALLS = st.fixed_dictionaries(
    {},
    optional={
        "name": WORDS,
        "args": st.just({}) | VALUES,
        "id": WORDS | VALUES,
        "willContinue": st.booleans(),
        "partialArgs": st.lists(
            st.fixed_dictionaries({"jsonPath": WORDS}, optional={"stringValue": WORDS, "boolValue": VALUES}), max_size=2
        ),
    },
)
PARTS = st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=3) | st.fixed_dictionaries(
    {}, optional={"text": WORDS, "functionCall": CALLS, "thoughtSignature": WORDS, "thought": st.booleans()}
)
CANDIDATES = st.fixed_dictionaries(
    {"content": st.fixed_dictionaries({"parts": st.lists(PARTS, max_size=3)})},
    optional={"index": st.integers(0, 1) | VALUES, "finishReason": WORDS | VALUES, "logprobsResult": VALUES},
)
CHUNKS = VALUES | st.fixed_dictionaries(
    {"candidates": st.lists(CANDIDATES, max_size=2)},
    optional={"usageMetadata": VALUES, "promptFeedback": VALUES, "odd": VALUES},
)


def check(events: list[Event]) -> None:
    """A valid outcome: one Finish at the end, and an answer that folds, is JSON and can be sent back."""
    finish = finish_of(events)
    folded = fold(events)
    json.dumps([finish.response, folded.text, folded.thinking])
    request = Request.of([Message.user("x"), Message.assistant(*folded.parts), Message.user("y")], model="gemini-3-pro")
    encoded(protocol().lower(protocol().mend(request)[0], stream=True))


@pytest.mark.slow
@settings(max_examples=200, derandomize=True)
@given(st.lists(CHUNKS, max_size=5))
def test_any_stream(chunks: list[Any]) -> None:
    """Whatever the chunks of a stream hold."""
    try:
        events = events_of([chunk("a"), *map(json.dumps, chunks), chunk("", finish="STOP")])
    except MelliteError:
        return
    check(events)


@pytest.mark.slow
@settings(max_examples=150, derandomize=True)
@given(CHUNKS | st.lists(CHUNKS, max_size=2))
def test_any_answer(answer: Any) -> None:
    """Whatever an answer in one piece holds, also a list of chunks."""
    try:
        events = list(unary(json.dumps(answer).encode()))
    except MelliteError:
        return
    check(events)


NOTES = st.none() | st.fixed_dictionaries(
    {
        "google": st.dictionaries(
            st.sampled_from(["id", "part", "thoughtSignature", "x"]), PLAIN | st.just({}), max_size=2
        )
    }
)
IDS = st.sampled_from(["1", "2", ""])
SAID: st.SearchStrategy[Part] = (
    st.builds(Text, WORDS, provider_metadata=NOTES)
    | st.builds(Reasoning, WORDS, provider_metadata=NOTES)
    | st.builds(ToolCall, IDS, WORDS, VALUES, provider_executed=st.booleans(), provider_metadata=NOTES)
    | st.builds(ToolResult, IDS, WORDS, VALUES, provider_executed=st.booleans(), provider_metadata=NOTES)
    | st.just(Image(b"x", media_type="image/png"))
)
HISTORIES = st.lists(
    st.builds(Message, st.sampled_from(["user", "assistant", "tool", "system"]), st.lists(SAID, max_size=3)),
    min_size=1,
    max_size=5,
)


@pytest.mark.slow
@settings(max_examples=150, derandomize=True)
@given(HISTORIES, st.sampled_from(["gemini-2.5-flash", "gemini-3-pro", "endpoints/1"]))
def test_any_history(messages: list[Message], model: str) -> None:
    """Whatever the history holds: as many results as calls behind each turn with calls, or a typed error."""
    try:
        request, _ = protocol().mend(Request.of(messages, model=model))
        body, _ = json.loads(encoded(protocol().lower(request, stream=True))[0]), None
    except MelliteError:
        return
    contents = body["contents"]
    for number, content in enumerate(contents):
        assert content["parts"]
        calls = [part for part in content["parts"] if "functionCall" in part]
        if calls:
            behind = contents[number + 1]["parts"]
            assert [part["functionResponse"]["name"] for part in behind] == [
                part["functionCall"]["name"] for part in calls
            ]


SCHEMAS = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "type",
                    "properties",
                    "items",
                    "anyOf",
                    "allOf",
                    "$ref",
                    "enum",
                    "const",
                    "required",
                    "additionalProperties",
                ]
            ),
            inner | st.sampled_from(["object", "array", "string", "#/a", "#"]),
            max_size=4,
        )
    ),
    max_leaves=15,
)


@pytest.mark.slow
@settings(max_examples=150, derandomize=True)
@given(
    st.dictionaries(st.sampled_from(["type", "properties", "anyOf", "$ref", "items", "required"]), SCHEMAS, max_size=4)
)
def test_any_schema(schema: dict[str, Any]) -> None:
    """Whatever a schema holds, it is put into Gemini's form or goes out as it is."""
    result = parameters_of(schema)
    assert result.keys() <= {"parameters", "parametersJsonSchema"}
    assert len(result) <= 1
    json.dumps(result)
