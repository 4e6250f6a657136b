"""Write an answer as Chat Completions does: its stream of chunks, the whole completion, and errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ...values.errors import MelliteError
from ...values.events import Finish, FinishReason
from ...values.provider_json import JsonObject
from ...values.usage import Usage
from ..answer_blocks import AnswerWriter, Block, json_line, kept, texts_of

__all__ = ["ChatWriter", "error_body", "usage_written"]

_WORDS: Final[Mapping[FinishReason, str]] = {
    "stop": "stop",
    "length": "length",
    "tool-calls": "tool_calls",
    "content-filter": "content_filter",
    "error": "stop",
    "unknown": "stop",
}

#: By the class of an error, what OpenAI calls it; https://platform.openai.com/docs/guides/error-codes.
_TYPES: Final[Mapping[int, str]] = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "invalid_request_error",
    413: "invalid_request_error",
    429: "rate_limit_error",
}


def error_body(status: int, message: str) -> JsonObject:
    """Return the JSON that comes with an error status.

    Example:
        >>> error_body(429, "Slow down.")["error"]["type"]
        'rate_limit_error'
    """
    return {"error": {"message": message, "type": _TYPES.get(status, "server_error"), "param": None, "code": None}}


def usage_written(usage: Usage | None, taken: str = "prompt", given: str = "completion") -> JsonObject | None:
    """Return the usage as OpenAI says it; None if nothing is known.

    Args:
        usage: the tokens used.
        taken: what the protocol calls those of the prompt.
        given: what the protocol calls those of the answer.
    """
    if usage is None or usage.input_tokens is usage.output_tokens is None:
        return None
    cached = kept(cached_tokens=usage.cache_read_input_tokens, cache_write_tokens=usage.cache_write_input_tokens)
    thought = kept(reasoning_tokens=usage.reasoning_tokens)
    return {
        f"{taken}_tokens": usage.input_tokens or 0,
        f"{given}_tokens": usage.output_tokens or 0,
        "total_tokens": usage.total_tokens or 0,
        **({f"{taken}_tokens_details": cached} if cached else {}),
        **({f"{given}_tokens_details": thought} if thought else {}),
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

    def end(self, block: Block) -> None:
        """Write what a block ends with: what is to go back with it."""
        details = block.noted("openai").get("reasoning_details")
        if details:
            self._chunk({"reasoning_details": details})

    def conclude(self, finish: Finish) -> None:
        """Write the finish reason, the usage if it was asked for, and the end mark."""
        if finish.refusal and not texts_of(self.blocks, "text"):
            self._chunk({"refusal": finish.refusal})
        self._chunk({}, self._word(finish))
        options = self.fields.get("stream_options")
        usage = usage_written(finish.usage)
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
        calls = [block for block in self.blocks if block.kind == "call"]
        if calls:
            message["tool_calls"] = [
                {"id": call.event_id, "type": "function", "function": {"name": call.name, "arguments": call.text}}
                for call in calls
            ]
        elif message["content"] is None and not finish.refusal:
            message["content"] = ""
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self._word(finish)}
        usage = usage_written(finish.usage)
        return {**self._head("chat.completion"), "choices": [choice], **({"usage": usage} if usage else {})}

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
