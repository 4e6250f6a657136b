"""The parser's state in an answer of Bedrock's Converse: the open blocks, and the events that they give."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ...values.events import (
    Event,
    ReasoningDelta,
    ReasoningEnd,
    ReasoningStart,
    TextDelta,
    TextEnd,
    TextStart,
    ToolCallEvent,
    ToolInputDelta,
    ToolInputEnd,
    ToolInputStart,
    ToolResultEvent,
)
from ...values.messages import ToolCall, ToolResult, ToolValue
from ...values.provider_json import Json
from ..answer_state import AnswerState
from ..json_values import wrong
from ..tool_calls import NO_INPUT, call_of, given_input
from .answer import Block, Merged

__all__ = ["State"]


_THINKING: Final = ("text", "signature", "redactedContent")


class State(AnswerState):
    """The state of the parser in one answer.

    Attributes:
        flowing: the block of the last delta, of which the next event is likely to be more; `index` is its number.
        broken: calls whose arguments are not JSON; whether they count, the stop reason says.
        merged: the answer so far.
    """

    __slots__ = ("_open", "broken", "finish_word", "flowing", "index", "merged")

    def __init__(self) -> None:
        super().__init__()
        self.flowing: Block | None = None
        self.index = -1
        self.broken: list[ToolCall] = []
        self.merged = Merged()
        self.finish_word: str | None = None
        self._open: dict[int, Block] = {}

    def go_on(self) -> None:
        """Content has come: a stop reason before it was none."""
        if self.complete:
            self.complete = False
            self.finish_word = None

    def block(self, index: int, kind: str, events: list[Event]) -> Block:
        """Return the open block of this index, if it is of this kind; else a new one."""
        block = self._open.get(index)
        if block is None or block.kind != kind:
            self.close(index, events)
            block = self.begin_block(index, kind, {}, events)
        return block

    def cited(self, index: int, events: list[Event]) -> Block:
        """Return the text of this index, even if it has ended: some servers know only at the end what it cites."""
        if index not in self._open:
            for block in reversed(self.merged.blocks):
                if block.kind == "text" and block.id == f"text-{index}":
                    return block
        return self.block(index, "text", events)

    def begin_block(self, index: int, kind: str, facts: Mapping[str, Json], events: list[Event]) -> Block:
        """Begin a block.

        Args:
            index: the provider's number of the block.
            kind: see `Block`.
            facts: what the block begins with.
            events: what the event at hand stands for so far.

        Raises:
            InvalidProviderOutput: for a tool call without id or name.
        """
        self.begin(events)
        if kind == "toolUse":
            id, name = facts.get("toolUseId"), facts.get("name")
            if not isinstance(id, str) or not id or not isinstance(name, str) or not name:
                raise wrong(facts, "a toolUse", "an object with a toolUseId and a name")
            self.go_on()
            block = Block(kind, id, name=name, start={key: fact for key, fact in facts.items() if key != "input"})
            block.given = given_input(facts.get("input"), "the input of a tool")
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

    def add_text(self, index: int, text: Json, events: list[Event]) -> None:
        """Take more text.

        Raises:
            InvalidProviderOutput: if it is not text.
        """
        if not isinstance(text, str):
            raise wrong(text, "the text of a delta", "a text")
        block = self.block(index, "text", events)
        if text:
            self.go_on()
            block.pieces.append(text)
            events.append(TextDelta(text, block.id))

    def add_thinking(self, index: int, more: Json, events: list[Event]) -> None:
        """Take more thinking, its signature, or thinking that is not shown.

        Raises:
            InvalidProviderOutput: if it is something else.
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

    def add_input(self, index: int, more: Json, events: list[Event]) -> None:
        """Take more of the arguments of a tool call.

        Raises:
            InvalidProviderOutput: if it is something else, or the call has not begun.
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
        """End all open blocks."""
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
        call, told = call_of(block.id, block.name, raw, provider_executed=hosted, metadata=noted)
        events.append(told)
        if not isinstance(told, ToolCallEvent):
            self.broken.append(call)

    def _result(self, block: Block) -> ToolResult:
        """Return the result of a tool that Bedrock ran itself."""
        id = str(block.start.get("toolUseId") or "")
        name = next((each.name for each in self.merged.blocks if each.kind == "toolUse" and each.id == id), "")
        content = block.whole()["toolResult"]["content"]
        texts = [part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str)]
        if len(texts) < len(content) or not content:
            value = ToolValue("json", content)
        else:
            value = ToolValue("error" if block.start.get("status") == "error" else "text", "\n".join(texts))
        return ToolResult(id, name, value, provider_executed=True, provider_metadata=block.noted())
