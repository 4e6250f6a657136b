"""Write an answer as Converse does: its stream of AWS messages, the whole answer, and errors."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from ...values.errors import MelliteError, RateLimited
from ...values.events import Finish, FinishReason
from ...values.provider_json import JsonObject
from ...values.usage import Usage
from ..answer_blocks import AnswerWriter, Block, json_line, kept
from ..citations import Citation

__all__ = ["ConverseWriter", "error_body"]

_WORDS: Final[Mapping[FinishReason, str]] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool-calls": "tool_use",
    "content-filter": "content_filtered",
    "error": "malformed_model_output",
    "unknown": "end_turn",
}

#: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html#API_runtime_Converse_Errors
_TYPES: Final[Mapping[int, str]] = {
    400: "ValidationException",
    401: "UnrecognizedClientException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    424: "ModelErrorException",
    429: "ThrottlingException",
    503: "ServiceUnavailableException",
}


def error_body(status: int, message: str) -> JsonObject:
    """Return the JSON that comes with an error status.

    Example:
        >>> error_body(429, "Slow down.")["__type"]
        'ThrottlingException'
    """
    kind = _TYPES.get(status, "InternalServerException" if status >= 500 else "ValidationException")
    return {"__type": kind, "message": message}


def _usage(usage: Usage | None) -> JsonObject:
    """Return the usage, which an answer always has; what is unknown counts 0. The cache counts apart."""
    used = usage or Usage()
    taken = used.input_tokens if used.non_cached_input_tokens is None else used.non_cached_input_tokens
    return {
        "inputTokens": taken or 0,
        "outputTokens": used.output_tokens or 0,
        "totalTokens": used.total_tokens or 0,
        **kept(cacheReadInputTokens=used.cache_read_input_tokens, cacheWriteInputTokens=used.cache_write_input_tokens),
    }


class ConverseWriter(AnswerWriter):
    """Writes Bedrock's Converse.

    Args:
        framed: ``framed(headers, payload)`` gives a message of an AWS event stream.
        **others: as every writer takes them.
    """

    stream_type = "application/vnd.amazon.eventstream"

    def __init__(self, *, framed: Callable[[Mapping[str, str], bytes], bytes], **others: Any) -> None:
        super().__init__(**others)
        self._framed = framed
        self._began = time.monotonic()

    def start(self) -> None:
        """Write who speaks."""
        self._event("messageStart", {"role": "assistant"})

    def begin(self, block: Block) -> None:
        """Write the beginning of a call; texts and thinking begin with their first piece."""
        if block.kind == "call":
            use = {"toolUseId": block.event_id, "name": block.name}
            self._event("contentBlockStart", {"start": {"toolUse": use}, "contentBlockIndex": block.index})

    def grow(self, block: Block, text: str) -> None:
        """Write more of a block."""
        deltas: Mapping[str, JsonObject] = {
            "text": {"text": text},
            "reasoning": {"reasoningContent": {"text": text}},
            "call": {"toolUse": {"input": text}},
        }
        self._delta(block, deltas[block.kind])

    def cite(self, block: Block) -> None:
        """Write what a text cites; readers find the text by its index, also when its block has ended."""
        for citation in _citations(block):
            self._delta(block, {"citation": citation})

    def end(self, block: Block) -> None:
        """Write the signature of thinking, and the end of the block."""
        if block.kind == "reasoning":
            for name, value in _proofs(block).items():
                self._delta(block, {"reasoningContent": {name: value}})
        self._event("contentBlockStop", {"contentBlockIndex": block.index})

    def conclude(self, finish: Finish) -> None:
        """Write the stop reason, then the usage."""
        self._event("messageStop", {"stopReason": self._word(finish)})
        self._event("metadata", {"usage": _usage(finish.usage), "metrics": self._metrics()})

    def failed(self, error: MelliteError, body: JsonObject) -> None:
        """Write an exception."""
        kind = "throttlingException" if isinstance(error, RateLimited) else "modelStreamErrorException"
        headers = {":message-type": "exception", ":exception-type": kind, ":content-type": "application/json"}
        self.put(self._framed(headers, json_line({"message": body["message"]})))

    def whole(self) -> JsonObject:
        """Return the whole answer."""
        finish = self.finish or Finish("unknown")
        message = {"role": "assistant", "content": [_written(block) for block in self.blocks]}
        used = {"usage": _usage(finish.usage), "metrics": self._metrics()}
        return {"output": {"message": message}, "stopReason": self._word(finish), **used}

    def _word(self, finish: Finish) -> str:
        calls = any(block.kind == "call" for block in self.blocks)
        return "tool_use" if calls and finish.reason == "stop" else _WORDS[finish.reason]

    def _metrics(self) -> JsonObject:
        return {"latencyMs": round((time.monotonic() - self._began) * 1000)}

    def _delta(self, block: Block, delta: JsonObject) -> None:
        self._event("contentBlockDelta", {"delta": delta, "contentBlockIndex": block.index})

    def _event(self, kind: str, payload: JsonObject) -> None:
        headers = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
        self.put(self._framed(headers, json_line(payload)))


def _proofs(block: Block) -> JsonObject:
    """Return what proves thinking to be the model's own; that of Claude holds wherever Claude runs."""
    known = {**block.noted("anthropic"), **block.noted("bedrock")}
    redacted = known.get("redactedContent") or known.get("redacted_data")
    signature = known.get("signature")
    return kept(
        signature=signature if isinstance(signature, str) else None,
        redactedContent=redacted if isinstance(redacted, str) else None,
    )


def _citations(block: Block) -> list[JsonObject]:
    """Return what a text cites: documents of Bedrock's own, and web pages of any vendor."""
    return [_citation(one) for one in block.citations if one.vendor == "bedrock" or one.url]


def _citation(one: Citation) -> JsonObject:
    if one.vendor == "bedrock":
        return one.raw
    quoted = {"sourceContent": [{"text": one.quoted}]} if one.quoted else {}
    return {**kept(title=one.title), **quoted, "location": {"web": {"url": one.url}}}


def _written(block: Block) -> JsonObject:
    if block.kind == "text":
        cited = _citations(block)
        said = {"text": block.text}
        return {"citationsContent": {"content": [said], "citations": cited}} if cited else said
    if block.kind == "call":
        arguments = block.arguments
        given = arguments if isinstance(arguments, dict) else {"invalid_json": arguments}
        return {"toolUse": {"toolUseId": block.event_id, "name": block.name, "input": given}}
    proofs = _proofs(block)
    if "redactedContent" in proofs:
        return {"reasoningContent": {"redactedContent": proofs["redactedContent"]}}
    return {"reasoningContent": {"reasoningText": {"text": block.text, **proofs}}}
