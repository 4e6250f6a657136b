"""Count function calls and turns of the asyncio loop in this process, and print them as JSON; see test_budget.py.

The server runs in a thread of its own, which is not counted. It sends a paced delta once the one before it was read, so
that every delta costs one read, however fast this machine is.
"""

from __future__ import annotations

import asyncio
import copy
import itertools
import json
import queue
import socket
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from types import FrameType
from typing import Final

from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.trace import NoOpTracerProvider

import mellite
from mellite.backends.wrappers.tracing import Metering
from mellite.cassettes import (
    Body,
    Cassette,
    HttpInteraction,
    RecordedRequest,
    RecordedResponse,
    ReplayTransport,
)
from mellite.events import Event, Finish, TextDelta
from mellite.requirements import length, not_contains
from mellite.thunk import observing
from tests.benchmarks.bench_wrappers import wrapped
from tests.benchmarks.server import CALL, STREAM_HEAD, UNARY, events

WARM_UP: Final = 30
CALLS: Final = 20
FEW, MANY = 20, 220


class Server:
    """Answers requests over one connection at a time; the model says with what.

    Attributes:
        read: takes something for each delta that was read, so that the next paced one is sent.
    """

    def __init__(self) -> None:
        self.read: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}/v1"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._listening.accept()
            threading.Thread(target=self._answer_all, args=(connection,), daemon=True).start()

    def _answer_all(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection, connection.makefile("rb") as lines:
            while lines.readline():
                length = 0
                while (line := lines.readline()) != b"\r\n":
                    name, _, value = line.lower().partition(b":")
                    length = int(value) if name == b"content-length" else length
                asked = json.loads(lines.read(length))
                begins = asked["model"] == "tool" and asked["messages"][-1]["role"] == "user"
                self._answer(connection, "call" if begins else asked["model"])

    def _answer(self, connection: socket.socket, model: str) -> None:
        kind, _, number = model.partition("-")
        if kind in ("unary", "call", "tool"):
            body = CALL if kind == "call" else UNARY
            head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
            connection.sendall(head + body)
            return
        pieces = [b"%x\r\n%s\r\n" % (len(event), event) for event in events(int(number))]
        if kind == "burst":
            connection.sendall(STREAM_HEAD + b"".join(pieces) + b"0\r\n\r\n")
            return
        connection.sendall(STREAM_HEAD)
        for piece in pieces[: int(number)]:
            connection.sendall(piece)
            self.read.get(timeout=30)
        connection.sendall(b"".join(pieces[int(number) :]) + b"0\r\n\r\n")


def interaction(number: int) -> HttpInteraction:
    """Return the unary answer, as if recorded for the question of this number."""
    asked = {"model": "m", "messages": [{"role": "user", "content": f"question {number}"}], "store": False}
    kind = {"content-type": "application/json"}
    return HttpInteraction(
        RecordedRequest(
            "POST", "https://api.openai.com/v1/chat/completions", headers=kind, body=Body(json.dumps(asked))
        ),
        RecordedResponse(200, headers=kind, body=Body(UNARY.decode())),
    )


def replayed_stream(deltas: int) -> mellite.Backend:
    """Make a backend that replays a stream whose events came one by one."""
    pieces = events(deltas)
    asked = mellite.backend("openai-chat:m", api_key="x").prepare(mellite.Request.of("Hi."))
    chunks = " ".join([f"{len(piece)}@250" for piece in pieces])
    stored = {"started": "2026-11-21T05:46:15Z", "openedUs": 90, "chunks": chunks, "endedUs": 10**6, "end": "complete"}
    one = HttpInteraction(
        RecordedRequest("POST", asked.url, headers={"content-type": "application/json"}, body=Body.of(asked.body)),
        RecordedResponse(200, headers={"content-type": "text/event-stream"}, body=Body.of(b"".join(pieces))),
        extra={"mellite": stored},
    )
    transport = ReplayTransport(Cassette((one,) * (WARM_UP + CALLS)))
    return mellite.backend("openai-chat:m", api_key="x", transport=transport)


async def counted(call: Callable[[], Awaitable[object]], times: int = CALLS) -> tuple[float, float]:
    """Return how many functions one call calls, in Python and in C, and how many turns of the loop it takes."""
    for _ in range(WARM_UP):
        await call()
    calls = turns = 0

    def note(frame: FrameType, event: str, _: object) -> None:
        nonlocal calls, turns
        if event in ("call", "c_call"):
            calls += 1
            turns += event == "call" and frame.f_code.co_name == "_run_once"

    sys.setprofile(note)
    for _ in range(times):
        await call()
    sys.setprofile(None)
    return (calls - 1) / times, turns / times  # without setprofile itself


async def per_delta(call: Callable[[int], Awaitable[object]]) -> tuple[float, float]:
    """Return the calls and turns that one delta adds to a stream."""
    few, many = [await counted(lambda number=number: call(number), 3) for number in (FEW, MANY)]  # type: ignore[misc]
    return (many[0] - few[0]) / (MANY - FEW), (many[1] - few[1]) / (MANY - FEW)


async def per_first_delta(server: Server) -> tuple[float, float]:
    """Return the calls and turns that a paced delta adds to the first stream over a new connection."""

    async def paced(deltas: int) -> None:
        async with mellite.backend("openai-chat:m", base_url=server.url, api_key="x") as backend:
            async for _ in backend.generate("Hi.", model=f"paced-{deltas}"):
                server.read.put(None)

    return await per_delta(paced)


async def per_sample(width: int) -> float:
    """Return the calls that sampling adds to a copy, over awaiting the copies one by one, or all at once."""

    def scripted() -> mellite.ModelOutputThunk[str]:
        return mellite.backends.Scripted(["Hello."] * MANY).generate("Hi.")

    async def bare() -> None:
        copies = scripted().resample(MANY)
        if width > 1:
            await mellite.gather(*copies)
        for one in copies:
            await one

    async def sampled() -> None:
        await mellite.BestOfN(MANY, score=lambda _: 1.0, concurrency=width).sample(scripted())

    with_sampling, without = [await counted(run, 1) for run in (sampled, bare)]
    return (with_sampling[0] - without[0]) / MANY


async def with_everything(server: Server, backend: mellite.Backend, watching: observing.Observer) -> dict[str, float]:
    """Count a call and a delta with all wrappers, and with what writes spans and metrics, for providers that drop them.

    Every prompt is another one, so that nothing comes out of the cache.
    """
    numbers = itertools.count()
    found: dict[str, float] = {}
    for name, asked in (("wrapped", wrapped(backend)), ("traced", backend)):

        async def unary(asked: mellite.Backend = asked) -> None:
            await asked.generate(f"Hi {next(numbers)}.", model="unary", stream=False)

        async def burst(deltas: int, asked: mellite.Backend = asked) -> None:
            async for _ in asked.generate(f"Hi {next(numbers)}.", model=f"burst-{deltas}"):
                pass

        async def paced(deltas: int, asked: mellite.Backend = asked) -> None:
            async for _ in asked.generate(f"Hi {next(numbers)}.", model=f"paced-{deltas}"):
                server.read.put(None)

        with observing.using(*[watching] * (name == "traced")):
            found[f"{name} call"], _ = await counted(unary)
            found[f"{name} delta, burst"], _ = await per_delta(burst)
            found[f"{name} delta, paced"], _ = await per_delta(paced)
    return found


class Deltas(mellite.Backend):
    """Deltas that come one a turn of the loop, or all at once."""

    def __init__(self, *, paced: bool) -> None:
        self.paced = paced
        self.count = 0

    async def stream(self, request: mellite.Request) -> AsyncIterator[Event]:
        """Send as many as `count` says."""
        for _ in range(self.count):
            if self.paced:
                await asyncio.sleep(0)
            yield TextDelta("word ")
        yield Finish("stop")


async def per_checked_delta(*, paced: bool) -> float:
    """Return the calls that three requirements add to a delta, over reading it without."""
    source = Deltas(paced=paced)
    own = mellite.Requirement("any", check_chunk=lambda _, __: True)
    required = [length(max=10**9), not_contains("as an AI", ignore_case=True), own]

    async def bare(deltas: int) -> None:
        source.count = deltas
        async for _ in source.generate("Hi.").astream():
            pass

    async def checked(deltas: int) -> None:
        source.count = deltas
        async with mellite.stream(source.generate("Hi."), requirements=required) as chunks:
            async for _ in chunks:
                pass

    return (await per_delta(checked))[0] - (await per_delta(bare))[0]


async def per_run(backend: mellite.Backend) -> float:
    """Return the calls that a run of two steps, with a tool between them, adds to the same two requests."""

    @mellite.tool
    async def look(at: str) -> str:
        """Look at something."""
        return f"It is {at}."

    async def run() -> None:
        await mellite.run(backend, "What is it?", tools=[look], model="tool", stream=False)

    finished = mellite.run(backend, "What is it?", tools=[look], model="tool", stream=False)
    await finished
    history = list(finished.messages[:-1])

    async def alone() -> None:
        await backend.generate("What is it?", tools=[look], model="tool", stream=False)
        await backend.generate(history, tools=[look], model="tool", stream=False)

    return (await counted(run))[0] - (await counted(alone))[0]


async def on_trio() -> float:
    """Return the calls of a paced delta on trio."""
    server = Server()
    async with mellite.backend("openai-chat:m", base_url=server.url, api_key="x") as backend:

        async def paced(deltas: int) -> None:
            async for _ in backend.generate("Hi.", model=f"paced-{deltas}"):
                server.read.put(None)

        return (await per_delta(paced))[0]


async def main() -> dict[str, float]:
    """Count everything that has a budget on asyncio."""
    server = Server()
    found: dict[str, float] = {}
    async with mellite.backend("openai-chat:m", base_url=server.url, api_key="x") as backend:

        async def burst(deltas: int) -> None:
            async for _ in backend.generate("Hi.", model=f"burst-{deltas}"):
                pass

        async def paced(deltas: int) -> None:
            async for _ in backend.generate("Hi.", model=f"paced-{deltas}"):
                server.read.put(None)

        async def made() -> None:
            backend.generate("Hi.")

        thunk = backend.generate("Hi.")

        async def copied() -> None:
            copy.copy(thunk)

        async def unary() -> None:
            await backend.generate("Hi.", model="unary", stream=False)

        found["unary call"], found["unary turns"] = await counted(unary)
        found["run of two steps"] = await per_run(backend)
        found["burst delta"], _ = await per_delta(burst)
        found["paced delta"], found["paced turns"] = await per_delta(paced)
        found["paced delta, new connection"], found["paced turns, new connection"] = await per_first_delta(server)
        found["thunk made"], _ = await counted(made)
        found["thunk copied"], _ = await counted(copied)
        watching = Metering(NoOpTracerProvider(), None, NoOpMeterProvider())
        found |= await with_everything(server, backend, watching)
    async with mellite.backend("openai-chat:m", base_url=server.url, api_key="x", max_concurrency=4) as narrow:

        async def crowd(calls: int) -> None:
            await mellite.gather(*[narrow.generate("Hi.", model="unary", stream=False) for _ in range(calls)])

        found["call that waits for its place"], _ = await per_delta(crowd)
    cassette = Cassette(tuple([interaction(number) for number in range(WARM_UP + CALLS)]))
    replaying = mellite.backend("openai-chat:m", api_key="x", stream=False, transport=ReplayTransport(cassette))
    questions = iter(range(WARM_UP + CALLS))

    async def replayed() -> None:
        await replaying.generate(f"question {next(questions)}")

    found["replayed call"], _ = await counted(replayed)
    streams = {deltas: replayed_stream(deltas) for deltas in (FEW, MANY)}

    async def streamed(deltas: int) -> None:
        await streams[deltas].generate("Hi.")

    found["replayed delta"], _ = await per_delta(streamed)
    found["sample, one by one"] = await per_sample(1)
    found["sample, at once"] = await per_sample(MANY)
    found["checked delta, burst"] = await per_checked_delta(paced=False)
    found["checked delta, paced"] = await per_checked_delta(paced=True)
    return found


if __name__ == "__main__":
    counts = asyncio.run(main())
    import trio  # not before: where it is imported, it is asked each time whether it runs

    sys.stdout.write(json.dumps({**counts, "paced delta, trio": trio.run(on_trio)}))
