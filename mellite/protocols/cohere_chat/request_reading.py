"""Read a request as a client of Cohere's Chat has written it: the inverse of the request body."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from ...values.messages import Document, Message, Part, Reasoning, Text, ToolCall, ToolResult
from ...values.provider_json import Json
from ...values.request import Request
from ...values.tools import ToolChoice, ToolDefinition
from ..request_fields import (
    CallNames,
    Fields,
    call_written,
    joined_turns,
    media_of_url,
    options_read,
    schema_read,
    texts_read,
    tools_named,
)

__all__ = ["read"]

_NAMESPACE: Final = "cohere"
_OPTIONS: Final = {
    "max_tokens": "max_tokens",
    "temperature": "temperature",
    "top_p": "p",
    "top_k": "k",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "seed": "seed",
    "stop": "stop_sequences",
}
_CHOICES: Final = {"REQUIRED": "required", "NONE": "none"}


def read(body: Json) -> Request:
    """Return the request that a body stands for; what only Cohere knows of it becomes its ``provider_options``.

    Raises:
        InvalidRequest: for anything that is not such a body, or holds what a request cannot.

    Example:
        >>> read({"model": "m", "messages": [{"role": "user", "content": "Hi."}], "p": 0.5}).options.top_p
        0.5
    """
    fields = Fields(body, "")
    fields.take("stream")
    model = fields.text("model")
    system, messages = _conversation(fields.objects("messages"))
    _add_documents(fields, messages)
    strict = fields.flag("strict_tools") or None
    tools = tools_named([_tool(tool, strict=strict) for tool in fields.objects("tools")])
    choice = fields.text("tool_choice")
    options = options_read(fields, _OPTIONS, reasoning_budget=_budget(fields))
    rest = fields.rest()
    return Request(
        joined_turns(messages),
        model,
        system=tuple(system),
        tools=tools,
        tool_choice=None if choice is None else ToolChoice.of(_CHOICES.get(choice, "auto")),
        options=options,
        provider_options={_NAMESPACE: rest} if rest else {},
    )


def _budget(fields: Fields) -> int | None:
    """Take how much to think, if that is all that is said of it."""
    thinking = fields.inner("thinking")
    if thinking is None:
        return None
    said = thinking.rest()
    budget = said.get("token_budget")
    if said == {"type": "enabled", "token_budget": budget} and isinstance(budget, int):
        return budget
    if said == {"type": "disabled"}:
        return 0
    fields.put("thinking", said)
    return None


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
        elif role == "tool":
            id = entry.needed("tool_call_id")
            messages.append(Message("tool", (ToolResult(id, names.of(id), _result(entry)),)))
        else:
            raise entry.wrong(role, "role", "system, user, assistant or tool")
    return system, messages


def _content(entry: Fields) -> list[Part]:
    value = entry.take("content")
    if isinstance(value, str):
        return [Text(value)]
    if not isinstance(value, list):
        raise entry.wrong(value, "content", "a text, or a list of parts")
    parts: list[Part] = []
    for number, item in enumerate(value):
        part = Fields(item, f"{entry.place('content')}[{number}]")
        kind = part.take("type")
        if kind == "text":
            parts.append(Text(part.needed("text")))
        elif kind == "image_url":
            image = part.inner("image_url") or Fields({}, part.place("image_url"))
            found = media_of_url(image, image.needed("url"))
            detail = image.text("detail")
            noted = None if detail is None else {_NAMESPACE: {"detail": detail}}
            parts.append(type(found)(found.data, url=found.url, media_type=found.media_type, provider_metadata=noted))
        else:
            raise part.unknown(kind, ("text", "image_url"))
    return parts


def _add_documents(fields: Fields, messages: list[Message]) -> None:
    """Put the documents, which stand beside the messages, into the last one of the user."""
    documents = [_document(value, number) for number, value in enumerate(fields.items("documents"))]
    at = next((at for at in range(len(messages) - 1, -1, -1) if messages[at].role == "user"), None)
    if documents and at is not None:
        messages[at] = Message("user", (*messages[at].content, *documents))


def _document(value: Json, number: int) -> Document:
    if isinstance(value, str):
        return Document(value.encode("utf-8", "surrogatepass"), media_type="text/plain")
    data = Fields(value, f"documents[{number}]").take("data")
    if isinstance(data, Mapping) and isinstance(data.get("text"), str):
        text, title = data["text"], data.get("title")
        name = title if isinstance(title, str) else None
        return Document(text.encode("utf-8", "surrogatepass"), media_type="text/plain", filename=name)
    return Document(json.dumps(data).encode(), media_type="text/plain")


def _assistant(entry: Fields, names: CallNames) -> list[Part]:
    parts: list[Part] = []
    value = entry.take("content")
    citations, plan = entry.take("citations"), entry.take("tool_plan")
    if isinstance(value, str):
        value = [{"type": "text", "text": value}] if value else []
    for number, item in enumerate(value or ()):
        part = Fields(item, f"{entry.place('content')}[{number}]")
        kind = part.take("type")
        if kind == "text":
            parts.append(Text(part.needed("text")))
        elif kind == "thinking":
            parts.append(Reasoning(part.needed("thinking"), provider_metadata={_NAMESPACE: {}}))
        else:
            raise part.unknown(kind, ("text", "thinking"))
    noted = {_NAMESPACE: {"tool_plan": plan}} if plan else None
    for call in entry.objects("tool_calls"):
        function = call.inner("function") or Fields({}, call.place("function"))
        found = call_written(call.needed("id"), function.needed("name"), function.text("arguments") or "")
        parts.append(names.note(_with_plan(found, noted)))
    if citations and parts and isinstance(parts[-1], Text):
        parts[-1] = Text(parts[-1].text, provider_metadata={_NAMESPACE: {"citations": citations}})
    return parts


def _with_plan(call: ToolCall, noted: dict[str, dict[str, Json]] | None) -> ToolCall:
    if noted is None:
        return call
    return ToolCall(call.id, call.name, call.arguments, raw_arguments=call.raw_arguments, provider_metadata=noted)


def _result(entry: Fields) -> str:
    """Take what a tool gave: texts, and documents, whose data is shown as JSON."""
    value = entry.take("content")
    if isinstance(value, str):
        return value
    texts = []
    for number, item in enumerate(value if isinstance(value, list) else []):
        part = Fields(item, f"{entry.place('content')}[{number}]")
        kind = part.take("type")
        if kind == "text":
            texts.append(part.needed("text"))
        elif kind == "document":
            document = part.inner("document") or Fields({}, part.place("document"))
            data = document.take("data")
            texts.append(data if isinstance(data, str) else json.dumps(data))
        else:
            raise part.unknown(kind, ("text", "document"))
    return "\n".join(texts)


def _tool(entry: Fields, *, strict: bool | None) -> ToolDefinition:
    function = entry.inner("function") or Fields({}, entry.place("function"))
    return ToolDefinition(
        function.needed("name"),
        function.text("description") or "",
        input_schema=schema_read(function, "parameters"),
        strict=strict,
    )
