"""The request body of Gemini: options, thinking, tools, output types; and what Gemini 3 asks of a history."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from attrs import evolve

from ...values.errors import InvalidRequest, UnsupportedOption
from ...values.messages import Part, ToolCall
from ...values.options import NO_OPTIONS, Options
from ...values.provider_json import Json, JsonObject
from ...values.request import Request
from ...values.tools import ToolChoice, ToolDefinition
from .. import history
from ..body_fields import own_fields, renamed
from ..message_parts import noted
from ..tool_definitions import native_notes, possible
from .content import ConversationWriter
from .dialect import GOOGLE, GeminiDialect
from .models import generation_of, is_third
from .schema import is_hosted, parameters_of, plan, response_schema

__all__ = ["GOOGLE", "OPTIONS", "GeminiDialect", "lower", "mend"]

_NAMESPACE: Final = "google"

_FIELDS: Final = {
    "max_tokens": "maxOutputTokens",
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "frequency_penalty": "frequencyPenalty",
    "presence_penalty": "presencePenalty",
    "seed": "seed",
    "stop": "stopSequences",
}

#: The generation options that Gemini takes.
OPTIONS: Final = frozenset({*_FIELDS, "reasoning_budget", "reasoning_effort"})

#: How many tokens an effort means for models before Gemini 3, which only know budgets
#: (https://ai.google.dev/gemini-api/docs/openai#thinking).
_BUDGETS: Final = {"none": 0, "minimal": 1024, "low": 1024, "medium": 8192, "high": 24576}

_MODES: Final = {"auto": "AUTO", "none": "NONE", "required": "ANY"}

#: Fields of the body that stand at its top; every other provider option belongs into ``generationConfig``.
_TOP: Final = frozenset(
    {
        "cachedContent",
        "generationConfig",
        "labels",
        "modelArmorConfig",
        "safetySettings",
        "serviceTier",
        "store",
        "toolConfig",
    }
)
#: Fields of the body that a request sets itself; ``provider_options`` may not.
_RESERVED: Final = frozenset({"contents", "model", "systemInstruction"})


def mend(request: Request) -> tuple[Request, tuple[str, ...]]:
    """Return the request with a history that Gemini takes, and a sentence for each thing that was changed.

    Gemini 3 refuses calls of the current turn without a thought signature: those that another model made get the
    word that Google documents for them (https://ai.google.dev/gemini-api/docs/thought-signatures).
    """
    if history.is_text(request):
        return request, ()
    request, changes = history.mend(request, rules=history.LOOSE)
    if not is_third(request.model):
        return request, changes
    messages = list(request.messages)
    said = [*changes]
    for position in range(len(messages) - 1, -1, -1):
        message = messages[position]
        if message.role == "user":
            break  # what was called before is no longer looked at
        content = list(message.content)
        number = next((at for at, part in enumerate(content) if _is_call(part)), None)
        if message.role != "assistant" or number is None:
            continue
        call = content[number]
        if isinstance(call, ToolCall) and not any(
            noted(part, _NAMESPACE, "thoughtSignature") for part in content if _is_call(part)
        ):
            google = {**(call.provider_metadata or {}).get("google", {}), "thoughtSignature": _NO_SIGNATURE}
            content[number] = evolve(call, provider_metadata={**(call.provider_metadata or {}), "google": google})
            messages[position] = evolve(message, content=content)
            said.append(f"tool call {call.id!r} has no thought signature: it is sent with {_NO_SIGNATURE!r}")
    if len(said) == len(changes):
        return request, changes
    return evolve(request, messages=tuple(messages)), tuple(said)


_NO_SIGNATURE: Final = "skip_thought_signature_validator"


mended = mend  # as pickles of earlier versions call it


def lower(request: Request, *, stream: bool, dialect: GeminiDialect = GOOGLE) -> JsonObject:  # noqa: ARG001 - the URL says it
    """Write the JSON body of a request.

    Raises:
        InvalidRequest: for what the protocol cannot say.
        UnsupportedOption: for an effort that the model does not know.

    Example:
        >>> lower(Request.of("Hello.", model="gemini-2.5-flash", temperature=0), stream=False)
        {'contents': [{'role': 'user', 'parts': [{'text': 'Hello.'}]}], 'generationConfig': {'temperature': 0}}
    """
    if request.output is not str:
        request, _ = plan(request)
    writer = ConversationWriter(request, results=dialect.results)
    writer.write(request)
    body: JsonObject = {}
    if writer.system:
        body["systemInstruction"] = {"parts": [{"text": writer.system}]}
    body["contents"] = writer.messages
    if request.tools or request.tool_choice is not None:
        _set_tools(body, request)
    config: JsonObject = {}
    if request.options is not NO_OPTIONS:
        config = renamed(request.options, _FIELDS)
        thinking = _thinking(request.options, request.model)
        if thinking:
            config["thinkingConfig"] = thinking
    if request.output is not str:
        config |= {"responseMimeType": "application/json", "responseJsonSchema": response_schema(request.output)}
    body["generationConfig"] = config
    for namespace in dialect.namespaces if request.provider_options else ():
        for name, value in own_fields(request, namespace, reserved=_RESERVED, field_of=_camel):
            _place(body, _camel(name), value, namespace)
    if not body["generationConfig"]:
        del body["generationConfig"]
    return body


def _is_call(part: Part) -> bool:
    return isinstance(part, ToolCall) and not part.provider_executed


def _set_tools(body: JsonObject, request: Request) -> None:
    functions = [tool for tool in request.tools if not is_hosted(tool)]
    declared = [{"functionDeclarations": [_tool(tool) for tool in functions]}] if functions else []
    tools = [*declared, *[dict(native_notes(tool, _NAMESPACE)) for tool in request.tools if is_hosted(tool)]]
    if tools:
        body["tools"] = tools
    choice = _choice(request.tool_choice, functions)
    if choice:
        body["toolConfig"] = {"functionCallingConfig": choice}


def _tool(tool: ToolDefinition) -> JsonObject:
    native = native_notes(tool, _NAMESPACE)
    declared = {} if "parametersJsonSchema" in native else parameters_of(tool.input_schema)
    return {"name": tool.name, "description": tool.description, **declared, **native}


def _choice(choice: ToolChoice | None, tools: Sequence[ToolDefinition]) -> JsonObject:
    choice = possible(choice, [tool.name for tool in tools])
    if (choice is None or choice.type == "auto") and any(tool.strict for tool in tools):
        return {"mode": "VALIDATED"}  # as AUTO, but held to the schemas
    if choice is None:
        return {}
    if choice.type == "tool":
        return {"mode": "ANY", "allowedFunctionNames": [choice.name]}
    return {"mode": _MODES[choice.type]}


def _thinking(options: Options, model: str | None) -> JsonObject:
    """Say how hard to think: models before Gemini 3 know budgets, later ones also levels, but not both at once."""
    effort, budget = options.reasoning_effort, options.reasoning_budget
    generation = generation_of(model)
    if budget is not None:
        return {"thinkingBudget": budget, "includeThoughts": budget != 0}
    if effort is None:
        return {}
    if generation is None or generation >= 3:
        if effort != "none":
            return {"thinkingLevel": effort, "includeThoughts": True}
    elif effort in _BUDGETS:
        return {"thinkingBudget": _BUDGETS[effort], "includeThoughts": effort != "none"}
    if options.drop_unsupported:
        return {}
    known = "low, medium, high" if generation is None or generation >= 3 else ", ".join(_BUDGETS)
    msg = f"{model!r} cannot think with the option reasoning_effort={effort!r}; it knows {known}"
    raise UnsupportedOption(msg, option="reasoning_effort")


def _camel(name: str) -> str:
    return re.sub(r"_([a-z])", lambda found: found[1].upper(), name)


def _place(body: JsonObject, field: str, value: Json, namespace: str) -> None:
    """Put one of the caller's own fields where the body has it."""
    if field != "tools":
        _lay(body if field in _TOP else body["generationConfig"], field, value)
    elif isinstance(value, (list, tuple)):  # hosted ones, such as {"googleSearch": {}}, beside those of the request
        body["tools"] = [*body.get("tools", ()), *value]
    else:
        msg = f"provider_options[{namespace!r}]['tools'] must be a list such as [{{'googleSearch': {{}}}}]"
        raise InvalidRequest(msg, parameter="provider_options")


def _lay(target: JsonObject, name: str, value: Json) -> None:
    """Lay a value over what is there, objects field by field; the objects given belong to the caller and stay."""
    if isinstance(value, Mapping):
        held = target.get(name)
        merged = dict(held) if isinstance(held, Mapping) else {}
        for inner, its in value.items():
            _lay(merged, inner, its)
        value = merged
    target[name] = value
