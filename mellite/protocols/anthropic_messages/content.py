"""Messages as Anthropic takes them: blocks of text, pictures, files, thinking, tool calls and their results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from ...values.errors import InvalidRequest
from ...values.messages import CacheHint, Document, Image, Media, Message, Part, Reasoning, Text, ToolCall, ToolResult
from ...values.provider_json import JsonObject
from ...values.request import Request
from ...values.tools import ToolDefinition
from ..cache_marks import is_long
from ..media import IMAGE_TYPES, base64_of, media_type_of, web_url
from ..message_parts import noted, split_system, system_update, texts_of, unsupported
from ..tool_calls import arguments_text, result_text
from .history import signature_of

__all__ = ["ConversationWriter", "cached", "hosted_block"]

_WHO: Final = "Anthropic Messages"
_NAMESPACE: Final = "anthropic"
_PDF: Final = "application/pdf"
_PLAIN: Final = "text/plain"

#: The server's own tools, by the name they are called by, and the type of the block that has their result.
_RESULTS: Final = {
    "advisor": "advisor_tool_result",
    "bash_code_execution": "bash_code_execution_tool_result",
    "code_execution": "code_execution_tool_result",
    "text_editor_code_execution": "text_editor_code_execution_tool_result",
    "tool_search_tool_bm25": "tool_search_tool_result",
    "tool_search_tool_regex": "tool_search_tool_result",
    "web_fetch": "web_fetch_tool_result",
    "web_search": "web_search_tool_result",
}


class ConversationWriter:
    """Writes the conversation of one request.

    Args:
        native_updates: whether the model takes system messages in the middle; others get them as text of the user.

    Attributes:
        system: the ``system`` of the body.
        messages: the ``messages`` of the body.
    """

    def __init__(self, *, native_updates: bool) -> None:
        self.system: list[JsonObject] = []
        self.messages: list[JsonObject] = []
        self._native_updates = native_updates

    def write(self, request: Request) -> None:
        """Write the system prompt, then the conversation.

        Raises:
            InvalidRequest: for a part that a message of its role cannot carry, and for an empty message of the user.
        """
        system, turns = split_system(request, who=_WHO)
        parts = [part for parts in system for part in parts if not _is_blank(part)]
        self.system = [cached({"type": "text", "text": part.text}, part) for part in parts]
        for at, message in enumerate(turns):
            if message.role == "system":
                following = next((turn for turn in turns[at + 1 :] if turn.role != "system"), None)
                fits = self._native_updates and (following is None or following.role == "assistant")
                self._update(message, native=fits)
            else:
                follows = at > 0 and turns[at - 1].role == "tool" == message.role
                self._add(message, merge=follows)  # results of parallel calls are one turn

    def write_turns(self, system: Sequence[Text], turns: Sequence[str], *, marks: bool) -> None:
        """Write the texts of user and model taking turns.

        Args:
            system: the system prompt, each of whose texts says something.
            turns: the texts, of `plain_turns`.
            marks: whether to mark what ``cache="auto"`` does: first and last text of the system prompt, the last turn.
        """
        for part in system:
            self.system += ({"type": "text", "text": part.text},)
        role = "user"
        for text in turns:
            self.messages += ({"role": role, "content": [{"type": "text", "text": text}]},)
            role = "user" if role == "assistant" else "assistant"
        if marks:
            for block in (*self.system[:1], *self.system[1:][-1:], *self.messages[-1]["content"]):
                block["cache_control"] = {"type": "ephemeral"}

    def _add(self, message: Message, *, merge: bool) -> None:
        if message.role == "assistant":
            content = [block for part in message.content for block in _assistant_block(part)]
            if content:
                self.messages.append({"role": "assistant", "content": content})
            return
        content = [_user_block(part, message.role) for part in message.content if not _is_blank(part)]
        if not content:
            msg = f"{_WHO} takes no empty messages; this one of the {message.role} says nothing"
            raise InvalidRequest(msg, parameter="messages")
        if merge:
            self.messages[-1]["content"] += content
        else:
            self.messages.append({"role": "user", "content": content})

    def _update(self, message: Message, *, native: bool) -> None:
        """Write instructions in the middle: as a message of their own, or after what the user said before."""
        parts = [part for part in texts_of(message, who=_WHO) if not _is_blank(part)]
        if not parts:
            return
        before = self.messages[-1]["role"] if self.messages else None
        if native and before in ("user", "system"):
            if before == "user":
                self.messages.append({"role": "system", "content": []})
            self.messages[-1]["content"] += [cached({"type": "text", "text": part.text}, part) for part in parts]
            return
        hint = next((part.cache for part in reversed(parts) if part.cache is not None), None)
        text = system_update("".join([part.text for part in parts]))
        block = _with_hint({"type": "text", "text": text}, hint)
        if before == "user":
            self.messages[-1]["content"].append(block)
        else:
            self.messages.append({"role": "user", "content": [block]})


def cached(block: JsonObject, part: Text | Media | ToolCall | ToolResult | ToolDefinition) -> JsonObject:
    """Mark a block for the cache, if its part has a hint."""
    return _with_hint(block, part.cache)


def _with_hint(block: JsonObject, hint: CacheHint | None) -> JsonObject:
    if hint is None:
        return block
    mark = {"type": "ephemeral", "ttl": "1h"} if is_long(hint) else {"type": "ephemeral"}
    return {**block, "cache_control": mark}


def _is_blank(part: Part) -> bool:
    """Tell whether a part is a text without any words, which is refused."""
    return isinstance(part, Text) and not part.text.strip()


# What a user says, and what tools gave


def _user_block(part: Part, role: str) -> JsonObject:
    if isinstance(part, ToolResult):
        return _result_block(part)
    if role == "tool":
        raise unsupported(part, role, ["ToolResult"], who=_WHO)
    if isinstance(part, (Text, Media)):
        return cached(_content_block(part, role), part)
    raise unsupported(part, role, ["Text", "Image", "Document", "ToolResult"], who=_WHO)


def _content_block(part: Text | Media, role: str) -> JsonObject:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    if isinstance(part, Image):
        return {"type": "image", "source": _source(part, IMAGE_TYPES)}
    if isinstance(part, Document):
        block: JsonObject = {"type": "document", "source": _source(part, (_PDF, _PLAIN))}
        if part.filename:
            block["title"] = part.filename
        more = {name: noted(part, _NAMESPACE, name) for name in ("citations", "context", "title")}
        return {**block, **{name: value for name, value in more.items() if value}}
    raise unsupported(part, role, ["Text", "Image", "Document"], who=_WHO)


def _source(part: Media, accepted: Iterable[str]) -> JsonObject:
    url = web_url(part, who=_WHO)
    if url is not None:
        if not url.startswith("data:"):
            return {"type": "url", "url": url}
        part = type(part).from_base64(url, media_type=part.media_type)
    media_type = media_type_of(part, tuple(accepted), who=_WHO)
    if media_type != _PLAIN:
        return {"type": "base64", "media_type": media_type, "data": base64_of(part, who=_WHO)}
    try:
        text = (part.data or b"").decode("utf-8")
    except UnicodeDecodeError as error:
        msg = f"{_WHO} takes plain text files in UTF-8; this one is not: {error.reason} at byte {error.start}"
        raise InvalidRequest(msg, parameter="messages") from None
    return {"type": "text", "media_type": media_type, "data": text}


def _result_block(part: ToolResult) -> JsonObject:
    if part.provider_executed:
        return cached(_hosted_result(part), part)
    content: str | list[JsonObject]
    value = part.result
    if value.type == "content":
        parts = value.value if isinstance(value.value, (list, tuple)) else (value.value,)
        content = [_content_block(item, "tool") for item in parts if not _is_blank(item)]
    else:
        content, _ = result_text(part)
    block: JsonObject = {"type": "tool_result", "tool_use_id": part.id, "content": content}
    if value.type == "error":
        block["is_error"] = True
    return cached(block, part)


# What an assistant said


def _assistant_block(part: Part) -> Sequence[JsonObject]:
    """Return the block that a part becomes; none for what is nothing to send back."""
    if isinstance(part, Text):
        if _is_blank(part):
            return ()
        citations = noted(part, _NAMESPACE, "citations")
        block = {"type": "text", "text": part.text}
        return (cached({**block, "citations": citations} if citations else block, part),)
    if isinstance(part, Reasoning):
        return _thinking_block(part)
    if isinstance(part, ToolCall):
        return _call_block(part)
    if isinstance(part, ToolResult) and part.provider_executed:
        return (cached(_hosted_result(part), part),) if _is_known(part) else ()
    raise unsupported(part, "assistant", ["Text", "Reasoning", "ToolCall"], who=_WHO)


def _thinking_block(part: Reasoning) -> Sequence[JsonObject]:
    known = noted(part, _NAMESPACE, "block")
    if isinstance(known, Mapping) and known.get("type"):
        return (dict(known),)
    redacted = noted(part, _NAMESPACE, "redacted_data")
    if redacted is not None:
        return ({"type": "redacted_thinking", "data": redacted},)
    signature = signature_of(part)
    if signature is None:  # cannot be checked, and would be refused; `mend` has said so
        return ()
    return ({"type": "thinking", "thinking": part.text, "signature": signature},)


def _call_block(part: ToolCall) -> Sequence[JsonObject]:
    if part.provider_executed and not _is_known(part):
        return ()
    more = dict((part.provider_metadata or {}).get("anthropic") or {})
    type = more.pop("type", "server_tool_use") if part.provider_executed else "tool_use"
    arguments = part.arguments
    if not isinstance(arguments, Mapping):  # what a model wrote, and is not an object, is shown to it as it is
        raw = arguments_text(part)
        arguments = {} if raw in ("{}", "null") else {"invalid_json": raw}
    more = {name: value for name, value in more.items() if part.provider_executed or name == "caller"}
    return (cached({"type": type, "id": part.id, "name": part.name, "input": dict(arguments), **more}, part),)


def hosted_block(part: ToolCall | ToolResult) -> JsonObject | None:
    """Return the block of a call that Anthropic ran itself, or of its result; None for that of another provider."""
    if not _is_known(part):
        return None
    if isinstance(part, ToolCall):
        (block,) = _call_block(part)
        return block
    return _hosted_result(part) if part.provider_metadata or part.name in _RESULTS else None


def _is_known(part: ToolCall | ToolResult) -> bool:
    """Tell whether a server's tool is one of Anthropic's: those of other providers mean nothing here."""
    return not part.provider_metadata or "anthropic" in part.provider_metadata


def _hosted_result(part: ToolResult) -> JsonObject:
    more = dict((part.provider_metadata or {}).get("anthropic") or {})
    type = more.pop("type", None) or _RESULTS.get(part.name)
    if type is None:
        msg = f"{_WHO} knows no tool {part.name!r} of the server; the result {part.id!r} cannot be sent back"
        raise InvalidRequest(msg, parameter="messages")
    return {"type": type, "tool_use_id": part.id, "content": part.result.value, **more}
