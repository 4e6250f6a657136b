"""What replaying adds to a test: the plugin's fixture beside the same tests with a constant answer."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.benchmarks.measure import Effort, Row, added
from tests.benchmarks.server import running

RECORDED: Final = """
import mellite, pytest

@pytest.mark.parametrize("number", range({count}))
def test_answer(cassette, number):
    backend = mellite.backend("openai-chat:unary", base_url={base!r}, api_key="x", stream=False)
    assert backend.generate("Hi.").result().startswith("the quick")
"""
CONSTANT: Final = """
import mellite, pytest

@pytest.mark.parametrize("number", range({count}))
def test_answer(number):
    backend = mellite.backends.Constant("the quick brown fox")
    assert backend.generate("Hi.").result().startswith("the quick")
"""


async def recorded_tests(effort: Effort) -> list[Row]:
    """Record tests against the server once, then run them in turn with others that ask nobody."""
    count = effort.size(1000, 100)  # so that what a process needs to begin, which varies by 100 ms, counts for little
    times: dict[str, list[float]] = {"recorded": [], "constant": []}
    with tempfile.TemporaryDirectory() as folder:
        recorded, constant = Path(folder) / "test_recorded.py", Path(folder) / "test_constant.py"
        constant.write_text(CONSTANT.format(count=count))
        with running() as base:
            recorded.write_text(RECORDED.format(count=count, base=base))
            _spent(recorded, "--mellite-record")
        for _ in range(effort.rounds(4)):
            for path in (recorded, constant):  # what a process pays once is in both runs, and cancels out
                spent = _spent(path) - _spent(path, "-k", "[0]")
                times[path.stem.removeprefix("test_")].append(spent / (count - 1) * 1e6)
    return [added("pytest", "a recorded test, added", times["recorded"], times["constant"], bar=500, stretch=300)]


def _spent(path: Path, *flags: str) -> float:
    """Return the CPU time of pytest on one file, in seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    plugins = [part for name in ("asyncio", "cacheprovider", "xdist") for part in ("-p", f"no:{name}")]
    command = [sys.executable, "-m", "pytest", "-q", *plugins, *flags, path.name]
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    subprocess.run(command, check=True, cwd=path.parent, env=environment, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
