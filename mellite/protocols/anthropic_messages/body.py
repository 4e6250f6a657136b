"""The request body of Anthropic Messages: options, thinking, tools, answers in a given shape, cache marks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import frozen

from ...values.errors import InvalidRequest, UnsupportedOption
from ...values.messages import Message, Text
from ...values.options import Options
from ...values.output import schema_of
from ...values.request import Request
from ...values.tools import ToolChoice, ToolDefinition
from ..cache_marks import MARKS, marked
from .content import cached, messages_of, system_of
from .models import ClaudeFacts, facts_of
from .schema import held_to

__all__ = ["ANTHROPIC", "OPTIONS", "AnthropicDialect", "lower"]


@frozen(kw_only=True)
class AnthropicDialect:
    """How one company's Anthropic Messages differ: facts, not code.

    Args:
        namespaces: whose entries of ``provider_options`` go into the body; later ones win.
        names_model: whether the body names the model; clouds have it in the URL.
        says_stream: whether the body says that the answer is to be streamed; likewise.
        cache: whether parts of the prompt can be marked for a cache.
        max_tokens: how long an answer to ask for, where neither the caller nor the model's name says.
    """

    namespaces: tuple[str, ...] = ("anthropic",)
    names_model: bool = True
    says_stream: bool = True
    cache: bool = True
    max_tokens: int | None = None


#: The dialect of Anthropic itself.
ANTHROPIC: Final = AnthropicDialect()

# The body

_SAMPLING: Final = {"temperature": "temperature", "top_p": "top_p", "top_k": "top_k"}

#: The generation options that can be expressed.
OPTIONS: Final = frozenset(
    {*_SAMPLING, "max_tokens", "stop", "parallel_tool_calls", "reasoning_budget", "reasoning_effort"}
)

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


def lower(request: Request, *, stream: bool, dialect: AnthropicDialect = ANTHROPIC) -> dict[str, Any]:
    """The JSON body of a request.

    Raises:
        InvalidRequest: for what the protocol cannot say.
        UnsupportedOption: for an option that the model is known not to take.

    Example:
        >>> body = lower(Request.of("Hello.", model="claude-opus-4-8", cache="none"), stream=False)
        >>> body["messages"], body["max_tokens"]
        ([{'role': 'user', 'content': [{'type': 'text', 'text': 'Hello.'}]}], 32000)
    """
    facts = facts_of(request.model)
    own = _provider_options(request, dialect)
    limit = MARKS if dialect.cache else 0
    request = marked(request, limit=limit - 1 if limit and own.get("cache_control") else limit)
    body: dict[str, Any] = {"model": request.model} if dialect.names_model else {}
    system, turns = _system(request)
    if system:
        body["system"] = system
    body["messages"] = messages_of(turns, native_updates=facts.system_messages)
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
    _choose(body, request.tool_choice, [tool.name for tool in request.tools])
    if request.options.parallel_tool_calls is False and request.tools:
        body["tool_choice"] = {**body.get("tool_choice", {"type": "auto"}), "disable_parallel_tool_use": True}
    if stream and dialect.says_stream:
        body["stream"] = True
    _set_options(body, request, facts)
    _set_thinking(body, request, facts)
    if request.output is not str:
        _set_output(body, request, facts)
    for name, value in own.items():
        known = body.get(name)
        if isinstance(known, dict) and isinstance(value, Mapping) and "type" not in value:
            value = {**known, **value}  # noqa: PLW2901 - with a type it would be another one
        body[name] = value
    body["max_tokens"] = _longest(body, request.options, dialect.max_tokens or facts.max_tokens)
    return body


def _system(request: Request) -> tuple[list[dict[str, Any]], Sequence[Message]]:
    """The system prompt, with the system messages at the beginning; and the rest of the messages."""
    turns = list(request.messages)
    parts: list[Text] = list(request.system)
    while turns and turns[0].role == "system":
        parts += system_of(turns.pop(0))
    return [cached({"type": "text", "text": part.text}, part) for part in parts if part.text.strip()], turns


# Tools


def _tool(tool: ToolDefinition) -> dict[str, Any]:
    """A tool of the caller's, or one of Anthropic's own, which its native notes under ``anthropic`` name by type."""
    native = (tool.native or {}).get("anthropic") or {}
    if not isinstance(native, Mapping):
        msg = f"the native notes of tool {tool.name!r} under 'anthropic' must be a mapping, not {native!r}"
        raise InvalidRequest(msg, parameter="tools")
    if native.get("type", "custom") != "custom":
        return cached({"name": tool.name, **native}, tool)
    entry: dict[str, Any] = {"name": tool.name}
    if tool.description:
        entry["description"] = tool.description
    entry["input_schema"] = {**tool.input_schema, "type": "object"}
    if tool.strict is not None:
        entry["strict"] = tool.strict
    entry = {**entry, **native}
    return entry if native.get("defer_loading") else cached(entry, tool)  # what is loaded later cannot be marked


def _choose(body: dict[str, Any], choice: ToolChoice | None, names: Sequence[str]) -> None:
    if choice is None:
        return
    if choice.type == "tool":
        if choice.name not in names:
            msg = f"tool_choice names {choice.name!r}, which is not among the tools {', '.join(names) or '(none)'}"
            raise InvalidRequest(msg, parameter="tool_choice")
        body["tool_choice"] = {"type": "tool", "name": choice.name}
    elif names:
        body["tool_choice"] = {"type": "any" if choice.type == "required" else choice.type}
    elif choice.type == "required":
        msg = "tool_choice 'required' needs tools to choose from"
        raise InvalidRequest(msg, parameter="tool_choice")


# Options


def _set_options(body: dict[str, Any], request: Request, facts: ClaudeFacts) -> None:
    options = request.options
    for name, field in _SAMPLING.items():
        value = getattr(options, name)
        if value is None:
            continue
        if facts.sampling:
            body[field] = value
        else:
            _refuse(name, request)
    if options.stop is not None:
        body["stop_sequences"] = list(options.stop)


def _set_thinking(body: dict[str, Any], request: Request, facts: ClaudeFacts) -> None:
    """Whether to think, and how hard: by effort, by a number of tokens, or not at all (``none``, 0)."""
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


def _set_output(body: dict[str, Any], request: Request, facts: ClaudeFacts) -> None:
    if not facts.json_schema:
        _refuse("output", request)
        return
    shape = {"type": "json_schema", "schema": held_to(schema_of(request.output))}
    body["output_config"] = {**body.get("output_config", {}), "format": shape}


def _refuse(option: str, request: Request) -> None:
    """Say that the model is known not to take an option, unless it may be left out."""
    if not request.options.drop_unsupported:
        msg = (
            f"route 'anthropic-messages' cannot honour the option {option!r} with the model {request.model!r}, which "
            "does not take it; leave it out, or allow that it is left out with drop_unsupported=True"
        )
        raise UnsupportedOption(msg, option=option)


def _longest(body: Mapping[str, Any], options: Options, default: int) -> int:
    """How long the answer may be, thinking included.

    Raises:
        InvalidRequest: if thinking is to take all of it.
    """
    if isinstance(body.get("max_tokens"), int):
        default = body["max_tokens"]
    thinking = body.get("thinking")
    budget = thinking.get("budget_tokens") if isinstance(thinking, Mapping) else None
    longest = options.max_tokens
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


def _provider_options(request: Request, dialect: AnthropicDialect) -> dict[str, Any]:
    """What the caller wants to stand in the body as it is.

    Raises:
        InvalidRequest: for a field that the request sets itself, and for thinking without its budget.
    """
    fields: dict[str, Any] = {}
    for namespace in dialect.namespaces:
        options = request.provider_options.get(namespace)
        if options is None:
            continue
        if not isinstance(options, Mapping):
            msg = f"provider_options[{namespace!r}] must be a mapping, not {type(options).__name__}"
            raise InvalidRequest(msg, parameter="provider_options")
        for name, value in options.items():
            field: str = _ALIASES.get(name) or name
            if field in _RESERVED:
                msg = f"provider_options[{namespace!r}] cannot set {name!r}; the request has a field of its own for it"
                raise InvalidRequest(msg, parameter="provider_options")
            fields[field] = _thinking(value) if field == "thinking" else value
    return fields


def _thinking(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    fields = {"budget_tokens" if name == "budgetTokens" else name: given for name, given in value.items()}
    if fields.get("type") == "enabled" and "budget_tokens" not in fields:
        msg = "provider_options['anthropic']['thinking'] of the type 'enabled' needs its budget_tokens"
        raise InvalidRequest(msg, parameter="provider_options")
    return fields
