"""Write an answer as Chat Completions does: its stream of chunks, the whole completion, and errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ...values.errors import MelliteError
from ...values.events import Finish, FinishReason
from ...values.provider_json import JsonObject
from ..answer_blocks import AnswerWriter, Block, json_line, texts_of
from ..citations import Citation
from ..openai_writing import error_body, usage_written

__all__ = ["ChatWriter", "error_body"]

_WORDS: Final[Mapping[FinishReason, str]] = {
    "stop": "stop",
    "length": "length",
    "tool-calls": "tool_calls",
    "content-filter": "content_filter",
    "error": "stop",
    "unknown": "stop",
}


class ChatWriter(AnswerWriter):
    """Writes Chat Completions.

    Example:
        >>> from mellite.values.events import TextDelta
        >>> writer = ChatWriter(model="m", id="1", created=0)
        >>> writer.write(TextDelta("Hi!")).count(b"data: ")
        2
    """

    def start(self) -> None:
        """Write the first chunk, which says who speaks."""
        self._chunk({"role": "assistant", "content": ""})

    def begin(self, block: Block) -> None:
        """Write the beginning of a call; texts and thinking begin with their first piece."""
        if block.kind == "call":
            function = {"name": block.name, "arguments": ""}
            self._call(block, {"id": block.event_id, "type": "function", "function": function})

    def grow(self, block: Block, text: str) -> None:
        """Write more of a block."""
        if block.kind == "call":
            self._call(block, {"function": {"arguments": text}})
        else:
            self._chunk({"content" if block.kind == "text" else "reasoning_content": text})

    def cite(self, block: Block) -> None:
        """Write nothing: the end of the answer says what it cites."""

    def end(self, block: Block) -> None:
        """Write what a block ends with: what is to go back with it."""
        details = block.noted("openai").get("reasoning_details")
        if details:
            self._chunk({"reasoning_details": details})

    def conclude(self, finish: Finish) -> None:
        """Write the finish reason, the usage if it was asked for, and the end mark."""
        if finish.refusal and not texts_of(self.blocks, "text"):
            self._chunk({"refusal": finish.refusal})
        cited = self._annotations()
        if cited:
            self._chunk({"annotations": cited})
        self._chunk({}, self._word(finish))
        options = self.fields.get("stream_options")
        usage = usage_written(finish.usage, taken="prompt", given="completion")
        if usage and isinstance(options, Mapping) and options.get("include_usage"):
            self.put(b"data: " + json_line({**self._head("chat.completion.chunk"), "choices": [], "usage": usage}))
            self.put(b"\n\n")
        self.put(b"data: [DONE]\n\n")

    def failed(self, error: MelliteError, body: JsonObject) -> None:  # noqa: ARG002 - the same for every error
        """Write an error in the place of a chunk."""
        self.put(b"data: " + json_line(body) + b"\n\n")

    def whole(self) -> JsonObject:
        """Return the whole completion."""
        finish = self.finish or Finish("unknown")
        text, thinking = texts_of(self.blocks, "text"), texts_of(self.blocks, "reasoning")
        message: JsonObject = {"role": "assistant", "content": text or None, "refusal": finish.refusal}
        if thinking:
            message["reasoning_content"] = thinking
        details = [one for block in self.blocks for one in block.noted("openai").get("reasoning_details") or ()]
        if details:
            message["reasoning_details"] = details
        cited = self._annotations()
        if cited:
            message["annotations"] = cited
        calls = [block for block in self.blocks if block.kind == "call"]
        if calls:
            message["tool_calls"] = [
                {"id": call.event_id, "type": "function", "function": {"name": call.name, "arguments": call.text}}
                for call in calls
            ]
        elif message["content"] is None and not finish.refusal:
            message["content"] = ""
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self._word(finish)}
        usage = usage_written(finish.usage, taken="prompt", given="completion")
        return {**self._head("chat.completion"), "choices": [choice], **({"usage": usage} if usage else {})}

    def _annotations(self) -> list[JsonObject]:
        """Return the web pages that the text cites."""
        found, before = [], 0
        for block in self.blocks:
            if block.kind == "text":
                found += [_annotation(one.moved(before)) for one in block.citations if one.url]
                before += len(block.text)
        return found

    def _word(self, finish: Finish) -> str:
        calls = any(block.kind == "call" for block in self.blocks)
        return "tool_calls" if calls and finish.reason == "stop" else _WORDS[finish.reason]

    def _head(self, kind: str) -> JsonObject:
        return {"id": f"chatcmpl-{self.id}", "object": kind, "created": self.created, "model": self.model}

    def _chunk(self, delta: JsonObject, word: str | None = None) -> None:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": word}
        self.put(b"data: " + json_line({**self._head("chat.completion.chunk"), "choices": [choice]}) + b"\n\n")

    def _call(self, block: Block, fields: JsonObject) -> None:
        index = sum(1 for other in self.blocks[: block.index] if other.kind == "call")
        self._chunk({"tool_calls": [{"index": index, **fields}]})


def _annotation(one: Citation) -> JsonObject:
    if one.vendor == "openai-chat":
        return one.raw
    page = {"start_index": one.start, "end_index": one.end, "title": one.title or one.url, "url": one.url}
    return {"type": "url_citation", "url_citation": page}
