"""What a fresh process pays: imports, the first call, and what is installed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement

import mellite
from tests.benchmarks.measure import Effort, Row, amount, ratio
from tests.benchmarks.server import running

#: What stands around a statement: CPU time over bare Python, in milliseconds.
TIMED = "import time; began = time.process_time()\n{}\nprint((time.process_time() - began) * 1e3)"
IMPORTS = {
    "floor": "import attrs, anyio, asyncio",
    "first use": "import mellite; mellite.generate; mellite.Message",
    "alone": "import mellite",
}
FIRST_CALL = """
import asyncio, mellite
async def main():
    async with mellite.backend("openai-chat:m", base_url={base!r}, api_key="x", stream=False) as backend:
        assert await backend.generate("Hi.", model="unary")
asyncio.run(main())
"""
FIRST_FLOOR = """
import asyncio, aiohttp, msgspec
async def main():
    body = msgspec.json.encode({{"model": "unary", "messages": [{{"role": "user", "content": "Hi."}}]}})
    async with aiohttp.ClientSession() as session:
        async with session.post({base!r} + "/chat/completions", data=body) as response:
            assert msgspec.json.decode(await response.read())
asyncio.run(main())
"""


def _spent(statement: str) -> float:
    """Return the CPU milliseconds of a statement in a fresh process, which finds and keeps compiled modules."""
    command = [sys.executable, "-c", TIMED.format(statement)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return float(subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout)


async def imports(effort: Effort) -> list[Row]:
    """Import mellite in fresh interpreters, in turn with what it stands on; and count what is installed."""
    times: dict[str, list[float]] = {name: [] for name in IMPORTS}
    _spent("; ".join(IMPORTS.values()))  # compiles what has not been compiled yet
    for _ in range(effort.rounds(24)):
        for name, statement in IMPORTS.items():
            times[name].append(_spent(statement))
    distributions, megabytes = installed()
    what = "import mellite, generate, Message"
    return [
        ratio("import", what, times["first use"], times["floor"], bar=1.6, stretch=1.3, raw_unit="ms"),
        amount("import", "import mellite", times["alone"], "ms", bar=45, stretch=20),
        amount("import", "installed: distributions", [distributions], "", bar=13),
        amount("import", "installed, without .pyc", [megabytes], "MB", bar=11),
    ]


async def cold(effort: Effort) -> list[Row]:
    """Make the first call of a fresh process, from the import to the answer; aiohttp in turn, to compare."""
    ours, floor = [], []
    with running() as base:
        _spent(FIRST_CALL.format(base=base))  # compiles what has not been compiled yet
        for _ in range(effort.rounds(16)):
            ours.append(_spent(FIRST_CALL.format(base=base)))
            floor.append(_spent(FIRST_FLOOR.format(base=base)))
    return [
        amount("cold", "first call of a process, CPU", ours, "ms", bar=220, stretch=200),
        amount("cold", "  aiohttp + msgspec, to compare", floor, "ms", bar=None),
    ]


def installed() -> tuple[int, float]:
    """Count the distributions that mellite needs without extras, itself included, and their megabytes."""
    found: dict[str, float] = {}
    wanted = ["mellite"]
    while wanted:
        name = re.sub(r"[-_.]+", "-", wanted.pop()).lower()
        if name in found:
            continue
        one = distribution(name)
        needed = [Requirement(line) for line in one.requires or ()]
        wanted += [each.name for each in needed if each.marker is None or each.marker.evaluate({"extra": ""})]
        files = [Path(str(one.locate_file(file))) for file in one.files or ()]
        if name == "mellite":  # may be installed from a checkout, where it has no files of its own
            files = list(Path(mellite.__file__).parent.rglob("*"))
        found[name] = sum(os.path.getsize(file) for file in files if file.suffix != ".pyc" and file.is_file())
    return len(found), sum(found.values()) / 1e6
