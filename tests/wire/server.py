"""A small real HTTP server in a process of its own, which does as a test says.

    with serve() as server:
        script = server.script(head(), piece(b"one"), gate("two"), piece(b"two"), LAST)
        ...                             # send requests to script.url; the body stops after "one"
        script.release("two")           # now the rest comes
        script.requests(1)[0].body      # what was received; waits until it was

Steps are run once per request, in order; between two `THEN` are those for one request. Nothing in it sleeps, and what
waits gives up when the client goes away.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import http.client
import itertools
import json
import resource
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

PATIENCE = 10.0
"""Seconds that a test waits for something to happen before it fails."""

# --- what a test says -----------------------------------------------------------------------------

Step = list[str]


def send(data: bytes) -> Step:
    """Send these bytes."""
    return ["send", base64.b64encode(data).decode()]


def head(status: int = 200, headers: dict[str, str] | None = None, *, body: int | None = None) -> Step:
    """Send status and headers; with `body`, of that many bytes, else in chunks."""
    framing = "transfer-encoding: chunked" if body is None else f"content-length: {body}"
    lines = [f"HTTP/1.1 {status} X", framing, *(f"{name}: {value}" for name, value in (headers or {}).items())]
    return send("\r\n".join([*lines, "", ""]).encode("latin-1"))


def piece(data: bytes) -> Step:
    """Send one chunk."""
    return send(b"%x\r\n%s\r\n" % (len(data), data))


LAST = send(b"0\r\n\r\n")
"""The end of a chunked body."""

CLOSE: Step = ["close"]
"""Close the connection in good order."""

RESET: Step = ["reset"]
"""Break the connection off."""


def gate(name: str) -> Step:
    """Wait until the test releases this gate, once for each request that waits."""
    return ["gate", name]


THEN: Step = ["then"]
"""What follows is done for the next request, and what follows the last of these for all that come after."""


def answer(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> list[Step]:
    """A whole answer in one go."""
    return [send(base64.b64decode(head(status, headers, body=len(body))[1]) + body)]


@dataclass(frozen=True)
class Received:
    """A request as the server got it."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes
    connection: int
    """Which connection it came on; the first is 1."""
    gone_at: float | None
    """When the client closed the connection before the answer was complete, by time.monotonic()."""

    def header(self, name: str) -> str | None:
        """The value of a header, by lower-case name."""
        return next((value for key, value in self.headers if key.lower() == name), None)


@dataclass(frozen=True)
class Script:
    """What the server does at one URL."""

    server: Server
    number: int

    @property
    def url(self) -> str:
        """Where to send requests; anything may be added to the path."""
        return f"{self.server.url}/{self.number}"

    def release(self, name: str, times: int = 1) -> None:
        """Let this many requests pass a gate, now or when they get there."""
        self.server.ask({"do": "release", "script": self.number, "gate": name, "times": times})

    def requests(self, count: int) -> list[Received]:
        """The requests so far, when there are this many."""
        return self._wait("requests", count)

    def waiting(self, count: int) -> list[Received]:
        """The requests so far, when this many have come to a gate."""
        return self._wait("waiting", count)

    def gone(self, count: int) -> list[Received]:
        """The requests whose clients went away before the answer was complete, when there are this many."""
        return [each for each in self._wait("gone", count) if each.gone_at is not None]

    def _wait(self, what: str, count: int) -> list[Received]:
        found = self.server.ask({"do": "wait", "script": self.number, "what": what, "count": count})
        return [Received(**{**each, "body": base64.b64decode(each["body"])}) for each in found["requests"]]


class Server:
    """The server as a test sees it; all of it may be used from any thread."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    def script(self, *steps: Step | list[Step]) -> Script:
        """Have the server do this for each request to the script's URL."""
        flat = [step for each in steps for step in ([each] if isinstance(each[0], str) else each)]
        return Script(self, self.ask({"do": "script", "steps": flat})["script"])

    def connections(self) -> int:
        """How many connections from clients are open."""
        return int(self.ask({"do": "connections"})["open"])

    def no_connections(self) -> None:
        """Wait until no client has a connection open."""
        self.ask({"do": "wait_closed"})

    def ask(self, order: dict[str, Any]) -> dict[str, Any]:
        """Give an order; the answer comes when it has been carried out."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE + 1)
        with contextlib.closing(connection):
            connection.request("POST", "/control", json.dumps(order))
            reply = connection.getresponse()
            found: dict[str, Any] = json.loads(reply.read())
        assert reply.status == 200, f"{order}: {found}"
        return found


@contextlib.contextmanager
def serve() -> Iterator[Server]:
    """Start a server; it ends with the block, or with this process."""
    command = [sys.executable, __file__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield Server(int(process.stdout.readline()))
        finally:
            process.stdin.close()


def many_files() -> None:
    """Let this process have as many open connections as the system allows; often it is 1,024 at first."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


# --- what the server does -------------------------------------------------------------------------


class Gone(Exception):
    """The client closed the connection."""


class Scripted:
    """One script, its gates and what it received."""

    def __init__(self, steps: list[Step]) -> None:
        self.turns: list[list[Step]] = [[]]
        for step in steps:
            if step[0] == "then":
                self.turns.append([])
            else:
                self.turns[-1].append(step)
        self.gates: dict[str, asyncio.Semaphore] = {}
        self.received: list[dict[str, Any]] = []
        self.waiting = 0

    def steps(self) -> list[Step]:
        """What to do for the request that came last."""
        return self.turns[min(len(self.received), len(self.turns)) - 1]

    def gate(self, name: str) -> asyncio.Semaphore:
        """The gate of this name."""
        return self.gates.setdefault(name, asyncio.Semaphore(0))

    def count(self, what: str) -> int:
        """How many requests there were, came to a gate, or went away."""
        if what == "requests":
            return len(self.received)
        if what == "waiting":
            return self.waiting
        return sum(each["gone_at"] is not None for each in self.received)


class Service:
    """All scripts and connections of the process."""

    def __init__(self) -> None:
        self.scripts: dict[int, Scripted] = {}
        self.changed = asyncio.Condition()
        self.numbers = itertools.count(1)
        self.connections = itertools.count(1)
        self.open = 0

    async def notify(self) -> None:
        """Wake what waits for something to happen."""
        async with self.changed:
            self.changed.notify_all()

    async def until(self, condition: Any) -> None:
        """Wait for a condition; it is looked at when something happened."""
        async with self.changed:
            await asyncio.wait_for(self.changed.wait_for(condition), PATIENCE)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        number, counted = next(self.connections), False
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            while (request := await read_request(reader)) is not None:
                if request["target"] == "/control":
                    await self.control(json.loads(request["body"]), writer)
                    continue
                if not counted:
                    counted = True
                    self.open += 1
                request.update(connection=number, gone_at=None, body=base64.b64encode(request["body"]).decode())
                script = self.scripts[int(request["target"].split("/")[1])]
                script.received.append(request)
                await self.notify()
                if not await self.run(script, request, reader, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open -= counted
            await self.notify()
            writer.close()

    async def run(
        self, script: Scripted, request: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Carry out the steps for one request; whether the connection can be used again."""
        try:
            for step in script.steps():
                if step[0] == "send":
                    writer.write(base64.b64decode(step[1]))
                    await writer.drain()
                elif step[0] == "gate":
                    script.waiting += 1
                    await self.notify()
                    await either(script.gate(step[1]).acquire(), reader)
                elif step[0] == "reset":
                    linger = struct.pack("ii", 1, 0)
                    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    writer.transport.abort()
                    return False
                else:
                    return False
        except (Gone, ConnectionError):
            request["gone_at"] = time.monotonic()
            await self.notify()
            return False
        return True

    async def control(self, order: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        """Carry out an order of the test."""
        found: dict[str, Any] = {}
        status = 200
        try:
            if order["do"] == "script":
                found["script"] = next(self.numbers)
                self.scripts[found["script"]] = Scripted(order["steps"])
            elif order["do"] == "release":
                for _ in range(order["times"]):
                    self.scripts[order["script"]].gate(order["gate"]).release()
            elif order["do"] == "wait":
                script = self.scripts[order["script"]]
                await self.until(lambda: script.count(order["what"]) >= order["count"])
                found["requests"] = script.received
            elif order["do"] == "wait_closed":
                await self.until(lambda: self.open == 0)
            found["open"] = self.open
        except TimeoutError:
            status, found = 504, {"error": f"it did not happen within {PATIENCE} s", "open": self.open}
        body = json.dumps(found).encode()
        writer.write(b"HTTP/1.1 %d X\r\ncontent-length: %d\r\n\r\n" % (status, len(body)) + body)
        await writer.drain()


async def read_request(reader: asyncio.StreamReader) -> dict[str, Any] | None:
    """The next request of a connection, or None at its end."""
    try:
        text = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = text.rstrip("\r\n").split("\r\n")
    method, target, _ = first.split(" ")
    headers = [tuple(line.split(": ", 1)) for line in lines]
    length = next((int(value) for name, value in headers if name.lower() == "content-length"), 0)
    body = await reader.readexactly(length)
    return {"method": method, "target": target, "headers": headers, "body": body}


async def either(wanted: Any, reader: asyncio.StreamReader) -> None:
    """Wait for something, or for the client to go away."""
    task, gone = asyncio.ensure_future(wanted), asyncio.ensure_future(reader.read(1))
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise Gone
    finally:
        task.cancel()
        gone.cancel()
        await asyncio.wait((task, gone))


async def main() -> None:
    """Serve on a free port, which is printed, until standard input ends."""
    many_files()
    service = Service()
    server = await asyncio.start_server(service.connected, "127.0.0.1", 0, limit=2**20, backlog=4096)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(0, ended.set)
    await ended.wait()
    server.close()


if __name__ == "__main__":
    asyncio.run(main())
