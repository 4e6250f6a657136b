"""The reference server of the protocol, from npm: `nox -s mcp` installs it, and runs these tests."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from typing import Any

import anyio
import pytest

from mellite import Image, Text
from mellite.errors import InvalidRequest, ToolFailure
from mellite.mcp import Connection, connect

pytestmark = pytest.mark.anyio

EVERYTHING = os.environ.get("MELLITE_MCP_EVERYTHING", "mcp-server-everything")
"""The program of @modelcontextprotocol/server-everything."""


def tools_of(connection: Connection) -> dict[str, Any]:
    """The tools of a connection by name."""
    return {tool.name: tool for tool in connection.tools}


async def test_everything() -> None:
    """The reference server of the protocol: each kind of content, structured results, prompts and resources."""
    async with connect([EVERYTHING], env={"CITY": "Paris"}) as connection:
        tools = tools_of(connection)
        assert await tools["echo"]({"message": "Hello."}) == "Echo: Hello."
        assert any(isinstance(part, Image) for part in await tools["get-tiny-image"]({}))
        assert (await tools["get-structured-content"]({"location": "Chicago"})).keys() >= {"temperature", "humidity"}
        assert all(isinstance(part, Text) for part in await tools["get-resource-links"]({"count": 3}))
        assert '"CITY": "Paris"' in await tools["get-env"]({})
        (message,) = await connection.prompt("args-prompt", city="Paris")
        assert "Paris" in message.text
        (page,) = await connection.resource(connection.resources[0].uri)
        assert isinstance(page, Text)
        with pytest.raises(InvalidRequest, match="not found"):
            await connection.resource("demo://nothing")


async def test_everything_gives_up() -> None:
    """A long call that is cancelled leaves the connection as it was."""
    async with connect([EVERYTHING], timeout=10) as connection:
        tools = tools_of(connection)
        with anyio.move_on_after(0.2) as scope:
            await tools["trigger-long-running-operation"]({"duration": 5, "steps": 5})
        assert scope.cancelled_caught
        assert await tools["echo"]({"message": "Hello."}) == "Echo: Hello."


@pytest.fixture
def everything_over_http() -> Iterator[str]:
    """The reference server over streamable HTTP, and its URL."""
    port = 39471
    environment = {**os.environ, "PORT": str(port)}
    with subprocess.Popen([EVERYTHING, "streamableHttp"], env=environment, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        for line in server.stderr:
            if "listening" in line:
                break
        try:
            yield f"http://127.0.0.1:{port}/mcp"
        finally:
            server.kill()


@pytest.mark.filterwarnings("ignore:Exception ignored in. <async_generator:pytest.PytestUnraisableExceptionWarning")
async def test_everything_over_http(everything_over_http: str) -> None:
    """A server with sessions, which knows only the protocol of 2025.

    On trio the mcp package leaves the generators that read events to the garbage collector, which warns.
    """
    async with connect(everything_over_http, timeout=1) as connection:
        tools = tools_of(connection)
        assert await tools["echo"]({"message": "Hello."}) == "Echo: Hello."
        with pytest.raises(ToolFailure, match="within 1 s"):
            await tools["trigger-long-running-operation"]({"duration": 3, "steps": 3})
        assert await tools["echo"]({"message": "again"}) == "Echo: again"
