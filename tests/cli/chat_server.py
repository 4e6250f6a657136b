"""A server that speaks Chat Completions, and may stall in the middle of an answer."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def event(text: str = "", *, finish_reason: str | None = None, **delta: Any) -> bytes:
    """One event of Chat Completions."""
    choice = {"index": 0, "delta": {"content": text, **delta}, "finish_reason": finish_reason}
    chunk = {"id": "1", "object": "chat.completion.chunk", "model": "m", "choices": [choice]}
    return f"data: {json.dumps(chunk)}\n\n".encode()


COMMENTS = b": nothing new\n\n" * 600_000
"""More than what lies between two programs: once this is written, the other one has read what came before it."""


class Stalling(BaseHTTPRequestHandler):
    """Begins to answer "wait", and then says nothing; fails for "fail"; answers anything else at once."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.bodies.append(body)
        last = body["messages"][-1]
        if last["content"] == "fail":
            self.send_response(500)
            self.send_header("content-length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        if last["content"] == "weather":
            function = {"name": body["tools"][0]["function"]["name"], "arguments": '{"city": "Paris"}'}
            call = {"index": 0, "id": "call_1", "type": "function", "function": function}
            self.wfile.write(event("Let me see.") + event(tool_calls=[call]) + event(finish_reason="tool_calls"))
            self.wfile.write(b"data: [DONE]\n\n")
            return
        if last["content"] == "wait":
            self.wfile.write(event("One, two,"))
            with suppress(ConnectionError):
                self.wfile.write(COMMENTS)
                self.server.read.set()
                self.rfile.read(1)  # until the client has closed the connection
            self.server.closed.set()
            return
        text = last["content"] if last["role"] == "tool" else "Done."
        self.wfile.write(event(text) + event(finish_reason="stop") + b"data: [DONE]\n\n")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def chat_server() -> Iterator[ThreadingHTTPServer]:
    """Serve; what was asked is in ``bodies``.

    ``read`` is set when a client has read the first words of an answer that stalls, ``closed`` when it has left there.
    """
    server = ThreadingHTTPServer(("127.0.0.1", 0), Stalling)
    server.bodies, server.read, server.closed = [], threading.Event(), threading.Event()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
