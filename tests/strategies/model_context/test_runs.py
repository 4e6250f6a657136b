"""Runs whose tools are at MCP servers."""

from __future__ import annotations

import copy
import json
import pickle
import sys
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

import mellite
from mellite import Image, Text
from mellite.errors import ToolDefect
from tests.strategies.agent.played import Played, add, asks, results_of

pytest.importorskip("mcp")
pytestmark = pytest.mark.anyio

PLAIN = [sys.executable, str(Path(__file__).parent / "plain_server.py")]
PIXEL = b"\x89PNG a pixel"


def named(connection: mellite.mcp.Connection) -> dict[str, Any]:
    """The tools of a connection by name."""
    return {tool.name: tool for tool in connection.tools}


async def test_tools_of_two_servers_beside_one_of_ours() -> None:
    """A model calls them at once; a server that dies under its call is an error that the model reads, and goes on."""
    backend = Played(
        [
            asks("c1", "one_echo", text="hi"),
            asks("c2", "two_die"),
            asks("c3", "one_picture"),
            asks("c4", a=1, b=2),
            asks("c5", "one_fail"),
            asks("c6", "one_structured"),
        ],
        [asks("c7", "two_echo", text="still there?"), asks("c8", "one_echo", text="and you?")],
        ["It is done."],
    )
    async with mellite.mcp.connect(PLAIN, prefix="one_") as one, mellite.mcp.connect(PLAIN, prefix="two_") as two:
        run = mellite.run(backend, "Go.", tools=[*one.tools, *two.tools, add])
        assert await run == "It is done."
    results = dict(results_of(run.messages))
    assert results["c1"] == "hi"
    assert "has ended; its last words:\nout of memory" in results["c2"]
    assert results["c3"] == (Text("Look:"), Image(PIXEL, media_type="image/png"))
    assert (results["c4"], results["c5"], results["c6"]) == (3, "the disk is full", {"degrees": 22})
    assert "has ended" in results["c7"]
    assert results["c8"] == "and you?"
    assert {tool.name for tool in backend.requests[0].tools} >= {"one_echo", "two_echo", "add"}


async def test_arguments_are_checked_before_the_server_is_asked() -> None:
    """What does not fit the schema that the server gave is told to the model."""
    backend = Played([asks("c1", "echo", text=3)], ["Sorry."])
    async with mellite.mcp.connect(PLAIN) as connection:
        run = mellite.run(backend, "Go.", tools=connection.tools)
        assert await run == "Sorry."
    ((_, said),) = results_of(run.messages)
    assert "$.text" in said


async def test_a_run_that_is_cancelled() -> None:
    """The server is told, and the connection serves the next run."""
    async with mellite.mcp.connect(PLAIN) as connection:
        async with anyio.create_task_group() as group:
            group.start_soon(mellite.run(Played([asks("c1", "hang")]), "Go.", tools=connection.tools).settle)
            await anyio.wait_all_tasks_blocked()
            await named(connection)["echo"]({"text": "the server has read both"})
            group.cancel_scope.cancel()
        assert len(json.loads(await named(connection)["cancelled"]({}))) == 1
        again = mellite.run(Played([asks("c1", "echo", text="hi")], ["Fine."]), "Go.", tools=connection.tools)
        assert await again == "Fine."


async def test_a_run_in_a_thread_without_a_loop() -> None:
    """It uses the connection of this loop."""
    backend = Played([asks("c1", "echo", text="hi")], ["Fine."])
    async with mellite.mcp.connect(PLAIN) as connection:
        run = mellite.run(backend, "Go.", tools=connection.tools)
        assert await anyio.to_thread.run_sync(run.result) == "Fine."
    assert results_of(run.messages) == [("c1", "hi")]


async def test_a_run_after_the_block() -> None:
    """Using a connection that is closed is a mistake of the program, not something for the model to read."""
    async with mellite.mcp.connect(PLAIN) as connection:
        tools = connection.tools
    with pytest.raises(ToolDefect, match="its `async with` block is over"):
        await mellite.run(Played([asks("c1", "echo", text="hi")], ["Fine."]), "Go.", tools=tools)


async def test_copies_and_pickles() -> None:
    """A copy of a run asks the same servers; what a run has come to can be pickled."""
    async with mellite.mcp.connect(PLAIN) as connection:
        run = mellite.run(Played([asks("c1", "echo", text="hi")], ["Fine."]), "Go.", tools=connection.tools)
        twin = copy.deepcopy(run)
        assert (await run, await twin) == ("Fine.", "Fine.")
    kept = pickle.loads(pickle.dumps(run))
    assert (kept.value, results_of(kept.messages)) == ("Fine.", [("c1", "hi")])
