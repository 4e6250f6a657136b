"""Shorten a history from its oldest turn on, without parting a tool call from its result."""

from __future__ import annotations

from collections.abc import Sequence

from ...values.messages import Message, ToolCall, ToolResult

__all__ = ["cuts", "without_before"]


def cuts(messages: Sequence[Message]) -> list[int]:
    """Return where a history may begin: the indices of the messages that begin a turn, and its length.

    A turn begins with a message of the user and ends before the next one; several in a row are one turn. What lies
    between a tool call and its result is one turn as well.
    """
    found = []
    previous: Message | None = None
    for index, message in enumerate(messages):
        if message.role == "system":
            continue
        if previous is None or (_asks(message) and not _asks(previous)):
            found.append(index)
        previous = message
    parted = [(call, result) for call, result in _pairs(messages) if call < result]
    return [cut for cut in (*found, len(messages)) if not any(call < cut <= result for call, result in parted)]


def _asks(message: Message) -> bool:
    return message.role == "user" and not any(isinstance(part, ToolResult) for part in message.content)


def _pairs(messages: Sequence[Message]) -> list[tuple[int, int]]:
    """Return the indices of the messages with a call and with its result."""
    calls: dict[str, int] = {}
    pairs = []
    for index, message in enumerate(messages):
        for part in message.content:
            if isinstance(part, ToolCall):
                calls[part.id] = index
            elif isinstance(part, ToolResult) and part.id in calls:
                pairs.append((calls[part.id], index))
    return pairs


def without_before(messages: Sequence[Message], cut: int) -> tuple[Message, ...]:
    """Return the messages from an index on, after all messages of the system before it."""
    return (*[message for message in messages[:cut] if message.role == "system"], *messages[cut:])
