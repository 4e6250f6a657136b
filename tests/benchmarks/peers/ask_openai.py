"""The SDK of OpenAI, as it comes."""

from __future__ import annotations

import asyncio
import sys

from openai import AsyncOpenAI

from tests.benchmarks.peers.turns import take_turns


async def main(base: str) -> None:
    """Take turns over one client."""
    asked = [{"role": "user", "content": "Hi."}]
    async with AsyncOpenAI(api_key="x", base_url=base) as client:

        async def call(model: str) -> str:
            answer = await client.chat.completions.create(model=model, messages=asked)
            return answer.choices[0].message.content

        async def stream(model: str) -> str:
            answer = await client.chat.completions.create(
                model=model, messages=asked, stream=True, stream_options={"include_usage": True}
            )
            return "".join([chunk.choices[0].delta.content or "" async for chunk in answer if chunk.choices])

        await take_turns({"unary": call, "burst-500": stream, "paced-500": stream})


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
