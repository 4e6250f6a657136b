"""Reports steps that another framework runs to the observers of mellite, such as OpenTelemetry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

from ...thunk.observing import Activity, begin, current
from ...values.errors import MelliteError
from .recorders import Recorder
from .subject import Step

__all__ = ["TelemetryRecorder"]


@final
class TelemetryRecorder(Recorder):
    """A recorder that writes an OpenTelemetry span for each step, as `mellite.telemetry` does.

    Use it for steps that are not model calls, whose start and end the flow records itself; `run_llm_call` has its own
    span, and gets no second one from this recorder.

    Example:
        >>> recorder = TelemetryRecorder()
        >>> recorder.record_step_start("flow", "load")
        >>> recorder.record_step_end("flow", "load", "success", {"status": "ok"})
    """

    def __init__(self) -> None:
        self._begun: dict[tuple[str, str], list[Activity]] = {}

    def record_step_start(self, flow_id: str, step_id: str, payload: Mapping[str, Any] | None = None) -> None:
        """Begin the span, unless the step has one."""
        del payload
        around = current()
        step = around.subject if around is not None and around.kind == "step" else None
        if isinstance(step, Step) and (step.flow_id, step.step_id) == (flow_id, step_id):
            return
        begun = begin("step", Step(flow_id=flow_id, step_id=step_id))
        if begun is not None:
            self._begun.setdefault((flow_id, step_id), []).append(begun)

    def record_step_end(
        self, flow_id: str, step_id: str, status: str, payload: Mapping[str, Any] | None = None
    ) -> None:
        """End the span that was begun last for this step, if any."""
        begun = self._begun.get((flow_id, step_id))
        if not begun:
            return
        activity = begun.pop()
        if not begun:
            self._begun.pop((flow_id, step_id), None)
        told = dict(payload or {})
        failure = MelliteError(str(told.get("reason", status))) if status == "error" else None
        activity.settle(told, failure)
