"""An answer over TLS that waits unread, more of it than is kept, while its server closes: it comes whole."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import IO

import anyio
import pytest

from mellite.wire.transports.aiohttp import AiohttpTransport
from mellite.wire.transports.default import HttpRequest
from mellite.wire.transports.http1 import Http1Transport
from mellite.wire.transports.httpx2 import Httpx2Transport
from tests.every_loop import LOOPS
from tests.wire.transports import closing_server
from tests.wire.transports.closing_server import body_of
from tests.wire.transports.http2_server import CERT, client_tls
from tests.wire.transports.support import Make, whole

pytestmark = pytest.mark.anyio

#: Bytes: more than a transport keeps unread, with little and with much beyond that; the rest the system keeps.
SIZES = [400_000, 800_000, 1_000_000]

TRANSPORTS: dict[str, Make] = {
    "http1": Http1Transport,
    "aiohttp": AiohttpTransport,
    "httpx2": Httpx2Transport,
    "http2": partial(Httpx2Transport, http2=True),
}

ON_LOOPS = [
    pytest.param(loop, name, id=f"{name}-{loop_name}")
    for name in TRANSPORTS
    for loop_name, loop in LOOPS.items()
    if (name, loop_name) != ("aiohttp", "trio")
]


class Server:
    """The process of the server, which closes behind its answers."""

    def __init__(self, said: IO[str]) -> None:
        self.said = said
        self.url = f"https://127.0.0.1:{int(said.readline())}"

    def closed(self) -> None:
        """Wait until it has closed behind an answer."""
        assert self.said.readline() == "closed\n"


@pytest.fixture(scope="module", params=["http/1.1", "h2"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server in a process of its own, which speaks one protocol."""
    certificate = tmp_path_factory.mktemp("closing") / "server.pem"
    CERT.private_key_and_cert_chain_pem.write_to_path(certificate)
    command = [sys.executable, str(Path(closing_server.__file__)), str(certificate), request.param]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield Server(process.stdout)
        finally:
            process.kill()


async def unread_meanwhile(server: Server, make: Make, framing: str) -> None:
    """Leave answers unread until their server has closed behind them, and the loop has seen what it would."""
    for size in SIZES:
        async with aclosing(make(ssl_context=client_tls())) as transport:
            request = HttpRequest("POST", f"{server.url}/{size}/{framing}", body=b"{}")
            response = await transport.open(request, timeout=5)
            with anyio.fail_after(10):
                await anyio.to_thread.run_sync(server.closed, abandon_on_cancel=True)
            for _ in range(50):
                await anyio.lowlevel.checkpoint()
            assert await whole(response) == body_of(size)


@pytest.mark.parametrize(("anyio_backend", "name"), [each for each in ON_LOOPS if each.values[1] != "http2"])
@pytest.mark.parametrize("server", ["http/1.1"], indirect=True)
@pytest.mark.parametrize("goodbye", ["", "?goodbye"])
@pytest.mark.parametrize("framing", ["close", "length", "chunked"])
async def test_the_server_closes_behind_what_waits(server: Server, name: str, framing: str, goodbye: str) -> None:
    """However the answer is framed, and whether TLS is ended in good order or not."""
    await unread_meanwhile(server, TRANSPORTS[name], framing + goodbye)


@pytest.mark.parametrize(("anyio_backend", "name"), [each for each in ON_LOOPS if each.values[1] == "http2"])
@pytest.mark.parametrize("server", ["h2"], indirect=True)
async def test_the_server_closes_behind_what_waits_in_http2(server: Server, name: str) -> None:
    """The same in HTTP/2, where the client asks for each piece of the answer."""
    await unread_meanwhile(server, TRANSPORTS[name], "")
