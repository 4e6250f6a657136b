"""The events that complete an output item of Responses, by its type: what is left of it, and what it stands for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from ...values.errors import InvalidProviderOutput
from ...values.events import (
    Event,
    ReasoningEnd,
    ReasoningStart,
    ToolCallEvent,
    ToolInputEnd,
    ToolInputError,
    ToolResultEvent,
)
from ...values.messages import ToolCall, ToolResult, ToolValue
from ...values.provider_json import Json
from ..json_values import wrong
from ..tool_calls import parse_arguments
from .agreement import agreed_arguments
from .answer import APPROVAL, HOSTED, arguments_of_hosted
from .pieces import CALLS, Item, Kind

__all__ = ["closing"]

#: Calls of tools that OpenAI defines and the caller has to run; and what to call those tools.
_OTHER_CALLS: Final[Mapping[str, str]] = {
    "apply_patch_call": "apply_patch",
    "computer_call": "computer",
    "local_shell_call": "local_shell",
    "shell_call": "shell",
}


def closing(item: Item, *, id: str, cut_short: bool, grows: bool) -> Iterator[Event]:
    """Complete an item, as far as it got.

    Args:
        item: the item; it counts as closed from now on.
        id: what to call a tool call that has no id.
        cut_short: the answer hit its limit, so that a call which is not whole is not a call.
        grows: whether texts that were not streamed may still be given, because nothing was said after the item.

    Raises:
        InvalidProviderOutput: for a call without a name, or whose arguments contradict what was streamed.
    """
    item.closed = True
    if item.type in CALLS:
        yield from _call(item, id, cut_short=cut_short or item.raw.get("status") == "incomplete")
    elif item.type == "message":
        yield from _message(item, grows=grows)
    elif item.type == "reasoning":
        yield from _reasoning(item, grows=grows)
    elif item.type in _OTHER_CALLS and not _is_contained(item):
        yield from _other_call(item, id)
    elif item.type in _BY_PROVIDER:
        yield from _BY_PROVIDER[item.type](item, id)
    elif isinstance(item.raw.get("encrypted_content"), str):  # such as what is left of a history made shorter
        yield from _kept(item, {"item": item.raw})


# Texts


def _message(item: Item, *, grows: bool) -> Iterator[Event]:
    yield from _grown(item, "output_text", grows=grows)
    for block in item.blocks.values():
        if block.open:
            yield item.ended(block, phase=item.raw.get("phase"))


def _reasoning(item: Item, *, grows: bool) -> Iterator[Event]:
    yield from _grown(item, "summary_text", grows=grows)
    yield from _grown(item, "reasoning_text", grows=grows)
    encrypted = item.raw.get("encrypted_content")
    if item.thought is not None:
        yield item.ended(item.thought, encrypted_content=encrypted)
    elif item.id or encrypted:
        yield from _kept(item, {"item_id": item.id or None, "encrypted_content": encrypted})


def _grown(item: Item, kind: Kind, *, grows: bool) -> Iterator[Event]:
    if item.final or not item.blocks:  # else what is said of it as a whole is from its beginning
        yield from item.grow(kind, grows=grows)


def _kept(item: Item, facts: Mapping[str, Json]) -> Iterator[Event]:
    """Give an empty block of thinking, for what is only there to be sent back."""
    id = item.id or f"reasoning-{item.number}"
    noted = {name: value for name, value in facts.items() if value is not None}
    yield ReasoningStart(id)
    yield ReasoningEnd(id, provider_metadata={item.namespace: noted})


# Calls that the caller has to run


def _call(item: Item, id: str, *, cut_short: bool) -> Iterator[Event]:
    if not item.name:
        if cut_short:
            return
        raise wrong(item.name, f"the name of tool call {item.call_id or item.id!r}", "a text")
    item.call_id = item.call_id or item.id or id
    said = "".join(item.pieces)
    begun = item.raw.get(CALLS[item.type])  # by the item's first event, for hosts that say no more
    if not said and not item.written and isinstance(begun, str):
        item.written = begun
    is_custom = item.type == "custom_tool_call"
    if cut_short:
        raw = item.written or said
    else:
        raw = agreed_arguments(f"the arguments of {item.shown}", said, item.written, is_json=not is_custom)
    item.arguments = raw
    if raw and not item.pieces:  # it only came as a whole
        yield from item.write_input(raw)
    yield from item.start()
    metadata = item.noted(kind=item.type if is_custom else None, namespace=item.raw.get("namespace"))
    yield ToolInputEnd(item.call_id, item.name, provider_metadata=metadata)
    try:
        arguments = parse_arguments(raw)
    except InvalidProviderOutput:
        arguments = None
        if not is_custom:  # whose input may be any text
            yield ToolInputError(item.call_id, item.name, raw=raw)
        if cut_short:
            item.started = False
            return
    yield ToolCallEvent(ToolCall(item.call_id, item.name, arguments, raw_arguments=raw, provider_metadata=metadata))


def _other_call(item: Item, id: str) -> Iterator[Event]:
    item.started = True
    item.call_id = item.call_id or item.id or id
    arguments = item.raw.get("action", item.raw.get("operation"))
    metadata = item.noted(item=item.raw)
    yield ToolCallEvent(ToolCall(item.call_id, _OTHER_CALLS[item.type], arguments, provider_metadata=metadata))


# Tools that the provider runs


def _hosted(item: Item, id: str) -> Iterator[Event]:
    id = item.id or item.call_id or id
    name = HOSTED[item.type]
    metadata = item.noted()
    error = item.raw.get("error")
    result = ToolValue("json", item.raw) if error is None else ToolValue("error", error)
    arguments = arguments_of_hosted(item.raw)
    yield ToolCallEvent(ToolCall(id, name, arguments, provider_executed=True, provider_metadata=metadata))
    yield ToolResultEvent(ToolResult(id, name, result, provider_executed=True, provider_metadata=metadata))


def _approval(item: Item, id: str) -> Iterator[Event]:
    """Give the call that the provider would make of a tool of an MCP server, if the caller approves."""
    item.started = True
    written = item.raw.get("arguments")
    raw = written if isinstance(written, str) else None
    try:
        arguments = written if raw is None else parse_arguments(raw)
    except InvalidProviderOutput:
        arguments = None
    call = ToolCall(
        item.id or id,
        item.name or "mcp",
        arguments,
        raw_arguments=raw,
        provider_executed=True,
        provider_metadata=item.noted(item=item.raw),
    )
    yield ToolCallEvent(call)


def _contained(item: Item, id: str) -> Iterator[Event]:
    """Give a call of a shell in a container of the provider; what came of it is an item of its own."""
    id = item.call_id or item.id or id
    metadata = item.noted()
    if item.type == "shell_call":
        arguments = arguments_of_hosted(item.raw)
        yield ToolCallEvent(ToolCall(id, "shell", arguments, provider_executed=True, provider_metadata=metadata))
    else:
        result = ToolValue("json", item.raw.get("output"))
        yield ToolResultEvent(ToolResult(id, "shell", result, provider_executed=True, provider_metadata=metadata))


def _is_contained(item: Item) -> bool:
    """Tell whether a shell call ran in a container of the provider."""
    environment = item.raw.get("environment")
    kind = environment.get("type") if isinstance(environment, Mapping) else None
    return item.type == "shell_call" and isinstance(kind, str) and kind.startswith("container")


_BY_PROVIDER: Final[Mapping[str, Callable[[Item, str], Iterator[Event]]]] = {
    **dict.fromkeys(HOSTED, _hosted),
    APPROVAL: _approval,
    "shell_call": _contained,
    "shell_call_output": _contained,
}
