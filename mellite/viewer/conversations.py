"""Messages to be shown: those of a recorded request of any vendor, and all of them as one text."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, cast

from ..values.errors import MelliteError
from ..values.message_json import written
from ..values.messages import Message, Part, Text
from ..values.provider_json import Json, JsonObject

if TYPE_CHECKING:
    from ..values.request import Request

__all__ = ["answer_message", "prompt_of", "request_messages", "result_text"]

#: Protocol -> the module that reads its requests.
_READERS: Final[Mapping[str, str]] = {
    "anthropic-messages": "mellite.protocols.anthropic_messages.request_reading",
    "bedrock-converse": "mellite.protocols.bedrock_converse.request_reading",
    "cohere-chat": "mellite.protocols.cohere_chat.request_reading",
    "gemini": "mellite.protocols.gemini.request_reading",
    "ollama-chat": "mellite.protocols.ollama_chat.request_reading",
    "openai-chat": "mellite.protocols.openai_chat.request_reading",
    "openai-responses": "mellite.protocols.openai_responses.request_reading",
}

_MEDIA: Final = ("image", "audio", "video", "document")


def request_messages(protocol: str | None, body: Mapping[str, Json]) -> list[JsonObject]:
    """Return the messages of a recorded request as JSON; empty where they cannot be read.

    Args:
        protocol: the id of the protocol, as in ``openai-chat``.
        body: the JSON of the request.

    Example:
        >>> request_messages("openai-chat", {"model": "m", "messages": [{"role": "user", "content": "Hi."}]})
        [{'role': 'user', 'content': [{'type': 'text', 'text': 'Hi.'}]}]
    """
    module = _READERS.get(protocol or "")
    if module is None:
        return []
    read: Callable[[Json], Request] = import_module(module).read
    try:
        request = read(dict(body))
        system = [Message("system", request.system)] if request.system else []
        return [written(message) for message in (*system, *request.messages)]
    except MelliteError:  # a field that only this vendor knows: the raw request is shown
        return []


def answer_message(parts: Sequence[Part], text: str) -> JsonObject | None:
    """Return an answer as the JSON of a message; None if it is empty."""
    held = tuple(parts) or ((Text(text),) if text else ())
    try:
        return written(Message("assistant", held)) if held else None
    except MelliteError:  # a part of a class of the caller's own
        return written(Message("assistant", (Text(text),)))


def prompt_of(messages: Sequence[Mapping[str, Json]]) -> str | None:
    """Return messages as one text: that of a single one, of several each behind its role. None if there are none."""
    said = [(str(message.get("role") or ""), _said_in(message.get("content"))) for message in messages]
    if len(said) == 1:
        return said[0][1]
    return "\n\n".join([f"{role}: {text}" for role, text in said]) if said else None


def _said_in(content: Json) -> str:
    """Return the content of a message as a text, with a word for what is none."""
    if isinstance(content, str):
        return content
    parts = [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []
    return "".join(_said(cast("Mapping[str, Any]", part) for part in parts)).strip("\n")


def _said(parts: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    for part in parts:
        kind = part.get("type")
        if kind == "text":
            yield str(part.get("text") or "")
        elif kind == "tool_call":
            arguments = part.get("raw_arguments") or json.dumps(part.get("arguments"), ensure_ascii=False)
            yield f"\n{part.get('name')}({arguments})\n"
        elif kind == "tool_result":
            yield f"\n{result_text(part.get('result'))}\n"
        elif kind in _MEDIA:
            yield f"[{kind}]"


def result_text(result: Any) -> str:
    """Return what a tool gave as a text: of a value with its type, the value."""
    value = result["value"] if isinstance(result, dict) and result.keys() == {"type", "value"} else result
    if isinstance(value, str):
        return value
    if isinstance(result, dict) and result.get("type") == "content":
        return _said_in(value)
    return json.dumps(value, ensure_ascii=False, default=str)
