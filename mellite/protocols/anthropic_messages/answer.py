"""An answer of Anthropic's Messages as a value: its typed shape, what it used, its blocks while they grow."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final, Literal, NotRequired, TypedDict

import msgspec

from ...values.errors import InvalidProviderOutput, InvalidRequest
from ...values.events import Usage
from ...values.records import RawProviderResponse
from ..json_values import count, json_text
from ..tool_calls import parse_arguments

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
    citations: list[dict[str, Any]] | None
    thinking: str
    signature: str
    data: str
    id: str
    name: str
    input: Any
    tool_use_id: str
    content: Any


class AnthropicMessage(TypedDict):
    """A message as Anthropic sends it; more fields come with every feature."""

    id: str
    type: str
    role: str
    model: str
    content: list[AnthropicBlock]
    stop_reason: str | None
    stop_sequence: str | None
    stop_details: NotRequired[dict[str, Any] | None]
    container: NotRequired[dict[str, Any] | None]
    usage: dict[str, Any]


class AnthropicRaw(RawProviderResponse, protocol=ID):
    """The raw answer of whoever speaks Anthropic's Messages."""

    __slots__ = ()

    response: AnthropicMessage | None


# Usage


def usage_of(raw: Mapping[str, Any]) -> Usage:
    """The counts in a usage object. Anthropic counts what was cached apart; mellite's totals are inclusive."""
    input, read = count(raw, "input_tokens"), count(raw, "cache_read_input_tokens")
    written = count(raw, "cache_creation_input_tokens")
    details = raw.get("output_tokens_details")
    return Usage.of(
        input_tokens=None if input is None else input + (read or 0) + (written or 0),
        output_tokens=count(raw, "output_tokens"),
        cache_read_input_tokens=read,
        cache_write_input_tokens=written,
        reasoning_tokens=count(details, "thinking_tokens") if isinstance(details, Mapping) else None,
        reasoning_apart=False,
        raw=raw,
    )


def merged_usage(known: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    """Two reports of one answer: later values win, but nothing and zero never replace a count."""
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
    """One block of the answer while it grows; keeps every field, also those nobody has heard of.

    Attributes:
        kind: what it is to us; there are many types of calls and of results.
        fields: what it is made of, but for what grows.
        pieces: of what grows, so that n of them cost n.
        given: the input that a call began with; it counts if no delta brings any.
        open: whether it may still grow.
        event_id: what its events call it.
    """

    __slots__ = ("event_id", "fields", "given", "index", "kind", "open", "pieces")

    def __init__(self, index: int, fields: Mapping[str, Any]) -> None:
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
        """What has grown so far."""
        return "".join(self.pieces)

    @property
    def hosted(self) -> bool:
        """Whether it is a call that the server answers itself."""
        return self.kind == "call" and self.type != "tool_use"

    def noted(self, *apart: str) -> Mapping[str, Mapping[str, Any]] | None:
        """What has to come back with it in the next request and has no place in a part; `apart` from some fields."""
        known = {name: value for name, value in self.fields.items() if name not in apart and value}
        if known.get("caller") == {"type": "direct"}:  # that the model itself called is the rule
            del known["caller"]
        return {"anthropic": known} if known else None

    def first_piece(self) -> str:
        """What it begins with: it may be all there is, as in an answer in one piece.

        The input of a call is kept apart: some hosts give it at the start and once more in deltas.

        Raises:
            InvalidProviderOutput: if it is of the wrong type.
        """
        if self.kind not in _GROWING:
            return ""
        value = self.fields.pop(_GROWING[self.kind][0], None)
        if self.kind == "call":
            self.given = value if isinstance(value, str) else _json(value) if value else ""
            return ""
        return _text(value, self.kind)

    def piece(self, delta: Mapping[str, Any]) -> str:
        """What a delta adds to what grows; anything else in it is put to the fields.

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
        return _text(delta.get(name), self.kind) if name is not None else ""

    def _add(self, field: str, value: Any) -> None:
        known = self.fields.get(field)
        if isinstance(known, str) and isinstance(value, str) and field != "signature":  # which comes whole
            self.fields[field] = known + value
        elif isinstance(known, list) and isinstance(value, list):
            known.extend(value)
        elif value is not None or known is None:
            self.fields[field] = value

    def finished(self) -> dict[str, Any]:
        """The whole block, as an answer in one piece shows it; input that is no JSON stays text."""
        if self.kind not in _GROWING:
            return self.fields
        grown: Any = self.raw
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


def _json(value: Any) -> str:
    try:
        return json_text(value, what="the input of a tool call")
    except InvalidRequest as error:  # it could be read, but is nested too deeply to be written
        raise InvalidProviderOutput(str(error)) from None


def _text(value: Any, what: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        msg = f"the {'input' if what == 'call' else what} of a block must be a text, not {type(value).__name__}"
        raise InvalidProviderOutput(msg)
    return value
