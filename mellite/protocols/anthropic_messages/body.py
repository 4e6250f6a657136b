"""The request body of Anthropic Messages: options, thinking, tools, output types, cache marks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ...values.errors import InvalidRequest, UnsupportedOption
from ...values.options import NO_OPTIONS, Options
from ...values.provider_json import Json, JsonObject
from ...values.request import Request
from ...values.tools import ToolChoice, ToolDefinition
from ..body_fields import own_fields, renamed
from ..cache_marks import MARKS, marked
from ..message_parts import has_plain_system, plain_turns
from ..tool_definitions import native_notes, possible
from .content import ConversationWriter, cached
from .dialect import ANTHROPIC, AnthropicDialect
from .history import mend
from .models import ClaudeFacts, facts_of
from .schema import output_format, plan

__all__ = ["OPTIONS", "lower", "mend"]


_NAMESPACE: Final = "anthropic"

_SAMPLING: Final = {"temperature": "temperature", "top_p": "top_p", "top_k": "top_k"}
_FIELDS: Final = {**_SAMPLING, "stop": "stop_sequences"}

#: The generation options that can be expressed.
OPTIONS: Final = frozenset({*_FIELDS, "max_tokens", "parallel_tool_calls", "reasoning_budget", "reasoning_effort"})

#: Fields of the body that a request sets itself; ``provider_options`` may not.
_RESERVED: Final = frozenset({"messages", "model", "stream", "system", "tools"})

#: Other spellings of provider options.
_ALIASES: Final = {
    "cacheControl": "cache_control",
    "contextManagement": "context_management",
    "mcpServers": "mcp_servers",
    "outputConfig": "output_config",
    "serviceTier": "service_tier",
}

#: What an effort means to models that think up to a number of tokens.
_BUDGETS: Final = {"minimal": 1024, "low": 1024, "medium": 4096, "high": 16_384}
_ROOM: Final = 4096  # tokens left to answer, where thinking would take all


def lower(request: Request, *, stream: bool, dialect: AnthropicDialect = ANTHROPIC) -> JsonObject:
    """Write the JSON body of a request.

    Raises:
        InvalidRequest: for what the protocol cannot say.
        UnsupportedOption: for an option that the model is known not to take.

    Example:
        >>> body = lower(Request.of("Hello.", model="claude-opus-4-8", cache="none"), stream=False)
        >>> body["messages"], body["max_tokens"]
        ([{'role': 'user', 'content': [{'type': 'text', 'text': 'Hello.'}]}], 32000)
    """
    if request.output is not str:
        request, _ = plan(request, dialect=dialect)
    facts = facts_of(request.model)
    own = _own_fields(request, dialect) if request.provider_options else {}
    writer = ConversationWriter(native_updates=facts.system_messages)
    plain = None if request.tools or request.cache not in (None, "auto", "none") else plain_turns(request)
    if plain and has_plain_system(request):
        writer.write_turns(request.system, plain, marks=dialect.cache and request.cache != "none")
    else:
        request = marked(request, limit=_limit(own, dialect))
        writer.write(request)
    body: JsonObject = {"model": request.model} if dialect.names_model else {}
    if writer.system:
        body["system"] = writer.system
    body["messages"] = writer.messages
    if request.tools or request.tool_choice is not None:
        _set_tools(body, request)
    if stream and dialect.says_stream:
        body["stream"] = True
    if request.options is not NO_OPTIONS:
        _set_options(body, request, facts)
        _set_thinking(body, request, facts)
    if request.output is not str:
        body["output_config"] = {**body.get("output_config", {}), "format": output_format(request.output)}
    if own:
        _lay_over(body, own)
    body["max_tokens"] = _longest(body, request.options, dialect.max_tokens or facts.max_tokens)
    return body


def _limit(own: Mapping[str, Json], dialect: AnthropicDialect) -> int:
    """Return how many marks for the cache there may be, beside the one that the caller's own fields make."""
    return MARKS - bool(own.get("cache_control")) if dialect.cache else 0


def _lay_over(body: JsonObject, own: Mapping[str, Json]) -> None:
    """Put the caller's own fields into the body, or their fields into those that are there."""
    for name, value in own.items():
        known = body.get(name)
        if isinstance(known, dict) and isinstance(value, Mapping) and "type" not in value:
            body[name] = {**known, **value}  # with a type it would be another one
        else:
            body[name] = value


def _set_tools(body: JsonObject, request: Request) -> None:
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
    choice = possible(request.tool_choice, [tool.name for tool in request.tools])
    if choice is not None:
        body["tool_choice"] = _choice(choice)
    if request.options.parallel_tool_calls is False and request.tools:
        body["tool_choice"] = {**body.get("tool_choice", {"type": "auto"}), "disable_parallel_tool_use": True}


def _tool(tool: ToolDefinition) -> JsonObject:
    """Write a tool of the caller, or one of Anthropic's own, which its native notes name by type."""
    native = native_notes(tool, _NAMESPACE)
    if native.get("type", "custom") != "custom":
        return cached({"name": tool.name, **native}, tool)
    entry: JsonObject = {"name": tool.name}
    if tool.description:
        entry["description"] = tool.description
    entry["input_schema"] = {**tool.input_schema, "type": "object"}
    if tool.strict is not None:
        entry["strict"] = tool.strict
    entry = {**entry, **native}
    return entry if native.get("defer_loading") else cached(entry, tool)  # what is loaded later cannot be marked


def _choice(choice: ToolChoice) -> JsonObject:
    if choice.type == "tool":
        return {"type": "tool", "name": choice.name}
    return {"type": "any" if choice.type == "required" else choice.type}


def _set_options(body: JsonObject, request: Request, facts: ClaudeFacts) -> None:
    for name, value in renamed(request.options, _FIELDS).items():
        if facts.sampling or name not in _SAMPLING:
            body[name] = value
        else:
            _refuse(name, request)


def _set_thinking(body: JsonObject, request: Request, facts: ClaudeFacts) -> None:
    """Say whether to think and how hard: by effort, by a number of tokens, or not at all (``none``, 0)."""
    budget, effort = request.options.reasoning_budget, request.options.reasoning_effort
    if budget is not None and budget < 0:
        msg = f"option 'reasoning_budget' must be a number of tokens, or 0 for none, not {budget}"
        raise InvalidRequest(msg, parameter="reasoning_budget")
    if effort == "none" or budget == 0:
        if facts.thinking:
            body["thinking"] = {"type": "disabled"}
        return
    if budget is not None:
        if "budget" in facts.thinking:
            body["thinking"] = {"type": "enabled", "budget_tokens": budget}
        else:
            _refuse("reasoning_budget", request)
    if effort is None:
        return
    if facts.effort:
        body["output_config"] = {"effort": effort}
        if "adaptive" in facts.thinking and "thinking" not in body:
            body["thinking"] = {"type": "adaptive", "display": "summarized"}  # newer models show nothing otherwise
    elif "budget" in facts.thinking and effort in _BUDGETS:
        body.setdefault("thinking", {"type": "enabled", "budget_tokens": _BUDGETS[effort]})
    else:
        _refuse("reasoning_effort", request)


def _refuse(option: str, request: Request) -> None:
    """Say that the model is known not to take an option, unless it may be left out."""
    if not request.options.drop_unsupported:
        msg = (
            f"route 'anthropic-messages' cannot honour the option {option!r} with the model {request.model!r}, which "
            "does not take it; leave it out, or allow that it is left out with drop_unsupported=True"
        )
        raise UnsupportedOption(msg, option=option)


def _longest(body: Mapping[str, Json], options: Options, default: int) -> int:
    """Return how long the answer may be, thinking included.

    Raises:
        InvalidRequest: if thinking is to take all of it.
    """
    if "max_tokens" in body and isinstance(body["max_tokens"], int):
        default = body["max_tokens"]
    longest = options.max_tokens
    if "thinking" not in body:
        return longest or default
    thinking = body["thinking"]
    budget = thinking.get("budget_tokens") if isinstance(thinking, Mapping) else None
    if not isinstance(budget, int):
        return longest or default
    if longest is None:
        return max(default, budget + _ROOM)
    if longest <= budget:
        msg = (
            f"option 'max_tokens' must be above the {budget} tokens for thinking, which count towards it, "
            f"not {longest}; give more, or think less with reasoning_budget=..."
        )
        raise InvalidRequest(msg, parameter="max_tokens")
    return longest


def _own_fields(request: Request, dialect: AnthropicDialect) -> JsonObject:
    fields: JsonObject = {}
    for namespace in dialect.namespaces:
        for name, value in own_fields(request, namespace, reserved=_RESERVED, field_of=_field_of):
            field = _field_of(name)
            fields[field] = _thinking(value) if field == "thinking" else value
    return fields


def _field_of(name: str) -> str:
    return _ALIASES.get(name) or name


def _thinking(value: Json) -> Json:
    if not isinstance(value, Mapping):
        return value
    fields = {"budget_tokens" if name == "budgetTokens" else name: given for name, given in value.items()}
    if fields.get("type") == "enabled" and "budget_tokens" not in fields:
        msg = "provider_options['anthropic']['thinking'] of the type 'enabled' needs its budget_tokens"
        raise InvalidRequest(msg, parameter="provider_options")
    return fields
