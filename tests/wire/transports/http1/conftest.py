"""A fixture for the transport of our own: its async tests run on every loop."""

from __future__ import annotations

from typing import Any

import pytest

from tests.every_loop import LOOPS


@pytest.fixture(params=LOOPS.values(), ids=LOOPS)
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """The loop of a test."""
    loop: tuple[str, dict[str, Any]] = request.param
    return loop
