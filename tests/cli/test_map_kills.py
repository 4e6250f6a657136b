"""`mellite map` that is killed at any moment and started again: every row once, nothing asked that was kept."""

from __future__ import annotations

import csv
import json
import os
import random
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from mellite.archive.journal.records import read_journal
from tests.engine.provider import ROOT, Served, provider

ROWS = 300


def rows_of(path: Path) -> list[Mapping[str, Any]]:
    """The rows of a file of any kind."""
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            return list(csv.DictReader(file, strict=True))
    return parquet.read_table(path).to_pylist()


class Killed:
    """A map over a file of prompts, one in a hundred of which is refused.

    Args:
        folder: where it runs.
        served: who is asked.
        out: the file of answers.
    """

    def __init__(self, folder: Path, served: Served, out: str) -> None:
        self.folder, self.served = folder, served
        words = ["map", "p.jsonl", "-m", "openai-chat:gpt-4o-mini", "-o", "stream", "false", "--out", out]
        self.command = [sys.executable, "-m", "mellite", *words, "--journal", "kept", "--concurrency", "16"]
        self.environment = {
            **os.environ,
            "OPENAI_BASE_URL": served.url,
            "OPENAI_API_KEY": "sk-test",
            "PYTHONPATH": str(ROOT),
        }

    def asked(self) -> list[str]:
        """The prompts that were asked so far."""
        return [json.loads(line)[2] for line in self.served.log.read_text().splitlines()]

    def kept(self) -> set[str]:
        """The prompts whose answers are in the journal."""
        if not (self.folder / "kept" / "journal.json").exists():
            return set()
        calls = [call for call in read_journal(str(self.folder / "kept")).calls if call.state == "done"]
        return {str(call.messages[-1]["content"][0]["text"]) for call in calls}

    def run(self, *, until: int | None) -> tuple[int, str]:
        """Run it to its end, or kill it when so many more were asked; return the exit code and what it said."""
        before = len(self.asked())
        with subprocess.Popen(
            self.command, cwd=self.folder, env=self.environment, stderr=subprocess.PIPE, text=True
        ) as process:
            while until is not None and process.poll() is None:
                if len(self.asked()) - before >= until:
                    process.kill()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(0.002)
            said = process.communicate(timeout=120)[1]
        return process.returncode, said


@pytest.mark.parametrize("rounds", [1, pytest.param(20, marks=pytest.mark.slow)])
def test_a_map_that_is_killed_goes_on(tmp_path, rounds):
    """What is in the journal when it is killed is not asked again, and every row is there once, with its own answer."""
    chance = random.Random(rounds)
    for number in range(rounds):
        folder = tmp_path / str(number)
        (folder / "served").mkdir(parents=True)
        prompts = [f"refuse {n}" if n % 100 == 7 else f"row {n}" for n in range(ROWS)]
        (folder / "p.jsonl").write_text("".join([json.dumps({"prompt": each}) + "\n" for each in prompts]))
        out = chance.choice(["a.jsonl", "a.csv", "a.parquet"])
        with provider(folder / "served", delay=chance.choice([0.0, 0.02, 0.05])) as served:
            (folder / "served" / "provider.log").touch()
            killed = Killed(folder, served, out)
            for _ in range(chance.choice([1, 1, 2, 3]) if rounds > 1 else 1):
                kept, before = killed.kept(), len(killed.asked())
                until = chance.randrange(ROWS // 2) if rounds > 1 else 100
                killed.run(until=until)
                assert until < 50 or killed.kept() > kept
                assert killed.kept() <= set(prompts)
                assert kept.isdisjoint(killed.asked()[before:])
            kept, before = killed.kept(), len(killed.asked())
            code, said = killed.run(until=None)
            assert (code, "Traceback" in said) == (1, False), said
            assert kept.isdisjoint(killed.asked()[before:])
        rows = rows_of(folder / out)
        assert sorted(row["prompt"] for row in rows) == sorted(prompts)
        for row in rows:
            is_refused = row["prompt"].startswith("refuse")
            assert (row["error_type"] == "InvalidRequest") is is_refused
            assert is_refused or row["text"] == row["prompt"][::-1]
