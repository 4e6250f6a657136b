"""A server in a process of its own that plays a model with tools, in every protocol.

What it answers follows from how many results the request holds: three calls at once, then one more, then a text. It
streams each event by itself.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
sys.path[:0] = [str(ROOT)] if __name__ == "__main__" else []

from tests.protocols.streams import SPECS, wire  # noqa: E402 - run as a program, it has to be found first

PROTOCOLS = sorted(SPECS.keys() - {"vertex"})

Calls = list[tuple[str, str, dict[str, Any]]]

STEPS: dict[int, tuple[list[str], Calls]] = {
    0: (
        ["Let me ", "see."],
        [
            ("call00001", "add", {"a": 1, "b": 2}),
            ("call00002", "shouts", {"text": ""}),
            ("call00003", "pay", {"to": "Eve"}),
        ],
    ),
    3: (["Once ", "more."], [("call00004", "add", {"a": 3, "b": 4})]),
    4: (["It is ", "3 and ", "7."], []),
}
"""How many results there are -> what is said, and what is asked for."""

TYPED = {"total": 10}
"""What is answered in the end where an output type is asked for."""


# --- answers --------------------------------------------------------------------------------------


def chat(texts: list[str], calls: Calls) -> list[Any]:
    """Chat Completions."""
    deltas: list[Any] = [{"content": text} for text in texts]
    for index, (id, name, arguments) in enumerate(calls):
        start, rest = halves(arguments)
        function = {"name": name, "arguments": start}
        deltas.append({"tool_calls": [{"index": index, "id": id, "type": "function", "function": function}]})
        deltas.append({"tool_calls": [{"index": index, "function": {"arguments": rest}}]})
    chunks: list[Any] = [{"id": "one", "model": "m", "choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    end = {"index": 0, "delta": {}, "finish_reason": "tool_calls" if calls else "stop"}
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    return [*chunks, {"choices": [end]}, {"choices": [], "usage": usage}, "[DONE]"]


def responses(texts: list[str], calls: Calls) -> list[Any]:
    """Responses."""
    message = {"type": "message", "id": "m1", "role": "assistant", "status": "completed"}
    content = [{"type": "output_text", "text": "".join(texts), "annotations": []}]
    items: list[Any] = [{**message, "content": content}]
    events: list[Any] = [{"type": "response.output_item.added", "output_index": 0, "item": {**message, "content": []}}]
    place = {"item_id": "m1", "output_index": 0, "content_index": 0}
    events += [{"type": "response.output_text.delta", **place, "delta": text} for text in texts]
    events.append({"type": "response.output_item.done", "output_index": 0, "item": items[0]})
    for index, (id, name, arguments) in enumerate(calls, 1):
        item = {"type": "function_call", "id": f"f{index}", "call_id": id, "name": name, "status": "completed"}
        events.append({"type": "response.output_item.added", "output_index": index, "item": {**item, "arguments": ""}})
        place = {"item_id": f"f{index}", "output_index": index}
        events += [
            {"type": "response.function_call_arguments.delta", **place, "delta": part} for part in halves(arguments)
        ]
        items.append({**item, "arguments": json.dumps(arguments)})
        events.append({"type": "response.output_item.done", "output_index": index, "item": items[-1]})
    whole = {"id": "resp_1", "model": "m", "status": "completed", "output": items}
    usage = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
    first = {"type": "response.created", "response": {"id": "resp_1", "model": "m", "output": []}}
    return [first, *events, {"type": "response.completed", "response": {**whole, "usage": usage}}]


def claude(texts: list[str], calls: Calls) -> list[Any]:
    """Anthropic Messages."""
    usage = {"input_tokens": 10, "output_tokens": 1}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [], "usage": usage}
    events: list[Any] = [{"type": "message_start", "message": message}]
    blocks: list[tuple[Any, list[Any]]] = [
        ({"type": "text", "text": ""}, [{"type": "text_delta", "text": text} for text in texts])
    ]
    for id, name, arguments in calls:
        deltas = [{"type": "input_json_delta", "partial_json": part} for part in halves(arguments)]
        blocks.append(({"type": "tool_use", "id": id, "name": name, "input": {}}, deltas))
    for index, (start, deltas) in enumerate(blocks):
        events.append({"type": "content_block_start", "index": index, "content_block": start})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    delta = {"stop_reason": "tool_use" if calls else "end_turn"}
    return [*events, {"type": "message_delta", "delta": delta, "usage": {"output_tokens": 5}}, {"type": "message_stop"}]


def gemini(texts: list[str], calls: Calls) -> list[Any]:
    """Gemini."""
    parts: list[Any] = [{"text": text} for text in texts]
    parts += [{"functionCall": {"id": id, "name": name, "args": arguments}} for id, name, arguments in calls]
    chunks: list[Any] = [{"candidates": [{"content": {"role": "model", "parts": [part]}}]} for part in parts]
    chunks[-1]["candidates"][0]["finishReason"] = "STOP"
    chunks[-1]["usageMetadata"] = {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15}
    return chunks


def converse(texts: list[str], calls: Calls) -> list[Any]:
    """Bedrock Converse."""
    events: list[Any] = [{"messageStart": {"role": "assistant"}}]
    events += [{"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": text}}} for text in texts]
    events.append({"contentBlockStop": {"contentBlockIndex": 0}})
    for index, (id, name, arguments) in enumerate(calls, 1):
        at = {"contentBlockIndex": index}
        events.append({"contentBlockStart": {**at, "start": {"toolUse": {"toolUseId": id, "name": name}}}})
        events += [{"contentBlockDelta": {**at, "delta": {"toolUse": {"input": part}}}} for part in halves(arguments)]
        events.append({"contentBlockStop": at})
    usage = {"inputTokens": 10, "outputTokens": 5, "totalTokens": 15}
    return [
        *events,
        {"messageStop": {"stopReason": "tool_use" if calls else "end_turn"}},
        {"metadata": {"usage": usage}},
    ]


def cohere(texts: list[str], calls: Calls) -> list[Any]:
    """Cohere's Chat."""

    def event(kind: str, index: int, **message: Any) -> Any:
        return {"type": kind, "index": index, "delta": {"message": message}}

    events: list[Any] = [{"type": "message-start", "id": "one", "delta": {"message": {"role": "assistant"}}}]
    events.append(event("content-start", 0, content={"type": "text", "text": ""}))
    events += [event("content-delta", 0, content={"text": text}) for text in texts]
    events.append({"type": "content-end", "index": 0})
    for index, (id, name, arguments) in enumerate(calls):
        function = {"name": name, "arguments": ""}
        events.append(event("tool-call-start", index, tool_calls={"id": id, "type": "function", "function": function}))
        events += [
            event("tool-call-delta", index, tool_calls={"function": {"arguments": part}}) for part in halves(arguments)
        ]
        events.append({"type": "tool-call-end", "index": index})
    tokens = {"input_tokens": 10, "output_tokens": 5}
    usage = {"billed_units": tokens, "tokens": tokens}
    end = {"finish_reason": "TOOL_CALL" if calls else "COMPLETE", "usage": usage}
    return [*events, {"type": "message-end", "delta": end}]


def halves(arguments: dict[str, Any]) -> tuple[str, str]:
    """The JSON of arguments in two pieces."""
    text = json.dumps(arguments)
    return text[: len(text) // 2], text[len(text) // 2 :]


ANSWERS = {
    "chat": chat,
    "claude": claude,
    "cohere": cohere,
    "converse": converse,
    "gemini": gemini,
    "responses": responses,
}


def results_in(body: Any) -> int:
    """How many results of tools a request holds, whatever its protocol."""
    if isinstance(body, list):
        return sum(map(results_in, body))
    if not isinstance(body, dict):
        return 0
    is_one = body.get("role") == "tool" or body.get("type") in ("function_call_output", "tool_result")
    return 1 if is_one or "functionResponse" in body or "toolResult" in body else sum(map(results_in, body.values()))


# --- serving --------------------------------------------------------------------------------------


class Handler(BaseHTTPRequestHandler):
    """Answers one request after the other."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        """Answer with the step that is next."""
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        name = self.path.split("/")[1]
        self.send_response(200)
        kind = "application/vnd.amazon.eventstream" if name == "converse" else "text/event-stream"
        self.send_header("content-type", kind)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        texts, calls = STEPS[results_in(body)]
        if not calls and "typed" in self.path:
            texts, calls = [json.dumps(TYPED)], []
            if '"answer"' in json.dumps(body):  # there is a tool of this name
                texts, calls = [], [("call00005", "answer", TYPED)]
        for value in ANSWERS[name](texts, calls):
            data = wire(name, [value])
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextlib.contextmanager
def serve() -> Iterator[str]:
    """Start the server; it ends with the block, or with this process. Gives its URL."""
    command = [sys.executable, __file__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.stdin.close()


def main() -> None:
    """Serve on a free port, which is printed, until standard input ends."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        import threading

        threading.Thread(target=server.serve_forever, daemon=True).start()
        sys.stdout.write(f"{server.server_port}\n")
        sys.stdout.flush()
        sys.stdin.read()
        server.shutdown()


if __name__ == "__main__":
    main()
