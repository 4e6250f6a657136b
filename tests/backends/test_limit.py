"""At most so many generations of a live backend at once: over loops and threads, in order, without a place lost."""

from __future__ import annotations

import asyncio
import copy
import gc
import os
import pickle
import sys
import threading
from typing import Any, cast

import anyio
import pytest

import mellite
from mellite.backends import LiveBackend
from mellite.cassettes import ScriptedTransport
from mellite.errors import ConnectError, InvalidRequest, TotalTimeout
from mellite.loops.places import Limit
from mellite.request import Timeouts
from mellite.wire.http import HttpRequest, HttpResponse
from tests.thunk.support import blocked

pytestmark = pytest.mark.anyio

CHUNK = b'data: {"choices": [{"index": 0, "delta": {"content": "x"}}]}\n\n'
END = b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'


class Answer(HttpResponse):
    """An answer of some chunks and an end; each piece waits until the server lets it go."""

    def __init__(self, server: Server, chunks: int) -> None:
        self.status = 200
        self.headers = {"content-type": "text/event-stream"}
        self._server = server
        self._pieces = [CHUNK] * chunks + [END, b""]
        self._open = True

    async def read(self, timeout: float | None = None) -> bytes:
        """The next piece, once the server is told to go on."""
        await self._server.admit()
        return self._pieces.pop(0)

    async def aclose(self) -> None:
        """Count it as over."""
        if self._open:
            self._open = False
            self._server.count(-1)


class Server:
    """A transport to a server that counts the requests it has open at the same time."""

    def __init__(self, *, chunks: int = 1, free: bool = False, refuses: bool = False) -> None:
        self.open = self.most = 0
        self.asked: list[str] = []
        self.allowed = 0
        self.free = free
        self._waiting: list[anyio.Event] = []
        self._chunks = chunks
        self._refuses = refuses
        self._lock = threading.Lock()

    def allow(self, count: int) -> None:
        """Let so many more pieces go."""
        self.allowed += count
        self._wake()

    def let_go(self) -> None:
        """Let everything go from now on."""
        self.free = True
        self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for event in waiting:
            event.set()

    async def admit(self) -> None:
        """Wait until a piece may go."""
        while not (self.free or self.allowed):
            event = anyio.Event()
            self._waiting.append(event)
            await event.wait()
        self.allowed -= not self.free

    def count(self, change: int) -> None:
        """Count a request that begins or ends; from any thread."""
        with self._lock:
            self.open += change
            self.most = max(self.most, self.open)

    async def open_(self, request: HttpRequest) -> HttpResponse:
        """Answer a request."""
        self.count(+1)
        self.asked.append(request.body.decode())
        if self._refuses:
            self.count(-1)
            msg = "refused"
            raise ConnectError(msg)
        await anyio.lowlevel.checkpoint()
        return Answer(self, self._chunks)


class Wire:
    """The server as a transport."""

    def __init__(self, server: Server) -> None:
        self.server = server

    async def open(self, request: HttpRequest, *, timeout: float | None = None) -> HttpResponse:
        """Send a request."""
        return await self.server.open_(request)


def limited(server: Server, most: int | None = 2, **options: Any) -> LiveBackend:
    """A live backend with a limit."""
    backend = mellite.backend(
        "openai-chat:gpt-4o-mini", api_key="sk-test", transport=Wire(server), max_concurrency=most, **options
    )
    assert isinstance(backend, LiveBackend)
    return backend


async def until(condition: Any) -> None:
    """Wait until something is so."""
    with anyio.fail_after(20):
        while not condition():
            await blocked()


@pytest.mark.parametrize("most", [1, 3])
async def test_no_more_than_so_many(most: int) -> None:
    """All are answered, and never more than so many are open; who waits is running."""
    server = Server()
    thunks = [limited_to.generate(str(n)) for limited_to in [limited(server, most)] for n in range(10)]
    async with anyio.create_task_group() as group:
        for thunk in thunks:
            group.start_soon(thunk.settle)
        await until(lambda: server.open == most)
        await blocked()
        assert [thunk.state for thunk in thunks] == ["running"] * 10
        assert len(server.asked) == most
        server.let_go()
    assert [thunk.value for thunk in thunks] == ["x"] * 10
    assert (server.most, server.open) == (most, 0)


async def test_first_come_first_served() -> None:
    """Those who wait go in the order in which they came."""
    server = Server()
    backend = limited(server, 1)
    thunks = [backend.generate(f"number {n}") for n in range(6)]
    async with anyio.create_task_group() as group:
        for index, thunk in enumerate(thunks):
            group.start_soon(thunk.settle)
            await until(lambda thunk=thunk: thunk.state == "running")
            await blocked()
            assert len(server.asked) == 1, index
        server.let_go()
    assert [next(n for n in range(6) if f"number {n}" in body) for body in server.asked] == [0, 1, 2, 3, 4, 5]


async def test_without_a_limit() -> None:
    """None is no limit; 64 is the default."""
    for options, most in (({"most": None}, 70), ({"most": 64}, 64)):
        server = Server()
        backend = limited(server, **options)  # type: ignore[arg-type]
        async with anyio.create_task_group() as group:
            group.start_soon(mellite.gather, *[backend.generate("x") for _ in range(70)])
            await until(lambda server=server, most=most: server.open == most)
            await blocked()
            server.let_go()
        assert server.most == most
    assert LiveBackend(backend.route)._limit.most == 64  # type: ignore[union-attr]


@pytest.mark.parametrize("most", [0, -1, True, 2.5, "8"])
def test_a_limit_that_is_none(most: Any) -> None:
    """A limit below 1, or that is not a whole number, is refused when the backend is made."""
    with pytest.raises(InvalidRequest, match="at least 1") as caught:
        limited(Server(), most)
    assert caught.value.parameter == "max_concurrency"
    for name in ("fake:echo", "cassette:answers"):
        with pytest.raises(InvalidRequest, match="at least 1"):
            mellite.backend(name, max_concurrency=most)


def test_a_limit_above_all_numbers_of_calls() -> None:
    """A limit takes no memory for places that nobody takes."""
    place = cast("Limit", limited(Server(), sys.maxsize)._limit).place()
    assert place.take_if_free()


async def test_every_end_gives_the_place_back() -> None:
    """Done, failed, cancelled while it waits, cancelled in the middle, dropped: the next one gets the place."""
    server = Server()
    backend = limited(server, 1)
    for round in range(5):
        first, waiting, last = [backend.generate(f"{round} {n}") for n in range(3)]
        async with anyio.create_task_group() as group:
            group.start_soon(first.settle)
            await until(lambda: server.open == 1)
            for thunk in (waiting, last):
                group.start_soon(thunk.settle)
                await blocked()
            await waiting.cancel_generation()
            await first.cancel_generation()
            await until(lambda: server.open == 1)
            server.allow(3)
        assert [thunk.state for thunk in (first, waiting, last)] == ["cancelled", "cancelled", "done"]
    refusing = limited(Server(refuses=True), 1)
    for thunk in await mellite.gather(*[refusing.generate("x") for _ in range(5)]):
        assert isinstance(thunk.error, ConnectError)
    iterator = aiter(backend.generate("dropped"))
    server.allow(1)
    assert await anext(iterator) == "x"
    del iterator
    gc.collect()
    server.let_go()
    assert await backend.generate("next") == "x"


async def test_one_that_pauses_lets_others_go() -> None:
    """A reader that breaks off holds no place; when it is read on, it waits for one before all who wait."""
    server = Server(chunks=400, free=True)  # more than a generation runs ahead
    backend = limited(server, 1)
    paused = backend.generate("paused")
    async for _ in paused:
        break
    assert await backend.generate("another") == "x" * 400
    server.free = False
    other, third = backend.generate("other"), backend.generate("third")
    async with anyio.create_task_group() as group:
        group.start_soon(other.settle)
        await until(lambda: len(server.asked) == 3)
        group.start_soon(third.settle)
        await blocked()
        group.start_soon(paused.settle)
        await blocked()
        assert (paused.state, len(server.asked)) == ("running", 3)
        server.let_go()
    assert [thunk.value for thunk in (paused, other, third)] == ["x" * 400] * 3


async def test_total_runs_while_it_waits() -> None:
    """`total` begins when the thunk is driven, `first_byte` when the request is sent."""
    server = Server()
    backend = limited(server, 1)
    first = backend.generate("x", timeouts=Timeouts(first_byte=30, idle=30))
    late = backend.generate("y", timeouts=Timeouts(total=0.05))
    patient = backend.generate("z", timeouts=Timeouts(first_byte=0.05, idle=5))
    async with anyio.create_task_group() as group:
        group.start_soon(first.settle)
        await until(lambda: server.open == 1)
        group.start_soon(late.settle)
        group.start_soon(patient.settle)
        await until(late.is_computed)
        assert isinstance(late.error, TotalTimeout)
        assert "max_concurrency" in str(late.error)
        await anyio.sleep(0.1)
        server.let_go()
    assert (first.value, patient.value, len(server.asked)) == ("x", "x", 2)


def test_over_loops_and_threads() -> None:
    """One limit holds for all loops of the process, asyncio, trio and the background loop, and loses no place."""
    server = Server(chunks=2, free=True)
    backend = limited(server, 3)
    found: list[str | None] = []

    def work(loop: str) -> None:
        thunks = [backend.generate(loop) for _ in range(30)]
        if loop == "sync":
            mellite.gather(thunks).result(60)
        else:
            anyio.run(mellite.gather, *thunks, backend=loop)
        found.extend(thunk.value for thunk in thunks)

    threads = [threading.Thread(target=work, args=(loop,)) for loop in ("asyncio", "trio", "sync", "asyncio", "trio")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == ["xx"] * 150
    assert server.most <= 3
    limit = cast("Limit", backend._limit)
    places = [limit.place() for _ in range(4)]
    assert [place.take_if_free() for place in places] == [True, True, True, False]  # none was lost or came of nothing


def test_a_loop_that_is_closed_keeps_no_place() -> None:
    """A loop that is closed by hand, with one generating and one waiting, takes no place with it."""
    server = Server()
    backend = limited(server, 1)

    async def begin() -> None:
        for name in ("generates", "waits"):
            thunk = backend.generate(name)
            tasks.append(asyncio.ensure_future(thunk.settle()))
            await asyncio.sleep(0.02)

    tasks: list[asyncio.Future[Any]] = []
    loop = asyncio.new_event_loop()
    loop.run_until_complete(begin())
    for task in tasks:
        task._log_destroy_pending = False  # type: ignore[attr-defined]
    loop.close()
    tasks.clear()
    server._waiting.clear()
    gc.collect()
    server.let_go()
    assert backend.generate("next").result(20) == "x"


def test_a_forked_child_has_all_places() -> None:
    """What runs in the parent holds no place in a forked child."""
    limit = Limit(1)
    place = limit.place()
    assert place.take_if_free()
    assert not limit.place().take_if_free()
    child = os.fork()
    if child == 0:
        free = limit.place().take_if_free()
        os._exit(0 if free else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert not limit.place().take_if_free()
    place.give_back()
    place.give_back()
    assert limit.place().take_if_free()


def test_copies_of_a_backend() -> None:
    """A pickled backend has a limit of its own, as high."""
    backend = mellite.backend("openai:gpt-4o-mini", max_concurrency=7)
    twin = pickle.loads(pickle.dumps(backend))
    assert (twin._limit.most, copy.deepcopy(twin)._limit.most) == (7, 7)


async def test_no_limit_where_it_is_replayed() -> None:
    """A cassette answers as many at once as were recorded at once."""
    transport = ScriptedTransport([CHUNK + END])
    backend = mellite.backend("openai-chat:m", api_key="sk-test", transport=transport, max_concurrency=1)
    assert await backend.generate("x") == "x"
    assert mellite.backend("fake:echo", max_concurrency=1).generate("x").result is not None
