"""vcrpy around the floor: calls that it records, or replays from a cassette of as many as the second argument says."""

from __future__ import annotations

import asyncio
import itertools
import sys
import tempfile
from pathlib import Path

import aiohttp
import msgspec
import vcr

from tests.benchmarks.floor import HEADERS, bare_call
from tests.benchmarks.peers.turns import take_turns

BODY = ("method", "uri", "body")
"""What has to match: the prompts differ in nothing but the body."""


async def asked(session: aiohttp.ClientSession, base: str, number: int) -> str:
    """Ask a question of this number and return the answer's text."""
    message = {"role": "user", "content": f"question {number}"}
    body = msgspec.json.encode({"model": "unary", "messages": [message]})
    async with session.post(f"{base}/chat/completions", data=body, headers=HEADERS) as response:
        text: str = msgspec.json.decode(await response.read())["choices"][0]["message"]["content"]
        return text


async def recorded(base: str, path: Path) -> None:
    """Take turns at calls that are recorded."""
    async with aiohttp.ClientSession() as session:

        async def call(model: str) -> str:
            return await bare_call(session, base, model)

        with vcr.use_cassette(str(path), record_mode="all"):
            await take_turns({"unary": call})


async def replayed(base: str, path: Path, size: int) -> None:
    """Record so many calls, then take turns at replaying them, from all over the cassette."""
    async with aiohttp.ClientSession() as session:
        with vcr.use_cassette(str(path), record_mode="all"):  # with BODY it compares each with all before
            for number in range(size):
                await asked(session, base, number)
        numbers = itertools.count(0, 617)  # no factor of the sizes: it comes by every question

        async def call(model: str) -> str:
            return await asked(session, base, next(numbers) % size)

        with vcr.use_cassette(str(path), record_mode="none", match_on=BODY, allow_playback_repeats=True):
            await take_turns({"unary": call})


async def main(base: str, size: int) -> None:
    """Take turns at recording, or at replaying if the size is not 0."""
    path = Path(tempfile.mkdtemp()) / "case.yaml"  # in the folder of whoever started this, and removed with it
    await (replayed(base, path, size) if size else recorded(base, path))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
