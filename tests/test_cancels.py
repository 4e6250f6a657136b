"""Calls cancelled at random moments: some of those of which `nox -s cancels` makes 10,000 on every loop."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import cancels
from tests.every_loop import LOOPS


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Where the server listens."""
    with cancels.serving() as port:
        yield port


@pytest.mark.slow
@pytest.mark.parametrize("loop", LOOPS)
def test_cancelled_at_any_moment(port: int, loop: str) -> None:
    """Whatever is cancelled when, others get their own answer whole, and nothing goes on afterwards."""
    found = cancels.run(port, loop, 300)
    assert found.wrong == []
    assert found.counts["scope: cancelled"] > 60
    assert found.counts["wait: done"] > 30
