"""The request body of Gemini: contents, tools, thinking, media, settings; and what is noted of earlier answers."""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal
from xml.sax.saxutils import escape

from attrs import evolve, frozen

from ...values.errors import InvalidRequest, UnsupportedOption
from ...values.messages import Media, Message, Part, Reasoning, Text, ToolCall, ToolResult
from ...values.options import Options
from ...values.output import schema_of
from ...values.request import Request
from ...values.tools import ToolChoice, ToolDefinition
from ..history import HistoryRules, mend
from ..json_values import decode_json
from ..media import base64_of, media_type_of
from ..tool_calls import arguments_text, result_text
from .schema import parameters_of

__all__ = ["GOOGLE", "OPTIONS", "GeminiDialect", "lower", "mended"]

_WHO: Final = "Gemini"

#: https://ai.google.dev/gemini-api/docs/image-understanding, and the pages for video, audio and documents.
_KINDS: Final = {
    "application": ("json", "pdf", "rtf", "xml"),
    "audio": ("aac", "aiff", "flac", "m4a", "mp3", "mp4", "mpeg", "ogg", "pcm", "wav", "webm", "x-wav"),
    "image": ("gif", "heic", "heif", "jpeg", "png", "webp"),
    "text": ("css", "csv", "html", "javascript", "markdown", "plain", "rtf", "x-python", "xml"),
    "video": ("3gpp", "avi", "mov", "mp4", "mpeg", "mpg", "quicktime", "webm", "wmv", "x-flv"),
}
_MEDIA_TYPES: Final = frozenset({f"{kind}/{name}" for kind, names in _KINDS.items() for name in names})


@frozen(kw_only=True)
class GeminiDialect:
    """How one way to Gemini differs: facts, not code.

    Args:
        namespaces: whose entries of ``provider_options`` go into the body; later ones win.
        results: what a tool gave stands under ``output`` or ``error``, as Google documents it; or as text under
            ``content`` beside the tool's ``name``, as older clients wrote it.
        enums: whose numbers finish reasons are, where they come as numbers.
    """

    namespaces: tuple[str, ...] = ("gemini", "google")
    results: Literal["output", "content"] = "output"
    enums: Literal["studio", "vertex"] = "studio"


#: How Google documents it.
GOOGLE: Final = GeminiDialect()


# Which model it is. Facts about generations of models, by what their names begin with.


def _generation(model: str | None) -> int | None:
    """The number behind ``gemini-``; None for tuned models and other families."""
    found = re.search(r"(?:^|/)gemini-(?:(\d+)|.*latest$)", model or "")
    return None if found is None else int(found[1] or _LATEST)


_LATEST: Final = 3  # what the aliases mean by now, or more


def _is_third(model: str | None) -> bool:
    """Whether the model insists on thought signatures, and takes media inside of tool results."""
    return (_generation(model) or 0) >= 3


# The body

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

#: The generation options that Gemini takes.
OPTIONS: Final = frozenset({*_OPTIONS, "reasoning_budget", "reasoning_effort"})

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


def lower(request: Request, *, stream: bool, dialect: GeminiDialect = GOOGLE) -> dict[str, Any]:  # noqa: ARG001 - the URL says it
    """The JSON body of a request.

    Raises:
        InvalidRequest: for what the protocol cannot say.
        UnsupportedOption: for an effort that the model does not know.

    Example:
        >>> lower(Request.of("Hello.", model="gemini-2.5-flash", temperature=0), stream=False)
        {'contents': [{'role': 'user', 'parts': [{'text': 'Hello.'}]}], 'generationConfig': {'temperature': 0}}
    """
    body: dict[str, Any] = {}
    turns = list(request.messages)
    system = [part.text for part in request.system]
    while turns and turns[0].role == "system":
        system.append(_system_text(turns.pop(0)))
    text = "\n".join(system)
    if text:
        body["systemInstruction"] = {"parts": [{"text": text}]}
    body["contents"] = _contents(turns, request.model, dialect)
    functions = [tool for tool in request.tools if not _is_hosted(tool)]
    declared = [{"functionDeclarations": [_declaration(tool) for tool in functions]}] if functions else []
    tools = [*declared, *[dict(_native(tool)) for tool in request.tools if _is_hosted(tool)]]
    if tools:
        body["tools"] = tools
    calling = _calling(request.tool_choice, functions)
    if calling:
        body["toolConfig"] = {"functionCallingConfig": calling}
    config = _config(request.options, request.model)
    if request.output is not str:
        config |= {"responseMimeType": "application/json", "responseJsonSchema": schema_of(request.output)}
    body["generationConfig"] = config
    for namespace in dialect.namespaces:
        _set_provider_options(body, request.provider_options.get(namespace), namespace)
    if not body["generationConfig"]:
        del body["generationConfig"]
    return body


#: What a function declaration may say besides: whose native notes say more is one of Google's own tools.
_DECLARED: Final = frozenset({"behavior", "parameters", "parametersJsonSchema", "response", "responseJsonSchema"})


def _native(tool: ToolDefinition) -> Mapping[str, Any]:
    native = (tool.native or {}).get("google") or {}
    if not isinstance(native, Mapping):
        msg = f"the native notes of tool {tool.name!r} under 'google' must be a mapping, not {native!r}"
        raise InvalidRequest(msg, parameter="tools")
    return native


def _is_hosted(tool: ToolDefinition) -> bool:
    """Whether it is one of Google's own tools, such as ``native={"google": {"googleSearch": {}}}``."""
    return bool(_native(tool).keys() - _DECLARED)


def _declaration(tool: ToolDefinition) -> dict[str, Any]:
    return {"name": tool.name, "description": tool.description, **parameters_of(tool.input_schema), **_native(tool)}


def _calling(choice: ToolChoice | None, tools: Sequence[ToolDefinition]) -> dict[str, Any]:
    names = [tool.name for tool in tools]
    if choice is None or choice.type == "auto":
        if any(tool.strict for tool in tools):
            return {"mode": "VALIDATED"}  # as AUTO, but held to the schemas
        return {"mode": "AUTO"} if choice is not None and names else {}
    if choice.type == "tool":
        if choice.name not in names:
            msg = f"tool_choice names {choice.name!r}, which is not among the tools {', '.join(names) or '(none)'}"
            raise InvalidRequest(msg, parameter="tool_choice")
        return {"mode": "ANY", "allowedFunctionNames": [choice.name]}
    if choice.type == "required" and not names:
        msg = "tool_choice 'required' needs tools to choose from"
        raise InvalidRequest(msg, parameter="tool_choice")
    return {"mode": _MODES[choice.type]} if names else {}


def _config(options: Options, model: str | None) -> dict[str, Any]:
    config: dict[str, Any] = {}
    for name, field in _OPTIONS.items():
        value = getattr(options, name)
        if value is not None:
            config[field] = list(value) if isinstance(value, tuple) else value
    thinking = _thinking(options, model)
    if thinking:
        config["thinkingConfig"] = thinking
    return config


def _thinking(options: Options, model: str | None) -> dict[str, Any]:
    """How hard to think. Models before Gemini 3 know budgets only; later ones levels, too, but not both at once."""
    effort, budget = options.reasoning_effort, options.reasoning_budget
    generation = _generation(model)
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


def _set_provider_options(body: dict[str, Any], options: Any, namespace: str) -> None:
    if options is None:
        return
    if not isinstance(options, Mapping):
        msg = f"provider_options[{namespace!r}] must be a mapping, not {type(options).__name__}"
        raise InvalidRequest(msg, parameter="provider_options")
    for name, value in options.items():
        field = re.sub(r"_([a-z])", lambda found: found[1].upper(), name)
        if field in _RESERVED:
            msg = f"provider_options[{namespace!r}] cannot set {name!r}; the request has a field of its own for it"
            raise InvalidRequest(msg, parameter="provider_options")
        if field == "tools":  # hosted ones, such as {"googleSearch": {}}, beside those of the request
            if not isinstance(value, (list, tuple)):
                msg = f"provider_options[{namespace!r}]['tools'] must be a list such as [{{'googleSearch': {{}}}}]"
                raise InvalidRequest(msg, parameter="provider_options")
            body["tools"] = [*body.get("tools", ()), *value]
        else:
            _lay(body if field in _TOP else body["generationConfig"], field, value)


def _lay(target: dict[str, Any], name: str, value: Any) -> None:
    """Lay a value over what is there: objects field by field, in new ones, as those given belong to the caller."""
    if isinstance(value, Mapping):
        held = target.get(name)
        merged = dict(held) if isinstance(held, Mapping) else {}
        for inner, its in value.items():
            _lay(merged, inner, its)
        value = merged
    target[name] = value


# The messages


def mended(request: Request) -> tuple[Request, tuple[str, ...]]:
    """The request with a history that Gemini takes, and a sentence for each thing that was changed.

    Gemini 3 refuses the calls of the current turn without a thought signature: those that another model made get the
    word that Google documents for them (https://ai.google.dev/gemini-api/docs/thought-signatures).
    """
    request, changes = mend(request, rules=HistoryRules())
    if not _is_third(request.model):
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
            _noted(part, "thoughtSignature") for part in content if _is_call(part)
        ):
            google = {**(call.provider_metadata or {}).get("google", {}), "thoughtSignature": _NO_SIGNATURE}
            content[number] = evolve(call, provider_metadata={**(call.provider_metadata or {}), "google": google})
            messages[position] = evolve(message, content=content)
            said.append(f"tool call {call.id!r} has no thought signature: it is sent with {_NO_SIGNATURE!r}")
    if len(said) == len(changes):
        return request, changes
    return evolve(request, messages=tuple(messages)), tuple(said)


_NO_SIGNATURE: Final = "skip_thought_signature_validator"


def _is_call(part: Part) -> bool:
    return isinstance(part, ToolCall) and not part.provider_executed


def _noted(part: Any, name: str) -> Any:
    """What an earlier answer noted of a part, to be sent back."""
    return ((part.provider_metadata or {}).get("google") or {}).get(name)


def _contents(turns: Sequence[Message], model: str | None, dialect: GeminiDialect) -> list[dict[str, Any]]:
    """The conversation, as the ``contents`` of the body.

    Raises:
        InvalidRequest: for a part that this protocol cannot carry in a message of its role.
    """
    ids = {
        part.id: id
        for message in turns
        for part in message.content
        if isinstance(part, ToolCall) and (id := _noted(part, "id")) is not None
    }
    writer = _Writer(ids, dialect, nests=_is_third(model))
    for message in turns:
        writer.add(message)
    writer.flush()
    return writer.contents


class _Writer:
    """Writes one turn after the other, and keeps what has to wait for a later one."""

    def __init__(self, ids: Mapping[str, str], dialect: GeminiDialect, *, nests: bool) -> None:
        self.contents: list[dict[str, Any]] = []
        self._ids = ids  # only those that Gemini gave are sent back: servers may refuse others
        self._dialect = dialect
        self._nests = nests
        self._results: list[dict[str, Any]] = []
        self._media: list[dict[str, Any]] = []  # of tool results that cannot hold it themselves

    def add(self, message: Message) -> None:
        if message.role == "tool":
            _only(message, (ToolResult,))
            self._results += [
                self._result(part)
                for part in message.content
                if isinstance(part, ToolResult) and not part.provider_executed
            ]
            return
        self.flush()
        if message.role == "user":
            self._turn("user", [_user_part(part) for part in message.content])
        elif message.role == "assistant":
            self._turn("model", [each for part in message.content if (each := self._model_part(part)) is not None])
        else:
            self._update(f"<system-update>\n{escape(_system_text(message))}\n</system-update>")

    def flush(self) -> None:
        """The results of a turn go together; what could not go with them follows."""
        results, self._results = self._results, []
        self._turn("user", results)
        media, self._media = self._media, []
        if media:
            self._turn("user", [{"text": "Attached media from tool result:"}, *media])

    def _turn(self, role: str, parts: list[dict[str, Any]]) -> None:
        last = self.contents[-1] if self.contents else None
        if last is not None and last["role"] == role == "model":
            last["parts"] += parts  # a turn with calls must not follow another of the model's
        elif parts:
            self.contents.append({"role": role, "parts": parts})

    def _update(self, text: str) -> None:
        last = self.contents[-1] if self.contents else None
        if last is None or last["role"] != "user" or any("functionResponse" in part for part in last["parts"]):
            self._turn("user", [{"text": text}])
        else:
            last["parts"].append({"text": text})

    def _model_part(self, part: Part) -> dict[str, Any] | None:
        """A part of an earlier answer; None for what is not sent back."""
        if not isinstance(part, (Text, Reasoning, ToolCall, ToolResult, Media)):
            raise _unsupported(part, "assistant", ["Text", "Reasoning", "ToolCall", "ToolResult", "Image"])
        whole = _noted(part, "part")
        if isinstance(whole, Mapping):
            return dict(whole)
        if isinstance(part, Media):
            return _media_part(part)
        if isinstance(part, ToolResult) or (isinstance(part, ToolCall) and part.provider_executed):
            return None  # of another provider's own tools
        signature = _noted(part, "thoughtSignature")
        signed = {} if signature is None else {"thoughtSignature": signature}
        if isinstance(part, ToolCall):
            return {"functionCall": self._call(part), **signed}
        if not part.text and not signed:
            return None
        return {"text": part.text, **({"thought": True} if isinstance(part, Reasoning) else {}), **signed}

    def _call(self, call: ToolCall) -> dict[str, Any]:
        arguments = call.arguments
        if not isinstance(arguments, Mapping):  # it must be an object: what is none goes along as it was written
            arguments = {"arguments": arguments_text(call)} if arguments is not None or call.raw_arguments else {}
        return {**self._id(call.id), "name": call.name, "args": arguments}

    def _id(self, id: str) -> dict[str, str]:
        known = self._ids.get(id)
        return {} if known is None else {"id": known}

    def _result(self, result: ToolResult) -> dict[str, Any]:
        text, media = result_text(result)
        response: dict[str, Any] = {**self._id(result.id), "name": result.name}
        if self._dialect.results == "content":
            response["response"] = {"name": result.name, "content": text}
        else:
            value: Any = text
            if result.result.type == "json" or isinstance(result.result.value, (dict, list)):
                value = decode_json(text) if result.result.type != "content" else text
            response["response"] = {"error" if result.result.type == "error" else "output": value}
        parts = [_media_part(part) for part in media]
        if parts and self._nests:
            response["parts"] = parts
        else:
            self._media += parts
        return {"functionResponse": response}


def _only(message: Message, kinds: tuple[type, ...]) -> None:
    for part in message.content:
        if not isinstance(part, kinds):
            raise _unsupported(part, message.role, [kind.__name__ for kind in kinds])


def _unsupported(part: Part, role: str, kinds: Iterable[str]) -> InvalidRequest:
    msg = f"{_WHO} {role} messages take parts of the types {', '.join(kinds)}, not {type(part).__name__}"
    return InvalidRequest(msg, parameter="messages")


def _system_text(message: Message) -> str:
    _only(message, (Text,))
    return message.text


def _user_part(part: Part) -> dict[str, Any]:
    if isinstance(part, Text):
        return {"text": part.text}
    if isinstance(part, Media):
        return _media_part(part)
    raise _unsupported(part, "user", ["Text", "Image", "Audio", "Video", "Document"])


#: What may be given as a URL: the Files API, Cloud Storage, YouTube, and what the servers can fetch themselves.
_SCHEMES: Final = ("https://", "http://", "gs://")


def _media_part(part: Media) -> dict[str, Any]:
    """A file by its bytes or its URL; with what the caller says of it, such as ``videoMetadata``."""
    beside = dict((part.provider_metadata or {}).get("google") or {})
    url = part.url
    if url is not None and url.startswith("data:"):
        part = type(part).from_base64(url)
        url = None
    if url is None:
        kind = media_type_of(part, _MEDIA_TYPES, who=_WHO)
        return {"inlineData": {"mimeType": kind, "data": base64_of(part, who=_WHO)}, **beside}
    if not url.startswith(_SCHEMES):
        scheme = url.partition(":")[0][:20]
        name = type(part).__name__
        msg = (
            f"{_WHO} takes the URL of a {name} to begin with https:// or gs://, not {scheme!r}; "
            f"for a file use {name}.from_path(...)"
        )
        raise InvalidRequest(msg, parameter="messages")
    kind = part.media_type or mimetypes.guess_type(url.partition("?")[0])[0] or ""
    return {"fileData": {**({"mimeType": kind} if kind else {}), "fileUri": url}, **beside}
