"""A host with several addresses: the first that answers is taken, the others are let go, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, aclosing, contextmanager

import anyio
import pytest
import trio
from anyio.abc import ByteStream

from mellite.errors import ConnectError
from mellite.loops import in_trio_task
from mellite.wire.transports.default import HttpRequest
from mellite.wire.transports.http1 import Http1Transport
from mellite.wire.transports.http1.addresses import first_connected
from mellite.wire.transports.http1.origins import HAPPY_EYEBALLS
from tests.every_loop import on_loops
from tests.wire.transports.http1.servers import OK, request_of, serving
from tests.wire.transports.http1.test_tls import GOOD, client_tls, server_tls
from tests.wire.transports.support import connecting_within, whole

pytestmark = pytest.mark.anyio

SILENT, SERVED, REFUSED, ALSO_SERVED = "127.0.0.2", "127.0.0.1", "127.0.0.3", "127.0.0.4"
REACHED = {SILENT, SERVED, REFUSED, ALSO_SERVED}

#: On trio, the addresses of a host are tried by trio's own means.
OURS = on_loops("asyncio", "uvloop")


async def fine(number: int, stream: ByteStream) -> None:
    """Answer one request."""
    await request_of(stream)
    await stream.send(OK)


def found(addresses: Sequence[str], port: int) -> list[tuple[int, int, int, str, tuple[str, int]]]:
    """What a look-up of a host with these addresses gives."""
    stream = (socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
    return [(socket.AF_INET if each in REACHED else socket.AF_INET6, *stream, (each, port)) for each in addresses]


class Resolver(trio.abc.HostnameResolver):
    """Looks up one host for trio."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self.addresses = addresses

    async def getaddrinfo(self, host, port, *hints, **named):  # type: ignore[no-untyped-def]
        return found(self.addresses, port)

    async def getnameinfo(self, sockaddr, flags):  # type: ignore[no-untyped-def]
        raise NotImplementedError


@contextmanager
def leading_to(*addresses: str) -> Iterator[None]:
    """Have every name that this loop looks up lead to some addresses."""
    if in_trio_task():
        before = trio.socket.set_custom_hostname_resolver(Resolver(addresses))
        try:
            yield
        finally:
            trio.socket.set_custom_hostname_resolver(before)
        return
    loop = asyncio.get_running_loop()
    looked_up = loop.getaddrinfo

    async def getaddrinfo(host, port, **hints):  # type: ignore[no-untyped-def]
        return found([host] if host[0].isdigit() else addresses, port)  # uvloop looks up what is an address, too

    loop.getaddrinfo = getaddrinfo  # type: ignore[method-assign]
    try:
        yield
    finally:
        loop.getaddrinfo = looked_up  # type: ignore[method-assign]


@contextmanager
def silent(port: int) -> Iterator[None]:
    """Hold an address at which nothing is answered, as behind a router that drops packets: its queue is full."""
    with ExitStack() as held:
        listening = held.enter_context(socket.socket())
        listening.bind((SILENT, port))
        listening.listen(0)
        for _ in range(10):
            one = held.enter_context(socket.socket())
            one.settimeout(0.05)
            try:
                one.connect((SILENT, port))
            except TimeoutError:
                break
        else:
            pytest.fail("connections beyond the queue of a listener are not held back here")
        yield


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
async def test_a_silent_address(tls: bool) -> None:
    """An address that does not answer costs its head start, not the whole time for connecting."""
    async with (
        serving(fine, server_tls(GOOD) if tls else None) as port,
        aclosing(Http1Transport(ssl_context=client_tls())) as transport,
    ):
        request = HttpRequest("POST", f"http{'s' * tls}://localhost:{port}/", body=b"{}")
        with silent(port), leading_to(SILENT, SERVED):
            began = anyio.current_time()
            assert await whole(await transport.open(connecting_within(20, request), timeout=20)) == b"ok"
            assert HAPPY_EYEBALLS * 0.9 <= anyio.current_time() - began < 10


async def test_a_refusing_address() -> None:
    """An address that refuses costs no time: the next one is tried at once."""
    async with serving(fine) as port, aclosing(Http1Transport()) as transport:
        with silent(port), leading_to(REFUSED, SERVED, SILENT):
            request = HttpRequest("POST", f"http://localhost:{port}/", body=b"{}")
            assert await whole(await transport.open(request, timeout=20)) == b"ok"


async def test_no_address_answers() -> None:
    """Where every address refuses, that is said, in the words of the system."""
    async with aclosing(Http1Transport()) as transport:
        with socket.socket() as held:
            held.bind((SERVED, 0))
            port = held.getsockname()[1]
            with leading_to(REFUSED, ALSO_SERVED), pytest.raises(ConnectError, match="Connection refused"):
                await transport.open(HttpRequest("POST", f"http://localhost:{port}/", body=b"{}"), timeout=20)


@OURS
async def test_failures_of_several_kinds() -> None:
    """Addresses that fail in different ways are each told."""
    told = r"127\.0\.0\.3: Connection refused; 127\.0\.0\.9: "
    with leading_to(REFUSED, "127.0.0.9"), pytest.raises(OSError, match=told):
        await first_connected("localhost", 1)


async def test_cancelled_at_every_moment() -> None:
    """No socket and no task is left of a connection that is given up, at whichever turn of the loop."""

    async def ask() -> None:
        await whole(await transport.open(request, timeout=20))

    async with serving(fine) as port, aclosing(Http1Transport()) as transport:
        async with await anyio.create_tcp_listener(local_host=ALSO_SERVED, local_port=port):
            request = HttpRequest("POST", f"http://localhost:{port}/", body=b"{}")
            with leading_to(SERVED, ALSO_SERVED):
                for turns in range(24):
                    for _ in range(5):
                        async with anyio.create_task_group() as tasks:
                            tasks.start_soon(ask)
                            for _ in range(turns):
                                await anyio.lowlevel.checkpoint()
                            tasks.cancel_scope.cancel()
                if not in_trio_task():
                    await asyncio.sleep(0)
                    others = {task.get_name() for task in asyncio.all_tasks()}
                    assert not [name for name in others if "first_connected" in name]
        gc.collect()  # an open socket that is collected warns, which is an error here


@OURS
async def test_both_answer_at_once() -> None:
    """Of two addresses that connect in the same turn one is taken, and the other is closed."""
    with ExitStack() as listening:
        first = listening.enter_context(socket.create_server((SERVED, 0)))
        port = first.getsockname()[1]
        listening.enter_context(socket.create_server((ALSO_SERVED, port)))
        with leading_to(REFUSED, SERVED, ALSO_SERVED):
            for _ in range(20):
                (await first_connected("localhost", port)).close()
    gc.collect()
