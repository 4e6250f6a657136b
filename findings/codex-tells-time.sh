#!/usr/bin/env bash
# @openai/codex 0.171.0: two equal runs send different messages, and each asks hosts beside its provider.
#
# A coding agent that is given the same prompt, in the same folder, by the same answers of its model, should send the
# same conversation but for ids in fields of their own. It does not: what it tells the model of a command that it has
# run begins with a random "Chunk ID" and a "Wall time", inside the text of the result, and its first message holds the
# day. Who matches recorded requests by their messages finds no second run of any session with a command in it.
# And with a provider of one's own and no login it still asks chatgpt.com and github.com, through the proxy of the
# environment, unless analytics, the check for updates, plugins and apps are all switched off.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
npm install --silent --no-audit --no-fund --prefix "$folder" @openai/codex@0.171.0
mkdir "$folder/work"
echo blue > "$folder/work/colour.txt"
cat > "$folder/run.py" <<'PY'
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

folder = sys.argv[1]
asked, bodies = [], []
MESSAGE = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Blue."}]}
CALL = {"type": "function_call", "call_id": "call_1", "name": "exec_command", "arguments": '{"cmd": "cat colour.txt"}'}


class Provider(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        bodies.append(body)
        item = MESSAGE if any(each.get("type") == "function_call_output" for each in body["input"]) else CALL
        done = {"id": "r", "usage": {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}}
        events = [
            {"type": "response.created", "response": {"id": "r"}},
            {"type": "response.output_item.done", "output_index": 0, "item": item},
            {"type": "response.completed", "response": done},
        ]
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        for event in events:
            self.wfile.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())

    def log_message(self, *args):
        pass


class Proxy(BaseHTTPRequestHandler):
    def do_CONNECT(self):
        asked.append(self.path)
        self.send_error(502)

    def log_message(self, *args):
        pass


servers = [ThreadingHTTPServer(("127.0.0.1", 0), each) for each in (Provider, Proxy)]
for server in servers:
    threading.Thread(target=server.serve_forever, daemon=True).start()
base, proxy = [f"http://127.0.0.1:{server.server_port}" for server in servers]
QUIET = "-c analytics.enabled=false -c check_for_update_on_startup=false --disable plugins --disable apps".split()


def run(*options):
    home = f"{folder}/home"
    shutil.rmtree(home, ignore_errors=True)
    os.mkdir(home)
    provider = f"model_providers.local={{name='local', wire_api='responses', base_url='{base}/v1'}}"
    command = [f"{folder}/node_modules/.bin/codex", "exec", "--skip-git-repo-check", "-s", "danger-full-access"]
    command += ["-m", "gpt-5", "-c", "model_provider=local", "-c", provider, *options, "Which colour?"]
    env = {"PATH": os.environ["PATH"], "HOME": home, "CODEX_HOME": home, "NO_PROXY": "127.0.0.1"}
    env |= dict.fromkeys(("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"), proxy)
    subprocess.run(command, env=env, cwd=f"{folder}/work", stdin=subprocess.DEVNULL, capture_output=True, check=True)
    return bodies[-1]["input"]


first, second = run(*QUIET), run(*QUIET)
assert asked == [], asked
outputs = [each["output"] for told in (first, second) for each in told if each.get("type") == "function_call_output"]
heads = [re.match(r"Chunk ID: ([0-9a-f]+)\nWall time: [0-9.]+ seconds\n", output) for output in outputs]
print(*outputs, sep="\n")
assert all(heads), outputs
assert heads[0][1] != heads[1][1], outputs
assert re.search(r"<current_date>\d{4}-\d\d-\d\d</current_date>", json.dumps(first)), first
run()
print("hosts asked for beside the provider:", *sorted(set(asked)))
assert {"chatgpt.com:443", "github.com:443"} <= set(asked), asked
PY
python3 "$folder/run.py" "$folder"
