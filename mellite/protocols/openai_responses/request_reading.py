"""Read a request as a client of OpenAI Responses has written it: the inverse of the request body."""

from __future__ import annotations

from typing import Final

from ...values.messages import (
    Document,
    Message,
    Part,
    Reasoning,
    Text,
    ToolCall,
    ToolResult,
    ToolValue,
)
from ...values.provider_json import Json, JsonObject
from ...values.request import Request
from ...values.tools import ToolChoice, ToolDefinition
from ..request_fields import (
    CallNames,
    Fields,
    call_written,
    joined_turns,
    media_of,
    media_of_url,
    options_read,
    schema_read,
    texts_read,
    tools_named,
)

__all__ = ["read"]

_OPTIONS: Final = {
    "max_tokens": "max_output_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "parallel_tool_calls": "parallel_tool_calls",
}
_NAMESPACE: Final = "openai"

#: Fields that say how the answer comes or is kept, and not what it is.
_TRANSPORT: Final = ("stream", "stream_options", "store", "background", "type")
_PARTS: Final = ("input_text", "input_image", "input_file", "output_text", "refusal")
_MODES: Final = ("auto", "none", "required")
_OUTPUT: Final = "_output"


def read(body: Json) -> Request:
    """Return the request that a body stands for; what only OpenAI knows of it becomes its ``provider_options``.

    Raises:
        InvalidRequest: for anything that is not such a body, or holds what a request cannot.

    Example:
        >>> read({"model": "m", "input": "Hi.", "max_output_tokens": 5}).text
        'Hi.'
    """
    fields = Fields(body, "")
    for name in _TRANSPORT:
        fields.take(name)
    model, instructions = fields.text("model"), fields.text("instructions")
    system, messages = _conversation(fields)
    tools = tools_named([_tool(tool) for tool in fields.objects("tools")])
    choice = _choice(fields)
    options = options_read(fields, _OPTIONS, reasoning_effort=_effort(fields))
    rest = fields.rest()
    return Request(
        joined_turns(messages),
        model,
        system=(*([Text(instructions)] if instructions else []), *system),
        tools=tools,
        tool_choice=choice,
        options=options,
        provider_options={_NAMESPACE: rest} if rest else {},
    )


def _effort(fields: Fields) -> str | None:
    """Take how hard to think; what else is said of thinking is for OpenAI alone."""
    reasoning = fields.inner("reasoning")
    if reasoning is None:
        return None
    effort, rest = reasoning.text("effort"), reasoning.rest()
    if rest:
        fields.put("reasoning", rest)
    return effort


def _conversation(fields: Fields) -> tuple[list[Text], list[Message]]:
    value = fields.take("input")
    if value is None or isinstance(value, str):
        return [], [Message.user(value or "")]
    fields.put("input", value)
    system: list[Text] = []
    messages: list[Message] = []
    names = CallNames()
    for item in fields.objects("input"):
        message = _message(item, names)
        if message.role == "system" and not messages:
            system += [part for part in message.content if isinstance(part, Text)]
        elif message.role == "assistant" and messages and messages[-1].role == "assistant":
            messages[-1] = Message("assistant", (*messages[-1].content, *message.content))
        else:
            messages.append(message)
    return system, messages


def _message(item: Fields, names: CallNames) -> Message:
    kind, role = item.take("type"), item.take("role")
    if kind in (None, "message"):
        if role in ("system", "developer"):
            return Message("system", texts_read(item, "content"))
        if role == "user":
            return Message("user", _content(item, "content"))
        if role == "assistant":
            return Message("assistant", _said(item))
        raise item.wrong(role, "role", "system, developer, user or assistant")
    if kind == "reasoning":
        return Message("assistant", _thinking(item))
    if kind == "function_call":
        call = call_written(item.needed("call_id"), item.needed("name"), item.text("arguments") or "")
        return Message("assistant", (names.note(call),))
    if kind == "custom_tool_call":
        raw = item.text("input") or ""
        noted = {_NAMESPACE: {"kind": kind}}
        call = ToolCall(item.needed("call_id"), item.needed("name"), raw, raw_arguments=raw, provider_metadata=noted)
        return Message("assistant", (names.note(call),))
    if isinstance(kind, str) and kind.endswith(_OUTPUT) and "call_id" in item:
        return Message("tool", (_result(item, names),))
    if kind == "item_reference":
        known = "what it refers to: answers are not kept here; send the item itself, with store=False"
        raise item.wrong(item.take("id"), "id", known)
    # Of a tool that OpenAI runs itself: it means something only to OpenAI, which gets it back as it was.
    whole: JsonObject = {"type": kind, **({} if role is None else {"role": role}), **item.rest()}
    return Message("assistant", (Reasoning("", provider_metadata={_NAMESPACE: {"item": whole}}),))


def _content(item: Fields, name: str) -> list[Part]:
    value = item.take(name)
    if isinstance(value, str):
        return [Text(value)]
    if not isinstance(value, list):
        raise item.wrong(value, name, "a text, or a list of parts")
    return [_part(Fields(part, f"{item.place(name)}[{number}]")) for number, part in enumerate(value)]


def _part(part: Fields) -> Part:
    kind = part.take("type")
    if kind in ("input_text", "output_text", "text"):
        return Text(part.needed("text"))
    if kind == "input_image":
        if part.text("file_id"):
            raise part.wrong(None, "image_url", "a URL: a file_id is known to OpenAI alone")
        found = media_of_url(part, part.needed("image_url"))
        detail = part.text("detail")
        noted = None if detail is None else {_NAMESPACE: {"detail": detail}}
        return type(found)(found.data, url=found.url, media_type=found.media_type, provider_metadata=noted)
    if kind == "input_file":
        name, url, data = part.text("filename"), part.text("file_url"), part.text("file_data")
        if url is not None:
            return media_of_url(part, url, Document, filename=name)
        if data is None:
            raise part.wrong(None, "file_data", "the file as a data URL: a file_id is known to OpenAI alone")
        if data.startswith("data:"):
            return media_of_url(part, data, Document, filename=name)
        return media_of(part, data, "application/pdf", filename=name)
    raise part.unknown(kind, _PARTS)


def _said(item: Fields) -> list[Part]:
    """Take what the model said; the texts of an item of its own belong together."""
    id, phase = item.text("id"), item.text("phase")
    value = item.take("content")
    if isinstance(value, str):
        value = [{"type": "output_text", "text": value}]
    known = {name: said for name, said in (("item_id", id), ("phase", phase)) if said is not None}
    noted = {_NAMESPACE: known} if known else None
    parts: list[Part] = []
    for number, entry in enumerate(value if isinstance(value, list) else [value]):
        part = Fields(entry, f"{item.place('content')}[{number}]")
        kind = part.take("type")
        if kind not in ("output_text", "input_text", "text", "refusal"):
            raise part.unknown(kind, ("output_text", "refusal"))
        parts.append(Text(part.needed("refusal" if kind == "refusal" else "text"), provider_metadata=noted))
    return parts


def _thinking(item: Fields) -> list[Part]:
    """Take an item of thinking: a part for each piece of its summary, or of the thinking itself."""
    id, encrypted = item.text("id"), item.text("encrypted_content")
    shown = [part.needed("text") for part in item.objects("summary")]
    open_ = [part.needed("text") for part in item.objects("content")]
    known = {"item_id": id, "encrypted_content": encrypted, **({"kind": "reasoning_text"} if open_ else {})}
    noted = {_NAMESPACE: {name: value for name, value in known.items() if value is not None}}
    texts = open_ or shown or [""]
    if id is None and not open_:
        return [Reasoning(text, encrypted=encrypted) for text in texts]
    return [Reasoning(text, provider_metadata=noted) for text in texts]


def _result(item: Fields, names: CallNames) -> ToolResult:
    id, value = item.needed("call_id"), item.take("output")
    if isinstance(value, str):
        return ToolResult(id, names.of(id), value)
    if not isinstance(value, list):
        return ToolResult(id, names.of(id), ToolValue("json", value))
    item.put("output", value)
    return ToolResult(id, names.of(id), ToolValue("content", tuple(_content(item, "output"))))


def _tool(entry: Fields) -> ToolDefinition:
    """Read a function; tools of other types are kept as they are, for OpenAI."""
    kind = entry.take("type")
    if kind != "function":
        whole = {"type": kind, **entry.rest()}
        name = entry.text("name") or str(kind)
        return ToolDefinition(name, entry.text("description") or "", native={_NAMESPACE: whole})
    return ToolDefinition(
        entry.needed("name"),
        entry.text("description") or "",
        input_schema=schema_read(entry, "parameters"),
        strict=entry.flag("strict") or None,
    )


def _choice(fields: Fields) -> ToolChoice | None:
    value = fields.take("tool_choice")
    if value is None:
        return None
    if isinstance(value, str) and value in _MODES:
        return ToolChoice.of(value)
    chosen = Fields(value, "tool_choice")
    kind = chosen.text("type")
    return ToolChoice("tool", chosen.text("name") or kind or "")
