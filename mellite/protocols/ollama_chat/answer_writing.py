"""Write an answer as Ollama does: its stream of lines, the whole answer, and errors."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from ...values.errors import MelliteError
from ...values.events import Finish, FinishReason
from ...values.provider_json import JsonObject
from ..answer_blocks import AnswerWriter, Block, json_line, kept, texts_of

__all__ = ["OllamaWriter", "error_body"]

_WORDS: Final[Mapping[FinishReason, str]] = {"length": "length"}


def error_body(status: int, message: str) -> JsonObject:  # noqa: ARG001 - Ollama has only the message
    """Return the JSON that comes with an error status.

    Example:
        >>> error_body(429, "Slow down.")
        {'error': 'Slow down.'}
    """
    return {"error": message}


class OllamaWriter(AnswerWriter):
    r"""Writes Ollama's chat.

    Example:
        >>> from mellite.values.events import TextDelta
        >>> OllamaWriter(model="m", id="1", created=0).write(TextDelta("Hi!"))[-60:]
        b'message":{"role":"assistant","content":"Hi!"},"done":false}\n'
    """

    stream_type = "application/x-ndjson"

    def __init__(self, **others: Any) -> None:
        super().__init__(**others)
        self._began = time.monotonic_ns()

    def start(self) -> None:
        """Write nothing: the first piece comes alone."""

    def begin(self, block: Block) -> None:
        """Write nothing: texts come with their pieces, calls whole."""

    def grow(self, block: Block, text: str) -> None:
        """Write more text or thinking."""
        if block.kind == "text":
            self._line({"content": text})
        elif block.kind == "reasoning":
            self._line({"content": "", "thinking": text})

    def cite(self, block: Block) -> None:
        """Write nothing: there is no word for a source."""

    def end(self, block: Block) -> None:
        """Write a whole call."""
        if block.kind == "call":
            self._line({"content": "", "tool_calls": [_call(block)]})

    def conclude(self, finish: Finish) -> None:
        """Write why it ended, and the usage."""
        self.put(
            json_line({**self._head(), "message": {"role": "assistant", "content": ""}, **self._end(finish)}) + b"\n"
        )

    def failed(self, error: MelliteError, body: JsonObject) -> None:  # noqa: ARG002 - the same for every error
        """Write an error in the place of a line."""
        self.put(json_line(body) + b"\n")

    def whole(self) -> JsonObject:
        """Return the whole answer."""
        message: JsonObject = {"role": "assistant", "content": texts_of(self.blocks, "text")}
        thinking = texts_of(self.blocks, "reasoning")
        calls = [_call(block) for block in self.blocks if block.kind == "call"]
        message |= {**({"thinking": thinking} if thinking else {}), **({"tool_calls": calls} if calls else {})}
        return {**self._head(), "message": message, **self._end(self.finish or Finish("unknown"))}

    def _head(self) -> JsonObject:
        return {"model": self.model, "created_at": f"{datetime.fromtimestamp(self.created, UTC):%Y-%m-%dT%H:%M:%SZ}"}

    def _end(self, finish: Finish) -> JsonObject:
        took = time.monotonic_ns() - self._began
        usage = finish.usage
        counts = {} if usage is None else kept(prompt_eval_count=usage.input_tokens, eval_count=usage.output_tokens)
        word = _WORDS.get(finish.reason, "stop")
        return {"done": True, "done_reason": word, "total_duration": took, "load_duration": 0, **counts}

    def _line(self, message: JsonObject) -> None:
        self.put(json_line({**self._head(), "message": {"role": "assistant", **message}, "done": False}) + b"\n")


def _call(block: Block) -> JsonObject:
    arguments = block.arguments
    given = arguments if isinstance(arguments, dict) else {"arguments": arguments}
    return {"id": block.event_id, "function": {"name": block.name, "arguments": given}}
