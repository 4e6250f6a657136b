#!/usr/bin/env bash
# litellm: `num_retries=N` sends a call that fails with a 5xx or a 429 not N + 1 times but 2 N + 1 times, and sends a 400 again
# as well, N times: a prompt that is too long, a schema that is refused. The client underneath takes N for its own retries
# and waits as Retry-After says; then litellm makes N more, at once, whatever Retry-After says. `max_retries=0` beside it
# changes nothing. So a rate limit is met twice as hard as was asked for. `max_retries=N` alone does what it says (2 by
# default). And tenacity, which is needed for this, is not installed with it: without it the error of the server is lost.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv v
v/bin/pip install -q litellm==1.110.2 openai==3.57.0 tenacity==9.2.1 2>/dev/null
cat > seen.py <<'PYTHON'
import asyncio
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version

import litellm

asked = []
status, retry_after = 503, 0.001


class Handler(BaseHTTPRequestHandler):
    """A server that always fails."""

    def log_message(self, *_):
        pass

    def do_POST(self):
        asked.append(time.monotonic())
        self.rfile.read(int(self.headers["content-length"]))
        body = json.dumps({"error": {"message": "no", "type": "server_error", "code": None}}).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("retry-after-ms", str(retry_after * 1000))
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
call = {"model": "openai/m", "api_key": "none", "messages": [{"role": "user", "content": "Hi."}]}
call["api_base"] = f"http://127.0.0.1:{server.server_port}/v1"
litellm.suppress_debug_info = True


def requests(**options):
    """How many requests one call makes; the same for both functions."""
    counts = []
    for ask in (litellm.completion, lambda **values: asyncio.run(litellm.acompletion(**values))):
        asked.clear()
        try:
            ask(**call, **options)
            raise AssertionError
        except Exception as error:
            assert error.status_code == status
        counts.append(len(asked))
    assert counts[0] == counts[1], counts
    return counts[0]


print("litellm", version("litellm"))
seen = {}
for status in (503, 429, 400):
    seen[status] = [requests(num_retries=number) for number in range(4)]
    print(f"{status}: requests with num_retries = 0, 1, 2, 3: {seen[status]}; without: {requests()}")
status = 503
both, client, plain = requests(num_retries=2, max_retries=0), requests(max_retries=1), requests()
print(f"503: num_retries=2 with max_retries=0: {both}; max_retries=1 alone: {client}")
retry_after = 2
requests(num_retries=1)
waits = [later - earlier for earlier, later in zip(asked, asked[1:])]
print("503, Retry-After 2 s, num_retries=1: seconds between the requests", [round(wait, 1) for wait in waits])
assert seen[503] == seen[429] == [1, 3, 5, 7], "retries are counted in another way now"
assert seen[400] == [1, 2, 3, 4], "a bad request is not sent again any more"
assert (both, client, plain) == (5, 2, 3)
assert waits[0] > 1.9 and waits[1] < 1.5, "Retry-After is heeded now"
PYTHON
LITELLM_LOCAL_MODEL_COST_MAP=True v/bin/python seen.py
