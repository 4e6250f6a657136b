#!/usr/bin/env bash
# A tool call that was cut at `max_tokens`: langchain-core (the chunks of a stream added up, and `invoke` of a model that
# streams) and the final message of anthropic's stream complete the JSON that is there, and give a call like any other.
# `{"to": "ann", "amount": 15` on its way to 1500 is a payment of 15; langchain's `invalid_tool_calls`, where one would
# look for it, is empty, while JSON that is whole and wrong does land there. Only the finish reason tells: look at it
# before a call is run. Pieces of tool calls belong together by their index, and end where the model says so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv v
v/bin/pip install -q langchain-core==1.8.3 anthropic==2.14.0 2>/dev/null
cat > seen.py <<'PYTHON'
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import version

import anthropic
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.chat_models import generate_from_stream
from langchain_core.messages import AIMessageChunk
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk

PIECES = ['{"to": "ann", ', '"amount": 15']


class Model(BaseChatModel):
    """Streams a call whose answer ends at its limit, as models behind langchain-core do."""

    pieces: list[str]

    @property
    def _llm_type(self):
        return "model"

    def _stream(self, messages, stop=None, run_manager=None, **options):
        calls = [tool_call_chunk(name="pay", args="", id="call_1", index=0)]
        calls += [tool_call_chunk(name=None, args=piece, id=None, index=0) for piece in self.pieces]
        for call in calls:
            yield ChatGenerationChunk(message=AIMessageChunk(content="", tool_call_chunks=[call]))
        yield ChatGenerationChunk(message=AIMessageChunk(content="", response_metadata={"finish_reason": "length"}))

    def _generate(self, messages, stop=None, run_manager=None, **options):
        return generate_from_stream(self._stream(messages))


def langchain(pieces):
    whole = None
    for chunk in Model(pieces=pieces).stream("Pay 1500 to Ann."):
        whole = chunk if whole is None else whole + chunk
    answer = Model(pieces=pieces).invoke("Pay 1500 to Ann.")
    for name, message in (("stream", whole), ("invoke", answer)):
        calls = [call["args"] for call in message.tool_calls]
        print("langchain-core", version("langchain-core"), name, calls, "invalid:", len(message.invalid_tool_calls))
        yield calls, len(message.invalid_tool_calls)


START = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude",
    "content": [],
    "stop_reason": None,
    "stop_sequence": None,
    "usage": {"input_tokens": 5, "output_tokens": 1},
}
END = {"stop_reason": "max_tokens", "stop_sequence": None}
EVENTS = [
    {"type": "message_start", "message": START},
    {
        "type": "content_block_start",
        "index": 0,
        "content_block": {"type": "tool_use", "id": "toolu_1", "name": "pay", "input": {}},
    },
    *[
        {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": piece}}
        for piece in PIECES
    ],
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": END, "usage": {"output_tokens": 9}},
    {"type": "message_stop"},
]


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        body = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in EVENTS).encode()
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def claude():
    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    client = anthropic.Anthropic(api_key="none", base_url=f"http://127.0.0.1:{server.server_port}", max_retries=0)
    question = [{"role": "user", "content": "Pay 1500 to Ann."}]
    with client.messages.stream(model="claude", max_tokens=9, messages=question) as stream:
        message = stream.get_final_message()
    print("anthropic", anthropic.__version__, message.stop_reason, message.content[0].input)
    return message.content[0].input


CUT = {"to": "ann", "amount": 15}
assert list(langchain(PIECES)) == [([CUT], 0)] * 2, "a cut call is no call now"
assert list(langchain(['{"amount": 1500,}'])) == [([], 1)] * 2, "JSON that is wrong is a call now"
assert claude() == CUT, "a cut call has no input now"
PYTHON
v/bin/python seen.py
