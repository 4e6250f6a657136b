"""What was asked and answered, as traces hold it where somebody wants it: messages as JSON, secrets masked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from attrs import frozen

from ...values.messages import Media, Message, Part, Reasoning, Text, ToolCall, ToolResult
from ...values.provider_json import Json
from ...values.secrets.json_masks import masked_json
from ...values.telling import log
from . import semantics
from .exported import exported_text

if TYPE_CHECKING:
    from ...thunk.observing import Generation

__all__ = ["Capture", "as_text", "capture_of", "content_of"]

VARIABLE: Final = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"


@frozen
class Capture:
    """Where content goes: onto spans, into events."""

    spans: bool = False
    events: bool = False


_WORDS: Final[Mapping[str, Capture]] = {
    "": Capture(),
    "NO_CONTENT": Capture(),
    "SPAN_ONLY": Capture(spans=True),
    "EVENT_ONLY": Capture(events=True),
    "SPAN_AND_EVENT": Capture(spans=True, events=True),
}


def capture_of(word: str | None) -> Capture:
    """Return what the value of the variable asks for; nothing is captured, with a warning, for a word unknown.

    Example:
        >>> capture_of("span_only")
        Capture(spans=True, events=False)
    """
    known = _WORDS.get((word or "").strip().upper())
    if known is None:
        said = "%s=%s is none of NO_CONTENT, SPAN_ONLY, EVENT_ONLY, SPAN_AND_EVENT; no content is captured"
        log.warning("tracing.setting", said, VARIABLE, word)
        return Capture()
    return known


def content_of(generation: Generation) -> dict[str, str]:
    """Return the attributes that hold what a settled generation was asked, and what it answered."""
    request, outcome = generation.request, generation.outcome
    found: dict[str, str] = {}
    if request.system:
        found[semantics.SYSTEM_INSTRUCTIONS] = as_text([_part(text) for text in request.system])
    found[semantics.INPUT_MESSAGES] = as_text([_message(message) for message in request.messages])
    if outcome is not None:
        parts: Sequence[Part] = outcome.parts if outcome.parts is not None else (Text(outcome.text),)
        reason = finish_word(outcome.generation.finish_reason)
        answer: Json = {"role": "assistant", "parts": [_part(part) for part in parts], "finish_reason": reason}
        found[semantics.OUTPUT_MESSAGES] = as_text([answer])
    return found


def finish_word(reason: str | None) -> str:
    """Return a reason to finish in the words of traces.

    Example:
        >>> finish_word("tool-calls")
        'tool_calls'
    """
    return (reason or "error").replace("-", "_")


def as_text(value: Json) -> str:
    """Return JSON as text, secrets masked; what is no JSON is shown as Python shows it."""
    return exported_text(json.dumps(masked_json(value), ensure_ascii=False, default=repr))


def _message(message: Message) -> Json:
    return {"role": message.role, "parts": [_part(part) for part in message.content]}


def _part(part: object) -> Json:
    match part:
        case Text():
            return {"type": "text", "content": part.text}
        case Reasoning():
            return {"type": "reasoning", "content": part.text}
        case ToolCall():
            given = part.arguments if part.arguments is not None else part.raw_arguments
            return {"type": "tool_call", "id": part.id, "name": part.name, "arguments": given}
        case ToolResult():
            return {"type": "tool_call_response", "id": part.id, "response": _value(part)}
        case Media():
            kind = type(part).__name__.lower()
            told: dict[str, Json] = {"modality": kind, "mime_type": part.media_type}
            if part.url is not None:
                return {"type": "uri", **told, "uri": part.url}
            return {"type": "blob", **told, "content": ""}  # the conventions want the field; the data stay here
        case _:
            return {"type": type(part).__name__}


def _value(result: ToolResult) -> Json:
    value = result.result.value
    return [_part(each) for each in value] if result.result.type == "content" else value
