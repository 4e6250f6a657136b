"""Let the floor, mellite and the other clients take turns, each in a process of its own. Prints the figures as JSON."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import attrs

from tests.benchmarks.measure import Effort, Row, added, pin, ratio
from tests.benchmarks.peers.environments import PEERS, Peer, cache_folder, installed
from tests.benchmarks.peers.turns import REPLY
from tests.benchmarks.run import ROOT
from tests.benchmarks.server import running, text

_ORDER: Final = random.Random(10)
PATIENCE: Final = 120.0
"""Seconds that a turn may take, the start of the process and the making of a cassette included."""
FLOOR: Final = "floor"
(VCRPY,) = [each for each in PEERS if each.name == "vcrpy"]
REPLAYED: Final = (0, 1, 100, 1_000)
"""The interactions of a cassette that vcrpy replays; 0 stands for calls that it records."""
IMPORTED: Final = "import time; began = time.process_time()\n{}\nprint((time.process_time() - began) * 1e3)"
HERE: Final = (
    Peer(FLOOR, f"aiohttp=={version('aiohttp')}", "ask_floor", "import aiohttp, msgspec"),
    Peer("mellite", f"mellite=={version('mellite')}", "ask_mellite", "import mellite; mellite.generate"),
)


@attrs.frozen
class Work:
    """A piece of work that every client does: how often in a turn, in how many turns, and what comes of it."""

    model: str
    what: str
    times: int
    rounds: int
    items: int
    said: str


WORKS: Final = (
    Work("unary", "unary call", 20, 24, 20, text(40)),
    Work("burst-500", "burst stream, a delta", 1, 24, 500, text(500)),
    Work("paced-500", "paced stream, a delta", 1, 24, 500, text(500)),
)


class PeerFailed(Exception):
    """A client ended, took too long, or gave another answer than the others."""


class Client:
    """The process of one client, which does its work when it is told to."""

    def __init__(self, process: subprocess.Popen[str], errors: Path) -> None:
        self.process = process
        self.errors = errors

    def turn(self, work: Work, times: int) -> tuple[float, float]:
        """Have the work done and return the CPU seconds of this turn, and those of the process until then.

        Raises:
            PeerFailed: if no answer comes, or another one.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        watch = threading.Timer(PATIENCE, self.process.kill)
        watch.start()
        try:
            self.process.stdin.write(f"{work.model} {times}\n")
            self.process.stdin.flush()
            reply = next((line for line in self.process.stdout if line.startswith(REPLY)), "")
        except BrokenPipeError:
            reply = ""
        finally:
            watch.cancel()
        if not reply:
            self.process.wait()
            said = self.errors.read_text(encoding="utf-8", errors="replace")[-2_000:]
            raise PeerFailed(f"it ended, or was killed after {PATIENCE:.0f} s\n{said}")
        spent, total, said = json.loads(reply.removeprefix(REPLY))
        if said != work.said:
            raise PeerFailed(f"it read {said[:80]!r}... instead of {work.said[:80]!r}...")
        return spent, total


@contextmanager
def started(python: Path, module: str, *words: str) -> Iterator[Client]:
    """Start a client; it is killed at the end, and what it left in temporary files is removed."""
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "stderr").open("w") as errors:
        process = subprocess.Popen(
            [str(python), "-m", f"tests.benchmarks.peers.{module}", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=ROOT,
            env=_environment(TMPDIR=folder),
        )
        try:
            yield Client(process, Path(errors.name))
        finally:
            process.kill()
            process.communicate()


def _environment(**more: str) -> dict[str, str]:
    """Return the environment of a client: compiled modules are kept, and litellm fetches no prices."""
    left_out = ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH")
    kept = {name: value for name, value in os.environ.items() if name not in left_out}
    return kept | {"LITELLM_LOCAL_MODEL_COST_MAP": "True"} | more


@attrs.frozen
class Comparison:
    """The clients that still take part, and those that have failed."""

    pythons: Mapping[str, Path]
    failed: list[str] = attrs.field(factory=list)

    def rounds(self, many: int, turns: Mapping[str, Callable[[], float]]) -> dict[str, list[float]]:
        """Give everybody a turn a round, in random order; return what each turn gave, without those that failed.

        The first turn of each warms up and is not counted.
        """
        times: dict[str, list[float]] = {name: [] for name in turns}
        for _ in range(many + 1):
            order = list(times)
            _ORDER.shuffle(order)
            for name in order:
                try:
                    times[name].append(turns[name]())
                except (PeerFailed, subprocess.SubprocessError) as error:
                    if name == FLOOR:
                        raise
                    print(f"{name}: {error}", file=sys.stderr)
                    self.failed.append(name)
                    del times[name]
        return {name: taken[1:] for name, taken in times.items()}


def clients(comparison: Comparison) -> dict[str, Peer]:
    """Return whoever does all of the work: all but vcrpy, which is not a client of its own."""
    return {each.name: each for each in (*HERE, *PEERS) if each.name in comparison.pythons and each.name != "vcrpy"}


def live(comparison: Comparison, base: str, effort: Effort) -> list[Row]:
    """Compare calls and streams."""
    rows: list[Row] = []
    peers = clients(comparison)
    with ExitStack() as stack:
        there = {
            name: stack.enter_context(started(comparison.pythons[name], peer.module, base))
            for name, peer in peers.items()
        }
        for work in WORKS:
            turns = {name: _microseconds(there[name], work) for name in there if name not in comparison.failed}
            times = comparison.rounds(effort.rounds(work.rounds), turns)
            rows += _rows(work.what, {peers[name].title: taken for name, taken in times.items()}, raw_unit="us")
    return rows


def _microseconds(client: Client, work: Work) -> Callable[[], float]:
    return lambda: client.turn(work, work.times)[0] / work.items * 1e6


def cold(comparison: Comparison, base: str, effort: Effort) -> list[Row]:
    """Compare the first call of a fresh process, from the start of Python to the answer."""
    peers = clients(comparison)

    def first(name: str) -> Callable[[], float]:
        def once() -> float:
            with started(comparison.pythons[name], peers[name].module, base) as client:
                return client.turn(WORKS[0], 1)[1] * 1e3

        return once

    names = [name for name in peers if name not in comparison.failed]
    times = comparison.rounds(effort.rounds(8), {name: first(name) for name in names})
    what = "first call of a process, Python included"
    return _rows(what, {peers[name].title: taken for name, taken in times.items()}, raw_unit="ms")


def imports(comparison: Comparison, effort: Effort) -> list[Row]:
    """Compare what it takes to import each."""
    peers = {each.name: each for each in (*HERE, *PEERS) if each.name in comparison.pythons}

    def imported(name: str) -> Callable[[], float]:
        command = [str(comparison.pythons[name]), "-c", IMPORTED.format(peers[name].imports)]

        def once() -> float:
            done = subprocess.run(
                command, check=True, stdout=subprocess.PIPE, text=True, env=_environment(), cwd=ROOT, timeout=PATIENCE
            )
            return float(done.stdout.split()[-1])

        return once

    names = [name for name in peers if name not in comparison.failed]
    times = comparison.rounds(effort.rounds(8), {name: imported(name) for name in names})
    return _rows("import", {peers[name].title: taken for name, taken in times.items()}, raw_unit="ms")


def vcrpy(comparison: Comparison, base: str, effort: Effort) -> list[Row]:
    """Compare calls that vcrpy replays with live ones, and count what it adds to calls that it records."""
    unary = WORKS[0]
    with ExitStack() as stack:
        there = {FLOOR: stack.enter_context(started(comparison.pythons[FLOOR], HERE[0].module, base))}
        for size in REPLAYED if VCRPY.name in comparison.pythons else ():
            client = started(comparison.pythons[VCRPY.name], VCRPY.module, base, str(size))
            there[f"{VCRPY.name}, {size:,}"] = stack.enter_context(client)
        turns = {name: _microseconds(client, unary) for name, client in there.items()}
        times = comparison.rounds(effort.rounds(unary.rounds), turns)
    floor = times.pop(FLOOR)
    recorded = times.pop(f"{VCRPY.name}, 0", None)
    sizes = {name: name.partition(", ")[2] for name in times}
    rows = [
        ratio("peers", f"replayed call, {sizes[name]} interactions: {VCRPY.title}", taken, floor, bar=None)
        for name, taken in times.items()
    ]
    if recorded is not None:
        what = f"recording adds, of the floor's call: {VCRPY.title}"
        rows.append(added("peers", what, recorded, floor, of=floor, bar=None))
    return rows


def _rows(what: str, times: Mapping[str, Sequence[float]], *, raw_unit: str) -> list[Row]:
    """Compare everybody with the floor."""
    (floor,) = [name for name in times if name.startswith(f"{FLOOR} ")]
    return [
        ratio("peers", f"{what}: {name}", taken, times[floor], bar=None, raw_unit=raw_unit)
        for name, taken in times.items()
        if name != floor
    ]


def environments(folder: Path, peers: Sequence[Peer] = PEERS) -> tuple[dict[str, Path], list[str]]:
    """Install the others; return the Python of each, and the names of those that cannot be installed."""
    pythons = {peer.name: Path(sys.executable) for peer in HERE}
    absent = []
    for peer in peers:
        print(f"  {peer.requirement}", file=sys.stderr, flush=True)
        try:
            pythons[peer.name] = installed(peer, folder)
        except (OSError, subprocess.SubprocessError) as error:
            print(f"{peer.name}: {error}", file=sys.stderr)
            absent.append(peer.name)
    return pythons, absent


def compare(effort: Effort) -> dict[str, Any]:
    """Measure everybody; return the rows, and the names of those that could not be measured."""
    comparison = Comparison(*environments(cache_folder()))
    with running() as base:
        rows = live(comparison, base, effort)
        rows += vcrpy(comparison, base, effort)
        rows += cold(comparison, base, effort)
    rows += imports(comparison, effort)
    return {"rows": [attrs.asdict(row) for row in rows], "failed": comparison.failed}


if __name__ == "__main__":
    pin(0)
    print(json.dumps(compare(Effort("--quick" in sys.argv))))
