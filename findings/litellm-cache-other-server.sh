#!/usr/bin/env bash
# litellm: the key of its response cache has the model, the messages and OpenAI's own parameters, but not the server. So two
# deployments of one name at two `api_base`s, the quantised and the full one that are to be compared, share their answers, and
# what only servers such as vLLM know (`min_p`, `repetition_penalty`, all of `extra_body`, thus `guided_choice` too) makes no
# difference: the second question is never asked. `enable_caching_on_provider_specific_optional_params` adds the parameters,
# not the server; a `namespace` for each server does. And the cache in memory holds 200 answers: of 300 prompts in order,
# asked twice, none is found. (Without fastapi, orjson and soundfile every hit is a
# ModuleNotFoundError.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv v
v/bin/pip install -q litellm==1.110.2 openai==3.57.0 fastapi==0.165.0 orjson==3.13.0 soundfile==0.14.0 2>/dev/null
cat > seen.py <<'PYTHON'
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version

import litellm

asked = []


class Handler(BaseHTTPRequestHandler):
    """A server of one model."""

    def log_message(self, *_):
        pass

    def do_POST(self):
        asked.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        choice = {"index": 0, "message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}
        body = json.dumps({"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def serve():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/v1"


full, quantised = serve(), serve()


def is_asked(text="Is it?", api_base=full, **options):
    """Whether a question reaches a server."""
    before = len(asked)
    messages = [{"role": "user", "content": text}]
    litellm.completion(model="openai/m", api_base=api_base, api_key="none", messages=messages, **options)
    return len(asked) > before


others = {
    "temperature": {"temperature": 0.5},
    "another server": {"api_base": quantised},
    "min_p": {"min_p": 0.5},
    "guided_choice": {"extra_body": {"guided_choice": ["yes", "no"]}},
}
print("litellm", version("litellm"))
seen = {}
for flag in (False, True):
    litellm.enable_caching_on_provider_specific_optional_params = flag
    litellm.cache = litellm.Cache()
    assert is_asked() and not is_asked()
    seen[flag] = {name: is_asked(**options) for name, options in others.items()}
    print(f"asked after the same question without it, flag {flag}: {seen[flag]}")
litellm.cache = litellm.Cache()
by_name = [is_asked(cache={"namespace": where}, api_base=where) for where in (full, quantised, full, quantised)]
print("asked, with a namespace for each server:", by_name)
litellm.cache = litellm.Cache()
prompts = [f"Question {number}" for number in range(300)]
passes = [sum([is_asked(prompt) for prompt in prompts]) for _ in range(2)]
print("asked, of 300 prompts, twice:", passes)
assert seen[False] == {"temperature": True, "another server": False, "min_p": False, "guided_choice": False}
assert seen[True] == dict.fromkeys(others, True) | {"another server": False}, "servers are told apart now"
assert by_name == [True, True, False, False]
assert passes == [300, 300], "the cache in memory holds more now"
PYTHON
LITELLM_LOCAL_MODEL_COST_MAP=True v/bin/python seen.py
