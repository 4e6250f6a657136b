"""Bodies without secrets, and the sizes of their pieces."""

from __future__ import annotations

import pytest

from mellite.cassettes.secrets.bodies import resized


@pytest.mark.parametrize(
    ("sizes", "found"),
    [([9, 1, 4], [4, 1, 4]), ([3, 7, 4], [3, 2, 4]), ([6, 8], [4, 5]), ([14], [9]), ([1] * 14, None)],
)
def test_borders_when_lines_change(sizes: list[int], found: list[int] | None) -> None:
    """The sizes of pieces add up to the new body, and borders between lines stay there."""
    before, after = b"secret--x\nabc\n", b"####\nabc\n"
    new = resized(before, after, sizes)
    assert new == found or (found is None and sum(new) == len(after) and min(new) >= 0)
