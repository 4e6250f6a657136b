#!/usr/bin/env bash
# litellm and OpenTelemetry: litellm calls OpenAI through the openai package, but posts by the client itself, not through
# `chat.completions.create`. OpenLLMetry's instrumentation (opentelemetry-instrumentation-openai) wraps that function: calls
# of one's own have spans, those of litellm in the same program have none, and nothing is logged. One would look at the
# exporter first. OpenInference's wraps the request of the client, and sees both.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv v
v/bin/pip install -q litellm==1.110.2 openai==3.57.0 opentelemetry-sdk==1.45.2 \
    opentelemetry-instrumentation-openai==0.62.4 openinference-instrumentation-openai==0.1.66 2>/dev/null
cat > seen.py <<'PYTHON'
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version

import litellm
import openai
from openinference.instrumentation.openai import OpenAIInstrumentor as OpenInference
from opentelemetry.instrumentation.openai import OpenAIInstrumentor as OpenLLMetry
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


class Handler(BaseHTTPRequestHandler):
    """OpenAI's API."""

    def log_message(self, *_):
        pass

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        choice = {"index": 0, "message": {"role": "assistant", "content": "Hi."}, "finish_reason": "stop"}
        body = json.dumps({"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/v1"
messages = [{"role": "user", "content": "Hi."}]
client = openai.OpenAI(api_key="none", base_url=url)
calls = {
    "openai": lambda: client.chat.completions.create(model="m", messages=messages),
    "litellm": lambda: litellm.completion(model="openai/m", api_base=url, api_key="none", messages=messages),
}
names = ("litellm", "opentelemetry-instrumentation-openai", "openinference-instrumentation-openai")
print(*[f"{name} {version(name)}" for name in names])
seen = {}
for kind in (OpenLLMetry, OpenInference):
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    kind().instrument(tracer_provider=provider)
    for name, call in calls.items():
        exporter.clear()
        assert call().choices[0].message.content == "Hi."
        seen[kind.__module__.partition(".")[0], name] = len(exporter.get_finished_spans())
    kind().uninstrument()
print("spans of a call:", seen)
assert seen["opentelemetry", "openai"] == 1 and seen["opentelemetry", "litellm"] == 0, "litellm's calls have spans now"
assert seen["openinference", "openai"] == seen["openinference", "litellm"] == 1
PYTHON
LITELLM_LOCAL_MODEL_COST_MAP=True v/bin/python seen.py
