"""The request body of OpenAI Responses: options, tools, output types; and what the server asks of a history."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

from attrs import evolve

from ...values.options import NO_OPTIONS, Options
from ...values.provider_json import Json, JsonObject
from ...values.request import Request
from ...values.tools import ToolChoice, ToolDefinition
from .. import history
from ..body_fields import own_fields, renamed
from ..tool_definitions import input_schema, possible, unknown_tool
from .content import ConversationWriter
from .dialect import OPENAI, ResponsesDialect
from .schema import plan, text_format

__all__ = ["lower", "mend", "options_of"]

_FIELDS: Final = {
    "max_tokens": "max_output_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "seed": "seed",
    "stop": "stop",
}
_OWN_OPTIONS: Final = frozenset({"max_tokens", "temperature", "top_p", "reasoning_effort", "parallel_tool_calls"})

#: Fields of the body that a request sets itself; ``provider_options`` may not.
_RESERVED: Final = frozenset({"input", "model", "stream"})

#: Other spellings of provider options, and where they stand in the body.
_PLACES: Final[Mapping[str, tuple[str, ...]]] = {
    "reasoning_effort": ("reasoning", "effort"),
    "reasoningEffort": ("reasoning", "effort"),
    "reasoning_summary": ("reasoning", "summary"),
    "reasoningSummary": ("reasoning", "summary"),
    "text_verbosity": ("text", "verbosity"),
    "textVerbosity": ("text", "verbosity"),
    "verbosity": ("text", "verbosity"),
    "promptCacheKey": ("prompt_cache_key",),
    "previousResponseId": ("previous_response_id",),
    "serviceTier": ("service_tier",),
}
_LONGEST_CACHE_KEY: Final = 64
_ENCRYPTED: Final = "reasoning.encrypted_content"

#: Provider options by which the server knows the beginning of the conversation.
_CONTINUING: Final = frozenset({"conversation", "previousResponseId", "previous_response_id"})

#: The rules for a history that the server has to be told, and for one whose beginning it knows.
_RULES: Final = history.HistoryRules(ids="responses", approvals=True)
_GOING_ON: Final = evolve(_RULES, stray_results="keep")


def options_of(dialect: ResponsesDialect) -> frozenset[str]:
    """Return the generation options that a company takes."""
    return (_OWN_OPTIONS | dialect.more_options) - dialect.no_options


def mend(request: Request) -> tuple[Request, tuple[str, ...]]:
    """Return the request with a history that the server takes, and a sentence for each thing that was changed.

    A result without a call stays where the server knows the call: where the request goes on from a stored answer.
    """
    if history.is_text(request):
        return request, ()
    options = [options for options in request.provider_options.values() if isinstance(options, Mapping)]
    continues = any(given.get(name) is not None for given in options for name in _CONTINUING)
    return history.mend(request, rules=_GOING_ON if continues else _RULES)


mended = mend  # as pickles of earlier versions call it


def lower(request: Request, *, stream: bool, dialect: ResponsesDialect = OPENAI) -> JsonObject:
    """Write the JSON body of a request.

    Raises:
        InvalidRequest: for what the protocol cannot say.
        UnsupportedOption: for a way of holding the answer to its type that the model does not have.

    Example:
        >>> lower(Request.of("Hello.", model="gpt-4o-mini", temperature=0), stream=False)["input"]
        [{'role': 'user', 'content': [{'type': 'input_text', 'text': 'Hello.'}]}]
    """
    if request.output is not str:
        request, _ = plan(request, dialect=dialect)
    body: JsonObject = {"model": request.model}
    if dialect.store:
        body["store"] = False
    if stream:
        body["stream"] = True
    if request.options is not NO_OPTIONS:
        _set_options(body, request.options)
    for namespace in dialect.namespaces if request.provider_options else ():
        for name, value in own_fields(request, namespace, reserved=_RESERVED, field_of=_field_of):
            _place(body, name, value)
    stored = body.get("store") is not False
    writer = ConversationWriter(namespace=dialect.namespace, stored=stored, message_ids=dialect.message_ids)
    writer.write(request)
    body["input"] = writer.items
    if request.tools or request.tool_choice is not None:
        _set_tools(body, request, dialect)
    if request.output is not str:
        body["text"] = {**body.get("text", {}), "format": text_format(request.output, dialect=dialect)}
    if not stored and dialect.reasoning_models is not None and _thinks(request.model, dialect.reasoning_models):
        include = body.get("include") or []
        body["include"] = include if _ENCRYPTED in include else [*include, _ENCRYPTED]
    return body


@lru_cache(maxsize=256)
def _thinks(model: str | None, models: str) -> bool:
    """Return whether a model is among those that a pattern describes."""
    return re.match(models, model or "") is not None


def _set_tools(body: JsonObject, request: Request, dialect: ResponsesDialect) -> None:
    tools = [_tool(tool, dialect) for tool in request.tools]
    if tools:
        body["tools"] = [*body.get("tools", ()), *tools]
        if request.options.parallel_tool_calls is not None:
            body["parallel_tool_calls"] = request.options.parallel_tool_calls
    choice = request.tool_choice
    if choice is not None and choice.type == "tool":
        body["tool_choice"] = _choice(choice, tools)
    elif choice is not None and possible(choice, [str(tool.get("type")) for tool in body.get("tools") or ()]):
        body["tool_choice"] = choice.type


def _tool(tool: ToolDefinition, dialect: ResponsesDialect) -> JsonObject:
    """Write a function; or a tool of another type, which ``native`` describes: custom, or run by the provider."""
    native = dict((tool.native or {}).get(dialect.namespace) or {})
    if native.get("type", "function") == "custom":
        return {"name": tool.name, "description": tool.description, **native}
    if native.get("type", "function") != "function":
        return native
    function: JsonObject = {"type": "function", "name": tool.name, "description": tool.description}
    function["parameters"] = input_schema(tool)
    if dialect.strict_tools:
        function["strict"] = bool(tool.strict)
    return {**function, **native}


def _choice(choice: ToolChoice, tools: Sequence[Mapping[str, Json]]) -> JsonObject:
    chosen = next((tool for tool in tools if choice.name in (tool.get("name"), tool["type"])), None)
    if chosen is None:
        raise unknown_tool(choice, [str(tool.get("name") or tool["type"]) for tool in tools])
    named = {"type": chosen["type"]}
    return {**named, "name": chosen["name"]} if "name" in chosen else named


def _set_options(body: JsonObject, options: Options) -> None:
    body |= renamed(options, _FIELDS)
    if options.reasoning_effort is not None:
        body["reasoning"] = {"effort": options.reasoning_effort}


def _field_of(name: str) -> str:
    return _PLACES.get(name, (name,))[-1]


def _place(body: JsonObject, name: str, value: Json) -> None:
    """Put one of the caller's own fields where the body has it."""
    *outer, field = _PLACES.get(name, (name,))
    place = body
    for step in outer:
        place = place.setdefault(step, {})
    known = place.get(field)
    if isinstance(value, Mapping) and isinstance(known, dict):
        place[field] = {**known, **value}
    elif field == "prompt_cache_key" and isinstance(value, str):
        place[field] = value[:_LONGEST_CACHE_KEY]
    else:
        place[field] = list(value) if isinstance(value, tuple) else value
