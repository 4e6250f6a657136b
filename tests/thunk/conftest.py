"""Fixtures for the contract tests: a test that hangs fails, and others run without the garbage collector."""

from __future__ import annotations

import gc
import signal
from collections.abc import Iterator
from types import FrameType

import pytest

LONGEST_TEST = 60.0
"""How long one test may take, in seconds; only a broken promise makes one take a tenth of it."""


@pytest.fixture(autouse=True)
def _no_hang() -> Iterator[None]:
    """Ends a test that waits for something that never comes, where the platform has an alarm."""

    def ring(_signal: int, _frame: FrameType | None) -> None:
        pytest.fail(f"still running after {LONGEST_TEST} s: it waits for something that never comes")

    if not hasattr(signal, "setitimer"):
        yield
        return
    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, LONGEST_TEST)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Switches the garbage collector off, so that only reference counts can clean up: a cycle cannot hide a leak."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()
