"""A model in a process of its own, whose answers are made of the bytes of the request alone: tools for nine steps.

It writes down what it is asked, a line each: the digest of the request's body, which is also the id of the answer.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ALL_READ = b"GET /all-read "
"""How somebody asks whether all has been read."""
STEPS = 10
"""How many answers a run takes: all but the last ask for tools."""


def answer_to(body: bytes) -> dict[str, Any]:
    """The answer to a request in the form of OpenAI's Chat Completions."""
    digest = hashlib.sha256(body).hexdigest()[:24]
    asked = json.loads(body)
    step = sum(message["role"] == "assistant" for message in asked["messages"]) + 1
    message: dict[str, Any] = {"role": "assistant", "content": f"step {step} of {digest}"}
    if asked.get("tools") and step < STEPS:
        called = [("look", {"place": step}), ("note", {"number": step}), ("look", {"place": step + 100})]
        message["tool_calls"] = [
            {
                "id": f"call_{digest[:8]}_{index}",
                "type": "function",
                "function": {"name": name, "arguments": json.dumps(arguments)},
            }
            for index, (name, arguments) in enumerate(called)
        ]
    reason = "tool_calls" if "tool_calls" in message else "stop"
    usage = {"prompt_tokens": len(body) // 4, "completion_tokens": 5, "total_tokens": len(body) // 4 + 5}
    choice = {"index": 0, "message": message, "finish_reason": reason}
    return {"id": digest, "object": "chat.completion", "model": asked["model"], "choices": [choice], "usage": usage}


async def serve(log: int) -> None:
    """Answer on a free port of this machine, which is printed, until standard input ends."""
    connections: set[asyncio.StreamWriter] = set()
    changed = asyncio.Condition()

    async def alone() -> None:
        async with changed:
            await changed.wait_for(lambda: len(connections) == 1)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.add(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                if head.startswith(ALL_READ):
                    await alone()
                    writer.write(b"HTTP/1.1 204 X\r\n\r\n")
                    break
                lines = head.decode("latin-1").lower().split("\r\n")
                length = next(int(line.partition(":")[2]) for line in lines if line.startswith("content-length:"))
                told = answer_to(await reader.readexactly(length))
                os.write(log, f"{told['id']}\n".encode())
                body = json.dumps(told).encode()
                writer.write(
                    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
                )
                writer.write(body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            async with changed:
                connections.discard(writer)
                changed.notify_all()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


class ModelServer:
    """A running server.

    Attributes:
        url: where it answers.
    """

    def __init__(self, url: str, log: Path) -> None:
        self.url = url
        self._log = log

    def asked(self) -> Counter[str]:
        """What it was asked so far: how often each request came.

        Waits until the clients are gone, and all that they had sent has been read: also what one sent that was killed
        before its next step.
        """
        with closing(HTTPConnection(urlsplit(self.url).netloc, timeout=60)) as connection:
            connection.request("GET", "/all-read")
            connection.getresponse().read()
        return Counter(self._log.read_text().split())


@contextmanager
def running(log: Path) -> Iterator[ModelServer]:
    """A server that writes into a file."""
    log.write_bytes(b"")
    command = [sys.executable, "-m", "tests.crash.model_server", str(log)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield ModelServer(f"http://127.0.0.1:{process.stdout.readline().strip()}/v1", log)
        process.terminate()


if __name__ == "__main__":
    asyncio.run(serve(os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)))
