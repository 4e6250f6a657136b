"""A step has one span, which says how it ended, whoever runs it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from mellite.backends import Scripted
from mellite.backends.wrappers.tracing import Tracing
from mellite.errors import RateLimited
from mellite.steps import LLMCallConfig, TelemetryRecorder, run_llm_call
from mellite.thunk.observing import using

pytestmark = pytest.mark.anyio

ASK = LLMCallConfig("openai", "m", prompt="Hi.", max_retries=1)


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    """Where the spans go."""
    kept = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    with using(Tracing(provider)):
        yield kept
    provider.shutdown()


def steps(exporter: InMemorySpanExporter) -> list[ReadableSpan]:
    return [span for span in exporter.get_finished_spans() if span.name == "step"]


def of(span: ReadableSpan) -> Mapping[str, Any]:
    assert span.attributes is not None
    return span.attributes


async def test_a_step_has_one_span_with_its_generations_below(exporter: InMemorySpanExporter) -> None:
    backend = Scripted([RateLimited("busy", retry_after=0), "Hello!"])
    await run_llm_call("flow", "one", ASK, TelemetryRecorder(), client=backend)
    (step,) = steps(exporter)
    assert {name: value for name, value in of(step).items() if name.startswith("mellite.")} == {
        "mellite.flow.id": "flow",
        "mellite.step.id": "one",
        "mellite.attempts": 2,
        "mellite.state": "done",
    }
    generations = [span for span in exporter.get_finished_spans() if span.name.startswith("chat")]
    assert len(generations) == 2
    assert {span.parent.span_id for span in generations if span.parent is not None} == {step.context.span_id}


async def test_a_step_that_failed_says_so(exporter: InMemorySpanExporter) -> None:
    await run_llm_call("flow", "one", LLMCallConfig("opnai", "m", prompt="Hi."))
    await run_llm_call("flow", "two", ASK, client=Scripted([RateLimited("busy", retry_after=0)] * 2))
    first, second = steps(exporter)
    assert (of(first)["error.type"], of(second)["error.type"]) == (
        "mellite.errors.UnknownProvider",
        "mellite.errors.RateLimited",
    )
    assert [span.status.status_code for span in (first, second)] == [StatusCode.ERROR] * 2


async def test_steps_that_something_else_runs(exporter: InMemorySpanExporter) -> None:
    recorder = TelemetryRecorder()
    recorder.record_step_start("flow", "load", {"type": "load"})
    await run_llm_call("flow", "ask", ASK, recorder, client=Scripted(["Hello!"]))
    recorder.record_step_start("flow", "save")
    recorder.record_step_end("flow", "save", "error", {"reason": "full"})
    recorder.record_step_end("flow", "load", "success")
    recorder.record_step_end("flow", "load", "success")
    found = [(of(span)["mellite.step.id"], of(span)["mellite.state"]) for span in steps(exporter)]
    assert found == [("ask", "done"), ("save", "failed"), ("load", "done")]


async def test_where_nobody_looks_on_it_does_nothing() -> None:
    recorder = TelemetryRecorder()
    recorder.record_step_start("flow", "load")
    recorder.record_step_end("flow", "load", "success")
    recorder.record_step_end("flow", "never begun", "error")
