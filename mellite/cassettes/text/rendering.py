r"""Requests as text, which the key of a text cassette is made of if a request is more than one message of the user.

A single message of text is its own rendering, so that the key is the same as in other runtimes. Anything else is
written as lines, one for each part, under the role of its message::

    %mellite-request 1
    system:
      "Be brief."
    user:
      "What is this?"
      image {"media_type":"image/png","sha256":"2c26b46b..."}
    assistant:
      tool-call {"arguments":{"city":"Paris"},"id":"call_1","name":"get_weather"}
    tool:
      tool-result {"id":"call_1","name":"get_weather","type":"json","value":{"temperature":22}}
    tools:
      get_weather {"description":"Get the weather.","input_schema":{"type":"object"}}
    tool-choice:
      required
    output:
      {"type":"array"}
    provider-options:
      {"openai":{"store":true}}

A line has two spaces, an optional word, and JSON without blanks, with sorted keys, escaped only where JSON demands it.
Every line ends in ``\n``. Successive texts in a message are joined. What another run does not repeat, or does not
change the question, is left out: thinking and signatures, cache hints, generation options, names of files, the
caller's notes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from ...values.errors import InvalidRequest, UnsupportedOption
from ...values.messages import (
    Audio,
    Document,
    Image,
    Media,
    Message,
    Part,
    Reasoning,
    Text,
    ToolCall,
    ToolResult,
    Video,
)
from ...values.output import schema_of
from ...values.request import Request
from ...values.tools import ToolDefinition

__all__ = ["MARK", "render"]

#: The first line of every rendering that is not the prompt itself. The number goes up when the form changes.
MARK: Final = "%mellite-request 1\n"

_KINDS: Final[tuple[tuple[type[Media], str], ...]] = (
    (Image, "image"),
    (Audio, "audio"),
    (Video, "video"),
    (Document, "document"),
)


def render(request: Request) -> str:
    r"""Render a request as the text by which a text cassette knows it.

    Args:
        request: the request, with every part settled.

    Raises:
        UnsupportedOption: for raw additions to the HTTP request, which may contain anything, even keys;
            ``drop_unsupported`` leaves them out.
        InvalidRequest: for a value that is not JSON.

    Example:
        >>> render(Request.of("Say hello."))
        'Say hello.'
        >>> print(render(Request.of("Say hello.", system="Be brief.")), end="")
        %mellite-request 1
        system:
          "Be brief."
        user:
          "Say hello."
    """
    if request.http is not None and not request.options.drop_unsupported:
        msg = (
            "a text cassette is keyed by what is asked, and http=HttpOptions(...) is not part of that; "
            "leave it out, use an HTTP cassette, or allow dropping it with drop_unsupported=True"
        )
        raise UnsupportedOption(msg, option="http", model=request.model)
    prompt = _plain(request)
    if prompt is not None and not prompt.startswith(MARK):
        return prompt
    return MARK + "".join([f"{line}\n" for line in _lines(request)])


def _plain(request: Request) -> str | None:
    """Return the text of the only message, if the request has nothing else; else None."""
    if request.system or request.tools or request.tool_choice is not None or request.output is not str:
        return None
    if request.provider_options and not request.options.drop_unsupported:
        return None
    if len(request.messages) != 1 or request.messages[0].role != "user":
        return None
    message = request.messages[0]
    return message.text if all(isinstance(part, Text) for part in message.content) else None


def _lines(request: Request) -> Iterator[str]:
    if request.system:
        yield "system:"
        yield from [f"  {_json(part.text)}" for part in request.system]
    for message in request.messages:
        yield f"{message.role}:"
        yield from _parts(message)
    if request.tools:
        yield "tools:"
        yield from [f"  {tool.name} {_json(_definition(tool))}" for tool in request.tools]
    if request.tool_choice is not None:
        yield "tool-choice:"
        choice = request.tool_choice
        yield f"  {choice.type}" if choice.name is None else f"  {choice.type} {_json(choice.name)}"
    if request.output is not str:
        yield "output:"
        yield f"  {_json(schema_of(request.output))}"
    if request.provider_options and not request.options.drop_unsupported:
        yield "provider-options:"
        yield f"  {_json(request.provider_options)}"


def _parts(message: Message) -> Iterator[str]:
    """Yield the lines of a message. Successive texts are joined, even if thinking comes between them."""
    text: list[str] = []
    for part in message.content:
        if isinstance(part, Text):
            text.append(part.text)
        elif not isinstance(part, Reasoning):
            if text:
                yield f"  {_json(''.join(text))}"
                text = []
            yield f"  {_part(part)}"
    if text:
        yield f"  {_json(''.join(text))}"


def _part(part: Part) -> str:
    if isinstance(part, Media):
        return f"{_kind(part)} {_json(_media(part))}"
    if isinstance(part, ToolCall):
        return f"tool-call {_json(_call(part))}"
    if isinstance(part, ToolResult):
        return f"tool-result {_json(_result(part))}"
    msg = f"a part of the type {type(part).__name__} has no text yet; settle it before it is asked for"
    raise InvalidRequest(msg, parameter="prompt")


def _kind(part: Media) -> str:
    return next((name for kind, name in _KINDS if isinstance(part, kind)), "media")


def _media(part: Media) -> dict[str, Any]:
    what: dict[str, Any] = {} if part.media_type is None else {"media_type": part.media_type}
    if part.data is None:
        return {**what, "url": part.url}
    return {**what, "sha256": hashlib.sha256(part.data).hexdigest()}


def _call(call: ToolCall) -> dict[str, Any]:
    arguments = call.raw_arguments if call.arguments is None else call.arguments
    who = {"provider_executed": True} if call.provider_executed else {}
    return {"id": call.id, "name": call.name, "arguments": arguments, **who}


def _result(result: ToolResult) -> dict[str, Any]:
    value = result.result.value
    if result.result.type == "content":
        parts = value if isinstance(value, (list, tuple)) else (value,)
        value = [part.text if isinstance(part, Text) else {_kind(part): _media(part)} for part in parts]
    who = {"provider_executed": True} if result.provider_executed else {}
    return {"id": result.id, "name": result.name, "type": result.result.type, "value": value, **who}


def _definition(tool: ToolDefinition) -> dict[str, Any]:
    values = {
        "description": tool.description or None,
        "input_schema": tool.input_schema,
        "output_schema": tool.output_schema,
        "strict": tool.strict,
        "native": tool.native,
    }
    return {name: value for name, value in values.items() if value is not None}


def _json(value: object) -> str:
    try:
        return json.dumps(
            value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False, default=_mapping
        )
    except (TypeError, ValueError, RecursionError) as error:
        msg = f"this request has a value that cannot be written as JSON, so it has no key: {error}"
        raise InvalidRequest(msg) from error


def _mapping(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    msg = f"{type(value).__name__} is not JSON"
    raise TypeError(msg)
