"""A fixture for the strategies' promises of some milliseconds: how long the machine made the test wait meanwhile."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.pauses import Pauses


@pytest.fixture
def pauses() -> Iterator[Pauses]:
    """The pauses of this process during the test."""
    with Pauses() as pauses:
        yield pauses
