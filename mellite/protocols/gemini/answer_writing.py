"""Write an answer as Gemini does: its stream, as events or as one array, the whole response, and errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from ...values.errors import MelliteError
from ...values.events import Finish, FinishReason
from ...values.messages import ToolCall, ToolResult
from ...values.provider_json import JsonObject
from ...values.usage import Usage
from ..answer_blocks import AnswerWriter, Block, json_line, kept
from ..message_parts import noted

__all__ = ["GeminiArrayWriter", "GeminiWriter", "error_body"]

_WORDS: Final[Mapping[FinishReason, str]] = {
    "stop": "STOP",
    "length": "MAX_TOKENS",
    "tool-calls": "STOP",
    "content-filter": "SAFETY",
    "error": "OTHER",
    "unknown": "OTHER",
}

#: What Google says beside an answer of where it comes from.
_SOURCES: Final = ("citationMetadata", "groundingMetadata", "urlContextMetadata")

#: https://cloud.google.com/apis/design/errors#handling_errors
_STATUSES: Final[Mapping[int, str]] = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def error_body(status: int, message: str) -> JsonObject:
    """Return the JSON that comes with an error status.

    Example:
        >>> error_body(429, "Slow down.")["error"]["status"]
        'RESOURCE_EXHAUSTED'
    """
    return {"error": {"code": status, "message": message, "status": _STATUSES.get(status, "INTERNAL")}}


def _usage(usage: Usage | None) -> JsonObject:
    if usage is None or usage.input_tokens is usage.output_tokens is None:
        return {}
    thoughts = usage.reasoning_tokens
    said = None if usage.output_tokens is None else usage.output_tokens - (thoughts or 0)
    counts = kept(
        promptTokenCount=usage.input_tokens,
        candidatesTokenCount=said,
        thoughtsTokenCount=thoughts,
        cachedContentTokenCount=usage.cache_read_input_tokens,
        totalTokenCount=usage.total_tokens,
    )
    return {"usageMetadata": counts}


class GeminiWriter(AnswerWriter):
    """Writes Gemini's answers: nothing but ``data: JSON`` and an empty line, as its clients take nothing else.

    Example:
        >>> from mellite.values.events import TextDelta
        >>> GeminiWriter(model="m", id="1").write(TextDelta("Hi!"))[:62]
        b'data: {"candidates":[{"content":{"parts":[{"text":"Hi!"}],"rol'
    """

    def start(self) -> None:
        """Write nothing: the first part comes alone."""

    def begin(self, block: Block) -> None:
        """Write nothing: texts come with their pieces, calls whole."""

    def grow(self, block: Block, text: str) -> None:
        """Write more text or thinking."""
        if block.kind == "text":
            self._chunk([{"text": text}])
        elif block.kind == "reasoning":
            self._chunk([{"text": text, "thought": True}])

    def cite(self, block: Block) -> None:
        """Write nothing: the end of the answer says what it cites."""

    def end(self, block: Block) -> None:
        """Write a whole call, or what Google ran; and the signature of a text, which an empty one brings."""
        signature = block.noted("google").get("thoughtSignature")
        if block.kind in ("call", "hosted"):
            self._chunk([_part(block)])
        elif isinstance(signature, str):
            thought = {"thought": True} if block.kind == "reasoning" else {}
            self._chunk([{"text": "", **thought, "thoughtSignature": signature}])

    def hosted(self, part: ToolCall | ToolResult) -> JsonObject | None:
        """Return the part of a tool that Google ran, or of its result."""
        whole = noted(part, "google", "part")
        return dict(whole) if isinstance(whole, Mapping) else None

    def conclude(self, finish: Finish) -> None:
        """Write the finish reason and the usage."""
        said = kept(finishMessage=finish.refusal)
        more = {"finishReason": _WORDS[finish.reason], **said, **_sources(finish, self.blocks)}
        self._chunk([{"text": ""}], more, _usage(finish.usage))

    def failed(self, error: MelliteError, body: JsonObject) -> None:  # noqa: ARG002 - the same for every error
        """Write an error in the place of a chunk."""
        self.send(body)

    def whole(self) -> JsonObject:
        """Return the whole response."""
        finish = self.finish or Finish("unknown")
        parts = [_part(block) for block in self.blocks]
        said = {"finishReason": _WORDS[finish.reason], **kept(finishMessage=finish.refusal), "index": 0}
        candidate = {"content": {"parts": parts, "role": "model"}, **said, **_sources(finish, self.blocks)}
        return {"candidates": [candidate], **_usage(finish.usage), **self._tail()}

    def send(self, value: JsonObject) -> None:
        """Write one value of the stream."""
        self.put(b"data: " + json_line(value) + b"\n\n")

    def _chunk(self, parts: list[JsonObject], more: JsonObject | None = None, usage: JsonObject | None = None) -> None:
        candidate = {"content": {"parts": parts, "role": "model"}, **(more or {}), "index": 0}
        self.send({"candidates": [candidate], **(usage or {}), **self._tail()})

    def _tail(self) -> JsonObject:
        return {"modelVersion": self.model, "responseId": self.id}


class GeminiArrayWriter(GeminiWriter):
    """Writes a stream as Gemini does where no events are asked for: as the elements of one JSON array.

    Example:
        >>> from mellite.values.events import Finish
        >>> GeminiArrayWriter(model="m", id="1").write(Finish("stop"))[:1]
        b'['
    """

    stream_type = "application/json"
    _sent_any = False

    def conclude(self, finish: Finish) -> None:
        """Write the last element, and the end of the array."""
        super().conclude(finish)
        self.put(b"]\n")

    def failed(self, error: MelliteError, body: JsonObject) -> None:
        """Write an error as the last element."""
        super().failed(error, body)
        self.put(b"]\n")

    def send(self, value: JsonObject) -> None:
        """Write one element."""
        self.put((b",\n" if self._sent_any else b"[") + json_line(value))
        self._sent_any = True


def _sources(finish: Finish, blocks: Sequence[Block]) -> JsonObject:
    """Return what an answer rests on: Google's own words for it, or those for the web pages of another vendor."""
    response = finish.response if isinstance(finish.response, Mapping) else {}
    candidates = response.get("candidates")
    own = candidates[0] if isinstance(candidates, list) and candidates else None
    if isinstance(own, Mapping):
        return {name: own[name] for name in _SOURCES if name in own}
    chunks: dict[str, JsonObject] = {}
    supports: list[JsonObject] = []
    before = ""
    for block in blocks:
        for one in block.citations:
            if one.url:
                chunks.setdefault(one.url, {"web": {"uri": one.url, "title": one.title or one.url}})
                texts = block.text[: one.start], block.text[one.start : one.end]
                start = len(_utf8(before + texts[0]))
                segment = {"startIndex": start, "endIndex": start + len(_utf8(texts[1])), "text": texts[1]}
                supports.append({"segment": segment, "groundingChunkIndices": [list(chunks).index(one.url)]})
        before += block.text if block.kind == "text" else ""
    found = {"groundingChunks": list(chunks.values()), "groundingSupports": supports}
    return {"groundingMetadata": found} if supports else {}


def _utf8(text: str) -> bytes:
    return text.encode(errors="surrogatepass")


def _call(block: Block) -> JsonObject:
    known = block.noted("google")
    arguments = block.arguments
    args = arguments if isinstance(arguments, dict) else {"arguments": arguments}
    call = {"functionCall": {"id": block.event_id, "name": block.name, "args": args}}
    return {**call, **kept(thoughtSignature=known.get("thoughtSignature"))}


def _part(block: Block) -> JsonObject:
    if block.kind == "hosted":
        return dict(block.native)
    if block.kind == "call":
        return _call(block)
    thought = {"thought": True} if block.kind == "reasoning" else {}
    signature = kept(thoughtSignature=block.noted("google").get("thoughtSignature"))
    return {"text": block.text, **thought, **signature}
