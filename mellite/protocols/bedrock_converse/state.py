"""Where the reader of an answer of Bedrock's Converse stands: the open blocks, and the events that they give."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ...values.errors import InvalidProviderOutput, InvalidRequest
from ...values.events import (
    Event,
    ReasoningDelta,
    ReasoningEnd,
    ReasoningStart,
    StepStart,
    TextDelta,
    TextEnd,
    TextStart,
    ToolCallEvent,
    ToolInputDelta,
    ToolInputEnd,
    ToolInputError,
    ToolInputStart,
    ToolResultEvent,
)
from ...values.messages import ToolCall, ToolResult, ToolValue
from ...values.usage import Usage
from ..json_values import json_text, wrong
from ..tool_calls import NO_INPUT, parse_arguments
from .answer import Block, MergedConverse, usage_of

__all__ = ["ConverseState"]


_THINKING: Final = ("text", "signature", "redactedContent")


class ConverseState:
    """Where the parser stands in one answer.

    Attributes:
        complete: the stop reason has come, and no content since.
        done: the usage has come after it, which is the end.
        started: the message has begun.
        flowing: the block of the last delta, of which the next event is likely to be more; `index` is its number.
        broken: calls whose arguments are no JSON; whether they count, the stop reason says.
        merged: the answer so far.
    """

    __slots__ = ("_open", "broken", "complete", "done", "flowing", "index", "merged", "started", "stop_word", "usage")

    def __init__(self) -> None:
        self.complete = False
        self.done = False
        self.started = False
        self.flowing: Block | None = None
        self.index = -1
        self.broken: list[ToolCall] = []
        self.merged = MergedConverse()
        self.stop_word: str | None = None
        self.usage: Usage | None = None
        self._open: dict[int, Block] = {}

    def begin(self, events: list[Event]) -> None:
        """The answer begins, unless it has."""
        if not self.started:
            self.started = True
            events.append(StepStart())

    def go_on(self) -> None:
        """Content has come: a stop reason before it was none."""
        if self.complete:
            self.complete = False
            self.stop_word = None

    def use(self, usage: Any) -> None:
        """Later usage replaces earlier, unless it says nothing."""
        if isinstance(usage, dict) and usage:
            self.usage = usage_of(usage).replacing(self.usage)

    def block(self, index: int, kind: str, events: list[Event]) -> Block:
        """The open block of this index, if it is of this kind; else a new one."""
        block = self._open.get(index)
        if block is None or block.kind != kind:
            self.close(index, events)
            block = self.begin_block(index, kind, {}, events)
        return block

    def begin_block(self, index: int, kind: str, facts: Mapping[str, Any], events: list[Event]) -> Block:
        """A new block of this index.

        Args:
            facts: what it began with.

        Raises:
            InvalidProviderOutput: if it is a tool call without id or name.
        """
        self.begin(events)
        if kind == "toolUse":
            id, name = facts.get("toolUseId"), facts.get("name")
            if not isinstance(id, str) or not id or not isinstance(name, str) or not name:
                raise wrong(facts, "a toolUse", "an object with a toolUseId and a name")
            self.go_on()
            block = Block(kind, id, name=name, start={key: fact for key, fact in facts.items() if key != "input"})
            block.given = _written(facts.get("input"))
            events.append(ToolInputStart(id, name, provider_executed=block.is_hosted, provider_metadata=block.noted()))
        else:
            thinks = kind in ("reasoning", "redacted")
            block = Block(kind, f"{'reasoning' if thinks else 'text'}-{index}", start=facts)
            if thinks:
                events.append(ReasoningStart(block.id))
            elif kind == "text":
                events.append(TextStart(block.id))
        self._open[index] = block
        self.merged.blocks.append(block)
        self.flowing, self.index = (block, index) if kind in ("text", "reasoning", "toolUse") else (None, -1)
        return block

    def add_text(self, index: int, text: Any, events: list[Event]) -> None:
        """More text.

        Raises:
            InvalidProviderOutput: if it is none.
        """
        if not isinstance(text, str):
            raise wrong(text, "the text of a delta", "a text")
        block = self.block(index, "text", events)
        if text:
            self.go_on()
            block.pieces.append(text)
            events.append(TextDelta(text, block.id))

    def add_thinking(self, index: int, more: Any, events: list[Event]) -> None:
        """More thinking, its signature, or what of it is not shown.

        Raises:
            InvalidProviderOutput: if it is none.
        """
        if not isinstance(more, dict) or not all(isinstance(more.get(name, ""), str) for name in _THINKING):
            raise wrong(more, "thinking", "an object of texts")
        text, signature, hidden = (more.get(name, "") for name in _THINKING)
        if text or hidden:
            self.go_on()
        if hidden:
            self.block(index, "redacted", events).pieces.append(hidden)
            return
        block = self.block(index, "reasoning", events)
        if text:
            block.pieces.append(text)
            events.append(ReasoningDelta(text, block.id))
        if signature:
            block.signature.append(signature)

    def add_input(self, index: int, more: Any, events: list[Event]) -> None:
        """More of the arguments of a tool call.

        Raises:
            InvalidProviderOutput: if it is none, or the call has not begun.
        """
        block = self._open.get(index)
        if block is None or block.kind != "toolUse":
            raise wrong(more, "a piece of the input of a tool", "part of a toolUse that has begun")
        text = more.get("input") if isinstance(more, dict) else None
        if not isinstance(text, str):
            raise wrong(more, "a piece of the input of a tool", "an object with a text")
        if text:
            self.go_on()
            block.pieces.append(text)
            events.append(ToolInputDelta(block.id, block.name, text))

    def close_all(self, events: list[Event]) -> None:
        """End whatever block is open."""
        for index in list(self._open):
            self.close(index, events)

    def close(self, index: int, events: list[Event]) -> None:
        """End the block of this index, if one is open."""
        block = self._open.pop(index, None)
        if block is None:
            return
        if self.flowing is block:
            self.flowing, self.index = None, -1
        if block.kind == "text":
            events.append(TextEnd(block.id, provider_metadata=block.noted()))
        elif block.kind in ("reasoning", "redacted"):
            events.append(ReasoningEnd(block.id, provider_metadata=block.noted()))
        elif block.kind == "toolUse":
            self._end_call(block, events)
        elif block.kind == "toolResult":
            events.append(ToolResultEvent(self._result(block)))

    def _end_call(self, block: Block, events: list[Event]) -> None:
        if block.given and block.text.strip() in NO_INPUT:  # no delta brought the input, which it began with
            block.pieces.append(block.given)
            events.append(ToolInputDelta(block.id, block.name, block.given))
        raw, noted, hosted = block.text, block.noted(), block.is_hosted
        events.append(ToolInputEnd(block.id, block.name, provider_executed=hosted, provider_metadata=noted))
        arguments, whole = None, True
        try:
            arguments = parse_arguments(raw)
        except InvalidProviderOutput:
            whole = False
        call = ToolCall(
            block.id, block.name, arguments, raw_arguments=raw, provider_executed=hosted, provider_metadata=noted
        )
        if whole:
            events.append(ToolCallEvent(call))
        else:
            events.append(ToolInputError(block.id, block.name, raw=raw))
            self.broken.append(call)

    def _result(self, block: Block) -> ToolResult:
        """What a tool that Bedrock ran itself gave."""
        id = str(block.start.get("toolUseId") or "")
        name = next((each.name for each in self.merged.blocks if each.kind == "toolUse" and each.id == id), "")
        content = block.whole()["toolResult"]["content"]
        texts = [part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str)]
        if len(texts) < len(content) or not content:
            value = ToolValue("json", content)
        else:
            value = ToolValue("error" if block.start.get("status") == "error" else "text", "\n".join(texts))
        return ToolResult(id, name, value, provider_executed=True, provider_metadata=block.noted())


def _written(input: Any) -> str:
    """The input that a tool call begins with, as the JSON text that deltas would have brought."""
    if input is None or isinstance(input, str):
        return input or ""
    try:
        return json_text(input, what="the input of a tool")
    except InvalidRequest as error:  # it could be read, but is nested too deeply to be written
        raise InvalidProviderOutput(str(error)) from None
