"""The conversation as the contents of Gemini: texts, media, thinking, function calls and their responses."""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping
from typing import Final, Literal

from ...values.errors import InvalidRequest
from ...values.messages import Media, Message, Part, Reasoning, Text, ToolCall, ToolResult
from ...values.provider_json import Json, JsonObject
from ...values.request import Request
from ..json_values import decode_json
from ..media import base64_of, media_type_of
from ..message_parts import noted, only, plain_turns, split_system, system_update, texts_of, unsupported
from ..tool_calls import arguments_text, result_text
from .models import is_third

__all__ = ["ConversationWriter"]

_WHO: Final = "Gemini"
_NAMESPACE: Final = "google"

#: https://ai.google.dev/gemini-api/docs/image-understanding, and the pages for video, audio and documents.
_KINDS: Final = {
    "application": ("json", "pdf", "rtf", "xml"),
    "audio": ("aac", "aiff", "flac", "m4a", "mp3", "mp4", "mpeg", "ogg", "pcm", "wav", "webm", "x-wav"),
    "image": ("gif", "heic", "heif", "jpeg", "png", "webp"),
    "text": ("css", "csv", "html", "javascript", "markdown", "plain", "rtf", "x-python", "xml"),
    "video": ("3gpp", "avi", "mov", "mp4", "mpeg", "mpg", "quicktime", "webm", "wmv", "x-flv"),
}
_MEDIA_TYPES: Final = frozenset({f"{kind}/{name}" for kind, names in _KINDS.items() for name in names})


class ConversationWriter:
    """Writes the conversation of one request, and keeps what has to wait for a later turn.

    Args:
        request: the request; its model, and the ids that Gemini gave calls in it, say how to write.
        results: where the result of a tool stands; see `GeminiDialect`.

    Attributes:
        system: the text of the system prompt.
        messages: the ``contents`` of the body.
    """

    def __init__(self, request: Request, *, results: Literal["output", "content"]) -> None:
        self.system = ""
        self.messages: list[JsonObject] = []
        self._ids = _own_ids(request)  # only those that Gemini gave are sent back: servers may refuse others
        self._results_under = results
        self._nests = is_third(request.model)
        self._results: list[JsonObject] = []
        self._media: list[JsonObject] = []  # of tool results that cannot hold it themselves

    def write(self, request: Request) -> None:
        """Write the system prompt, then the conversation.

        Raises:
            InvalidRequest: for a part that a message of its role cannot carry.
        """
        system, turns = split_system(request, who=_WHO)
        if system:
            self.system = "\n".join(["".join([part.text for part in parts]) for parts in system])
        plain = plain_turns(request)
        if plain is not None:
            role = "user"
            for text in plain:
                self.messages += ({"role": role, "parts": [{"text": text}]},)
                role = "user" if role == "model" else "model"
            return
        for message in turns:
            self._add(message)
        self._flush()

    def _add(self, message: Message) -> None:
        if message.role == "tool":
            only(message, (ToolResult,), who=_WHO)
            results = [part for part in message.content if isinstance(part, ToolResult)]
            self._results += [self._result(part) for part in results if not part.provider_executed]
            return
        self._flush()
        if message.role == "user":
            self._turn("user", [_user_part(part) for part in message.content])
        elif message.role == "assistant":
            self._turn("model", [each for part in message.content if (each := self._model_part(part)) is not None])
        else:
            self._update(system_update("".join([part.text for part in texts_of(message, who=_WHO)])))

    def _flush(self) -> None:
        """Write the results of a turn together; media that could not go with them follow."""
        results, self._results = self._results, []
        self._turn("user", results)
        media, self._media = self._media, []
        if media:
            self._turn("user", [{"text": "Attached media from tool result:"}, *media])

    def _turn(self, role: str, parts: list[JsonObject]) -> None:
        last = self.messages[-1] if self.messages else None
        if last is not None and last["role"] == role == "model":
            last["parts"] += parts  # a turn with calls must not follow another of the model's
        elif parts:
            self.messages.append({"role": role, "parts": parts})

    def _update(self, text: str) -> None:
        last = self.messages[-1] if self.messages else None
        if last is None or last["role"] != "user" or any("functionResponse" in part for part in last["parts"]):
            self._turn("user", [{"text": text}])
        else:
            last["parts"].append({"text": text})

    def _model_part(self, part: Part) -> JsonObject | None:
        """Write a part of an earlier answer; None for what is not sent back."""
        if not isinstance(part, (Text, Reasoning, ToolCall, ToolResult, Media)):
            raise unsupported(part, "assistant", ["Text", "Reasoning", "ToolCall", "ToolResult", "Image"], who=_WHO)
        whole = noted(part, _NAMESPACE, "part")
        if isinstance(whole, Mapping):
            return dict(whole)
        if isinstance(part, Media):
            return _media_part(part)
        if isinstance(part, ToolResult) or (isinstance(part, ToolCall) and part.provider_executed):
            return None  # of another provider's own tools
        signature = noted(part, _NAMESPACE, "thoughtSignature")
        signed = {} if signature is None else {"thoughtSignature": signature}
        if isinstance(part, ToolCall):
            return {"functionCall": self._call(part), **signed}
        if not part.text and not signed:
            return None
        return {"text": part.text, **({"thought": True} if isinstance(part, Reasoning) else {}), **signed}

    def _call(self, call: ToolCall) -> JsonObject:
        arguments = call.arguments
        if not isinstance(arguments, Mapping):  # it must be an object: what is none goes along as it was written
            arguments = {"arguments": arguments_text(call)} if arguments is not None or call.raw_arguments else {}
        return {**self._id(call.id), "name": call.name, "args": arguments}

    def _id(self, id: str) -> dict[str, str]:
        known = self._ids.get(id)
        return {} if known is None else {"id": known}

    def _result(self, result: ToolResult) -> JsonObject:
        text, media = result_text(result)
        response: JsonObject = {**self._id(result.id), "name": result.name}
        if self._results_under == "content":
            response["response"] = {"name": result.name, "content": text}
        else:
            value: Json = text
            if result.result.type == "json" or isinstance(result.result.value, (dict, list)):
                value = decode_json(text) if result.result.type != "content" else text
            response["response"] = {"error" if result.result.type == "error" else "output": value}
        parts = [_media_part(part) for part in media]
        if parts and self._nests:
            response["parts"] = parts
        else:
            self._media += parts
        return {"functionResponse": response}


def _own_ids(request: Request) -> Mapping[str, str]:
    """Return the ids that Gemini gave the calls of a conversation, by the ids that the calls have."""
    calls = [part for message in request.messages for part in message.content if isinstance(part, ToolCall)]
    return {call.id: id for call in calls if (id := noted(call, _NAMESPACE, "id")) is not None}


def _user_part(part: Part) -> JsonObject:
    if isinstance(part, Text):
        return {"text": part.text}
    if isinstance(part, Media):
        return _media_part(part)
    raise unsupported(part, "user", ["Text", "Image", "Audio", "Video", "Document"], who=_WHO)


#: What may be given as a URL: the Files API, Cloud Storage, YouTube, and what the servers can fetch themselves.
_SCHEMES: Final = ("https://", "http://", "gs://")


def _media_part(part: Media) -> JsonObject:
    """Write a file by its bytes or its URL, with what the caller says of it, such as ``videoMetadata``."""
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
