"""The request body of Cohere's Chat: options, thinking, tools, output types."""

from __future__ import annotations

from typing import Final

from ...values.errors import UnsupportedOption
from ...values.options import NO_OPTIONS, Options
from ...values.provider_json import JsonObject
from ...values.request import Request
from ...values.tools import ToolDefinition
from .. import history
from ..body_fields import own_fields, renamed
from ..tool_definitions import input_schema, possible
from .content import WHO, ConversationWriter
from .schema import plan, response_format

__all__ = ["OPTIONS", "lower", "mend"]

_NAMESPACE: Final = "cohere"

#: Our options -> Cohere's fields. https://docs.cohere.com/reference/chat
_FIELDS: Final = {
    "frequency_penalty": "frequency_penalty",
    "max_tokens": "max_tokens",
    "presence_penalty": "presence_penalty",
    "seed": "seed",
    "temperature": "temperature",
    "top_k": "k",
    "top_p": "p",
    "stop": "stop_sequences",
}

#: The generation options that Cohere takes.
OPTIONS: Final = frozenset({*_FIELDS, "reasoning_budget", "reasoning_effort"})

#: Fields of the body that a request sets itself; ``provider_options`` may not.
_RESERVED: Final = frozenset({"messages", "model", "stream", "tools"})


def mend(request: Request) -> tuple[Request, tuple[str, ...]]:
    """Return the request with a history that Cohere takes, and a sentence for each thing that was changed."""
    return (request, ()) if history.is_text(request) else history.mend(request, rules=history.LOOSE)


def lower(request: Request, *, stream: bool) -> JsonObject:
    """Write the JSON body of a request.

    Raises:
        InvalidRequest: for what the protocol cannot say.
        UnsupportedOption: for an effort of thinking, which Cohere's models do not know.

    Example:
        >>> lower(Request.of("Hello.", model="command-a-03-2025", top_p=0.5), stream=False)
        {'model': 'command-a-03-2025', 'messages': [{'role': 'user', 'content': 'Hello.'}], 'stream': False, 'p': 0.5}
    """
    if request.output is not str:
        request, _ = plan(request)
    writer = ConversationWriter()
    writer.write(request)
    body: JsonObject = {"model": request.model, "messages": writer.messages, "stream": stream}
    if writer.documents:
        body["documents"] = writer.documents
    if request.tools or request.tool_choice is not None:
        _set_tools(body, request)
    if request.options is not NO_OPTIONS:
        body |= renamed(request.options, _FIELDS)
        _set_thinking(body, request.options)
    if request.output is not str:
        body["response_format"] = response_format(request.output)
    if request.provider_options:
        body.update(own_fields(request, _NAMESPACE, reserved=_RESERVED))
    return body


def _set_tools(body: JsonObject, request: Request) -> None:
    choice, tools = possible(request.tool_choice, [tool.name for tool in request.tools]), list(request.tools)
    if choice is not None and choice.type == "tool":
        tools = [tool for tool in tools if tool.name == choice.name]  # to require the only one is to name it
    if not tools:
        return
    body["tools"] = [_tool(tool) for tool in tools]
    if any(tool.strict for tool in tools):
        body["strict_tools"] = True
    if choice is not None and choice.type != "auto":
        body["tool_choice"] = "NONE" if choice.type == "none" else "REQUIRED"


def _tool(tool: ToolDefinition) -> JsonObject:
    function = {"name": tool.name, "description": tool.description, "parameters": input_schema(tool)}
    return {"type": "function", "function": function}


def _set_thinking(body: JsonObject, options: Options) -> None:
    effort, budget = options.reasoning_effort, options.reasoning_budget
    if effort == "none" or budget == 0:
        body["thinking"] = {"type": "disabled"}
    elif effort is not None and not options.drop_unsupported:
        msg = (
            f"{WHO} cannot think with the option reasoning_effort={effort!r}, only with 'none'; "
            "say how many tokens it may think with reasoning_budget"
        )
        raise UnsupportedOption(msg, option="reasoning_effort")
    elif budget is not None:
        body["thinking"] = {"type": "enabled", "token_budget": budget}
