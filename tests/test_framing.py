"""Answers whose HTTP is damaged: some of those of which `nox -s framing` tries 100,000."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import framing
from tests.every_loop import LOOPS

COUNT = 300


@pytest.fixture(scope="module")
def port(corpora: Path) -> Iterator[int]:
    """Where the server listens that sends damaged answers."""
    with framing.serving(corpora) as port:
        yield port


@pytest.mark.slow
@pytest.mark.parametrize("loop", LOOPS)
def test_damaged_framing(corpora: Path, port: int, loop: str) -> None:
    """An answer of damaged HTTP ends in one of mellite's errors, or with all of its text, and spoils no other."""
    found = framing.run(corpora, port, loop, range(COUNT))
    assert found.wrong == []
    assert found.counts["InvalidProviderOutput"] > 50
    assert found.counts["ConnectionLost"] > 30
    assert found.counts["stop"] > 40


def test_an_answer_is_made_anew_from_its_number(corpora: Path) -> None:
    """The same number gives the same bytes, one in four whole, and damage leaves what is said alone."""
    answers = framing.answers_of(corpora)
    made = [framing.plan(answers, number) for number in range(200)]
    assert made == [framing.plan(answers, number) for number in range(200)]
    assert sum(each.is_good for each in made) == 50
    assert all(each.end != "reset" for each in made if each.is_good)
