"""Environment variables are read as `os.environ` reads them, at each call."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from mellite.wire.environment import variable


@pytest.mark.parametrize("value", ["", "plain", " spaced ", "é 你", "\udcff"])
def test_a_variable_is_read_as_it_is_now(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """What is set, changed and deleted counts at once, also what is not text in the encoding of the system."""
    monkeypatch.delenv("MELLITE_TEST_A", raising=False)
    assert variable("MELLITE_TEST_A") is None
    monkeypatch.setenv("MELLITE_TEST_A", value)
    assert variable("MELLITE_TEST_A") == os.environ["MELLITE_TEST_A"] == value
    monkeypatch.delenv("MELLITE_TEST_A")
    assert variable("MELLITE_TEST_A") is None


def test_what_stands_in_for_the_environment_is_read() -> None:
    """A program that puts a mapping of its own in place of `os.environ` is heard."""
    code = (
        "import os; from mellite.wire.environment import variable; os.environ = {'A': '1'}; print(*map(variable, 'AB'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "1 None\n"
