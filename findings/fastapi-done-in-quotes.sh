#!/usr/bin/env bash
# FastAPI's server-sent events: `ServerSentEvent(data="[DONE]")`, and a text that the endpoint yields, go out as JSON, so
# with quotes around them: `data: "[DONE]"`. That is not the end mark of OpenAI's protocol: the openai client hands out
# the str "[DONE]" as a last chunk (typed as a ChatCompletionChunk), and `chunk.choices` is an AttributeError behind a
# whole answer. With `data=json.dumps(chunk)` all chunks are such texts. sse-starlette sends what it is given; here it is
# `raw_data=` for texts that are ready, and dicts as they are.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv v
v/bin/pip install -q fastapi==0.165.0 uvicorn==0.54.0 openai==3.57.0 2>/dev/null
cat > seen.py <<'PYTHON'
import json
import socket
import threading
import time
import urllib.request
from collections.abc import AsyncIterable

import fastapi
import openai
import uvicorn
from fastapi.sse import EventSourceResponse, ServerSentEvent

START = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
CHUNKS = [
    {**START, "choices": [{"index": 0, "delta": {"content": "Hello."}, "finish_reason": None}]},
    {**START, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
]
app = fastapi.FastAPI()


@app.post("/event/chat/completions", response_class=EventSourceResponse)
async def event() -> AsyncIterable[ServerSentEvent]:
    for chunk in CHUNKS:
        yield ServerSentEvent(data=chunk)
    yield ServerSentEvent(data="[DONE]")


@app.post("/yielded/chat/completions", response_class=EventSourceResponse)
async def yielded():
    for chunk in CHUNKS:
        yield chunk
    yield "[DONE]"


@app.post("/dumped/chat/completions", response_class=EventSourceResponse)
async def dumped() -> AsyncIterable[ServerSentEvent]:
    for chunk in CHUNKS:
        yield ServerSentEvent(data=json.dumps(chunk))
    yield ServerSentEvent(raw_data="[DONE]")


@app.post("/raw/chat/completions", response_class=EventSourceResponse)
async def raw() -> AsyncIterable[ServerSentEvent]:
    for chunk in CHUNKS:
        yield ServerSentEvent(data=chunk)
    yield ServerSentEvent(raw_data="[DONE]")


listening = socket.create_server(("127.0.0.1", 0))
server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
threading.Thread(target=server.run, args=([listening],), daemon=True).start()
for _ in range(500):
    if server.started:
        break
    time.sleep(0.02)
print("fastapi", fastapi.__version__, "openai", openai.__version__)
kinds = {}
for path in ("event", "yielded", "dumped", "raw"):
    url = f"http://127.0.0.1:{listening.getsockname()[1]}/{path}"
    with urllib.request.urlopen(urllib.request.Request(f"{url}/chat/completions", method="POST")) as answer:
        last = answer.read().decode().split("\n\n")[-2]
    client = openai.OpenAI(api_key="none", base_url=url, max_retries=0)
    question = [{"role": "user", "content": "Hi."}]
    chunks = list(client.chat.completions.create(model="m", messages=question, stream=True))
    kinds[path] = [type(chunk).__name__ for chunk in chunks]
    print(f"{path:8} ends with {last!r:16} openai gives {kinds[path]}")
chunk = "ChatCompletionChunk"
expected = {"event": [chunk, chunk, "str"], "yielded": [chunk, chunk, "str"], "dumped": ["str"] * 2, "raw": [chunk] * 2}
assert kinds == expected, "texts are sent, or read, in another way now"
PYTHON
v/bin/python seen.py
