"""Read a request as a client of Anthropic Messages has written it: the inverse of the request body."""

from __future__ import annotations

from typing import Final

from ...values.messages import (
    CacheHint,
    Document,
    Image,
    Media,
    Message,
    Part,
    Reasoning,
    Text,
    ToolCall,
    ToolResult,
    ToolValue,
)
from ...values.provider_json import Json
from ...values.request import Request
from ...values.tools import ToolChoice, ToolDefinition
from ..request_fields import CallNames, Fields, media_of, options_read, schema_read, tools_named

__all__ = ["read"]

_OPTIONS: Final = {
    "max_tokens": "max_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "stop": "stop_sequences",
}
_BLOCKS: Final = ("text", "image", "document", "tool_use", "tool_result", "thinking", "redacted_thinking")
_CHOICES: Final = {"auto": "auto", "any": "required", "none": "none"}
_HOUR: Final = 3600


def read(body: Json) -> Request:
    """Return the request that a body stands for; what only Anthropic knows of it becomes its ``provider_options``.

    Raises:
        InvalidRequest: for anything that is not such a body, or holds what a request cannot.

    Example:
        >>> read({"model": "m", "messages": [{"role": "user", "content": "Hi."}], "max_tokens": 5}).text
        'Hi.'
    """
    fields = Fields(body, "")
    fields.take("stream")
    model = fields.text("model")
    system = _system(fields)
    names = CallNames()
    messages = [message for entry in fields.objects("messages") for message in _messages(entry, names)]
    tools = tools_named([_tool(tool) for tool in fields.objects("tools")])
    choice, parallel = _choice(fields)
    options = options_read(
        fields,
        _OPTIONS,
        parallel_tool_calls=parallel,
        reasoning_budget=_budget(fields),
        reasoning_effort=_effort(fields),
    )
    rest = fields.rest()
    return Request(
        tuple(messages),
        model,
        system=tuple(system),
        tools=tools,
        tool_choice=choice,
        options=options,
        cache="none",  # the client has marked what it wants to be marked
        provider_options={"anthropic": rest} if rest else {},
    )


def _budget(fields: Fields) -> int | None:
    """Take how much to think, if that is all that is said of it; anything else is for Anthropic alone."""
    thinking = fields.inner("thinking")
    if thinking is None:
        return None
    said = thinking.rest()
    budget = said.get("budget_tokens")
    if said == {"type": "enabled", "budget_tokens": budget} and isinstance(budget, int):
        return budget
    if said == {"type": "disabled"}:
        return 0
    fields.put("thinking", said)
    return None


def _effort(fields: Fields) -> str | None:
    config = fields.inner("output_config")
    if config is None:
        return None
    effort = config.text("effort")
    rest = config.rest()
    if rest:
        fields.put("output_config", rest)
    return effort


def _system(fields: Fields) -> list[Text]:
    value = fields.take("system")
    if value is None:
        return []
    if isinstance(value, str):
        return [Text(value)]
    return [_text(Fields(block, f"system[{number}]")) for number, block in enumerate(_blocks(fields, "system", value))]


def _blocks(fields: Fields, name: str, value: Json) -> list[Json]:
    if not isinstance(value, list):
        raise fields.wrong(value, name, "a text, or a list of blocks")
    return value


def _text(block: Fields) -> Text:
    kind = block.take("type")
    if kind != "text":
        raise block.unknown(kind, ("text",))
    return _text_part(block)


def _text_part(block: Fields) -> Text:
    citations = block.take("citations")
    noted = {"anthropic": {"citations": citations}} if citations else None
    return Text(block.needed("text"), cache=_cache(block), provider_metadata=noted)


def _cache(block: Fields) -> CacheHint | None:
    mark = block.inner("cache_control")
    if mark is None:
        return None
    return CacheHint(ttl_seconds=_HOUR) if mark.text("ttl") == "1h" else CacheHint()


def _messages(entry: Fields, names: CallNames) -> list[Message]:
    """Return the messages of one turn: the results of tools that a user's turn brings are one of their own."""
    role, value = entry.take("role"), entry.take("content")
    if role not in ("user", "assistant", "system"):
        raise entry.wrong(role, "role", "user or assistant")
    if isinstance(value, str):
        return [Message(role, (Text(value),))]
    blocks = _blocks(entry, "content", value)
    parts = [_part(Fields(block, f"{entry.place('content')}[{at}]"), names) for at, block in enumerate(blocks)]
    if role != "user":
        return [Message(role, parts)]
    results = [part for part in parts if isinstance(part, ToolResult)]
    others = [part for part in parts if not isinstance(part, ToolResult)]
    found = [Message("tool", results)] if results else []
    return [*found, Message("user", others)] if others or not found else found


def _part(block: Fields, names: CallNames) -> Part:
    kind = block.take("type")
    if kind == "text":
        return _text_part(block)
    if kind in ("image", "document"):
        return _media(block, Image if kind == "image" else Document)
    if kind == "tool_use":
        id, name, cache = block.needed("id"), block.needed("name"), _cache(block)
        return names.note(ToolCall(id, name, block.take("input") or {}, cache=cache))
    if kind == "tool_result":
        return _result(block, names)
    if kind == "thinking":
        signature = block.text("signature")
        return Reasoning(block.text("thinking") or "", encrypted=signature)
    if kind == "redacted_thinking":
        return Reasoning("", provider_metadata={"anthropic": {"redacted_data": block.take("data")}})
    if isinstance(kind, str) and kind.endswith("tool_use"):  # of the server's own tools
        id, name, given = block.needed("id"), block.needed("name"), block.take("input") or {}
        noted = {"anthropic": {"type": kind, **block.rest()}}
        call = ToolCall(id, name, given, provider_executed=True, provider_metadata=noted)
        return names.note(call)
    if isinstance(kind, str) and kind.endswith("_tool_result"):
        id, content = block.needed("tool_use_id"), block.take("content")
        noted = {"anthropic": {"type": kind, **block.rest()}}
        return ToolResult(id, names.of(id), ToolValue("json", content), provider_executed=True, provider_metadata=noted)
    raise block.unknown(kind, _BLOCKS)


def _media(block: Fields, kind: type[Media]) -> Media:
    source = block.inner("source") or Fields({}, block.place("source"))
    how, title, cache = source.take("type"), block.text("title"), _cache(block)
    if how == "url":
        return kind(url=source.needed("url"), filename=title, cache=cache)
    if how == "base64":
        return media_of(source, source.needed("data"), source.text("media_type"), filename=title, cache=cache)
    if how == "text":
        data = source.needed("data").encode("utf-8", "surrogatepass")
        return kind(data, media_type=source.text("media_type") or "text/plain", filename=title, cache=cache)
    raise source.unknown(how, ("base64", "text", "url"))


def _result(block: Fields, names: CallNames) -> ToolResult:
    id, failed, cache = block.needed("tool_use_id"), block.flag("is_error"), _cache(block)
    value = block.take("content")
    if value is None or isinstance(value, str):
        said = ToolValue("error" if failed else "text", value or "")
        return ToolResult(id, names.of(id), said, cache=cache)
    parts: list[Text | Media] = []
    for number, item in enumerate(_blocks(block, "content", value)):
        inner = Fields(item, f"{block.place('content')}[{number}]")
        kind = inner.take("type")
        if kind == "text":
            parts.append(_text_part(inner))
        elif kind in ("image", "document"):
            parts.append(_media(inner, Image if kind == "image" else Document))
        else:
            raise inner.unknown(kind, ("text", "image", "document"))
    if failed:
        text = "\n".join([part.text for part in parts if isinstance(part, Text)])
        return ToolResult(id, names.of(id), ToolValue("error", text), cache=cache)
    return ToolResult(id, names.of(id), ToolValue("content", tuple(parts)), cache=cache)


def _tool(entry: Fields) -> ToolDefinition:
    """Read a tool of the client, or one of Anthropic's own, which is kept as it is."""
    kind, name, cache = entry.take("type"), entry.needed("name"), _cache(entry)
    if kind not in (None, "custom"):
        return ToolDefinition(name, cache=cache, native={"anthropic": {"type": kind, **entry.rest()}})
    schema, description = schema_read(entry, "input_schema"), entry.text("description") or ""
    strict, rest = entry.flag("strict"), entry.rest()
    return ToolDefinition(
        name,
        description,
        input_schema=schema,
        strict=strict,
        cache=cache,
        native={"anthropic": rest} if rest else None,
    )


def _choice(fields: Fields) -> tuple[ToolChoice | None, bool | None]:
    """Take which tool to call, and whether several may be called at once."""
    chosen = fields.inner("tool_choice")
    if chosen is None:
        return None, None
    kind = chosen.text("type") or "auto"
    parallel = False if chosen.flag("disable_parallel_tool_use") else None
    if kind == "tool":
        return ToolChoice("tool", chosen.needed("name")), parallel
    if kind not in _CHOICES:
        raise chosen.unknown(kind, (*_CHOICES, "tool"))
    return ToolChoice.of(_CHOICES[kind]), parallel
