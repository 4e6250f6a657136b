"""The timeline of an answer as JSON: chunks with their texts, the first token, verdicts, and the end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ..values.events import (
    Event,
    Finish,
    RawChunk,
    ReasoningDelta,
    TextDelta,
    ToolCallEvent,
    ToolInputDelta,
    ToolInputStart,
)
from ..values.provider_json import Json, JsonObject

__all__ = ["timeline_of"]


def timeline_of(
    events: Iterable[tuple[float, Event]],
    *,
    started_at: str | None,
    duration_ms: float | None,
    end: str,
    error: str | None = None,
    arrivals: Sequence[tuple[float, int]] = (),
    verdicts: Sequence[Json] = (),
) -> JsonObject:
    """Return the timeline of one answer.

    Args:
        events: the events of the answer, each with its time in milliseconds after the call began.
        started_at: when it began.
        duration_ms: how long it took.
        end: ``done``, ``failed``, ``cancelled`` or ``unsettled``.
        error: the words of the error that it ended with.
        arrivals: when bytes came, in milliseconds, and how many; empty where that is not known.
        verdicts: the verdicts of checks on it.
    """
    steps: list[JsonObject] = []
    for at, event in events:
        kind, text = _told(event)
        if kind and steps and steps[-1]["kind"] == kind and steps[-1]["at_ms"] == at:
            steps[-1]["text"] += text
        elif kind:
            steps.append({"at_ms": round(at, 3), "kind": kind, "text": text})
    spoken = [step["at_ms"] for step in steps if step["kind"] in ("text", "thinking", "tool")]
    return {
        "started_at": started_at,
        "duration_ms": duration_ms,
        "first_token_ms": spoken[0] if spoken else None,
        "end": end,
        "error": error,
        "steps": steps,
        "arrivals": [[round(at, 3), size] for at, size in arrivals],
        "verdicts": list(verdicts),
    }


def _told(event: Event) -> tuple[str, str]:
    """Return what an event is for people, and its text; nothing for those that only frame others."""
    found: tuple[str, Any] = ("", "")
    if isinstance(event, TextDelta):
        found = "text", event.text
    elif isinstance(event, ReasoningDelta):
        found = "thinking", event.text
    elif isinstance(event, ToolInputStart):
        found = "tool", f"{event.name}("
    elif isinstance(event, ToolInputDelta):
        found = "tool", event.text
    elif isinstance(event, ToolCallEvent):
        found = "call", event.call.name
    elif isinstance(event, Finish):
        found = "finish", event.reason
    elif isinstance(event, RawChunk):
        found = "", ""
    return found[0], str(found[1] or "")
