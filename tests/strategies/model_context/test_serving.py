"""mellite.mcp.serve: tools of mellite in a process of their own, called by clients of mcp and of mellite."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

import mellite
from mellite import Image, Text, ToolDefinition
from mellite.errors import InvalidRequest, MissingExtra, ToolFailure

pytest.importorskip("mcp")
pytestmark = [pytest.mark.anyio, pytest.mark.slow]

HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
SERVER = [sys.executable, str(Path(__file__).parent / "mellite_server.py")]


async def test_calls(anyio_backend_name: str) -> None:
    """Tools are listed with what models are told, and called with checked arguments; functions block nobody."""
    async with mellite.mcp.connect([*SERVER, anyio_backend_name], timeout=20) as connection:
        assert connection.name == "greeter"
        tools = {tool.name: tool for tool in connection.tools}
        assert tools["greet"].description == "Greet somebody."
        assert tools["greet"].input_schema["properties"]["name"] == {"type": "string", "description": "whom."}
        async with anyio.create_task_group() as group:
            group.start_soon(tools["block"], {})
            assert await tools["greet"]({"name": "Ann", "times": 2}) == "Hello, Ann! Hello, Ann!"
            assert await tools["locate"]({"place": {"name": "Hill", "height": 2.5}}) == {"name": "Hill", "height": 2.5}
            assert await tools["items"]({}) == "[1,2]"
            assert await tools["greet"]({"name": "\ud83d\ude00 \ud83d"}) == "Hello, \U0001f600 \ufffd!"
            assert await tools["broken"]({}) == "half of \ufffd"
            assert await tools["fill"]({}) == "xxxxxxxxxx\n[the first 10 of 1000 characters]"
            assert await tools["look"]({}) == (Text("A cat."), Image(b"\x89PNG", media_type="image/png"))
            group.cancel_scope.cancel()
        with pytest.raises(ToolFailure) as caught:
            await tools["fail"]({})
    assert str(caught.value) == "no such city"


async def test_a_tool_that_ends_the_program(anyio_backend_name: str) -> None:
    """The server ends, and its client is told, in place of waiting for it."""
    async with mellite.mcp.connect([*SERVER, anyio_backend_name], timeout=20) as connection:
        (leave,) = [tool for tool in connection.tools if tool.name == "leave"]
        with pytest.raises(ToolFailure, match="has ended"):
            await leave({})


async def test_errors_carry_their_text(anyio_backend_name: str) -> None:
    """What a tool raises, for whatever reason, is told to the client in a line, without keys; so are bad arguments."""
    from mcp import Client
    from mcp.client.stdio import StdioServerParameters

    command = StdioServerParameters(command=SERVER[0], args=[*SERVER[1:], anyio_backend_name])
    calls: list[tuple[str, dict[str, Any]]] = [
        ("fail", {}),
        ("defect", {}),
        ("slow", {}),
        ("greet", {"name": 3}),
        ("locate", {"place": {"named": "Hill"}}),
        ("great", {}),
        ("launch", {}),
        ("wait", {}),
    ]
    async with Client(command) as client:
        results = [await client.call_tool(name, arguments) for name, arguments in calls]
    assert all(result.is_error for result in results)
    texts = [result.content[0].text for result in results]
    assert texts[0] == "no such city"
    assert "ZeroDivisionError: of [REDACTED]" in texts[1]
    assert "0.2 s" in texts[2]
    assert "$.name: expected a string, not the number 3" in texts[3]
    assert "named" in texts[4]
    assert "did you mean 'greet'?" in texts[5]
    assert texts[6] == "The call was refused: not today"
    assert "put off by its approval" in texts[7]
    assert not any("Traceback" in text for text in texts)


async def test_ctrl_c_ends_the_server(anyio_backend_name: str) -> None:
    """Although the client says nothing, and has not closed stdin."""
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen([*SERVER, anyio_backend_name], text=True, **pipes) as server:  # noqa: ASYNC220 - it starts in no time
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write('{"jsonrpc": "2.0", "id": 1, "method": "ping"}\n')
        server.stdin.flush()
        assert await anyio.to_thread.run_sync(server.stdout.readline)
        server.send_signal(signal.SIGINT)
        began = time.monotonic()
        await anyio.to_thread.run_sync(server.wait)
        assert time.monotonic() - began < 5
        assert server.stderr is not None
        assert server.stderr.read().rstrip().endswith("KeyboardInterrupt")
        assert server.stdout.read() == ""


async def test_stdout_belongs_to_the_client(anyio_backend_name: str) -> None:
    """What a tool prints goes to stderr, also what is still in the buffer when the program ends."""
    messages = [
        {"id": 1, "method": "initialize", "params": HELLO},
        {"method": "notifications/initialized"},
        {"id": 2, "method": "tools/call", "params": {"name": "greet", "arguments": {"name": "Ann"}}},
    ]
    lines = [json.dumps({"jsonrpc": "2.0", **message}) for message in messages]
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    command = [*SERVER, anyio_backend_name]
    with subprocess.Popen(command, text=True, env=buffered, **pipes) as server:  # noqa: ASYNC220 - as above
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write("\n".join([*lines, ""]))
        server.stdin.flush()
        read = [json.loads(await anyio.to_thread.run_sync(server.stdout.readline)) for _ in range(2)]
        assert sorted(answer["id"] for answer in read) == [1, 2]
        out, err = await anyio.to_thread.run_sync(server.communicate)
    assert (out, err) == ("", "not for the client\n")


@pytest.mark.parametrize(
    ("tools", "words"),
    [
        ([ToolDefinition("search")], "needs a function to run"),
        ([3], "not int"),
        (len, r"are a list, as in serve\(\[search\]\)"),
        ([mellite.tool(len, name="a"), mellite.tool(len, name="a")], "two tools have the name 'a'"),
    ],
    ids=["definition", "number", "no list", "same name"],
)
async def test_what_cannot_be_served(tools: Any, words: str) -> None:
    """It is refused before anything is read."""
    with pytest.raises(InvalidRequest, match=words):
        await mellite.mcp.serve(tools)


async def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where mcp is not installed, serving says what to install."""
    monkeypatch.setitem(sys.modules, "mcp", None)
    with pytest.raises(MissingExtra, match=r"pip install 'mellite\[mcp\]'"):
        await mellite.mcp.serve([])
