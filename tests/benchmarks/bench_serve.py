"""Answers of `mellite serve` from a cassette, beside a handler of aiohttp's that sends the same pieces.

And beside @copilotkit/aimock, a mock server from npm, where MELLITE_AIMOCK names its program: `nox -s bench -- serve`.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from mellite.cassettes.timeline import packed
from tests.benchmarks.measure import Effort, Row, Run, in_turn, ratio
from tests.benchmarks.server import UNARY, events, text
from tests.servers import running
from tests.servers.running import free_port

URL = "https://api.openai.com/v1/chat/completions"
ASKED = json.dumps({"model": "m", "messages": [{"role": "user", "content": "Hi."}], "stream": True}).encode()
STARTED = "2026-11-30T00:00:00Z"
DELTAS = 20
CLIENTS = 8
PEER = os.environ.get("MELLITE_AIMOCK", "")
"""The program of aimock."""
BAR = 1 / 0.6
"""Replay is to reach six tenths of what the bare handler does."""
LETTERS = 5
"""How many letters aimock puts into a delta: as many as a word has here."""

BARE = """
import asyncio, json, sys
from aiohttp import web

async def main(pieces, kind):
    async def handle(request):
        await request.read()
        out = web.StreamResponse(headers={"content-type": kind})
        out.enable_chunked_encoding()
        await out.prepare(request)
        for piece in pieces:
            await out.write(piece)
        await out.write_eof()
        return out

    app = web.Application()
    app.router.add_post("/{rest:.*}", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"bare: http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()

asyncio.run(main([piece.encode() for piece in json.loads(sys.argv[1])], sys.argv[2]))
"""


class Started(NamedTuple):
    """A server that listens."""

    url: str
    process: int

    def spent(self) -> float:
        """How long its threads have run, in seconds; the time on the wall where the system does not tell."""
        told = [path.read_text().split()[0] for path in Path(f"/proc/{self.process}/task").glob("*/schedstat")]
        return sum(map(int, told)) / 1e9 if told else time.perf_counter()


@contextmanager
def started(*command: str) -> Iterator[Started]:
    """Start a server, whose first line ends with its address."""
    with subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, text=True) as process:
        try:
            url = process.stdout.readline().split()[-1] if process.stdout is not None else ""
            yield Started(url, process.pid)
        finally:
            process.kill()


async def asked(url: str, body: bytes, calls: int) -> None:
    """Ask over several connections that are kept, one call after the other on each."""
    parts = urlsplit(url)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: {parts.netloc}\r\ncontent-length: {len(body)}\r\n\r\n"

    async def client() -> None:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        for _ in range(calls // CLIENTS):
            writer.write(head.encode() + body)
            answer = await reader.readuntil(b"\r\n0\r\n\r\n")
            if not answer.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(answer[:200].decode())
        writer.close()

    await asyncio.gather(*[client() for _ in range(CLIENTS)])


async def serving(effort: Effort) -> list[Row]:
    """Answer whole and streamed from a cassette of one interaction."""
    streamed = [event.decode() for event in events(DELTAS)]
    return [
        *await _rows("whole answer", [UNARY.decode()], "application/json", effort),
        *await _rows(f"stream of {DELTAS} deltas", streamed, "text/event-stream", effort),
    ]


async def _rows(what: str, pieces: list[str], kind: str, effort: Effort) -> list[Row]:
    asked_for = ASKED if len(pieces) > 1 else ASKED.replace(b"true", b"false")
    calls = effort.size(400, 80)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "served.json"
        chunks = packed([(len(piece.encode()), 0) for piece in pieces])
        recorded = {
            "transport": "http",
            "request": {"method": "POST", "url": URL, "headers": {}, "body": asked_for.decode()},
            "response": {"status": 200, "headers": {"content-type": kind}, "body": "".join(pieces)},
            "mellite": {
                "started": "2026-11-30T00:00:00Z",
                "openedUs": 0,
                "chunks": chunks,
                "endedUs": 0,
                "end": "complete",
            },
        }
        file.write_text(json.dumps({"version": 1, "interactions": [recorded]}))
        with ExitStack() as stack:
            bare = stack.enter_context(started("-c", BARE, json.dumps(pieces), kind))
            ours = stack.enter_context(started("-m", "mellite", "serve", str(file)))
            runs: dict[str, Run] = {
                "bare": partial(asked, bare.url, asked_for, calls),
                "ours": partial(asked, ours.url, asked_for, calls),
            }
            found = await in_turn(runs, rounds=effort.rounds(16), per=calls, wall=True)
            rows = [ratio("serve", what, found["ours"], found["bare"], bar=BAR)]
            if PEER:
                peer = stack.enter_context(_peer(Path(folder)))
                runs = {"ours": runs["ours"], "peer": partial(asked, peer.url, asked_for, calls)}
                clocks = {"ours": ours.spent, "peer": peer.spent}
                found = await in_turn(runs, rounds=effort.rounds(16), per=calls, clocks=clocks)
                rows.append(ratio("serve", f"{what}, CPU beside aimock", found["ours"], found["peer"], bar=1))
                found = await in_turn(runs, rounds=effort.rounds(16), per=calls, wall=True)
                rows.append(ratio("serve", f"{what}, wall beside aimock", found["ours"], found["peer"], bar=1))
    return rows


@contextmanager
def _peer(folder: Path) -> Iterator[Started]:
    """Aimock, which says as much as mellite in as many deltas, keeps no log, and remembers as little as it can."""
    answer = {"match": {"userMessage": "Hi."}, "response": {"content": text(40)[: DELTAS * LETTERS]}}
    fixtures, port = folder / "aimock.json", free_port()
    fixtures.write_text(json.dumps({"fixtures": [answer]}))
    options = ("--log-level", "silent", "--chunk-size", str(LETTERS), "--journal-max", "1")
    command = [PEER, "-p", str(port), "--host", "127.0.0.1", "-f", str(fixtures), *options]
    url = f"http://127.0.0.1:{port}"
    with running.started(command, url=f"{url}/health", log=folder / "aimock.log") as process:
        yield Started(url, process)
