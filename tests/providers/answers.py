"""What a server says in each protocol: "Hello!", in pieces and in one piece, for tests that need somebody to answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from attrs import frozen

from tests.wire.frames import event

SSE = "text/event-stream"
AMAZON = "application/vnd.amazon.eventstream"


@frozen
class Spoken:
    """The answer "Hello!", with 5 tokens in and 2 out, over one protocol."""

    pieces: tuple[bytes, ...]
    whole: bytes
    content_type: str = SSE


def sse(*values: Any, named: bool = False, end: bytes = b"") -> tuple[bytes, ...]:
    """Stream events, one piece each; `named` if each says its type."""
    pieces = []
    for value in values:
        name = f"event: {value['type']}\n" if named else ""
        pieces.append(f"{name}data: {json.dumps(value)}\n\n".encode())
    return (*pieces, end) if end else tuple(pieces)


def _chat(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {"id": "c1", "model": "m-1-0", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


_CHAT_USAGE = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
_CHAT_MESSAGE = {"role": "assistant", "content": "Hello!"}
CHAT = Spoken(
    sse(
        _chat({"role": "assistant", "content": "Hel"}),
        _chat({"content": "lo!"}),
        _chat({}, "stop"),
        {"id": "c1", "model": "m-1-0", "choices": [], "usage": _CHAT_USAGE},
        end=b"data: [DONE]\n\n",
    ),
    json.dumps(
        {
            "id": "c1",
            "model": "m-1-0",
            "choices": [{"index": 0, "message": _CHAT_MESSAGE, "finish_reason": "stop"}],
            "usage": _CHAT_USAGE,
        }
    ).encode(),
)

_ITEM = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed"}
_PART = {"type": "output_text", "text": "Hello!", "annotations": []}
_RESPONSE = {"id": "c1", "object": "response", "model": "m-1-0", "status": "in_progress", "output": []}
_RESPONDED = {
    **_RESPONSE,
    "status": "completed",
    "output": [{**_ITEM, "content": [_PART]}],
    "usage": {"input_tokens": 5, "output_tokens": 2, "total_tokens": 7},
}
_WHERE = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
RESPONSES = Spoken(
    sse(
        {"type": "response.created", "response": _RESPONSE},
        {"type": "response.output_item.added", "output_index": 0, "item": {**_ITEM, "content": []}},
        {"type": "response.content_part.added", **_WHERE, "part": {**_PART, "text": ""}},
        {"type": "response.output_text.delta", **_WHERE, "delta": "Hel"},
        {"type": "response.output_text.delta", **_WHERE, "delta": "lo!"},
        {"type": "response.output_text.done", **_WHERE, "text": "Hello!"},
        {"type": "response.content_part.done", **_WHERE, "part": _PART},
        {"type": "response.output_item.done", "output_index": 0, "item": {**_ITEM, "content": [_PART]}},
        {"type": "response.completed", "response": _RESPONDED},
        named=True,
    ),
    json.dumps(_RESPONDED).encode(),
)

_CLAUDE = {"id": "c1", "type": "message", "role": "assistant", "model": "m-1-0", "stop_sequence": None}
ANTHROPIC = Spoken(
    sse(
        {
            "type": "message_start",
            "message": {
                **_CLAUDE,
                "content": [],
                "stop_reason": None,
                "usage": {"input_tokens": 5, "output_tokens": 1},
            },
        },
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "ping"},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hel"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "lo!"}},
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"output_tokens": 2},
        },
        {"type": "message_stop"},
        named=True,
    ),
    json.dumps(
        {
            **_CLAUDE,
            "content": [{"type": "text", "text": "Hello!"}],
            "stop_reason": "end_turn",
            "usage": {"input_tokens": 5, "output_tokens": 2},
        }
    ).encode(),
)


def _gemini(text: str, **candidate: Any) -> dict[str, Any]:
    content = {"role": "model", "parts": [{"text": text}]}
    usage = {"promptTokenCount": 5, "candidatesTokenCount": 2, "totalTokenCount": 7}
    found = {"index": 0, "content": content, **candidate}
    return {"candidates": [found], "usageMetadata": usage, "modelVersion": "m-1-0", "responseId": "c1"}


GEMINI = Spoken(
    sse(_gemini("Hel"), _gemini("lo!", finishReason="STOP")),
    json.dumps(_gemini("Hello!", finishReason="STOP")).encode(),
)

_BEDROCK_USAGE = {"inputTokens": 5, "outputTokens": 2, "totalTokens": 7}
BEDROCK = Spoken(
    (
        event("messageStart", {"role": "assistant"}),
        event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Hel"}}),
        event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "lo!"}}),
        event("contentBlockStop", {"contentBlockIndex": 0}),
        event("messageStop", {"stopReason": "end_turn"}),
        event("metadata", {"usage": _BEDROCK_USAGE, "metrics": {"latencyMs": 9}}),
    ),
    json.dumps(
        {
            "output": {"message": {"role": "assistant", "content": [{"text": "Hello!"}]}},
            "stopReason": "end_turn",
            "usage": _BEDROCK_USAGE,
            "metrics": {"latencyMs": 9},
        }
    ).encode(),
    AMAZON,
)

_COHERE_END = {
    "finish_reason": "COMPLETE",
    "usage": {
        "billed_units": {"input_tokens": 1, "output_tokens": 2},
        "tokens": {"input_tokens": 5, "output_tokens": 2},
    },
}


def _cohere(**content: str) -> dict[str, Any]:
    return {"index": 0, "delta": {"message": {"content": content}}}


COHERE = Spoken(
    sse(
        {"type": "message-start", "id": "c1", "delta": {"message": {"role": "assistant", "content": []}}},
        {"type": "content-start", **_cohere(type="text", text="")},
        {"type": "content-delta", **_cohere(text="Hel")},
        {"type": "content-delta", **_cohere(text="lo!")},
        {"type": "content-end", "index": 0},
        {"type": "message-end", "delta": _COHERE_END},
        named=True,
        end=b"data: [DONE]\n\n",
    ),
    json.dumps(
        {
            "id": "c1",
            "message": {"role": "assistant", "content": [{"type": "text", "text": "Hello!"}]},
            **_COHERE_END,
        }
    ).encode(),
)

ANSWERS: Mapping[str, Spoken] = {
    "anthropic-messages": ANTHROPIC,
    "bedrock-converse": BEDROCK,
    "cohere-chat": COHERE,
    "gemini": GEMINI,
    "openai-chat": CHAT,
    "openai-responses": RESPONSES,
}
"""Protocol -> what a server says that speaks it."""
