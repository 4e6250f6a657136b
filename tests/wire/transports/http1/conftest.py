"""Fixtures for the transport of our own: all loops, and servers that do on a connection as a test says."""

from __future__ import annotations

import pytest


@pytest.fixture(params=["asyncio", "uvloop", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, object]]:
    """The loop of a test."""
    if request.param == "uvloop":
        return "asyncio", {"use_uvloop": True}
    return request.param, {}
