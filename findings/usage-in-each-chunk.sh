#!/usr/bin/env bash
# Chat Completions with usage in each chunk: vLLM (`continuous_usage_stats`) and other servers with OpenAI's API send the
# counts so far with every piece, not only at the end. langchain and pydantic-ai add them up: an answer of 4 tokens to 10
# is 18 to 60, growing with the square of its length, and what rests on it (budgets, costs, limits of usage) goes wrong
# without a word. litellm takes the last. For pydantic-ai there is a setting, `openai_continuous_usage_stats`,
# which has to be given by whoever knows that the server does so; a server that does it unasked is not noticed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv v
v/bin/pip install -q openai==3.57.0 langchain-openai==1.7.4 langchain-core==1.8.3 \
    pydantic-ai-slim[openai]==2.68.0 litellm==1.110.2 2>/dev/null
cat > seen.py <<'PYTHON'
import asyncio
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version

import litellm
from langchain_openai import ChatOpenAI
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider


def chunk(number, *choices):
    usage = {"prompt_tokens": 10, "completion_tokens": number, "total_tokens": 10 + number}
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return {**head, "choices": list(choices), "usage": usage}


class Handler(BaseHTTPRequestHandler):
    """A server that tells with each piece how many tokens there are so far."""

    def log_message(self, *_):
        pass

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        words = enumerate("one two three four".split(), 1)
        chunks = [chunk(number, {"index": 0, "delta": {"content": word}}) for number, word in words]
        chunks += [chunk(4, {"index": 0, "delta": {}, "finish_reason": "stop"}), chunk(4)]
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        for one in [*map(json.dumps, chunks), "[DONE]"]:
            self.wfile.write(f"data: {one}\n\n".encode())


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/v1"


def langchain():
    total = None
    for piece in ChatOpenAI(model="m", base_url=url, api_key="none", stream_usage=True).stream("Hi."):
        total = piece if total is None else total + piece
    return total.usage_metadata["input_tokens"], total.usage_metadata["output_tokens"]


async def pydantic_ai(**settings):
    model = OpenAIChatModel("m", provider=OpenAIProvider(base_url=url, api_key="none"), settings=settings)
    async with Agent(model).run_stream("Hi.") as result:
        await result.get_output()
    return result.usage.input_tokens, result.usage.output_tokens


def by_litellm():
    messages, options = [{"role": "user", "content": "Hi."}], {"include_usage": True}
    call = {"model": "openai/m", "api_base": url, "api_key": "none", "messages": messages}
    chunks = list(litellm.completion(stream=True, stream_options=options, **call))
    usage = litellm.stream_chunk_builder(chunks).usage
    return usage.prompt_tokens, usage.completion_tokens


seen = {
    "langchain": langchain(),
    "pydantic-ai": asyncio.run(pydantic_ai()),
    "pydantic-ai, told": asyncio.run(pydantic_ai(openai_continuous_usage_stats=True)),
    "litellm": by_litellm(),
}
print(*[f"{name} {version(name)}" for name in ("langchain-openai", "pydantic-ai-slim", "litellm")])
print("sent at last: (10, 4); tokens in and out as told:", seen)
assert seen["langchain"] == seen["pydantic-ai"] == (60, 18), "counts are not added up any more"
assert seen["pydantic-ai, told"] == seen["litellm"] == (10, 4)
PYTHON
LITELLM_LOCAL_MODEL_COST_MAP=True v/bin/python seen.py 2>&1 | grep -v -e "^$" -e "Provider List"
