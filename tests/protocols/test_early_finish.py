"""A finish reason that comes too early is none, in every protocol; what comes behind a real one changes nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mellite.errors import ConnectionLost, IncompleteStream, InvalidProviderOutput, MelliteError, ProviderInternal
from tests.protocols.anthropic_messages import claude
from tests.protocols.bedrock_converse import converse
from tests.protocols.gemini.chunks import call, chunk, thought
from tests.protocols.openai_chat.chunks import call as chat_call, delta
from tests.protocols.streams import asked

CODE = {"executableCode": {"language": "PYTHON", "code": "print(6*7)"}}
RESULT = {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "42"}}

#: A finish reason, and content behind it that is not all of it.
EARLY: list[tuple[str, list[Any], str]] = [
    ("chat", [delta("stop", content=""), delta(content="Half of")], "Half of"),
    ("chat", [delta("stop"), delta(content="Half "), delta(content="of")], "Half of"),
    ("chat", [delta("length", content="Half "), delta(content="of")], "Half of"),
    ("chat", [delta("stop", content="Half of"), delta(reasoning="Hm")], "Half of"),
    ("chat", [delta("stop", content="Half of"), delta(refusal="I can")], "Half of"),
    ("chat", [delta("tool_calls", content="Half of"), delta(tool_calls=[chat_call(0, "a", "f", '{"x"')])], "Half of"),
    ("claude", [claude.begin(), claude.end()[0], claude.start(0, "text", text=""), claude.text(0, "Half of")],
     "Half of"),
    ("claude", [claude.begin(stop_reason="end_turn"), claude.start(0, "text", text="Half of")], "Half of"),
    ("claude", [*claude.SAYS_A, claude.end()[0], claude.text(0, "b"), claude.text(0, "c")], "abc"),
    ("claude", [*claude.SAYS_A, claude.end()[0], claude.thought(1, "Hm")], "a"),
    ("claude", [*claude.SAYS_A, claude.end()[0], claude.start(1, "tool_use", **claude.CALL)], "a"),
    ("converse", [converse.BEGIN, converse.end()[0], converse.text(0, "Half "), converse.text(0, "of")], "Half of"),
    ("converse", [converse.BEGIN, converse.text(0, "Half "), converse.end()[0], converse.text(0, "of")], "Half of"),
    ("converse", [*converse.SAYS_A, converse.end()[0], converse.thought(1, text="Hm")], "a"),
    ("converse", [*converse.SAYS_A, converse.end()[0], converse.begin(1, toolUse={"toolUseId": "t", "name": "f"})],
     "a"),
    ("gemini", [chunk("", finish="STOP"), chunk("Half of")], "Half of"),
    ("gemini", [chunk("Half ", finish="STOP"), chunk("of")], "Half of"),
    ("gemini", [chunk(CODE), chunk(RESULT, finish="STOP"), chunk("Half "), chunk("of")], "Half of"),
    ("gemini", [chunk("Half of", finish="STOP"), chunk(thought("Hm"))], "Half of"),
    ("gemini", [chunk("Half of", finish="STOP"), chunk(call())], "Half of"),
    ("gemini", [chunk("Half of", finish="STOP"), chunk(CODE)], "Half of"),
    ("gemini", [{"promptFeedback": {"blockReason": "OTHER"}}, chunk("Half of")], "Half of"),
]  # fmt: skip


@pytest.mark.anyio
@pytest.mark.parametrize(("name", "values", "partial"), EARLY)
async def test_content_takes_a_finish_reason_back(name: str, values: list[Any], partial: str) -> None:
    """After content behind a finish reason, a clean end is IncompleteStream and a broken line ConnectionLost."""
    for more, kind in (((), IncompleteStream), ((ConnectionLost("reset by peer"),), ConnectionLost)):
        thunk = asked(name, values, *more)
        with pytest.raises(MelliteError) as caught:
            await thunk
        assert type(caught.value) is kind
        assert caught.value.partial == partial
        assert thunk.state == "failed"


#: A finish reason that counts, and what servers send behind it, which is not content.
LATE: list[tuple[str, list[Any], str]] = [
    ("chat", [delta(content="a"), delta("stop"), delta("stop", content="")], "stop"),
    ("chat", [delta(content="a"), delta("stop"), delta(), delta(role="assistant", content=None)], "stop"),
    ("chat", [delta(content="a"), delta("length", content="b"), delta("", content="")], "length"),
    ("chat", [delta(content="a"), delta("stop"), {"choices": [], "usage": {"prompt_tokens": 1}}], "stop"),
    ("chat", [delta(tool_calls=[chat_call(0, "a", "f", "{}")]), delta("tool_calls"),
              delta(tool_calls=[chat_call(0, arguments="")])], "tool_calls"),
    ("chat", [delta("stop"), delta("stop", content="all of it")], "stop"),
    ("claude", [*claude.SAYS_A, claude.end()[0], {"type": "ping"}, claude.stop(0)], "end_turn"),
    ("claude", [*claude.SAYS_A, claude.end()[0], claude.text(0, "")], "end_turn"),
    ("claude", [claude.begin(stop_reason="max_tokens"), *claude.SAYS_A[1:], claude.end()[0]], "end_turn"),
    ("converse", [*converse.SAYS_A, converse.end()[0], converse.stop(1)], "end_turn"),
    ("gemini", [chunk("a", finish="STOP"), chunk({"text": "", "thoughtSignature": "s"})], "STOP"),
    ("gemini", [chunk("a", finish="STOP"), {"usageMetadata": {"promptTokenCount": 1}}], "STOP"),
    ("gemini", [chunk("a", finish="STOP"), chunk("b", finish="STOP")], "STOP"),
]  # fmt: skip


@pytest.mark.anyio
@pytest.mark.parametrize(("name", "values", "word"), LATE)
async def test_what_is_no_content_takes_nothing_back(name: str, values: list[Any], word: str) -> None:
    """Once more the reason, usage, empty deltas: the answer is complete, also where the line breaks then."""
    for more in ((), (ConnectionLost("reset by peer"),)):
        thunk = asked(name, values, *more)
        await thunk
        assert thunk.generation.raw_finish_reason == word


COHERE = [
    {"type": "message-start", "id": "c", "delta": {"message": {"role": "assistant"}}},
    {"type": "content-start", "index": 0, "delta": {"message": {"content": {"type": "text", "text": ""}}}},
    *[{"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": word}}}} for word in "abc"],
    {"type": "message-end", "delta": {"finish_reason": "COMPLETE"}},
]
RESPONSES = [
    *[
        {"type": "response.output_text.delta", "item_id": "i", "output_index": 0, "content_index": 0, "delta": word}
        for word in "abc"
    ],
    {"type": "response.completed", "response": {"id": "r", "status": "completed", "output": []}},
]

#: What gateways send inside of a healthy stream.
NOISE = ["null", " null ", "\ufeff{}"]


@pytest.mark.anyio
@pytest.mark.parametrize("noise", NOISE)
@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("chat", [delta(content="a"), delta(content="b"), delta(content="c"), delta("stop")]),
        ("claude", [claude.begin(), *[claude.text(0, word) for word in "abc"], *claude.end()]),
        ("cohere", COHERE),
        ("gemini", [chunk("a"), chunk("b"), chunk("c", finish="STOP")]),
        ("responses", RESPONSES),
    ],
)
async def test_what_says_nothing_is_passed_over(name: str, values: list[Any], noise: str) -> None:
    """`data: null` keeps a connection alive, and a byte order mark before JSON is none of it."""
    for at in range(len(values)):
        assert await asked(name, [*values[:at], noise, *values[at:]]) == "abc"
    marked = ["\ufeff" + json.dumps(value) for value in values]
    assert await asked(name, marked) == "abc"


TWICE = [
    ("chat", [delta(content="a"), delta("stop")], {"error": {"message": "Overloaded.", "code": 503}}),
    ("claude", [*claude.SAYS_A, *claude.end()], {"type": "error", "error": {"type": "overloaded_error"}}),
    (
        "gemini",
        [chunk("a", finish="STOP")],
        {"error": {"code": 503, "message": "Overloaded.", "status": "UNAVAILABLE"}},
    ),
    ("responses", RESPONSES, {"type": "error", "code": "server_error", "message": "Overloaded."}),
]


@pytest.mark.anyio
@pytest.mark.parametrize(("name", "values", "refusal"), TWICE, ids=[name for name, _, _ in TWICE])
async def test_json_that_is_encoded_twice_is_told(name: str, values: list[Any], refusal: dict[str, Any]) -> None:
    """FastAPI's `ServerSentEvent(data=json.dumps(chunk))` does that. An error in such a text is still that error."""
    with pytest.raises(InvalidProviderOutput, match=r"a text with JSON in it, .* the server encodes it twice"):
        await asked(name, [json.dumps(json.dumps(value)) for value in values])
    with pytest.raises(ProviderInternal):
        await asked(name, [json.dumps(json.dumps(refusal))])


@pytest.mark.anyio
@pytest.mark.parametrize("done", ["[DONE]", " [DONE] ", '"[DONE]"'])
@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("chat", [delta(content="a"), delta("stop")]),
        ("claude", [*claude.SAYS_A, *claude.end()]),
        ("claude", [*claude.SAYS_A, claude.end()[0]]),
        ("gemini", [chunk("a", finish="STOP")]),
    ],
)
async def test_done_ends_a_stream_of_any_protocol(name: str, values: list[Any], done: str) -> None:
    """Copilot, Dynamo and gateways end Anthropic's and Gemini's streams with OpenAI's mark, too."""
    assert await asked(name, [*values, done]) == "a"
    with pytest.raises(IncompleteStream) as caught:
        await asked(name, [*values[: 1 if name != "claude" else 4], done] if name != "gemini" else [chunk("a"), done])
    assert caught.value.partial == "a"
