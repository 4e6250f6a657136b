"""mellite, in the same turns as the others."""

from __future__ import annotations

import asyncio
import sys

import mellite
from tests.benchmarks.peers.turns import take_turns


async def main(base: str) -> None:
    """Take turns over one backend."""
    async with mellite.backend("openai-chat:m", base_url=base, api_key="x") as backend:

        async def call(model: str) -> str:
            return await backend.generate("Hi.", model=model, stream=False)

        async def stream(model: str) -> str:
            return "".join([delta async for delta in backend.generate("Hi.", model=model)])

        await take_turns({"unary": call, "burst-500": stream, "paced-500": stream})


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
