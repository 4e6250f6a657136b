"""Read a request as a client of Converse has written it: the inverse of the request body."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from attrs import evolve

from ...values.messages import CacheHint, Media, Message, Part, Reasoning, Text, ToolCall, ToolResult, ToolValue
from ...values.provider_json import Json, JsonObject
from ...values.request import Request
from ...values.tools import ToolChoice, ToolDefinition
from ..request_fields import CallNames, Fields, options_read, tools_named
from .media import media_read

__all__ = ["read"]

_NAMESPACE: Final = "bedrock"
_OPTIONS: Final = {"max_tokens": "maxTokens", "temperature": "temperature", "top_p": "topP", "stop": "stopSequences"}
_BLOCKS: Final = (
    "text",
    "image",
    "document",
    "video",
    "audio",
    "toolUse",
    "toolResult",
    "reasoningContent",
    "cachePoint",
)
_HOUR: Final = 3600


def read(body: Json) -> Request:
    """Return the request that a body stands for; what only Bedrock knows of it becomes its ``provider_options``.

    The model stands in the path, and in the body only where mellite has written it.

    Raises:
        InvalidRequest: for anything that is not such a body, or holds what a request cannot.

    Example:
        >>> read({"messages": [{"role": "user", "content": [{"text": "Hi."}]}]}).text
        'Hi.'
    """
    fields = Fields(body, "")
    model = fields.text("modelId")
    system = _system(fields)
    names = CallNames()
    messages = [message for entry in fields.objects("messages") for message in _messages(entry, names)]
    tools, choice = _tools(fields)
    config = fields.inner("inferenceConfig") or Fields({}, "inferenceConfig")
    options = options_read(config, _OPTIONS, **_model_options(fields))
    unknown = config.rest()
    rest = {**({"inferenceConfig": unknown} if unknown else {}), **fields.rest()}
    return Request(
        tuple(messages),
        model,
        system=tuple(system),
        tools=tools_named(tools),
        tool_choice=choice,
        options=options,
        cache="none",  # the client has marked what it wants to be marked
        provider_options={_NAMESPACE: rest} if rest else {},
    )


def _model_options(fields: Fields) -> dict[str, object]:
    """Take what families of models call by names of their own."""
    more = fields.inner("additionalModelRequestFields")
    if more is None:
        return {}
    found: dict[str, object] = {"top_k": more.take("top_k")}
    thinking = more.inner("thinking")
    if thinking is not None:
        said = thinking.rest()
        budget = said.get("budget_tokens")
        if said == {"type": "enabled", "budget_tokens": budget} and isinstance(budget, int):
            found["reasoning_budget"] = budget
        elif said == {"type": "disabled"}:
            found["reasoning_budget"] = 0
        else:
            more.put("thinking", said)
    rest = more.rest()
    if rest:
        fields.put("additionalModelRequestFields", rest)
    return found


def _hint(point: Fields) -> CacheHint:
    return CacheHint(ttl_seconds=_HOUR) if point.text("ttl") == "1h" else CacheHint()


def _system(fields: Fields) -> list[Text]:
    texts: list[Text] = []
    for block in fields.objects("system"):
        point = block.inner("cachePoint")
        if point is None:
            texts.append(Text(block.needed("text")))
        elif texts:
            texts[-1] = evolve(texts[-1], cache=_hint(point))
    return texts


def _messages(entry: Fields, names: CallNames) -> list[Message]:
    """Return the messages of one turn: the results of tools that a user's turn brings are one of their own."""
    role = entry.take("role")
    if role not in ("user", "assistant"):
        raise entry.wrong(role, "role", "user or assistant")
    parts: list[Part] = []
    for block in entry.objects("content"):
        point = block.inner("cachePoint")
        if point is None:
            parts.append(_part(block, names))
        elif parts and not isinstance(parts[-1], Reasoning):
            parts[-1] = evolve(parts[-1], cache=_hint(point))  # type: ignore[misc]  # all others have a cache
    if role == "assistant":
        return [Message("assistant", parts)]
    results = [part for part in parts if isinstance(part, ToolResult)]
    others = [part for part in parts if not isinstance(part, ToolResult)]
    found = [Message("tool", results)] if results else []
    return [*found, Message("user", others)] if others or not found else found


def _part(block: Fields, names: CallNames) -> Part:
    text = block.text("text")
    if text is not None:
        return Text(text)
    use = block.inner("toolUse")
    if use is not None:
        return names.note(ToolCall(use.needed("toolUseId"), use.needed("name"), use.take("input") or {}))
    result = block.inner("toolResult")
    if result is not None:
        return _result(result, names)
    thinking = block.inner("reasoningContent")
    if thinking is not None:
        return _thinking(thinking)
    media = media_read(block)
    if media is not None:
        return media
    raise block.unknown(next(iter(block.rest()), None), _BLOCKS)


def _thinking(content: Fields) -> Reasoning:
    said = content.inner("reasoningText")
    if said is not None:
        return Reasoning(said.text("text") or "", encrypted=said.text("signature"))
    redacted = content.take("redactedContent")
    return Reasoning("", provider_metadata={_NAMESPACE: {"redactedContent": redacted}})


def _result(result: Fields, names: CallNames) -> ToolResult:
    id, status = result.needed("toolUseId"), result.text("status")
    found: list[Text | Media] = []
    values: list[Json] = []
    for block in result.objects("content"):
        value, text = block.take("json"), block.text("text")
        media = media_read(block) if value is None and text is None else None
        if media is not None:
            found.append(media)
            values.append(media)
        else:
            found.append(Text(json.dumps(value) if text is None else text))
            values.append(value if text is None else text)
    if status == "error":
        return ToolResult(id, names.of(id), ToolValue("error", "\n".join(_texts(found))))
    if len(values) == 1 and isinstance(found[0], Text):
        return ToolResult(id, names.of(id), ToolValue("text" if isinstance(values[0], str) else "json", values[0]))
    return ToolResult(id, names.of(id), ToolValue("content", tuple(found)))


def _texts(parts: list[Text | Media]) -> list[str]:
    return [part.text for part in parts if isinstance(part, Text)]


def _tools(fields: Fields) -> tuple[list[ToolDefinition], ToolChoice | None]:
    config = fields.inner("toolConfig")
    if config is None:
        return [], None
    tools: list[ToolDefinition] = []
    for entry in config.objects("tools"):
        point, spec = entry.inner("cachePoint"), entry.inner("toolSpec")
        if point is not None:
            if tools:
                tools[-1] = evolve(tools[-1], cache=_hint(point))
        elif spec is not None:
            tools.append(_tool(spec))
        else:  # such as {"systemTool": {"name": "nova_grounding"}}
            whole = entry.rest()
            inner = next(iter(whole.values()), None)
            name = inner.get("name") if isinstance(inner, Mapping) else None
            tools.append(ToolDefinition(str(name or next(iter(whole), "")), native={_NAMESPACE: whole}))
    choice = config.inner("toolChoice")
    if choice is None:
        return tools, None
    named = choice.inner("tool")
    if named is not None:
        return tools, ToolChoice("tool", named.needed("name"))
    return tools, ToolChoice.of("required" if "any" in choice else "auto")


def _tool(spec: Fields) -> ToolDefinition:
    schema = spec.inner("inputSchema")
    written = None if schema is None else schema.take("json")
    found: JsonObject = dict(written) if isinstance(written, Mapping) else {"type": "object", "properties": {}}
    name, description = spec.needed("name"), spec.text("description") or ""
    return ToolDefinition(name, description, input_schema=found, strict=spec.flag("strict"))
