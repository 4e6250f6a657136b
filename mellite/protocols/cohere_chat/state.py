"""Where the parser of a Cohere answer stands: what has come, and the blocks that are open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...values.errors import MelliteError
from ...values.events import (
    Event,
    ReasoningDelta,
    ReasoningEnd,
    ReasoningStart,
    ResponseStart,
    StepStart,
    TextDelta,
    TextEnd,
    TextStart,
)
from ...values.usage import Usage
from ..tool_inputs import ToolInputs
from .answer import Block, MergedCohere

__all__ = ["CohereState"]


class CohereState:
    """Where the parser stands in one answer.

    Attributes:
        complete: the finish reason has come.
        done: the end of the answer has come.
        flowing: the block that grows, so that the next event is likely to be more of it.
        index: the provider's number of that block.
    """

    __slots__ = (
        "complete",
        "done",
        "failure",
        "finish_word",
        "flowing",
        "index",
        "inputs",
        "merged",
        "response_id",
        "started",
        "usage",
    )

    def __init__(self) -> None:
        self.complete = False
        self.done = False
        self.flowing: Block | None = None
        self.index = -1
        self.started = False
        self.response_id: str | None = None
        self.inputs = ToolInputs()
        self.merged = MergedCohere()
        self.finish_word: str | None = None
        self.failure: MelliteError | None = None  # what the provider says of an answer that it broke off
        self.usage: Usage | None = None

    def begin(self, events: list[Event]) -> None:
        """Open the step, once."""
        if not self.started:
            self.started = True
            events.append(StepStart())

    def identify(self, id: Any, events: list[Event]) -> None:
        """Say which answer this is, as soon as it is known."""
        if isinstance(id, str) and id and self.response_id is None:
            self.response_id = self.merged.top["id"] = id
            events.append(ResponseStart(response_id=id))

    def block(self, index: int, kind: str, facts: Mapping[str, Any], events: list[Event]) -> Block:
        """The block of this number and kind; opened if it is new."""
        known = self.merged.blocks.get(index)
        if known is not None and known.kind == kind and known.is_open:
            return known
        if known is not None:  # one number for two blocks: the next free one
            self.close(known, events)
            index = max(self.merged.blocks) + 1
        self.begin(events)
        number = sum([block.kind == kind for block in self.merged.blocks.values()])
        block = Block(kind, f"{'reasoning' if kind == 'thinking' else kind}-{number}", facts)
        self.merged.blocks[index] = block
        if kind == "text":
            self.close_thinking(events)
            events.append(TextStart(block.id))
        elif kind == "thinking":
            events.append(ReasoningStart(block.id))
        return block

    def grow(self, index: int, block: Block, text: str, events: list[Event]) -> None:
        """Take more of a block."""
        if text:
            block.pieces.append(text)
            events.append(TextDelta(text, block.id) if block.kind == "text" else ReasoningDelta(text, block.id))
            self.flowing, self.index = block, index

    def close(self, block: Block, events: list[Event], *, citations: Sequence[Any] = ()) -> None:
        """End a block; `citations` stand with the last text."""
        if not block.is_open:
            return
        block.is_open = False
        if block is self.flowing:
            self.flowing = None
        if block.kind == "text":
            metadata = {"cohere": {"citations": list(citations)}} if citations else None
            events.append(TextEnd(block.id, provider_metadata=metadata))
        elif block.kind == "thinking":
            # The mark says that it is Cohere's own, and may go back.
            events.append(ReasoningEnd(block.id, provider_metadata={"cohere": {"type": "thinking"}}))

    def close_thinking(self, events: list[Event]) -> None:
        """End thinking that still flows: something else begins."""
        for block in self.merged.blocks.values():
            if block.kind == "thinking":
                self.close(block, events)

    def close_all(self, events: list[Event]) -> None:
        """End whatever is open; texts wait for this, since their citations may come last."""
        blocks = [block for _, block in sorted(self.merged.blocks.items())]
        texts = [block for block in blocks if block.kind == "text"]
        for block in blocks:
            cited = self.merged.citations if texts and block is texts[-1] else ()
            self.close(block, events, citations=cited)
