"""The request body of Chat Completions: options, tools, output types; and how companies differ in them."""

from __future__ import annotations

from typing import Final, get_args

from ...values.options import NO_OPTIONS
from ...values.provider_json import Json, JsonObject
from ...values.request import Request
from ...values.tools import ToolChoice, ToolDefinition
from .. import history
from ..body_fields import own_fields, renamed
from ..tool_definitions import input_schema, possible
from .content import ConversationWriter
from .dialect import OPENAI, ChatDialect
from .schema import plan, response_format

__all__ = ["OPENAI", "ChatDialect", "lower", "mend", "options_of"]

_FIELDS: Final = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
}
_OTHER_OPTIONS: Final = frozenset({"max_tokens", "seed", "stop", "reasoning_effort", "parallel_tool_calls"})

#: Fields of the body that a request sets itself; ``provider_options`` may not.
_RESERVED: Final = frozenset({"messages", "model", "stream", "tools"})

#: Other spellings of provider options.
_ALIASES: Final = {
    "promptCacheKey": "prompt_cache_key",
    "reasoningEffort": "reasoning_effort",
    "serviceTier": "service_tier",
    "textVerbosity": "verbosity",
}
_LONGEST_CACHE_KEY: Final = 64


#: By which ids of tool calls a company takes, the rules for its history.
_RULES: Final = {ids: history.HistoryRules(ids=ids) for ids in get_args(history.CallIds)}


def options_of(dialect: ChatDialect) -> frozenset[str]:
    """Return the generation options that a company takes."""
    ours = (_FIELDS.keys() - {"top_k"}) | _OTHER_OPTIONS
    return frozenset((ours | dialect.more_options) - dialect.no_options)


def mend(request: Request, *, dialect: ChatDialect = OPENAI) -> tuple[Request, tuple[str, ...]]:
    """Return the request with a history that the company takes, and a sentence for each thing that was changed."""
    return (request, ()) if history.is_text(request) else history.mend(request, rules=_RULES[dialect.tool_ids])


def lower(request: Request, *, stream: bool, dialect: ChatDialect = OPENAI) -> JsonObject:
    """Write the JSON body of a request.

    Raises:
        InvalidRequest: for what the protocol cannot say.
        UnsupportedOption: for a way of holding the answer to its type that the model does not have.

    Example:
        >>> lower(Request.of("Hello.", model="gpt-4o-mini", temperature=0), stream=False)["messages"]
        [{'role': 'user', 'content': 'Hello.'}]
    """
    if request.output is not str:
        request, _ = plan(request, dialect=dialect)
    writer = ConversationWriter(dialect, model=request.model)
    writer.write(request)
    body: JsonObject = {"model": request.model, "messages": writer.messages}
    if request.tools or request.tool_choice is not None or dialect.empty_tools:
        _set_tools(body, request, dialect)
    if stream:
        body["stream"] = True
        if dialect.stream_usage:
            body["stream_options"] = {"include_usage": True}
        if dialect.tool_stream and request.tools:
            body["tool_stream"] = True
    if dialect.store:
        body["store"] = False
    if request.options is not NO_OPTIONS:
        _set_options(body, request, dialect)
    if request.output is not str:
        body["response_format"] = response_format(request.output, dialect=dialect)
    for namespace in dialect.namespaces if request.provider_options else ():
        for name, value in own_fields(request, namespace, reserved=_RESERVED, field_of=_field_of):
            body[_field_of(name)] = _written(_field_of(name), value)
    return body


def _set_tools(body: JsonObject, request: Request, dialect: ChatDialect) -> None:
    if request.tools:
        body["tools"] = [_tool(tool, dialect) for tool in request.tools]
    elif dialect.empty_tools and any(message.role == "tool" for message in request.messages):
        body["tools"] = []
    if request.tool_choice is not None:
        choice = possible(request.tool_choice, [tool.name for tool in request.tools])
        if choice is not None:
            body["tool_choice"] = _choice(choice)


def _tool(tool: ToolDefinition, dialect: ChatDialect) -> JsonObject:
    function: JsonObject = {"name": tool.name, "description": tool.description, "parameters": input_schema(tool)}
    if dialect.strict_tools:
        function["strict"] = bool(tool.strict)
    return {"type": "function", "function": function}


def _choice(choice: ToolChoice) -> str | JsonObject:
    return choice.type if choice.type != "tool" else {"type": "function", "function": {"name": choice.name}}


def _set_options(body: JsonObject, request: Request, dialect: ChatDialect) -> None:
    options = request.options
    body |= renamed(options, _FIELDS)
    if options.max_tokens is not None:
        body[dialect.max_tokens] = options.max_tokens
    if options.seed is not None:
        body[dialect.seed] = options.seed
    if options.stop is not None:
        body["stop"] = list(options.stop)
    if options.parallel_tool_calls is not None and request.tools:
        body["parallel_tool_calls"] = options.parallel_tool_calls
    if dialect.reasoning_object:
        reasoning = {"effort": options.reasoning_effort, "max_tokens": options.reasoning_budget}
        given = {name: value for name, value in reasoning.items() if value is not None}
        if given:
            body["reasoning"] = given
    elif options.reasoning_effort is not None:
        body["reasoning_effort"] = options.reasoning_effort


def _field_of(name: str) -> str:
    return _ALIASES.get(name) or name


def _written(field: str, value: Json) -> Json:
    """Write one of the caller's own fields as it stands in the body: some are cut, some have a short form."""
    if field == "prompt_cache_key" and isinstance(value, str):
        return value[:_LONGEST_CACHE_KEY]
    return {"include": True} if field == "usage" and value is True else value
