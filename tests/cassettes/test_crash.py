"""Kills and crowds, in short: `python -m tests.crash` is the long form."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent
MEMORY = Path("/dev/shm")  # kills need no disk, and a disk would be most of the time that this takes

KINDS = (
    "killed at every call: added, 2 there before, .json",
    "killed at every call: keyed, 2 there before, .json",
    "killed at every call: rewritten, 0 there before, .json",
    "killed at every call: rewritten, 2 there before, .json",
    "killed at every call: added, 2 there before, .json.gz",
    "killed at every call: again, 2 there before, .json",
    "killed at every call: both, 2 there before, .json",
    "killed at every call: interrupted, 2 there before, .json",
    "killed at every call: store_file",
    "folded in while it is read",
    "killed at random",
    "killed in a stream",
    "eight processes",
    "eight processes, same keys",
    "readers meanwhile",
    "eight processes, four killed",
    "eight processes, rewriting",
    "threads",
    "tasks",
    "fork in the middle",
    "one file, one winner",
    "no space",
    "text killed at every call: None",
    "text killed at every call: gzip",
    "text: eight processes",
    "an agent with a journal killed at every call: asyncio",
    "an agent with a journal killed at every call: trio",
)


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    """What the short form of the plan found, in a process of its own, which may fork."""
    folder = MEMORY if os.access(MEMORY, os.W_OK) else tmp_path_factory.mktemp("crash")
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.crash", "--short"],
        cwd=ROOT,
        env={**os.environ, "MELLITE_CRASH_FOLDER": str(folder)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    found = [json.loads(line) for line in ran.stdout.splitlines()]
    return {"stderr": ran.stderr, **{report["name"]: report for report in found}}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_acknowledged_is_lost(reports: Mapping[str, Any], kind: str) -> None:
    """However it ends: what was acknowledged is there and whole, what was there before is untouched."""
    assert kind in reports, reports["stderr"]
    report = reports[kind]
    assert report["problems"] == []
    assert report["rounds"] > 0
    assert report["slowest"] < 2.0


def test_every_kind_is_listed(reports: Mapping[str, Any]) -> None:
    """No kind of crash is in the plan without being looked at here, and the plan came to its end."""
    assert sorted(reports.keys() - {"stderr"}) == sorted(KINDS)
    assert reports["stderr"] == ""
