"""The parser's state in a Cohere answer: what has arrived, and the blocks that are open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...values.errors import MelliteError
from ...values.events import (
    Event,
    ReasoningDelta,
    ReasoningEnd,
    ReasoningStart,
    TextDelta,
    TextEnd,
    TextStart,
)
from ...values.provider_json import Json
from ..answer_state import AnswerState
from ..tool_inputs import ToolInputs
from .answer import Block, Merged

__all__ = ["State"]


class State(AnswerState):
    """The state of the parser in one answer.

    Attributes:
        calling: whether a tool call is written, so that the next event is likely to be more of it.
        failure: what the provider says of an answer that it broke off.
        finish_word: why the answer ended, in Cohere's word.
        flowing: the block that grows, so that the next event is likely to be more of it.
        index: the provider's number of that block.
        inputs: the tool calls.
        merged: the answer so far.
    """

    __slots__ = ("_moved", "calling", "failure", "finish_word", "flowing", "index", "inputs", "merged")

    def __init__(self) -> None:
        super().__init__()
        self.calling = False
        self.flowing: Block | None = None
        self.index = -1
        self.inputs = ToolInputs()
        self.merged = Merged()
        self.finish_word: str | None = None
        self.failure: MelliteError | None = None
        self._moved: dict[int, int] = {}  # where the last block of a number stands, if several have it

    def identify_by(self, event: Mapping[str, Json], events: list[Event]) -> None:
        """Tell which answer this is, as soon as it is known; Cohere names no model."""
        self.identify(event.get("id"), None, events)
        if self.response_id is not None:
            self.merged.top["id"] = self.response_id

    def block_at(self, index: int) -> Block | None:
        """Return the last block of this number."""
        return self.merged.blocks.get(self._moved.get(index, index))

    def block(self, index: int, kind: str, facts: Mapping[str, Json], events: list[Event]) -> Block:
        """Return the block of this number and kind; open it if it is new."""
        known = self.block_at(index)
        if known is not None and known.kind == kind and known.is_open:
            return known
        if known is not None:  # one number for two blocks: the next free one
            self.close(known, events)
            self._moved[index] = index = max(self.merged.blocks) + 1
        self.begin(events)
        self.calling = False
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

    def close(self, block: Block, events: list[Event], *, citations: Sequence[Json] = ()) -> None:
        """End a block; `citations` go with a text."""
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
        """End all open blocks; texts wait for this, since their citations may come last."""
        texts = {index: block for index, block in sorted(self.merged.blocks.items()) if block.kind == "text"}
        cited: dict[int, list[Json]] = {index: [] for index in texts}
        for one in self.merged.citations if texts else ():
            index = one.get("content_index") if isinstance(one, dict) else None
            cited[index if isinstance(index, int) and index in texts else max(texts)].append(one)
        for index, block in sorted(self.merged.blocks.items()):
            self.close(block, events, citations=cited.get(index, ()))
