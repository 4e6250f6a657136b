"""The floor: aiohttp and msgspec used by hand."""

from __future__ import annotations

import asyncio
import sys

import aiohttp

from tests.benchmarks.floor import bare_call, bare_stream
from tests.benchmarks.peers.turns import take_turns


async def main(base: str) -> None:
    """Take turns over one session."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def call(model: str) -> str:
            return await bare_call(session, base, model)

        async def stream(model: str) -> str:
            return "".join(await bare_stream(session, base, model))

        await take_turns({"unary": call, "burst-500": stream, "paced-500": stream})


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
