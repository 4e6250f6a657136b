"""The request body of OpenAI Responses: options, tools, output types, and how the companies that speak it differ."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import frozen

from ...values.errors import InvalidRequest
from ...values.options import Options
from ...values.output import is_object, schema_of, strict_schema
from ...values.request import Request
from ...values.tools import ToolChoice, ToolDefinition
from ..history import HistoryRules, mend
from .input import InputWriter

__all__ = ["OPENAI", "ResponsesDialect", "lower", "mended", "options_of"]


@frozen(kw_only=True)
class ResponsesDialect:
    """How one company's Responses API differs: facts, not code.

    Args:
        namespaces: whose entries of ``provider_options`` go into the body; later ones win. Under the last of them the
            parts of an answer keep what the company wants to see again: ids, phases, encrypted thinking.
        store: whether to say ``store: false``, so that the answer is not kept, unless the caller says otherwise.
        strict_tools: whether a tool definition says ``strict``, which counts as true where it is missing.
        reasoning_models: a regular expression for the models that think, and give their thinking away encrypted.
        message_ids: whether messages of the assistant go back with their id, as items of the answer.
        more_options: options that it takes beyond those of OpenAI.
        no_options: options of OpenAI that it does not take.
    """

    namespaces: tuple[str, ...] = ("openai",)
    store: bool = True
    strict_tools: bool = True
    reasoning_models: str | None = None
    message_ids: bool = False
    more_options: frozenset[str] = frozenset()
    no_options: frozenset[str] = frozenset()

    @property
    def namespace(self) -> str:
        """Where the parts of an answer keep what the company wants to see again."""
        return self.namespaces[-1]


#: The dialect of OpenAI itself. Other models refuse to be asked for encrypted thinking.
OPENAI: Final = ResponsesDialect(reasoning_models=r"(.*/)?(o\d|codex-|gpt-([5-9]|\d\d)(?!.*-chat))")

_OPTIONS: Final = {
    "max_tokens": "max_output_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "seed": "seed",
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


def lower(request: Request, *, stream: bool, dialect: ResponsesDialect = OPENAI) -> dict[str, Any]:
    """The JSON body of a request.

    Raises:
        InvalidRequest: for what the protocol cannot say.

    Example:
        >>> lower(Request.of("Hello.", model="gpt-4o-mini", temperature=0), stream=False)["input"]
        [{'role': 'user', 'content': [{'type': 'input_text', 'text': 'Hello.'}]}]
    """
    body: dict[str, Any] = {"model": request.model}
    if dialect.store:
        body["store"] = False
    if stream:
        body["stream"] = True
    _set_options(body, request.options)
    for namespace in dialect.namespaces:
        _set_provider_options(body, request.provider_options.get(namespace), namespace)
    stored = body.get("store") is not False
    writer = InputWriter(namespace=dialect.namespace, stored=stored, message_ids=dialect.message_ids)
    body["input"] = writer.written(request)
    tools = [_tool(tool, dialect) for tool in request.tools]
    if tools:
        body["tools"] = [*body.get("tools", ()), *tools]
        if request.options.parallel_tool_calls is not None:
            body["parallel_tool_calls"] = request.options.parallel_tool_calls
    if request.tool_choice is not None:
        _choose(body, request.tool_choice, tools)
    if request.output is not str:
        body["text"] = {**body.get("text", {}), "format": _format(request.output)}
    if not stored and dialect.reasoning_models is not None and re.match(dialect.reasoning_models, request.model or ""):
        include = body.get("include") or []
        body["include"] = include if _ENCRYPTED in include else [*include, _ENCRYPTED]
    return body


def _set_options(body: dict[str, Any], options: Options) -> None:
    for name, field in _OPTIONS.items():
        value = getattr(options, name)
        if value is not None:
            body[field] = value
    if options.stop is not None:
        body["stop"] = list(options.stop)
    if options.reasoning_effort is not None:
        body["reasoning"] = {"effort": options.reasoning_effort}


def _set_provider_options(body: dict[str, Any], options: Any, namespace: str) -> None:
    if options is None:
        return
    if not isinstance(options, Mapping):
        msg = f"provider_options[{namespace!r}] must be a mapping, not {type(options).__name__}"
        raise InvalidRequest(msg, parameter="provider_options")
    for name, value in options.items():
        *outer, field = _PLACES.get(name, (name,))
        if field in _RESERVED:
            msg = f"provider_options[{namespace!r}] cannot set {name!r}; the request has a field of its own for it"
            raise InvalidRequest(msg, parameter="provider_options")
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


def _tool(tool: ToolDefinition, dialect: ResponsesDialect) -> dict[str, Any]:
    """A function; or a tool of another type, which ``native`` describes: custom, or run by the provider."""
    native = dict((tool.native or {}).get(dialect.namespace) or {})
    if native.get("type", "function") == "custom":
        return {"name": tool.name, "description": tool.description, **native}
    if native.get("type", "function") != "function":
        return native
    schema = {"properties": {}, **tool.input_schema, "type": "object"}
    function: dict[str, Any] = {"type": "function", "name": tool.name, "description": tool.description}
    function["parameters"] = schema
    if dialect.strict_tools:
        function["strict"] = bool(tool.strict)
    return {**function, **native}


def _choose(body: dict[str, Any], choice: ToolChoice, tools: Sequence[Mapping[str, Any]]) -> None:
    if choice.type == "tool":
        chosen = next((tool for tool in tools if choice.name in (tool.get("name"), tool["type"])), None)
        if chosen is None:
            names = ", ".join([str(tool.get("name") or tool["type"]) for tool in tools]) or "(none)"
            msg = f"tool_choice names {choice.name!r}, which is not among the tools {names}"
            raise InvalidRequest(msg, parameter="tool_choice")
        named = {"type": chosen["type"]}
        body["tool_choice"] = {**named, "name": chosen["name"]} if "name" in chosen else named
    elif body.get("tools"):
        body["tool_choice"] = choice.type
    elif choice.type == "required":
        msg = "tool_choice 'required' needs tools to choose from"
        raise InvalidRequest(msg, parameter="tool_choice")


def _format(output: Any) -> dict[str, Any]:
    schema = schema_of(output)
    name = getattr(output, "__name__", "answer")
    if not is_object(schema):
        msg = f"output type {name!r} is no JSON object, which is all that OpenAI can be held to; wrap it in a class"
        raise InvalidRequest(msg, parameter="output")
    strict = strict_schema(schema)
    name = re.sub(r"[^a-zA-Z0-9_-]", "_", name)[:64]
    shape = schema if strict is None else strict
    return {"type": "json_schema", "name": name, "schema": shape, "strict": strict is not None}


def options_of(dialect: ResponsesDialect) -> frozenset[str]:
    """The generation options that this company takes."""
    return (_OWN_OPTIONS | dialect.more_options) - dialect.no_options


#: Provider options by which the server knows the beginning of the conversation.
_CONTINUING: Final = frozenset({"conversation", "previousResponseId", "previous_response_id"})


def mended(request: Request) -> tuple[Request, tuple[str, ...]]:
    """The request with a history that the server takes, and what was changed in it.

    A result without a call stays where the server knows the call: where the request goes on from an answer it keeps.
    """
    options = [options for options in request.provider_options.values() if isinstance(options, Mapping)]
    continues = any(given.get(name) is not None for given in options for name in _CONTINUING)
    rules = HistoryRules(ids="responses", stray_results="keep" if continues else "text", approvals=True)
    return mend(request, rules=rules)
