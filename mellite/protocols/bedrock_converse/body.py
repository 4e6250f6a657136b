"""The request body of Converse: options, thinking, tools, output types; and what Bedrock asks of a history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from attrs import evolve

from ...values.errors import UnsupportedOption
from ...values.messages import Message, Reasoning, ToolCall
from ...values.options import NO_OPTIONS, CachePolicy
from ...values.provider_json import Json, JsonObject
from ...values.request import Request
from ...values.tools import ToolChoice, ToolDefinition
from .. import history
from ..body_fields import own_fields, renamed
from ..cache_marks import marked
from ..message_parts import has_plain_system, plain_turns
from ..tool_definitions import input_schema, possible
from .content import ConversationWriter, cache_point, proof_of
from .models import Family, family_of
from .schema import plan, text_format

__all__ = ["OPTIONS", "lower", "mend"]

_NAMESPACE: Final = "bedrock"

_FIELDS: Final = {"max_tokens": "maxTokens", "temperature": "temperature", "top_p": "topP", "stop": "stopSequences"}

#: The generation options that Converse has a place for.
OPTIONS: Final = frozenset({*_FIELDS, "reasoning_budget", "reasoning_effort", "top_k"})

#: Fields of the body that a request sets itself; ``provider_options`` may not.
_RESERVED: Final = frozenset({"messages", "modelId", "system", "toolConfig"})

_RULES: Final = history.HistoryRules(ids="claude", calls_last=True)
_NOT_OFFERED: Final = "Not available any more; it stands here because it was called before."


def mend(request: Request) -> tuple[Request, tuple[str, ...]]:
    """Return the request with a history that Bedrock takes, and a sentence for each thing that was changed.

    Beside what `mellite.protocols.history.mend` does: Claude's thinking without its signature, which it refuses, is
    left out, and tools that were called before are declared where there are none, without which calls are refused.

    Example:
        >>> talk = [Message.user("Hi."), Message.assistant(Reasoning("Hm."), "Yes?"), Message.user("Go on.")]
        >>> mend(Request.of(talk, model="us.anthropic.claude-sonnet-4-6"))[1]
        ('thinking without a signature is left out: the model would refuse it',)
    """
    if request.messages and request.messages[-1].role == "user" and history.is_text(request):
        return request, ()
    request, changes = history.mend(request, rules=_RULES)
    if family_of(request.model).signed:
        messages = tuple([_without_unsigned(message) for message in request.messages])
        if any(new is not old for new, old in zip(messages, request.messages, strict=True)):
            request = evolve(request, messages=messages)
            changes += ("thinking without a signature is left out: the model would refuse it",)
        trimmed = history.without_last_space(request)
        if trimmed is not request:
            request, changes = trimmed, (*changes, history.LAST_SPACE)
    called = {} if request.tools else dict.fromkeys([call.name for call in _local_calls(request)])
    if called:
        tools = tuple([ToolDefinition(name, _NOT_OFFERED) for name in called])
        request = evolve(request, tools=tools)
        names = ", ".join([repr(name) for name in called])
        changes += (f"the tools that were called before, {names}, are declared: Bedrock refuses calls of others",)
    return request, changes


def _without_unsigned(message: Message) -> Message:
    parts = tuple([part for part in message.content if not isinstance(part, Reasoning) or proof_of(part)])
    return message if len(parts) == len(message.content) else evolve(message, content=parts)


def _local_calls(request: Request) -> list[ToolCall]:
    return [call for message in request.messages for call in message.tool_calls if not call.provider_executed]


def lower(request: Request, *, stream: bool) -> JsonObject:  # noqa: ARG001 - the path says it here
    """Write the JSON body of a request.

    Raises:
        InvalidRequest: for what the protocol cannot say.
        UnsupportedOption: for an option that this family of models has no place for.

    Example:
        >>> lower(Request.of("Hello.", model="amazon.nova-micro-v1:0", temperature=0), stream=True)["inferenceConfig"]
        {'temperature': 0}
    """
    if request.output is not str:
        request, _ = plan(request)
    family = family_of(request.model)
    writer = ConversationWriter()
    plain = None if request.tools or request.cache not in (None, "auto", "none") else plain_turns(request)
    if plain and has_plain_system(request):
        marks = (family.caches or family.caches_tools) and request.cache != "none"
        writer.write_turns(request.system, plain, marks=marks)
    else:
        request = _with_cache_hints(request, family)
        writer.write(request)
    body: JsonObject = {"modelId": request.model, "messages": writer.messages}
    if writer.system:
        body["system"] = writer.system
    if request.options is not NO_OPTIONS:
        config = renamed(request.options, _FIELDS)
        if config:
            body["inferenceConfig"] = config
        _set_model_options(body, request, family)
    if request.tools or request.tool_choice is not None:
        _set_tools(body, request)
    if request.output is not str:
        body.setdefault("outputConfig", {})["textFormat"] = text_format(request.output)
    for name, value in own_fields(request, _NAMESPACE, reserved=_RESERVED) if request.provider_options else ():
        known = body.get(name)
        body[name] = {**known, **value} if isinstance(known, dict) and isinstance(value, Mapping) else value
    return body


def _with_cache_hints(request: Request, family: Family) -> Request:
    """Put hints where the cache is to be used; unasked only for models known to have one, as others refuse them."""
    if request.cache in (None, "auto") and not family.caches_tools:
        request = evolve(request, cache=CachePolicy(system=True, messages=1) if family.caches else "none")
    return marked(request)


def _set_tools(body: JsonObject, request: Request) -> None:
    choice = request.tool_choice
    if choice is not None and choice.type == "none":
        if not _local_calls(request):
            return
        _refuse_none(request)
        choice = None
    choice = possible(choice, [tool.name for tool in request.tools])
    tools: list[JsonObject] = []
    for tool in request.tools:
        tools.append(_tool(tool))
        if tool.cache is not None:
            tools.append(cache_point(tool.cache))
    if tools:
        body["toolConfig"] = {"tools": tools} if choice is None else {"tools": tools, "toolChoice": _choice(choice)}


def _refuse_none(request: Request) -> None:
    if not request.options.drop_unsupported:
        msg = (
            "route 'bedrock-converse' cannot honour tool_choice 'none' where tools were called before: Bedrock wants "
            "them declared then, and knows no such choice; allow that it is left out with drop_unsupported=True"
        )
        raise UnsupportedOption(msg, option="tool_choice")


def _tool(tool: ToolDefinition) -> JsonObject:
    native = (tool.native or {}).get(_NAMESPACE)
    if isinstance(native, Mapping):  # such as {"systemTool": {"name": "nova_grounding"}}
        return dict(native)
    spec: JsonObject = {"name": tool.name}
    if tool.description.strip():
        spec["description"] = tool.description
    spec["inputSchema"] = {"json": input_schema(tool)}
    if tool.strict is not None:
        spec["strict"] = tool.strict
    return {"toolSpec": spec}


def _choice(choice: ToolChoice) -> JsonObject:
    if choice.type == "tool":
        return {"tool": {"name": choice.name}}
    return {"any": {}} if choice.type == "required" else {"auto": {}}


def _set_model_options(body: JsonObject, request: Request, family: Family) -> None:
    """Set what families of models call by names of their own."""
    options = request.options
    more: JsonObject = {}
    if options.top_k is not None:
        _place(more, family.top_k, options.top_k)
    effort = options.reasoning_effort
    if effort is not None:
        if family.effort is None:
            _refuse(request, "reasoning_effort")
        elif family.effort:
            _place(more, family.effort, effort)
            for name, value in family.effort_beside:
                _place(more, (*family.effort[:-1], name), value)
        else:
            body["outputConfig"] = {"effort": effort}
    budget = options.reasoning_budget
    if budget is not None:
        if not family.thinking:
            _refuse(request, "reasoning_budget")
        else:
            more["thinking"] = {"type": "enabled", "budget_tokens": budget} if budget > 0 else {"type": "disabled"}
    if more:
        body["additionalModelRequestFields"] = more


def _place(fields: JsonObject, path: Sequence[str], value: Json) -> None:
    for name in path[:-1]:
        fields = fields.setdefault(name, {})
    fields[path[-1]] = value


def _refuse(request: Request, option: str) -> None:
    if not request.options.drop_unsupported:
        msg = (
            f"route 'bedrock-converse' cannot honour the option {option!r} with the model {request.model!r}; leave it "
            "out, or allow that it is left out with drop_unsupported=True"
        )
        raise UnsupportedOption(msg, option=option)
