"""Recorded answers whose HTTP is damaged, over real connections: each ends typed or whole, never in silence.

Damage is done to what frames an answer (its head, the sizes of its chunks, its end), never to what it says: an answer
that counts as finished must have all of its text, however it was framed. One answer in four is left as it is, and must
come out as it is, on whichever connection it comes: what a broken answer left behind is never part of the next one.

    python -m tests.framing --count 100000

Every answer has a number and is made anew from it: `--only 4711` repeats one.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import contextlib
import gc
import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import anyio
import anyio.abc

from mellite.backends import LiveBackend
from mellite.errors import BackendError, MelliteError
from mellite.providers.catalog import find
from mellite.request import Timeouts
from mellite.wire.transports.http1 import Http1Transport
from tests import fuzzing
from tests.every_loop import LOOPS, run_on
from tests.fuzzing import REASONS, Recorded

MEMORY = 64 * 1024 * 1024
"""Bytes that a run may grow by, once it is warm."""

PATIENCE = 30
"""Seconds of one answer; all clocks of a call are shorter."""

AT_ONCE = 8
LONGEST = 40_000
"""Bytes of an answer: a longer one may come in more pieces than it was sent in."""

# --- what is sent ---------------------------------------------------------------------------------


class Plan(NamedTuple):
    """What the server does about one request: the pieces that it writes, and how it goes on."""

    answer: Recorded
    is_good: bool
    pieces: list[bytes]
    end: str


def answers_of(corpora: Path) -> list[Recorded]:
    """The recorded answers that are sent: all but the long ones."""
    return [answer for answer in fuzzing.recorded(corpora) if len(answer.body) < LONGEST]


def plan(answers: list[Recorded], number: int) -> Plan:
    """What is sent for a number; the same each time."""
    random = Random(number)
    answer = random.choice(answers)
    parts, ends = _framed(answer, random)
    if number % 4 == 0:
        return Plan(answer, True, [b"".join(data for _, data in parts)], "close" if ends else "stay")
    for _ in range(random.choice((1, 1, 2, 3))):
        parts = _damaged(parts, random)
    data = b"".join(data for _, data in parts)
    if random.random() < 0.2:
        data = data[: random.randrange(len(data) + 1)]
    if random.random() < 0.1:
        data += random.choice((b"x", b"\r\n", b"0\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nstale"))
    pieces = fuzzing.pieces(data, random) if number % 2 else [data]
    return Plan(answer, False, pieces, "close" if ends else random.choice(("close", "reset", "stay", "stay")))


Part = tuple[bool, bytes]
"""Whether it is framing, and not what is said; and the bytes."""


def _framed(answer: Recorded, random: Random) -> tuple[list[Part], bool]:
    """An answer as HTTP has it, in one of its ways; and whether it ends with the connection."""
    way = random.choice(("length", "chunks", "chunks", "few chunks", "end", "1.0"))
    lines = [f"{name}: {value}".encode("latin-1", "replace") for name, value in answer.headers.items()]
    lines = [line for line in lines if line.split(b":")[0].lower() not in _OWN and b"\n" not in line]
    version = b"HTTP/1.0" if way == "1.0" else b"HTTP/1.1"
    if way == "length":
        lines.append(b"content-length: %d" % len(answer.body))
    elif "chunks" in way:
        lines.append(b"transfer-encoding: chunked")
    random.shuffle(lines)
    head: list[Part] = [(True, line + b"\r\n") for line in [b"%s %d X" % (version, answer.status), *lines, b""]]
    if "chunks" not in way:
        return [*head, (False, answer.body)], way != "length"
    pieces = fuzzing.pieces(answer.body, random) if way == "few chunks" else answer.body.splitlines(keepends=True)
    for piece in filter(None, pieces):
        head += [(True, b"%x\r\n" % len(piece)), (False, piece), (True, b"\r\n")]
    return [*head, (True, b"0\r\n"), (True, b"\r\n")], False


_OWN = {b"content-length", b"transfer-encoding", b"connection", b"content-encoding", b"keep-alive", b"trailer"}

WORDS = (
    b"\x00", b"\xff", b"\r", b"\n", b"\r\n", b" ", b"\t", b":", b"-", b"0", b"f", b"99999999999999999999", b";a",
    b"HTTP/1.1 100 Continue\r\n\r\n", b"connection: close\r\n", b"connection: keep-alive\r\n", b"content-length: 3\r\n",
    b"transfer-encoding: gzip\r\n", b"Transfer-Encoding : chunked\r\n", b"x: " + b"y" * 3000 + b"\r\n",
)  # fmt: skip


def _damaged(parts: list[Part], random: Random) -> list[Part]:
    """The parts with one piece of damage in what is framing."""
    places = [at for at, (is_framing, data) in enumerate(parts) if is_framing and data]
    if not places:
        return parts
    chosen = random.choice(places)
    data = parts[chosen][1]
    at = random.randrange(len(data))
    kind = random.randrange(6)
    if kind == 0:
        data = data[:at] + bytes([data[at] ^ (1 << random.randrange(8))]) + data[at + 1 :]
    elif kind == 1:
        data = data[:at] + data[at + random.choice((1, 1, 2, 30)) :]
    elif kind == 2:
        data = data[:at] + random.choice(WORDS) + data[at:]
    elif kind == 3:
        data += data
    elif kind == 4:
        data = b""
    else:
        data = random.randbytes(random.choice((1, 2, 20)))
    return [*parts[:chosen], (True, data), *parts[chosen + 1 :]]


# --- who sends it ---------------------------------------------------------------------------------


@contextlib.contextmanager
def serving(corpora: Path) -> Iterator[int]:
    """Run the server in a process of its own until the block ends; its port is given."""
    command = [sys.executable, "-m", "tests.framing", "--serve", str(corpora)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


async def _serve(corpora: Path) -> None:
    answers = answers_of(corpora)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        patience: float | None = None
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
            while True:
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), patience)
                length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
                await reader.readexactly(int(length.split(b":")[1]))
                todo = plan(answers, int(head.split(b"/")[1]))
                for piece in todo.pieces:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)
                if todo.end == "reset":
                    linger = struct.pack("ii", 1, 0)
                    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                if todo.end != "stay":
                    break
                patience = 5 if todo.is_good else 0.02  # a client that waits for more would do so for long
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, backlog=1024)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(0, ended.set)
    await ended.wait()
    os._exit(0)  # with whatever is still connected


# --- what comes of it -----------------------------------------------------------------------------


class Run:
    """What came of many answers on one loop.

    Attributes:
        counts: the names of errors and the reasons to finish, and how often each was met.
        wrong: what must not happen, as sentences.
        grown: bytes of memory that were taken after the first tenth.
        slowest: seconds of the slowest answer.
    """

    def __init__(self, corpora: Path, port: int) -> None:
        self.counts: collections.Counter[str] = collections.Counter()
        self.wrong: list[str] = []
        self.grown = 0
        self.slowest = 0.0
        self._answers = answers_of(corpora)
        self._port = port
        self._whole: dict[str, tuple[str, str]] = {}

    async def all(self, numbers: range) -> None:
        """Ask for all numbers, several at once; look at what is left afterwards."""
        cut, glued = Http1Transport(max_connections=AT_ONCE), Http1Transport(max_connections=AT_ONCE // 2)
        before = 0
        async with contextlib.aclosing(cut), contextlib.aclosing(glued), anyio.create_task_group() as tasks:
            todo = iter(numbers)

            async def work() -> None:
                nonlocal before
                for number in todo:
                    begun = time.monotonic()
                    await self._one(number, cut if number % 2 else glued)
                    self.slowest = max(self.slowest, time.monotonic() - begun)
                    if number - numbers.start == len(numbers) // 10:
                        before = fuzzing.memory()

            for _ in range(AT_ONCE):
                tasks.start_soon(work)
        self.grown = fuzzing.memory() - before

    async def _one(self, number: int, transport: Http1Transport) -> None:
        todo = plan(self._answers, number)
        if todo.answer.key not in self._whole:
            self._whole[todo.answer.key] = await fuzzing.ask(todo.answer, todo.answer.body, Random(1))
        word, text = self._whole[todo.answer.key]
        try:
            with anyio.fail_after(PATIENCE):
                found, got = await self._ask(number, todo.answer, transport)
        except Exception as error:  # what must not happen, whatever it is
            self.wrong.append(f"{number}: {todo.answer.key}: {type(error).__name__}: {error} {error.__cause__!r}")
            return
        self.counts[found] += 1
        if todo.is_good and (found, got) != (word, text):
            self.wrong.append(f"{number}: {todo.answer.key}: {found} instead of {word}, {len(got)} characters")
        elif found in REASONS and got != text:
            self.wrong.append(f"{number}: {todo.answer.key}: silent: {len(got)} of {len(text)} characters")

    async def _ask(self, number: int, answer: Recorded, transport: Http1Transport) -> tuple[str, str]:
        route = find(f"{answer.provider}:fuzzed", api_key="k", base_url=f"http://127.0.0.1:{self._port}/{number}")
        timeouts = Timeouts(first_byte=10, idle=10)
        backend = LiveBackend(route, transport=transport, timeouts=timeouts, stream=answer.streaming)
        thunk = backend.generate("What was recorded.")
        try:
            await thunk
        except MelliteError as raised:
            if isinstance(raised, BackendError) or "unforeseen" in str(raised):  # which stand for what is not foreseen
                raise
            return type(raised).__name__, thunk.partial
        return thunk.generation.finish_reason or "none", thunk.partial


def open_sockets() -> int:
    """How many sockets this process has open."""
    found = 0
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the one that lists them
            found += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
    return found


@contextlib.asynccontextmanager
async def nothing_left(wrong: list[str]) -> AsyncIterator[None]:
    """See that a block leaves no open sockets behind, and that nothing was raised where nobody sees it."""
    unseen: list[Any] = []
    hook, sys.unraisablehook = sys.unraisablehook, unseen.append
    with contextlib.suppress(RuntimeError):  # trio has none
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unseen.append(context))
    sockets = open_sockets()
    try:
        yield
        for _ in range(10):
            await anyio.lowlevel.checkpoint()
        gc.collect()
    finally:
        sys.unraisablehook = hook
    wrong += [f"raised unseen: {each}" for each in unseen[:5]]
    left = open_sockets() - sockets
    wrong += [f"{left} sockets are left open"] if left > 0 else []


def run(corpora: Path, port: int, loop: str, numbers: range) -> Run:
    """Ask for all numbers on a loop."""
    found = Run(corpora, port)

    async def main() -> None:
        async with nothing_left(found.wrong):
            await found.all(numbers)

    run_on(loop, main)
    if found.grown > MEMORY:
        found.wrong.append(f"{loop}: it took {found.grown / 1e6:,.0f} MB of memory")
    return found


def main(arguments: Iterable[str], write: Callable[[str], object] = sys.stdout.write) -> str | None:
    """Run from the command line; return what is wrong."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--only", type=int)
    parser.add_argument("--loop", choices=LOOPS, action="append")
    parser.add_argument("--serve", type=Path)
    given = parser.parse_args([*arguments])
    if given.serve is not None:
        asyncio.run(_serve(given.serve))
        return None
    corpora = Path(os.environ.get("MELLITE_CORPORA") or Path(__file__).parent.parent.parent / "shared" / "corpora")
    wrong: list[str] = []
    loops = given.loop or [*LOOPS]
    size = -(-given.count // len(loops))
    for at, loop in enumerate(loops):
        first = given.start + at * size
        numbers = range(first, first + size) if given.only is None else range(given.only, given.only + 1)
        begun = time.monotonic()
        with serving(corpora) as port:
            found = run(corpora, port, loop, numbers)
        write(f"{loop}: {len(numbers):,} answers in {time.monotonic() - begun:,.0f} s, the slowest in ")
        write(f"{found.slowest:.2f} s, {found.grown / 1e6:,.0f} MB more memory: {dict(found.counts.most_common())}\n")
        wrong += found.wrong
    return "\n".join([f"{len(wrong)} troubles:", *wrong[:50]]) if wrong else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
