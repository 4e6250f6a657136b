#!/usr/bin/env bash
# inspect_ai 0.3.285: in an .eval file the request of a call that was logged has no messages in it.
#
# Each model event has the provider's request and response, and read_eval_log() shows both whole.
# In the file, the request is without its messages: `call_key` names the field and `call_refs` are ranges [start, end)
# into `events_data.calls` of the sample, whose long texts are `attachment://` in turn. And the members of the archive are
# Zstandard (method 93), which zipfile cannot read before Python 3.14, unless inspect_ai is imported, which changes it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q inspect_ai==0.3.285 openai==3.57.0
cat > "$folder/look.py" <<'PY'
import glob
import json
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from inspect_ai import Task, eval
from inspect_ai.dataset import Sample
from inspect_ai.log import read_eval_log
from inspect_ai.model import get_model
from inspect_ai.solver import generate


class Provider(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        choice = {"index": 0, "message": {"role": "assistant", "content": "Hello!"}, "finish_reason": "stop"}
        answer = {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/v1"
model = get_model("openai/m", base_url=url, api_key="made-up", responses_api=False)


def call_in_file():
    folder = "logs"
    task = Task(dataset=[Sample(input="Say hello. " * 20)], solver=[generate()])
    eval(task, model=model, log_dir=folder, display="none")
    (path,) = glob.glob(f"{folder}/*.eval")
    with zipfile.ZipFile(path) as archive:
        methods = {member.compress_type for member in archive.infolist()}
        name = next(name for name in archive.namelist() if name.startswith("samples/"))
        sample = json.loads(archive.read(name))  # zipfile cannot, but inspect_ai has taught it
    print("methods:", methods)
    assert methods == {93}
    (event,) = [event for event in sample["events"] if event["event"] == "model"]
    return event.get("call"), sample["events_data"]["calls"], path


call, calls, path = call_in_file()
print("request in the file:", sorted(call["request"]), call["call_key"], call["call_refs"])
print("pool:", calls[0]["content"][:13])
assert "messages" not in call["request"] and call["call_key"] == "messages" and call["call_refs"] == [[0, 1]]
assert calls[0]["content"].startswith("attachment://")
(event,) = [one for one in read_eval_log(path, resolve_attachments=True).samples[0].events if one.event == "model"]
print("request as read:", event.call.request["messages"][0]["content"][:10])
assert event.call.request["messages"][0]["content"].startswith("Say hello.")
PY
cd "$folder"
"$folder/venv/bin/python" look.py
