"""The conversation as the messages of Chat Completions: texts, media, thinking, tool calls and their results."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

from attrs import evolve

from ...values.messages import Audio, Document, Image, Message, Part, Reasoning, Text, ToolCall, ToolResult
from ...values.options import CachePolicy
from ...values.provider_json import JsonObject
from ...values.request import Request
from ..cache_marks import is_long, marked
from ..media import IMAGE_TYPES, base64_of, data_url, media_type_of, web_url
from ..message_parts import as_turns, noted, only, plain_turns, split_system, system_update, texts_of, unsupported
from ..tool_calls import arguments_text, result_text
from .dialect import ChatDialect

__all__ = ["WHO", "ConversationWriter"]

#: The protocol's name in messages.
WHO: Final = "OpenAI Chat"
_NAMESPACE: Final = "openai"
_AUDIO_FORMATS: Final = {"audio/mp3": "mp3", "audio/mpeg": "mp3", "audio/wav": "wav", "audio/x-wav": "wav"}
_FILE_TYPES: Final = frozenset({"application/pdf"})

#: What ``cache="auto"`` marks: of what it could, this is what these hosts take.
_MARKED: Final = CachePolicy(system=True, messages="latest-user-message")


@lru_cache(maxsize=256)
def _matches(models: str, model: str | None) -> bool:
    """Return whether a model is among those that a pattern describes."""
    return re.match(models, model or "") is not None


class ConversationWriter:
    """Writes the conversation of one request, and keeps what has to wait for a later message.

    Args:
        dialect: how the company differs.
        model: the model that is asked, which says whether texts can be marked for the cache.

    Attributes:
        messages: the ``messages`` of the body.
    """

    def __init__(self, dialect: ChatDialect, *, model: str | None) -> None:
        self.messages: list[JsonObject] = []
        self._dialect = dialect
        self._marks = dialect.cache_models is not None and _matches(dialect.cache_models, model)
        self._media: list[JsonObject] = []  # of tool results, which cannot hold it themselves

    def write(self, request: Request) -> None:
        """Write the system prompt, then the conversation.

        Raises:
            InvalidRequest: for a part that a message of its role cannot carry.
        """
        if self._marks:
            request = marked(evolve(request, cache=_MARKED) if request.cache in (None, "auto") else request)
        system, turns = split_system(request, who=WHO)
        if system:
            texts = [part for parts in system for part in parts]
            if any(part.text for part in texts):
                self.messages.append({"role": "system", "content": _texts(texts, "\n", marks=self._marks)})
        plain = None if self._dialect.reasoning_required else plain_turns(request)
        if plain is not None:
            self.messages += as_turns(plain)
            return
        for message in turns:
            self._add(message)
        if self._media:
            self._flush()

    def _add(self, message: Message) -> None:
        if self._media and message.role != "tool":
            self._flush()
        if message.role == "user":
            self._user(_user_content(message, marks=self._marks))
        elif message.role == "assistant":
            self._assistant(message)
        elif message.role == "tool":
            self._tool(message)
        else:
            self._update(system_update("".join([part.text for part in texts_of(message, who=WHO)])))

    def _flush(self) -> None:
        """Send images returned by tools as one user message after their results."""
        media, self._media = self._media, []
        self._user(media)

    def _user(self, content: str | list[JsonObject]) -> None:
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
        only(message, (Text, Reasoning, ToolCall, ToolResult), who=WHO)
        text = message.text
        calls = [call for call in message.tool_calls if not call.provider_executed]
        if not text and not calls:
            return
        entry: JsonObject = {"role": "assistant", "content": text or None}
        if calls:
            entry["tool_calls"] = [self._call(call) for call in calls]
        self._set_thinking(entry, message)
        self.messages.append(entry)

    def _set_thinking(self, entry: JsonObject, message: Message) -> None:
        thinking = [part for part in message.content if isinstance(part, Reasoning)]
        reasoning = "".join([part.text for part in thinking]) or _native_reasoning(message)
        field = self._dialect.reasoning_field
        if field is not None and (reasoning is not None or self._dialect.reasoning_required):
            entry[field] = reasoning or ""
        if self._dialect.reasoning_object:
            details = [detail for part in thinking for detail in noted(part, _NAMESPACE, "reasoning_details") or ()]
            if details:
                entry["reasoning_details"] = details

    def _call(self, call: ToolCall) -> JsonObject:
        entry: JsonObject = {
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": arguments_text(call)},
        }
        extra = noted(call, _NAMESPACE, "extra_content")
        if extra is not None:
            entry["extra_content"] = extra
        return entry

    def _tool(self, message: Message) -> None:
        only(message, (ToolResult,), who=WHO)
        for result in message.content:
            if isinstance(result, ToolResult) and not result.provider_executed:
                text, media = result_text(result)
                self.messages.append({"role": "tool", "tool_call_id": result.id, "content": text})
                self._media += [_user_part(part, "tool") for part in media]


def _user_content(message: Message, *, marks: bool) -> str | list[JsonObject]:
    content = message.content
    if len(content) == 1 and type(content[0]) is Text and not marks:
        return content[0].text  # nearly all there are
    texts = [part for part in content if isinstance(part, Text)]
    if len(texts) == len(message.content):
        return _texts(texts, "", marks=marks)
    return [_user_part(part, "user") for part in message.content]


def _texts(parts: Sequence[Text], between: str, *, marks: bool) -> str | list[JsonObject]:
    """Join texts; write them as parts, where one is marked for the provider's cache."""
    if not (marks and any(part.cache is not None for part in parts)):
        return between.join([part.text for part in parts])
    content = []
    for part in parts:
        written: JsonObject = {"type": "text", "text": part.text}
        if part.cache is not None:
            written["cache_control"] = {"type": "ephemeral", **({"ttl": "1h"} if is_long(part.cache) else {})}
        content.append(written)
    return content


def _user_part(part: Part, role: str) -> JsonObject:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    if isinstance(part, Image):
        image = {"url": web_url(part, who=WHO) or data_url(part, IMAGE_TYPES, who=WHO)}
        detail = noted(part, _NAMESPACE, "detail")
        return {"type": "image_url", "image_url": image if detail is None else {**image, "detail": detail}}
    if isinstance(part, Audio):
        form = _AUDIO_FORMATS[media_type_of(part, _AUDIO_FORMATS, who=WHO)]
        return {"type": "input_audio", "input_audio": {"data": base64_of(part, who=WHO), "format": form}}
    if isinstance(part, Document):
        url = data_url(part, _FILE_TYPES, who=WHO)
        return {"type": "file", "file": {"filename": part.filename or "document.pdf", "file_data": url}}
    raise unsupported(part, role, ["Text", "Image", "Audio", "Document"], who=WHO)


def _native_reasoning(message: Message) -> str | None:
    native = (message.native or {}).get("openaiCompatible")
    text = native.get("reasoning_content") if isinstance(native, Mapping) else None
    return text if isinstance(text, str) else None
