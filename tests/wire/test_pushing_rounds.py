"""Many calls over few kept connections, read, left and cancelled at random: none sees anything of another."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import suppress

import anyio
import anyio.lowlevel
import pytest

from mellite import ModelOutputThunk
from mellite.errors import GenerationCancelled, MelliteError
from mellite.wire.transports.http1 import Http1Transport
from tests.every_loop import on_loops
from tests.wire.answers import DONE, JSON, WHOLE, chunk
from tests.wire.server import CLOSE, LAST, PATIENCE, Script, Server, Step, answer, head, piece, serve
from tests.wire.test_pushing import HEAD, asking, at_once

CALLS = 150
COUNTS = (0, 1, 40, 700)
ENDS = {"mark": (DONE, LAST), "body": (b"", LAST), "cut": (b"", CLOSE), "close": (DONE, LAST)}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve() as running:
        yield running


def text_of(name: str, count: int) -> str:
    return "".join(f"{name}.{number} " for number in range(count))


def scripts_of(server: Server, chance: random.Random) -> dict[str, tuple[Script, str, bool]]:
    """Scripts of all kinds by name, with their texts, and whether they stream."""
    scripts = {}
    for count in COUNTS:
        for end, (mark, last) in ENDS.items():
            name = f"{end}{count}"
            data = b"".join([chunk(f"{name}.{number} ") for number in range(count)])
            data += b"" if end == "cut" else chunk(finish="stop") + mark
            first = head(headers={"connection": "close"}) if end == "close" else HEAD
            at = chance.randrange(1, max(len(data), 2))
            steps: list[Step] = [first, *[piece(part) for part in (data[:at], data[at:]) if part]]
            if end == "close" or chance.random() < 0.5:
                steps = [at_once(*steps)] if last is CLOSE else [at_once(*steps, last)]
            steps += [last] if last is CLOSE or len(steps) > 1 else []
            scripts[name] = server.script(*steps), text_of(name, count), True
        body = WHOLE.replace(b"Hello.", text_of(f"whole{count}", count).encode())
        scripts[f"whole{count}"] = server.script(answer(body, headers=JSON)), text_of(f"whole{count}", count), False
    return scripts


async def use(thunk: ModelOutputThunk[str], chance: random.Random) -> None:
    """Read the thunk in one of many ways, or only some of it."""
    way = chance.choice(["await", "events", "two", "leave", "cancel", "limit"])
    with suppress(MelliteError):
        if way == "await":
            await thunk
        elif way == "events":
            async for _ in thunk.events(ahead=chance.randint(1, 9)):
                if chance.random() < 0.01:
                    await anyio.lowlevel.checkpoint()
        elif way == "two":
            async with anyio.create_task_group() as group:
                group.start_soon(thunk.settle)
                events = thunk.events(ahead=1)
                with suppress(StopAsyncIteration, MelliteError):
                    for _ in range(chance.randint(1, 500)):
                        await anext(events)
        elif way == "leave":
            events = thunk.events(ahead=2)
            with suppress(StopAsyncIteration):
                for _ in range(chance.randint(1, 300)):
                    await anext(events)
        elif way == "limit":
            with anyio.move_on_after(chance.choice([0, 0.001, 0.005])):
                await thunk
        else:
            async with anyio.create_task_group() as group:
                group.start_soon(thunk.settle)
                for _ in range(chance.randint(0, 9)):
                    await anyio.lowlevel.checkpoint()
                await thunk.cancel_generation()


@pytest.mark.anyio
@on_loops("asyncio", "uvloop", "trio")
@pytest.mark.parametrize("seed", [1, 2])
async def test_at_random(server: Server, seed: int) -> None:
    """Each text is its own script's, whole where the call is done; no connection and no place gets lost."""
    chance = random.Random(seed)
    scripts = scripts_of(server, chance)
    transport = Http1Transport(max_connections=4)
    backends = {name: asking(script, transport, max_concurrency=6) for name, (script, _, _) in scripts.items()}
    names = [chance.choice(sorted(scripts)) for _ in range(CALLS)]
    at_once_most = anyio.CapacityLimiter(10)

    async def call(name: str, own: random.Random) -> None:
        _, text, stream = scripts[name]
        thunk = backends[name].generate("hi", stream=stream)
        async with at_once_most:
            await use(thunk, own)
        if thunk.state == "done":
            assert thunk.value == text
        else:
            assert text.startswith(thunk.partial)
            assert thunk.error is None or name.startswith("cut") or isinstance(thunk.error, GenerationCancelled), name

    with anyio.fail_after(3 * PATIENCE):
        async with anyio.create_task_group() as group:
            for name in names:
                group.start_soon(call, name, random.Random(chance.random()))
        async with anyio.create_task_group() as group:  # as many at once as there are connections, each with its place
            for name in sorted(scripts):
                group.start_soon(backends[name].generate("hi", stream=scripts[name][2]).settle)
    await transport.aclose()
