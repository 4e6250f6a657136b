"""Any value in any place of an answer: read, or an error that says what is wrong; never an exception from inside."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from mellite.errors import BackendError, MelliteError
from tests.protocols.anthropic_messages import claude
from tests.protocols.bedrock_converse import converse
from tests.protocols.gemini.chunks import call, chunk, thought
from tests.protocols.openai_chat.chunks import call as chat_call, delta
from tests.protocols.streams import asked, whole

VALUES: tuple[Any, ...] = (None, True, 5, -1.5, "x", [5], {"a": [1]})
CHAT_USAGE = {"prompt_tokens": 5, "completion_tokens": 9, "completion_tokens_details": {"reasoning_tokens": 7}}
CODE = {"executableCode": {"language": "PYTHON", "code": "1"}}

#: Protocol -> a stream with something of everything.
STREAMS: dict[str, list[Any]] = {
    "chat": [
        delta(role="assistant", content="", reasoning_content="Hm."),
        delta(content="a", refusal=None, reasoning_details=[{"type": "reasoning.text", "index": 0, "text": "Hm."}]),
        delta(tool_calls=[chat_call(0, "a", "f", '{"x"'), chat_call(1, "b", "g", "{}")]),
        delta(tool_calls=[chat_call(0, arguments=":1}")]),
        {"choices": [
            {"index": 0, "message": {"content": "a"}, "finish_reason": "tool_calls", "logprobs": {"content": []}}]},
        {"choices": [], "usage": CHAT_USAGE, "x_groq": {"usage": CHAT_USAGE, "error": None}},
    ],
    "claude": [
        claude.begin(usage={"input_tokens": 5, "output_tokens": 1}),
        *claude.block(0, "thinking", claude.thought(0, "Hm."), claude.delta(0, "signature_delta", signature="s")),
        *claude.block(1, "text", claude.text(1, "a"), claude.delta(1, "citations_delta", citation={"url": "u"})),
        *claude.block(2, "tool_use", claude.written(2, '{"x":1}'), **claude.CALL),
        *claude.block(3, "web_search_tool_result", tool_use_id="t", content=[]),
        *claude.end("tool_use", stop_details={"explanation": "x"}, usage={
            "output_tokens": 9, "output_tokens_details": {"thinking_tokens": 1}}),
    ],
    "cohere": [
        {"type": "message-start", "id": "c", "delta": {"message": {"role": "assistant", "tool_plan": ""}}},
        {"type": "content-start", "index": 0, "delta": {"message": {"content": {"type": "text", "text": ""}}}},
        {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "a"}}}},
        {"type": "content-end", "index": 0},
        {"type": "tool-call-start", "index": 0, "delta": {"message": {"tool_calls": {
            "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}}}},
        {"type": "tool-call-delta", "index": 0, "delta": {
            "message": {"tool_calls": {"function": {"arguments": "{}"}}}}},
        {"type": "tool-call-end", "index": 0},
        {"type": "message-end", "delta": {"finish_reason": "TOOL_CALL", "usage": {"tokens": {"input_tokens": 5}}}},
    ],
    "converse": [
        converse.BEGIN,
        converse.thought(0, text="Hm.", signature="s"), converse.stop(0),
        converse.text(1, "a"), converse.more(1, citation={"title": "t"}), converse.stop(1),
        *converse.called(2, "t", "f", '{"x":1}', input={}),
        converse.begin(3, toolResult={"toolUseId": "t", "status": "success"}),
        converse.more(3, toolResult=[{"text": "r"}]), converse.stop(3),
        *converse.end("tool_use"),
    ],
    "gemini": [
        {"promptFeedback": {"blockReason": "BLOCK_REASON_UNSPECIFIED", "blockReasonMessage": "x"}},
        chunk(thought("Hm.", thoughtSignature="s")),
        chunk("a", CODE, {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}}),
        chunk(call(id="c", signature="s"), call("g", partialArgs=[{"jsonPath": "$.x", "stringValue": "y"}])),
        chunk({"toolCall": {"id": "t", "toolType": "X", "args": {}}}, {"toolResponse": {"id": "t", "response": {}}}),
        chunk("", finish="STOP", usageMetadata={"promptTokenCount": 5, "thoughtsTokenCount": 7}),
    ],
    "responses": [
        {"type": "response.created", "sequence_number": 0, "response": {"id": "r", "model": "m"}},
        {"type": "response.output_item.added", "output_index": 0, "item": {
            "id": "i", "type": "message", "content": []}},
        {"type": "response.output_text.delta", "item_id": "i", "output_index": 0, "content_index": 0, "delta": "a"},
        {"type": "response.output_item.done", "output_index": 1, "item": {
            "id": "f", "type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}},
        {"type": "response.completed", "response": {
            "id": "r", "status": "completed", "incomplete_details": None,
            "usage": {"input_tokens": 5, "output_tokens": 9},
            "output": [{"id": "i", "type": "message", "content": [{"type": "output_text", "text": "a"}]},
                       {"id": "f", "type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}]}},
    ],
}  # fmt: skip

#: Protocol -> an answer in one piece.
WHOLES: dict[str, Any] = {
    "chat": {"id": "c", "model": "m", "usage": CHAT_USAGE, "choices": [{
        "index": 0, "finish_reason": "tool_calls", "logprobs": {"content": []}, "message": {
            "content": [
                {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}, {"type": "text", "text": "a"}],
            "reasoning_content": "Hm.", "refusal": None, "tool_calls": [chat_call(0, "a", "f", '{"x":1}')],
            "function_call": {"name": "f", "arguments": "{}"}}}]},
    "claude": {"id": "m", "model": "m", "stop_reason": "tool_use", "stop_details": {"explanation": "x"}, "content": [
        {"type": "text", "text": "a", "citations": []},
        {"type": "tool_use", "id": "t", "name": "f", "input": {"x": 1}}],
        "usage": {"input_tokens": 5, "output_tokens": 9, "output_tokens_details": {"thinking_tokens": 7}}},
    "cohere": {"id": "c", "finish_reason": "TOOL_CALL", "usage": {"tokens": {"input_tokens": 5}}, "message": {
        "role": "assistant", "tool_plan": "p", "content": [{"type": "text", "text": "a"}], "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}},
    "converse": converse.answer({"text": "a"}, {"toolUse": {"toolUseId": "t", "name": "f", "input": {"x": 1}}},
                                {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "s"}}}),
    "gemini": chunk(thought("Hm."), "a", call(id="c"), finish="STOP", usageMetadata={"promptTokenCount": 5}),
    "responses": STREAMS["responses"][-1]["response"],
}  # fmt: skip


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every holder in a value with each of its keys or numbers."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from places(value[key])


def changed(sample: Any) -> Iterator[tuple[Any, str]]:
    """The sample with one other value in one place, for each place and value; and what that was."""
    mine = copy.deepcopy(sample)
    for holder, key in list(places(mine)):
        kept = holder[key]
        for value in VALUES:
            if value != kept or type(value) is not type(kept):
                holder[key] = value
                yield mine, f"{key} = {value!r}"
        holder[key] = kept


@pytest.mark.slow
@pytest.mark.parametrize("name", list(STREAMS))
@pytest.mark.parametrize("streams", [True, False])
def test_any_value_in_any_place(name: str, *, streams: bool) -> None:
    """A field of another type is InvalidProviderOutput where it counts, and does not matter elsewhere."""
    sample = STREAMS[name] if streams else WHOLES[name]
    assert (asked(name, sample) if streams else whole(name, sample)).result() == "a"
    tried = 0
    for odd, what in changed(sample):
        if streams and not all(isinstance(event, dict) for event in odd):
            continue
        thunk = asked(name, odd) if streams else whole(name, odd)
        with suppress(MelliteError):
            thunk.result()
        assert not isinstance(thunk.error, BackendError), f"{what}: {thunk.error}"
        json.dumps([call.raw_arguments for call in thunk.tool_calls or ()])
        tried += 1
    assert tried > 100
