"""The blocks of an Anthropic answer: how each begins, grows and ends, and the events that it stands for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
from ...values.messages import ToolResult, ToolValue
from ...values.provider_json import Json
from ..json_values import wrong
from ..tool_calls import NO_INPUT, call_of
from .answer import Block
from .state import State

__all__ = ["begin_block", "end_block", "grow"]


def begin_block(state: State, index: int, fields: Mapping[str, Json], events: list[Event]) -> Block:
    """Begin a block of this number; end the one that had the number before.

    Raises:
        InvalidProviderOutput: for a tool call without a name.
    """
    before = state.blocks.get(index)
    if before is not None:
        end_block(state, before, events)
        state.past.append(before)
        del state.blocks[index]
    state.begin(events)
    block = state.blocks[index] = Block(index, fields)
    first = block.first_piece()
    if first or block.kind not in ("text", "thinking"):
        state.go_on()
    if block.kind == "text":
        events.append(TextStart(block.event_id))
    elif block.kind == "thinking":
        events.append(ReasoningStart(block.event_id))
    elif block.kind == "call":
        _begin_call(state, block, events)
    events += grow(block, first)
    return block


def _begin_call(state: State, block: Block, events: list[Event]) -> None:
    name, id = block.fields.get("name"), block.fields.get("id")
    if not isinstance(name, str) or not name:
        raise wrong(name, "the name of a tool call", "a text")
    if not isinstance(id, str) or not id:  # a call needs one, to be answered
        id = block.fields["id"] = f"toolu_{state.message.get('id')}_{block.index}"
    block.event_id = id
    if block.hosted:
        state.names[id] = name
    events.append(ToolInputStart(id, name, provider_executed=block.hosted))


def grow(block: Block, text: str) -> Sequence[Event]:
    """Take one more piece of a block; hosts do send empty ones."""
    if not text:
        return ()
    block.pieces.append(text)
    if block.kind == "text":
        return (TextDelta(text, block.event_id),)
    if block.kind == "thinking":
        return (ReasoningDelta(text, block.event_id),)
    return (ToolInputDelta(block.event_id, block.fields["name"], text),)


def end_block(state: State, block: Block, events: list[Event]) -> None:
    """End a block, unless it has ended."""
    if not block.open:
        return
    block.open = False
    if block.kind == "text":
        events.append(TextEnd(block.event_id, provider_metadata=block.noted("type")))
    elif block.kind == "thinking":
        events.append(ReasoningEnd(block.event_id, provider_metadata=block.noted("type")))
    elif block.kind == "call":
        _end_call(state, block, events)
    elif block.kind == "result":
        events.append(_result(state, block))
    else:  # redacted thinking, and what is new: no part of a message can hold it, but it has to come back
        redacted = block.type == "redacted_thinking"
        known = {"redacted_data": block.fields.get("data")} if redacted else {"block": block.fields}
        events.append(ReasoningStart(block.event_id))
        events.append(ReasoningEnd(block.event_id, provider_metadata={"anthropic": known}))


def _end_call(state: State, block: Block, events: list[Event]) -> None:
    id, name, hosted = block.event_id, block.fields["name"], block.hosted
    if block.given and block.raw.strip() in NO_INPUT:  # no delta brought the input, which it began with
        events += grow(block, block.given)
    raw = block.raw
    metadata = block.noted("id", "name", *([] if hosted else ["type"]))
    events.append(ToolInputEnd(id, name, provider_executed=hosted, provider_metadata=metadata))
    call, told = call_of(id, name, raw, provider_executed=hosted, metadata=metadata)
    events.append(told)
    if not isinstance(told, ToolCallEvent):
        state.broken.append(call)


def _result(state: State, block: Block) -> ToolResultEvent:
    """Return the result of a tool of the server; its call may be in an earlier answer, where the turn was paused."""
    fields = block.fields
    id, content = str(fields.get("tool_use_id") or ""), fields.get("content")
    name = state.names.get(id) or block.type.removesuffix("_tool_result")
    failed = isinstance(content, dict) and str(content.get("type")).endswith("_tool_result_error")
    value = ToolValue("error" if failed or fields.get("is_error") else "json", content)
    known = block.noted("content", "tool_use_id")
    return ToolResultEvent(ToolResult(id, name, value, provider_executed=True, provider_metadata=known))
