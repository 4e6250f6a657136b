"""An answer of Bedrock's Converse as a value: its typed shape, what it used, how one is put together from events."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Final, NotRequired, TypedDict

import msgspec

from ...values.errors import InvalidProviderOutput
from ...values.provider_json import Json, JsonObject
from ...values.records import RawProviderResponse
from ...values.usage import Usage
from ..json_values import count
from ..tool_calls import parse_arguments

__all__ = [
    "ID",
    "BedrockConverseRaw",
    "Block",
    "ConverseMessage",
    "ConverseOutput",
    "ConverseResponse",
    "Merged",
    "PlainDelta",
    "decode_plain",
    "usage_of",
]

ID: Final = "bedrock-converse"


class ConverseMessage(TypedDict):
    """The assistant's message."""

    role: str
    content: list[JsonObject]


class ConverseOutput(TypedDict):
    """The model's output."""

    message: ConverseMessage


class ConverseResponse(TypedDict):
    """An answer as Bedrock sends it in one piece."""

    output: ConverseOutput
    stopReason: str
    usage: JsonObject
    metrics: JsonObject
    trace: NotRequired[JsonObject]
    additionalModelResponseFields: NotRequired[Json]
    performanceConfig: NotRequired[JsonObject]
    serviceTier: NotRequired[JsonObject]


class BedrockConverseRaw(RawProviderResponse, protocol=ID):
    """The raw answer of Bedrock's Converse. Its stream events stand under their names, as AWS's SDKs show them."""

    __slots__ = ()

    response: ConverseResponse | None


def usage_of(raw: Mapping[str, Json]) -> Usage:
    """Return the counts in a usage object. Bedrock counts what it read from and wrote to its cache apart."""
    new, output = count(raw, "inputTokens"), count(raw, "outputTokens")
    read = count(raw, "cacheReadInputTokens", "cacheReadInputTokenCount")
    written = count(raw, "cacheWriteInputTokens", "cacheWriteInputTokenCount")
    return Usage.of(
        input_tokens=None if new is None else new + (read or 0) + (written or 0),
        output_tokens=output,
        total_tokens=count(raw, "totalTokens"),
        cache_read_input_tokens=read,
        cache_write_input_tokens=written,
        raw=raw,
    )


# Events of nothing but more of the same. These name all that such an event may hold; any other does not decode.


class _PlainInput(msgspec.Struct, gc=False, forbid_unknown_fields=True, rename="camel"):
    input: str


class _PlainThinking(msgspec.Struct, gc=False, forbid_unknown_fields=True, rename="camel"):
    text: str


class PlainDelta(msgspec.Struct, gc=False, forbid_unknown_fields=True, rename="camel"):
    """The addition to a block, in an event that holds nothing else."""

    text: str | None = None
    reasoning_content: _PlainThinking | None = None
    tool_use: _PlainInput | None = None


class _PlainBlockDelta(msgspec.Struct, gc=False, forbid_unknown_fields=True, rename="camel"):
    delta: PlainDelta
    content_block_index: int
    p: msgspec.Raw = msgspec.Raw()


class _PlainEvent(msgspec.Struct, gc=False, forbid_unknown_fields=True, rename="camel"):
    content_block_delta: _PlainBlockDelta


#: Decodes an event that only goes on with a block, faster than any event; raises ValueError for one of another kind.
decode_plain: Final = msgspec.json.Decoder(_PlainEvent).decode


# Putting one together


class Block:
    """One content block while it grows.

    Attributes:
        kind: ``text``, ``reasoning``, ``redacted`` (thinking that is not shown), ``toolUse``, ``toolResult``, or
            another name of Bedrock's.
        id: of the tool call; of any other block the id that its events bear.
        name: of the tool.
        start: what the block began with.
        pieces: of its text, of the raw JSON of the arguments, or of base64; the fast path adds to
            them directly.
        given: the input that a tool call began with; it counts if no delta brings any.
        signature: the pieces of the signature of thinking.
        parts: what else came: citations, the parts of a result, or pieces of an unknown block.
    """

    __slots__ = ("given", "id", "kind", "name", "parts", "pieces", "signature", "start")

    def __init__(self, kind: str, id: str, *, name: str = "", start: Mapping[str, Json] | None = None) -> None:
        self.kind = kind
        self.id = id
        self.name = name
        self.start = dict(start or {})
        self.pieces: list[str] = []
        self.given = ""
        self.signature: list[str] = []
        self.parts: list[Json] = []

    @property
    def text(self) -> str:
        """The whole text so far."""
        return "".join(self.pieces)

    @property
    def is_hosted(self) -> bool:
        """Whether Bedrock runs this tool call itself."""
        return self.start.get("type") == "server_tool_use"

    def noted(self) -> dict[str, JsonObject] | None:
        """Return what Bedrock wants to see again of this block."""
        facts: JsonObject = {}
        if self.kind == "reasoning" and self.signature:
            facts["signature"] = "".join(self.signature)
        elif self.kind == "redacted":
            facts["redactedContent"] = _joined_base64(self.pieces)
        elif self.kind == "text" and self.parts:
            facts["citations"] = self.parts
        elif self.kind == "toolUse" and self.is_hosted:
            facts["type"] = self.start["type"]
        elif self.kind == "toolResult":
            facts["toolResult"] = self.whole()["toolResult"]
        return {"bedrock": facts} if facts else None

    def whole(self) -> JsonObject:
        """Return the block as an answer in one piece shows it."""
        if self.kind == "text" and self.parts:
            return {"citationsContent": {"content": [{"text": self.text}], "citations": self.parts}}
        if self.kind == "text":
            return {"text": self.text}
        if self.kind == "reasoning":
            said = {"text": self.text}
            return {"reasoningContent": {"reasoningText": {**said, **self._signed()}}}
        if self.kind == "redacted":
            return {"reasoningContent": {"redactedContent": _joined_base64(self.pieces)}}
        if self.kind == "toolUse":
            try:
                input = parse_arguments(self.text)
            except InvalidProviderOutput:
                input = self.text
            return {"toolUse": {**self.start, "input": input}}
        if self.kind == "toolResult":
            return {"toolResult": {**self.start, "content": _joined_texts(self.parts)}}
        return {self.kind: _grown([self.start, *self.parts])}

    def _signed(self) -> dict[str, str]:
        return {"signature": "".join(self.signature)} if self.signature else {}


class Merged:
    """An answer that grows by events; keeps every field, also unknown ones.

    Attributes:
        blocks: the content, in the order in which it began.
    """

    __slots__ = ("_role", "_top", "blocks")

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self._role = "assistant"
        self._top: JsonObject = {}

    def begin(self, event: Mapping[str, Json]) -> None:
        """Take in what the message began with."""
        role = event.get("role")
        if isinstance(role, str):
            self._role = role

    def add(self, event: Mapping[str, Json]) -> None:
        """Take in an event about the whole answer; padding is left out."""
        self._top.update({name: value for name, value in event.items() if name != "p"})

    def finished(self) -> JsonObject:
        """Return the whole answer."""
        content = [block.whole() for block in self.blocks]
        return {"output": {"message": {"role": self._role, "content": content}}, **self._top}


def _joined_base64(pieces: list[str]) -> str:
    """Base64 of all the bytes that stand in several pieces of base64."""
    if len(pieces) == 1:
        return pieces[0]
    try:
        return base64.b64encode(b"".join([base64.b64decode(piece, validate=True) for piece in pieces])).decode()
    except (binascii.Error, ValueError):
        return "".join(pieces)


def _joined_texts(parts: list[Json]) -> list[Json]:
    """Join texts in a row, which are pieces of one."""
    whole: list[Json] = []
    for part in parts:
        text = part.get("text") if isinstance(part, dict) else None
        last = whole[-1] if whole else None
        if isinstance(text, str) and isinstance(last, dict) and isinstance(last.get("text"), str):
            whole[-1] = {"text": last["text"] + text}
        else:
            whole.append(part)
    return whole


def _grown(pieces: list[Json]) -> Json:
    """Merge the pieces of an unknown block: texts and lists go on, objects merge, else the last counts."""
    if all(isinstance(piece, str) for piece in pieces):
        return "".join(pieces)
    if all(isinstance(piece, list) for piece in pieces):
        return [item for piece in pieces for item in piece]
    if not all(isinstance(piece, dict) for piece in pieces):
        return pieces[-1]
    found: dict[str, list[Json]] = {}
    for piece in pieces:
        for name, value in piece.items():
            found.setdefault(name, []).append(value)
    return {name: _grown(values) for name, values in found.items()}
