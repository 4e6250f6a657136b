"""Generations whose events are pushed, and those that wait for their turn: in loops that end, and over threads."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trio
import uvloop

import mellite
from mellite.backends import LiveBackend
from mellite.providers.openai import chat_route
from mellite.wire.framing import SseDecoder
from mellite.wire.transports.http1 import Http1Transport
from tests.thunk.test_pushed import round_trip, tokens, warm
from tests.thunk.test_waiting_for_places import held_up, prompts
from tests.wire.answers import JSON, STREAM, WHOLE, chunk
from tests.wire.server import CLOSE, LAST, Server, answer, gate, piece, serve
from tests.wire.test_pushing import HEAD, asking, at_once


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve() as running:
        yield running


@pytest.mark.parametrize("is_warm", [False, True], ids=["cold", "warm"])
@pytest.mark.parametrize("factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_loop_that_ends(server: Server, factory: Callable[[], Any], is_warm: bool) -> None:
    """A generation that is running then is cancelled, and a thread that waits for it is told."""
    told: list[str] = []

    async def main() -> tuple[Any, threading.Thread, Any]:
        transport = Http1Transport()
        if is_warm:
            await warm(transport, server, 1)
        thunk = asking(server.script(HEAD, piece(chunk("a ")), gate("never")), transport).generate("hi")
        reading = threading.Event()

        def read() -> None:
            try:
                for _ in thunk.iter():
                    reading.set()
            except mellite.errors.GenerationCancelled as error:
                told.append(str(error))

        first = thunk.events()
        await anext(first)
        thread = threading.Thread(target=read)
        thread.start()
        await asyncio.to_thread(reading.wait, 10)
        return thunk, thread, first

    with asyncio.Runner(loop_factory=factory) as runner:
        thunk, thread, _ = runner.run(main())
    thread.join(10)
    assert not thread.is_alive()
    assert thunk.state == "cancelled"
    assert told == ["the generation was cancelled: event loop closed"]


RUNNING = {
    "it waits for more": ([piece(tokens(5)), gate("never")], 256),
    "more came than is wanted": ([at_once(piece(tokens(600))), gate("never")], 1),
    "all has come, and is not wanted yet": ([at_once(piece(tokens(600) + STREAM), LAST)], 1),
    "it broke off behind more than is wanted": ([at_once(piece(tokens(600))), CLOSE], 1),
}


@pytest.mark.parametrize("case", RUNNING)
def test_a_run_of_trio_that_ends(server: Server, case: str) -> None:
    """A generation that is running then is cancelled, wherever it stands, and a thread that waits for it is told."""
    steps, ahead = RUNNING[case]
    told: list[str] = []

    def wait(thunk: mellite.ModelOutputThunk[str]) -> None:
        try:
            thunk.result(20)
        except mellite.errors.GenerationCancelled as error:
            told.append(str(error))

    async def main() -> tuple[mellite.ModelOutputThunk[str], list[threading.Thread], Any]:
        transport = Http1Transport()
        thunk = asking(server.script(HEAD, *steps), transport).generate("hi")
        events = thunk.events(ahead=ahead)
        for _ in range(3):
            await anext(events)
        threads = [threading.Thread(target=wait, args=(thunk,))] * (ahead > 1)  # it would want more
        for thread in threads:
            thread.start()
        await round_trip(server, transport)
        return thunk, threads, events

    thunk, threads, _ = trio.run(main)
    for thread in threads:
        thread.join(20)
    why = str(thunk.outcome and thunk.outcome.error)
    assert (thunk.state, why) == ("cancelled", "the generation was cancelled: event loop closed")
    assert told == [why] * len(threads)
    server.no_connections()


class Interrupted(SseDecoder):
    """A decoder during whose work the user presses Ctrl-C."""

    def feed(self, data: bytes) -> Any:
        raise KeyboardInterrupt


@pytest.mark.parametrize("is_warm", [False, True], ids=["cold", "warm"])
def test_ctrl_c_ends_the_program(server: Server, is_warm: bool) -> None:
    """An interrupt where bytes arrive leaves the loop, as it does from a task, and settles the thunk."""
    thunks: list[mellite.ModelOutputThunk[str]] = []

    async def main() -> None:
        transport = Http1Transport()
        await warm(transport, server, int(is_warm))
        url = server.script(HEAD, piece(chunk("a ")), gate("never")).url
        route = chat_route(api_key=None, model="m", base_url=f"{url}/v1").with_(framing=Interrupted)
        thunks.append(LiveBackend(route, transport=transport).generate("hi"))
        await thunks[0]

    with asyncio.Runner() as runner, pytest.raises(KeyboardInterrupt):
        runner.run(main())
    assert thunks[0].state == "cancelled"
    assert str(thunks[0].outcome and thunks[0].outcome.error).endswith("KeyboardInterrupt")


@pytest.mark.parametrize(
    "wrap", [lambda backend: backend, mellite.RateLimit, mellite.Retry], ids=["alone", "watched", "tried"]
)
def test_ctrl_c_ends_the_program_on_trio(server: Server, wrap: Callable[[Any], Any]) -> None:
    """An interrupt where bytes arrive is raised by who waits for the answer: trio takes it amiss of any other task."""
    thunks: list[mellite.ModelOutputThunk[str]] = []

    async def main() -> None:
        url = server.script(HEAD, piece(chunk("a ")), gate("never")).url
        route = chat_route(api_key=None, model="m", base_url=f"{url}/v1").with_(framing=Interrupted)
        thunks.append(wrap(LiveBackend(route, transport=Http1Transport())).generate("hi"))
        await thunks[0]

    with pytest.raises(KeyboardInterrupt):
        trio.run(main)
    assert thunks[0].state == "cancelled"


def test_threads_wait_for_one_another(server: Server) -> None:
    """A place that is given back in one loop goes to whoever is next, in whichever thread."""
    script = held_up(server)
    few = mellite.Concurrency(1)
    done: list[str] = []

    def use(name: str) -> None:
        async def main() -> None:
            transport = Http1Transport()
            await asking(server.script(answer(WHOLE, headers=JSON)), transport).generate("hi", stream=False)
            backend = asking(script, transport, max_concurrency=few)
            for turn in range(5):
                await backend.generate(f"{name}{turn}", stream=False)
            await transport.aclose()
            done.append(name)

        asyncio.run(main())

    threads = [threading.Thread(target=use, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for count in range(1, 16):
        assert len(script.waiting(count)) == count  # never two at once
        script.release("all")
    for thread in threads:
        thread.join(20)
    assert sorted(done) == ["a", "b", "c"]


def test_a_loop_that_is_closed_under_those_that_wait(server: Server) -> None:
    """They are cancelled, and a place goes past them to another loop."""
    script = held_up(server)
    few = mellite.Concurrency(1)
    transport = Http1Transport()
    backend = asking(script, transport, max_concurrency=few)
    waiting = [backend.generate("waits", stream=False) for _ in range(3)]

    async def begin() -> None:
        await asking(server.script(answer(WHOLE, headers=JSON)), transport).generate("hi", stream=False)
        tasks.append(asyncio.ensure_future(backend.generate("first", stream=False).settle()))
        await asyncio.to_thread(script.waiting, 1)
        tasks.extend([asyncio.ensure_future(thunk.settle()) for thunk in waiting])
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    tasks: list[asyncio.Future[Any]] = []
    loop = asyncio.new_event_loop()
    loop.run_until_complete(begin())
    for task in tasks:
        task._log_destroy_pending = False  # type: ignore[attr-defined]
    loop.close()
    tasks.clear()
    gc.collect()
    assert [thunk.state for thunk in waiting] == ["cancelled"] * 3
    script.release("all", 2)
    assert asking(script, Http1Transport(), max_concurrency=few).generate("next", stream=False).result(20) == "Hello."
    assert "waits" not in prompts(script.requests(2))
