"""Two steps of a flow, which are printed: a fake model, and OpenAI; without a key its answer comes from a cassette."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import mellite
from mellite.steps import LLMCallConfig, PrintRecorder, run_llm_call

__all__ = ["main"]

CASSETTE = Path(__file__).parent.with_name("demo_cassettes") / "step.json"


async def main() -> None:
    """Run both steps."""
    rec = PrintRecorder()

    # Fake, offline
    cfg_fake = LLMCallConfig(
        provider="fake",
        model="toy-1",
        template="Hello, {{name}}! What is 2+2?",
        vars={"name": "mellite"},
        timeout_ms=1000,
        max_retries=1,
    )
    await run_llm_call("flow.demo", "step.1", cfg_fake, rec)

    # A real provider
    cfg_real = LLMCallConfig(
        provider="openai",
        model="gpt-4o-mini",
        prompt="Give me one line on why async IO matters.",
        temperature=0.2,
        timeout_ms=15000,
        max_retries=2,
    )
    if os.environ.get("OPENAI_API_KEY"):
        await run_llm_call("flow.demo", "step.2", cfg_real, rec)
        return
    async with mellite.cassettes.use(CASSETTE, mode="none") as transport:
        replayed = mellite.backend("openai:gpt-4o-mini", transport=transport)
        await run_llm_call("flow.demo", "step.2", cfg_real, rec, client=replayed)


if __name__ == "__main__":
    asyncio.run(main())
