"""Read a request as a client of Chat Completions has written it: the inverse of the request body."""

from __future__ import annotations

from typing import Final

from ...values.messages import Audio, Document, Media, Message, Part, Reasoning, Text, ToolCall, ToolResult
from ...values.provider_json import Json
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
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "seed": "seed",
    "stop": "stop",
    "reasoning_effort": "reasoning_effort",
    "parallel_tool_calls": "parallel_tool_calls",
}

#: Fields that say how the answer comes, and not what it is.
_TRANSPORT: Final = ("stream", "stream_options", "store")
_PARTS: Final = ("text", "image_url", "input_audio", "file")
_MODES: Final = ("auto", "none", "required")


def read(body: Json) -> Request:
    """Return the request that a body stands for; what only OpenAI knows of it becomes its ``provider_options``.

    Raises:
        InvalidRequest: for anything that is not such a body, or holds what a request cannot.

    Example:
        >>> read({"model": "m", "messages": [{"role": "user", "content": "Hi."}], "max_tokens": 5}).options.max_tokens
        5
    """
    fields = Fields(body, "")
    for name in _TRANSPORT:
        fields.take(name)
    model = fields.text("model")
    system, messages = _conversation(fields.objects("messages"))
    tools = tools_named([_tool(tool) for tool in fields.objects("tools")])
    choice = _choice(fields)
    longest, older = fields.take("max_completion_tokens"), fields.take("max_tokens")
    options = options_read(fields, _OPTIONS, max_tokens=older if longest is None else longest)
    rest = fields.rest()
    return Request(
        joined_turns(messages),
        model,
        system=tuple(system),
        tools=tools,
        tool_choice=choice,
        options=options,
        provider_options={"openai": rest} if rest else {},
    )


def _conversation(entries: list[Fields]) -> tuple[list[Text], list[Message]]:
    system: list[Text] = []
    messages: list[Message] = []
    names = CallNames()
    for entry in entries:
        role = entry.take("role")
        if role in ("system", "developer"):
            texts = texts_read(entry, "content")
            if messages:
                messages.append(Message("system", texts))
            else:
                system += texts
        elif role == "user":
            messages.append(Message("user", _content(entry)))
        elif role == "assistant":
            messages.append(Message("assistant", _assistant(entry, names)))
        elif role in ("tool", "function"):
            id = entry.text("tool_call_id") or entry.text("name") or ""
            text = "\n".join([part.text for part in texts_read(entry, "content")])
            messages.append(Message("tool", (ToolResult(id, names.of(id), text),)))
        else:
            raise entry.wrong(role, "role", "system, developer, user, assistant or tool")
    return system, messages


def _content(entry: Fields) -> list[Part]:
    value = entry.take("content")
    if isinstance(value, str):
        return [Text(value)]
    if not isinstance(value, list):
        raise entry.wrong(value, "content", "a text, or a list of parts")
    return [_part(Fields(part, f"{entry.place('content')}[{number}]")) for number, part in enumerate(value)]


def _part(part: Fields) -> Part:
    kind = part.take("type")
    if kind == "text":
        return Text(part.needed("text"))
    if kind == "image_url":
        image = part.inner("image_url") or Fields({}, part.place("image_url"))
        found = media_of_url(image, image.needed("url"))
        detail = image.text("detail")
        noted = None if detail is None else {"openai": {"detail": detail}}
        return type(found)(found.data, url=found.url, media_type=found.media_type, provider_metadata=noted)
    if kind == "input_audio":
        audio = part.inner("input_audio") or Fields({}, part.place("input_audio"))
        form = audio.text("format") or "wav"
        return media_of(audio, audio.needed("data"), f"audio/{'mpeg' if form == 'mp3' else form}")
    if kind == "file":
        return _file(part.inner("file") or Fields({}, part.place("file")))
    raise part.unknown(kind, _PARTS)


def _file(file: Fields) -> Media:
    name, data = file.text("filename"), file.text("file_data")
    if data is None:
        raise file.wrong(None, "file_data", "the file as a data URL: a file_id is known to OpenAI alone")
    found = media_of_url(file, data, Document, filename=name) if data.startswith("data:") else None
    found = found or media_of(file, data, "application/pdf", filename=name)
    return found if not (found.media_type or "").startswith("audio/") else Audio(found.data, filename=name)


def _assistant(entry: Fields, names: CallNames) -> list[Part]:
    parts: list[Part] = []
    thinking = entry.text("reasoning_content") or entry.text("reasoning")
    details = entry.take("reasoning_details")
    if thinking or details:
        noted = {"openai": {"reasoning_details": details}} if details else None
        parts.append(Reasoning(thinking or "", provider_metadata=noted))
    texts = _said(entry)
    parts += [text for text in texts if text.text]
    refusal = entry.text("refusal")
    if refusal and not texts:
        parts.append(Text(refusal))
    for call in entry.objects("tool_calls"):
        parts.append(names.note(_call(call)))
    older = entry.inner("function_call")
    if older is not None:
        name = older.needed("name")
        parts.append(names.note(call_written(name, name, older.text("arguments") or "")))
    return parts


def _said(entry: Fields) -> list[Text]:
    """Take what the model said; a refusal is text, too."""
    value = entry.take("content")
    if value is None or isinstance(value, str):
        return [Text(value)] if value else []
    texts = []
    for number, item in enumerate(value if isinstance(value, list) else [value]):
        part = Fields(item, f"{entry.place('content')}[{number}]")
        kind = part.take("type")
        if kind not in ("text", "refusal"):
            raise part.unknown(kind, ("text", "refusal"))
        texts.append(Text(part.needed(kind)))
    return texts


def _call(entry: Fields) -> ToolCall:
    id, kind = entry.needed("id"), entry.take("type")
    if kind not in (None, "function"):
        raise entry.unknown(kind, ("function",))
    function = entry.inner("function") or Fields({}, entry.place("function"))
    return call_written(id, function.needed("name"), function.text("arguments") or "")


def _tool(entry: Fields) -> ToolDefinition:
    kind = entry.take("type")
    if kind not in (None, "function"):
        raise entry.unknown(kind, ("function",))
    function = entry.inner("function") or Fields({}, entry.place("function"))
    return ToolDefinition(
        function.needed("name"),
        function.text("description") or "",
        input_schema=schema_read(function, "parameters"),
        strict=function.flag("strict") or None,
    )


def _choice(fields: Fields) -> ToolChoice | None:
    value = fields.take("tool_choice")
    if value is None:
        return None
    if isinstance(value, str) and value in _MODES:
        return ToolChoice.of(value)
    chosen = Fields(value, "tool_choice")
    function = chosen.inner("function")
    if function is None:
        raise chosen.wrong(None, "function", "an object with a name")
    return ToolChoice("tool", function.needed("name"))
