"""Answers and requests of Gemini in protobuf's original field names, which some gateways write."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from mellite.errors import IncompleteStream, ProviderInternal
from mellite.protocols.gemini.request_reading import read
from mellite.protocols.gemini.stream import unary
from tests.protocols.gemini.chunks import call, chunk, events_of, finish_of, thought

USAGE = {
    "promptTokenCount": 5,
    "candidatesTokenCount": 7,
    "thoughtsTokenCount": 2,
    "cachedContentTokenCount": 1,
    "totalTokenCount": 14,
    "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 5}],
}
CITED = {"groundingChunks": [{"web": {"uri": "https://example.test/a", "title": "A"}}], "webSearchQueries": ["a_b c"]}
ANSWERS = {
    "text": [chunk("Hel"), chunk("lo, "), chunk("you_all."), chunk("", finish="STOP", usageMetadata=USAGE)],
    "thinking": [chunk(thought("Hm.")), chunk("Yes."), chunk("", finish="MAX_TOKENS", usageMetadata=USAGE)],
    "signed": [chunk({"text": "Hm.", "thought": True, "thoughtSignature": "sig"}, "Yes."), chunk(finish="STOP")],
    "call": [chunk(call(id="c1", signature="sig", args={"user_id": 1, "is_it": {"so_so": []}}), finish="STOP")],
    "code": [
        chunk({"executableCode": {"language": "PYTHON", "code": "a_b = 1"}}),
        chunk({"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "a_b"}}, "1.", finish="STOP"),
    ],
    "picture": [chunk({"inlineData": {"mimeType": "image/png", "data": "aGk="}}, finish="STOP")],
    "blocked": [{"promptFeedback": {"blockReason": "SAFETY", "blockReasonMessage": "no_no"}, "usageMetadata": USAGE}],
    "cited": [chunk("A.", finish="STOP")],
}
ANSWERS["cited"][0]["candidates"][0]["groundingMetadata"] = CITED


def original(value: Any) -> Any:
    """A value with the original names of its fields; not of what a function is given."""
    if isinstance(value, list):
        return [original(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        re.sub("[A-Z]", lambda found: f"_{found[0].lower()}", name): inner
        if name in {"args", "response", "parameters"}
        else original(inner)
        for name, inner in value.items()
    }


def test_the_names_differ() -> None:
    """What the other tests read is written in the original names."""
    written = json.dumps([original(chunks) for chunks in ANSWERS.values()])
    assert "finish_reason" in written
    assert not re.search(r'"(?!args|OUT)[a-z]+[A-Z]\w*":', written)


@pytest.mark.parametrize("answer", ANSWERS)
def test_streams(answer: str) -> None:
    """A stream gives the same events: text, calls with their arguments, the reason, usage and the whole answer."""
    chunks = ANSWERS[answer]
    assert events_of(map(original, chunks)) == events_of(chunks)


@pytest.mark.parametrize("answer", ANSWERS)
def test_answers_in_one_piece(answer: str) -> None:
    """So does an answer in one piece, and a list of chunks."""
    chunks = ANSWERS[answer]
    for body in (chunks[-1], chunks):
        assert unary(json.dumps(original(body)).encode()) == unary(json.dumps(body).encode())


def test_the_whole_answer() -> None:
    """The provider's own object has the usual names."""
    finish = finish_of(unary(json.dumps(original(ANSWERS["text"][-1])).encode()))
    assert finish.response == ANSWERS["text"][-1]


def test_a_stream_that_breaks_off() -> None:
    """A finish reason is missed in these names, too."""
    with pytest.raises(IncompleteStream):
        events_of(map(original, ANSWERS["text"][:-1]))


def test_an_error_inside() -> None:
    """An error in a chunk is an error, whatever else the chunk has."""
    with pytest.raises(ProviderInternal):
        events_of([{"error": {"code": 500, "status": "INTERNAL", "message": "no"}, "usage_metadata": {}}])


def test_names_that_are_the_callers() -> None:
    """The names of arguments stay as the model has written them, at every depth, and deep values are no danger."""
    deep: Any = "end"
    for _ in range(400):
        deep = {"a_b": deep}
    made = [chunk(call(args={"some_name": deep}), finish="STOP")]
    assert events_of(map(original, made)) == events_of(made)
    assert finish_of(events_of([{**chunk("Hi.", finish="STOP"), "an_extra": deep}])).reason == "stop"


def test_names_of_a_gateway() -> None:
    """What a gateway has put into an answer of Google's stays as it is."""
    answer = {
        **chunk("Hi.", finish="STOP"),
        "usageMetadata": {"some_gateway": {"its_cost": 1}},
        "a_gateway": {"its_id": 5},
    }
    assert finish_of(unary(json.dumps(answer).encode())).response == answer


def test_requests() -> None:
    """A client may write its request so; schemas and results of functions keep their names."""
    schema = {"type": "OBJECT", "properties": {"user_id": {"type": "STRING"}, "is_it": {"anyOf": [{"type": "NULL"}]}}}
    body = {
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "contents": [
            {"role": "user", "parts": [{"text": "Hi."}, {"inlineData": {"mimeType": "image/png", "data": "aGk="}}]},
            {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {"user_id": "a_b"}}}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"the_result": 1, "more": 2}}}]},
        ],
        "tools": [{"functionDeclarations": [{"name": "f", "parameters": schema}]}, {"googleSearch": {}}],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}},
        "generationConfig": {"maxOutputTokens": 5, "thinkingConfig": {"thinkingBudget": 3}, "topK": 2},
        "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
    }
    request = read(original(body))
    assert request == read(body)
    assert request.tools[0].input_schema["properties"].keys() == {"user_id", "is_it"}
    assert request.options.max_tokens == 5
