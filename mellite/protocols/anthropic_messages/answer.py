"""An answer of Anthropic's Messages as a value: its typed shape, what it used, its blocks while they grow."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Final, Literal, NotRequired, TypedDict

import msgspec

from ...values.errors import InvalidProviderOutput
from ...values.provider_json import Json, JsonObject
from ...values.records import RawProviderResponse
from ...values.usage import Usage
from ..json_values import count, inner
from ..tool_calls import given_input, parse_arguments

__all__ = [
    "ID",
    "AnthropicBlock",
    "AnthropicMessage",
    "AnthropicRaw",
    "Block",
    "InputPiece",
    "TextPiece",
    "ThinkingPiece",
    "decode_plain",
    "merged_usage",
    "usage_of",
]

ID: Final = "anthropic-messages"


class AnthropicBlock(TypedDict, total=False):
    """One block of the ``content``; which fields there are depends on its ``type``."""

    type: str
    text: str
    citations: list[JsonObject] | None
    thinking: str
    signature: str
    data: str
    id: str
    name: str
    input: Json
    tool_use_id: str
    content: Json


class AnthropicMessage(TypedDict):
    """A message as Anthropic sends it; more fields come with every feature."""

    id: str
    type: str
    role: str
    model: str
    content: list[AnthropicBlock]
    stop_reason: str | None
    stop_sequence: str | None
    stop_details: NotRequired[JsonObject | None]
    container: NotRequired[JsonObject | None]
    usage: JsonObject


class AnthropicRaw(RawProviderResponse, protocol=ID):
    """The raw answer of any host that speaks Anthropic's Messages."""

    __slots__ = ()

    response: AnthropicMessage | None


# Usage


def usage_of(raw: Mapping[str, Json]) -> Usage:
    """Return the counts in a usage object. Anthropic counts what was cached apart; mellite's totals are inclusive."""
    input, read = count(raw, "input_tokens"), count(raw, "cache_read_input_tokens")
    written = count(raw, "cache_creation_input_tokens")
    return Usage.of(
        input_tokens=None if input is None else input + (read or 0) + (written or 0),
        output_tokens=count(raw, "output_tokens"),
        cache_read_input_tokens=read,
        cache_write_input_tokens=written,
        reasoning_tokens=count(inner(raw, "output_tokens_details"), "thinking_tokens"),
        reasoning_apart=False,
        raw=raw,
    )


def merged_usage(known: Mapping[str, Json], later: Mapping[str, Json]) -> JsonObject:
    """Merge two reports of one answer: later values win, but nothing and zero never replace a count."""
    return {**known, **{name: value for name, value in later.items() if value or not known.get(name)}}


# Events of nothing but a delta. These name all that such an event may hold; any other does not decode.


class TextPiece(msgspec.Struct, gc=False, forbid_unknown_fields=True, tag="text_delta"):
    """More text."""

    text: str


class ThinkingPiece(msgspec.Struct, gc=False, forbid_unknown_fields=True, tag="thinking_delta"):
    """More thinking."""

    thinking: str


class InputPiece(msgspec.Struct, gc=False, forbid_unknown_fields=True, tag="input_json_delta"):
    """More of the JSON of a tool call."""

    partial_json: str


class _PlainEvent(msgspec.Struct, gc=False, forbid_unknown_fields=True, tag="content_block_delta"):
    index: int
    delta: TextPiece | ThinkingPiece | InputPiece


#: Decodes an event that is nothing but more text, thinking or input; raises ValueError for any other.
decode_plain: Final = msgspec.json.Decoder(_PlainEvent).decode


# Blocks

Kind = Literal["text", "thinking", "call", "result", "other"]

#: The field of a block that grows, piece by piece, and the one of the delta that brings a piece.
_GROWING: Final[Mapping[str, tuple[str, str]]] = {
    "text": ("text", "text"),
    "thinking": ("thinking", "thinking"),
    "call": ("input", "partial_json"),
}


class Block:
    """One block of the answer while it grows; keeps every field, also unknown ones.

    Attributes:
        kind: what it is to us; there are many types of calls and of results.
        fields: what it is made of, but for what grows.
        pieces: of what grows, so that n of them cost n.
        given: the input that a call began with; it counts if no delta brings any.
        open: whether it may still grow.
        event_id: what its events call it.
    """

    __slots__ = ("event_id", "fields", "given", "index", "kind", "open", "pieces")

    def __init__(self, index: int, fields: Mapping[str, Json]) -> None:
        self.index = index
        self.fields = dict(fields)
        self.kind = _kind(self.type)
        self.pieces: list[str] = []
        self.given = ""
        self.open = True
        self.event_id = f"{'reasoning' if self.kind in ('thinking', 'other') else 'text'}-{index}"

    @property
    def type(self) -> str:
        """Its type, in the provider's word."""
        return str(self.fields.get("type"))

    @property
    def raw(self) -> str:
        """The content so far."""
        return "".join(self.pieces)

    @property
    def hosted(self) -> bool:
        """Whether it is a call that the server answers itself."""
        return self.kind == "call" and self.type != "tool_use"

    def noted(self, *apart: str) -> Mapping[str, Mapping[str, Json]] | None:
        """Return what goes back with the block and has no place in a part, `apart` from some fields."""
        known = {name: value for name, value in self.fields.items() if name not in apart and value}
        if known.get("caller") == {"type": "direct"}:  # that the model itself called is the rule
            del known["caller"]
        return {"anthropic": known} if known else None

    def first_piece(self) -> str:
        """Return what the block begins with: it may be all there is, as in an answer in one piece.

        The input of a call is kept apart: some hosts give it at the start and once more in deltas.

        Raises:
            InvalidProviderOutput: if it is of the wrong type.
        """
        if self.kind not in _GROWING:
            return ""
        value = self.fields.pop(_GROWING[self.kind][0], None)
        if self.kind == "call":
            self.given = given_input(value, "the input of a tool call") if value else ""
            return ""
        return _piece(value, self.kind)

    def piece(self, delta: Mapping[str, Json]) -> str:
        """Return what a delta adds to what grows; put anything else in the delta to the fields.

        Raises:
            InvalidProviderOutput: if it is of the wrong type.
        """
        name = _GROWING[self.kind][1] if self.kind in _GROWING else None
        for field, value in delta.items():
            if field == "citation":
                if not isinstance(self.fields.get("citations"), list):
                    self.fields["citations"] = []
                self.fields["citations"].append(value)
            elif field not in ("type", name):
                self._add(field, value)
        return _piece(delta.get(name), self.kind) if name is not None else ""

    def _add(self, field: str, value: Json) -> None:
        known = self.fields.get(field)
        if isinstance(known, str) and isinstance(value, str) and field != "signature":  # which comes whole
            self.fields[field] = known + value
        elif isinstance(known, list) and isinstance(value, list):
            known.extend(value)
        elif value is not None or known is None:
            self.fields[field] = value

    def finished(self) -> JsonObject:
        """Return the whole block, as an answer in one piece shows it; input that is not JSON stays text."""
        if self.kind not in _GROWING:
            return self.fields
        grown: Json = self.raw
        if self.kind == "call":
            with suppress(InvalidProviderOutput):
                grown = parse_arguments(grown)
        return {**self.fields, _GROWING[self.kind][0]: grown}


def _kind(type: str) -> Kind:
    if type in ("text", "thinking"):
        return "text" if type == "text" else "thinking"
    if type.endswith("tool_use"):
        return "call"
    return "result" if type.endswith("_tool_result") else "other"


def _piece(value: Json, kind: str) -> str:
    if value is not None and not isinstance(value, str):
        msg = f"the {'input' if kind == 'call' else kind} of a block must be a text, not {type(value).__name__}"
        raise InvalidProviderOutput(msg)
    return value or ""
