"""The pytest plugin keeps tests from the network: which calls it sees, and what it says."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from tests.plugin.runs import Run, greeting
from tests.wire.server import Script

pytest_plugins = ["pytester"]

EMPTY = '{"version": 1, "interactions": []}'

BLOCKED = """
    import socket, sys, pytest

    def reach(host):
        sys.audit("socket.connect", None, (host, 443))
        sys.audit("socket.getaddrinfo", host, 443, 0, 0, 0)

    def test_this_machine():
        for host in ("127.0.0.1", "::1", "localhost", b"localhost"):
            reach(host)
        sys.audit("socket.connect", None, "/a/unix/socket")

    @pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", "api.openai.com"])
    def test_elsewhere(host):
        reach(host)

    @pytest.mark.mellite(live=True)
    def test_live():
        reach("api.openai.com")

    def test_allowed():
        for host in ("models.example", b"models.example"):
            reach(host)
"""


@pytest.mark.slow
def test_block_network(run: Run) -> None:
    """--mellite-block-network keeps every test on this machine, but for live ones and hosts that are allowed."""
    run(BLOCKED).assert_outcomes(passed=6)
    blocked = run(None, "--mellite-block-network", "-o", "mellite_allowed_hosts=models.example")
    blocked.assert_outcomes(passed=3, failed=3)
    blocked.stdout.fnmatch_lines(["*this test may not reach 192.0.2.1: --mellite-block-network*"])


@pytest.mark.slow
def test_no_live_call_by_accident(run: Run, script: Script) -> None:
    """A test that replays reaches no other machine, also past its cassette; after it the network is back."""
    source = greeting(script) + dedent(
        """
        @pytest.mark.mellite(install=False)
        def test_elsewhere(cassette):
            with pytest.raises(mellite.MelliteError, match="may not reach"):
                mellite.backend("openai-chat:m", base_url="https://192.0.2.1", api_key="k").generate("hi").result(20)

        def test_after():
            import sys
            sys.audit("socket.connect", None, ("192.0.2.1", 443))
        """
    ).replace("\n", "\n        ")
    run(source, "--mellite-record", "-k", "hello").assert_outcomes(passed=2, deselected=2)
    path = "cassettes/test_it/test_elsewhere.json"
    Path(path).write_text('{"version": 1, "interactions": []}')
    run().assert_outcomes(passed=4)


LOOPS = """
    import asyncio, importlib, socket, pytest

    ELSEWHERE = "192.0.2.1"

    async def connect():
        await asyncio.open_connection(ELSEWHERE, 443)

    async def connect_by_name():
        loop = asyncio.get_running_loop()
        await loop.create_connection(protocol_factory=asyncio.Protocol, host=ELSEWHERE, port=443)

    async def look_up():
        await asyncio.get_running_loop().getaddrinfo("models.example", 443)

    async def send():
        await asyncio.get_running_loop().create_datagram_endpoint(
            asyncio.DatagramProtocol, remote_addr=(ELSEWHERE, 53)
        )

    async def connect_a_socket():
        with socket.socket() as one:
            one.setblocking(False)
            await asyncio.get_running_loop().sock_connect(one, (ELSEWHERE, 443))

    @pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
    @pytest.mark.parametrize("reach", [connect, connect_by_name, look_up, send, connect_a_socket])
    def test_elsewhere(cassette, loop, reach):
        with pytest.raises(OSError, match="may not reach .*pytest with --mellite-record"):
            importlib.import_module(loop).run(reach())

    @pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
    def test_this_machine(cassette, loop):
        async def here():
            with socket.create_server(("127.0.0.1", 0)) as server:
                _, writer = await asyncio.open_connection("localhost", server.getsockname()[1], family=socket.AF_INET)
                writer.close()

        importlib.import_module(loop).run(here())

    def test_without_a_loop(cassette):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one, pytest.raises(OSError, match="may not reach"):
            one.sendto(b"?", (ELSEWHERE, 53))
        with pytest.raises(OSError, match="may not reach models.example"):
            socket.gethostbyname("models.example")

    def test_after():
        import uvloop

        assert not {"create_connection", "getaddrinfo", "sock_connect"} & vars(uvloop.Loop).keys()
"""


@pytest.mark.slow
def test_every_loop_is_seen(pytester: pytest.Pytester, run: Run) -> None:
    """A loop that opens its sockets in C is no way out; when the test is over it is as it was."""
    pytester.makefile(".json", **{"cassettes/empty": EMPTY})
    source = "    import pytest\n    pytestmark = pytest.mark.mellite('empty.json')\n" + LOOPS
    run(source).assert_outcomes(passed=14)


WORDS = """
    import asyncio, mellite, pytest
    from mellite.wire.transports.httpx2 import Httpx2Transport
    from mellite.wire.transports.aiohttp import AiohttpTransport

    TRANSPORTS = [Httpx2Transport, AiohttpTransport]

    def ask(kind, host):
        backend = mellite.backend("openai-chat:m", base_url=f"http://{host}:9/v1", transport=kind())
        return backend.generate("hi").settle()

    @pytest.mark.anyio
    @pytest.mark.mellite("empty.json", install=False)
    @pytest.mark.parametrize("host", ["192.0.2.1", "models.example"])
    @pytest.mark.parametrize("kind", TRANSPORTS)
    async def test_words(cassette, kind, host, anyio_backend_name):
        if anyio_backend_name == "trio" and kind is AiohttpTransport:
            return
        thunk = await ask(kind, host)
        assert f"this test may not reach {host}" in str(thunk.error), thunk.error
        assert "--mellite-record" in str(thunk.error)

    @pytest.mark.mellite("empty.json", install=False)
    def test_swallowed(cassette):
        import urllib.request
        try:
            urllib.request.urlopen("http://models.example/")
        except OSError:
            raise RuntimeError("something of the library's") from None
"""


@pytest.mark.slow
def test_its_words_reach_the_user(pytester: pytest.Pytester, run: Run) -> None:
    """Whichever client was stopped, and whatever it makes of it: why it was stopped can be read."""
    pytester.makefile(".json", **{"cassettes/empty": EMPTY})
    result = run(WORDS)
    result.assert_outcomes(passed=8, failed=1)
    result.stdout.fnmatch_lines(
        ["*something of the library's*", "*- mellite -*", "this test may not reach models.example: it replays*"]
    )
