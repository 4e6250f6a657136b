"""Tools of mellite as an MCP server: ``python mellite_server.py [asyncio | trio]``."""

from __future__ import annotations

import os
import sys
import threading

import anyio
from attrs import frozen

import mellite
from mellite import Image, Text
from mellite.errors import ToolFailure


@frozen
class Place:
    """Where something is."""

    name: str
    height: float | None = None


@mellite.tool
def greet(name: str, times: int = 1) -> str:
    """Greet somebody.

    Args:
        name: whom.
        times: how often.
    """
    print("not for the client")
    return " ".join([f"Hello, {name}!"] * times)


@mellite.tool
async def locate(place: Place) -> Place:
    """Find a place."""
    return place


def items() -> list[int]:
    """List some numbers."""
    return [1, 2]


def look() -> list[Text | Image]:
    """Look around."""
    return [Text("A cat."), Image(b"\x89PNG", media_type="image/png")]


def broken() -> str:
    """Say what UTF-8 cannot hold."""
    return "half of \ud83d"


def leave() -> None:
    """End the program, as the functions of command lines do."""
    raise SystemExit(3)


def fail() -> None:
    """Fail as tools do."""
    raise ToolFailure("no such city")


def defect() -> None:
    """Fail as programs do."""
    raise ZeroDivisionError("of sk-abcdefghijklmnopqrstuvwxyz")


def block() -> str:
    """Hold up a thread."""
    threading.Event().wait(30)
    return "late"


@mellite.tool(timeout=0.2)
async def slow() -> None:
    """Take too long."""
    await anyio.sleep_forever()


def process() -> int:
    """Tell the number of the process."""
    return os.getpid()


def launch() -> str:
    """Do what nobody may do."""
    return "launched"


def fill() -> str:
    """Say more than is wanted."""
    return "x" * 1000


GUARDED = [
    mellite.tool(launch, approve=lambda _call: mellite.Approval.refuse("not today")),
    mellite.tool(launch, name="wait", approve=lambda _call: mellite.Approval.defer()),
    mellite.tool(fill, max_result_chars=10),
]
TOOLS = [greet, locate, items, look, broken, leave, fail, defect, block, slow, process, *GUARDED]

if __name__ == "__main__":
    anyio.run(lambda: mellite.mcp.serve(TOOLS, name="greeter"), backend=(sys.argv[1:] or ["asyncio"])[0])
