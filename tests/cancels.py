"""Calls that are cancelled at random moments, thousands of them, over few connections or places and many, on all loops.

    python -m tests.cancels --count 10000

Each answer names its request: one that was not cancelled must be its own and whole, whatever was cancelled before it on
the same connection. In the end a call is answered at once, no task goes on, and no connection and no place is in use.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import contextlib
import gc
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from random import Random
from typing import Any

import anyio

from mellite import Concurrency, ModelOutputThunk
from mellite.backends import LiveBackend
from mellite.errors import BackendError, MelliteError
from mellite.providers.catalog import find
from mellite.request import Timeouts
from mellite.wire.transports.http1 import Http1Transport
from tests.every_loop import LOOPS, run_on
from tests.framing import nothing_left
from tests.thunk.support import live_tasks

AT_ONCE = 32
PATIENCE = 15.0
"""Seconds of one call; all clocks of a call are shorter."""

WORDS = 20
"""Words of a stream."""

LARGE = 3_000_000
"""Bytes of a prompt that does not fit into the buffers of a socket."""

# --- who answers ----------------------------------------------------------------------------------


@contextlib.contextmanager
def serving() -> Iterator[int]:
    """Run the server in a process of its own until the block ends; its port is given."""
    command = [sys.executable, "-m", "tests.cancels", "--serve"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


def text_of(number: int) -> str:
    """The answer to a request."""
    return "".join(f"{number}.{word} " for word in range(WORDS))


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def _event(number: int, word: int) -> bytes:
    last = "stop" if word == WORDS - 1 else None
    said = {"choices": [{"index": 0, "delta": {"content": f"{number}.{word} "}, "finish_reason": last}]}
    return _chunk(b"data: %s\n\n" % json.dumps(said).encode())


class _Server:
    def __init__(self) -> None:
        self.busy = 0

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if head.startswith(b"GET /busy"):
                    writer.write(b"HTTP/1.1 200 X\r\ncontent-length: 6\r\n\r\n%6d" % self.busy)
                    continue
                self.busy += 1
                try:
                    await self._answer(head, reader, writer)
                finally:
                    self.busy -= 1
        writer.close()

    async def _answer(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, number_, way, _ = head.split(b" ")[1].split(b"/", 3)
        number, random = int(number_), Random(int(number_))
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        left = int(length.split(b":")[1])
        if way == b"unread":  # what was sent is not looked at: a client that cannot send it all gets its answer anyway
            await asyncio.sleep(random.random() * 0.01)
            writer.write(b"HTTP/1.1 413 X\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}")
            await writer.drain()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(reader.readexactly(left), 0.2)
            raise ConnectionResetError
        await reader.readexactly(left)
        if way == b"whole":
            message = {"choices": [{"message": {"content": text_of(number)}, "finish_reason": "stop"}]}
            body = json.dumps(message).encode()
            writer.write(b"HTTP/1.1 200 X\r\ncontent-type: application/json\r\n")
            writer.write(b"content-length: %d\r\n\r\n%s" % (len(body), body))
            return
        writer.write(b"HTTP/1.1 200 X\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        for word in range(WORDS):
            writer.write(_event(number, word))
            if writer.is_closing():
                raise ConnectionResetError
            if way == b"paced":
                await writer.drain()
                await asyncio.sleep(random.choice((0, 0, 0.001, 0.002)))
        writer.write(_chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")
        await writer.drain()


async def _serve() -> None:
    server = await asyncio.start_server(_Server().connected, "127.0.0.1", 0, backlog=1024, limit=2**22)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(0, ended.set)
    await ended.wait()
    os._exit(0)  # with whatever is still connected


# --- who asks -------------------------------------------------------------------------------------

WAYS = ("whole", "burst", "paced", "paced", "paced", "unread")


class Run:
    """What came of many calls on one loop.

    Attributes:
        counts: how calls ended, and how often.
        wrong: what must not happen, as sentences.
        next_seconds: how long the call after all of them took, over each transport.
    """

    def __init__(self, port: int) -> None:
        self.counts: collections.Counter[str] = collections.Counter()
        self.wrong: list[str] = []
        self.next_seconds: list[float] = []
        self._port = port
        self._places: Concurrency | None = None

    async def all(self, count: int, connections: int, seed: int, *, places: int | None = None) -> None:
        """Make so many calls, several at once; then see that all is as if there had been none."""
        tasks_before = live_tasks()
        self._places = None if places is None else Concurrency(places)
        transport = Http1Transport(max_connections=connections)
        numbers = iter(range(seed, seed + count))

        async def work() -> None:
            for number in numbers:
                try:
                    with anyio.fail_after(PATIENCE):
                        await self._one(number, transport)
                except Exception as error:  # what must not happen, whatever it is
                    plan = " ".join(_plan(number)[:2])
                    self.wrong.append(f"{number}: {plan}: {type(error).__name__}: {error} {error.__cause__!r}")

        async with contextlib.aclosing(transport):
            async with anyio.create_task_group() as tasks:
                for _ in range(AT_ONCE):
                    tasks.start_soon(work)
            begun = time.monotonic()
            thunk = self._thunk(seed, "burst", transport)
            with anyio.fail_after(PATIENCE):
                if await thunk != text_of(seed):
                    self.wrong.append(f"the call after {count} others got {thunk.partial!r:.100}")
            self.next_seconds.append(time.monotonic() - begun)
            del thunk
            await self._nothing_goes_on(tasks_before)
        if self._places is not None:
            kept = [self._places.limit.place() for _ in range(self._places.limit.most)]
            if not all(place.take_if_free() for place in kept):
                self.wrong.append("a place was lost")

    async def _nothing_goes_on(self, tasks_before: set[Any]) -> None:
        busy, left = 0, set[Any]()
        for _ in range(100):
            gc.collect()
            busy = await self._busy()
            left = live_tasks() - tasks_before
            if not busy and not left:
                return
            await anyio.sleep(0.02)
        self.wrong.append(f"the server is at {busy} requests, and these tasks go on: {left}")

    async def _busy(self) -> int:
        async with await anyio.connect_tcp("127.0.0.1", self._port) as stream:
            await stream.send(b"GET /busy HTTP/1.1\r\n\r\n")
            data = b""
            while len(data.partition(b"\r\n\r\n")[2]) < 6:
                data += await stream.receive()
            return int(data.partition(b"\r\n\r\n")[2])

    def _thunk(self, number: int, way: str, transport: Http1Transport) -> ModelOutputThunk[str]:
        url = f"http://127.0.0.1:{self._port}/{number}/{way}"
        route = find("openai-chat:m", api_key="k", base_url=url)
        prompt = "x" * LARGE if way == "unread" or number % 50 == 7 else "Hello."
        backend = LiveBackend(
            route, transport=transport, timeouts=Timeouts(first_byte=10, idle=10), max_concurrency=self._places
        )
        return backend.generate(prompt, stream=way != "whole")

    async def _one(self, number: int, transport: Http1Transport) -> None:
        way, how, random = _plan(number)
        thunk = self._thunk(number, way, transport)
        ended = await _end(thunk, how, random)
        if ended == "done" and thunk.value != text_of(number):
            self.wrong.append(f"{number}: {way} {how}: not its answer, but {thunk.value!r:.100}")
        if not text_of(number).startswith(thunk.partial):
            self.wrong.append(f"{number}: {way} {how}: its text is {thunk.partial!r:.100}")
        if how == "wait" and ended != "done" and way != "unread":
            self.wrong.append(f"{number}: {way}: nobody cancelled it, and it ended with {thunk.error!r}")
        self.counts[f"{how}: {ended}"] += 1


def _plan(number: int) -> tuple[str, str, Random]:
    """In which way a call is answered, and how it is given up; what decides the rest."""
    random = Random(number)
    way = random.choice(WAYS) if number % 10 else "unread"
    return way, random.choice(("wait", "wait", "scope", "scope", "scope", "cancel", "leave", "drop")), random


async def _end(thunk: ModelOutputThunk[str], how: str, random: Random) -> str:
    """Ask, and give up in some way at some moment; return how that ended."""
    after = random.random() ** 2 * 0.03
    words = itertools.islice(range(WORDS), random.randrange(WORDS))
    try:
        if how == "scope":
            with anyio.move_on_after(after) as scope:
                await thunk
            return "cancelled" if scope.cancelled_caught else "done"
        if how == "cancel":
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_cancel, thunk, after)
                with contextlib.suppress(MelliteError):
                    await thunk
            if thunk.cancelled or thunk.error is None:
                return "cancelled" if thunk.cancelled else "done"
            await thunk
        if how in ("leave", "drop"):
            async with contextlib.AsyncExitStack() as stack:
                if how == "leave":
                    await stack.enter_async_context(thunk)
                async for _ in thunk:
                    if next(words, None) is None:
                        return "left"
            return "done"
        await thunk
    except MelliteError as error:
        if isinstance(error, BackendError) or "unforeseen" in str(error):  # which stand for what is not foreseen
            raise
        return type(error).__name__
    return "done"


async def _cancel(thunk: ModelOutputThunk[str], after: float) -> None:
    await anyio.sleep(after)
    thunk.cancel("no longer wanted")


def run(port: int, loop: str, count: int, seed: int = 0) -> Run:
    """Make so many calls on a loop: half over four connections, a quarter over as many as they like, or six at once."""
    found = Run(port)

    async def main() -> None:
        async with nothing_left(found.wrong):
            await found.all(count // 2, 4, seed)
            await found.all(count // 4, 64, seed + count // 2)
            await found.all(count // 4, 64, seed + 3 * count // 4, places=6)

    run_on(loop, main)
    if max(found.next_seconds) > 1:
        found.wrong.append(f"{loop}: the call after all took {max(found.next_seconds):.2f} s")
    return found


def main(arguments: Iterable[str], write: Callable[[str], object] = sys.stdout.write) -> str | None:
    """Run from the command line; return what is wrong."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=10_000, help="calls on each loop")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--loop", choices=LOOPS, action="append")
    parser.add_argument("--serve", action="store_true")
    given: Any = parser.parse_args([*arguments])
    if given.serve:
        asyncio.run(_serve())
        return None
    wrong: list[str] = []
    for loop in given.loop or LOOPS:
        begun = time.monotonic()
        with serving() as port:
            found = run(port, loop, given.count, given.seed)
        write(f"{loop}: {sum(found.counts.values()):,} calls in {time.monotonic() - begun:,.0f} s, ")
        write(f"the next in {max(found.next_seconds):.3f} s: {dict(found.counts.most_common())}\n")
        wrong += found.wrong
    return "\n".join([f"{len(wrong)} troubles:", *wrong[:50]]) if wrong else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
