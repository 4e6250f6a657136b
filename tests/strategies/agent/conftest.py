"""Fixtures for the tests of runs: a test that hangs fails."""

from __future__ import annotations

from tests.thunk.conftest import _no_hang  # noqa: F401 - a fixture
