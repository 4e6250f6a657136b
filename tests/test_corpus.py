"""Every recorded answer of a real provider reads as that provider's own SDK reads it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.corpus_adapter import PROVIDERS

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("protocol", sorted(PROVIDERS))
def test_recorded_answers(corpora: Path, protocol: str) -> None:
    """Text, thinking, tool calls, reasons, usage and ids agree, whole and at several cuts of the bytes."""
    checker = corpora.parent / "tools" / "corpus_check.py"
    if not checker.is_file():
        pytest.skip(f"the corpus checker is not at {checker}")
    command = [
        sys.executable,
        str(checker),
        "--adapter",
        "tests.corpus_adapter:adapter",
        "--only",
        protocol,
        "--splits",
        "3",
    ]
    run = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "MELLITE_CORPORA": str(corpora)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "TOTAL 0" not in run.stdout
