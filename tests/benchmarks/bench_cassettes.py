"""Replayed calls by the size of the cassette, what recording adds to live calls, and the files that it writes."""

from __future__ import annotations

import gc
import json
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path

import aiohttp

import mellite
from mellite.cassettes import (
    Body,
    Cassette,
    HttpInteraction,
    RecordedRequest,
    RecordedResponse,
    RecordTransport,
    ReplayTransport,
    load_cassette,
    use,
)
from mellite.wire.transports.http1 import Http1Transport
from tests.benchmarks.floor import bare_call, bare_stream
from tests.benchmarks.measure import Effort, Row, added, amount, exponent, in_turn, ratio
from tests.benchmarks.server import UNARY, running

URL = "https://api.openai.com/v1/chat/completions"
SIZES = (1, 100, 10_000)


def live_backend(base: str, transport: mellite.wire.transports.default.Transport) -> mellite.Backend:
    """Make a live backend over a transport."""
    return mellite.backend("openai-chat:m", base_url=base, api_key="x", transport=transport)


# --- replaying --------------------------------------------------------------------------------------


def interaction(number: int) -> HttpInteraction:
    """Return the unary answer of the server, as if recorded for the question of this number."""
    asked = {"model": "m", "messages": [{"role": "user", "content": f"question {number}"}], "store": False}
    kind = {"content-type": "application/json"}
    return HttpInteraction(
        RecordedRequest("POST", URL, headers=kind, body=Body(json.dumps(asked))),
        RecordedResponse(200, headers=kind, body=Body(UNARY.decode())),
    )


class Replayed:
    """Replays calls from a cassette; after each use it can be made ready again."""

    def __init__(self, size: int, calls: int) -> None:
        self.cassette = Cassette(tuple([interaction(number) for number in range(size + 1)]))
        self.calls = min(size, calls)
        self.pairs = calls // self.calls

    async def ready(self) -> list[mellite.Backend]:
        """Return backends at the second interaction: what is made once for a backend has been made."""
        made = [
            mellite.backend("openai-chat:m", api_key="x", stream=False, transport=ReplayTransport(self.cassette))
            for _ in range(self.pairs)
        ]
        for backend in made:
            await backend.generate("question 0")
        return made


async def replay(effort: Effort) -> list[Row]:
    """Replay calls from cassettes of several sizes beside the same calls, live, by aiohttp; and a stream."""
    calls = 20
    replayed = {size: Replayed(size, calls) for size in SIZES}
    times: dict[int, list[float]] = {size: [] for size in (0, *SIZES)}
    with running() as base:
        async with aiohttp.ClientSession() as session:
            for _ in range(effort.rounds(40)):
                gc.collect()
                began = time.process_time()
                for _ in range(calls):
                    await bare_call(session, base, "unary")
                times[0].append((time.process_time() - began) / calls * 1e6)
                for size, source in replayed.items():
                    times[size].append(await _replayed(source))
        rows = [
            ratio("replay", f"replayed call, {size:,} interactions", times[size], times[0], bar=0.3, stretch=0.2)
            for size in SIZES
        ]
        flat = [large / small for large, small in zip(times[10_000], times[1], strict=True)]
        rows.append(amount("replay", "replayed call, 10,000 beside 1", flat, "x", bar=1.2))
        rows.append(await _replayed_stream(base, effort))
    return rows


async def _replayed(source: Replayed) -> float:
    backends = await source.ready()
    began = time.process_time()
    for backend in backends:
        for number in range(1, source.calls + 1):
            await backend.generate(f"question {number}")
    return (time.process_time() - began) / (source.calls * source.pairs) * 1e6


async def _replayed_stream(base: str, effort: Effort) -> Row:
    live = Http1Transport()
    recorder = RecordTransport(live)
    await live_backend(base, recorder).generate("Hi.", model="paced-500")
    await live.aclose()
    cassette = recorder.cassette

    streams = 4  # as of a burst: what the garbage collector before each round leaves cold is no part of a delta

    async def again() -> None:
        for _ in range(streams):
            await live_backend(base, ReplayTransport(cassette)).generate("Hi.", model="paced-500")

    times = await in_turn({"mellite": again}, rounds=effort.rounds(24), per=500 * streams)
    return amount("replay", "replayed stream, a delta", times["mellite"], "us", bar=3.0, stretch=1.5)


# --- recording --------------------------------------------------------------------------------------


async def record(effort: Effort) -> list[Row]:
    """Record calls and streams into a file beside the same without, both beside aiohttp; no fsync for each call."""
    calls, streams = 20, 4
    with running() as base, tempfile.TemporaryDirectory() as folder:
        live = Http1Transport()
        path = Path(folder) / "case.json"
        async with (
            aiohttp.ClientSession() as session,
            use(path, mode="all", live=live, environment={}) as recording,
        ):
            plain, recorded = live_backend(base, live), live_backend(base, recording)

            async def asked(backend: mellite.Backend) -> None:
                for _ in range(calls):
                    await backend.generate("Hi.", model="unary", stream=False)

            async def streamed(backend: mellite.Backend) -> None:
                for _ in range(streams):
                    await backend.generate("Hi.", model="burst-500")

            async def bare_asked() -> None:
                for _ in range(calls):
                    await bare_call(session, base, "unary")

            async def bare_streamed() -> None:
                for _ in range(streams):
                    await bare_stream(session, base, "burst-500")

            runs = {"floor": bare_asked, "live": partial(asked, plain), "recorded": partial(asked, recorded)}
            unary = await in_turn(runs, rounds=effort.rounds(40), per=calls)
            runs = {"floor": bare_streamed, "live": partial(streamed, plain), "recorded": partial(streamed, recorded)}
            burst = await in_turn(runs, rounds=effort.rounds(24), per=500 * streams)
            first = await _first_deltas(plain, recorded, effort)
        await live.aclose()
        files = await _files(base, Path(folder), effort)
    what = "recording adds, of the floor's"
    return [
        added("record", f"{what} call", unary["recorded"], unary["live"], of=unary["floor"], bar=1.0, stretch=0.7),
        added("record", f"{what} delta", burst["recorded"], burst["live"], of=burst["floor"], bar=0.7, stretch=0.4),
        first,
        *files,
    ]


async def _first_deltas(plain: mellite.Backend, recorded: mellite.Backend, effort: Effort) -> Row:
    """Compare the time to the first delta, on the wall: a recording must not hold the answer back."""

    async def first(backend: mellite.Backend) -> float:
        began = time.perf_counter()
        async for _ in (thunk := backend.generate("Hi.", model="paced-20")):
            break
        taken = time.perf_counter() - began
        await thunk
        return taken * 1e6

    pairs = [(await first(recorded), await first(plain)) for _ in range(effort.rounds(160))]
    ours, floor = zip(*pairs, strict=True)
    return ratio("record", "first delta, of the same unrecorded", ours, floor, bar=1.1)


async def _files(base: str, folder: Path, effort: Effort) -> list[Row]:
    """Measure the sizes of a cassette of 100 paced streams of 500 deltas, and how long it takes to load."""
    streams = effort.size(100, 10)
    plain, compressed = folder / "streams.json", folder / "streams.json.gz"
    live = Http1Transport()
    for path in (plain, compressed):
        async with use(path, mode="all", live=live, environment={}) as recording:
            backend = live_backend(base, recording)
            for _ in range(streams):
                await backend.generate("Hi.", model="paced-500")
    await live.aclose()
    loads = []
    for _ in range(effort.rounds(16)):
        gc.collect()
        began = time.process_time()
        load_cassette(plain)
        loads.append((time.process_time() - began) * 1e3 * 100 / streams)
    megabytes = [path.stat().st_size / 1e6 * 100 / streams for path in (plain, compressed)]
    what = "100 streams of 500 deltas"
    return [
        amount("record", f"{what}, .json", megabytes[:1], "MB", bar=None),
        amount("record", f"{what}, .json.gz", megabytes[1:], "MB", bar=1.0, stretch=0.3),
        amount("record", f"{what}, load the .json", loads, "ms", bar=15, stretch=5),
    ]


async def growth(effort: Effort) -> list[Row]:
    """Fit how recording grows with the calls in one cassette, from the CPU time to the end of the recording."""
    sizes = (50, 100, 200, 400) if effort.quick else (100, 300, 1_000, 3_000)
    totals: dict[int, float] = {}
    with running() as base:
        for size in sizes:
            totals[size] = statistics.median([await _recorded(base, size) for _ in range(3)])
    return [amount("growth", "exponent: calls recorded in one file", [exponent(totals)], "n^", bar=1.05)]


async def _recorded(base: str, calls: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        live = Http1Transport()
        gc.collect()
        async with use(Path(folder) / "case.json", mode="all", live=live, environment={}) as recording:
            backend = live_backend(base, recording)
            await backend.generate("Hi.", model="unary", stream=False)
            began = time.process_time()
            for _ in range(calls):
                await backend.generate("Hi.", model="unary", stream=False)
        spent = time.process_time() - began
        await live.aclose()
    return spent
