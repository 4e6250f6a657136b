"""Write an answer as Anthropic Messages does: its stream of events, the whole message, and errors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from ...values.errors import MelliteError
from ...values.events import Finish, FinishReason
from ...values.messages import ToolCall, ToolResult
from ...values.provider_json import JsonObject
from ...values.usage import Usage
from ..answer_blocks import AnswerWriter, Block, json_line, kept
from ..citations import Citation
from .content import hosted_block

__all__ = ["AnthropicWriter", "error_body"]

_WORDS: Final[Mapping[FinishReason, str]] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool-calls": "tool_use",
    "content-filter": "refusal",
    "error": "end_turn",
    "unknown": "end_turn",
}

#: The reasons that Anthropic knows beside those: another provider's word for it would not be understood.
_OWN: Final = frozenset({*_WORDS.values(), "stop_sequence", "pause_turn", "model_context_window_exceeded"})

#: https://docs.claude.com/en/api/errors
_TYPES: Final[Mapping[int, str]] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def error_body(status: int, message: str) -> JsonObject:
    """Return the JSON that comes with an error status.

    Example:
        >>> error_body(429, "Slow down.")["error"]["type"]
        'rate_limit_error'
    """
    kind = _TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": None}


def _usage(usage: Usage | None) -> JsonObject:
    """Return the usage, which a message always has; what is unknown counts 0."""
    used = usage or Usage()
    taken = used.input_tokens if used.non_cached_input_tokens is None else used.non_cached_input_tokens
    return {
        "input_tokens": taken or 0,
        **kept(
            cache_creation_input_tokens=used.cache_write_input_tokens,
            cache_read_input_tokens=used.cache_read_input_tokens,
        ),
        "output_tokens": used.output_tokens or 0,
        **({"output_tokens_details": {"thinking_tokens": used.reasoning_tokens}} if used.reasoning_tokens else {}),
    }


class AnthropicWriter(AnswerWriter):
    """Writes Anthropic Messages.

    Example:
        >>> from mellite.values.events import TextDelta
        >>> writer = AnthropicWriter(model="m", id="1")
        >>> writer.write(TextDelta("Hi!")).count(b"event: ")
        3
    """

    def start(self) -> None:
        """Write the message without its content. The usage of the prompt is not known yet; the end says it again."""
        message = {**self._head(), "content": [], "stop_reason": None, "stop_sequence": None}
        self._event("message_start", message={**message, "usage": {"input_tokens": 0, "output_tokens": 0}})

    def begin(self, block: Block) -> None:
        """Write the beginning of a block."""
        begun = _finished(block)
        if begun.get("signature"):
            begun["signature"] = ""  # which comes at the end
        said = begun.get("input")
        if said and block.kind == "hosted":
            begun["input"] = {}  # which comes as it is written
        self._event("content_block_start", index=block.index, content_block=begun)
        if said and block.kind == "hosted":
            delta = {"type": "input_json_delta", "partial_json": json.dumps(said)}
            self._event("content_block_delta", index=block.index, delta=delta)

    def grow(self, block: Block, text: str) -> None:
        """Write more of a block."""
        delta = {
            "text": {"type": "text_delta", "text": text},
            "reasoning": {"type": "thinking_delta", "thinking": text},
            "call": {"type": "input_json_delta", "partial_json": text},
        }[block.kind]
        self._event("content_block_delta", index=block.index, delta=delta)

    def cite(self, block: Block) -> None:
        """Write what a text cites; readers find the text by its index, also when its block has ended."""
        for citation in _citations(block):
            delta = {"type": "citations_delta", "citation": citation}
            self._event("content_block_delta", index=block.index, delta=delta)

    def end(self, block: Block) -> None:
        """Write the signature of thinking, and the end of the block."""
        signature = block.noted("anthropic").get("signature")
        if isinstance(signature, str):
            delta = {"type": "signature_delta", "signature": signature}
            self._event("content_block_delta", index=block.index, delta=delta)
        self._event("content_block_stop", index=block.index)

    def hosted(self, part: ToolCall | ToolResult) -> JsonObject | None:
        """Return the block of a tool that Anthropic ran, or of its result."""
        return hosted_block(part)

    def conclude(self, finish: Finish) -> None:
        """Write the stop reason and the usage, and the end."""
        self._event("message_delta", delta=self._stop(finish), usage=_usage(finish.usage))
        self._event("message_stop")

    def failed(self, error: MelliteError, body: JsonObject) -> None:  # noqa: ARG002 - the same for every error
        """Write the event of an error."""
        self.put(b"event: error\ndata: " + json_line(body) + b"\n\n")

    def whole(self) -> JsonObject:
        """Return the whole message."""
        finish = self.finish or Finish("unknown")
        content = [_finished(block) for block in self.blocks]
        return {**self._head(), "content": content, **self._stop(finish), "usage": _usage(finish.usage)}

    def _head(self) -> JsonObject:
        return {"id": f"msg_{self.id}", "type": "message", "role": "assistant", "model": self.model}

    def _stop(self, finish: Finish) -> JsonObject:
        word = _WORDS[finish.reason]
        if finish.reason == "stop" and any(block.kind == "call" for block in self.blocks):
            word = "tool_use"
        elif finish.raw_reason in _OWN:
            word = finish.raw_reason or word
        details = {"type": "refusal", "explanation": finish.refusal} if finish.refusal else None
        return {"stop_reason": word, "stop_sequence": None, **kept(stop_details=details)}

    def _event(self, kind: str, **fields: object) -> None:
        self.put(b"event: %b\ndata: %b\n\n" % (kind.encode(), json_line({"type": kind, **fields})))


def _written(block: Block, text: str) -> JsonObject:
    if block.kind == "hosted":
        return dict(block.native)
    if block.kind == "text":
        return {"type": "text", "text": text}
    if block.kind == "reasoning":
        return {"type": "thinking", "thinking": text, "signature": ""}
    return {"type": "tool_use", "id": block.event_id, "name": block.name, "input": block.arguments}


def _finished(block: Block) -> JsonObject:
    """Return a whole block."""
    known = block.noted("anthropic")
    written = _written(block, block.text)
    if block.kind == "reasoning":
        if "redacted_data" in known:
            return {"type": "redacted_thinking", "data": known["redacted_data"]}
        return {**written, "signature": known.get("signature") or ""}
    cited = _citations(block)
    return {**written, "citations": cited} if cited else written


def _citations(block: Block) -> list[JsonObject]:
    """Return what a text cites: documents of Anthropic's own, and web pages of any vendor."""
    return [_citation(one) for one in block.citations if one.vendor == "anthropic" or one.url]


def _citation(one: Citation) -> JsonObject:
    if one.vendor == "anthropic":
        return one.raw
    page = {"url": one.url, "title": one.title, "cited_text": one.quoted}
    return {"type": "web_search_result_location", **page, "encrypted_index": ""}
