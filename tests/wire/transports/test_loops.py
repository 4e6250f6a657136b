"""One transport serves many loops, and leaves nothing behind in any."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
import weakref
from contextlib import aclosing
from functools import partial
from typing import Any

import anyio
import pytest
import trio

from mellite.wire.http import HttpResponse
from mellite.wire.transports.aiohttp import AiohttpTransport
from mellite.wire.transports.http1 import Http1Transport
from tests.wire.server import LAST, Server, answer, gate, head, piece
from tests.wire.transports.support import LOOPS, Make, fetch, in_thread, post, whole


@pytest.mark.parametrize("name", LOOPS)
class TestLoops:
    """One transport serves many loops, and leaves nothing behind in any."""

    def test_two_runs(self, server: Server, name: str) -> None:
        """A transport works in a second run; the end of a run closes its connections without a word."""
        script = server.script(answer(b"x"))
        transport = LOOPS[name].make()
        for _ in range(2):
            assert LOOPS[name].run(fetch(transport, script)) == b"x"
            server.no_connections()
            gc.collect()

    def test_within_one_run(self, server: Server, name: str) -> None:
        """A transport that is dropped as the run ends is closed once, by whichever comes first."""
        script = server.script(answer(b"x"))

        async def main() -> bytes:
            return await fetch(LOOPS[name].make(), script)

        assert LOOPS[name].run(main()) == b"x"
        server.no_connections()

    def test_several_connections(self, server: Server, name: str) -> None:
        """The end of a run closes all idle connections, not only the first."""
        script = server.script(gate("all"), answer(b"x"))
        transport = LOOPS[name].make()

        async def main() -> None:
            async with anyio.create_task_group() as tasks:
                for _ in range(3):
                    tasks.start_soon(fetch, transport, script)
                await in_thread(partial(script.waiting, 3))
                script.release("all", 3)
            assert server.connections() == 3

        LOOPS[name].run(main())
        server.no_connections()

    def test_threads(self, server: Server, name: str) -> None:
        """Loops in several threads use one transport at once."""
        script = server.script(gate("all"), answer(b"x"))
        transport = LOOPS[name].make()
        results: list[bytes] = []
        threads = [
            threading.Thread(target=lambda: results.append(LOOPS[name].run(fetch(transport, script)))) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        script.waiting(4)
        script.release("all", 4)
        for thread in threads:
            thread.join()
        assert results == [b"x"] * 4
        server.no_connections()

    def test_end_of_the_loop(self, server: Server, name: str) -> None:
        """A run that ends with an answer half read closes its connection."""
        script = server.script(head(), piece(b"one"), gate("never"))
        transport = LOOPS[name].make()

        async def main() -> None:
            async with aclosing(await transport.open(post(script))) as response:
                assert await response.read(5) == b"one"

        LOOPS[name].run(main())
        server.no_connections()

    @pytest.mark.parametrize("in_a_cycle", [False, True])
    def test_dropped(self, server: Server, name: str, in_a_cycle: bool) -> None:
        """A transport that nobody refers to any more closes its connections while the loop goes on."""
        script = server.script(answer(b"x"))

        async def main() -> None:
            transport = LOOPS[name].make()
            await fetch(transport, script)
            assert server.connections() == 1
            if in_a_cycle:
                cycle: list[Any] = [transport]
                cycle.append(cycle)
                del cycle
            del transport
            gc.collect()
            await in_thread(server.no_connections)

        LOOPS[name].run(main())

    def test_closed_from_another_loop(self, server: Server, name: str) -> None:
        """`aclose` in one loop also closes the connections in another that is still running."""
        script = server.script(answer(b"x"))
        transport = LOOPS[name].make()
        used, over = threading.Event(), threading.Event()

        async def use() -> None:
            await fetch(transport, script)
            used.set()
            await in_thread(over.wait)

        thread = threading.Thread(target=lambda: LOOPS[name].run(use()))
        thread.start()
        used.wait()
        LOOPS[name].run(transport.aclose())
        server.no_connections()
        over.set()
        thread.join()

    def test_clients_do_not_pile_up(self, server: Server, name: str) -> None:
        """What a transport keeps for a loop goes with the loop."""
        script = server.script(answer(b"x"))
        transport = LOOPS[name].make()
        loops: list[weakref.ref[Any]] = []

        async def main() -> None:
            await fetch(transport, script)
            loops.append(weakref.ref(asyncio.get_running_loop() if "asyncio" in name else trio.lowlevel.current_task()))

        for _ in range(3):
            LOOPS[name].run(main())
        gc.collect()
        assert [loop() for loop in loops] == [None, None, None]


@pytest.mark.parametrize("make", [Http1Transport, AiohttpTransport])
@pytest.mark.parametrize("half_read", [False, True])
def test_a_loop_closed_without_ceremony(server: Server, half_read: bool, make: Make) -> None:
    """A loop that is just closed, without asyncio.run's clean-up, leaves no warnings, and the transport goes on."""
    script = server.script(head(), piece(b"one"), *[gate("never")] * half_read, LAST)
    transport = make()

    async def main() -> HttpResponse | None:
        response = await transport.open(post(script), timeout=5)
        if half_read:
            await response.read(5)
            return response
        await whole(response)
        return None

    for _ in range(2):
        loop = asyncio.new_event_loop()
        left = loop.run_until_complete(main())
        loop.close()
        if left is not None:
            with contextlib.suppress(StopIteration):  # it has nothing to wait for
                left.aclose().send(None)
        del loop, left
        gc.collect()
    asyncio.run(transport.aclose())
    server.no_connections()


@pytest.mark.parametrize("name", ["http1-asyncio", "aiohttp-asyncio", "httpx2-asyncio"])
@pytest.mark.parametrize("half_read", [False, True])
def test_sockets_of_a_loop_closed_by_hand(server: Server, name: str, half_read: bool) -> None:
    """They are closed with it, busy or idle, though the transport, the answer and the loop are still referred to."""
    script = server.script(head(), piece(b"one"), *[gate("never")] * half_read, LAST)
    transport = LOOPS[name].make()

    async def main() -> HttpResponse | None:
        response = await transport.open(post(script), timeout=5)
        if half_read:
            await response.read(5)
            return response
        await whole(response)
        return None

    loops = []
    for _ in range(2):
        loop = asyncio.new_event_loop()
        left = loop.run_until_complete(main())
        loop.close()
        server.no_connections()
        loops.append((loop, left))


@pytest.mark.parametrize("name", ["http1-asyncio", "aiohttp-asyncio", "httpx2-asyncio"])
def test_dropped_while_the_loop_ends(server: Server, name: str) -> None:
    """A client that its owner and its loop close at the same time is closed once, and the loop waits for that."""
    script = server.script(answer(b"x"))
    transport = LOOPS[name].make()
    loop = asyncio.new_event_loop()
    loop.run_until_complete(fetch(transport, script))
    del transport
    gc.collect()
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
    server.no_connections()
