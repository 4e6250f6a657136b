"""Damaged answers: 5,000 of those of which `nox -s fuzz` tries 200,000."""

from __future__ import annotations

import collections
from pathlib import Path
from random import Random

import pytest

from tests import fuzzing

COUNT = 5_000
PARTS = 4


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_damaged_answers(corpora: Path, part: int) -> None:
    """A recorded answer with random damage is a valid answer or one of mellite's errors, in bounded time and memory."""
    answers = fuzzing.recorded(corpora)
    assert len(answers) > 300
    before = fuzzing.memory()
    counts, wrong, slowest = fuzzing.run(corpora, range(part * COUNT // PARTS, (part + 1) * COUNT // PARTS))
    assert fuzzing.verdict(counts, wrong, slowest, fuzzing.memory() - before) == []
    assert counts["InvalidProviderOutput"] > 100
    assert counts["stop"] > 100


@pytest.mark.parametrize(
    ("counts", "wrong", "slowest", "grown", "says"),
    [
        ({"stop": 5, "A": 1, "B": 1}, [], 0.1, 0, ""),
        ({"stop": 5, "A": 1, "B": 1}, ["4711: x"], 0.1, 0, "4711: x"),
        ({"stop": 5, "A": 1, "B": 1}, [], 2.1, 0, "2.1 s of CPU"),
        ({"stop": 5, "A": 1, "B": 1}, [], 0.1, 10**9, "1,000 MB"),
        ({"A": 5, "B": 1, "C": 1}, [], 0.1, 0, "shows nothing"),
    ],
)
def test_a_run_is_judged(counts: dict[str, int], wrong: list[str], slowest: float, grown: int, says: str) -> None:
    """A run with a foreign exception, that is slow, that grows, or in which everything fails, is not passed over."""
    troubles = fuzzing.verdict(collections.Counter(counts), wrong, slowest, grown)
    assert len(troubles) == bool(says)
    assert says in "".join(troubles)


def test_damage_is_made_anew_from_its_number() -> None:
    """The same number does the same damage, and nearly every number does some."""
    body = b'data: {"choices": [{"delta": {"content": "Hello"}}]}\n\ndata: [DONE]\n\n'
    made = [fuzzing.damaged(body, Random(number)) for number in range(200)]
    assert made == [fuzzing.damaged(body, Random(number)) for number in range(200)]
    assert len({each for each in made if each != body}) > 150


def test_names_are_damaged_by_bytes_that_are_no_text() -> None:
    """That damage leaves no UTF-8 behind, and stands inside of a name."""
    body = b'data: {"choices": [{"delta": {"content": "Hello"}}]}\n\n'
    for number in range(100):
        made = fuzzing.misnamed(body, Random(number))
        with pytest.raises(UnicodeDecodeError):
            made.decode()
        assert b'"Hello"}}]}\n\n' in made
        assert made.startswith(b'data: {"')
