"""A Gemini answer as a value: its typed shape, what it used, and how one is put together from stream chunks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Literal, TypedDict

import msgspec

from ...values.provider_json import Json, JsonObject
from ...values.records import RawProviderResponse
from ...values.usage import Usage
from ..json_values import count
from .calls import is_piece

__all__ = [
    "ID",
    "GeminiCandidate",
    "GeminiContent",
    "GeminiPart",
    "GeminiRaw",
    "GeminiResponse",
    "Merged",
    "decode_plain",
    "numbered",
    "usage_of",
]

ID: Final = "gemini"


class GeminiPart(TypedDict, total=False):
    """One part of an answer: text, thinking, a function call, code, or what a hosted tool did."""

    text: str
    thought: bool
    thoughtSignature: str
    functionCall: JsonObject
    executableCode: JsonObject
    codeExecutionResult: JsonObject
    toolCall: JsonObject
    toolResponse: JsonObject
    inlineData: JsonObject
    fileData: JsonObject


class GeminiContent(TypedDict, total=False):
    """The ``content`` of a candidate."""

    role: str
    parts: list[GeminiPart]


class GeminiCandidate(TypedDict, total=False):
    """One of the ``candidates`` of an answer."""

    index: int
    content: GeminiContent
    finishReason: str
    finishMessage: str
    safetyRatings: list[JsonObject]
    citationMetadata: JsonObject
    groundingMetadata: JsonObject
    logprobsResult: JsonObject
    avgLogprobs: float


class GeminiResponse(TypedDict, total=False):
    """The answer of ``generateContent``."""

    candidates: list[GeminiCandidate]
    promptFeedback: JsonObject
    usageMetadata: JsonObject
    modelVersion: str
    responseId: str
    createTime: str


class GeminiRaw(RawProviderResponse, protocol=ID):
    """The raw answer of Gemini, from AI Studio or Vertex AI."""

    __slots__ = ()

    response: GeminiResponse | None


def usage_of(raw: Mapping[str, Json]) -> Usage:
    """Return the counts in a ``usageMetadata``, which counts thinking and the prompts of hosted tools apart."""
    prompt, tools = count(raw, "promptTokenCount"), count(raw, "toolUsePromptTokenCount")
    written, thought = count(raw, "candidatesTokenCount"), count(raw, "thoughtsTokenCount")
    if written is None and thought is not None:
        written = 0
    return Usage.of(
        input_tokens=None if prompt is None else prompt + (tools or 0),
        output_tokens=written,
        total_tokens=count(raw, "totalTokenCount"),
        cache_read_input_tokens=count(raw, "cachedContentTokenCount"),
        reasoning_tokens=thought,
        reasoning_apart=True,
        raw=raw,
    )


# Chunks of nothing but text. These name all that such a chunk may hold; any other does not decode.


class _PlainPart(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    text: str
    thought: bool = False


class _PlainContent(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    parts: tuple[_PlainPart]
    role: Json = None


class _PlainCandidate(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    content: _PlainContent
    index: Literal[0] = 0
    finishReason: None = None  # noqa: N815 - the names of the JSON
    avgLogprobs: Json = None  # noqa: N815


class _PlainChunk(msgspec.Struct, forbid_unknown_fields=True):
    candidates: tuple[_PlainCandidate]
    usageMetadata: msgspec.Raw = msgspec.Raw()  # noqa: N815
    modelVersion: Json = None  # noqa: N815
    responseId: Json = None  # noqa: N815
    createTime: Json = None  # noqa: N815


#: Decodes a chunk of nothing but text, in half the time of any chunk; raises ValueError for one with more in it.
decode_plain: Final = msgspec.json.Decoder(_PlainChunk).decode


# Putting one together


def numbered(candidates: Sequence[Mapping[str, Json]] | None) -> Iterator[tuple[int, Mapping[str, Json]]]:
    """Candidates with their indexes; where one does not tell its own, that is its place."""
    for place, candidate in enumerate(candidates or ()):
        index = candidate.get("index")
        yield place if index is None else index, candidate


#: Of these, later lists continue earlier ones.
_CONTINUED: Final = frozenset({"citationMetadata", "logprobsResult"})


class Merged:
    """An answer that grows by chunks; keeps every field, also unknown ones.

    Attributes:
        flowing: the pieces of the text part that is being written; the fast path adds to it
            directly.
    """

    __slots__ = ("_candidates", "_top", "flowing")

    def __init__(self) -> None:
        self._top: JsonObject = {}
        self._candidates: dict[int, JsonObject] = {}
        self.flowing: list[str] = []

    def add(self, chunk: Mapping[str, Json]) -> None:
        """Merge one chunk; its ``candidates``, if any, must be objects with contents whose parts are objects."""
        for name, value in chunk.items():
            if name != "candidates":
                _set(self._top, name, value)
        for index, candidate in numbered(chunk.get("candidates")):
            known = self._candidates.setdefault(index, {"content": {"parts": []}})
            for name, value in candidate.items():
                if name == "content":
                    self._add_content(known["content"], value or {}, flows=index == 0)
                elif name in _CONTINUED and isinstance(value, Mapping):
                    known[name] = _continued(known.get(name), value)
                else:
                    _set(known, name, value)

    def _add_content(self, known: JsonObject, content: Mapping[str, Json], *, flows: bool) -> None:
        for name, value in content.items():
            if name != "parts":
                _set(known, name, value)
        for part in content.get("parts") or ():
            pieces = _add_part(known["parts"], part)
            if flows and pieces is not None:
                self.flowing = pieces

    def add_call(self, part: Mapping[str, Json]) -> None:
        """Add a function call that came in pieces, which `add` passes over."""
        self._candidates.setdefault(0, {"content": {"parts": []}})["content"]["parts"].append(dict(part))

    def finished(self, *, usage: Mapping[str, Json] | None) -> JsonObject:
        """Return the whole answer.

        Args:
            usage: the usage that counts.
        """
        answer = dict(self._top)
        if usage is not None:
            answer["usageMetadata"] = dict(usage)
        if self._candidates:
            answer["candidates"] = [self._candidate(self._candidates[index]) for index in sorted(self._candidates)]
        return answer

    def _candidate(self, known: Mapping[str, Json]) -> JsonObject:
        content = dict(known["content"])
        content["parts"] = [
            {**part, "text": "".join(part["text"])} if isinstance(part.get("text"), list) else part
            for part in content["parts"]
        ]
        if not content["parts"]:
            del content["parts"]
        return {**known, "content": content} if content else {name: known[name] for name in known if name != "content"}


def _set(known: JsonObject, name: str, value: Json) -> None:
    """Replace an earlier value, unless the later one says nothing; of objects, field by field."""
    held = known.get(name)
    if value is None:
        known.setdefault(name, None)
    elif isinstance(held, dict) and isinstance(value, Mapping) and name != "usageMetadata":
        known[name] = {**held, **value}
    else:
        known[name] = value


def _continued(known: Json, more: Mapping[str, Json]) -> JsonObject:
    if not isinstance(known, dict):
        return dict(more)
    for name, value in more.items():
        held = known.get(name)
        if isinstance(held, list) and isinstance(value, list):
            held.extend(value)
        else:
            known[name] = value
    return known


def _add_part(parts: list[JsonObject], part: Mapping[str, Json]) -> list[str] | None:
    """Add a part, or make it one with the text before it: a signature ends what may be made one.

    Returns:
        The pieces of its text, to which more can be added; None for a part that says nothing.
    """
    text = part.get("text")
    if not isinstance(text, str):
        call = part.get("functionCall")
        if not isinstance(call, dict) or not is_piece(call):
            parts.append(dict(part))
        return []
    last = parts[-1] if parts else None
    if (
        last is not None
        and isinstance(last.get("text"), list)
        and "thoughtSignature" not in last
        and bool(last.get("thought")) == bool(part.get("thought"))
    ):
        pieces: list[str] = last["text"]
        pieces.append(text)
        last.update({name: value for name, value in part.items() if name != "text"})
        return pieces
    if not text and part.keys() <= {"text"}:
        return None
    pieces = [text]
    parts.append({**part, "text": pieces})
    return pieces
