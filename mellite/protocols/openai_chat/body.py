"""The request body of Chat Completions: options, tools, messages, pictures; and how companies differ in it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal
from xml.sax.saxutils import escape

from attrs import evolve, frozen

from ...values.errors import InvalidRequest, UnsupportedOption
from ...values.messages import Audio, Document, Image, Message, Part, Reasoning, Text, ToolCall, ToolResult
from ...values.options import CachePolicy
from ...values.output import is_object, schema_of, strict_schema
from ...values.request import Request
from ...values.tools import ToolChoice, ToolDefinition
from ..cache_marks import is_long, marked
from ..media import IMAGE_TYPES, base64_of, data_url, media_type_of, web_url
from ..tool_calls import arguments_text, result_text

__all__ = ["OPENAI", "ChatDialect", "lower", "options_of"]

_WHO: Final = "OpenAI Chat"
_AUDIO_FORMATS: Final = {"audio/mp3": "mp3", "audio/mpeg": "mp3", "audio/wav": "wav", "audio/x-wav": "wav"}
_FILE_TYPES: Final = frozenset({"application/pdf"})


@frozen(kw_only=True)
class ChatDialect:
    """How one company's Chat Completions differ: facts, not code. The defaults are what nearly every host takes.

    Args:
        namespaces: whose entries of ``provider_options`` go into the body; later ones win.
        max_tokens: the name of the field for it; likewise `seed`.
        store: whether to say ``store: false``, so that the answer is not kept.
        strict_tools: whether a tool definition may say ``strict``.
        stream_usage: whether the usage of a stream has to be asked for; likewise `tool_stream`, the pieces of calls.
        json_schema: whether the answer can be held to a JSON Schema.
        reasoning_field: where the thinking of earlier turns goes; None where a host refuses to see it again.
        reasoning_required: whether an assistant message must have it, if only empty.
        reasoning_object: whether effort and budget go into a ``reasoning`` object, and ``reasoning_details`` come back.
        assistant_after_tool: whether an assistant must speak between a tool's result and the user.
        tool_ids: which ids of tool calls it takes, see `mellite.protocols.history.HistoryRules`.
        empty_tools: whether it wants ``tools: []`` where the history has tool calls but the request no tools.
        more_options: options that it takes beyond those of OpenAI.
        no_options: options of OpenAI that it does not take.
        finish_required: whether a stream without a finish reason has broken off.
        cache_models: a regular expression for the models for which texts can be marked for the provider's cache.
    """

    namespaces: tuple[str, ...] = ("openai",)
    max_tokens: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    seed: Literal["seed", "random_seed"] = "seed"
    store: bool = False
    strict_tools: bool = False
    stream_usage: bool = True
    tool_stream: bool = False
    json_schema: bool = True
    reasoning_field: Literal["reasoning_content", "reasoning"] | None = "reasoning_content"
    reasoning_required: bool = False
    reasoning_object: bool = False
    assistant_after_tool: bool = False
    tool_ids: Literal["any", "claude", "mistral", "openai"] = "any"
    empty_tools: bool = False
    more_options: frozenset[str] = frozenset()
    no_options: frozenset[str] = frozenset()
    finish_required: bool = True
    cache_models: str | None = None


#: The dialect of OpenAI itself.
OPENAI: Final = ChatDialect(max_tokens="max_completion_tokens", store=True, strict_tools=True, tool_ids="openai")


# The body

_OPTIONS: Final = {
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


#: What ``cache="auto"`` marks: of what it could, this is what these hosts take.
_MARKED: Final = CachePolicy(system=True, messages="latest-user-message")


def lower(request: Request, *, stream: bool, dialect: ChatDialect = OPENAI) -> dict[str, Any]:
    """The JSON body of a request.

    Raises:
        InvalidRequest: for what the protocol cannot say.
        UnsupportedOption: for an output type that the host cannot be held to.

    Example:
        >>> lower(Request.of("Hello.", model="gpt-4o-mini", temperature=0), stream=False)["messages"]
        [{'role': 'user', 'content': 'Hello.'}]
    """
    body: dict[str, Any] = {"model": request.model, "messages": _messages(request, dialect)}
    if request.tools:
        body["tools"] = [_tool(tool, dialect) for tool in request.tools]
    elif dialect.empty_tools and any(message.role == "tool" for message in request.messages):
        body["tools"] = []
    if request.tool_choice is not None:
        _choose(body, request.tool_choice, [tool.name for tool in request.tools])
    if stream:
        body["stream"] = True
        if dialect.stream_usage:
            body["stream_options"] = {"include_usage": True}
        if dialect.tool_stream and request.tools:
            body["tool_stream"] = True
    if dialect.store:
        body["store"] = False
    _set_options(body, request, dialect)
    if request.output is not str:
        if dialect.json_schema:
            body["response_format"] = _response_format(request.output)
        elif not request.options.drop_unsupported:
            msg = "this host cannot be held to an output type; ask for one in words and drop_unsupported=True"
            raise UnsupportedOption(msg, option="output")
    for namespace in dialect.namespaces:
        _set_provider_options(body, request.provider_options.get(namespace), namespace)
    return body


def _tool(tool: ToolDefinition, dialect: ChatDialect) -> dict[str, Any]:
    schema = {"properties": {}, **tool.input_schema, "type": "object"}
    function: dict[str, Any] = {"name": tool.name, "description": tool.description, "parameters": schema}
    if dialect.strict_tools:
        function["strict"] = bool(tool.strict)
    return {"type": "function", "function": function}


def _choose(body: dict[str, Any], choice: ToolChoice, names: Sequence[str]) -> None:
    if choice.type == "tool":
        if choice.name not in names:
            msg = f"tool_choice names {choice.name!r}, which is not among the tools {', '.join(names) or '(none)'}"
            raise InvalidRequest(msg, parameter="tool_choice")
        body["tool_choice"] = {"type": "function", "function": {"name": choice.name}}
    elif names:
        body["tool_choice"] = choice.type
    elif choice.type == "required":
        msg = "tool_choice 'required' needs tools to choose from"
        raise InvalidRequest(msg, parameter="tool_choice")


def _set_options(body: dict[str, Any], request: Request, dialect: ChatDialect) -> None:
    options = request.options
    for name, field in _OPTIONS.items():
        value = getattr(options, name)
        if value is not None:
            body[field] = value
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


def _response_format(output: Any) -> dict[str, Any]:
    schema = schema_of(output)
    name = getattr(output, "__name__", "answer")
    if not is_object(schema):
        msg = (
            f"output type {name!r} is no JSON object, which is all that OpenAI Chat can be held to; wrap it in a class"
        )
        raise InvalidRequest(msg, parameter="output")
    strict = strict_schema(schema)
    name = re.sub(r"[^a-zA-Z0-9_-]", "_", name)[:64]
    shape = {"name": name, "schema": schema if strict is None else strict, "strict": strict is not None}
    return {"type": "json_schema", "json_schema": shape}


def _set_provider_options(body: dict[str, Any], options: Any, namespace: str) -> None:
    if options is None:
        return
    if not isinstance(options, Mapping):
        msg = f"provider_options[{namespace!r}] must be a mapping, not {type(options).__name__}"
        raise InvalidRequest(msg, parameter="provider_options")
    for name, value in options.items():
        field: str = _ALIASES.get(name) or name
        if field in _RESERVED:
            msg = f"provider_options[{namespace!r}] cannot set {name!r}; the request has a field of its own for it"
            raise InvalidRequest(msg, parameter="provider_options")
        body[field] = _written(field, value)


def _written(field: str, value: Any) -> Any:
    """A provider option as it stands in the body: some are cut, some have a short form."""
    if field == "prompt_cache_key" and isinstance(value, str):
        return value[:_LONGEST_CACHE_KEY]
    return {"include": True} if field == "usage" and value is True else value


def options_of(dialect: ChatDialect) -> frozenset[str]:
    """The generation options that this company takes."""
    ours = (_OPTIONS.keys() - {"top_k"}) | _OTHER_OPTIONS
    return frozenset((ours | dialect.more_options) - dialect.no_options)


# The messages


def _messages(request: Request, dialect: ChatDialect) -> list[dict[str, Any]]:
    """The system prompt and the conversation, as the ``messages`` of the body.

    System messages at the beginning belong to the system prompt; later ones are updates, which most hosts only take
    as text of the user.

    Raises:
        InvalidRequest: for a part that this protocol cannot carry in a message of its role.
    """
    marks = dialect.cache_models is not None and re.match(dialect.cache_models, request.model or "") is not None
    if marks:
        request = marked(evolve(request, cache=_MARKED) if request.cache in (None, "auto") else request)
    turns = list(request.messages)
    system = list(request.system)
    while turns and turns[0].role == "system":
        system += _system_texts(turns.pop(0))
    writer = _Writer(dialect, marks=marks)
    if any(part.text for part in system):
        writer.messages.append({"role": "system", "content": _texts(system, "\n", marks=marks)})
    for message in turns:
        writer.add(message)
    writer.flush()
    return writer.messages


class _Writer:
    """Writes one message after the other, and keeps what has to wait for a later one."""

    def __init__(self, dialect: ChatDialect, *, marks: bool) -> None:
        self.messages: list[dict[str, Any]] = []
        self._dialect = dialect
        self._marks = marks
        self._media: list[dict[str, Any]] = []  # of tool results, which cannot hold it themselves

    def add(self, message: Message) -> None:
        if message.role != "tool":
            self.flush()
        if message.role == "user":
            self._user(_user_content(message, marks=self._marks))
        elif message.role == "assistant":
            self._assistant(message)
        elif message.role == "tool":
            self._tool(message)
        else:
            text = "".join([part.text for part in _system_texts(message)])
            self._update(f"<system-update>\n{escape(text)}\n</system-update>")

    def flush(self) -> None:
        """What tools gave to look at follows their results as one message of the user."""
        if self._media:
            media, self._media = self._media, []
            self._user(media)

    def _user(self, content: Any) -> None:
        if self._dialect.assistant_after_tool and self.messages and self.messages[-1]["role"] == "tool":
            self.messages.append({"role": "assistant", "content": "Done."})
        self.messages.append({"role": "user", "content": content})

    def _update(self, text: str) -> None:
        last = self.messages[-1] if self.messages else None
        if last is None or last["role"] != "user":
            self._user(text)
        elif isinstance(last["content"], str):
            last["content"] = f"{last['content']}\n{text}"
        else:
            last["content"].append({"type": "text", "text": text})

    def _assistant(self, message: Message) -> None:
        _only(message, (Text, Reasoning, ToolCall, ToolResult))
        text = message.text
        calls = [call for call in message.tool_calls if not call.provider_executed]
        if not text and not calls:
            return
        entry: dict[str, Any] = {"role": "assistant", "content": text or None}
        if calls:
            entry["tool_calls"] = [self._call(call) for call in calls]
        thinking = [part for part in message.content if isinstance(part, Reasoning)]
        reasoning = "".join([part.text for part in thinking]) or _native_reasoning(message)
        field = self._dialect.reasoning_field
        if field is not None and (reasoning is not None or self._dialect.reasoning_required):
            entry[field] = reasoning or ""
        if self._dialect.reasoning_object:
            details = [
                detail for part in thinking for detail in _noted(part.provider_metadata, "reasoning_details") or ()
            ]
            if details:
                entry["reasoning_details"] = details
        self.messages.append(entry)

    def _call(self, call: ToolCall) -> dict[str, Any]:
        entry: dict[str, Any] = {
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": arguments_text(call)},
        }
        extra = _noted(call.provider_metadata, "extra_content")
        if extra is not None:
            entry["extra_content"] = extra
        return entry

    def _tool(self, message: Message) -> None:
        _only(message, (ToolResult,))
        for result in message.content:
            if isinstance(result, ToolResult) and not result.provider_executed:
                text, media = result_text(result)
                self.messages.append({"role": "tool", "tool_call_id": result.id, "content": text})
                self._media += [_user_part(part, "tool") for part in media]


def _only(message: Message, kinds: tuple[type, ...]) -> None:
    for part in message.content:
        if not isinstance(part, kinds):
            raise _unsupported(part, message.role, [kind.__name__ for kind in kinds])


def _unsupported(part: Part, role: str, kinds: Iterable[str]) -> InvalidRequest:
    msg = f"{_WHO} {role} messages take parts of the types {', '.join(kinds)}, not {type(part).__name__}"
    return InvalidRequest(msg, parameter="messages")


def _system_texts(message: Message) -> list[Text]:
    _only(message, (Text,))
    return [part for part in message.content if isinstance(part, Text)]


def _user_content(message: Message, *, marks: bool) -> str | list[dict[str, Any]]:
    texts = [part for part in message.content if isinstance(part, Text)]
    if len(texts) == len(message.content):
        return _texts(texts, "", marks=marks)
    return [_user_part(part, "user") for part in message.content]


def _texts(parts: Sequence[Text], between: str, *, marks: bool) -> str | list[dict[str, Any]]:
    """Texts as one text; as parts, where one is marked for the provider's cache."""
    if not (marks and any(part.cache is not None for part in parts)):
        return between.join([part.text for part in parts])
    content = []
    for part in parts:
        written: dict[str, Any] = {"type": "text", "text": part.text}
        if part.cache is not None:
            written["cache_control"] = {"type": "ephemeral", **({"ttl": "1h"} if is_long(part.cache) else {})}
        content.append(written)
    return content


def _user_part(part: Part, role: str) -> dict[str, Any]:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    if isinstance(part, Image):
        image = {"url": web_url(part, who=_WHO) or data_url(part, IMAGE_TYPES, who=_WHO)}
        detail = _noted(part.provider_metadata, "detail")
        return {"type": "image_url", "image_url": image if detail is None else {**image, "detail": detail}}
    if isinstance(part, Audio):
        form = _AUDIO_FORMATS[media_type_of(part, _AUDIO_FORMATS, who=_WHO)]
        return {"type": "input_audio", "input_audio": {"data": base64_of(part, who=_WHO), "format": form}}
    if isinstance(part, Document):
        url = data_url(part, _FILE_TYPES, who=_WHO)
        return {"type": "file", "file": {"filename": part.filename or "document.pdf", "file_data": url}}
    raise _unsupported(part, role, ["Text", "Image", "Audio", "Document"])


def _noted(metadata: Mapping[str, Mapping[str, Any]] | None, name: str) -> Any:
    """What an earlier answer noted of a part, to be sent back."""
    return ((metadata or {}).get("openai") or {}).get(name)


def _native_reasoning(message: Message) -> str | None:
    native = (message.native or {}).get("openaiCompatible")
    text = native.get("reasoning_content") if isinstance(native, Mapping) else None
    return text if isinstance(text, str) else None
