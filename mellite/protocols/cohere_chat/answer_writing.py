"""Write an answer as Cohere's Chat does: its stream of events, the whole answer, and errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ...values.errors import MelliteError
from ...values.events import Finish, FinishReason
from ...values.provider_json import JsonObject
from ...values.usage import Usage
from ..answer_blocks import AnswerWriter, Block, json_line, kept

__all__ = ["CohereWriter", "error_body"]

_WORDS: Final[Mapping[FinishReason, str]] = {
    "stop": "COMPLETE",
    "length": "MAX_TOKENS",
    "tool-calls": "TOOL_CALL",
    "content-filter": "ERROR_TOXIC",
    "error": "ERROR",
    "unknown": "COMPLETE",
}


def error_body(status: int, message: str) -> JsonObject:  # noqa: ARG001 - Cohere has only the message
    """Return the JSON that comes with an error status.

    Example:
        >>> error_body(429, "Slow down.")
        {'message': 'Slow down.'}
    """
    return {"message": message}


def _usage(usage: Usage | None) -> JsonObject:
    if usage is None or usage.input_tokens is usage.output_tokens is None:
        return {}
    counts = kept(input_tokens=usage.input_tokens, output_tokens=usage.output_tokens)
    return {"usage": {"billed_units": counts, "tokens": counts, **kept(cached_tokens=usage.cache_read_input_tokens)}}


class CohereWriter(AnswerWriter):
    """Writes Cohere's Chat.

    Example:
        >>> from mellite.values.events import TextDelta
        >>> CohereWriter(model="m", id="1").write(TextDelta("Hi!")).count(b"event: ")
        3
    """

    _cited = 0  # citations that have been written

    def start(self) -> None:
        """Write who speaks."""
        message = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
        self._event("message-start", id=self.id, delta={"message": message})

    def begin(self, block: Block) -> None:
        """Write the beginning of a block."""
        if block.kind == "call":
            call = {"id": block.event_id, "type": "function", "function": {"name": block.name, "arguments": ""}}
            self._block("tool-call-start", block, tool_calls=call)
        else:
            self._block("content-start", block, content=_content(block, ""))

    def grow(self, block: Block, text: str) -> None:
        """Write more of a block."""
        if block.kind == "call":
            self._block("tool-call-delta", block, tool_calls={"function": {"arguments": text}})
        else:
            self._block("content-delta", block, content={"text" if block.kind == "text" else "thinking": text})

    def cite(self, block: Block) -> None:
        """Write what a text cites; each citation names the text and the place."""
        for one in self._citations(block):
            self._event("citation-start", index=self._cited, delta={"message": {"citations": one}})
            self._event("citation-end", index=self._cited)
            self._cited += 1

    def end(self, block: Block) -> None:
        """Write the end of a block."""
        self._event("tool-call-end" if block.kind == "call" else "content-end", index=self._index(block))

    def conclude(self, finish: Finish) -> None:
        """Write the finish reason and the usage."""
        self._event("message-end", id=self.id, delta={"finish_reason": self._word(finish), **_usage(finish.usage)})

    def failed(self, error: MelliteError, body: JsonObject) -> None:  # noqa: ARG002 - the same for every error
        """Write the end, with the error."""
        self._event("message-end", id=self.id, delta={"finish_reason": "ERROR", "error": body["message"]})

    def whole(self) -> JsonObject:
        """Return the whole answer."""
        finish = self.finish or Finish("unknown")
        message: JsonObject = {"role": "assistant"}
        content = [_content(block, block.text) for block in self.blocks if block.kind != "call"]
        if content:
            message["content"] = content
        cited = [one for block in self.blocks for one in self._citations(block)]
        if cited:
            message["citations"] = cited
        calls = [block for block in self.blocks if block.kind == "call"]
        if calls:
            message["tool_calls"] = [
                {"id": call.event_id, "type": "function", "function": {"name": call.name, "arguments": call.text}}
                for call in calls
            ]
        return {"id": self.id, "finish_reason": self._word(finish), "message": message, **_usage(finish.usage)}

    def _citations(self, block: Block) -> list[JsonObject]:
        """Return what a text cites: documents of Cohere's own, and web pages of any vendor."""
        found: list[JsonObject] = []
        for one in block.citations:
            if one.vendor == "cohere":
                found += [one.raw] if one.raw not in found else []
            elif one.url:
                page = kept(url=one.url, title=one.title, snippet=one.quoted or None)
                source = {"type": "document", "id": one.url, "document": page}
                span = {"start": one.start, "end": one.end, "text": block.text[one.start : one.end]}
                found.append({**span, "sources": [source], "content_index": self._index(block), "type": "TEXT_CONTENT"})
        return found

    def _word(self, finish: Finish) -> str:
        calls = any(block.kind == "call" for block in self.blocks)
        return "TOOL_CALL" if calls and finish.reason == "stop" else _WORDS[finish.reason]

    def _index(self, block: Block) -> int:
        """Return the number of a block among those of its kind: calls and contents are counted apart."""
        return sum(1 for other in self.blocks[: block.index] if (other.kind == "call") == (block.kind == "call"))

    def _block(self, kind: str, block: Block, **message: JsonObject) -> None:
        self._event(kind, index=self._index(block), delta={"message": message})

    def _event(self, kind: str, **fields: object) -> None:
        self.put(b"event: %b\ndata: %b\n\n" % (kind.encode(), json_line({"type": kind, **fields})))


def _content(block: Block, text: str) -> JsonObject:
    return {"type": "text", "text": text} if block.kind == "text" else {"type": "thinking", "thinking": text}
