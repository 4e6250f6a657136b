"""What the log costs: to whoever asks, and in all, with the thread that writes, on one core."""

from __future__ import annotations

import gc
import random
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack

import sniffio

import mellite
from mellite import Request, Usage
from mellite.events import Event, Finish, TextDelta
from tests.benchmarks.measure import Effort, Row, added, amount

LENGTH = 500
WORDS = ["quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "and", "writes", "reports", "on", "tokens"]


class Turns(mellite.Backend):
    """Answers with the prompt, the other way round."""

    async def stream(self, request: Request) -> AsyncIterator[Event]:
        """Answer."""
        yield TextDelta(request.text[::-1])
        yield Finish("stop", usage=Usage.of(input_tokens=100, output_tokens=100))


def prompts(count: int) -> list[str]:
    """Make as many different prompts."""
    chosen = random.Random(1)
    return [" ".join(chosen.choices(WORDS, k=LENGTH))[:LENGTH] for _ in range(count)]


async def _asked(asked: Sequence[str]) -> float:
    """Return what asking takes in the thread that asks, in us a call."""
    backend = Turns()
    gc.collect()
    began = time.thread_time()
    for prompt in asked:
        await backend.generate(prompt)
    return (time.thread_time() - began) / len(asked) * 1e6


async def log(effort: Effort) -> list[Row]:
    """Measure calls of 500 characters in and out, all of them different, without the provider's own answers."""
    asked = prompts(effort.size(2000, 500))
    without: list[float] = []
    caller: list[float] = []
    total: list[float] = []
    await _asked(asked)
    for _ in range(effort.rounds(24)):
        without.append(await _asked(asked))
        with ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            stack.enter_context(mellite.log.to(f"{folder}/log.db", raw=False))
            await _asked(asked[:10])
            mellite.log.flush()
            began = time.process_time()
            caller.append(await _asked(asked))
            mellite.log.flush()
            total.append((time.process_time() - began) / len(asked) * 1e6)
    loop = sniffio.current_async_library()
    return [
        added("log", f"what a call pays, {loop}", caller, without, bar=20),
        amount("log", f"a call and its row, all threads, {loop}", total, "us", bar=200),
    ]
