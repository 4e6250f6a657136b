"""The recipe runs as a program, without a key and without network."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_the_recipe_runs_without_a_key(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "mellite.recipes.llm_call_example"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert [line.partition(" {")[0] for line in lines] == [
        "START: flow.demo step.1",
        "END: flow.demo step.1 success",
        "START: flow.demo step.2",
        "END: flow.demo step.2 success",
    ]
    assert "'cost_usd': 1.14e-05" in lines[3]
