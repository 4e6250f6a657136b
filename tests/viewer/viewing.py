"""Look at the viewer in tests as a browser does, over HTTP, and make what it shows: cassettes, logs and journals."""

from __future__ import annotations

import json
import re
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import anyio
import anyio.to_thread

import mellite
from mellite.backends import Scripted
from mellite.errors import RateLimited
from mellite.events import Finish, ReasoningDelta, TextDelta, Usage
from tests.archive.journal.support import ByStep
from tests.cli.programs import COMMAND, ROOT, cassette, surroundings

COLUMNS = [
    *("id", "parent", "started_at", "provider", "model", "response_model", "state", "prompt", "text", "thinking"),
    *("error_type", "error", "input_tokens", "output_tokens", "cost_usd", "duration_ms", "lineage", "tags", "replayed"),
]
"""The columns of a log's view ``calls``, by which all sources name what they know."""


class Answer(NamedTuple):
    """What a server answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


def got(url: str, *, method: str = "GET", **headers: str) -> Answer:
    """Ask a server; a header may replace what the client sends by itself."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.putrequest(method, url.partition(parts.netloc)[2], skip_host="Host" in named)
        for name, value in named.items():
            connection.putheader(name, value)
        connection.endheaders()
        response = connection.getresponse()
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())
    finally:
        connection.close()


@contextmanager
def viewing(*arguments: str, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`mellite view` as a process of its own, and its address."""
    command = [*COMMAND, "view", *arguments]
    around = surroundings(**environment)
    with subprocess.Popen(
        command, cwd=ROOT, env=around, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout is not None
            first = process.stdout.readline()
            found = re.fullmatch(r"mellite view: (http://127\.0\.0\.1:\d+/[\w-]{43}/)\n", first)
            assert found is not None, first
            yield process, found[1]
        finally:
            process.kill()


def logged(path: Path, count: int = 3) -> Path:
    """A log with some answers, the last of which failed."""
    answers: list[Any] = [f"Answer {number} of <b>many</b>." for number in range(count - 1)]
    backend = Scripted([*answers, [RateLimited("Slow down.")]])
    with mellite.log.to(path):
        for number in range(count):
            thunk = backend.generate(f"Question {number}?", metadata={"tags": ["odd" if number % 2 else "even"]})
            try:
                thunk.result()
            except RateLimited:
                continue
    mellite.log.flush()
    return path


@mellite.tool
async def get_weather(city: str) -> str:
    """Get the weather."""
    await anyio.sleep(0.01)
    return f"sunny in {city}"


class Growing(mellite.Backend):
    """Says two words, 150 ms apart, and ends when it is told to.

    Attributes:
        ended: tells it to.
    """

    def __init__(self) -> None:
        self.ended = threading.Event()

    async def stream(self, request: mellite.Request) -> Any:
        yield TextDelta("One ")
        await anyio.sleep(0.15)
        yield TextDelta("two ")
        while not await anyio.to_thread.run_sync(self.ended.wait, 0.05):
            yield TextDelta("")  # so that what has arrived is told to a viewer that is late, too
        yield Finish("stop")


class InPieces(mellite.Backend):
    """Says pieces, each when somebody has seen the one before.

    Args:
        pieces: what it says.

    Attributes:
        seen: is set when one was seen.
    """

    def __init__(self, pieces: Sequence[str]) -> None:
        self._pieces = pieces
        self.seen = threading.Event()

    async def stream(self, request: mellite.Request) -> Any:
        for piece in self._pieces:
            yield TextDelta(piece)
            while not await anyio.to_thread.run_sync(self.seen.wait, 0.05):
                yield TextDelta("")  # so that what has arrived is told to a viewer that is late, too
            self.seen.clear()
        yield Finish("stop")


class Thinking(mellite.Backend):
    """Thinks, and then says one word after the other."""

    async def stream(self, request: mellite.Request) -> Any:
        yield ReasoningDelta("Hm.")
        for word in ("sunny ", "all ", "day"):
            await anyio.sleep(0.01)
            yield TextDelta(word)
        yield Finish("stop", usage=Usage.of(input_tokens=5, output_tokens=3))


def recorded(path: Path, *answers: str) -> Path:
    """A cassette of answers, each in pieces of which the recording says when they came: every 10 ms."""
    cassette(path, "Say <i>it</i>.", list(answers))
    stored = json.loads(path.read_text(encoding="utf-8"))
    for number, one in enumerate(stored["interactions"]):
        pieces = one["response"]["body"].split("\n\n")[:-1]
        one["mellite"] = {
            "started": f"2026-11-{number % 30 + 1:02}T05:46:15.000000Z",
            "openedUs": 5000,
            "chunks": " ".join([f"{len(piece.encode()) + 2}@10000" for piece in pieces]),
            "endedUs": 5000 + 10000 * len(pieces),
            "end": "complete",
            "lineage": [number],
        }
    path.write_text(json.dumps(stored), encoding="utf-8")
    return path


def journaled(path: Path) -> Path:
    """A journal of a run with two tools, of three samples of which the first two agree, and of a call that thinks."""
    calls = [mellite.ToolCall(f"c{city}", "get_weather", {"city": city}) for city in ("Paris", "Rome")]

    async def main() -> None:
        with mellite.journal(path):
            await mellite.run(ByStep(calls, "It is **sunny**."), "What is the weather?", tools=[get_weather])
            short = mellite.Requirement(
                "short", lambda thunk: mellite.ValidationResult(len(thunk.partial) < 99, "so short")
            )
            await mellite.RejectionSampling().sample(Thinking().generate("Short?"), [short])
            await mellite.MajorityVote(n=3).sample(Thinking().generate("Which weather?"))

    anyio.run(main)
    return path
