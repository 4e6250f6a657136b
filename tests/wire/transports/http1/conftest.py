"""Fixtures for the transport of our own: both loops, and servers that do on a connection as a test says."""

from __future__ import annotations

import pytest


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """The loop of a test."""
    loop: str = request.param
    return loop
