"""Answers of `mellite serve` from a cassette, beside a handler of aiohttp's that sends the same pieces."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from mellite.cassettes.timeline import packed
from tests.benchmarks.measure import Effort, Row, Run, in_turn, ratio
from tests.benchmarks.server import UNARY, events

URL = "https://api.openai.com/v1/chat/completions"
ASKED = json.dumps({"model": "m", "messages": [{"role": "user", "content": "Hi."}], "stream": True}).encode()
STARTED = "2026-11-30T00:00:00Z"
DELTAS = 20
CLIENTS = 8
BAR = 1 / 0.6
"""Replay is to reach six tenths of what the bare handler does."""

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


@contextmanager
def started(*command: str) -> Iterator[str]:
    """Start a server, whose first line ends with its address."""
    with subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process.stdout.readline().split()[-1] if process.stdout is not None else ""
        finally:
            process.kill()


async def asked(url: str, calls: int) -> None:
    """Ask over several connections that are kept, one call after the other on each."""
    parts = urlsplit(url)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: {parts.netloc}\r\ncontent-length: {len(ASKED)}\r\n\r\n"

    async def client() -> None:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        for _ in range(calls // CLIENTS):
            writer.write(head.encode() + ASKED)
            answer = await reader.readuntil(b"\r\n0\r\n\r\n")
            if not answer.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(answer[:200].decode())
        writer.close()

    await asyncio.gather(*[client() for _ in range(CLIENTS)])


async def serving(effort: Effort) -> list[Row]:
    """Answer whole and streamed from a cassette of one interaction."""
    streamed = [event.decode() for event in events(DELTAS)]
    return [
        await _row("whole answer", [UNARY.decode()], "application/json", effort),
        await _row(f"stream of {DELTAS} deltas", streamed, "text/event-stream", effort),
    ]


async def _row(what: str, pieces: list[str], kind: str, effort: Effort) -> Row:
    calls = effort.size(400, 80)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "served.json"
        chunks = packed([(len(piece.encode()), 0) for piece in pieces])
        recorded = {
            "transport": "http",
            "request": {"method": "POST", "url": URL, "headers": {}, "body": ASKED.decode()},
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
        with (
            started("-c", BARE, json.dumps(pieces), kind) as bare,
            started("-m", "mellite", "serve", str(file)) as ours,
        ):
            runs: dict[str, Run] = {"bare": partial(asked, bare, calls), "ours": partial(asked, ours, calls)}
            found = await in_turn(runs, rounds=effort.rounds(16), per=calls, wall=True)
    return ratio("serve", what, found["ours"], found["bare"], bar=BAR)
