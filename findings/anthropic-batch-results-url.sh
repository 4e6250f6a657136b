#!/usr/bin/env bash
# anthropic for Python: `messages.batches.results(id)` asks whatever URL the server's answer names, on whatever host, with
# the API key. One would expect the key to stay with the base URL, as for every other call. So a proxy in between, or a
# server of somebody else with this API, gets more than it was asked for when it names another host; build the URL from the
# base URL and the id of the batch, which is the same one at Anthropic.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv v
v/bin/pip install -q anthropic==2.14.0 2>/dev/null
cat > seen.py <<'PYTHON'
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import anthropic

KEY = "sk-ant-very-secret"
seen = []


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        key = self.headers.get("authorization") or self.headers.get("x-api-key") or ""
        seen.append((self.headers["host"], self.path, KEY in key))
        batch = {
            "id": "msgbatch_1",
            "type": "message_batch",
            "processing_status": "ended",
            "request_counts": {},
            "results_url": f"http://localhost:{other.server_port}/results",
        }
        line = {"custom_id": "a", "result": {"type": "expired"}}
        body = json.dumps(line if self.path == "/results" else batch).encode()
        self.send_response(200)
        self.send_header("content-type", "application/x-jsonl" if self.path == "/results" else "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


base, other = [HTTPServer(("127.0.0.1", 0), Handler) for _ in range(2)]
for server in (base, other):
    threading.Thread(target=server.serve_forever, daemon=True).start()
client = anthropic.Anthropic(api_key=KEY, base_url=f"http://127.0.0.1:{base.server_port}", max_retries=0)
print("anthropic", anthropic.__version__, [line.result.type for line in client.messages.batches.results("msgbatch_1")])
for host, path, has_key in seen:
    print("the base URL" if host.endswith(str(base.server_port)) else "another host", path, "key:", has_key)
assert [has_key for host, path, has_key in seen if path == "/results"] == [True], "the key stays at home now"
PYTHON
v/bin/python seen.py
