"""What a server sees of a stream that is stopped: its connection closes at once, and nothing more is sent."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Iterator

import anyio
import anyio.to_thread
import pytest

from mellite import Requirement, stream
from mellite.backends import LiveBackend
from mellite.providers.catalog import find
from tests.wire.server import LAST, Script, Server, gate, head, piece, serve

pytestmark = pytest.mark.anyio

CLOSED_WITHIN = 0.1
"""Seconds within which the connection closes after the first failure."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server in a process of its own."""
    with serve() as server:
        yield server


def event(data: str) -> bytes:
    """One event of a stream."""
    return f"data: {data}\n\n".encode()


def delta(text: str) -> bytes:
    """A piece of an answer, as OpenAI Chat Completions sends it."""
    return event(json.dumps({"choices": [{"index": 0, "delta": {"content": text}}]}))


END = event('{"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}') + event("[DONE]")
SSE = head(200, {"content-type": "text/event-stream"})


class Asked:
    """A script of the server, and a backend that asks it."""

    def __init__(self, script: Script, backend: LiveBackend) -> None:
        self.script = script
        self.thunk = backend.generate("Go.")

    async def release(self, name: str) -> None:
        """Let the server send what is behind a gate."""
        await anyio.to_thread.run_sync(self.script.release, name)

    async def waiting(self, count: int) -> None:
        """Wait until this many requests have come to a gate."""
        await anyio.to_thread.run_sync(self.script.waiting, count)

    async def closed_after(self, decided: float) -> float:
        """How long after a moment the client had closed its connection, in seconds."""
        [gone] = await anyio.to_thread.run_sync(self.script.gone, 1)
        assert gone.gone_at is not None
        return gone.gone_at - decided


@pytest.fixture
async def ask(server: Server) -> AsyncIterator:
    """Makes a script of the server out of steps, and asks it."""
    backends = []

    def make(*steps) -> Asked:
        script = server.script(SSE, *steps)
        backend = LiveBackend(find("openai-chat:gpt-4o-mini", api_key="sk-test", base_url=script.url))
        backends.append(backend)
        return Asked(script, backend)

    yield make
    for backend in backends:
        await backend.aclose()
    await anyio.to_thread.run_sync(server.no_connections)


def noting(word: str, noted: list[float]) -> Requirement:
    """Forbids a word, and notes when it appeared."""

    def check(chunk: str, partial: str) -> bool:
        if word in chunk:
            noted.append(time.monotonic())
        return word not in chunk

    return Requirement(f"no {word}", check_chunk=check)


@pytest.mark.parametrize("chunking", [None, "words", "sentences"])
async def test_the_connection_closes_with_the_first_failure(ask, chunking, pauses):
    """Within 100 ms of the first failure the connection is closed, and the server has sent nothing behind it."""
    asked = ask(
        piece(delta("Good one. ")), gate("next"), piece(delta("A bad one. ")), gate("never"), piece(delta("No.")), LAST
    )
    noted: list[float] = []
    async with stream(asked.thunk, requirements=[noting("bad", noted)], chunking=chunking) as s:
        got = [await anext(s)]
        await asked.waiting(1)
        await asked.release("next")
        got += [chunk async for chunk in s]
        assert await asked.closed_after(noted[0]) < CLOSED_WITHIN + pauses.longest
    await asked.waiting(2)  # it stood before what comes behind the failure, and was never let on
    assert "".join(got).startswith("Good one. ")
    assert "bad" not in "".join(got)
    assert asked.thunk.partial == "Good one. A bad one. "


async def test_a_slow_judge_stops_it_as_fast(ask, pauses):
    """When a judge fails an earlier chunk while others arrive, the connection closes within 100 ms of its verdict."""
    asked = ask(
        piece(delta("One. ")),
        gate("two"),
        piece(delta("Two. ")),
        gate("three"),
        piece(delta("Three. ")),
        gate("never"),
        LAST,
    )
    decided, verdict = [], anyio.Event()

    async def judge(chunk: str, partial: str) -> bool | None:
        if chunk != "One. ":
            return None
        await verdict.wait()
        decided.append(time.monotonic())
        return False

    async def read() -> None:
        async with stream(asked.thunk, requirements=[Requirement("judged", check_chunk=judge)]) as s:
            assert [chunk async for chunk in s] == []

    async with anyio.create_task_group() as group:
        group.start_soon(read)
        for number, name in enumerate(["two", "three"]):
            await asked.waiting(number + 1)
            await asked.release(name)
        await asked.waiting(3)
        verdict.set()
        assert await asked.closed_after(decided[0] if decided else time.monotonic()) < CLOSED_WITHIN + pauses.longest


async def test_leaving_closes_the_connection(ask, pauses):
    """Leaving the block early closes the connection within 100 ms."""
    asked = ask(piece(delta("One. ")), gate("never"), LAST)
    async with stream(asked.thunk) as s:
        async for chunk in s:
            assert chunk == "One. "
            left = time.monotonic()
            break
    assert await asked.closed_after(left) < CLOSED_WITHIN + pauses.longest


async def test_a_server_that_goes_on_sending(ask, pauses):
    """A server that sends as fast as it can is stopped; what was not read was not waited for."""
    asked = ask(piece(delta("A bad one. ")), [piece(delta("More and more of it. ") * 50) for _ in range(2_000)], LAST)
    noted: list[float] = []
    async with stream(asked.thunk, requirements=[noting("bad", noted)]) as s:
        assert [chunk async for chunk in s] == []
        assert await asked.closed_after(noted[0]) < CLOSED_WITHIN + pauses.longest
    assert len(asked.thunk.partial) < 100_000


async def test_a_rejected_attempt_is_closed_before_the_next_begins(server, pauses):
    """With attempts left, the next request is sent after the failure, and the first connection does not linger."""
    script = server.script(SSE, piece(delta("bad ")), gate("rest"), piece(delta("good") + END), LAST)
    noted: list[float] = []
    backend = LiveBackend(find("openai-chat:gpt-4o-mini", api_key="sk-test", base_url=script.url))
    async with backend, stream(backend.generate("Go."), requirements=[noting("bad", noted)], attempts=3) as s:
        assert [chunk async for chunk in s] == []
        gone = await anyio.to_thread.run_sync(script.gone, 3)
    assert (s.attempts, len(noted), len(gone)) == (3, 3, 3)
    for each, decided in zip(gone, noted, strict=True):
        assert each.gone_at is not None
        assert each.gone_at - decided < CLOSED_WITHIN + pauses.longest
    await anyio.to_thread.run_sync(server.no_connections)
