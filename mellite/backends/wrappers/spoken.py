"""Log, at level debug, how every generation, tool, run and strategy ended, and how long it took."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ...thunk.observing import Activity, Observer
from ...values.backend_streams import name_of
from ...values.errors import GenerationCancelled
from ...values.telling import log, reason_of

if TYPE_CHECKING:
    from ...thunk.observing import Generation
    from ...values.records import GenerationMetadata

__all__ = ["Spoken"]


class Spoken(Observer):
    """Writes a record when something is over."""

    def __init__(self) -> None:
        self._began: dict[Activity, float] = {}

    def started(self, activity: Activity) -> None:
        """Note when it begins."""
        if activity.kind != "generation":
            self._began[activity] = time.perf_counter()

    def settled(self, activity: Activity) -> None:
        """Write the record."""
        if activity.kind == "generation":
            _tell_of_generation(activity.subject)
            return
        took = (time.perf_counter() - self._began.pop(activity, time.perf_counter())) * 1000
        subject, error = activity.subject, activity.error
        name = getattr(subject, "name", None) if activity.kind == "tool" else type(subject).__name__
        state = _state_of(error)
        log.debug(
            f"{activity.kind}.settled",
            "%s %s: %s in %.0f ms",
            activity.kind,
            name,
            state,
            took,
            name=name,
            state=state,
            duration_ms=took,
            error=None if error is None else type(error).__name__,
            reason=None if error is None else reason_of(error),
        )


def _state_of(error: BaseException | None) -> str:
    if error is None:
        return "done"
    return "failed" if isinstance(error, Exception) and not isinstance(error, GenerationCancelled) else "cancelled"


def _tell_of_generation(generation: Generation) -> None:
    outcome = generation.outcome
    if outcome is None:
        return
    facts, error = outcome.generation, outcome.error
    usage = facts.usage
    name = f"{facts.provider}:{facts.model}" if facts.provider and facts.model else name_of(generation.call.backend)
    log.debug(
        "generation.settled",
        "%s: %s",
        name,
        _sentence(outcome.state, facts, error),
        backend=name,
        generation_id=facts.generation_id,
        state=outcome.state,
        provider=facts.provider,
        model=facts.model,
        response_model=facts.response_model,
        request_id=facts.request_id,
        finish_reason=facts.finish_reason,
        ttfb_ms=facts.ttfb_ms,
        duration_ms=facts.duration_ms,
        attempts=facts.attempts,
        replayed=facts.replayed,
        input_tokens=None if usage is None else usage.input_tokens,
        output_tokens=None if usage is None else usage.output_tokens,
        status=getattr(error, "status", None),
        error=None if error is None else type(error).__name__,
        reason=None if error is None else reason_of(error),
    )


def _sentence(state: str, facts: GenerationMetadata, error: Exception | None) -> str:
    """Return how it ended, as a person reads it."""
    said = [f"{state} in {facts.duration_ms or 0:.0f} ms"]
    if facts.ttfb_ms is not None:
        said.append(f"the first piece after {facts.ttfb_ms:.0f} ms")
    if facts.usage is not None:
        said.append(f"{_number(facts.usage.input_tokens)} + {_number(facts.usage.output_tokens)} tokens")
    if facts.attempts is not None and facts.attempts > 1:
        said.append(f"{facts.attempts} attempts")
    if facts.replayed:
        said.append("replayed")
    if error is not None and state == "failed":
        said.append(reason_of(error))
    return ", ".join(said)


def _number(count: int | None) -> str:
    return "?" if count is None else str(count)
