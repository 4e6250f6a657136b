"""Spans of generations, tools, runs, strategies and streams, as an exporter gets them."""

from __future__ import annotations

import json
import sys
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import anyio
import pytest
from opentelemetry import trace
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

import mellite
from mellite.backends import Constant, Failing, Scripted
from mellite.backends.wrappers.tracing import Metering, Tracing
from mellite.cassettes import ScriptedTransport
from mellite.errors import BackendError, RateLimited
from mellite.events import Finish, ResponseStart, TextDelta, Usage
from mellite.requirements import contains
from mellite.thunk import observing
from tests.strategies.agent.played import Played, asks, shouts
from tests.thunk.support import Gate, Source, blocked, run_child

pytestmark = pytest.mark.anyio

ANSWER = {
    "id": "chatcmpl-1",
    "model": "gpt-4o-mini-2024-07-18",
    "choices": [{"message": {"content": "Hello!"}, "finish_reason": "stop"}],
    "usage": {
        "prompt_tokens": 30,
        "completion_tokens": 12,
        "total_tokens": 42,
        "prompt_tokens_details": {"cached_tokens": 20},
        "completion_tokens_details": {"reasoning_tokens": 7},
    },
}


class Traces:
    """All that was exported."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = self.provider.get_tracer("the caller's own")
        self.logs = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]  # not annotated by the SDK
        self.log_provider = LoggerProvider()
        self.log_provider.add_log_record_processor(SimpleLogRecordProcessor(self.logs))
        self.reader = InMemoryMetricReader()
        self.meter_provider = MeterProvider([self.reader])

    @contextmanager
    def on(self) -> Generator[None]:
        """Trace what is driven inside the block."""
        with observing.using(Tracing(self.provider, self.log_provider)):
            yield

    @contextmanager
    def measured(self) -> Generator[None]:
        """Trace and measure what is driven inside the block."""
        with observing.using(Metering(self.provider, self.log_provider, self.meter_provider)):
            yield

    def points(self) -> dict[str, list[Any]]:
        """What was measured so far, by the name of the instrument."""
        data = self.reader.get_metrics_data()
        scopes = [scope for each in data.resource_metrics for scope in each.scope_metrics] if data is not None else []
        return {metric.name: list(metric.data.data_points) for scope in scopes for metric in scope.metrics}

    @property
    def spans(self) -> dict[str, ReadableSpan]:
        """The spans that have ended, by name."""
        return {span.name: span for span in self.exporter.get_finished_spans()}

    def tree(self) -> dict[str, str | None]:
        """Name of each span -> name of its parent."""
        ended = self.exporter.get_finished_spans()
        names = {span.context.span_id: span.name for span in ended if span.context is not None}
        return {span.name: names.get(span.parent.span_id) if span.parent is not None else None for span in ended}


@pytest.fixture
def traces() -> Iterator[Traces]:
    """Spans that are kept in memory; each of them has ended and says which operation it is."""
    made = Traces()
    yield made
    ours = [span for span in made.spans.values() if getattr(span.instrumentation_scope, "name", "") == "mellite"]
    assert [span.name for span in ours if "gen_ai.operation.name" not in of(span)] == []
    assert trace.get_current_span() is trace.INVALID_SPAN


def of(span: ReadableSpan) -> Mapping[str, Any]:
    """The attributes of a span."""
    return span.attributes or {}


def live(**options: Any) -> mellite.Backend:
    """A live backend that gets one answer again and again."""
    transport = ScriptedTransport([json.dumps(ANSWER)] * 3)
    return mellite.backend("openai-chat:gpt-4o-mini", api_key="sk-test", transport=transport, **options)


async def test_a_generation_is_told_with_all_that_is_known(traces: Traces) -> None:
    """Provider, models, options, usage with its parts, address, cost; as the conventions name them."""
    chat = mellite.Conversation(live(), id="conversation-7")
    with traces.on():
        assert await chat.ask("Say hello.", temperature=0.5, max_tokens=80, stop="X") == "Hello!"
    span = traces.spans["chat gpt-4o-mini"]
    told = dict(of(span))
    assert told.pop("operation.cost") == pytest.approx((10 * 0.15 + 20 * 0.075 + 12 * 0.6) / 1_000_000)
    assert told == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.max_tokens": 80,
        "gen_ai.request.stop_sequences": ("X",),
        "gen_ai.conversation.id": "conversation-7",
        "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
        "gen_ai.response.id": "chatcmpl-1",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 30,
        "gen_ai.usage.output_tokens": 12,
        "gen_ai.usage.cache_read.input_tokens": 20,
        "gen_ai.usage.reasoning.output_tokens": 7,
        "server.address": "api.openai.com",
        "server.port": 443,
        "mellite.attempts": 1,
        "mellite.state": "done",
    }
    assert (span.kind, span.status.status_code) == (SpanKind.CLIENT, StatusCode.UNSET)


async def test_failures_are_errors_with_a_type(traces: Traces) -> None:
    """The class of the error; its words only where they can hold nothing of prompt and answer."""
    with traces.on():
        await Failing(RateLimited("slow down")).generate("x", model="limited").settle()
        await Failing(ValueError("said: x")).generate("x", model="broken").settle()
    limited, broken = traces.spans["chat limited"], traces.spans["chat broken"]
    assert (of(limited)["error.type"], of(limited)["mellite.state"]) == ("mellite.errors.RateLimited", "failed")
    assert (limited.status.status_code, limited.status.description) == (StatusCode.ERROR, "slow down")
    assert of(broken)["error.type"] == f"mellite.errors.{BackendError.__name__}"
    assert (broken.status.status_code, broken.status.description) == (StatusCode.ERROR, None)


async def test_a_cancelled_generation_is_no_error(traces: Traces) -> None:
    """The status stays unset, and the state says it."""
    gate = Gate()
    thunk = Source(["a", "b"], gate=gate).generate("x", model="slow")
    with traces.on():
        async with anyio.create_task_group() as group:
            group.start_soon(thunk.settle)
            await gate.reached(0)
            await thunk.cancel()
    span = traces.spans["chat slow"]
    assert (of(span)["mellite.state"], span.status.status_code) == ("cancelled", StatusCode.UNSET)
    assert "error.type" not in of(span)


async def test_an_abandoned_stream_ends_its_span_and_is_never_current(
    traces: Traces, caplog: pytest.LogCaptureFixture
) -> None:
    """While one reads, and behind a reader that leaves, the reader's own span is current."""
    with traces.on(), traces.tracer.start_as_current_span("mine") as mine:
        thunk = Source(["a", "b", "c"]).generate("x", model="left")
        async for _ in thunk:
            assert trace.get_current_span() is mine
            break
        del thunk
        for _ in range(20):
            await blocked()
            if "chat left" in traces.spans:
                break
        assert trace.get_current_span() is mine
    assert traces.tree() == {"chat left": "mine", "mine": None}
    assert "detach" not in caplog.text


async def test_a_retried_generation_is_one_span(traces: Traces) -> None:
    """Its attempts are counted, and the span ends as the last one did, on asyncio and trio."""
    busy: Any = (503, {"retry-after": "0"}, "{}")
    for last, state in ((json.dumps(ANSWER), "done"), (busy, "failed")):
        traces.exporter.clear()
        transport = ScriptedTransport([busy, busy, last])
        with traces.measured():
            await mellite.backend("openai-chat:gpt-4o-mini", api_key="x", transport=transport).generate("Hi.").settle()
        (span,) = traces.exporter.get_finished_spans()
        assert (of(span)["mellite.attempts"], of(span)["mellite.state"]) == (3, state)
        assert span.status.status_code is (StatusCode.UNSET if state == "done" else StatusCode.ERROR)
    assert sum([point.value for point in traces.points()["mellite.retries"]]) == 4


async def test_what_answered_after_a_fallback_is_told(traces: Traces) -> None:
    """Provider, model and server are those of the backend that answered, whatever stands around it."""
    down = mellite.backend("groq:llama", api_key="x", transport=ScriptedTransport([(503, {}, "{}")]), retries=0)
    between = mellite.CircuitBreaker(mellite.FallbackTo(mellite.Retry(down), Failing(RateLimited("no"))))
    with traces.measured():
        await mellite.Retry(mellite.FallbackTo(between, live())).generate("Hi.")
    (span,) = traces.spans.values()
    assert span.name == "chat gpt-4o-mini"  # which backends group by: the name and the attribute are one model
    told = of(span)
    assert (told["gen_ai.provider.name"], told["server.address"], told["server.port"]) == (
        "openai",
        "api.openai.com",
        443,
    )
    assert (told["gen_ai.request.model"], told["mellite.attempts"]) == ("gpt-4o-mini", 3)
    (point,) = traces.points()["gen_ai.client.operation.duration"]
    assert point.attributes["server.address"] == "api.openai.com"


async def test_replayed_work_is_marked_and_costs_nothing(traces: Traces) -> None:
    """What came from a cassette has its usage, says that it was replayed, and has no cost."""
    start = ResponseStart(provider="openai", model="gpt-4o-mini", replayed=True)
    usage = Usage.of(input_tokens=5, output_tokens=2)
    with traces.on():
        thunk = Source([start, TextDelta("a"), Finish("stop", usage=usage)]).generate("x")
        assert await thunk == "a"
    span = traces.spans["chat gpt-4o-mini"]  # named when the answer says who answers
    assert thunk.generation.cost_usd is not None
    assert (of(span)["mellite.replayed"], of(span)["gen_ai.usage.input_tokens"]) == (True, 5)
    assert "operation.cost" not in of(span)


async def test_a_run_has_its_generations_and_tools_inside(traces: Traces) -> None:
    """The span of a tool is current for its code, in a thread too, and for nothing else."""
    seen: list[str] = []

    def add(a: int, b: int) -> int:
        """Add."""
        with traces.tracer.start_as_current_span("inside"):
            return a + b

    async def look() -> str:
        """Look."""
        seen.append(getattr(trace.get_current_span(), "name", ""))
        return await Constant("deep").generate("x", model="inner")

    backend = Played([asks("c1", a=1, b=2), asks("c2", "look"), asks("c3", "shouts", text="")], ["3."])
    with traces.on(), traces.tracer.start_as_current_span("mine"):
        run = mellite.run(backend, "How much?", tools=[mellite.tool(add), mellite.tool(look), shouts], model="outer")
        assert await run == "3."
    assert seen == ["execute_tool look"]
    assert traces.tree() == {
        "mine": None,
        "invoke_agent": "mine",
        "chat anvil-1": "invoke_agent",  # who answered says so; the attribute has that name, too
        "execute_tool add": "invoke_agent",
        "inside": "execute_tool add",
        "execute_tool look": "invoke_agent",
        "chat inner": "execute_tool look",
        "execute_tool shouts": "invoke_agent",
    }
    agent, tool = traces.spans["invoke_agent"], traces.spans["execute_tool add"]
    assert (of(agent)["gen_ai.usage.input_tokens"], of(agent)["mellite.steps"]) == (20, 2)
    assert (of(agent)["mellite.stop_reason"], of(agent)["gen_ai.provider.name"]) == ("answered", "acme")
    assert of(agent)["gen_ai.request.model"] == "outer"
    assert (of(tool)["gen_ai.tool.name"], of(tool)["gen_ai.tool.call.id"]) == ("add", "c1")
    failed = traces.spans["execute_tool shouts"]
    assert (of(failed)["error.type"], failed.status.status_code) == ("mellite.errors.ToolFailure", StatusCode.ERROR)


async def test_sampling_has_its_samples_inside(traces: Traces) -> None:
    """The strategy's span is the parent of those of the samples, and says how it came out."""
    with traces.on():
        strategy = mellite.RejectionSampling(max_samples=2)
        await strategy.sample(Scripted(["no", "yes"]).generate("x", model="m"), [contains("yes")])
    span = traces.spans["sample RejectionSampling"]
    assert traces.tree() == {"chat m": "sample RejectionSampling", "sample RejectionSampling": None}
    assert len(traces.exporter.get_finished_spans()) == 3
    assert (of(span)["mellite.samples"], of(span)["mellite.success"]) == (2, True)
    assert of(span)["gen_ai.operation.name"] == "sample"


async def test_a_validated_stream_is_a_span(traces: Traces) -> None:
    """Left early or read to its end: its span has ended, and the generation's is inside."""
    with traces.on():
        async with mellite.stream(Source(["good ", "fine "]).generate("x", model="m")) as stream:
            assert [str(chunk) async for chunk in stream] == ["good ", "fine "]
        async with mellite.stream(Source(["a ", "b ", "c "], gate=(gate := Gate())).generate("x", model="n")) as stream:
            gate.allow(2)
            async for _ in stream:
                break
    assert traces.tree() == {"chat m": "stream", "chat n": "stream", "stream": None}
    states = [of(span)["mellite.state"] for span in traces.exporter.get_finished_spans() if span.name == "stream"]
    assert states == ["done", "cancelled"]


async def test_what_the_caller_made_current_since_is_the_parent(traces: Traces) -> None:
    """A span of one's own inside a step goes between the step and what it asks; without one, the step is the parent."""
    with traces.on(), observing.activity("step", "mine"):
        await Constant("a").generate("x", model="direct")
        with traces.tracer.start_as_current_span("between"):
            await Constant("a").generate("x", model="behind")
    assert traces.tree() == {
        "step": None,
        "chat direct": "step",
        "between": None,
        "chat behind": "between",
    }


async def test_the_parent_is_what_was_current_where_it_was_first_driven(traces: Traces) -> None:
    """Not where the thunk was made, nor where somebody else waits for it, too."""
    with traces.on():
        with traces.tracer.start_as_current_span("mine"):
            thunk = Constant("a").generate("x", model="m")
        with traces.tracer.start_as_current_span("driven"):
            await thunk
        with traces.tracer.start_as_current_span("late"):
            await thunk
    assert traces.tree()["chat m"] == "driven"


@pytest.mark.parametrize(
    ("word", "on_span", "in_event"),
    [
        ("NO_CONTENT", False, False),
        ("SPAN_ONLY", True, False),
        ("EVENT_ONLY", False, True),
        ("span_and_event", True, True),
        ("true", False, False),
    ],
)
async def test_content_is_told_where_it_is_wanted(
    traces: Traces, monkeypatch: pytest.MonkeyPatch, word: str, *, on_span: bool, in_event: bool
) -> None:
    """Messages as the conventions write them, with secrets masked; nothing unless asked for."""
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", word)
    with traces.on():
        await Constant("Well.").generate("My key is sk-abcdefghijklmnopqrstuvwxyz", system="Be brief.", model="m")
    told = of(traces.spans["chat m"])
    events = traces.logs.get_finished_logs()
    assert [("gen_ai.input.messages" in told), len(events)] == [on_span, int(in_event)]
    for attributes in [told] * on_span + [event.log_record.attributes or {} for event in events]:
        (asked,) = json.loads(str(attributes["gen_ai.input.messages"]))
        assert asked == {"role": "user", "parts": [{"type": "text", "content": "My key is [REDACTED]"}]}
        (answered,) = json.loads(str(attributes["gen_ai.output.messages"]))
        parts = [{"type": "text", "content": "Well."}]
        assert answered == {"role": "assistant", "parts": parts, "finish_reason": "stop"}
        assert "Be brief." in str(attributes["gen_ai.system_instructions"])
    for event in events:
        assert event.log_record.event_name == "gen_ai.client.inference.operation.details"
        context = traces.spans["chat m"].context
        assert context is not None
        assert event.log_record.span_id == context.span_id


async def test_pictures_are_named_and_left_out(traces: Traces, monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture has all fields of the conventions, and none of its bytes; a link is told as one."""
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "SPAN_ONLY")
    png = b"\x89PNG\r\n\x1a\n" + bytes(32)
    parts = [mellite.Image(png, media_type="image/png"), mellite.Image(url="https://example.com/a.png")]
    with traces.on():
        await Constant("Nice.").generate(["Look: ", *parts], model="m")
    (asked,) = json.loads(str(of(traces.spans["chat m"])["gen_ai.input.messages"]))
    told, linked = asked["parts"][1:]
    assert told == {"type": "blob", "modality": "image", "mime_type": "image/png", "content": ""}
    assert (linked["type"], linked["modality"], linked["uri"]) == ("uri", "image", "https://example.com/a.png")


async def test_tools_tell_content_too(traces: Traces, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arguments and results go onto spans only with the messages."""
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "SPAN_ONLY")
    backend = Played([asks("c3", "shouts", text="hey")], ["Done."])
    with traces.on():
        await mellite.run(backend, "Shout.", tools=[shouts])
    told = of(traces.spans["execute_tool shouts"])
    assert (told["gen_ai.tool.call.arguments"], told["gen_ai.tool.call.result"]) == ('{"text": "hey"}', '"HEY"')


async def test_the_newest_names_on_request(traces: Traces, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the opt-in, a strategy is a workflow, and a generation says whether it streamed."""
    monkeypatch.setenv("OTEL_SEMCONV_STABILITY_OPT_IN", "http,gen_ai_latest_experimental")
    with traces.on():
        strategy = mellite.RejectionSampling(max_samples=1)
        await strategy.sample(Constant("yes").generate("x", model="m"), [contains("yes")])
    span = of(traces.spans["sample RejectionSampling"])
    assert span["gen_ai.operation.name"] == "invoke_workflow"
    assert span["gen_ai.workflow.name"] == "RejectionSampling"
    assert of(traces.spans["chat m"])["gen_ai.request.stream"] is True


async def test_a_generation_is_measured(traces: Traces) -> None:
    """Its duration, tokens by kind and cost; with the buckets that the conventions recommend, and few attributes."""
    with traces.measured():
        await live().generate("Say hello.", temperature=0.5)
    points = traces.points()
    (duration,) = points["gen_ai.client.operation.duration"]
    assert (duration.count, duration.explicit_bounds[0], duration.explicit_bounds[-1]) == (1, 0.01, 81.92)
    assert dict(duration.attributes) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
        "server.address": "api.openai.com",
        "server.port": 443,
    }
    tokens = {point.attributes["gen_ai.token.type"]: point for point in points["gen_ai.client.token.usage"]}
    assert {word: point.sum for word, point in tokens.items()} == {"input": 30, "output": 12}
    assert (tokens["input"].explicit_bounds[1], tokens["input"].explicit_bounds[-1]) == (4, 67108864)
    (cost,) = points["operation.cost"]
    assert cost.sum == pytest.approx((10 * 0.15 + 20 * 0.075 + 12 * 0.6) / 1_000_000)
    assert points.keys().isdisjoint({"mellite.retries", "gen_ai.client.operation.time_to_first_chunk"})
    assert "chat gpt-4o-mini" in traces.spans


async def test_a_stream_is_measured_chunk_by_chunk(traces: Traces) -> None:
    """What comes together is one chunk; the first one is measured from the start."""
    gate = Gate()
    start = ResponseStart(provider="acme", model="m", streaming=True)
    with traces.measured():
        thunk = Source([start, *map(TextDelta, "ab" + "c" * 50), Finish("stop")], gate=gate).generate("x")
        async with anyio.create_task_group() as group:
            group.start_soon(thunk.settle)
            for before, count in ((0, 2), (2, 1), (3, 51)):
                await gate.reached(before)
                await anyio.sleep(0.002)
                gate.allow(count)
    points = traces.points()
    (first,) = points["gen_ai.client.operation.time_to_first_chunk"]
    (following,) = points["gen_ai.client.operation.time_per_output_chunk"]
    assert first.count == 1
    assert 2 <= following.count < 10  # the last fifty come together, unless this machine rests between some of them
    assert following.sum >= 0.004


async def test_failures_and_retries_are_measured(traces: Traces) -> None:
    """With the class of the error; what a failed attempt used is spent, and counted."""
    used = Usage.of(input_tokens=3, output_tokens=1)
    failure = RateLimited("slow down", usage=used, provider="openai", model="gpt-4o-mini")
    start = ResponseStart(provider="openai", model="gpt-4o-mini", attempts=2, failures=(failure,))
    with traces.measured():
        await Source([start, TextDelta("a"), Finish("stop", usage=used)]).generate("x")
        await Failing(RateLimited("no")).generate("x").settle()
    points = traces.points()
    (retries,) = points["mellite.retries"]
    assert (retries.value, retries.attributes["error.type"]) == (1, "mellite.errors.RateLimited")
    assert {point.attributes["gen_ai.token.type"]: point.sum for point in points["gen_ai.client.token.usage"]} == {
        "input": 6,
        "output": 2,
    }
    (cost,) = points["operation.cost"]
    assert (cost.count, cost.sum) == (2, pytest.approx(2 * (3 * 0.15 + 1 * 0.6) / 1_000_000))
    types = [point.attributes.get("error.type") for point in points["gen_ai.client.operation.duration"]]
    assert sorted(types, key=str) == [None, "mellite.errors.RateLimited"]


async def test_replayed_work_is_not_spent_again(traces: Traces) -> None:
    """No tokens, no cost and no chunks; its duration is marked."""
    start = ResponseStart(provider="openai", model="gpt-4o-mini", replayed=True, streaming=True)
    with traces.measured():
        usage = Usage.of(input_tokens=5, output_tokens=2)
        thunk = Source([start, TextDelta("a"), TextDelta("b"), Finish("stop", usage=usage)]).generate("x")
        await thunk
    points = traces.points()
    assert points.keys() == {"gen_ai.client.operation.duration"}
    (duration,) = points["gen_ai.client.operation.duration"]
    assert duration.attributes["mellite.replayed"] is True


def test_without_a_provider_it_costs_one_function_call() -> None:
    """Also where OpenTelemetry is imported, as it is here: one call behind the one that asks who looks on."""
    observing.in_force()
    calls: list[tuple[str, str]] = []
    sys.setprofile(lambda frame, event, _: calls.append((event, frame.f_code.co_name)))
    try:
        observing.in_force()
    finally:
        sys.setprofile(None)
    assert [name for event, name in calls if event == "call"] == ["in_force", "observer"]
    assert ("c_call", "observer") not in calls


async def test_a_shared_generation_is_spent_once(traces: Traces) -> None:
    """Each thunk that shares it has a span and a duration; tokens are those of the one generation."""
    source = Source(["a", Finish("stop", usage=Usage.of(input_tokens=5, output_tokens=2))])
    with traces.measured(), mellite.share():
        await mellite.gather(source.generate("x"), source.generate("x"))
        await source.generate("x")
    points = traces.points()
    (duration,) = points["gen_ai.client.operation.duration"]
    assert (duration.count, len(traces.exporter.get_finished_spans()), source.calls) == (3, 3, 1)
    assert sorted(point.sum for point in points["gen_ai.client.token.usage"]) == [2, 5]


SENDS_TO_A_COLLECTOR = """
    import threading
    from http.server import BaseHTTPRequestHandler, HTTPServer

    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    import mellite
    from mellite.backends import Scripted
    from mellite.messages import ToolCall

    received = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            received.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        exporter = OTLPSpanExporter(f"http://127.0.0.1:{server.server_port}/v1/traces", compression=None)
        provider = TracerProvider()
        provider.add_span_processor(BatchSpanProcessor(exporter))
        trace.set_tracer_provider(provider)

        @mellite.tool
        def add(a: int, b: int) -> int:
            return a + b

        backend = Scripted([[ToolCall("c1", "add", {"a": 1, "b": 2})], "3."])
        print(mellite.run(backend, "How much?", tools=[add]).result())
        provider.shutdown()
        server.shutdown()
    found = [span for one in received for each in one.resource_spans for of in each.scope_spans for span in of.spans]
    print(sorted(span.name for span in found), len({span.trace_id for span in found}))
"""


@pytest.mark.slow
def test_a_collector_gets_the_spans_of_a_run() -> None:
    """By the exporter that the how-to names, over HTTP: one trace."""
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    said = run_child(SENDS_TO_A_COLLECTOR).stdout.splitlines()
    assert said == ["3.", "['chat scripted', 'chat scripted', 'execute_tool add', 'invoke_agent'] 1"]


SETS_A_METER_PROVIDER = """
    from mellite.backends import Constant
    from opentelemetry import metrics
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    Constant("a").generate("x").result()
    reader = InMemoryMetricReader()
    metrics.set_meter_provider(MeterProvider([reader]))
    Constant("a").generate("x").result()
    (scope,) = reader.get_metrics_data().resource_metrics[0].scope_metrics
    print({metric.name: metric.data.data_points[0].count for metric in scope.metrics}[
        "gen_ai.client.operation.duration"
    ])
"""


def test_a_meter_provider_alone_is_enough() -> None:
    """Metrics are on from when a provider is set for them, whether there are traces or not."""
    assert run_child(SETS_A_METER_PROVIDER).stdout.strip() == "1"


SETS_A_PROVIDER = """
    import sys
    import mellite
    from mellite.backends import Constant

    Constant("a").generate("x").result()
    assert not [name for name in sys.modules if name.partition(".")[0] == "opentelemetry"]

    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    Constant("a").generate("x").result()
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    Constant("a").generate("x", model="first").result()
    mellite.telemetry.off()
    Constant("a").generate("x", model="unseen").result()
    mellite.telemetry.on()
    Constant("a").generate("x", model="second").result()
    print([span.name for span in exporter.get_finished_spans()])
"""


def test_it_is_on_from_when_a_provider_is_set_until_it_is_turned_off() -> None:
    """Before, OpenTelemetry is not even imported; nobody has to say that it is on."""
    assert run_child(SETS_A_PROVIDER).stdout.strip() == "['chat first', 'chat second']"
