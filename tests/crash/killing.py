"""Kill a process that records: at each of its system calls, or at a random moment."""

from __future__ import annotations

import json
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from types import FrameType

import anyio

from mellite.cassettes import CassetteWriter, ScriptedTransport, load_cassette
from mellite.cassettes.compression import compress, compression_of
from mellite.cassettes.files.storing import store_file
from mellite.cassettes.interactions import HttpInteraction, Interaction
from mellite.cassettes.opening import use
from mellite.cassettes.recording.journal import recover
from mellite.wire.http import HttpRequest
from tests.crash.records import OLD, Report, begin_with, check, interaction, noted, numbers_in, stored

Acknowledge = Callable[[int], None]

CALLS = {
    "close",
    "fchmod",
    "fdatasync",
    "flock",
    "fstat",
    "fsync",
    "mkdir",
    "open",
    "read",
    "replace",
    "unlink",
    "write",
}
"""The calls before and after which the process is killed."""


# --- what is killed ---------------------------------------------------------------------------------


def url_of(one: Interaction) -> str | None:
    """Two interactions with one URL are the same."""
    return one.request.url if isinstance(one, HttpInteraction) else None


def added(path: Path, acknowledge: Acknowledge, count: int = 3) -> None:
    """Record a few more interactions."""
    writer = CassetteWriter.open(path, metadata={"name": "crash"})
    for number in range(count):
        writer.append(interaction(number), started=float(number))
        acknowledge(number)
    writer.finish()


def keyed(path: Path, acknowledge: Acknowledge) -> None:
    """Record some, of which each comes twice and counts once."""
    writer = CassetteWriter.open(path, key=url_of)
    for number in (0, 1, 0, 1):
        writer.append(interaction(number))
        acknowledge(number)
    writer.finish()


def rewritten(path: Path, acknowledge: Acknowledge) -> None:
    """Record what is to replace the cassette."""
    writer = CassetteWriter.open(path, "rewrite")
    for number in range(3):
        writer.append(interaction(number))
        acknowledge(number)
    writer.finish()


def left(path: Path, acknowledge: Acknowledge) -> None:
    """Record a few more interactions, and wait to be killed."""
    writer = CassetteWriter.open(path, durable=False)
    for number in range(3):
        writer.append(interaction(number))
        acknowledge(number)
    signal.pause()


def again(path: Path, acknowledge: Acknowledge) -> None:
    """Record twice, the first time without an end."""
    first = CassetteWriter.open(path)
    for number in range(2):
        first.append(interaction(number))
        acknowledge(number)
    del first
    second = CassetteWriter.open(path)
    second.append(interaction(2))
    acknowledge(2)
    second.finish()


def interrupted(path: Path, acknowledge: Acknowledge) -> None:
    """Record in a block, which ends it also when Ctrl-C is pressed; the process is killed when that is done."""
    try:
        with CassetteWriter.open(path, durable=False) as writer:
            for number in range(3):
                writer.append(interaction(number))
                acknowledge(number)
    except KeyboardInterrupt:
        os.kill(os.getpid(), signal.SIGKILL)


def both(path: Path, acknowledge: Acknowledge) -> None:
    """Record what is to replace the cassette while another recording adds to it; the latter ends last."""
    adding, replacing = CassetteWriter.open(path), CassetteWriter.open(path, "rewrite")
    for number, writer in enumerate((adding, replacing, adding, replacing)):
        writer.append(interaction(number))
        acknowledge(number)
    replacing.finish()
    adding.finish()


SCENARIOS = {
    "added": added,
    "keyed": keyed,
    "rewritten": rewritten,
    "again": again,
    "both": both,
    "interrupted": interrupted,
}


# --- at each call -----------------------------------------------------------------------------------


def at_every_call(name: str, folder: Path, old: int, *, suffix: str = ".json", step: int = 1) -> Report:
    """Kill one scenario before and after each of its calls of the system, or each `step`-th, one a round."""
    report = Report(f"killed at every call: {name}, {old} there before, {suffix}")
    path = folder / f"case{suffix}"
    for turn in range(1, 10_000, step):
        fresh(folder, path, old)
        sent = signal.SIGINT if name == "interrupted" else signal.SIGKILL
        acknowledged, alive = in_child(partial(SCENARIOS[name], path), killed_at=turn, sent=sent)
        moment = f"{report.name}, call {turn}"
        check(report, path, moment, old=old, acknowledged=acknowledged, rewriting=name in ("rewritten", "both"))
        if alive:
            break
    return report


def folded_while_read(folder: Path, *, step: int = 1) -> Report:
    """Fold a dead recording in while somebody reads, up to some call; each interaction is read once, and all are."""
    report = Report("folded in while it is read")
    path = folder / "case.json"
    whole_plan = [OLD, OLD + 1, 0, 1, 2]
    for stopped in range(1, 10_000, step):
        whole = False
        for turn in range(1, 10_000, step):
            fresh(folder, path, 2)
            in_child(partial(left, path), until=3)
            ended: list[bool] = []
            fold = in_waiting_child(lambda: recover(path), killed_at=stopped)
            sys.setprofile(Killer(turn, lambda fold=fold, ended=ended: ended.append(fold())))
            try:
                read = numbers_in(load_cassette(path))
            finally:
                sys.setprofile(None)
            report.rounds += 1
            with noted(report, f"read up to call {turn}, folded up to call {stopped}"):
                assert read == whole_plan, f"{read} was read"
            if not ended:  # the reader came to its end before
                fold()
                break
            whole = ended[0]
        if whole:
            break
    return report


def stored_whole(folder: Path) -> Report:
    """Kill the replacement of a file before and after each of its calls: it is the old one or the new one."""
    report = Report("killed at every call: store_file")
    path = folder / "file.txt"
    for turn in range(1, 10_000):
        fresh(folder, path, 0)
        path.write_bytes(b"old")
        acknowledged, alive = in_child(lambda done: done(int(store_file(str(path), b"new"))), killed_at=turn)
        report.rounds += 1
        with noted(report, f"call {turn}"):
            assert path.read_bytes() in ((b"new",) if acknowledged else (b"old", b"new"))
            store_file(str(path), b"next")
            assert path.read_bytes() == b"next"
            assert os.listdir(folder) == [path.name], f"{os.listdir(folder)} are left"
        if alive:
            break
    return report


def fresh(folder: Path, path: Path, old: int) -> None:
    """An empty folder, but for a cassette that was there before."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if old and path.suffix == ".json":
        begin_with(path, old)
    elif old:
        begin_with(folder / "plain", old)
        path.write_bytes(compress((folder / "plain").read_bytes(), compression_of(str(path))))
        (folder / "plain").unlink()


def in_child(
    work: Callable[[Acknowledge], object],
    *,
    killed_at: int = 0,
    sent: signal.Signals = signal.SIGKILL,
    after: float | None = None,
    until: int = 0,
) -> tuple[list[int], bool]:
    """Run something in a child that is killed; what it acknowledged before, and whether it came to its end.

    Args:
        work: what runs there.
        killed_at: at which of its CALLS it is killed.
        sent: or is sent another signal.
        after: after how many seconds it is killed.
        until: after how many interactions that it acknowledged it is killed.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        status = 1
        try:
            if killed_at:
                sys.setprofile(Killer(killed_at, partial(os.kill, os.getpid(), sent)))
            work(lambda number: acknowledge(writing, number))
            sys.setprofile(None)
            status = 0
        except BaseException:
            traceback.print_exc()
            raise
        finally:
            os._exit(status)
    os.close(writing)
    data = b""
    while data.count(b"\n") < until:
        data += os.read(reading, 1)
    if after is not None:
        select.select([], [], [], after)
    if until or after is not None:
        os.kill(child, signal.SIGKILL)
    data += b"".join(iter(lambda: os.read(reading, 65536), b""))
    os.close(reading)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        msg = "the child failed; its traceback is above"
        raise RuntimeError(msg)
    return [int(line) for line in data.split(b"\n")[:-1]], not os.WIFSIGNALED(status)


def in_waiting_child(work: Callable[[], object], *, killed_at: int) -> Callable[[], bool]:
    """Have a child ready to run something up to one of its CALLS; what lets it, and says whether it came to its end.

    It is there before, since within what `sys.setprofile` calls nothing is profiled, nor in a child that is forked
    there.
    """
    waiting, go = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.read(waiting, 1)
            sys.setprofile(Killer(killed_at, partial(os.kill, os.getpid(), signal.SIGKILL)))
            work()
            sys.setprofile(None)
            status = 0
        except BaseException:
            traceback.print_exc()
            raise
        finally:
            os._exit(status)

    def run() -> bool:
        os.write(go, b"x")
        _, status = os.waitpid(child, 0)
        os.close(waiting)
        os.close(go)
        assert os.WIFSIGNALED(status) or not os.WEXITSTATUS(status)
        return not os.WIFSIGNALED(status)

    return run


def acknowledge(descriptor: int, number: int) -> None:
    """Tell the parent that an interaction is stored."""
    os.write(descriptor, b"%d\n" % number)


class Killer:
    """Does something at the n-th event of calling a function, or of coming back from it; mostly, it kills."""

    def __init__(self, turn: int, act: Callable[[], object], calls: Collection[str] = frozenset(CALLS)) -> None:
        self.left = turn
        self.act = act
        self.calls = calls

    def __call__(self, frame: FrameType, event: str, function: object) -> None:
        """See `sys.setprofile`."""
        if event in ("c_call", "c_return") and getattr(function, "__name__", "") in self.calls:
            self.left -= 1
            if not self.left:
                self.act()


# --- at a random moment -----------------------------------------------------------------------------


def at_random(folder: Path, rounds: int, seed: int = 0) -> Report:
    """Kill a recording at a random time, 5 to 500 ms after its beginning."""
    chance = random.Random(seed)
    report = Report("killed at random")
    path = folder / "case.json"
    for number in range(rounds):
        old = number % 3
        fresh(folder, path, old)
        after = chance.uniform(0.005, 0.5 if rounds > 20 else 0.05)
        acknowledged, _ = in_child(lambda acknowledge: added(path, acknowledge, 100_000), after=after)
        check(report, path, f"round {number}, {after:.3f} s", old=old, acknowledged=acknowledged)
    return report


def in_a_stream(folder: Path) -> Report:
    """Kill a process in the middle of an answer that it records: there is none then, or all before it."""
    report = Report("killed in a stream")
    path = folder / "case.json"
    for old in (0, 1):
        fresh(folder, path, 0)
        acknowledged, _ = in_child(partial(record_streams, path, old), until=old + 1)
        report.rounds += 1
        report.acknowledged += len(acknowledged)
        with noted(report, f"after {old}"):
            assert acknowledged == list(range(old + 1)), f"it came only to {acknowledged}"
            assert len(stored(path, whole)) == old, "an answer that was cut off is there"
    return report


def whole(one: Interaction) -> str:
    """The answer, which is whole.

    Raises:
        AssertionError: if it is not.
    """
    assert isinstance(one, HttpInteraction)
    assert one.response.body.text == "onetwothree"
    return one.response.body.text


def record_streams(path: Path, count: int, acknowledge: Acknowledge) -> None:
    """Record some answers, and the beginning of one more."""
    anyio.run(streams, path, count, acknowledge)


async def streams(path: Path, count: int, acknowledge: Acknowledge) -> None:
    """Record some answers, and then one of which only the first piece is read."""
    live = ScriptedTransport([["one", "two", "three"] for _ in range(count + 1)])
    transport = use(path, mode="all", live=live, environment={})
    for number in range(count + 1):
        response = await transport.open(HttpRequest("POST", "https://example.com/", body=b"{}"))
        while await response.read() and number < count:
            pass
        acknowledge(number)
    await anyio.sleep_forever()


# --- at each system call, from outside --------------------------------------------------------------


def by_strace(folder: Path, call: str, most: int) -> Report:
    """Kill a recording when it enters a system call for the n-th time, as strace can: also inside what Python does."""
    report = Report(f"killed at {call}")
    path = folder / "case.json"
    for turn in range(1, most + 1):
        fresh(folder, path, 2)
        command = ["strace", "-f", "-o", str(folder.parent / "trace"), "-e", f"inject={call}:signal=KILL:when={turn}"]
        command += [sys.executable, "-m", "tests.crash", "--record", str(path)]
        ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        acknowledged = [int(line) for line in ran.stdout.split("\n")[:-1]]
        check(report, path, f"{call} {turn}", old=2, acknowledged=acknowledged)
        if ran.returncode == 0:
            break
    return report


def durable(folder: Path) -> Report:
    """Look at the system calls of a recording: what is renamed was synced before, and its directory after."""
    report = Report("synced before it is renamed")
    path = folder / "case.json"
    fresh(folder, path, 2)
    trace = folder.parent / "trace"
    command = ["strace", "-f", "-y", "-o", str(trace), "-e", "trace=write,fsync,fdatasync,rename,unlink"]
    subprocess.run([*command, sys.executable, "-m", "tests.crash", "--record", str(path)], check=True, timeout=60)
    report.rounds += 1
    with noted(report, json.dumps(path.name)):
        lines = [line for line in trace.read_text().splitlines() if str(folder) in line]
        renamed = next(number for number, line in enumerate(lines) if "rename(" in line)
        synced = [number for number, line in enumerate(lines) if "fsync(" in line and ".tmp>" in line]
        safe = [number for number, line in enumerate(lines) if "fsync(" in line and f"{folder}>" in line]
        removed = [number for number, line in enumerate(lines) if "unlink(" in line and ".journal" in line]
        assert synced, "the new file is not synced"
        assert synced[-1] < renamed, "the new file is renamed before it is synced"
        assert any(renamed < number < removed[0] for number in safe), "the journal goes before the name is safe"
    return report
