"""A thunk as it will be when it has settled, for those who are shown it a moment before."""

from __future__ import annotations

from typing import Any

from ..loops.places import current_generation
from ..values.request import Request
from ..values.text_answer import Batch, TextAnswer
from .call import CallInfo, Streams
from .outcome import Clock, Outcome, conclude
from .pump import Pump
from .thunk import AnyThunk, ModelOutputThunk

__all__ = ["Pump", "generation_here", "settled_copy"]


def generation_here() -> Pump | None:
    """Return the generation in whose stream this code runs, if any."""
    found = current_generation.get()
    return found if isinstance(found, Pump) else None


def settled_copy(
    backend: Streams,
    request: Request,
    events: Batch,
    *,
    generation: Pump | None = None,
    error: BaseException | None = None,
    cancelled: str | None = None,
) -> AnyThunk:
    """Return a settled thunk for what a backend has given.

    Args:
        events: all that came; a text answer for a request that asks for a str.
        generation: the one that it is a part of, if any. Where the backend is the one that this asks, the copy shows
            what the generation comes to, and it comes to that unless something fails yet.
        error: what the backend raised, if anything.
        cancelled: why the generation was cancelled, if it was.
    """
    whole = generation is not None and generation.gets_all_of(backend)
    if generation is not None and whole and type(events) is TextAnswer and request is generation.request:
        return ModelOutputThunk(generation.call, outcome=generation.outcome_of(events))
    if generation is None:
        call, id, clock = _call_of(backend, request), None, Clock()
    else:
        call, id, clock = generation.call, generation.generation_id, generation.time_passed()
    asked: Any = call.backend if whole else backend
    if type(events) is TextAnswer:
        text, made = events.text, events.events
        outcome = Outcome.of_text(text, made, request=request, backend=asked, generation_id=id, clock=clock)
        return ModelOutputThunk(call, outcome=outcome)
    told = list(events)
    outcome = conclude(
        told, request=request, backend=asked, generation_id=id, clock=clock, error=error, cancelled=cancelled
    )
    if whole and generation is not None:
        generation.foretell(len(told), outcome)
    copied = getattr(asked, "settled_copy", None)  # that of a run has steps
    thunk: AnyThunk = ModelOutputThunk(call, outcome=outcome) if copied is None else copied(call, outcome)
    return thunk


def _call_of(backend: Streams, request: Request) -> CallInfo:
    return CallInfo(request, backend, lineage=tuple(request.metadata.get("lineage") or ()))
