"""Read the arguments of tool calls that a model wrote, and write calls and tool results for a request."""

from __future__ import annotations

from typing import Final

from ..values.errors import InvalidProviderOutput, InvalidRequest
from ..values.events import ToolCallEvent, ToolInputError
from ..values.messages import Media, ProviderMetadata, Text, ToolCall, ToolResult
from ..values.provider_json import Json, JsonObject
from .json_values import decode_json, json_text

__all__ = [
    "NO_INPUT",
    "arguments_object",
    "arguments_text",
    "call_of",
    "given_input",
    "parse_arguments",
    "result_text",
]

#: Streamed arguments that say nothing: whatever else is known of them counts.
NO_INPUT: Final = ("", "{}")


def parse_arguments(raw: str) -> Json:
    """Decode the arguments that a model wrote; nothing at all stands for no arguments.

    An empty object before more JSON is a place-holder: what hosts that translate Anthropic's events begin a call with.

    Raises:
        InvalidProviderOutput: if it is not JSON.

    Example:
        >>> parse_arguments('{"city": "Paris"}'), parse_arguments(""), parse_arguments('{}{"city": "Paris"}')
        ({'city': 'Paris'}, {}, {'city': 'Paris'})
    """
    text = raw.strip()
    if text.startswith("{}") and text[2:].lstrip().startswith("{"):
        text = text[2:]
    return decode_json(text) if text else {}


def given_input(value: Json, what: str) -> str:
    """Write the input that a tool call begins with as the JSON text that deltas would have brought.

    Args:
        value: the input, as JSON or as the text of JSON.
        what: its name in the error.

    Raises:
        InvalidProviderOutput: if the input is nested too deeply to be written.
    """
    if value is None or isinstance(value, str):
        return value or ""
    try:
        return json_text(value, what=what)
    except InvalidRequest as error:
        raise InvalidProviderOutput(str(error)) from None


def call_of(
    id: str, name: str, raw: str, *, provider_executed: bool = False, metadata: ProviderMetadata | None = None
) -> tuple[ToolCall, ToolCallEvent | ToolInputError]:
    """Make the call that a model wrote, and the event that tells of it.

    Returns:
        The call; and its event, which is a ToolInputError where the arguments are not JSON.
    """
    try:
        arguments, whole = parse_arguments(raw), True
    except InvalidProviderOutput:
        arguments, whole = None, False
    call = ToolCall(
        id, name, arguments, raw_arguments=raw, provider_executed=provider_executed, provider_metadata=metadata
    )
    return call, ToolCallEvent(call) if whole else ToolInputError(id, name, raw=raw)


def arguments_text(call: ToolCall) -> str:
    """Return the arguments as JSON text: as the model wrote them, unless they were changed since.

    Raises:
        InvalidRequest: if they cannot be written as JSON.
    """
    raw = call.raw_arguments
    if raw and call.arguments is None:
        return raw
    if raw and raw.strip():
        try:
            if decode_json(raw) == call.arguments:
                return raw
        except InvalidProviderOutput:
            pass
    arguments = {} if call.arguments is None else call.arguments
    return json_text(arguments, what=f"the arguments of tool call {call.id!r}")


def arguments_object(call: ToolCall) -> JsonObject:
    """Return the arguments as the JSON object that some protocols want; what is none is put into one and not lost.

    Raises:
        InvalidRequest: if they cannot be written as JSON.

    Example:
        >>> arguments_object(ToolCall("call_1", "f", {"a": 1})), arguments_object(ToolCall("call_1", "f", [1]))
        ({'a': 1}, {'arguments': [1]})
    """
    arguments = call.arguments
    if arguments is None:
        raw = call.raw_arguments
        return {"arguments": raw} if raw and raw.strip() not in ("", "null") else {}
    plain = decode_json(json_text(arguments, what=f"the arguments of tool call {call.id!r}"))
    return plain if isinstance(plain, dict) else {"arguments": plain}


def result_text(result: ToolResult) -> tuple[str, tuple[Media, ...]]:
    """Return a tool's result as text, and the media that text cannot hold.

    Raises:
        InvalidRequest: if it cannot be written as JSON.

    Example:
        >>> result_text(ToolResult("call_1", "get_weather", {"temperature": 22}))
        ('{"temperature":22}', ())
    """
    value = result.result
    what = f"the result of tool call {result.id!r}"
    if value.type == "content":
        parts = value.value if isinstance(value.value, (list, tuple)) else (value.value,)
        text = "\n".join([part.text for part in parts if isinstance(part, Text)])
        return text, tuple([part for part in parts if isinstance(part, Media)])
    if value.type == "json" or (value.type == "error" and isinstance(value.value, (dict, list))):
        return json_text(value.value, what=what), ()
    return str(value.value), ()
