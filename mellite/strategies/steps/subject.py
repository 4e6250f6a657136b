"""A running step, as observers see it."""

from __future__ import annotations

from attrs import frozen

from .config import LLMCallConfig

__all__ = ["Step"]


@frozen(kw_only=True)
class Step:
    """A step that runs, as observers see it: the subject of an activity of kind ``step``, whose result is the payload.

    Args:
        flow_id: names the flow.
        step_id: the step's id in the flow.
        config: what the step is to do; None for a step of yours that `TelemetryRecorder` was told of.
    """

    flow_id: str
    step_id: str
    config: LLMCallConfig | None = None
