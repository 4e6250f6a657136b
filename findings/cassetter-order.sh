#!/usr/bin/env bash
# cassetter saves interactions sorted by method and URL, not in the order in which they were made. Whoever replays or
# reads such a file from the first to the last one gets another order than the program's; `recorded_at` has the order.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv v
v/bin/pip install -q cassetter==0.16.1 httpx==0.28.1 PyYAML==6.0.4 2>/dev/null
cat > seen.py <<'PYTHON'
import http.server
import threading
from importlib.metadata import version

import cassetter
import httpx
import yaml


class Server(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    do_POST = do_GET

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
made = [("POST", "/b"), ("GET", "/c"), ("POST", "/a")]
with cassetter.use_cassette("c.yaml"), httpx.Client() as client:
    for method, path in made:
        client.request(method, f"http://127.0.0.1:{server.server_port}{path}")
stored = yaml.safe_load(open("c.yaml"))["interactions"]


def shown(interactions):
    return [(one["request"]["method"], "/" + one["request"]["uri"].rpartition("/")[2]) for one in interactions]


print("cassetter", version("cassetter"))
print("made:                  ", made)
print("in the file:           ", shown(stored))
by_time = sorted(stored, key=lambda one: str(one["recorded_at"]))
print("sorted by recorded_at: ", shown(by_time))
assert shown(stored) == [("GET", "/c"), ("POST", "/a"), ("POST", "/b")], "the order in the file has changed"
assert shown(by_time) == made
PYTHON
v/bin/python seen.py
