"""Read a request as a client of Gemini has written it: the inverse of the request body."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ...values.messages import Message, Part, Reasoning, Text, ToolCall, ToolResult, ToolValue, Video
from ...values.provider_json import Json, JsonObject
from ...values.request import Request
from ...values.tools import ToolChoice, ToolDefinition
from ..request_fields import Fields, media_of, options_read, tools_named
from .field_names import in_camel_case

__all__ = ["read"]

_NAMESPACE: Final = "google"
_OPTIONS: Final = {
    "max_tokens": "maxOutputTokens",
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "frequency_penalty": "frequencyPenalty",
    "presence_penalty": "presencePenalty",
    "seed": "seed",
    "stop": "stopSequences",
}
_PARTS: Final = ("text", "inlineData", "fileData", "functionCall", "functionResponse")
_MODES: Final = {"AUTO": "auto", "VALIDATED": "auto", "NONE": "none", "ANY": "required"}


def read(body: Json) -> Request:
    """Return the request that a body stands for; what only Google knows of it becomes its ``provider_options``.

    Raises:
        InvalidRequest: for anything that is not such a body, or holds what a request cannot.

    Example:
        >>> read({"contents": [{"parts": [{"text": "Hi."}]}], "generationConfig": {"maxOutputTokens": 5}}).text
        'Hi.'
    """
    fields = Fields(in_camel_case(body), "")
    fields.take("model")
    system = _system(fields)
    calls = _Calls()
    messages = [message for turn in fields.objects("contents") for message in _messages(turn, calls)]
    tools, hosted = _tools(fields)
    choice = _choice(fields)
    config = fields.inner("generationConfig") or Fields({}, "generationConfig")
    budget, effort = _thinking(config)
    options = options_read(config, _OPTIONS, reasoning_budget=budget, reasoning_effort=effort)
    rest = {**config.rest(), **fields.rest(), **({"tools": hosted} if hosted else {})}
    return Request(
        tuple(messages),
        None,
        system=tuple(system),
        tools=tools_named(tools),
        tool_choice=choice,
        options=options,
        provider_options={_NAMESPACE: rest} if rest else {},
    )


class _Calls:
    """The calls of a conversation that have not been answered: Gemini's own often have no ids."""

    def __init__(self) -> None:
        self._open: list[ToolCall] = []
        self._count = 0

    def note(self, id: str | None, name: str, arguments: Json, noted: JsonObject) -> ToolCall:
        """Return a call, with an id of its own where it has none."""
        own = id or f"call_{self._count}"
        self._count += 1
        known = {**noted, **({} if id is None else {"id": id})}
        call = ToolCall(own, name, arguments, provider_metadata={_NAMESPACE: known} if known else None)
        self._open.append(call)
        return call

    def answered(self, id: str | None, name: str) -> str:
        """Return the id of the call that a response answers: the first open one of its name."""
        for call in self._open:
            if call.id == id or (id is None and call.name == name):
                self._open.remove(call)
                return call.id
        return id or name


def _system(fields: Fields) -> list[Text]:
    value = fields.take("systemInstruction")
    if value is None:
        return []
    if isinstance(value, str):
        return [Text(value)]
    return [Text(part.needed("text")) for part in Fields(value, "systemInstruction").objects("parts")]


def _messages(turn: Fields, calls: _Calls) -> list[Message]:
    """Return the messages of one turn: the responses of functions are one of their own."""
    role = turn.text("role") or "user"
    if role not in ("user", "model", "function", "tool"):
        raise turn.wrong(role, "role", "user or model")
    parts = [_part(part, role, calls) for part in turn.objects("parts")]
    if role == "model":
        return [Message("assistant", parts)]
    results = [part for part in parts if isinstance(part, ToolResult)]
    others = [part for part in parts if not isinstance(part, ToolResult)]
    found = [Message("tool", results)] if results else []
    return [*found, Message("user", others)] if others or not found else found


def _part(part: Fields, role: str, calls: _Calls) -> Part:
    signature = part.take("thoughtSignature")
    noted: JsonObject = {} if signature is None else {"thoughtSignature": signature}
    call = part.inner("functionCall")
    if call is not None:
        return calls.note(call.text("id"), call.needed("name"), call.take("args") or {}, noted)
    response = part.inner("functionResponse")
    if response is not None:
        return _result(response, calls)
    blob = part.inner("inlineData")
    if blob is not None:
        return media_of(blob, blob.needed("data"), blob.text("mimeType"), filename=blob.text("displayName"))
    file = part.inner("fileData")
    if file is not None:
        kind, url = file.text("mimeType"), file.needed("fileUri")
        found = media_of(file, "", kind) if kind else Video(url=url)
        return type(found)(url=url, media_type=kind)
    if "text" in part:
        text, thinks = part.needed("text"), part.flag("thought")
        metadata = {_NAMESPACE: noted} if noted else None
        return Reasoning(text, provider_metadata=metadata) if thinks else Text(text, provider_metadata=metadata)
    rest = part.rest()
    if role == "model" and rest:  # code that Google has run, and the like, which goes back as it was
        return Reasoning("", provider_metadata={_NAMESPACE: {"part": {**rest, **noted}}})
    raise part.unknown(next(iter(rest), None), _PARTS)


def _result(response: Fields, calls: _Calls) -> ToolResult:
    name = response.needed("name")
    id = calls.answered(response.text("id"), name)
    media = [
        media_of(blob, blob.needed("data"), blob.text("mimeType"))
        for part in response.objects("parts")
        if (blob := part.inner("inlineData")) is not None
    ]
    said = response.take("response")
    failed = isinstance(said, Mapping) and set(said) == {"error"}
    if isinstance(said, Mapping) and len(said) == 1 and next(iter(said)) in ("output", "result", "error"):
        said = next(iter(said.values()))
    elif isinstance(said, Mapping) and set(said) == {"name", "content"}:  # as it was written before 2025
        said = said["content"]
    if media:
        text = [Text(said)] if isinstance(said, str) and said else []
        return ToolResult(id, name, ToolValue("content", (*text, *media)))
    if failed:
        return ToolResult(id, name, ToolValue("error", said))
    return ToolResult(id, name, ToolValue("text" if isinstance(said, str) else "json", said))


def _tools(fields: Fields) -> tuple[list[ToolDefinition], list[JsonObject]]:
    """Take the functions, and the tools that Google runs itself."""
    functions: list[ToolDefinition] = []
    hosted: list[JsonObject] = []
    for entry in fields.objects("tools"):
        functions += [_tool(function) for function in entry.objects("functionDeclarations")]
        rest = entry.rest()
        if rest:
            hosted.append(rest)
    return functions, hosted


def _tool(function: Fields) -> ToolDefinition:
    name, description = function.needed("name"), function.text("description") or ""
    schema, written = function.take("parametersJsonSchema"), function.take("parameters")
    if isinstance(schema, Mapping):
        return ToolDefinition(name, description, input_schema=schema)
    if written is None:
        return ToolDefinition(name, description)
    found = _schema(written)
    return ToolDefinition(name, description, input_schema=found if isinstance(found, Mapping) else {})


def _schema(value: Json) -> Json:
    """Return one of Google's schemas as a JSON Schema: types in lower case, null among them."""
    if isinstance(value, list):
        return [_schema(each) for each in value]
    if not isinstance(value, Mapping):
        return value
    schema: JsonObject = {}
    for name, inner in value.items():
        if name == "properties" and isinstance(inner, Mapping):
            schema[name] = {each: _schema(its) for each, its in inner.items()}
        elif name == "type" and isinstance(inner, str):
            schema[name] = inner.lower()
        elif name in ("items", "anyOf", "any_of"):
            schema["anyOf" if name != "items" else name] = _schema(inner)
        elif name not in ("nullable", "propertyOrdering"):
            schema[name] = inner
    if value.get("nullable") is True and isinstance(schema.get("type"), str):
        schema["type"] = [schema["type"], "null"]
    return schema


def _choice(fields: Fields) -> ToolChoice | None:
    config = fields.inner("toolConfig")
    if config is None:
        return None
    calling = config.inner("functionCallingConfig")
    rest = config.rest()
    if rest:
        fields.put("toolConfig", rest)
    if calling is None:
        return None
    mode, allowed = calling.text("mode") or "AUTO", calling.items("allowedFunctionNames")
    if mode == "ANY" and len(allowed) == 1:
        return ToolChoice("tool", str(allowed[0]))
    return ToolChoice.of(_MODES.get(mode, "auto"))


def _thinking(config: Fields) -> tuple[int | None, str | None]:
    """Take how much or how hard to think, if that is all that is said of it."""
    said = config.inner("thinkingConfig")
    if said is None:
        return None, None
    budget, level = said.take("thinkingBudget"), said.text("thinkingLevel")
    if isinstance(budget, int) and budget >= 0:
        return budget, None
    if level is not None:
        return None, level.lower()
    whole = {**said.rest(), **({} if budget is None else {"thinkingBudget": budget})}
    if whole:
        config.put("thinkingConfig", whole)
    return None, None
