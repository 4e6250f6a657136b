"""The tools of a request: what their definitions say, and which of them the model must or may call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..values.errors import InvalidRequest
from ..values.provider_json import Json, JsonObject
from ..values.tools import ToolChoice, ToolDefinition

__all__ = ["input_schema", "native_notes", "possible", "unknown_tool"]


def input_schema(tool: ToolDefinition) -> JsonObject:
    """Return the JSON Schema of a tool's input as the object that servers want.

    Example:
        >>> input_schema(ToolDefinition("now", "The time."))
        {'properties': {}, 'type': 'object'}
    """
    return {"properties": {}, **tool.input_schema, "type": "object"}


def native_notes(tool: ToolDefinition, namespace: str) -> Mapping[str, Json]:
    """Return what a tool's definition says for one provider alone.

    Raises:
        InvalidRequest: if the notes are not a mapping.
    """
    native: object = (tool.native or {}).get(namespace) or {}
    if not isinstance(native, Mapping):
        msg = f"the native notes of tool {tool.name!r} under {namespace!r} must be a mapping, not {native!r}"
        raise InvalidRequest(msg, parameter="tools")
    return native


def possible(choice: ToolChoice | None, names: Sequence[str]) -> ToolChoice | None:
    """Return the choice, if there are tools to choose from.

    Args:
        choice: what the request says.
        names: the tools that can be called.

    Raises:
        InvalidRequest: if the choice names a tool that is not there, or requires a call where there is no tool.

    Example:
        >>> possible(ToolChoice("auto"), []), possible(ToolChoice("auto"), ["now"])
        (None, ToolChoice(type='auto', name=None))
    """
    if choice is None:
        return None
    if choice.type == "tool" and choice.name not in names:
        raise unknown_tool(choice, names)
    if choice.type == "required" and not names:
        msg = "tool_choice 'required' needs tools to choose from"
        raise InvalidRequest(msg, parameter="tool_choice")
    return choice if names else None


def unknown_tool(choice: ToolChoice, names: Sequence[str]) -> InvalidRequest:
    """Return the error for a choice of a tool that is not there."""
    msg = f"tool_choice names {choice.name!r}, which is not among the tools {', '.join(names) or '(none)'}"
    return InvalidRequest(msg, parameter="tool_choice")
