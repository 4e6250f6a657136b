"""litellm with its OpenAI provider, as it comes."""

from __future__ import annotations

import asyncio
import sys

import litellm

from tests.benchmarks.peers.turns import take_turns


async def main(base: str) -> None:
    """Take turns; the module keeps the connections."""
    asked = {"messages": [{"role": "user", "content": "Hi."}], "api_base": base, "api_key": "x"}

    async def call(model: str) -> str:
        answer = await litellm.acompletion(f"openai/{model}", **asked)
        return answer.choices[0].message.content

    async def stream(model: str) -> str:
        options = {"stream": True, "stream_options": {"include_usage": True}}
        answer = await litellm.acompletion(f"openai/{model}", **options, **asked)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in answer if chunk.choices])

    await take_turns({"unary": call, "burst-500": stream, "paced-500": stream})


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
