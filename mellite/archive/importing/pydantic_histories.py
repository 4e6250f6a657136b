"""Read message histories of pydantic-ai, as its ``ModelMessagesTypeAdapter`` writes them: JSON without a version.

Each answer in a history is a call, which was asked with all that stands before it. Parts of a kind that is not known
are kept as they are beside the call.
"""

from __future__ import annotations

import json
from typing import Final

from attrs import define, field

from ...cassettes.files.vcr import Imported
from ...values.errors import InvalidRequest
from ...values.messages import (
    Audio,
    Document,
    Image,
    Media,
    Message,
    Part,
    Reasoning,
    Text,
    ToolResult,
    ToolValue,
    Video,
)
from ...values.provider_json import Json, JsonObject
from ...values.request import Request
from .calls import Call, add_call, finish_reason, tool_call, usage_of
from .exchanges import Exchanges
from .source import Places, Source

__all__ = ["read", "recognizes"]

_URLS: Final[dict[str, type[Media]]] = {
    "audio-url": Audio,
    "document-url": Document,
    "image-url": Image,
    "video-url": Video,
}

#: The beginning of a MIME type -> what such bytes are.
_BYTES: Final[dict[str, type[Media]]] = {"image/": Image, "audio/": Audio, "video/": Video, "": Document}


def recognizes(source: Source) -> bool:
    """Whether a file is a history of pydantic-ai: a list of requests and responses with parts."""
    document = source.shape
    first = document[0] if isinstance(document, list) and document else None
    return (
        isinstance(first, dict)
        and isinstance(first.get("parts"), list)
        and first.get("kind") in ("request", "response")
    )


def read(source: Source) -> Imported:
    """Read a history of pydantic-ai.

    Raises:
        InvalidCassette: if it is damaged or another format, or there is no answer in it.
    """
    places = Places(source.path, "history of pydantic-ai")
    found = Exchanges(places)
    history = _History(places)
    for number, item in enumerate(places.items(source.document, "$")):
        where = f"$[{number}]"
        fields = places.fields(item, where)
        kind = fields.get("kind")
        if kind == "request":
            history.ask(fields, where)
        elif kind == "response":
            call = history.answered(fields, where)
            if fields.get("state", "complete") == "complete":
                add_call(found, call, f"message {number}")
            else:
                found.skip(f"message {number}", "the answer is not complete")
        else:
            places.refuse(f"{where}.kind", "'request' or 'response'", kind)
    found.say("the definitions of tools, settings and times, which a history does not have or a request does not need")
    for kind in sorted({str(part.get("part_kind", part.get("kind"))) for part in history.unknown}):
        found.say(f"parts of the kind {kind!r}, which are kept as they are beside the calls that have them")
    return found.imported()


@define
class _History:
    """The conversation so far, read message by message."""

    places: Places
    system: list[Text] = field(factory=list)
    instructions: str | None = None
    messages: list[Message] = field(factory=list)
    unknown: list[JsonObject] = field(factory=list)

    def ask(self, fields: JsonObject, where: str) -> None:
        """Take the parts of a request."""
        said = fields.get("instructions")
        self.instructions = None if said is None else self.places.text(said, f"{where}.instructions")
        for number, item in enumerate(self.places.items(fields.get("parts"), f"{where}.parts")):
            place = f"{where}.parts[{number}]"
            self._asked(self.places.fields(item, place), place)

    def _asked(self, part: JsonObject, where: str) -> None:
        kind = part.get("part_kind")
        if kind == "system-prompt":
            text = Text(self.places.text(part.get("content"), f"{where}.content"))
            if self.messages:
                self.messages.append(Message("system", (text,)))
            else:
                self.system.append(text)
        elif kind == "user-prompt":
            self._say("user", self._content(part.get("content"), f"{where}.content"))
        elif kind == "tool-return":
            self._say("tool", [self._result(part, failed=part.get("outcome", "success") != "success", where=where)])
        elif kind == "retry-prompt" and part.get("tool_name") is not None:
            self._say("tool", [self._result(part, failed=True, where=where)])
        elif kind == "retry-prompt":
            self._say("user", [Text(_as_text(part.get("content")))])
        else:
            self.unknown.append(part)

    def _say(self, role: str, parts: list[Part]) -> None:
        """Add parts to what the same side has said last, or as a new message."""
        if not parts:
            return
        if self.messages and self.messages[-1].role == role:
            parts = [*self.messages.pop().content, *parts]
        self.messages.append(Message(role, parts))

    def _content(self, value: Json, where: str) -> list[Part]:
        if isinstance(value, str):
            return [Text(value)]
        parts: list[Part] = []
        for number, item in enumerate(self.places.items(value, where)):
            if isinstance(item, str):
                parts.append(Text(item))
                continue
            place = f"{where}[{number}]"
            part = self._media(self.places.fields(item, place), place)
            if part is not None:
                parts.append(part)
        return parts

    def _media(self, fields: JsonObject, where: str) -> Part | None:
        """Return a picture, a file or the like; None for a kind that is not known."""
        kind, media_type = str(fields.get("kind")), self.places.word(fields.get("media_type"), f"{where}.media_type")
        if kind == "text-content":
            return Text(self.places.text(fields.get("content"), f"{where}.content"))
        if kind in _URLS:
            return _URLS[kind](url=self.places.text(fields.get("url"), f"{where}.url"), media_type=media_type)
        if kind != "binary":
            self.unknown.append(fields)
            return None
        made = next(one for begin, one in _BYTES.items() if str(media_type).startswith(begin))
        data = self.places.text(fields.get("data"), f"{where}.data").replace("-", "+").replace("_", "/")
        try:
            return made.from_base64(data, media_type=media_type)
        except InvalidRequest:
            self.places.refuse(f"{where}.data", "base64", "something else")

    def _result(self, part: JsonObject, *, failed: bool, where: str) -> ToolResult:
        name = self.places.text(part.get("tool_name"), f"{where}.tool_name")
        id = self.places.text(part.get("tool_call_id"), f"{where}.tool_call_id")
        content = part.get("content")
        if failed:
            return ToolResult(id, name, ToolValue("error", _as_text(content)))
        return ToolResult(id, name, ToolValue("text" if isinstance(content, str) else "json", content))

    def answered(self, fields: JsonObject, where: str) -> Call:
        """Return the call that an answer ended, and take the answer into the conversation."""
        parts = [
            part
            for number, item in enumerate(self.places.items(fields.get("parts"), f"{where}.parts"))
            if (part := self._answer(self.places.fields(item, f"{where}.parts[{number}]"), f"{where}.parts[{number}]"))
        ]
        instructions = [Text(self.instructions)] if self.instructions else []
        request = Request(tuple(self.messages), system=(*self.system, *instructions))
        self.messages.append(Message("assistant", parts))
        provider = fields.get("provider_name")
        return Call(
            provider=provider if isinstance(provider, str) else "",
            model=str(fields.get("model_name") or "unknown"),
            request=request,
            answer=parts,
            reason=finish_reason(fields.get("finish_reason") or "stop"),
            usage=usage_of(
                fields.get("usage"),
                cached="cache_read_tokens",
                written="cache_write_tokens",
                thought="output_reasoning_tokens",
            ),
            unknown=tuple(self.unknown),
        )

    def _answer(self, part: JsonObject, where: str) -> Part | None:
        kind = part.get("part_kind")
        if kind == "text":
            return Text(self.places.text(part.get("content"), f"{where}.content"))
        if kind == "thinking":
            signature = part.get("signature")
            text = self.places.text(part.get("content"), f"{where}.content")
            return Reasoning(text, encrypted=signature if isinstance(signature, str) else None)
        if kind == "tool-call":
            name = self.places.text(part.get("tool_name"), f"{where}.tool_name")
            id = self.places.text(part.get("tool_call_id"), f"{where}.tool_call_id")
            return tool_call(id, name, part.get("args"))
        self.unknown.append(part)
        return None


def _as_text(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
