"""One run of the benchmarks: where it was made, its figures, and the JSON of both."""

from __future__ import annotations

import datetime as dt
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import attrs

from tests.benchmarks.measure import Row

ROOT: Final = Path(__file__).parents[2]
FLOOR: Final = ("aiohttp", "msgspec")


@attrs.frozen
class Report:
    """What was measured, and where."""

    started: str
    python: str
    machine: str
    cores: int
    load: tuple[float, float]
    """The load of the machine, averaged over a minute, before and after."""
    floor: str
    commit: str
    quick: bool
    seconds: float
    rows: tuple[Row, ...]
    failed: tuple[str, ...] = ()
    """The benchmarks that could not be run, and the peers that could not be installed or asked."""

    @property
    def missed(self) -> tuple[Row, ...]:
        """The rows above their bar."""
        return tuple([row for row in self.rows if row.is_missed])

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON; the keys are those of the classes, and ``ok`` of each row: null without a bar."""
        rows = [attrs.asdict(row) | {"ok": None if row.bar is None else not row.is_missed} for row in self.rows]
        return attrs.asdict(self) | {"rows": rows}

    def heading(self) -> tuple[str, str]:
        """Return what a reader must know before the figures: where they were measured, and of what."""
        load = " and ".join(f"{each:.1f}" for each in self.load)
        quick = "; QUICK: rough figures" if self.quick else ""
        return (
            f"{self.python} on {self.machine}, {self.cores} cores, load {load} before and after",
            f"mellite {self.commit}, {self.started}; x = times {self.floor}{quick}",
        )


def start(name: str, *, quick: bool) -> list[Row]:
    """Run one benchmark in a process of its own.

    Raises:
        subprocess.CalledProcessError: if it fails; what it says is on stderr.
    """
    command = [sys.executable, "-m", "tests.benchmarks.catalogue", name, *(["--quick"] if quick else [])]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT)
    return [Row(**row) for row in json.loads(done.stdout)]


def start_peers(*, quick: bool) -> tuple[list[Row], list[str]]:
    """Compare with other clients; return the rows, and the names of those that could not be installed or asked.

    Raises:
        subprocess.CalledProcessError: if not even the floor could be measured; what it says is on stderr.
    """
    command = [sys.executable, "-m", "tests.benchmarks.peers.compare", *(["--quick"] if quick else [])]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT)
    figures = json.loads(done.stdout)
    return [Row(**row) for row in figures["rows"]], figures["failed"]


def report(rows: Sequence[Row], failed: Sequence[str], *, quick: bool, load: float, began: dt.datetime) -> Report:
    """Put rows together with where they were measured."""
    now = dt.datetime.now(dt.UTC)
    return Report(
        started=began.isoformat(timespec="seconds"),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        machine=_machine(),
        cores=os.cpu_count() or 1,
        load=(round(load, 2), round(current_load(), 2)),
        floor=" + ".join(f"{name} {version(name)}" for name in FLOOR),
        commit=_commit(),
        quick=quick,
        seconds=round((now - began).total_seconds(), 1),
        rows=tuple(rows),
        failed=tuple(failed),
    )


def current_load() -> float:
    """Return the load of the machine over the last minute, 0 where the system does not say."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def _machine() -> str:
    """Return the name of the processor, or of the architecture where the system does not say."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {platform.system()}"


def _commit() -> str:
    """Return the commit that is checked out, or the version where there is none."""
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False, cwd=ROOT
    )
    return done.stdout.strip() or version("mellite")
