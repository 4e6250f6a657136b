"""Text cassettes: kill a process that records them at each of its system calls; let eight record into one directory."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection
from pathlib import Path
from time import monotonic

from mellite.cassettes import Sidecar, TextDirectory
from mellite.cassettes.audit import Audit
from mellite.cassettes.compression import Compression
from mellite.cassettes.secrets.scan import SecretScan
from mellite.errors import CassetteMiss
from tests.crash.crowds import EIGHT, at_once, flat
from tests.crash.killing import Acknowledge, in_child
from tests.crash.records import Report, noted

OLD, NEW = 1_000_000, 2_000_000
"""What is added to the number in the answer that was there before, and in the one that replaces it."""


def call(number: int) -> Sidecar:
    """The call with a number, and how its answer came."""
    chunks = (f"{number} " * (1 + number % 500),) * 2
    return Sidecar("openai", "", prompt=f"What is {number % OLD}?", chunks=chunks)


def record(directory: TextDirectory, number: int, *, replace: bool = False, how: Compression | None = None) -> str:
    """Store the answer with a number; what is there then."""
    sidecar = call(number)
    return directory.record("".join(sidecar.chunks or ()), sidecar, replace=replace, compression=how).text


def read(directory: TextDirectory, number: int) -> int:
    """The number of the answer to a call.

    Raises:
        AssertionError: if it is not whole.
    """
    text = directory.read("openai", "", f"What is {number}?").text
    found = int(text.split()[0])
    assert text == "".join(call(found).chunks or ()), f"the answer to {number} is not whole"
    return found


def begun(name: str, folder: Path) -> tuple[Report, TextDirectory]:
    """A report, and a directory with the old answer to call 0."""
    shutil.rmtree(folder, ignore_errors=True)
    directory = TextDirectory(folder)
    record(directory, OLD)
    return Report(name), directory


def at_every_call(folder: Path, how: Compression | None, *, step: int = 1) -> Report:
    """Kill a recording of new answers and of one in the place of an old one, at each of its calls of the system."""
    report = Report(f"text killed at every call: {how}")

    def work(acknowledge: Acknowledge) -> None:
        directory = TextDirectory(folder)
        for number in (1, 2):
            record(directory, number, how=how)
            acknowledge(number)
        record(directory, NEW, replace=True, how=how)
        acknowledge(NEW)

    for turn in range(1, 10_000, step):
        _, directory = begun(report.name, folder)
        acknowledged, alive = in_child(work, killed_at=turn)
        report.rounds += 1
        report.acknowledged += len(acknowledged)
        with noted(report, f"call {turn}"):
            begin = monotonic()
            checked(directory, acknowledged)
            for number in (1, 2):
                record(directory, number)
                assert read(directory, number) == number
            directory.tidy()
            report.slowest = max(report.slowest, monotonic() - begin)
            left = [name for name in os.listdir(folder) if name.endswith(".tmp")]
            assert left == [], f"{left} are left"
            record(directory, NEW, replace=True)
            problems = [str(one) for one in Audit(SecretScan({})).problems([str(folder)])]
            assert problems == [], problems
        if alive:
            break
    return report


def checked(directory: TextDirectory, acknowledged: Collection[int]) -> None:
    """What was acknowledged is there, and whatever is there is whole; the old answer is it or the new one."""
    for number in (1, 2):
        try:
            assert read(directory, number) == number
        except CassetteMiss:
            assert number not in acknowledged, f"{number} is lost"
    assert read(directory, 0) in ({NEW} if NEW in acknowledged else {OLD, NEW})


def crowd(folder: Path, each: int) -> Report:
    """Eight processes: each has answers of its own, and all have some to the same calls, of which the first stays."""
    report, directory = begun("text: eight processes", folder)

    def works(place: int) -> Callable[[Acknowledge], None]:
        def work(acknowledge: Acknowledge) -> None:
            here = TextDirectory(folder)
            for number in range(1 + place * each, 1 + (place + 1) * each):
                record(here, number)
                acknowledge(number)
                shared = 100_000 + number % each
                kept = record(here, shared)
                assert kept == here.read("openai", "", f"What is {shared}?").text
                assert read(here, 0) == OLD

        return work

    with noted(report, "recording"):
        everything = flat(at_once([works(place) for place in EIGHT]))
        report.rounds, report.acknowledged = 1, len(everything)
        assert len(everything) == len(EIGHT) * each
        for number in everything:
            assert read(directory, number) == number
        assert len(directory.keys()) == 1 + len(EIGHT) * each + each
        at_once([replacing(folder, how) for how in (None, "gzip") * 4])
        assert all(read(directory, number) == number for number in range(1, 6))
        assert not any(name.endswith(".tmp") for name in os.listdir(folder))
    return report


def replacing(folder: Path, how: Compression | None) -> Callable[[Acknowledge], None]:
    """Replaces the same few answers again and again, compressed in one way: nobody ever finds none."""

    def work(acknowledge: Acknowledge) -> None:
        here = TextDirectory(folder)
        for turn in range(50):
            assert record(here, 1 + turn % 5, replace=True, how=how)
            acknowledge(turn)

    return work
