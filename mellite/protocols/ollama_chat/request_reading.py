"""Read a request as a client of Ollama has written it. https://github.com/ollama/ollama/blob/main/docs/api.md."""

from __future__ import annotations

from typing import Final

from ...values.messages import Message, Part, Reasoning, Text, ToolCall, ToolResult
from ...values.provider_json import Json
from ...values.request import Request
from ...values.tools import ToolDefinition
from ..request_fields import Fields, joined_turns, media_of, options_read, schema_read, tools_named

__all__ = ["read"]

_OPTIONS: Final = {
    "max_tokens": "num_predict",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "seed": "seed",
    "stop": "stop",
}
_TRANSPORT: Final = ("stream", "keep_alive")


def read(body: Json) -> Request:
    """Return the request that a body stands for; what only Ollama knows of it becomes its ``provider_options``.

    Raises:
        InvalidRequest: for anything that is not such a body, or holds what a request cannot.

    Example:
        >>> read({"model": "m", "messages": [{"role": "user", "content": "Hi."}], "options": {"seed": 1}}).options.seed
        1
    """
    fields = Fields(body, "")
    for name in _TRANSPORT:
        fields.take(name)
    model = fields.text("model")
    system: list[Text] = []
    messages: list[Message] = []
    calls: list[ToolCall] = []
    for entry in fields.objects("messages"):
        message = _message(entry, calls)
        if message.role == "system" and not messages:
            system += [part for part in message.content if isinstance(part, Text)]
        else:
            messages.append(message)
    tools = tools_named([_tool(tool) for tool in fields.objects("tools")])
    given = fields.inner("options") or Fields({}, "options")
    effort = _effort(fields)
    longest = given.take("num_predict")
    if isinstance(longest, int) and longest < 1:
        longest = None  # no limit, in Ollama's words
    given.put("num_predict", longest)
    options = options_read(given, _OPTIONS, reasoning_effort=effort)
    rest = {**given.rest(), **fields.rest()}
    return Request(
        joined_turns(messages),
        model,
        system=tuple(system),
        tools=tools,
        options=options,
        provider_options={"ollama": rest} if rest else {},
    )


def _effort(fields: Fields) -> str | None:
    """Take how hard to think: yes leaves it to the model, no is none at all."""
    think = fields.take("think")
    if isinstance(think, str):
        return think
    return "none" if think is False else None


def _message(entry: Fields, calls: list[ToolCall]) -> Message:
    role, text = entry.take("role"), entry.text("content") or ""
    if role == "system":
        return Message("system", (Text(text),))
    if role == "tool":
        return Message("tool", (_result(entry, text, calls),))
    if role == "assistant":
        return Message("assistant", _said(entry, text, calls))
    if role != "user":
        raise entry.wrong(role, "role", "system, user, assistant or tool")
    images = [media_of(entry, str(image), _type_of(str(image))) for image in entry.items("images")]
    said: list[Part] = [Text(text)] if text or not images else []
    return Message("user", [*said, *images])


def _result(entry: Fields, text: str, calls: list[ToolCall]) -> ToolResult:
    """Take what a tool gave: it answers the first open call with its id, or of its name."""
    id, name = entry.text("tool_call_id"), entry.text("tool_name") or entry.text("name")
    for call in calls:
        if id == call.id or (id is None and name in (None, call.name)):
            calls.remove(call)
            return ToolResult(call.id, call.name, text)
    return ToolResult(id or name or "", name or id or "", text)


def _said(entry: Fields, text: str, calls: list[ToolCall]) -> list[Part]:
    parts: list[Part] = []
    thinking = entry.text("thinking")
    if thinking:
        parts.append(Reasoning(thinking))
    if text:
        parts.append(Text(text))
    for number, each in enumerate(entry.objects("tool_calls")):
        function = each.inner("function") or Fields({}, each.place("function"))
        id = each.text("id") or f"call_{len(calls)}_{number}"
        found = ToolCall(id, function.needed("name"), function.take("arguments") or {})
        calls.append(found)
        parts.append(found)
    return parts


#: How base64 of pictures begins -> their type: Ollama's clients say none.
_BEGINNINGS: Final = {"iVBOR": "image/png", "/9j/": "image/jpeg", "R0lGOD": "image/gif", "UklGR": "image/webp"}


def _type_of(image: str) -> str:
    return next((kind for beginning, kind in _BEGINNINGS.items() if image.startswith(beginning)), "image/png")


def _tool(entry: Fields) -> ToolDefinition:
    function = entry.inner("function") or Fields({}, entry.place("function"))
    found = schema_read(function, "parameters")
    return ToolDefinition(function.needed("name"), function.text("description") or "", input_schema=found)
