"""Random schedules of consumers, a few of those that ``python -m tests.schedules`` plays at length."""

from __future__ import annotations

import pytest

from tests.schedules import play_many

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("seed", [1_000_000, 2_000_000])
async def test_some(seed):
    """However consumers come, leave and are cancelled: one call, the right text for each, and nothing left behind."""
    assert await play_many(30, seed) > 100
