"""When a journal waits for the disk: seen from inside a program of its own, by its calls of `os.fsync`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = '''
import json, os, sys, threading
import anyio, mellite
from mellite import ToolCall
from mellite.backends import Scripted

seen = []

def look(frame, event, function):
    if event == "c_return" and function is os.fsync:
        seen.append("fsync")

@mellite.tool(once=json.loads(sys.argv[3]))
def pay(amount: int) -> str:
    """Pay."""
    seen.append("paid")
    return "paid"

async def main():
    backend = Scripted([[ToolCall("1", "pay", {"amount": 5})], "It is paid."])
    with mellite.journal(sys.argv[1], durability=sys.argv[2]):
        seen.clear()  # a new directory is on the disk before it is used
        await mellite.run(backend, "Pay 5.", tools=[pay])
        seen.append("went on")

threading.setprofile(look)
sys.setprofile(look)
anyio.run(main, backend=sys.argv[4])
sys.setprofile(None)
print(json.dumps(seen))
'''


def told(path: Path, durability: str, *, once: bool, loop: str) -> list[str]:
    """What such a program does until it goes on behind its run, and when it has waited for the disk."""
    command = [sys.executable, "-W", "error", "-c", PROGRAM, str(path), durability, json.dumps(once), loop]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    seen: list[str] = json.loads(done.stdout)
    return seen[: seen.index("went on")]


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_the_intent_of_a_tool_that_runs_once_is_on_the_disk_before_it_runs(tmp_path: Path, loop: str) -> None:
    """And its result before the run goes on, whatever the durability of other calls."""
    seen = told(tmp_path / "run", "call", once=True, loop=loop)
    assert "fsync" in seen[: seen.index("paid")]
    assert "fsync" in seen[seen.index("paid") :]


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_other_calls_wait_for_the_disk_only_where_that_is_asked_for(tmp_path: Path, loop: str) -> None:
    """Two answers and a result are on the disk before the program goes on; by default they are in the system."""
    assert "fsync" not in told(tmp_path / "call", "call", once=False, loop=loop)
    seen = told(tmp_path / "disk", "disk", once=False, loop=loop)
    assert "fsync" in seen[: seen.index("paid")]
    assert seen[seen.index("paid") :].count("fsync") >= 2
