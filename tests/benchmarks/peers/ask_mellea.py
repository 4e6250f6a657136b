"""mellea with its OpenAI backend: an awaited thunk, and one that is iterated."""

from __future__ import annotations

import asyncio
import logging
import sys
from functools import cache

from mellea.backends import ModelOption
from mellea.backends.openai import OpenAIBackend
from mellea.stdlib.components import Message
from mellea.stdlib.context import SimpleContext
from mellea.stdlib.functional import aact

from tests.benchmarks.peers.turns import take_turns


async def main(base: str) -> None:
    """Take turns, with one backend for each model, which is how it names models."""
    logging.disable(logging.WARNING)  # it logs every call

    @cache
    def named(model: str) -> OpenAIBackend:
        return OpenAIBackend(model_id=model, base_url=base, api_key="x")

    async def call(model: str) -> str:
        thunk, _ = await aact(Message("user", "Hi."), SimpleContext(), named(model), strategy=None, await_result=True)
        return str(thunk.value)

    async def stream(model: str) -> str:
        thunk, _ = await aact(
            Message("user", "Hi."),
            SimpleContext(),
            named(model),
            strategy=None,
            model_options={ModelOption.STREAM: True},
        )
        return "".join([part async for part in thunk])

    await take_turns({"unary": call, "burst-500": stream, "paced-500": stream})


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
