"""The timeline of an answer as JSON: chunks with their texts, the first token, verdicts, and the end."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any, Final, cast

from ..values.events import (
    Event,
    Finish,
    ReasoningDelta,
    TextDelta,
    ToolCallEvent,
    ToolInputDelta,
    ToolInputStart,
)
from ..values.provider_json import Json, JsonObject
from ..values.secrets.shapes import REDACTED

__all__ = ["masked_timeline", "timeline_of"]


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
        kind, block, text = _told(event)
        name = {"at_ms": round(at, 3), "kind": kind, "block": block}
        if kind and steps and name.items() <= steps[-1].items():
            steps[-1]["text"] += text
        elif kind:
            steps.append({**name, "text": text})
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


def _told(event: Event) -> tuple[str, str, str]:
    """Return what an event is for people, the id of its block, and its text; nothing for one that frames others."""
    found: tuple[str, str, Any] = ("", "", "")
    if isinstance(event, TextDelta):
        found = "text", event.id, event.text
    elif isinstance(event, ReasoningDelta):
        found = "thinking", event.id, event.text
    elif isinstance(event, ToolInputStart):
        found = "tool", event.id, f"{event.name}("
    elif isinstance(event, ToolInputDelta):
        found = "tool", event.id, event.text
    elif isinstance(event, ToolCallEvent):
        found = "call", event.call.id, event.call.name
    elif isinstance(event, Finish):
        found = "finish", "", event.reason
    return found[0], str(found[1] or ""), str(found[2] or "")


def masked_timeline(timeline: JsonObject, mask: Callable[[Json], Json]) -> JsonObject:
    """Return a timeline without what looks like a key, also where its letters came in several parts.

    Other blocks may have said something between them, and a key may be cut over blocks that follow each other: first
    each block is masked by itself, and then all of a kind.

    Args:
        timeline: from `timeline_of`.
        mask: takes out of JSON what looks like a key.
    """
    clean = [*cast("Sequence[JsonObject]", timeline["steps"])]
    for names in (("kind", "block"), ("kind",)):
        together: dict[tuple[str, ...], list[int]] = {}
        for place, step in enumerate(clean):
            together.setdefault(tuple([str(step[name]) for name in names]), []).append(place)
        for (kind, *block), places in together.items():
            texts = [str(clean[place]["text"]) for place in places]
            whole = "".join(texts)
            masked = mask(_without_secret_fields(whole, mask) if kind == "tool" and block else whole)
            for place, text in zip(places, _spread(texts, str(masked)), strict=True):
                clean[place] = {**clean[place], "text": text}
    rest = cast("JsonObject", mask({name: value for name, value in timeline.items() if name != "steps"}))
    return {**rest, "steps": clean}


#: The name of a field in JSON, up to its value.
_FIELD: Final = re.compile(r'"((?:[^"\\]|\\.)*)"\s*:\s*')

_DECODER: Final = json.JSONDecoder()


def _without_secret_fields(text: str, mask: Callable[[Json], Json]) -> str:
    """Return the arguments of tools with a mask in place of each value whose field is secret by its name.

    A value that is cut off, or that is no JSON, is taken to go on to the end.
    """
    made: list[str] = []
    at = 0
    for found in _FIELD.finditer(text):
        if found.start() < at or mask({found[1]: "-"}) == {found[1]: "-"}:
            continue
        try:
            end = _DECODER.raw_decode(text, found.end())[1]
        except ValueError:
            end = len(text)
        made += (text[at : found.end()], REDACTED)
        at = end
    return "".join([*made, text[at:]])


def _spread(texts: Sequence[str], clean: str) -> Sequence[str]:
    """Return the parts of a text that was masked as a whole; a mask stands where the first letter of its key came."""
    whole = "".join(texts)
    if clean == whole:
        return texts
    ends = list(accumulate(map(len, texts), initial=0))
    made = [""] * len(texts)
    place = 0
    for at, piece in _pieces(whole, clean):
        while place < len(texts) - 1 and ends[place + 1] <= at:
            place += 1
        if piece == REDACTED:
            made[place] += piece
            continue
        for number in range(place, len(texts)):
            if ends[number] >= at + len(piece):
                break
            made[number] += piece[max(ends[number] - at, 0) : ends[number + 1] - at]
    return made


def _pieces(whole: str, clean: str) -> Iterator[tuple[int, str]]:
    """Yield what a masked text consists of, in order: what was left as it is and masks, with where each was."""
    at = 0
    for number, kept in enumerate(clean.split(REDACTED)):
        found = whole.find(kept, at) if number else 0
        if number:
            yield at, REDACTED
        if kept:
            # Where it is not found, which no mask that leaves the rest as it is leads to, it is told with the mask.
            yield max(found, at), kept
        at = max(found, at) + len(kept)
