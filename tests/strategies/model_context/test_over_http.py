"""mellite.mcp.connect over streamable HTTP, to a server of the mcp package in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from mellite.errors import AuthenticationError, ConnectError, RateLimited, ToolFailure, UnknownProviderError
from mellite.mcp import connect

pytest.importorskip("mcp")
pytestmark = [pytest.mark.anyio, pytest.mark.slow]

SERVER = str(Path(__file__).parent / "http_server.py")
BEARER = {"Authorization": "Bearer opensesame"}


class Server:
    """The server, its process and its URL."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self.process = process
        self.written = process.stdout
        self.url = f"http://127.0.0.1:{self.written.readline().strip()}"


def started() -> Iterator[Server]:
    """Start one, and end it."""
    pipe, nowhere = subprocess.PIPE, subprocess.DEVNULL
    with subprocess.Popen([sys.executable, SERVER], stdout=pipe, stderr=nowhere, text=True) as process:
        try:
            yield Server(process)
        finally:
            process.kill()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server that all tests share."""
    yield from started()


@pytest.fixture
def own() -> Iterator[Server]:
    """A server that a test may end."""
    yield from started()


async def test_calls(server: Server) -> None:
    """Tools are listed and called, with the headers; their errors are told."""
    async with connect(f"{server.url}/mcp", headers=BEARER) as connection:
        tools = {tool.name: tool for tool in connection.tools}
        assert connection.name == "over-http"
        assert await tools["add"]({"a": 1, "b": 2}) == {"result": 3}
        assert await tools["authorization"]({}) == {"result": BEARER["Authorization"]}
        with pytest.raises(ToolFailure, match="no such city"):
            await tools["fail"]({})


async def test_a_call_that_takes_too_long(server: Server) -> None:
    """It is given up at the server too, and the connection serves the next one."""
    async with connect(f"{server.url}/mcp", timeout=1) as connection:
        tools = {tool.name: tool for tool in connection.tools}
        with pytest.raises(ToolFailure, match="within 1 s"):
            await tools["hang"]({})
        assert await tools["add"]({"a": 1, "b": 2}) == {"result": 3}
    assert await anyio.to_thread.run_sync(server.written.readline) == "cancelled\n"


async def test_a_server_that_is_killed_in_the_middle_of_a_call(own: Server) -> None:
    """The calls fail, those that wait and those that come later; nobody is cancelled, and the block ends in peace."""
    async with connect(f"{own.url}/mcp") as connection:
        tools = {tool.name: tool for tool in connection.tools}
        async with anyio.create_task_group() as group:

            async def hang() -> None:
                with pytest.raises(ToolFailure, match="gave no answer"):
                    await tools["hang"]({})

            group.start_soon(hang)
            assert await tools["add"]({"a": 1, "b": 2}) == {"result": 3}
            own.process.kill()
        with pytest.raises(ToolFailure, match="gave no answer"):
            await tools["add"]({"a": 1, "b": 2})


async def test_answers_that_are_errors(server: Server) -> None:
    """Status, words and Retry-After are in the error, and no key."""
    with pytest.raises(RateLimited, match="HTTP 429 Too Many Requests: come back later") as busy:
        async with connect(f"{server.url}/busy"):
            pytest.fail("connected")
    assert (busy.value.status, busy.value.retry_after) == (429, 7)
    with pytest.raises(AuthenticationError, match=r"HTTP 401 Unauthorized: .*who is \[REDACTED\]") as locked:
        async with connect(f"{server.url}/locked", headers=BEARER):
            pytest.fail("connected")
    assert (locked.value.status, locked.value.kind) == (401, "invalid")
    with pytest.raises(UnknownProviderError, match="HTTP 404 Not Found"):
        async with connect(f"{server.url}/nowhere"):
            pytest.fail("connected")


@pytest.mark.filterwarnings("ignore:Exception ignored in. <async_generator:pytest.PytestUnraisableExceptionWarning")
async def test_an_older_server(server: Server) -> None:
    """A server that knows only the protocol of 2025 is asked by that; a long result comes in one event."""
    async with connect(f"{server.url}/old") as connection:
        assert connection.name == "old"
        assert len(await connection.tools[0]({})) == 4_000_000


async def test_nobody_there() -> None:
    """The error names the URL without what may be secret in it."""
    with pytest.raises(ConnectError, match=r"'http://127.0.0.1:9/mcp\?\.\.\.' gave no answer") as caught:
        async with connect("http://127.0.0.1:9/mcp?key=secret99"):
            pytest.fail("connected")
    assert "secret99" not in str(caught.value)


async def test_a_proxy(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy that the environment names is asked, unless it excepts the host."""
    monkeypatch.setenv("HTTP_PROXY", "http://me:secret99@127.0.0.1:9")
    with pytest.raises(ConnectError, match="gave no answer") as caught:
        async with connect(f"{server.url}/mcp"):
            pytest.fail("connected")
    assert "secret99" not in str(caught.value)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    async with connect(f"{server.url}/mcp") as connection:
        assert connection.name == "over-http"
