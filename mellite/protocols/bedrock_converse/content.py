"""The conversation as the messages of Converse: blocks of text, media, thinking, tool uses, results, cache points."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from ...values.messages import CacheHint, Media, Message, Part, Reasoning, Text, ToolCall, ToolResult
from ...values.provider_json import Json, JsonObject
from ...values.request import Request
from ..cache_marks import is_long
from ..json_values import decode_json, json_text
from ..message_parts import noted, split_system, system_update, texts_of, unsupported
from ..tool_calls import result_text
from .media import WHO, MediaBlocks

__all__ = ["ConversationWriter", "cache_point", "proof_of"]

_NAMESPACE: Final = "bedrock"
_SHORT: Final = CacheHint()


def cache_point(hint: CacheHint) -> JsonObject:
    """Write the block after what is to be cached."""
    point = {"type": "default", "ttl": "1h"} if is_long(hint) else {"type": "default"}
    return {"cachePoint": point}


class ConversationWriter:
    """Writes the conversation of one request.

    Messages of one role in a row become one: Bedrock wants the roles to alternate.

    Attributes:
        system: the ``system`` of the body.
        messages: the ``messages`` of the body.
    """

    def __init__(self) -> None:
        self.system: list[JsonObject] = []
        self.messages: list[JsonObject] = []
        self._media = MediaBlocks()

    def write(self, request: Request) -> None:
        """Write the system prompt, then the conversation.

        Raises:
            InvalidRequest: for a part that a message of its role cannot carry.
        """
        system, turns = split_system(request, who=WHO)
        for text in [text for texts in system for text in texts]:
            if text.text:
                self.system.append({"text": text.text})
            if text.cache is not None and self.system:
                self.system.append(cache_point(text.cache))
        for message in turns:
            self._add(message)

    def write_turns(self, system: Sequence[Text], turns: Sequence[str], *, marks: bool) -> None:
        """Write the texts of user and model taking turns.

        Args:
            system: the system prompt, each of whose texts says something.
            turns: the texts, of `plain_turns`.
            marks: whether to mark what ``cache="auto"`` does: first and last text of the system prompt, the last turn.
        """
        for part in system:
            self.system += ({"text": part.text},)
        role = "user"
        for text in turns:
            self.messages += ({"role": role, "content": [{"text": text}]},)
            role = "user" if role == "assistant" else "assistant"
        if marks:
            self.messages[-1]["content"] += (cache_point(_SHORT),)
            if self.system[1:]:
                self.system[1:1] = (cache_point(_SHORT),)
            if self.system:
                self.system += (cache_point(_SHORT),)

    def _add(self, message: Message) -> None:
        if message.role == "system":
            text = "".join([part.text for part in texts_of(message, who=WHO)])
            blocks: list[JsonObject] = [{"text": system_update(text)}]
        elif message.role == "assistant":
            blocks = self._blocks(message, self._assistant)
        elif message.role == "tool":
            blocks = self._blocks(message, self._result)
        else:
            blocks = self._blocks(message, self._user)
        role = "assistant" if message.role == "assistant" else "user"
        if not blocks:
            if role == "assistant" or message.role == "tool":
                return
            blocks = [{"text": message.text}]  # blank: Bedrock says what it thinks of that
        if self.messages and self.messages[-1]["role"] == role:
            self.messages[-1]["content"] += blocks
        else:
            self.messages.append({"role": role, "content": blocks})

    def _blocks(self, message: Message, write: Callable[[Part], JsonObject | None]) -> list[JsonObject]:
        blocks: list[JsonObject] = []
        for part in message.content:
            block = write(part)
            if block is not None:
                blocks.append(block)
                hint: CacheHint | None = getattr(part, "cache", None)
                if hint is not None:
                    _mark(blocks, hint)
        return blocks

    def _user(self, part: Part) -> JsonObject | None:
        if isinstance(part, Text):
            return _text(part)
        if isinstance(part, Media):
            return self._media.block(part)
        raise unsupported(part, "user", ["Text", "Image", "Document", "Video", "Audio"], who=WHO)

    def _assistant(self, part: Part) -> JsonObject | None:
        if isinstance(part, Text):
            return _text(part)
        if isinstance(part, Reasoning):
            return _reasoning(part)
        if isinstance(part, ToolCall):
            return _call(part)
        if isinstance(part, ToolResult) and part.provider_executed:
            native = noted(part, _NAMESPACE, "toolResult")
            return {"toolResult": dict(native)} if isinstance(native, Mapping) else None
        raise unsupported(part, "assistant", ["Text", "Reasoning", "ToolCall"], who=WHO)

    def _result(self, part: Part) -> JsonObject | None:
        if not isinstance(part, ToolResult):
            raise unsupported(part, "tool", ["ToolResult"], who=WHO)
        if part.provider_executed:
            return None
        status = "error" if part.result.type == "error" else "success"
        return {"toolResult": {"toolUseId": part.id, "content": self._result_content(part), "status": status}}

    def _result_content(self, result: ToolResult) -> list[JsonObject]:
        if result.result.type == "content":
            value = result.result.value
            parts: Sequence[Json] = value if isinstance(value, (list, tuple)) else (value,)
            blocks = [
                _text(part) if isinstance(part, Text) else self._media.block(part, of_tool=True) for part in parts
            ]
            found = [block for block in blocks if block is not None]
        elif result.result.type == "text":
            found = [{"text": result.result.value}] if str(result.result.value).strip() else []
        else:
            found = _json_content(result)
        return found or [{"text": "(empty)"}]  # blank text is refused


def _mark(blocks: list[JsonObject], hint: CacheHint) -> None:
    """Put a cache point after the last block; before documents and films, which it may not follow."""
    at = len(blocks)
    while at and blocks[at - 1].keys() & {"document", "video"}:
        at -= 1
    if at and not blocks[at - 1].keys() & {"cachePoint", "reasoningContent"}:
        blocks.insert(at, cache_point(hint))


def _text(part: Text) -> JsonObject | None:
    if not part.text.strip():
        return None
    citations = noted(part, _NAMESPACE, "citations")
    if citations:
        return {"citationsContent": {"content": [{"text": part.text}], "citations": list(citations)}}
    return {"text": part.text}


def _reasoning(part: Reasoning) -> JsonObject | None:
    hidden = noted(part, _NAMESPACE, "redactedContent")
    if hidden is not None:
        return {"reasoningContent": {"redactedContent": hidden}}
    proof = proof_of(part)
    if proof is None and not part.text.strip():
        return None
    said = {"text": part.text} if proof is None else {"text": part.text, "signature": proof}
    return {"reasoningContent": {"reasoningText": said}}


def proof_of(part: Reasoning) -> str | None:
    """Return the signature of thinking, or what stands for one; those of Claude hold wherever Claude runs."""
    theirs = (part.provider_metadata or {}).get("anthropic") or {}
    found = (
        noted(part, _NAMESPACE, "signature") or noted(part, _NAMESPACE, "redactedContent") or theirs.get("signature")
    )
    if not found and not part.provider_metadata:
        found = part.encrypted  # with metadata of another provider, it is that provider's, too
    return found if isinstance(found, str) and found else None


def _call(call: ToolCall) -> JsonObject | None:
    use: JsonObject = {"toolUseId": call.id, "name": call.name, "input": _input(call)}
    if call.provider_executed:
        kind = noted(call, _NAMESPACE, "type")
        return None if kind is None else {"toolUse": {**use, "type": kind}}
    return {"toolUse": use}


def _input(call: ToolCall) -> Json:
    """Return the arguments, which must be an object; what the model wrote instead of one is kept in one."""
    value = call.arguments
    if value is None and call.raw_arguments and call.raw_arguments.strip():
        return {"invalid_json": call.raw_arguments}
    value = decode_json(json_text({} if value is None else value, what=f"the arguments of tool call {call.id!r}"))
    return value if isinstance(value, dict) else {"invalid_json": value}


def _json_content(result: ToolResult) -> list[JsonObject]:
    """Write a result that is not text: an object as it is; Bedrock takes anything else only as text."""
    text, _ = result_text(result)
    value = (
        decode_json(text) if isinstance(result.result.value, (Mapping, list)) or result.result.type == "json" else None
    )
    return [{"json": value}] if isinstance(value, dict) else [{"text": text}] if text.strip() else []
