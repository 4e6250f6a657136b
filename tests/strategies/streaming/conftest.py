"""Fixtures for the tests of streams: a test that hangs fails, and some run without the garbage collector."""

from __future__ import annotations

from tests.thunk.conftest import _no_hang, no_collector

__all__ = ["_no_hang", "no_collector"]
