"""A loopback server that speaks just enough Chat Completions to be timed against; runs in its own process.

The model says what to send: ``unary`` one JSON answer, ``burst-500`` a stream of 500 deltas written at once (each
its own HTTP chunk), ``paced-500`` one delta per packet, ``slow-50`` a JSON answer after 50 ms.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

WORDS = ["the ", "quick ", "brown ", "fox ", "jumps ", "over ", "a ", "lazy ", "dog. "]


def text(deltas: int) -> str:
    """What a stream of so many deltas adds up to."""
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


def events(deltas: int) -> list[bytes]:
    """The stream events of one answer."""
    usage = {"prompt_tokens": 9, "completion_tokens": deltas, "total_tokens": deltas + 9}
    last = {"id": "chatcmpl-b", "object": "chat.completion.chunk", "choices": [], "usage": usage}
    return [
        *[_event({"content": WORDS[i % len(WORDS)]}) for i in range(deltas)],
        _event({}, "stop"),
        b"data: " + json.dumps(last).encode() + b"\n\n",
        b"data: [DONE]\n\n",
    ]


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
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


async def _answer(model: str, writer: asyncio.StreamWriter) -> None:
    kind, _, number = model.partition("-")
    if kind in ("unary", "slow"):
        if kind == "slow":
            await asyncio.sleep(int(number) / 1000)
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(UNARY)
        writer.write(head + UNARY)
        return
    pieces = [_chunk(event) for event in events(int(number))]
    if kind == "burst":
        writer.write(STREAM_HEAD + b"".join(pieces) + b"0\r\n\r\n")
        return
    writer.write(STREAM_HEAD)
    for piece in pieces:
        writer.write(piece)
        await asyncio.sleep(0.00025)
    writer.write(b"0\r\n\r\n")


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            body = json.loads(await reader.readexactly(length))
            await _answer(body["model"], writer)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass  # the client has gone
    finally:
        writer.close()


async def _main() -> None:
    server = await asyncio.start_server(_serve, "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


@contextmanager
def running() -> Iterator[str]:
    """Start the server in its own process; gives its base URL."""
    process = subprocess.Popen([sys.executable, __file__], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}/v1"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


if __name__ == "__main__":
    asyncio.run(_main())
