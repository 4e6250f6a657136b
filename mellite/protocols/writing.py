"""Write an answer as a provider would stream it, so that a text cassette can become an HTTP cassette."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from attrs import field, frozen

from ..values.provider_json import Json, JsonObject
from ..values.usage import Usage

__all__ = ["PROTOCOLS", "Said", "stream_of"]


@frozen
class Said:
    """An answer that is nothing but text.

    Args:
        model: who says that it answered.
        chunks: the text in the pieces in which it came.
        cut_short: whether it ended because it had become too long.
        usage: the tokens used, as far as they are known.
    """

    model: str
    chunks: Sequence[str]
    cut_short: bool = field(default=False, kw_only=True)
    usage: Usage | None = field(default=None, kw_only=True)

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(self.chunks)


def stream_of(protocol: str, said: Said) -> str | None:
    """Return the body of an answer, a stream of events; None for an unknown protocol.

    Example:
        >>> print((stream_of("gemini", Said("m", ["Hi"])) or "").partition("}]")[0])
        data: {"candidates":[{"content":{"role":"model","parts":[{"text":"Hi"
    """
    write = PROTOCOLS.get(protocol)
    return None if write is None else write(said)


def _json(value: object) -> str:
    # Halves of surrogate pairs, which UTF-8 cannot hold, go out as escapes, and so does whatever else is not ASCII.
    return json.dumps(value, separators=(",", ":"))


def _events(*events: Mapping[str, Json]) -> str:
    return "".join([f"event: {event['type']}\ndata: {_json(event)}\n\n" for event in events])


def _chat(said: Said) -> str:
    start = {"id": "chatcmpl-text", "object": "chat.completion.chunk", "created": 0, "model": said.model}
    deltas: list[JsonObject] = [
        {"role": "assistant", "content": ""},
        *[{"content": chunk} for chunk in said.chunks],
    ]
    choices: list[JsonObject] = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    choices.append({"index": 0, "delta": {}, "finish_reason": "length" if said.cut_short else "stop"})
    chunks: list[JsonObject] = [{**start, "choices": [choice]} for choice in choices]
    if said.usage is not None:
        chunks.append({**start, "choices": [], "usage": _openai_usage(said.usage, "prompt", "completion")})
    return "".join([f"data: {_json(chunk)}\n\n" for chunk in chunks]) + "data: [DONE]\n\n"


def _openai_usage(usage: Usage, taken: str, given: str) -> JsonObject:
    counts: JsonObject = {
        f"{taken}_tokens": usage.input_tokens,
        f"{given}_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        f"{taken}_tokens_details": _given(cached_tokens=usage.cache_read_input_tokens),
        f"{given}_tokens_details": _given(reasoning_tokens=usage.reasoning_tokens),
    }
    return _given(**{name: count or None if isinstance(count, dict) else count for name, count in counts.items()})


def _given(**values: Json) -> JsonObject:
    return {name: value for name, value in values.items() if value is not None}


def _responses(said: Said) -> str:
    place = {"item_id": "msg_text", "output_index": 0, "content_index": 0}
    part = {"type": "output_text", "text": said.text, "annotations": []}
    item = {"id": "msg_text", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
    status = "incomplete" if said.cut_short else "completed"
    response: JsonObject = {"id": "resp_text", "object": "response", "created_at": 0, "model": said.model}
    whole = {**response, "status": status, "output": [item]}
    if said.cut_short:
        whole["incomplete_details"] = {"reason": "max_output_tokens"}
    if said.usage is not None:
        whole["usage"] = _openai_usage(said.usage, "input", "output")
    deltas = [{"type": "response.output_text.delta", **place, "delta": chunk} for chunk in said.chunks]
    return _events(
        {"type": "response.created", "response": {**response, "status": "in_progress", "output": []}},
        {"type": "response.output_item.added", "output_index": 0, "item": {**item, "content": []}},
        *deltas,
        {"type": "response.output_text.done", **place, "text": said.text},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": f"response.{status}", "response": whole},
    )


def _anthropic(said: Said) -> str:
    usage = said.usage or Usage()
    taken = _given(
        input_tokens=usage.non_cached_input_tokens,
        cache_read_input_tokens=usage.cache_read_input_tokens,
        cache_creation_input_tokens=usage.cache_write_input_tokens,
        output_tokens=None if usage.output_tokens is None else 0,
    )
    message: JsonObject = {"id": "msg_text", "type": "message", "role": "assistant", "model": said.model}
    text = [{"type": "text_delta", "text": chunk} for chunk in said.chunks]
    return _events(
        {"type": "message_start", "message": {**message, "content": [], "stop_reason": None, "usage": taken}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *[{"type": "content_block_delta", "index": 0, "delta": delta} for delta in text],
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "max_tokens" if said.cut_short else "end_turn"},
            "usage": _given(output_tokens=usage.output_tokens),
        },
        {"type": "message_stop"},
    )


def _gemini(said: Said) -> str:
    usage = said.usage
    counts: JsonObject = {}
    if usage is not None:
        thoughts = usage.reasoning_tokens
        counts["usageMetadata"] = _given(
            promptTokenCount=usage.input_tokens,
            candidatesTokenCount=None if usage.output_tokens is None else usage.output_tokens - (thoughts or 0),
            thoughtsTokenCount=thoughts,
            cachedContentTokenCount=usage.cache_read_input_tokens,
            totalTokenCount=usage.total_tokens,
        )
    pieces = list(said.chunks) or [""]
    reason = "MAX_TOKENS" if said.cut_short else "STOP"
    events = []
    for number, chunk in enumerate(pieces):
        last = number == len(pieces) - 1
        candidate = {"content": {"role": "model", "parts": [{"text": chunk}]}, "index": 0}
        event: JsonObject = {"candidates": [{**candidate, **({"finishReason": reason} if last else {})}]}
        events.append({**event, **(counts if last else {}), "modelVersion": said.model})
    return "".join([f"data: {_json(event)}\n\n" for event in events])


def _cohere(said: Said) -> str:
    def event(kind: str, **facts: Json) -> JsonObject:
        return {"type": kind, **facts}

    def content(**facts: str) -> JsonObject:
        return {"index": 0, "delta": {"message": {"content": facts}}}

    end: JsonObject = {"finish_reason": "MAX_TOKENS" if said.cut_short else "COMPLETE"}
    if said.usage is not None:
        counts = {"input_tokens": said.usage.input_tokens, "output_tokens": said.usage.output_tokens}
        end["usage"] = {"tokens": _given(**counts), **_given(cached_tokens=said.usage.cache_read_input_tokens)}
    return _events(
        event("message-start", id="msg_text", delta={"message": {"role": "assistant"}}),
        event("content-start", **content(type="text", text="")),
        *[event("content-delta", **content(text=chunk)) for chunk in said.chunks],
        event("content-end", index=0),
        event("message-end", delta=end),
    )


#: Protocol -> what writes its stream.
PROTOCOLS: Final[Mapping[str, Callable[[Said], str]]] = {
    "anthropic-messages": _anthropic,
    "cohere-chat": _cohere,
    "gemini": _gemini,
    "openai-chat": _chat,
    "openai-responses": _responses,
}
