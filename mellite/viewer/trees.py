"""The parts of a run as a tree: steps, calls, tools and samples, each with its times and what it cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

from ..values.provider_json import JsonObject

__all__ = ["Kind", "node"]

Kind: TypeAlias = Literal["run", "step", "call", "tool", "function", "sampling"]


def node(
    kind: Kind,
    id: str,
    name: str,
    *,
    state: str,
    started_at: str | None = None,
    duration_ms: float | None = None,
    cost_usd: float | None = None,
    text: str | None = None,
    error: str | None = None,
    call: str | None = None,
    facts: JsonObject | None = None,
    parts: Sequence[JsonObject] = (),
) -> JsonObject:
    """Return one part of a run as JSON-ready values, with its own parts.

    Args:
        kind: what it is.
        id: names it.
        name: what people call it.
        state: what came of it.
        started_at: when it began.
        duration_ms: how long it took.
        cost_usd: what it cost itself; the cost of its parts is added in `total_usd`, None if nothing is known.
        text: what came of it, in short.
        error: why it failed.
        call: the id of the call that it is, to be looked at whole.
        facts: what else is known, as the score of a sample, or whether it won.
        parts: its parts.
    """
    below = [each["total_usd"] for each in parts] + [cost_usd]
    known = [cost for cost in below if isinstance(cost, (int, float))]
    return {
        "kind": kind,
        "id": id,
        "name": name,
        "state": state,
        "started_at": started_at,
        "duration_ms": duration_ms,
        "cost_usd": cost_usd,
        "total_usd": sum(known) if known else None,
        "text": text,
        "error": error,
        "call": call,
        "facts": facts or {},
        "parts": list(parts),
    }
