"""An answer of Cohere's Chat as a value: its typed shape, what it used, how one is put together from stream events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NotRequired, TypedDict, final

import msgspec

from ...values.provider_json import Json, JsonObject
from ...values.records import RawProviderResponse
from ...values.usage import Usage
from ..json_values import count

__all__ = [
    "ID",
    "Block",
    "CohereChatRaw",
    "CohereMessage",
    "CohereResponse",
    "Merged",
    "PlainCallEvent",
    "decode_plain",
    "usage_of",
]

ID: Final = "cohere-chat"


class CohereMessage(TypedDict, total=False):
    """The assistant's message."""

    role: str
    content: list[JsonObject]
    tool_plan: str
    tool_calls: list[JsonObject]
    citations: list[JsonObject]


class CohereResponse(TypedDict):
    """An answer as Cohere sends it in one piece."""

    id: str
    finish_reason: str
    message: CohereMessage
    usage: NotRequired[JsonObject]
    logprobs: NotRequired[list[JsonObject]]


class CohereChatRaw(RawProviderResponse, protocol=ID):
    """The raw answer of Cohere's Chat."""

    __slots__ = ()

    response: CohereResponse | None


def usage_of(raw: Mapping[str, Json]) -> Usage:
    """Return the counts in a usage object: what the model read and wrote.

    What Cohere bills is less, without the words that it adds to a prompt; it stands in ``raw["billed_units"]``, and is
    counted only where nothing else is. https://docs.cohere.com/reference/chat

    Example:
        >>> usage_of({"billed_units": {"input_tokens": 1}, "tokens": {"input_tokens": 496, "output_tokens": 11}})
        Usage(input_tokens=496, output_tokens=11, total_tokens=507, non_cached_input_tokens=496, \
cache_read_input_tokens=None, cache_write_input_tokens=None, reasoning_tokens=None)
    """
    tokens = raw.get("tokens") or raw.get("billed_units")
    tokens = tokens if isinstance(tokens, Mapping) else {}
    input, cached = count(tokens, "input_tokens"), count(raw, "cached_tokens")
    if input is not None and cached is not None:
        cached = min(cached, input)
    return Usage.of(
        input_tokens=input,
        output_tokens=count(tokens, "output_tokens"),
        cache_read_input_tokens=cached,
        raw=raw,
    )


# Events of nothing but more of one block. These name all that such an event may hold; any other does not decode.


class _PlainContent(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    text: str | None = None
    thinking: str | None = None


class _PlainMessage(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    content: _PlainContent


class _PlainDelta(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    message: _PlainMessage


class _PlainEvent(msgspec.Struct, gc=False, forbid_unknown_fields=True, tag="content-delta"):
    delta: _PlainDelta
    index: int = 0
    logprobs: None = None


class _PlainFunction(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    arguments: str


class _PlainCall(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    function: _PlainFunction


class _PlainCalls(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    tool_calls: _PlainCall


class _PlainCallDelta(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    message: _PlainCalls


@final
class PlainCallEvent(msgspec.Struct, gc=False, forbid_unknown_fields=True, tag="tool-call-delta"):
    """More of the arguments of a call."""

    delta: _PlainCallDelta
    index: int = 0


#: Decodes an event that only goes on with a block or a call, faster than any event; raises ValueError for any other.
decode_plain: Final = msgspec.json.Decoder(_PlainEvent | PlainCallEvent).decode


# Putting one together


class Block:
    """One block of the content while it grows.

    Attributes:
        kind: ``text``, ``thinking``, or an unknown name.
        id: the id that its events bear.
        facts: what it began with, unknown fields included.
        pieces: of its text; the fast path adds to them directly.
        is_open: whether it still grows.
    """

    __slots__ = ("facts", "id", "is_open", "kind", "pieces")

    def __init__(self, kind: str, id: str, facts: Mapping[str, Json]) -> None:
        self.kind = kind
        self.id = id
        self.facts = dict(facts)
        self.pieces: list[str] = []
        self.is_open = True

    @property
    def text(self) -> str:
        """The whole text so far."""
        return "".join(self.pieces)

    def finished(self) -> JsonObject:
        """Return the block as an answer in one piece shows it."""
        if self.kind not in ("text", "thinking"):
            return self.facts
        return {**self.facts, "type": self.kind, self.kind: self.text}


class Merged:
    """An answer that grows by stream events; keeps every field, also unknown ones.

    Attributes:
        blocks: the content, by the provider's number.
        plan: the pieces of what the model says it will do with its tools.
        citations: which parts of the text rest on which sources.
        logprobs: of the pieces of the text.
        top: what stands beside the message.
        message: what else stands in the message.
    """

    __slots__ = ("blocks", "citations", "logprobs", "message", "plan", "top")

    def __init__(self) -> None:
        self.blocks: dict[int, Block] = {}
        self.plan: list[str] = []
        self.citations: list[Json] = []
        self.logprobs: list[Json] = []
        self.top: JsonObject = {}
        self.message: JsonObject = {"role": "assistant"}

    def finished(self, *, tool_calls: list[JsonObject]) -> JsonObject:
        """Return the whole answer; `tool_calls` as they were put together."""
        message = dict(self.message)
        if self.blocks:
            message["content"] = [block.finished() for _, block in sorted(self.blocks.items())]
        found = {"tool_plan": "".join(self.plan), "tool_calls": tool_calls, "citations": self.citations}
        message.update({name: value for name, value in found.items() if value})
        answer = {**self.top, "message": message}
        if self.logprobs:
            answer["logprobs"] = self.logprobs
        return answer
