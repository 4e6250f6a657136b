"""A call, a stream and 1,000 calls at once through a thunk, beside the bare HTTP client with the same JSON decoder."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import msgspec

import mellite
from tests.benchmarks.measure import pin, side_by_side
from tests.benchmarks.server import running, text

HEADERS = {"authorization": "Bearer x", "content-type": "application/json"}


def _body(model: str, stream: bool) -> bytes:
    body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": "Hi."}]}
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return json.dumps(body).encode()


async def _bare_call(session: aiohttp.ClientSession, url: str, model: str) -> str:
    async with session.post(url, data=_body(model, stream=False), headers=HEADERS) as response:
        decoded = msgspec.json.decode(await response.read())
    content: str = decoded["choices"][0]["message"]["content"]
    return content


async def _bare_stream(session: aiohttp.ClientSession, url: str, model: str) -> list[str]:
    decode = msgspec.json.decode
    parts: list[str] = []
    rest = b""
    async with session.post(url, data=_body(model, stream=True), headers=HEADERS) as response:
        async for piece in response.content.iter_any():
            data = rest + piece
            at = 0
            while (end := data.find(b"\n\n", at)) >= 0:
                if data.startswith(b"data: {", at):
                    choices = decode(data[at + 6 : end])["choices"]
                    if choices and (content := choices[0]["delta"].get("content")):
                        parts.append(content)
                at = end + 2
            rest = data[at:]
    return parts


async def _thunk_stream(backend: mellite.Backend, model: str) -> list[str]:
    return [delta async for delta in backend.generate("Hi.", model=model)]


async def main() -> None:
    """Run all, with the bars of the project's plan."""
    pin(0)
    with running() as base:
        url = f"{base}/chat/completions"
        connector = aiohttp.TCPConnector(limit=0)
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            mellite.backend("openai-chat:m", base_url=base, api_key="x") as backend,
        ):
            assert await _bare_call(session, url, "unary") == await backend.generate("Hi.", model="unary", stream=False)
            assert "".join(await _thunk_stream(backend, "burst-500")) == text(500)
            await _unary(session, url, backend)
            for kind, streams, bar in (("burst", 20, 2.0), ("paced", 2, 1.2)):
                await _stream(session, url, backend, kind=kind, streams=streams, bar=bar)
            await _many(session, url, backend)


async def _unary(session: aiohttp.ClientSession, url: str, backend: mellite.Backend) -> None:
    calls = 200

    async def bare() -> None:
        for _ in range(calls):
            await _bare_call(session, url, "unary")

    async def thunks() -> None:
        for _ in range(calls):
            await backend.generate("Hi.", model="unary", stream=False)

    runs = {"aiohttp + msgspec": bare, "mellite thunk": thunks}
    await side_by_side("unary call, CPU", runs, per=calls, unit="us a call", bar=1.5)


async def _stream(
    session: aiohttp.ClientSession, url: str, backend: mellite.Backend, *, kind: str, streams: int, bar: float
) -> None:
    model = f"{kind}-500"

    async def bare() -> None:
        for _ in range(streams):
            assert len(await _bare_stream(session, url, model)) == 500

    async def iterated() -> None:
        for _ in range(streams):
            assert len(await _thunk_stream(backend, model)) == 500

    async def awaited() -> None:
        for _ in range(streams):
            await backend.generate("Hi.", model=model)

    runs = {"aiohttp + msgspec": bare, "mellite, async for": iterated, "mellite, await": awaited}
    await side_by_side(f"stream of 500 deltas, {kind}, CPU", runs, per=streams * 500, unit="us a delta", bar=bar)


async def _many(session: aiohttp.ClientSession, url: str, backend: mellite.Backend) -> None:
    calls = 1000

    async def bare() -> None:
        await asyncio.gather(*[_bare_call(session, url, "slow-50") for _ in range(calls)])

    async def thunks() -> None:
        settled = await mellite.gather(*[backend.generate("Hi.", model="slow-50", stream=False) for _ in range(calls)])
        assert all(thunk.error is None for thunk in settled)

    runs = {"aiohttp + msgspec": bare, "mellite.gather": thunks}
    title = "1,000 calls at once, 50 ms server, wall"
    await side_by_side(title, runs, per=1000, unit="ms in all", bar=1.6, rounds=3, wall=True)


if __name__ == "__main__":
    asyncio.run(main())
