"""When connections are kept, and when they are closed."""

from __future__ import annotations

import gc
import time
import weakref
from contextlib import aclosing
from functools import partial

import anyio
import pytest

from mellite.errors import ConnectionLost, InvalidProviderOutput, MelliteError
from tests.pauses import Pauses
from tests.wire.server import LAST, Server, answer, gate, head, many_files, piece, send
from tests.wire.transports.support import Make, fetch, in_thread, post, whole


class TestConnections:
    """When connections are kept, and when they are closed."""

    @pytest.mark.anyio
    async def test_reused_after_the_end(self, server: Server, make: Make) -> None:
        """A body that was read to its end leaves the connection for the next request."""
        script = server.script(head(), piece(b"x"), LAST)
        async with aclosing(make()) as transport:
            for _ in range(5):
                await fetch(transport, script)
        assert len({each.connection for each in script.requests(5)}) == 1

    @pytest.mark.anyio
    async def test_reused_when_the_end_has_arrived(self, server: Server, make: Make) -> None:
        """Closing a response whose end was received, though not read, also keeps the connection."""
        script = server.script(answer(b"x" * 10))
        async with aclosing(make()) as transport:
            for _ in range(5):
                response = await transport.open(post(script), timeout=5)
                assert await response.read(5) == b"x" * 10
                await response.aclose()
        assert len({each.connection for each in script.requests(5)}) == 1

    @pytest.mark.anyio
    async def test_a_kept_connection_keeps_nothing_else(self, server: Server, make: Make) -> None:
        """A response that is over is gone, though its connection is kept."""
        script = server.script(head(), piece(b"x"), gate("end"), LAST)
        async with aclosing(make()) as transport:
            response = await transport.open(post(script), timeout=5)
            await response.read(5)
            script.release("end")
            await whole(response)
            over = weakref.ref(response)
            del response
            gc.collect()
            assert over() is None
            assert server.connections() == 1

    @pytest.mark.anyio
    async def test_aclose_early(self, server: Server, make: Make) -> None:
        """Closing a response that is still arriving closes its connection within 100 ms, and may be done twice."""
        script = server.script(head(), piece(b"one"), gate("never"))
        async with aclosing(make()) as transport:
            response = await transport.open(post(script), timeout=5)
            assert await response.read(5) == b"one"
            await in_thread(partial(script.waiting, 1))
            with Pauses() as pauses:
                closed = time.monotonic()
                await response.aclose()
                await response.aclose()
                [gone] = await in_thread(partial(script.gone, 1))
                assert gone.gone_at - closed < 0.1 + pauses.longest

    @pytest.mark.anyio
    async def test_aclose_of_the_transport(self, server: Server, make: Make) -> None:
        """Closing the transport closes its connections; using it again makes new ones."""
        script = server.script(answer(b"x"))
        transport = make()
        await fetch(transport, script)
        assert server.connections() == 1
        await transport.aclose()
        await in_thread(server.no_connections)
        assert await fetch(transport, script) == b"x"
        await transport.aclose()
        await in_thread(server.no_connections)

    @pytest.mark.anyio
    async def test_aclose_of_the_transport_ends_what_is_read(self, server: Server, make: Make) -> None:
        """Who waits for a piece when the transport is closed gets ConnectionLost, at once."""
        script = server.script(head(), piece(b"one"), gate("never"))
        transport = make()
        response = await transport.open(post(script), timeout=5)
        assert await response.read(5) == b"one"
        caught: list[MelliteError] = []

        async def read() -> None:
            try:
                await response.read(None)
            except ConnectionLost as error:
                caught.append(error)

        with anyio.fail_after(5):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(read)
                await anyio.wait_all_tasks_blocked()
                await transport.aclose()
        await response.aclose()
        assert len(caught) == 1

    @pytest.mark.anyio
    async def test_two_lengths(self, server: Server, make: Make) -> None:
        """An answer with both a length and chunks is refused, or its connection is not used again."""
        raw = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        script = server.script(send(raw))
        async with aclosing(make()) as transport:
            for _ in range(2):
                try:
                    assert await fetch(transport, script) == b"abc"
                except (InvalidProviderOutput, ConnectionLost):
                    continue
        assert len({each.connection for each in script.requests(2)}) == 2

    @pytest.mark.slow
    @pytest.mark.anyio
    async def test_many_at_once(self, server: Server, make: Make) -> None:
        """A thousand requests can be under way at the same time, each on a connection of its own."""
        many_files()
        script = server.script(gate("all"), answer(b"x"))
        results: list[bytes] = []

        async def one() -> None:
            results.append(await whole(await transport.open(post(script), timeout=60)))

        count = 1000
        async with aclosing(make()) as transport, anyio.create_task_group() as tasks:
            for _ in range(count):
                tasks.start_soon(one)
            await in_thread(partial(script.waiting, count))
            await in_thread(partial(script.release, "all", count))
        assert results == [b"x"] * count

    @pytest.mark.anyio
    async def test_limit(self, server: Server, make: Make) -> None:
        """More requests than `max_connections` wait their turn."""
        script = server.script(gate("one"), answer(b"x"))
        results: list[bytes] = []

        async def one() -> None:
            results.append(await fetch(transport, script))

        async with aclosing(make(max_connections=2)) as transport, anyio.create_task_group() as tasks:
            for _ in range(6):
                tasks.start_soon(one)
            await in_thread(partial(script.waiting, 2))
            await anyio.wait_all_tasks_blocked()
            assert server.connections() == 2
            script.release("one", 6)
        assert results == [b"x"] * 6
