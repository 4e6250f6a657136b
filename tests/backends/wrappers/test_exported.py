"""Spans with what Protocol Buffers cannot hold reach a collector: half surrogate pairs, large integers."""

from __future__ import annotations

import ast

import pytest

from mellite.backends.wrappers.exported import exported
from tests.thunk.support import run_child

SENDS_TO_A_COLLECTOR = r"""
    import logging, sys, threading
    from http.server import BaseHTTPRequestHandler, HTTPServer

    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    import mellite
    from mellite.backends import Constant, Failing, Scripted
    from mellite.errors import RateLimited
    from mellite.events import Finish, ResponseStart, TextDelta, Usage
    from mellite.messages import ToolCall

    received = []
    logging.getLogger("opentelemetry").addHandler(logging.StreamHandler(sys.stdout))  # what the exporter complains of

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            received.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    class Odd:
        async def stream(self, request):
            yield ResponseStart(provider="p\ud800", model="m\udc80", response_model="r\udfff", response_id="i\ud800")
            yield TextDelta(text="\ud83d")
            yield Finish(reason="stop", usage=Usage(input_tokens=2**63, output_tokens=10**400))

    @mellite.tool
    def add(a: int) -> str:
        return f"{a} \ud800"

    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        exporter = OTLPSpanExporter(f"http://127.0.0.1:{server.server_port}/v1/traces", compression=None)
        provider = TracerProvider()
        provider.add_span_processor(BatchSpanProcessor(exporter))
        trace.set_tracer_provider(provider)
        more = {"metadata": {"conversation_id": "c\ud800"}, "max_tokens": 2**64, "stop": ["\ud83d"], "temperature": 1}
        Constant("a").generate("b\ud800", model="asked\udc80", seed=2**63, **more).result()
        mellite.generate(Odd(), "x").result()
        try:
            Failing(RateLimited("slow \ud800 down")).generate("x").result()
        except RateLimited:
            pass
        script = [[ToolCall("c\ud800", "add", {"a": 2**63})], "d\ud800"]
        mellite.run(Scripted(script), "How \ud800?", tools=[add]).result()
        provider.shutdown()
        server.shutdown()

    def value(any):
        kind = any.WhichOneof("value")
        return [value(each) for each in any.array_value.values] if kind == "array_value" else getattr(any, kind)

    spans = [span for one in received for each in one.resource_spans for of in each.scope_spans for span in of.spans]
    print({span.name: {each.key: value(each.value) for each in span.attributes} for span in spans})
    print([span.status.message for span in spans if span.status.message])
"""


@pytest.mark.slow
def test_a_collector_gets_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """No span and no attribute is missing, and the exporter has nothing to complain of."""
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "SPAN_ONLY")
    said = run_child(SENDS_TO_A_COLLECTOR).stdout.splitlines()
    assert len(said) == 2, said
    found = ast.literal_eval(said[0])
    assert sorted(found) == [
        "chat asked\ufffd",
        "chat failing",
        "chat m\ufffd",
        "chat scripted",
        "execute_tool add",
        "invoke_agent",
    ]
    asked, odd, tool = found["chat asked\ufffd"], found["chat m\ufffd"], found["execute_tool add"]
    assert asked["gen_ai.request.seed"] == "9223372036854775808"
    assert asked["gen_ai.request.max_tokens"] == "18446744073709551616"
    assert repr(asked["gen_ai.request.temperature"]) == "1.0"
    assert asked["gen_ai.request.stop_sequences"] == ["\ufffd"]
    assert asked["gen_ai.conversation.id"] == "c\ufffd"
    assert "b\ufffd" in asked["gen_ai.input.messages"]
    assert odd["gen_ai.usage.input_tokens"] == "9223372036854775808"
    assert odd["gen_ai.usage.output_tokens"] == str(10**400)
    assert (odd["gen_ai.provider.name"], odd["gen_ai.response.model"]) == ("p\ufffd", "r\ufffd")
    assert (odd["gen_ai.response.id"], odd["gen_ai.request.model"]) == ("i\ufffd", "m\ufffd")
    assert "\ufffd" in odd["gen_ai.output.messages"]
    assert tool["gen_ai.tool.call.id"] == "c\ufffd"
    assert "9223372036854775808" in tool["gen_ai.tool.call.arguments"]
    assert "\ufffd" in tool["gen_ai.tool.call.result"]
    assert ast.literal_eval(said[1]) == ["slow \ufffd down"]


def test_what_stays_as_it_is() -> None:
    """What can be written: numbers up to the limits, truth, text with whole pairs; a huge number is still told."""
    plain = {"a": 2**63 - 1, "b": -(2**63), "c": True, "d": 0.5, "e": "\U0001f600", "f": ["x", "y"]}
    assert exported(plain) == plain
    assert exported({"a": True}) == {"a": True}
    assert exported({"a": "\ud83d\ude00"}) == {"a": "\U0001f600"}
    assert exported({"a": 10**5000}) == {"a": hex(10**5000)}
