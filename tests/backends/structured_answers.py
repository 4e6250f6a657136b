"""Answers of every protocol, streamed and whole: a text, and calls of tools, as a server sends them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from tests.protocols.streams import wire

#: Protocol -> a backend that speaks it, with a model that can be held to a schema.
SPECS = {
    "chat": "openai-chat:gpt-4o",
    "responses": "openai:gpt-4o",
    "claude": "anthropic:claude-sonnet-4-5",
    "gemini": "google:gemini-2.5-flash",
    "converse": "bedrock:us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "cohere": "cohere:command-a-03-2025",
}

#: A piece of text, or a call: its name, and its arguments in pieces.
Part = str | tuple[str, Sequence[str]]


def streamed(protocol: str, *parts: Part, cut: bool = False) -> bytes:
    """The body of a streamed answer."""
    return wire(protocol, _STREAMS[protocol](parts, cut))


def whole(protocol: str, *parts: Part, cut: bool = False) -> bytes:
    """The body of an answer in one piece."""
    return json.dumps(_WHOLES[protocol](parts, cut)).encode()


def type_of(protocol: str, *, stream: bool) -> dict[str, str]:
    """The headers of an answer."""
    if not stream:
        return {"content-type": "application/json"}
    kind = "application/vnd.amazon.eventstream" if protocol == "converse" else "text/event-stream"
    return {"content-type": kind}


def _calls(parts: Sequence[Part]) -> bool:
    return any(not isinstance(part, str) for part in parts)


# Chat Completions


def _chat_stream(parts: Sequence[Part], cut: bool) -> list[Any]:
    deltas: list[Any] = []
    number = 0
    for part in parts:
        if isinstance(part, str):
            deltas.append({"content": part})
            continue
        name, pieces = part
        start = {
            "index": number,
            "id": f"call_{number}",
            "type": "function",
            "function": {"name": name, "arguments": ""},
        }
        deltas.append({"tool_calls": [start]})
        deltas += [{"tool_calls": [{"index": number, "function": {"arguments": piece}}]} for piece in pieces]
        number += 1
    reason = "length" if cut else "tool_calls" if number else "stop"
    chunks = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    chunks.append({"index": 0, "delta": {}, "finish_reason": reason})
    return [*[{"id": "c1", "model": "m", "choices": [chunk]} for chunk in chunks], "[DONE]"]


def _chat_whole(parts: Sequence[Part], cut: bool) -> Any:
    calls = [
        {"id": f"call_{index}", "type": "function", "function": {"name": name, "arguments": "".join(pieces)}}
        for index, (name, pieces) in enumerate(part for part in parts if not isinstance(part, str))
    ]
    text = "".join([part for part in parts if isinstance(part, str)])
    message = {"role": "assistant", "content": text or None, **({"tool_calls": calls} if calls else {})}
    reason = "length" if cut else "tool_calls" if calls else "stop"
    return {"id": "c1", "model": "m", "choices": [{"index": 0, "message": message, "finish_reason": reason}]}


# Responses


def _responses_items(parts: Sequence[Part]) -> list[Any]:
    return [
        {"id": f"msg_{index}", "type": "message", "role": "assistant", "status": "completed",
         "content": [{"type": "output_text", "text": part, "annotations": []}]}
        if isinstance(part, str)
        else {"id": f"fc_{index}", "type": "function_call", "call_id": f"call_{index}", "name": part[0],
              "arguments": "".join(part[1]), "status": "completed"}
        for index, part in enumerate(parts)
    ]  # fmt: skip


def _responses_whole(parts: Sequence[Part], cut: bool) -> Any:
    more = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}} if cut else {}
    return {
        "id": "r1",
        "object": "response",
        "model": "m",
        "status": "completed",
        "output": _responses_items(parts),
        **more,
    }


def _responses_stream(parts: Sequence[Part], cut: bool) -> list[Any]:
    events: list[Any] = [{"type": "response.created", "response": {"id": "r1", "model": "m", "status": "in_progress"}}]
    for index, (part, item) in enumerate(zip(parts, _responses_items(parts), strict=True)):
        place = {"item_id": item["id"], "output_index": index}
        events.append({"type": "response.output_item.added", "output_index": index, "item": _begun(item)})
        if isinstance(part, str):
            events.append({"type": "response.output_text.delta", **place, "content_index": 0, "delta": part})
        else:
            events += [{"type": "response.function_call_arguments.delta", **place, "delta": piece} for piece in part[1]]
        events.append({"type": "response.output_item.done", "output_index": index, "item": item})
    whole = _responses_whole(parts, cut)
    return [*events, {"type": f"response.{whole['status']}", "response": whole}]


def _begun(item: Any) -> Any:
    return {**item, "status": "in_progress", **({"content": []} if item["type"] == "message" else {"arguments": ""})}


# Anthropic Messages


def _claude_stream(parts: Sequence[Part], cut: bool) -> list[Any]:
    message = {"id": "m1", "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": None,
               "usage": {"input_tokens": 1, "output_tokens": 1}}  # fmt: skip
    events: list[Any] = [{"type": "message_start", "message": message}]
    for index, part in enumerate(parts):
        block: Any = {"type": "text", "text": ""}
        deltas: list[Any] = [{"type": "text_delta", "text": part}]
        if not isinstance(part, str):
            block = {"type": "tool_use", "id": f"tu_{index}", "name": part[0], "input": {}}
            deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in part[1]]
        events.append({"type": "content_block_start", "index": index, "content_block": block})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    reason = {"stop_reason": _claude_reason(parts, cut), "stop_sequence": None}
    return [
        *events,
        {"type": "message_delta", "delta": reason, "usage": {"output_tokens": 9}},
        {"type": "message_stop"},
    ]


def _claude_reason(parts: Sequence[Part], cut: bool) -> str:
    return "max_tokens" if cut else "tool_use" if _calls(parts) else "end_turn"


def _claude_whole(parts: Sequence[Part], cut: bool) -> Any:
    content = [
        {"type": "text", "text": part}
        if isinstance(part, str)
        else {"type": "tool_use", "id": f"tu_{index}", "name": part[0], "input": json.loads("".join(part[1]))}
        for index, part in enumerate(parts)
    ]
    return {"id": "m1", "type": "message", "role": "assistant", "model": "m", "content": content,
            "stop_reason": _claude_reason(parts, cut), "usage": {"input_tokens": 1, "output_tokens": 9}}  # fmt: skip


# Gemini


def _gemini_whole(parts: Sequence[Part], cut: bool) -> Any:
    content = [
        {"text": part} if isinstance(part, str)
        else {"functionCall": {"name": part[0], "args": json.loads("".join(part[1]), parse_int=float)}}
        for part in parts
    ]  # fmt: skip
    candidate = {"content": {"role": "model", "parts": content}, "finishReason": "MAX_TOKENS" if cut else "STOP"}
    return {"candidates": [{**candidate, "index": 0}], "modelVersion": "m", "responseId": "g1"}


def _gemini_stream(parts: Sequence[Part], cut: bool) -> list[Any]:
    whole = _gemini_whole(parts, cut)
    candidate = whole["candidates"][0]
    pieces = candidate["content"]["parts"]
    before = [{"candidates": [{"content": {"role": "model", "parts": [each]}, "index": 0}]} for each in pieces[:-1]]
    return [*before, {**whole, "candidates": [{**candidate, "content": {"role": "model", "parts": pieces[-1:]}}]}]


# Bedrock Converse


def _converse_reason(parts: Sequence[Part], cut: bool) -> str:
    return "max_tokens" if cut else "tool_use" if _calls(parts) else "end_turn"


def _converse_stream(parts: Sequence[Part], cut: bool) -> list[Any]:
    events: list[Any] = [{"messageStart": {"role": "assistant"}}]
    for index, part in enumerate(parts):
        if isinstance(part, str):
            events.append({"contentBlockDelta": {"contentBlockIndex": index, "delta": {"text": part}}})
        else:
            start = {"toolUse": {"toolUseId": f"tu_{index}", "name": part[0]}}
            events.append({"contentBlockStart": {"contentBlockIndex": index, "start": start}})
            events += [
                {"contentBlockDelta": {"contentBlockIndex": index, "delta": {"toolUse": {"input": piece}}}}
                for piece in part[1]
            ]
        events.append({"contentBlockStop": {"contentBlockIndex": index}})
    usage = {"usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3}, "metrics": {"latencyMs": 1}}
    return [*events, {"messageStop": {"stopReason": _converse_reason(parts, cut)}}, {"metadata": usage}]


def _converse_whole(parts: Sequence[Part], cut: bool) -> Any:
    content = [
        {"text": part}
        if isinstance(part, str)
        else {"toolUse": {"toolUseId": f"tu_{index}", "name": part[0], "input": json.loads("".join(part[1]))}}
        for index, part in enumerate(parts)
    ]
    message = {"role": "assistant", "content": content}
    return {"output": {"message": message}, "stopReason": _converse_reason(parts, cut),
            "usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3}, "metrics": {"latencyMs": 1}}  # fmt: skip


# Cohere


def _cohere_reason(parts: Sequence[Part], cut: bool) -> str:
    return "MAX_TOKENS" if cut else "TOOL_CALL" if _calls(parts) else "COMPLETE"


def _cohere_stream(parts: Sequence[Part], cut: bool) -> list[Any]:
    events: list[Any] = [{"type": "message-start", "id": "co1", "delta": {"message": {"role": "assistant"}}}]
    for index, part in enumerate(parts):
        if isinstance(part, str):
            text = {"type": "text", "text": ""}
            events.append({"type": "content-start", "index": index, "delta": {"message": {"content": text}}})
            more = {"message": {"content": {"text": part}}}
            events.append({"type": "content-delta", "index": index, "delta": more})
            events.append({"type": "content-end", "index": index})
            continue
        call = {"id": f"call_{index}", "type": "function", "function": {"name": part[0], "arguments": ""}}
        events.append({"type": "tool-call-start", "index": index, "delta": {"message": {"tool_calls": call}}})
        for piece in part[1]:
            function = {"tool_calls": {"function": {"arguments": piece}}}
            events.append({"type": "tool-call-delta", "index": index, "delta": {"message": function}})
        events.append({"type": "tool-call-end", "index": index})
    reason = {"finish_reason": _cohere_reason(parts, cut), "usage": {"tokens": {"input_tokens": 1, "output_tokens": 2}}}
    return [*events, {"type": "message-end", "delta": reason}]


def _cohere_whole(parts: Sequence[Part], cut: bool) -> Any:
    texts = [{"type": "text", "text": part} for part in parts if isinstance(part, str)]
    calls = [
        {"id": f"call_{index}", "type": "function", "function": {"name": name, "arguments": "".join(pieces)}}
        for index, (name, pieces) in enumerate(part for part in parts if not isinstance(part, str))
    ]
    message = {"role": "assistant", **({"content": texts} if texts else {}), **({"tool_calls": calls} if calls else {})}
    return {"id": "co1", "finish_reason": _cohere_reason(parts, cut), "message": message}


_STREAMS: dict[str, Callable[[Sequence[Part], bool], list[Any]]] = {
    "chat": _chat_stream,
    "responses": _responses_stream,
    "claude": _claude_stream,
    "gemini": _gemini_stream,
    "converse": _converse_stream,
    "cohere": _cohere_stream,
}
_WHOLES: dict[str, Callable[[Sequence[Part], bool], Any]] = {
    "chat": _chat_whole,
    "responses": _responses_whole,
    "claude": _claude_whole,
    "gemini": _gemini_whole,
    "converse": _converse_whole,
    "cohere": _cohere_whole,
}
