"""Let several processes, threads or tasks record into one cassette at once."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import threading
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import anyio
import anyio.to_thread

from mellite.cassettes import CassetteWriter, load_cassette
from mellite.cassettes.files.storing import store_file
from mellite.errors import CassetteError
from tests.crash.killing import Acknowledge, in_child, url_of
from tests.crash.records import OLD, Report, begin_with, check, interaction, noted, numbers_in, stored

OLD_ONES = 2
EIGHT = range(8)


def prepared(name: str, folder: Path) -> tuple[Report, Path]:
    """A report, and a cassette with something in it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    path = folder / "case.json"
    begin_with(path, OLD_ONES)
    return Report(name), path


def flat(found: list[list[int]]) -> list[int]:
    """All numbers of all processes."""
    return [number for numbers in found for number in numbers]


def at_once(works: Sequence[Callable[[Acknowledge], object]], *, kill: float | None = None) -> list[list[int]]:
    """Run each in a process of its own, all at the same time; what each acknowledged.

    `kill`: after how many seconds the first is killed, and the second after twice that, but for the last four.
    """
    found: list[list[int]] = [[] for _ in works]

    def run(place: int) -> None:
        after = None if kill is None or place >= len(works) - 4 else kill * (place + 1)
        found[place] = in_child(works[place], after=after)[0]

    # A process of its own for each, since one with threads must not fork.
    reading, writing = os.pipe()
    children = []
    for place in range(len(works)):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                run(place)
                os.write(writing, b"".join([b"%d %d\n" % (place, number) for number in found[place]]))
                status = 0
            except BaseException:
                traceback.print_exc()
                raise
            finally:
                os._exit(status)
        children.append(child)
    os.close(writing)
    data = b"".join(iter(lambda: os.read(reading, 65536), b""))
    os.close(reading)
    failed = [child for child in children if os.waitpid(child, 0)[1]]
    if failed:
        msg = f"{len(failed)} of {len(works)} processes failed; their tracebacks are above"
        raise RuntimeError(msg)
    for line in data.split(b"\n")[:-1]:
        place, number = line.split()
        found[int(place)].append(int(number))
    return found


def records(path: Path, first: int, count: int, *, mode: str = "append") -> Callable[[Acknowledge], None]:
    """Records interactions with the numbers from `first` on."""

    def work(acknowledge: Acknowledge) -> None:
        writer = CassetteWriter.open(path, "rewrite" if mode == "rewrite" else "append", durable=mode == "durable")
        for number in range(first, first + count):
            writer.append(interaction(number))
            acknowledge(number)
        writer.finish()

    return work


def different(folder: Path, each: int) -> Report:
    """Eight processes, each with interactions of its own: all are there."""
    report, path = prepared("eight processes", folder)
    with noted(report, "recording"):
        found = at_once(
            [records(path, place * each, each, mode="durable" if place % 2 else "append") for place in EIGHT]
        )
        everything = flat(found)
        assert len(everything) == len(EIGHT) * each, f"only {len(everything)} were acknowledged"
        check(report, path, "at the end", old=OLD_ONES, acknowledged=everything)
        assert sorted(stored(path)) == sorted([*everything, *range(OLD, OLD + OLD_ONES)])
        for place in EIGHT:
            own = [number for number in stored(path) if place * each <= number < (place + 1) * each]
            assert own == sorted(own), f"those of process {place} are out of order"
    return report


def same(folder: Path, each: int) -> Report:
    """Eight processes with the same interactions: one of each wins, and its process is told."""
    report, path = prepared("eight processes, same keys", folder)

    def work(acknowledge: Acknowledge) -> None:
        writer = CassetteWriter.open(path, key=url_of, durable=False)
        for number in range(each):
            if writer.append(interaction(number)):
                acknowledge(number)
        writer.finish()

    with noted(report, "recording"):
        found = at_once([work for _ in EIGHT])
        winners = sorted(flat(found))
        assert winners == list(range(each)), f"the winners are {winners}"
        check(report, path, "at the end", old=OLD_ONES, acknowledged=winners)
        assert len(stored(path)) == OLD_ONES + each
    return report


def read_meanwhile(folder: Path, each: int, reads: int) -> Report:
    """Four processes record and four read: what is read is whole, and what was there once stays."""
    report, path = prepared("readers meanwhile", folder)

    def work(acknowledge: Acknowledge) -> None:
        most = 0
        for _ in range(reads):
            numbers = numbers_in(load_cassette(path))
            assert numbers[:OLD_ONES] == [OLD, OLD + 1], "what was there before is gone"
            assert len(set(numbers)) == len(numbers), f"some are there twice: {numbers}"
            assert len(numbers) >= most, f"there were {most}, and now there are {len(numbers)}"
            most = len(numbers)
            acknowledge(0)

    def short_recordings(first: int) -> Callable[[Acknowledge], None]:
        def work(acknowledge: Acknowledge) -> None:
            for number in range(first, first + each):
                records(path, number, 1)(acknowledge)

        return work

    with noted(report, "reading"):
        found = at_once([*[short_recordings(place * each) for place in range(4)], *[work for _ in range(4)]])
        report.rounds += sum(map(len, found[4:]))
        assert report.rounds == 4 * reads
        check(report, path, "at the end", old=OLD_ONES, acknowledged=flat(found[:4]))
    return report


def killed_meanwhile(folder: Path, each: int, every: float) -> Report:
    """Eight processes record, of which four are killed: nothing that any of them acknowledged is lost."""
    report, path = prepared("eight processes, four killed", folder)
    with noted(report, "recording"):
        works = [records(path, place * 1_000_000, 900_000 if place < 4 else each, mode="append") for place in EIGHT]
        found = at_once(works, kill=every)
        check(report, path, "at the end", old=OLD_ONES, acknowledged=flat(found), more=4)
    return report


def rewriting(folder: Path, each: int) -> Report:
    """Eight processes replace a cassette together: it holds what all of them recorded, and nothing else."""
    report, path = prepared("eight processes, rewriting", folder)
    ready, go = os.pipe()

    def member(place: int) -> Callable[[Acknowledge], None]:
        def work(acknowledge: Acknowledge) -> None:
            writer = CassetteWriter.open(path, "rewrite", durable=False)
            os.write(go, b"x")
            for number in range(place * each, (place + 1) * each):
                writer.append(interaction(number))
                acknowledge(number)
            os.read(everybody, 1)  # until all have begun: who comes after the end of the others replaces theirs
            writer.finish()

        return work

    def starter(acknowledge: Acknowledge) -> None:
        for _ in EIGHT:
            os.read(ready, 1)
        os.write(begun, b"x" * len(EIGHT))

    everybody, begun = os.pipe()
    with noted(report, "recording"):
        found = at_once([*[member(place) for place in EIGHT], starter])
        everything = flat(found)
        check(report, path, "at the end", old=OLD_ONES, acknowledged=everything, rewriting=True)
        assert sorted(stored(path)) == list(range(len(EIGHT) * each))
    for descriptor in (ready, go, everybody, begun):
        os.close(descriptor)
    return report


def threads(folder: Path, each: int) -> Report:
    """Eight threads with one writer, and eight with a writer each; two that begin and end all the time."""
    report, path = prepared("threads", folder)

    def record(writer: CassetteWriter, first: int) -> None:
        for number in range(first, first + each):
            writer.append(interaction(number))

    def record_alone(first: int) -> None:
        with CassetteWriter.open(path, durable=False) as writer:
            record(writer, first)

    with noted(report, "recording"):
        one = CassetteWriter.open(path, durable=False)
        crowd = [threading.Thread(target=record, args=(one, place * each)) for place in EIGHT]
        crowd += [threading.Thread(target=record_alone, args=((place + 8) * each,)) for place in EIGHT]
        for thread in crowd:
            thread.start()
        for thread in crowd:
            thread.join()
        one.finish()
        check(report, path, "at the end", old=OLD_ONES, acknowledged=range(16 * each))
    return report


def tasks(folder: Path, count: int) -> Report:
    """Many tasks that record one interaction each, in worker threads."""
    report, path = prepared("tasks", folder)

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for number in range(count):
                group.start_soon(anyio.to_thread.run_sync, writer.append, interaction(number))

    with noted(report, "recording"):
        writer = CassetteWriter.open(path, durable=False)
        anyio.run(main)
        writer.finish()
        check(report, path, "at the end", old=OLD_ONES, acknowledged=range(count))
    return report


def forked(folder: Path, each: int) -> Report:
    """A process forks in the middle of its recording, and parent and child go on with the same writer.

    Another child does nothing with it but to finish it.
    """
    report, path = prepared("fork in the middle", folder)

    def work(acknowledge: Acknowledge) -> None:
        writer = CassetteWriter.open(path)
        for number in range(each):
            writer.append(interaction(number))
            acknowledge(number)
        idle = os.fork()
        if not idle:
            writer.finish()  # in a child that has recorded nothing this ends nothing
            os._exit(0)
        os.waitpid(idle, 0)
        child = os.fork()
        first = each * (1 if child else 2)
        for number in range(first, first + each):
            writer.append(interaction(number))
            acknowledge(number)
        writer.finish()
        if child:
            os.waitpid(child, 0)

    for number in range(5):
        begin_with(path, OLD_ONES)
        with noted(report, f"round {number}"):
            acknowledged, _ = in_child(work)
            assert sorted(set(acknowledged)) == list(range(3 * each))
            check(report, path, f"round {number}", old=OLD_ONES, acknowledged=acknowledged)
    return report


def one_winner(folder: Path, rounds: int) -> Report:
    """Eight processes store one file that none of them may replace: one wins, and everybody reads what it wrote."""
    report, _ = prepared("one file, one winner", folder)
    for number in range(rounds):
        path = folder / f"{number}.txt"

        def work(acknowledge: Acknowledge, path: Path = path) -> None:
            mine = b"%d" % os.getpid() * 5000
            if store_file(str(path), mine, replace=False):
                acknowledge(os.getpid())
            data = path.read_bytes()
            assert data == data[: len(data) // 5000] * 5000, "it is torn"

        report.rounds += 1
        with noted(report, f"round {number}"):
            winners = flat(at_once([work for _ in EIGHT]))
            assert len(winners) == 1, f"the winners are {winners}"
            assert path.read_bytes() == b"%d" % winners[0] * 5000
    with noted(report, "at the end"):
        left = set(os.listdir(folder)) - {"case.json", *[f"{number}.txt" for number in range(rounds)]}
        assert not left, f"{left} are left"
    return report


def no_space(folder: Path) -> Report:
    """A disk that is full, at each size: a typed error, the old file untouched, and room makes it work again."""
    report = Report("no space")
    for limit in (1, 100, 700, 1500, 3000, 5000, 8000, 20_000):
        _, path = prepared("", folder)
        old = path.read_bytes()

        def work(acknowledge: Acknowledge, path: Path = path, limit: int = limit) -> None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            writer = CassetteWriter.open(path)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            with suppress(CassetteError):
                for number in range(600, 620):
                    writer.append(interaction(number))
                    acknowledge(number)
            with suppress(CassetteError):
                writer.finish()

        with noted(report, f"{limit} bytes"):
            acknowledged, _ = in_child(work)
            assert len(acknowledged) < 20, "the disk was not full"
            assert path.read_bytes() == old, "the old file is changed"
            assert not path.with_name("case.json.tmp").exists(), "the temporary file is left"
            check(report, path, f"{limit} bytes", old=OLD_ONES, acknowledged=acknowledged)
    return report
