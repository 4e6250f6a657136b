"""Messages as Anthropic takes them: blocks of text, pictures, files, thinking, tool calls and their results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from xml.sax.saxutils import escape

from ...values.errors import InvalidRequest
from ...values.messages import CacheHint, Document, Image, Media, Message, Part, Reasoning, Text, ToolCall, ToolResult
from ..cache_marks import is_long
from ..media import IMAGE_TYPES, base64_of, media_type_of, web_url
from ..tool_calls import arguments_text, result_text
from .history import noted, signature_of

__all__ = ["cached", "messages_of", "system_of"]

_WHO: Final = "Anthropic Messages"
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


def messages_of(turns: Sequence[Message], *, native_updates: bool) -> list[dict[str, Any]]:
    """The ``messages`` of the body.

    Args:
        turns: the conversation, without the system messages at its beginning.
        native_updates: whether the model takes system messages in the middle; others get them as text of the user.

    Raises:
        InvalidRequest: for a part that a message of its role cannot carry, and for a message of the user that is empty.
    """
    written: list[dict[str, Any]] = []
    for at, message in enumerate(turns):
        if message.role == "system":
            following = next((turn for turn in turns[at + 1 :] if turn.role != "system"), None)
            fits = native_updates and (following is None or following.role == "assistant")
            _update(written, message, native=fits)
        elif message.role == "assistant":
            content = [block for part in message.content for block in _assistant_block(part)]
            if content:
                written.append({"role": "assistant", "content": content})
        else:
            content = [_user_block(part, message.role) for part in message.content if not _is_blank(part)]
            if not content:
                msg = f"{_WHO} takes no empty messages; this one of the {message.role} says nothing"
                raise InvalidRequest(msg, parameter="messages")
            merge = message.role == "tool" and at > 0 and turns[at - 1].role == "tool"  # parallel calls: one turn
            if merge:
                written[-1]["content"] += content
            else:
                written.append({"role": "user", "content": content})
    return written


def _update(written: list[dict[str, Any]], message: Message, *, native: bool) -> None:
    """Instructions in the middle: as a message of their own, or at the end of what the user said before."""
    parts = system_of(message)
    if not parts:
        return
    before = written[-1]["role"] if written else None
    if native and before in ("user", "system"):
        if before == "user":
            written.append({"role": "system", "content": []})
        written[-1]["content"] += [cached({"type": "text", "text": part.text}, part) for part in parts]
        return
    hint = next((part.cache for part in reversed(parts) if part.cache is not None), None)
    text = f"<system-update>\n{escape(''.join([part.text for part in parts]))}\n</system-update>"
    block = _with_hint({"type": "text", "text": text}, hint)
    if before == "user":
        written[-1]["content"].append(block)
    else:
        written.append({"role": "user", "content": [block]})


def system_of(message: Message) -> list[Text]:
    """The texts of a system message; those that say nothing are left out.

    Raises:
        InvalidRequest: if it holds anything but text.
    """
    texts: list[Text] = []
    for part in message.content:
        if not isinstance(part, Text):
            raise _unsupported(part, "system", ["Text"])
        if part.text.strip():
            texts.append(part)
    return texts


def cached(block: dict[str, Any], part: Any) -> dict[str, Any]:
    """The block, marked for the cache if the part has a hint."""
    return _with_hint(block, part.cache)


def _with_hint(block: dict[str, Any], hint: CacheHint | None) -> dict[str, Any]:
    if hint is None:
        return block
    mark = {"type": "ephemeral", "ttl": "1h"} if is_long(hint) else {"type": "ephemeral"}
    return {**block, "cache_control": mark}


def _is_blank(part: Part) -> bool:
    """Whether it is a text without any words, which is refused."""
    return isinstance(part, Text) and not part.text.strip()


def _unsupported(part: Part, role: str, kinds: Iterable[str]) -> InvalidRequest:
    msg = f"{_WHO} {role} messages take parts of the types {', '.join(kinds)}, not {type(part).__name__}"
    return InvalidRequest(msg, parameter="messages")


# What a user says, and what tools gave


def _user_block(part: Part, role: str) -> dict[str, Any]:
    if isinstance(part, ToolResult):
        return _result_block(part)
    if role == "tool":
        raise _unsupported(part, role, ["ToolResult"])
    if isinstance(part, (Text, Media)):
        return cached(_content_block(part, role), part)
    raise _unsupported(part, role, ["Text", "Image", "Document", "ToolResult"])


def _content_block(part: Text | Media, role: str) -> dict[str, Any]:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    if isinstance(part, Image):
        return {"type": "image", "source": _source(part, IMAGE_TYPES)}
    if isinstance(part, Document):
        block: dict[str, Any] = {"type": "document", "source": _source(part, (_PDF, _PLAIN))}
        if part.filename:
            block["title"] = part.filename
        more = {name: noted(part.provider_metadata, name) for name in ("citations", "context", "title")}
        return {**block, **{name: value for name, value in more.items() if value}}
    raise _unsupported(part, role, ["Text", "Image", "Document"])


def _source(part: Media, accepted: Iterable[str]) -> dict[str, Any]:
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


def _result_block(part: ToolResult) -> dict[str, Any]:
    if part.provider_executed:
        return cached(_hosted_result(part), part)
    content: str | list[dict[str, Any]]
    value = part.result
    if value.type == "content":
        parts = value.value if isinstance(value.value, (list, tuple)) else (value.value,)
        content = [_content_block(item, "tool") for item in parts if not _is_blank(item)]
    else:
        content, _ = result_text(part)
    block: dict[str, Any] = {"type": "tool_result", "tool_use_id": part.id, "content": content}
    if value.type == "error":
        block["is_error"] = True
    return cached(block, part)


# What an assistant said


def _assistant_block(part: Part) -> Sequence[dict[str, Any]]:
    """The block that a part becomes; none for what is nothing to send back."""
    if isinstance(part, Text):
        if _is_blank(part):
            return ()
        citations = noted(part.provider_metadata, "citations")
        block = {"type": "text", "text": part.text}
        return (cached({**block, "citations": citations} if citations else block, part),)
    if isinstance(part, Reasoning):
        return _thinking_block(part)
    if isinstance(part, ToolCall):
        return _call_block(part)
    if isinstance(part, ToolResult) and part.provider_executed:
        return (cached(_hosted_result(part), part),) if _is_known(part) else ()
    raise _unsupported(part, "assistant", ["Text", "Reasoning", "ToolCall"])


def _thinking_block(part: Reasoning) -> Sequence[dict[str, Any]]:
    known = noted(part.provider_metadata, "block")
    if isinstance(known, Mapping) and known.get("type"):
        return (dict(known),)
    redacted = noted(part.provider_metadata, "redacted_data")
    if redacted is not None:
        return ({"type": "redacted_thinking", "data": redacted},)
    signature = signature_of(part)
    if signature is None:  # cannot be checked, and would be refused; `mend` has said so
        return ()
    return ({"type": "thinking", "thinking": part.text, "signature": signature},)


def _call_block(part: ToolCall) -> Sequence[dict[str, Any]]:
    if part.provider_executed and not _is_known(part):
        return ()
    more = dict((part.provider_metadata or {}).get("anthropic") or {})
    type = more.pop("type", "server_tool_use") if part.provider_executed else "tool_use"
    arguments = part.arguments
    if not isinstance(arguments, Mapping):  # what a model wrote, and is no object, is shown to it as it is
        raw = arguments_text(part)
        arguments = {} if raw in ("{}", "null") else {"invalid_json": raw}
    more = {name: value for name, value in more.items() if part.provider_executed or name == "caller"}
    return (cached({"type": type, "id": part.id, "name": part.name, "input": dict(arguments), **more}, part),)


def _is_known(part: ToolCall | ToolResult) -> bool:
    """Whether a server's tool is one of Anthropic's: those of other providers mean nothing here."""
    return not part.provider_metadata or "anthropic" in part.provider_metadata


def _hosted_result(part: ToolResult) -> dict[str, Any]:
    more = dict((part.provider_metadata or {}).get("anthropic") or {})
    type = more.pop("type", None) or _RESULTS.get(part.name)
    if type is None:
        msg = f"{_WHO} knows no tool {part.name!r} of the server; the result {part.id!r} cannot be sent back"
        raise InvalidRequest(msg, parameter="messages")
    return {"type": type, "tool_use_id": part.id, "content": part.result.value, **more}
