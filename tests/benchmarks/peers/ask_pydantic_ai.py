"""pydantic-ai through its direct API, which leaves out agents; with its OpenAI chat model."""

from __future__ import annotations

import asyncio
import sys
from functools import cache

from pydantic_ai import ModelRequest
from pydantic_ai.direct import model_request, model_request_stream
from pydantic_ai.messages import PartDeltaEvent, PartStartEvent, TextPart, TextPartDelta
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from tests.benchmarks.peers.turns import take_turns


async def main(base: str) -> None:
    """Take turns over one provider, with one model object for each name."""
    provider = OpenAIProvider(base_url=base, api_key="x")
    asked = [ModelRequest.user_text_prompt("Hi.")]

    @cache
    def named(model: str) -> OpenAIChatModel:
        return OpenAIChatModel(model, provider=provider)

    async def call(model: str) -> str:
        answer = await model_request(named(model), asked)
        return "".join([part.content for part in answer.parts if isinstance(part, TextPart)])

    async def stream(model: str) -> str:
        parts = []
        async with model_request_stream(named(model), asked) as answer:
            async for event in answer:
                if isinstance(event, PartDeltaEvent) and isinstance(event.delta, TextPartDelta):
                    parts.append(event.delta.content_delta)
                elif isinstance(event, PartStartEvent) and isinstance(event.part, TextPart):
                    parts.append(event.part.content)
        return "".join(parts)

    await take_turns({"unary": call, "burst-500": stream, "paced-500": stream})


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
