"""The request body of Bedrock's Converse: system prompt, messages, media, tools, options, cache points."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final
from xml.sax.saxutils import escape

from attrs import evolve

from ...values.errors import InvalidRequest, UnsupportedOption
from ...values.messages import CacheHint, Media, Message, Part, Reasoning, Text, ToolCall, ToolResult
from ...values.options import CachePolicy
from ...values.output import schema_of, strict_schema
from ...values.request import Request
from ...values.tools import ToolChoice, ToolDefinition
from ..cache_marks import is_long, marked
from ..history import HistoryRules, mend as mended
from ..json_values import decode_json, json_text
from ..tool_calls import result_text
from .media import WHO, MediaBlocks
from .models import Family, family_of

__all__ = ["OPTIONS", "lower", "mend"]

#: The generation options that Converse has a place for.
OPTIONS: Final = frozenset(
    {"max_tokens", "reasoning_budget", "reasoning_effort", "stop", "temperature", "top_k", "top_p"}
)

#: Fields of the body that a request sets itself; ``provider_options`` may not.
_RESERVED: Final = frozenset({"messages", "modelId", "system", "toolConfig"})

_RULES: Final = HistoryRules(ids="claude", calls_last=True)
_NOT_OFFERED: Final = "Not available any more; it stands here because it was called before."


def mend(request: Request) -> tuple[Request, tuple[str, ...]]:
    """The request with a history that Bedrock takes, and a sentence for each thing that was changed.

    Beside what `mellite.protocols.history.mend` does: Claude's thinking without its signature, which it refuses, is
    left out, and tools that were called before are declared where there are none, without which calls are refused.

    Example:
        >>> talk = [Message.user("Hi."), Message.assistant(Reasoning("Hm."), "Yes?"), Message.user("Go on.")]
        >>> mend(Request.of(talk, model="us.anthropic.claude-sonnet-4-6"))[1]
        ('thinking without a signature is left out: the model would refuse it',)
    """
    request, changes = mended(request, rules=_RULES)
    if family_of(request.model).signed:
        messages = tuple([_without_unsigned(message) for message in request.messages])
        if any(new is not old for new, old in zip(messages, request.messages, strict=True)):
            request = evolve(request, messages=messages)
            changes += ("thinking without a signature is left out: the model would refuse it",)
        request, changes = _without_last_space(request, changes)
    called = {} if request.tools else dict.fromkeys([call.name for call in _local_calls(request)])
    if called:
        tools = tuple([ToolDefinition(name, _NOT_OFFERED) for name in called])
        request = evolve(request, tools=tools)
        names = ", ".join([repr(name) for name in called])
        changes += (f"the tools that were called before, {names}, are declared: Bedrock refuses calls of others",)
    return request, changes


def _without_unsigned(message: Message) -> Message:
    parts = tuple([part for part in message.content if not isinstance(part, Reasoning) or _proof(part)])
    return message if len(parts) == len(message.content) else evolve(message, content=parts)


def _without_last_space(request: Request, changes: tuple[str, ...]) -> tuple[Request, tuple[str, ...]]:
    """Claude refuses to go on with a text that ends with white space."""
    last = request.messages[-1] if request.messages else None
    end = last.content[-1] if last is not None and last.role == "assistant" and last.content else None
    if last is None or not isinstance(end, Text) or end.text == end.text.rstrip():
        return request, changes
    last = evolve(last, content=(*last.content[:-1], evolve(end, text=end.text.rstrip())))
    request = evolve(request, messages=(*request.messages[:-1], last))
    return request, (*changes, "space at the end of the text that is to be continued is left out")


def _local_calls(request: Request) -> list[ToolCall]:
    return [call for message in request.messages for call in message.tool_calls if not call.provider_executed]


# The body


def lower(request: Request, *, stream: bool) -> dict[str, Any]:  # noqa: ARG001 - the path says it here
    """The JSON body of a request.

    Raises:
        InvalidRequest: for what the protocol cannot say.
        UnsupportedOption: for an option that this family of models has no place for.

    Example:
        >>> lower(Request.of("Hello.", model="amazon.nova-micro-v1:0", temperature=0), stream=True)["inferenceConfig"]
        {'temperature': 0}
    """
    family = family_of(request.model)
    request = _with_cache_hints(request, family)
    system, messages = _messages(request)
    body: dict[str, Any] = {"modelId": request.model, "messages": messages}
    if system:
        body["system"] = system
    _set_options(body, request)
    _set_model_options(body, request, family)
    tools = _tool_config(request)
    if tools:
        body["toolConfig"] = tools
    if request.output is not str:
        body.setdefault("outputConfig", {})["textFormat"] = _text_format(request.output)
    _set_provider_options(body, request.provider_options.get("bedrock"))
    return body


def _with_cache_hints(request: Request, family: Family) -> Request:
    """Hints where the cache is to be used; unasked only for models that are known to have one, as others refuse it."""
    if request.cache in (None, "auto") and not family.caches_tools:
        request = evolve(request, cache=CachePolicy(system=True, messages=1) if family.caches else "none")
    return marked(request)


def _cache_point(hint: CacheHint) -> dict[str, Any]:
    point = {"type": "default", "ttl": "1h"} if is_long(hint) else {"type": "default"}
    return {"cachePoint": point}


def _set_options(body: dict[str, Any], request: Request) -> None:
    options = request.options
    config = {
        "maxTokens": options.max_tokens,
        "temperature": options.temperature,
        "topP": options.top_p,
        "stopSequences": None if options.stop is None else list(options.stop),
    }
    given = {name: value for name, value in config.items() if value is not None}
    if given:
        body["inferenceConfig"] = given


def _set_model_options(body: dict[str, Any], request: Request, family: Family) -> None:
    """What families of models call by names of their own."""
    options = request.options
    more: dict[str, Any] = {}
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


def _place(fields: dict[str, Any], path: Sequence[str], value: Any) -> None:
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


def _text_format(output: Any) -> dict[str, Any]:
    schema = schema_of(output)
    strict = strict_schema(schema)
    name = re.sub(r"[^a-zA-Z0-9_-]", "_", getattr(output, "__name__", "answer"))[:64]
    text = json_text(schema if strict is None else strict, what="the schema of the output type")
    return {"type": "json_schema", "structure": {"jsonSchema": {"name": name, "schema": text}}}


def _set_provider_options(body: dict[str, Any], options: Any) -> None:
    """Fields of the body that only Bedrock knows; objects are laid over those that are there."""
    if options is None:
        return
    if not isinstance(options, Mapping):
        msg = f"provider_options['bedrock'] must be a mapping, not {type(options).__name__}"
        raise InvalidRequest(msg, parameter="provider_options")
    for name, value in options.items():
        if name in _RESERVED:
            msg = f"provider_options['bedrock'] cannot set {name!r}; the request has a field of its own for it"
            raise InvalidRequest(msg, parameter="provider_options")
        known = body.get(name)
        body[name] = {**known, **value} if isinstance(known, dict) and isinstance(value, Mapping) else value


# Tools


def _tool_config(request: Request) -> dict[str, Any] | None:
    choice = request.tool_choice
    if choice is not None and choice.type == "none":
        if not _local_calls(request):
            return None
        _refuse_none(request)
        choice = None
    names = [tool.name for tool in request.tools]
    if choice is not None and choice.type == "tool" and choice.name not in names:
        msg = f"tool_choice names {choice.name!r}, which is not among the tools {', '.join(names) or '(none)'}"
        raise InvalidRequest(msg, parameter="tool_choice")
    if not names:
        if choice is not None and choice.type == "required":
            msg = "tool_choice 'required' needs tools to choose from"
            raise InvalidRequest(msg, parameter="tool_choice")
        return None
    tools: list[dict[str, Any]] = []
    for tool in request.tools:
        tools.append(_tool(tool))
        if tool.cache is not None:
            tools.append(_cache_point(tool.cache))
    return {"tools": tools} if choice is None else {"tools": tools, "toolChoice": _choice(choice)}


def _refuse_none(request: Request) -> None:
    if not request.options.drop_unsupported:
        msg = (
            "route 'bedrock-converse' cannot honour tool_choice 'none' where tools were called before: Bedrock wants "
            "them declared then, and knows no such choice; allow that it is left out with drop_unsupported=True"
        )
        raise UnsupportedOption(msg, option="tool_choice")


def _choice(choice: ToolChoice) -> dict[str, Any]:
    if choice.type == "tool":
        return {"tool": {"name": choice.name}}
    return {"any": {}} if choice.type == "required" else {"auto": {}}


def _tool(tool: ToolDefinition) -> dict[str, Any]:
    native = (tool.native or {}).get("bedrock")
    if isinstance(native, Mapping):  # such as {"systemTool": {"name": "nova_grounding"}}
        return dict(native)
    spec: dict[str, Any] = {"name": tool.name}
    if tool.description.strip():
        spec["description"] = tool.description
    spec["inputSchema"] = {"json": {"properties": {}, **tool.input_schema, "type": "object"}}
    if tool.strict is not None:
        spec["strict"] = tool.strict
    return {"toolSpec": spec}


# The messages


def _messages(request: Request) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The system prompt and the conversation.

    System messages at the beginning belong to the system prompt; later ones are updates, sent as text of the user.

    Raises:
        InvalidRequest: for a part that this protocol cannot carry in a message of its role.
    """
    turns = list(request.messages)
    texts = list(request.system)
    while turns and turns[0].role == "system":
        texts += _texts(turns.pop(0))
    system: list[dict[str, Any]] = []
    for text in texts:
        if text.text:
            system.append({"text": text.text})
        if text.cache is not None and system:
            system.append(_cache_point(text.cache))
    writer = _Writer()
    for message in turns:
        writer.add(message)
    return system, writer.messages


def _texts(message: Message) -> list[Text]:
    found = [part for part in message.content if isinstance(part, Text)]
    if len(found) < len(message.content):
        part = next(part for part in message.content if not isinstance(part, Text))
        raise _unsupported(part, "system", "Text")
    return found


def _unsupported(part: Part, role: str, kinds: str) -> InvalidRequest:
    msg = f"{WHO} {role} messages take parts of the types {kinds}, not {type(part).__name__}"
    return InvalidRequest(msg, parameter="messages")


class _Writer:
    """Writes one message after the other; those of one role in a row become one: Bedrock wants them to alternate."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self._media = MediaBlocks()

    def add(self, message: Message) -> None:
        if message.role == "system":
            text = "".join([part.text for part in _texts(message)])
            blocks = [{"text": f"<system-update>\n{escape(text)}\n</system-update>"}]
        elif message.role == "assistant":
            blocks = self._blocks(message, self._assistant)
        elif message.role == "tool":
            blocks = self._blocks(message, self._result)
        else:
            blocks = self._blocks(message, self._user)
        role = "assistant" if message.role == "assistant" else "user"
        if not blocks:
            if role == "assistant" or message.role == "tool":
                return
            blocks = [{"text": message.text}]  # blank: Bedrock says what it thinks of that
        if self.messages and self.messages[-1]["role"] == role:
            self.messages[-1]["content"] += blocks
        else:
            self.messages.append({"role": role, "content": blocks})

    def _blocks(self, message: Message, write: Any) -> list[dict[str, Any]]:
        blocks: list[dict[str, Any]] = []
        for part in message.content:
            block = write(part)
            if block is not None:
                blocks.append(block)
                hint: CacheHint | None = getattr(part, "cache", None)
                if hint is not None:
                    _mark(blocks, hint)
        return blocks

    def _user(self, part: Part) -> dict[str, Any] | None:
        if isinstance(part, Text):
            return _text(part)
        if isinstance(part, Media):
            return self._media.block(part)
        raise _unsupported(part, "user", "Text, Image, Document, Video, Audio")

    def _assistant(self, part: Part) -> dict[str, Any] | None:
        if isinstance(part, Text):
            return _text(part)
        if isinstance(part, Reasoning):
            return _reasoning(part)
        if isinstance(part, ToolCall):
            return _call(part)
        if isinstance(part, ToolResult) and part.provider_executed:
            native = _noted(part, "toolResult")
            return {"toolResult": dict(native)} if isinstance(native, Mapping) else None
        raise _unsupported(part, "assistant", "Text, Reasoning, ToolCall")

    def _result(self, part: Part) -> dict[str, Any] | None:
        if not isinstance(part, ToolResult):
            raise _unsupported(part, "tool", "ToolResult")
        if part.provider_executed:
            return None
        status = "error" if part.result.type == "error" else "success"
        return {"toolResult": {"toolUseId": part.id, "content": self._result_content(part), "status": status}}

    def _result_content(self, result: ToolResult) -> list[dict[str, Any]]:
        if result.result.type == "content":
            value = result.result.value
            parts: Sequence[Any] = value if isinstance(value, (list, tuple)) else (value,)
            blocks = [
                _text(part) if isinstance(part, Text) else self._media.block(part, of_tool=True) for part in parts
            ]
            found = [block for block in blocks if block is not None]
        elif result.result.type == "text":
            found = [{"text": result.result.value}] if str(result.result.value).strip() else []
        else:
            found = _json_content(result)
        return found or [{"text": "(empty)"}]  # blank text is refused


def _mark(blocks: list[dict[str, Any]], hint: CacheHint) -> None:
    """Put a cache point behind the last block; before documents and films, which it may not follow."""
    at = len(blocks)
    while at and blocks[at - 1].keys() & {"document", "video"}:
        at -= 1
    if at and not blocks[at - 1].keys() & {"cachePoint", "reasoningContent"}:
        blocks.insert(at, _cache_point(hint))


def _text(part: Text) -> dict[str, Any] | None:
    if not part.text.strip():
        return None
    citations = _noted(part, "citations")
    if citations:
        return {"citationsContent": {"content": [{"text": part.text}], "citations": list(citations)}}
    return {"text": part.text}


def _reasoning(part: Reasoning) -> dict[str, Any] | None:
    hidden = _noted(part, "redactedContent")
    if hidden is not None:
        return {"reasoningContent": {"redactedContent": hidden}}
    proof = _proof(part)
    if proof is None and not part.text.strip():
        return None
    said = {"text": part.text} if proof is None else {"text": part.text, "signature": proof}
    return {"reasoningContent": {"reasoningText": said}}


def _proof(part: Reasoning) -> str | None:
    """The signature of thinking, or what stands for it; Claude's own hold wherever it runs."""
    theirs = (part.provider_metadata or {}).get("anthropic") or {}
    found = _noted(part, "signature") or _noted(part, "redactedContent") or theirs.get("signature")
    if not found and not part.provider_metadata:
        found = part.encrypted  # with metadata of somebody else, it is somebody else's, too
    return found if isinstance(found, str) and found else None


def _call(call: ToolCall) -> dict[str, Any] | None:
    use: dict[str, Any] = {"toolUseId": call.id, "name": call.name, "input": _input(call)}
    if call.provider_executed:
        kind = _noted(call, "type")
        return None if kind is None else {"toolUse": {**use, "type": kind}}
    return {"toolUse": use}


def _input(call: ToolCall) -> Any:
    """The arguments, which must be an object; what the model wrote instead of one is kept in one."""
    value = call.arguments
    if value is None and call.raw_arguments and call.raw_arguments.strip():
        return {"invalid_json": call.raw_arguments}
    value = decode_json(json_text({} if value is None else value, what=f"the arguments of tool call {call.id!r}"))
    return value if isinstance(value, dict) else {"invalid_json": value}


def _json_content(result: ToolResult) -> list[dict[str, Any]]:
    """A result that is no text: an object as it is; Bedrock takes anything else only as text."""
    text, _ = result_text(result)
    value = (
        decode_json(text) if isinstance(result.result.value, (Mapping, list)) or result.result.type == "json" else None
    )
    return [{"json": value}] if isinstance(value, dict) else [{"text": text}] if text.strip() else []


def _noted(part: Text | Reasoning | ToolCall | ToolResult, name: str) -> Any:
    """What an earlier answer noted of a part, to be sent back."""
    return ((part.provider_metadata or {}).get("bedrock") or {}).get(name)
