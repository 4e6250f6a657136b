"""A call, a stream, many calls at once and a call over TLS, each beside aiohttp and msgspec used by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import attrs
import httpx2

import mellite
from mellite.wire.transports.http1 import Http1Transport
from mellite.wire.transports.httpx2 import Httpx2Transport
from tests.benchmarks.floor import bare_call, bare_httpx2_stream, bare_stream
from tests.benchmarks.measure import Effort, Row, in_turn, ratio
from tests.benchmarks.server import running, running_tls, text


@attrs.frozen
class Clients:
    """The two clients of a comparison and the server that both ask."""

    base: str
    session: aiohttp.ClientSession
    backend: mellite.Backend


@asynccontextmanager
async def clients(base: str, *, limit: int = 0, max_concurrency: int | None = 64) -> AsyncIterator[Clients]:
    """Open the two clients, and check that both read the same answers."""
    connector = aiohttp.TCPConnector(limit=limit)
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        mellite.backend("openai-chat:m", base_url=base, api_key="x", max_concurrency=max_concurrency) as backend,
    ):
        assert await bare_call(session, base, "unary") == await backend.generate("Hi.", model="unary", stream=False)
        assert "".join([delta async for delta in backend.generate("Hi.", model="burst-500")]) == text(500)
        yield Clients(base, session, backend)


async def unary(effort: Effort) -> list[Row]:
    """Make sequential calls over connections that are kept."""
    with running() as base:
        async with clients(base) as both:
            return [await _unary("unary", "unary call", both, effort)]


async def tls(effort: Effort) -> list[Row]:
    """Make sequential calls over TLS connections that are kept."""
    with running_tls() as (base, context):
        transport = Http1Transport(ssl_context=context)
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, ssl=context)) as session,
            mellite.backend("openai-chat:m", base_url=base, api_key="x", transport=transport) as backend,
        ):
            row = await _unary("tls", "unary call over TLS", Clients(base, session, backend), effort)
            await transport.aclose()
            return [row]


async def _unary(name: str, what: str, both: Clients, effort: Effort) -> Row:
    calls = effort.size(40, 20)

    async def bare() -> None:
        for _ in range(calls):
            await bare_call(both.session, both.base, "unary")

    async def thunks() -> None:
        for _ in range(calls):
            await both.backend.generate("Hi.", model="unary", stream=False)

    times = await in_turn({"floor": bare, "mellite": thunks}, rounds=effort.rounds(80), per=calls)
    return ratio(name, what, times["mellite"], times["floor"], bar=1.0, stretch=0.8)


async def burst(effort: Effort) -> list[Row]:
    """Read streams that come at once, one event an HTTP chunk, and eight."""
    with running() as base:
        async with clients(base) as both:
            one = await _stream("burst", "burst-500", both, effort, streams=4, bars=(1.15, 1.0))
            eight = await _stream("burst", "batch-500", both, effort, streams=4, bars=(2.0, 1.4))
    return [*one, *eight]


async def httpx2_burst(effort: Effort) -> list[Row]:
    """Read streams that come at once over httpx2, beside httpx2 used by hand."""
    with running() as base:
        transport = Httpx2Transport()
        async with (
            httpx2.AsyncClient() as client,
            mellite.backend("openai-chat:m", base_url=base, api_key="x", transport=transport) as backend,
        ):

            async def bare() -> None:
                assert len(await bare_httpx2_stream(client, base, "burst-500")) == 500

            async def iterated() -> None:
                assert len([delta async for delta in backend.generate("Hi.", model="burst-500")]) == 500

            runs = {"floor": bare, "mellite": iterated}
            times = await in_turn(runs, rounds=effort.rounds(48), per=500)
            await transport.aclose()
    what = "burst over httpx2, of httpx2 by hand"
    return [ratio("httpx2", what, times["mellite"], times["floor"], bar=1.35, stretch=1.15)]


async def paced(effort: Effort) -> list[Row]:
    """Read streams of one packet a delta."""
    with running() as base:
        async with clients(base) as both:
            return await _stream("paced", "paced-500", both, effort, streams=1, bars=(1.05, 0.95))


SENT = {
    "burst-500": "burst stream, a delta",
    "batch-500": "burst, 8 events a chunk",
    "paced-500": "paced stream, a delta",
}


async def _stream(
    name: str, model: str, both: Clients, effort: Effort, *, streams: int, bars: tuple[float, float]
) -> list[Row]:
    async def bare() -> None:
        for _ in range(streams):
            assert len(await bare_stream(both.session, both.base, model)) == 500

    async def iterated() -> None:
        for _ in range(streams):
            assert len([delta async for delta in both.backend.generate("Hi.", model=model)]) == 500

    async def awaited() -> None:
        for _ in range(streams):
            await both.backend.generate("Hi.", model=model)

    runs = {"floor": bare, "async for": iterated, "await": awaited}
    times = await in_turn(runs, rounds=effort.rounds(40), per=streams * 500)
    return [
        ratio(name, f"{SENT[model]}, {how}", times[how], times["floor"], bar=bars[0], stretch=bars[1])
        for how in ("async for", "await")
    ]


async def many(effort: Effort) -> list[Row]:
    """Make 1,000 calls to a server that takes 50 ms: all at once without a limit, and 64 at once. Wall time."""
    with running() as base:
        async with clients(base, limit=0, max_concurrency=None) as both:
            free = await _many("1,000 at once, no limit, wall", both, effort)
        async with clients(base, limit=64, max_concurrency=64) as both:
            return [free, await _many("1,000, 64 at once, wall", both, effort)]


async def _many(what: str, both: Clients, effort: Effort) -> Row:
    calls = 1_000

    async def bare() -> None:
        await asyncio.gather(*[bare_call(both.session, both.base, "slow-50") for _ in range(calls)])

    async def thunks() -> None:
        generations = [both.backend.generate("Hi.", model="slow-50", stream=False) for _ in range(calls)]
        settled = await mellite.gather(*generations)
        assert all(thunk.error is None for thunk in settled)

    runs = {"floor": bare, "mellite": thunks}
    times = await in_turn(runs, rounds=effort.rounds(12), per=calls, wall=True)
    return ratio("many", what, times["mellite"], times["floor"], bar=0.9, stretch=0.75)
