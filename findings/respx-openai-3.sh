#!/usr/bin/env bash
# respx and openai 3: the client sends its requests by httpx2, and respx stands in for httpx alone. So a test that worked
# with openai 2 asks the real API: a mocked route is not called, and `with respx.mock:` without routes, which refuses
# each request of httpx, lets the call through. `assert_all_called` tells at the end of the block that a route was not
# called; the call has been made, and paid, by then. anthropic 2 sends by httpx2, too. Hand the client an
# `http_client=` of httpx (openai takes one still), or take a stand-in that knows httpx2, such as vcrpy 9.4.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv v
v/bin/pip install -q respx==0.23.1 httpx==0.28.1 openai==3.57.0 anthropic==2.14.0 vcrpy==9.4.2 2>/dev/null
cat > seen.py <<'PYTHON'
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import version

import anthropic
import httpx
import openai
import respx
import vcr

CHOICE = {"index": 0, "message": {"role": "assistant", "content": "live"}, "finish_reason": "stop"}
CHAT = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [CHOICE]}
MESSAGE = {
    "id": "m",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": [{"type": "text", "text": "live"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 1, "output_tokens": 1},
}
asked = []


class Handler(BaseHTTPRequestHandler):
    """The real API."""

    def log_message(self, *_):
        pass

    def do_POST(self):
        asked.append(self.path)
        self.rfile.read(int(self.headers["content-length"]))
        body = json.dumps(MESSAGE if self.path.endswith("/messages") else CHAT).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


server = HTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}"
QUESTION = {"model": "m", "messages": [{"role": "user", "content": "Hi."}]}
chat = openai.OpenAI(api_key="none", base_url=f"{url}/v1", max_retries=0)
claude = anthropic.Anthropic(api_key="none", base_url=url, max_retries=0)
older = openai.OpenAI(api_key="none", base_url=f"{url}/v1", max_retries=0, http_client=httpx.Client())
calls = {
    "openai": lambda: chat.chat.completions.create(**QUESTION),
    "anthropic": lambda: claude.messages.create(max_tokens=9, **QUESTION),
    "openai with httpx": lambda: older.chat.completions.create(**QUESTION),
}


def outcome(stand_in, call):
    """How often the real API was asked, and what came of it."""
    before = len(asked)
    try:
        with stand_in:
            call()
        said = "no error"
    except Exception as error:
        said = type(error).__name__
    return len(asked) - before, said


print(*[f"{name} {version(name)}" for name in ("respx", "httpx2", "openai", "anthropic", "vcrpy")])
seen = {}
for name, call in calls.items():
    routed = respx.mock()
    routed.post(f"{url}/v1/chat/completions").respond(json=CHAT)
    replaying = vcr.use_cassette("none.yaml", record_mode="none")
    seen[name] = outcome(routed, call), outcome(respx.mock(), call), outcome(replaying, call)
    print(f"{name}: with a route {seen[name][0]}, without one {seen[name][1]}, in vcrpy {seen[name][2]}")
live = (1, "AssertionError"), (1, "no error")  # some routes were not called
assert seen["openai"][:2] == seen["anthropic"][:2] == live, "respx stands in for httpx2 now"
assert seen["openai with httpx"][:2] == ((0, "no error"), (0, "AllMockedAssertionError"))
assert {replayed[0] for *_, replayed in seen.values()} == {0}, "vcrpy lets calls of httpx2 through now"
PYTHON
v/bin/python seen.py
