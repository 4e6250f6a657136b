"""Recording beside the same call without it, and a replayed call with 10 or 10,000 interactions in the cassette."""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
import time
from pathlib import Path

import mellite
from mellite.cassettes import (
    Body,
    Cassette,
    HttpInteraction,
    RecordedRequest,
    RecordedResponse,
    RecordTransport,
    ReplayTransport,
    use,
)
from mellite.wire.transports.default import Transport, default_transport
from tests.benchmarks.measure import pin, report, side_by_side
from tests.benchmarks.server import running

URL = "https://api.openai.com/v1/chat/completions"
CALLS = 100


def backend(base: str, transport: Transport | None) -> mellite.Backend:
    """A live backend over a transport."""
    return mellite.backend("openai-chat:m", base_url=base, api_key="x", transport=transport)


async def first_delta(made: mellite.Backend) -> float:
    """Microseconds from a call to its first delta; the whole answer is read."""
    began = time.perf_counter()
    first = 0.0
    async for _ in made.generate("Hi.", model="paced-20"):
        first = first or time.perf_counter() - began
    return first * 1e6


async def live(base: str) -> None:
    """What recording adds to live calls."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "case.json"
        live = default_transport()
        async with use(path, mode="all", live=live, environment={}) as recording:
            plain, recorded = backend(base, live), backend(base, recording)

            async def calls(made: mellite.Backend) -> None:
                for _ in range(CALLS):
                    await made.generate("Hi.", model="unary", stream=False)

            async def streams(made: mellite.Backend) -> None:
                for _ in range(10):
                    await made.generate("Hi.", model="burst-500")

            firsts: dict[str, list[float]] = {"live": [], "live, recorded": []}
            for turn in range(CALLS):
                for name, made in [("live", plain), ("live, recorded", recorded)][:: 1 if turn % 2 == 0 else -1]:
                    firsts[name].append(await first_delta(made))
            medians = {name: statistics.median(values) for name, values in firsts.items()}
            report("time to the first delta, wall", medians, unit="us", bar=1.1)
            runs = {"live": lambda: calls(plain), "live, recorded": lambda: calls(recorded)}
            await side_by_side("unary call, CPU", runs, per=CALLS, unit="us a call", bar=1.3)
            runs = {"live": lambda: streams(plain), "live, recorded": lambda: streams(recorded)}
            await side_by_side("stream of 500 deltas, CPU", runs, per=5000, unit="us a delta", bar=1.3)
        await live.aclose()  # type: ignore[attr-defined]


def interaction(number: int) -> HttpInteraction:
    """A unary answer, recorded for the copy of this number."""
    asked = {"model": "m", "messages": [{"role": "user", "content": f"question {number}"}], "store": False}
    answer = {"choices": [{"message": {"content": f"answer {number}"}, "finish_reason": "stop"}]}
    kind = {"content-type": "application/json"}
    return HttpInteraction(
        RecordedRequest("POST", URL, headers=kind, body=Body(json.dumps(asked))),
        RecordedResponse(200, headers=kind, body=Body(json.dumps(answer))),
    )


async def replayed() -> None:
    """A replayed call, by the size of the cassette; and a replayed stream."""
    for match in ("cursor", "pool", "keyed"):
        medians: dict[str, float] = {}
        for size in (10, 100, 1_000, 10_000):
            cassette = Cassette(tuple([interaction(number) for number in range(size)]))
            spent: list[float] = []
            for _ in range(9):
                made = mellite.backend(
                    "openai-chat:m", api_key="x", stream=False, transport=ReplayTransport(cassette, match=match)
                )
                await made.generate("question 0")
                began = time.process_time()
                for number in range(1, 10):
                    await made.generate(f"question {number}")
                spent.append((time.process_time() - began) / 9 * 1e6)
            medians[f"{size:,} interactions"] = sorted(spent)[4]
        report(f"a replayed call, {match}, CPU", medians, unit="us", bar=1.2)


async def streams(base: str) -> None:
    """A replayed stream beside a live one."""
    live = default_transport()
    recorder = RecordTransport(live)
    made = backend(base, recorder)
    for _ in range(10):
        await made.generate("Hi.", model="burst-500")

    async def replay() -> None:
        again = backend(base, ReplayTransport(recorder.cassette))
        for _ in range(10):
            await again.generate("Hi.", model="burst-500")

    await side_by_side("a replayed stream of 500 deltas, CPU", {"replay": replay}, per=5000, unit="us a delta")
    await live.aclose()  # type: ignore[attr-defined]


async def main() -> None:
    """Run all."""
    pin(0)
    with running() as base:
        await live(base)
        await streams(base)
    await replayed()


if __name__ == "__main__":
    asyncio.run(main())
