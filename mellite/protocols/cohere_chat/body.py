"""The request body of Cohere's Chat: options, tools, messages, documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from xml.sax.saxutils import escape

from ...values.errors import InvalidRequest, UnsupportedOption
from ...values.messages import Document, Image, Message, Part, Reasoning, Text, ToolCall, ToolResult
from ...values.options import Options
from ...values.output import is_object, schema_of
from ...values.request import Request
from ...values.tools import ToolDefinition
from ..media import IMAGE_TYPES, LARGEST, data_url, media_type_of, web_url
from ..tool_calls import arguments_text, result_text

__all__ = ["OPTIONS", "lower"]

_WHO: Final = "Cohere Chat"
_NAMESPACE: Final = "cohere"
_DOCUMENT_TYPES: Final = frozenset({"text/csv", "text/html", "text/markdown", "text/plain"})

#: Our options -> Cohere's fields. https://docs.cohere.com/reference/chat
_OPTIONS: Final = {
    "frequency_penalty": "frequency_penalty",
    "max_tokens": "max_tokens",
    "presence_penalty": "presence_penalty",
    "seed": "seed",
    "temperature": "temperature",
    "top_k": "k",
    "top_p": "p",
}

#: The generation options that Cohere takes.
OPTIONS: Final = frozenset({*_OPTIONS, "reasoning_budget", "reasoning_effort", "stop"})

#: Fields of the body that a request sets itself; ``provider_options`` may not.
_RESERVED: Final = frozenset({"messages", "model", "stream", "tools"})


def lower(request: Request, *, stream: bool) -> dict[str, Any]:
    """The JSON body of a request.

    Raises:
        InvalidRequest: for what the protocol cannot say.
        UnsupportedOption: for an effort of thinking, which Cohere's models do not know.

    Example:
        >>> lower(Request.of("Hello.", model="command-a-03-2025", top_p=0.5), stream=False)
        {'model': 'command-a-03-2025', 'messages': [{'role': 'user', 'content': 'Hello.'}], 'stream': False, 'p': 0.5}
    """
    writer = _Writer()
    writer.write(request)
    body: dict[str, Any] = {"model": request.model, "messages": writer.messages, "stream": stream}
    if writer.documents:
        body["documents"] = writer.documents
    _set_tools(body, request)
    _set_options(body, request.options)
    if request.output is not str:
        body["response_format"] = _response_format(request)
    _set_provider_options(body, request.provider_options.get(_NAMESPACE))
    return body


def _set_tools(body: dict[str, Any], request: Request) -> None:
    choice, tools = request.tool_choice, list(request.tools)
    if choice is not None and choice.type == "tool":
        tools = [tool for tool in tools if tool.name == choice.name]  # the one that must be used, if there is but one
        if not tools:
            names = ", ".join([tool.name for tool in request.tools]) or "(none)"
            msg = f"tool_choice names {choice.name!r}, which is not among the tools {names}"
            raise InvalidRequest(msg, parameter="tool_choice")
    if choice is not None and choice.type == "required" and not tools:
        msg = "tool_choice 'required' needs tools to choose from"
        raise InvalidRequest(msg, parameter="tool_choice")
    if not tools:
        return
    body["tools"] = [_tool(tool) for tool in tools]
    if any(tool.strict for tool in tools):
        body["strict_tools"] = True
    if choice is not None and choice.type != "auto":
        body["tool_choice"] = "NONE" if choice.type == "none" else "REQUIRED"


def _tool(tool: ToolDefinition) -> dict[str, Any]:
    schema = {"properties": {}, **tool.input_schema, "type": "object"}
    return {
        "type": "function",
        "function": {"name": tool.name, "description": tool.description, "parameters": schema},
    }


def _set_options(body: dict[str, Any], options: Options) -> None:
    for name, field in _OPTIONS.items():
        value = getattr(options, name)
        if value is not None:
            body[field] = value
    if options.stop is not None:
        body["stop_sequences"] = list(options.stop)
    effort, budget = options.reasoning_effort, options.reasoning_budget
    if effort == "none" or budget == 0:
        body["thinking"] = {"type": "disabled"}
    elif effort is not None and not options.drop_unsupported:
        msg = (
            f"{_WHO} cannot think with the option reasoning_effort={effort!r}, only with 'none'; "
            "say how many tokens it may think with reasoning_budget"
        )
        raise UnsupportedOption(msg, option="reasoning_effort")
    elif budget is not None:
        body["thinking"] = {"type": "enabled", "token_budget": budget}


def _response_format(request: Request) -> dict[str, Any]:
    schema = schema_of(request.output)
    if not is_object(schema):
        name = getattr(request.output, "__name__", "answer")
        msg = f"output type {name!r} is no JSON object, which is all that {_WHO} can be held to; wrap it in a class"
        raise InvalidRequest(msg, parameter="output")
    return {"type": "json_object", "json_schema": schema}


def _set_provider_options(body: dict[str, Any], options: Any) -> None:
    if options is None:
        return
    if not isinstance(options, Mapping):
        msg = f"provider_options[{_NAMESPACE!r}] must be a mapping, not {type(options).__name__}"
        raise InvalidRequest(msg, parameter="provider_options")
    for name, value in options.items():
        if name in _RESERVED:
            msg = f"provider_options[{_NAMESPACE!r}] cannot set {name!r}; the request has a field of its own for it"
            raise InvalidRequest(msg, parameter="provider_options")
        body[name] = value


# The messages


class _Writer:
    """Writes one message after the other; collects the documents, which stand beside the messages."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.documents: list[dict[str, Any]] = []

    def write(self, request: Request) -> None:
        """Write the system prompt and the conversation.

        System messages at the beginning belong to the system prompt. Cohere takes none further on ("system turn must be
        the first in the list"), so that later ones go as text of the user.
        """
        turns = list(request.messages)
        system = [part.text for part in request.system]
        while turns and turns[0].role == "system":
            system.append(_system_text(turns.pop(0)))
        if any(system):
            self.messages.append({"role": "system", "content": "\n".join([text for text in system if text])})
        for message in turns:
            self._write_one(message)

    def _write_one(self, message: Message) -> None:
        if message.role == "user":
            self.messages.append({"role": "user", "content": self._user_content(message)})
        elif message.role == "assistant":
            self._write_assistant(message)
        elif message.role == "tool":
            self._write_results(message)
        else:
            text = f"<system-update>\n{escape(_system_text(message))}\n</system-update>"
            self.messages.append({"role": "user", "content": text})

    def _user_content(self, message: Message) -> str | list[dict[str, Any]]:
        _only(message, (Text, Image, Document))
        shown: list[Text | Image] = []
        for part in message.content:
            if isinstance(part, Document):
                self.documents.append(_document(part))
            elif isinstance(part, (Text, Image)):
                shown.append(part)
        if all(isinstance(part, Text) for part in shown):
            return "".join([part.text for part in shown if isinstance(part, Text)])
        return [_user_part(part) for part in shown]

    def _write_assistant(self, message: Message) -> None:
        _only(message, (Text, Reasoning, ToolCall, ToolResult))
        entry: dict[str, Any] = {"role": "assistant"}
        content = _assistant_content(message)
        if content:
            entry["content"] = content
        calls = [call for call in message.tool_calls if not call.provider_executed]
        if calls:
            entry["tool_calls"] = [_call(call) for call in calls]
        plan = next((plan for call in calls if isinstance(plan := _noted(call, "tool_plan"), str) and plan), None)
        if plan is not None:
            entry["tool_plan"] = plan
        citations = [each for part in message.content for each in _noted(part, "citations") or ()]
        if citations:
            entry["citations"] = citations
        if len(entry) > 1:
            self.messages.append(entry)

    def _write_results(self, message: Message) -> None:
        _only(message, (ToolResult,))
        media: list[Image] = []
        for result in message.content:
            if isinstance(result, ToolResult) and not result.provider_executed:
                text, seen = result_text(result)
                self.messages.append({"role": "tool", "tool_call_id": result.id, "content": text})
                for part in seen:
                    if not isinstance(part, Image):
                        raise _unsupported(part, "tool", ["Text", "Image"])
                    media.append(part)
        if media:  # a tool's result is text; what it gave to look at follows as a message of the user
            self.messages.append({"role": "user", "content": [_user_part(part) for part in media]})


def _assistant_content(message: Message) -> str | list[dict[str, Any]]:
    """The text of an assistant's message; with its thinking, where that is Cohere's own."""
    content: list[dict[str, Any]] = []
    for part in message.content:
        if isinstance(part, Text) and part.text:
            content.append({"type": "text", "text": part.text})
        elif isinstance(part, Reasoning) and part.text and _NAMESPACE in (part.provider_metadata or {}):
            content.append({"type": "thinking", "thinking": part.text})
    if all(entry["type"] == "text" for entry in content):
        return "".join([entry["text"] for entry in content])
    return content


def _call(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": arguments_text(call)}
    return {"id": call.id, "type": "function", "function": function}


def _user_part(part: Text | Image) -> dict[str, Any]:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    image: dict[str, Any] = {"url": web_url(part, who=_WHO) or data_url(part, IMAGE_TYPES, who=_WHO)}
    detail = _noted(part, "detail")
    return {"type": "image_url", "image_url": image if detail is None else {**image, "detail": detail}}


def _document(part: Document) -> dict[str, Any]:
    """A document for the model to cite: text, with its file name as the title."""
    media_type_of(part, _DOCUMENT_TYPES, who=_WHO)
    if not part.data or len(part.data) > LARGEST:
        msg = f"{_WHO} takes Document parts as 1 to {LARGEST:,} bytes of text, not by URL; mellite fetches nothing"
        raise InvalidRequest(msg, parameter="messages")
    try:
        text = part.data.decode()
    except UnicodeDecodeError as error:
        msg = f"{_WHO} takes Document parts as text in UTF-8; {part.filename or 'this one'} is something else"
        raise InvalidRequest(msg, parameter="messages") from error
    return {"data": {"text": text, **({"title": part.filename} if part.filename else {})}}


def _only(message: Message, kinds: tuple[type, ...]) -> None:
    for part in message.content:
        if not isinstance(part, kinds):
            raise _unsupported(part, message.role, [kind.__name__ for kind in kinds])


def _unsupported(part: object, role: str, kinds: Sequence[str]) -> InvalidRequest:
    msg = f"{_WHO} {role} messages take parts of the types {', '.join(kinds)}, not {type(part).__name__}"
    return InvalidRequest(msg, parameter="messages")


def _system_text(message: Message) -> str:
    _only(message, (Text,))
    return "".join([part.text for part in message.content if isinstance(part, Text)])


def _noted(part: Part, name: str) -> Any:
    """What an earlier answer noted of a part, to be sent back."""
    return ((getattr(part, "provider_metadata", None) or {}).get(_NAMESPACE) or {}).get(name)
