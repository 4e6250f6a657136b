"""The SDK of Anthropic, as it comes, on the events of its stream."""

from __future__ import annotations

import asyncio
import sys

from anthropic import AsyncAnthropic

from tests.benchmarks.peers.turns import take_turns


async def main(base: str) -> None:
    """Take turns over one client, which puts the version of the API into the path itself."""
    asked = {"max_tokens": 1_000, "messages": [{"role": "user", "content": "Hi."}]}
    async with AsyncAnthropic(api_key="x", base_url=base.removesuffix("/v1")) as client:

        async def call(model: str) -> str:
            answer = await client.messages.create(model=model, **asked)
            return answer.content[0].text

        async def stream(model: str) -> str:
            answer = await client.messages.create(model=model, stream=True, **asked)
            return "".join([event.delta.text async for event in answer if event.type == "content_block_delta"])

        await take_turns({"unary": call, "burst-500": stream, "paced-500": stream})


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
