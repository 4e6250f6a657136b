"""A provider in a process of its own, as the workers of an engine need one: slow answers, a rate limit, and a log.

``python -m tests.engine.provider LOG --delay 0.2 --rpm 6000`` prints its port. The log has a line for each request: the
time, the status, the prompt, and a hash of the key that came with it.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parent.parent.parent


class Provider(asyncio.Protocol):
    """One connection of a client."""

    def __init__(self, log: IO[str], delay: float, rpm: int | None, recent: deque[float]) -> None:
        self.log, self.delay, self.rpm, self.recent = log, delay, rpm, recent
        self.data = b""

    def connection_made(self, transport) -> None:
        """Keep what to answer to."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each request that is whole, after a while."""
        self.data += data
        while b"\r\n\r\n" in self.data:
            head, _, rest = self.data.partition(b"\r\n\r\n")
            headers = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
            length = int(headers.get(b"content-length", b"0"))
            if len(rest) < length:
                return
            body, self.data = rest[:length], rest[length:]
            status, answer = self.answer(json.loads(body)["messages"][-1]["content"], headers)
            asyncio.get_running_loop().call_later(self.delay, self.send, status, answer)

    def answer(self, prompt: str, headers: dict[bytes, bytes]) -> tuple[int, dict]:
        """Return what a prompt is answered with: always the same."""
        now = time.time()
        while self.recent and self.recent[0] <= now - 60:
            self.recent.popleft()
        is_over = self.rpm is not None and len(self.recent) >= self.rpm
        status = 429 if is_over else 400 if "refuse" in prompt else 200
        if status == 200:
            self.recent.append(now)
        key = hashlib.sha256(headers.get(b"authorization", b"")).hexdigest()[:8]
        self.log.write(json.dumps([now, status, prompt, key]) + "\n")
        self.log.flush()
        if status != 200:
            return status, {"error": {"message": f"no answer to {prompt}", "type": "invalid_request_error"}}
        choice = {"index": 0, "message": {"role": "assistant", "content": prompt[::-1]}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
        return status, {"id": f"c-{prompt}", "model": "gpt-4o-mini-2024", "choices": [choice], "usage": usage}

    def send(self, status: int, answer: dict) -> None:
        """Send an answer."""
        body = json.dumps(answer).encode()
        head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        if not self.transport.is_closing():
            self.transport.write(head.encode() + body)


class Served:
    """A provider that runs.

    Attributes:
        url: its base URL, as a backend takes it.
    """

    def __init__(self, url: str, log: Path) -> None:
        self.url, self.log = url, log

    def seen(self, status: int = 200) -> list[tuple[float, int, str, str]]:
        """The requests so far that were answered so: when, how, the prompt, a hash of the key."""
        rows = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [row for row in rows if row[1] == status]

    def prompts(self) -> list[str]:
        """The prompts that were answered so far."""
        return [prompt for _, _, prompt, _ in self.seen()]


@contextmanager
def provider(folder: Path, delay: float = 0.0, rpm: int | None = None) -> Iterator[Served]:
    """A provider for a block."""
    log = folder / "provider.log"
    command = [sys.executable, "-m", "tests.engine.provider", str(log), "--delay", str(delay)]
    process = subprocess.Popen([*command, *(["--rpm", str(rpm)] if rpm else [])], cwd=ROOT, stdout=subprocess.PIPE)
    try:
        port = int(process.stdout.readline())
        yield Served(f"http://127.0.0.1:{port}/v1", log)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("log")
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--rpm", type=int)
    given = parser.parse_args()
    with open(given.log, "a", encoding="utf-8") as log:
        asyncio.run(serve(partial(Provider, log, given.delay, given.rpm, deque())))


async def serve(connected: Callable[[], Provider]) -> None:
    """Serve, and print the port."""
    server = await asyncio.get_running_loop().create_server(connected, "127.0.0.1", 0, backlog=4096)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    main()
