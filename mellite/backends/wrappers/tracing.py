"""Spans and metrics for OpenTelemetry, of every generation, tool, run and strategy. The one module that imports it.

A span is never current, but that of a tool, for the code of the tool: one that is made current inside an async
generator stays so in the task that reads it, when the reader leaves. Parents are handed on explicitly instead: the span
of the activity that a new one is a part of, unless the caller has made another one current since.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, final

from opentelemetry import context as contexts, metrics, trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from ...thunk.observing import Activity, Observer
from ...values.events import Event, ReasoningDelta, ResponseStart, TextDelta, ToolInputDelta
from ...values.telling import words_of
from . import semantics
from .content import VARIABLE, as_text, capture_of, content_of
from .described import (
    Attributes,
    answered_by,
    asked,
    cost_of,
    error_name,
    failed,
    finished,
    measured,
    model_of,
    overall,
    spent,
)
from .exported import LARGEST, exported, exported_text

if TYPE_CHECKING:
    from opentelemetry.context import Context


__all__ = ["Metering", "Tracing"]

NAME: Final = "mellite"

#: What arrives within so many seconds behind another piece of the answer has come with it, as one chunk.
_AT_ONCE: Final = 0.0001

#: So many of the latest generations are known: thunks that `mellite.share` one have its id, and spend it once.
_KNOWN: Final = 4096
_PIECES: Final = frozenset({TextDelta, ReasoningDelta, ToolInputDelta})


@final
class Open:
    """An activity that goes on.

    Attributes:
        span: its span.
        around: the span that was current when it began.
        asked: what was known of it when it began.
        measured: attributes of what is measured meanwhile; None where that is nothing.
        latest: when the latest chunk came; 0.0 before the first.
    """

    __slots__ = ("around", "asked", "latest", "measured", "span")

    def __init__(self, span: Span, around: Span, asked: Attributes) -> None:
        self.span = span
        self.around = around
        self.asked = asked
        self.measured: Attributes | None = None
        self.latest = 0.0


class Tracing(Observer):
    """Writes a span for each activity.

    Args:
        tracer_provider: makes the tracer; by default the one of the process.
        logger_provider: makes the logger of events with content; by default the one of the process.
    """

    def __init__(
        self,
        tracer_provider: trace.TracerProvider | None = None,
        logger_provider: object | None = None,
    ) -> None:
        self._tracer = trace.get_tracer(NAME, tracer_provider=tracer_provider)
        self._profile = semantics.profile_of(os.environ.get("OTEL_SEMCONV_STABILITY_OPT_IN"))
        self._capture = capture_of(os.environ.get(VARIABLE))
        self._log = events_logger(logger_provider) if self._capture.events else None
        self._open: dict[Activity, Open] = {}

    def started(self, activity: Activity) -> None:
        """Begin a span."""
        around = trace.get_current_span()
        name, attributes = self._named(activity)
        name, attributes = exported_text(name), exported(attributes)
        kind = SpanKind.CLIENT if activity.kind == "generation" else SpanKind.INTERNAL
        context = self._parent_of(activity, around)
        span = self._tracer.start_span(name, context, kind, attributes)
        self._open[activity] = Open(span, around, attributes)

    def _parent_of(self, activity: Activity, around: Span) -> Context:
        context = contexts.get_current()
        parent = None if activity.parent is None else self._open.get(activity.parent)
        if parent is None or (around is not parent.around and around.get_span_context().is_valid):
            return context
        return trace.set_span_in_context(parent.span, context)

    def _named(self, activity: Activity) -> tuple[str, Attributes]:
        subject = activity.subject
        match activity.kind:
            case "generation":
                return f"{semantics.CHAT} {model_of(subject) or ''}".rstrip(), asked(subject)
            case "tool":
                return f"{semantics.EXECUTE_TOOL} {subject.name}", {
                    semantics.OPERATION: semantics.EXECUTE_TOOL,
                    semantics.TOOL_NAME: subject.name,
                    semantics.TOOL_CALL_ID: subject.id,
                    semantics.TOOL_TYPE: "function",
                }
            case "run":
                return semantics.INVOKE_AGENT, {semantics.OPERATION: semantics.INVOKE_AGENT}
            case "sampling":
                return f"sample {type(subject).__name__}", {semantics.OPERATION: self._profile.sampling}
            case other:
                return other, {semantics.OPERATION: other}

    def entered(self, activity: Activity) -> Callable[[], object] | None:
        """Make the span of a tool current for its code."""
        opened = self._open.get(activity)
        if opened is None:
            return None
        token = contexts.attach(trace.set_span_in_context(opened.span))
        return partial(_leave, token, opened.span)

    def settled(self, activity: Activity) -> None:
        """End the span."""
        opened = self._open.pop(activity, None)
        if opened is not None:
            self.end(activity, opened)

    def end(self, activity: Activity, opened: Open) -> None:
        """Tell the span how the activity ended, and end it."""
        span = opened.span
        try:
            if activity.kind == "generation":
                if activity.subject.outcome is not None and (span.is_recording() or self._log is not None):
                    self._tell_of_generation(opened, activity.subject, self._finished(activity.subject))
            elif span.is_recording():
                span.set_attributes(exported(overall(activity, self._profile)))
                if activity.kind == "tool" and self._capture.spans:
                    _add_tool_content(span, activity)
            if span.is_recording():
                _set_state(span, activity)
        finally:
            span.end()

    def _finished(self, generation: Any) -> Attributes:
        """Return what is known of a generation now that it is over."""
        facts = generation.outcome.generation
        return exported(finished(facts, self._profile) | answered_by(generation, facts))

    def _tell_of_generation(self, opened: Open, generation: Any, known: Attributes) -> None:
        span, facts, attributes = opened.span, generation.outcome.generation, dict(known)
        cost = cost_of(facts)
        if cost is not None:
            attributes[semantics.COST] = cost
        content = content_of(generation) if self._capture.spans or self._capture.events else {}
        if self._log is not None:
            self._log({**opened.asked, **attributes, **content}, trace.set_span_in_context(span))
        if self._capture.spans:
            attributes |= content
        span.set_attributes(attributes)
        if facts.model is not None and model_of(generation) != facts.model:  # not known before, or it fell back
            span.update_name(exported_text(f"{semantics.CHAT} {facts.model}"))


class Metering(Tracing):
    """Writes a span for each activity, and measures generations.

    Args:
        tracer_provider: as for `Tracing`.
        logger_provider: as for `Tracing`.
        meter_provider: makes the instruments; by default the one of the process.
    """

    def __init__(
        self,
        tracer_provider: trace.TracerProvider | None = None,
        logger_provider: object | None = None,
        meter_provider: metrics.MeterProvider | None = None,
    ) -> None:
        super().__init__(tracer_provider, logger_provider)
        meter = metrics.get_meter(NAME, meter_provider=meter_provider)
        histogram = meter.create_histogram
        seconds, tokens = semantics.DURATION_BUCKETS, semantics.TOKEN_BUCKETS
        self._duration = histogram(
            semantics.DURATION, "s", "Duration of a generation.", explicit_bucket_boundaries_advisory=seconds
        )
        self._first_chunk = histogram(
            semantics.FIRST_CHUNK, "s", "Time to the first chunk.", explicit_bucket_boundaries_advisory=seconds
        )
        self._per_chunk = histogram(
            semantics.PER_CHUNK, "s", "Time from chunk to chunk.", explicit_bucket_boundaries_advisory=seconds
        )
        self._tokens = histogram(
            semantics.TOKENS, "{token}", "Tokens of input and output.", explicit_bucket_boundaries_advisory=tokens
        )
        self._recent: set[str] = set()
        self._older: set[str] = set()
        self._cost = histogram(
            semantics.COST, "{USD}", "Cost of a generation.", explicit_bucket_boundaries_advisory=semantics.COST_BUCKETS
        )
        self._retries = meter.create_counter(semantics.RETRIES, "{retry}", "Attempts after a failed one.")

    def started(self, activity: Activity) -> None:
        """Begin a span."""
        super().started(activity)
        opened = self._open.get(activity)
        if opened is not None and activity.kind == "generation":
            opened.measured = measured(opened.asked)

    def events(self, activity: Activity, events: Sequence[Event]) -> None:
        """Measure the time from chunk to chunk, of what is not replayed."""
        opened = self._open.get(activity)
        if opened is None or opened.measured is None:
            return
        for event in events:
            if type(event) in _PIECES:  # those behind it came with it
                now = time.perf_counter()
                latest, opened.latest = opened.latest, now
                if latest and now - latest > _AT_ONCE:
                    self._per_chunk.record(now - latest, opened.measured)
                return
            if type(event) is ResponseStart and event.replayed:
                opened.measured = None
                return

    def end(self, activity: Activity, opened: Open) -> None:
        """End the span, and measure a generation."""
        super().end(activity, opened)
        generation = activity.subject
        if activity.kind != "generation" or generation.outcome is None:
            return
        facts = generation.outcome.generation
        known = measured(opened.asked | self._finished(generation))
        name = failed(activity)
        ended = known if name is None else {**known, semantics.ERROR_TYPE: name}
        if facts.duration_ms is not None:
            self._duration.record(facts.duration_ms / 1000, ended)
        if facts.streaming and not facts.replayed and facts.ttfb_ms is not None:
            self._first_chunk.record(facts.ttfb_ms / 1000, known)
        if self._is_counted(facts.generation_id):
            return
        for usage, cost in spent(facts):
            for word, count in (("input", usage.input_tokens), ("output", usage.output_tokens)):
                if count is not None:
                    self._tokens.record(min(count, LARGEST), {**known, semantics.INPUT_OR_OUTPUT: word})
            if cost is not None:
                self._cost.record(cost, known)
        for failure in () if facts.replayed else facts.failures:
            self._retries.add(1, {**known, semantics.ERROR_TYPE: error_name(failure)})

    def _is_counted(self, id: str | None) -> bool:
        """Return whether what this generation spent has been counted, and note that it has now."""
        if id is None:
            return False
        if id in self._recent or id in self._older:
            return True
        if len(self._recent) >= _KNOWN:
            self._older, self._recent = self._recent, set()
        self._recent.add(id)
        return False


def _leave(token: object, span: Span) -> None:
    # Closed in another context, by the garbage collector, there is nothing to take back.
    if trace.get_current_span() is span:
        contexts.detach(token)  # type: ignore[arg-type]  # its type has no public name


def _add_tool_content(span: Span, activity: Activity) -> None:
    call, result = activity.subject, activity.result
    span.set_attribute(semantics.TOOL_ARGUMENTS, as_text(call.arguments))
    if result is not None:
        span.set_attribute(semantics.TOOL_RESULT, as_text(result.result.value))


def _set_state(span: Span, activity: Activity) -> None:
    error, name = activity.error, failed(activity)
    if name is not None:
        span.set_attributes({semantics.ERROR_TYPE: name, semantics.STATE: "failed"})
        span.set_status(Status(StatusCode.ERROR, exported_text(words_of(error) or "") or None))
    else:
        span.set_attribute(semantics.STATE, "done" if error is None else "cancelled")


def events_logger(provider: object | None) -> Callable[[Attributes, Context], None]:
    """Return what writes an event with these attributes, as a part of the span of a context."""
    from opentelemetry._logs import LogRecord, get_logger

    logger = get_logger(NAME, logger_provider=provider)  # type: ignore[arg-type]  # imported for events alone

    def write(attributes: Attributes, context: Context) -> None:
        logger.emit(LogRecord(event_name=semantics.CONTENT_EVENT, attributes=attributes, context=context))

    return write
