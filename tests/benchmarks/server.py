"""A loopback server that speaks just enough Chat Completions to be timed against; runs on a core of its own.

Requests to ``/v1/messages`` are answered with the same texts as Anthropic Messages.

The model says what to send: ``unary`` one JSON answer, ``tool`` a call of a tool and that behind its result
(``tool-slow-50`` what follows ``tool-``),
``slow-50`` the same after 50 ms, ``burst-500`` a stream of 500 deltas written at once (each its own HTTP chunk),
``batch-500`` likewise with eight events a chunk, ``paced-500`` one delta a packet, ``long-100000`` a long stream that
is written as fast as the client reads.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final

WORDS = ["the ", "quick ", "brown ", "fox ", "jumps ", "over ", "a ", "lazy ", "dog. "]
PACE = 0.00025
BLOCK = 1_000


def text(deltas: int) -> str:
    """Return what a stream of so many deltas adds up to."""
    return "".join(WORDS[i % len(WORDS)] for i in range(deltas))


def _event(delta: dict[str, str], finish: str | None = None) -> bytes:
    chunk = {
        "id": "chatcmpl-benchmark00000000000000000000",
        "object": "chat.completion.chunk",
        "created": 1790000000,
        "model": "benchmark-model-2026-01-01",
        "service_tier": "default",
        "system_fingerprint": "fp_benchmark",
        "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}],
        "usage": None,
        "obfuscation": "abcdefgh",
    }
    return b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n"


def _ending(deltas: int) -> list[bytes]:
    usage = {"prompt_tokens": 9, "completion_tokens": deltas, "total_tokens": deltas + 9}
    last = {"id": "chatcmpl-b", "object": "chat.completion.chunk", "choices": [], "usage": usage}
    return [_event({}, "stop"), b"data: " + json.dumps(last).encode() + b"\n\n", b"data: [DONE]\n\n"]


def events(deltas: int) -> list[bytes]:
    """Return the stream events of one answer."""
    first = _event({"role": "assistant", "content": WORDS[0]})
    return [first, *[_event({"content": WORDS[i % len(WORDS)]}) for i in range(1, deltas)], *_ending(deltas)]


UNARY = json.dumps(
    {
        "id": "chatcmpl-b",
        "object": "chat.completion",
        "created": 1790000000,
        "model": "benchmark-model-2026-01-01",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text(40)}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 40, "total_tokens": 49},
    }
).encode()

CALLED = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"at": "the fox"}'}}
CALL = json.dumps(
    {
        "id": "chatcmpl-b",
        "object": "chat.completion",
        "created": 1790000000,
        "model": "benchmark-model-2026-01-01",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "tool_calls": [CALLED]}, "finish_reason": "tool_calls"}
        ],
        "usage": {"prompt_tokens": 9, "completion_tokens": 40, "total_tokens": 49},
    }
).encode()


def _message_events(deltas: int) -> list[bytes]:
    """Return the stream events of one answer as Anthropic Messages sends them."""
    message = {"type": "message_start", "message": MESSAGE | {"content": [], "stop_reason": None}}
    opened = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    sent: list[dict[str, Any]] = [message, opened]
    for i in range(deltas):
        delta = {"type": "text_delta", "text": WORDS[i % len(WORDS)]}
        sent.append({"type": "content_block_delta", "index": 0, "delta": delta})
    ending = {"stop_reason": "end_turn", "stop_sequence": None}
    sent.append({"type": "content_block_stop", "index": 0})
    sent.append({"type": "message_delta", "delta": ending, "usage": {"output_tokens": deltas}})
    sent.append({"type": "message_stop"})
    return [b"event: %s\ndata: %s\n\n" % (one["type"].encode(), json.dumps(one).encode()) for one in sent]


MESSAGE: Final[dict[str, Any]] = {
    "id": "msg_b",
    "type": "message",
    "role": "assistant",
    "model": "benchmark-model-2026-01-01",
    "content": [{"type": "text", "text": text(40)}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 9, "output_tokens": 40},
}


def _answer(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)


UNARY_ANSWER = _answer(UNARY)
CALL_ANSWER = _answer(CALL)
MESSAGE_ANSWER = _answer(json.dumps(MESSAGE).encode())
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
STREAM_END = b"0\r\n\r\n"


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


@cache
def _pieces(kind: str, deltas: int, *, messages: bool = False) -> list[bytes]:
    """Return the HTTP chunks of a stream, made once."""
    made = _message_events(deltas) if messages else events(deltas)
    together = 8 if kind == "batch" else 1
    return [_chunk(b"".join(made[at : at + together])) for at in range(0, len(made), together)]


class _Connection(asyncio.Protocol):
    """One connection: answers one request after the other."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.received = b""
        self.may_write = asyncio.Event()
        self.may_write.set()
        self.task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.may_write.set()

    def pause_writing(self) -> None:
        self.may_write.clear()

    def resume_writing(self) -> None:
        self.may_write.set()

    def data_received(self, data: bytes) -> None:
        self.received += data
        end = self.received.find(b"\r\n\r\n") + 4
        if end < 4:
            return
        if (at := self.received[:end].lower().find(b"content-length:") + 15) < 15:
            self.received = self.received[end:]  # mellea asks which server this is
            self.transport.write(NOT_FOUND)
            return
        whole = end + int(self.received[at : self.received.index(b"\r\n", at)])
        if len(self.received) >= whole:
            body = json.loads(self.received[end:whole])
            model = body["model"]
            if model.partition("-")[0] == "tool":
                model = model[len("tool-") :] or "unary" if body["messages"][-1]["role"] == "tool" else "call"
            messages = self.received.startswith(b"POST /v1/messages ")
            self.received = self.received[whole:]
            self.answer(model, messages=messages)

    def answer(self, model: str, *, messages: bool) -> None:
        """Write what the model asks for."""
        kind, _, number = model.partition("-")
        if kind == "unary":
            self.transport.write(MESSAGE_ANSWER if messages else UNARY_ANSWER)
        elif kind == "call":
            self.transport.write(CALL_ANSWER)
        elif kind == "slow":
            asyncio.get_running_loop().call_later(int(number) / 1000, self.transport.write, UNARY_ANSWER)
        elif kind == "paced":
            self.spin(_pieces(kind, int(number), messages=messages))
        elif kind == "long":
            self.task = asyncio.get_running_loop().create_task(self.write_long(int(number)))
        else:
            self.transport.write(STREAM_HEAD + b"".join(_pieces(kind, int(number), messages=messages)) + STREAM_END)

    def spin(self, pieces: list[bytes]) -> None:
        """Write a piece every 250 us. Timers of the loop are too coarse, and there is one paced stream at a time."""
        self.transport.write(STREAM_HEAD)
        due = time.perf_counter()
        for piece in pieces:
            due += PACE
            while time.perf_counter() < due:
                pass
            self.transport.write(piece)
        self.transport.write(STREAM_END)

    async def write_long(self, deltas: int) -> None:
        """Write a stream block by block, each when the client has read most of what came before."""
        self.transport.write(STREAM_HEAD)
        block = b"".join(_pieces("long", BLOCK)[:BLOCK])
        for _ in range(deltas // BLOCK):
            await self.may_write.wait()
            if self.transport.is_closing():
                return
            self.transport.write(block)
        self.transport.write(b"".join(map(_chunk, _ending(deltas))) + STREAM_END)


async def _main(certificate: str | None) -> None:
    context = None
    if certificate is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)
    server = await asyncio.get_running_loop().create_server(_Connection, "127.0.0.1", 0, backlog=4096, ssl=context)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


@contextmanager
def running(*, certificate: Path | None = None) -> Iterator[str]:
    """Start the server in its own process; gives its base URL.

    Args:
        certificate: the file of the certificate and its key, for a server that speaks TLS.
    """
    command = [sys.executable, __file__, *([] if certificate is None else [str(certificate)])]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    scheme = "http" if certificate is None else "https"
    try:
        yield f"{scheme}://127.0.0.1:{process.stdout.readline().strip()}/v1"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@contextmanager
def running_tls() -> Iterator[tuple[str, ssl.SSLContext]]:
    """Start the server with a certificate of its own; gives its base URL and a context that trusts it."""
    import trustme

    authority = trustme.CA()
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with tempfile.TemporaryDirectory() as folder:
        certificate = Path(folder) / "server.pem"
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(certificate)
        with running(certificate=certificate) as base:
            yield base, context


if __name__ == "__main__":
    if hasattr(os, "sched_setaffinity"):  # the client is on core 0
        os.sched_setaffinity(0, {1 % (os.cpu_count() or 1)})
    asyncio.run(_main(*(sys.argv[1:] or [None])))
