"""Interactions with a number each, the cassette they go into, and what must be true of it after a crash."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Generator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import TypeVar

from attrs import define, field

from mellite.cassettes import (
    Cassette,
    CassetteWriter,
    HttpInteraction,
    RecordedRequest,
    RecordedResponse,
    load_cassette,
)
from mellite.cassettes.bodies import Body
from mellite.cassettes.files.journal_lines import REWRITE, read_records
from mellite.cassettes.files.write import encode_cassette
from mellite.cassettes.interactions import Interaction
from mellite.errors import CassetteMiss

T = TypeVar("T")

OLD = 1_000_000
"""The numbers of interactions that were there before begin here."""


@define
class Report:
    """What one kind of crash did."""

    name: str
    rounds: int = 0
    acknowledged: int = 0
    """How many interactions were acknowledged, in all rounds."""
    unacknowledged: int = 0
    """How many were there though they had not been acknowledged yet, which is fine."""
    slowest: float = 0.0
    """Of opening it again, in seconds."""
    problems: list[str] = field(factory=list)


def interaction(number: int) -> HttpInteraction:
    """The interaction with this number; its answer is long enough to be written in more than one page."""
    return HttpInteraction(
        RecordedRequest("POST", f"https://example.com/{number}", body=Body(f'{{"number": {number}}}')),
        RecordedResponse(200, headers={"content-type": "text/plain"}, body=Body(f"{number} " * (1 + number % 700))),
    )


def number_of(one: Interaction) -> int:
    """The number of an interaction.

    Raises:
        AssertionError: if it is torn.
    """
    assert isinstance(one, HttpInteraction)
    number = int(one.request.url.rpartition("/")[2])
    assert one.request.body.text == f'{{"number": {number}}}', f"the request of {number} is not whole"
    assert one.response.body.text == f"{number} " * (1 + number % 700), f"the answer of {number} is not whole"
    return number


def numbers_in(cassette: Cassette) -> list[int]:
    """The numbers of what a cassette holds, each of which is whole."""
    return [number_of(one) for one in cassette.interactions]


def stored(path: Path, what: Callable[[Interaction], T] = number_of) -> list[T]:
    """The numbers, or something else, of what is in a cassette file and its journal; none if there is neither."""
    try:
        return [what(one) for one in load_cassette(path).interactions]
    except CassetteMiss:
        return []


def begin_with(path: Path, count: int) -> None:
    """Put a cassette there that holds some interactions."""
    path.write_bytes(encode_cassette(Cassette(tuple([interaction(OLD + number) for number in range(count)]))))


@contextmanager
def noted(report: Report, moment: str) -> Generator[None]:
    """Make a problem of the report out of whatever goes wrong."""
    try:
        yield
    except Exception as error:
        report.problems.append(f"{moment}: {type(error).__name__}: {error}")


def check(
    report: Report,
    path: Path,
    moment: str,
    *,
    old: int,
    acknowledged: Collection[int],
    rewriting: bool = False,
    more: int = 1,
) -> None:
    """Look at a cassette after a crash, open it for recording again, and look once more.

    Args:
        report: where problems go.
        path: the cassette.
        moment: when it crashed, for problems.
        old: how many interactions were there before.
        acknowledged: those that must be there.
        rewriting: whether they were to replace the old ones.
        more: how many there may be that were not acknowledged: one that each killed process was about to.
    """
    report.rounds += 1
    report.acknowledged += len(acknowledged)
    with noted(report, moment):
        begun = monotonic()
        first = stored(path)
        CassetteWriter.open(path).finish()
        report.slowest = max(report.slowest, monotonic() - begun)
        assert stored(path) == first, f"opening it changed {first} to {stored(path)}"
        left = sorted(set(os.listdir(path.parent)) - {path.name})
        before = [OLD + number for number in range(old)]
        if rewriting and old and first[:old] == before:  # the recording had not ended well: it lies beside
            assert left in ([], [path.name + REWRITE]), f"{left} are left"
            first += in_rewrite(path)
        else:
            assert not left, f"{left} are left"
            before = [] if rewriting else before
        assert first[: len(before)] == before, f"of what was there before, {first[: len(before)]} is left"
        new = first[len(before) :]
        assert len(set(new)) == len(new), f"some are there twice: {new}"
        assert set(acknowledged) <= set(new), f"acknowledged and lost: {sorted(set(acknowledged) - set(new))}"
        unacknowledged = set(new) - set(acknowledged)
        assert len(unacknowledged) <= more, f"{sorted(unacknowledged)} were not acknowledged"
        report.unacknowledged += len(unacknowledged)


def in_rewrite(path: Path) -> list[int]:
    """The numbers of what a recording has written that was to replace the cassette."""
    journal = Path(f"{path}{REWRITE}")
    records = read_records(journal.read_bytes(), str(journal)) if journal.exists() else []
    found = [b'{"version":1,"interactions":[%s]}' % bytes(one.interaction) for one in records if bytes(one.interaction)]
    copy = path.with_name("copy")
    numbers = []
    for data in found:
        copy.write_bytes(data)
        numbers += numbers_in(load_cassette(copy))
        copy.unlink()
    return numbers
