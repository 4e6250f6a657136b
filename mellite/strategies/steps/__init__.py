"""The step ``ai.llm_call`` of a flow: one call of any provider, whose start and end a recorder is told."""

from __future__ import annotations

from ...values.public_names import publish
from ...values.templates import apply_vars
from .client import AsyncLLMClient, LLMRequest, LLMResponse, LLMUsage
from .config import LLMCallConfig
from .factory import LLMClientFactory
from .recorders import JsonLinesRecorder, PrintRecorder, Recorder, SqliteRecorder
from .running import run_llm_call
from .telemetry_recorder import TelemetryRecorder

__all__ = [
    "AsyncLLMClient",
    "JsonLinesRecorder",
    "LLMCallConfig",
    "LLMClientFactory",
    "LLMRequest",
    "LLMResponse",
    "LLMUsage",
    "PrintRecorder",
    "Recorder",
    "SqliteRecorder",
    "TelemetryRecorder",
    "apply_vars",
    "run_llm_call",
]

publish(globals(), "mellite.steps")
