"""Run the plan, at length or ``--short``; print one JSON line for each kind of crash; fail if there is a problem."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from attrs import asdict

from tests.crash import agents, crowds, killing, texts
from tests.crash.records import Report


def plan(folder: Path, *, short: bool) -> Iterator[tuple[str, Callable[[], Report]]]:
    """All kinds of crash: a name for each to be chosen by, whole or up to its hyphen, and what runs it."""
    step = 3 if short else 1
    for name in killing.SCENARIOS:
        for old in (2,) if (short and name != "rewritten") or name == "both" else (0, 2):
            yield "calls", lambda name=name, old=old: killing.at_every_call(name, folder, old, step=step)
    yield "calls", lambda: killing.at_every_call("added", folder, 2, suffix=".json.gz", step=step)
    yield "calls", lambda: killing.stored_whole(folder)
    yield "folded", lambda: killing.folded_while_read(folder, step=4 if short else 1)
    yield "random", lambda: killing.at_random(folder, 6 if short else 300)
    yield "stream", lambda: killing.in_a_stream(folder)
    yield "different", lambda: crowds.different(folder, 25 if short else 200)
    yield "same", lambda: crowds.same(folder, 10 if short else 200)
    yield "readers", lambda: crowds.read_meanwhile(folder, 10 if short else 100, 25 if short else 2500)
    yield "killed", lambda: crowds.killed_meanwhile(folder, 50 if short else 2000, 0.05 if short else 1.0)
    yield "rewriting", lambda: crowds.rewriting(folder, 10 if short else 200)
    yield "threads", lambda: crowds.threads(folder, 10 if short else 200)
    yield "tasks", lambda: crowds.tasks(folder, 64)
    yield "forked", lambda: crowds.forked(folder, 5)
    yield "winner", lambda: crowds.one_winner(folder, 5 if short else 100)
    yield "space", lambda: crowds.no_space(folder)
    for how in (None, "gzip"):
        yield "texts", lambda how=how: texts.at_every_call(folder, how, step=9 if short else 1)
    yield "texts", lambda: texts.crowd(folder, 10 if short else 200)
    for loop in ("asyncio", "trio"):
        yield f"agent-{loop}", lambda loop=loop: agents.at_every_call(folder, loop, step=131 if short else 1)
    if not short:
        yield "durable", lambda: killing.durable(folder)
        for call in ("write", "rename", "fsync", "fdatasync", "unlink"):
            yield call, lambda call=call: killing.by_strace(folder, call, 40)


def main(arguments: list[str]) -> int:
    """Run it, or those kinds that are named; 1 if something was lost."""
    if arguments[:1] == ["--record"]:
        killing.added(Path(arguments[1]), lambda number: killing.acknowledge(sys.stdout.fileno(), number), 5)
        return 0
    chosen = set(arguments) - {"--short"}
    failed = False
    with tempfile.TemporaryDirectory(dir=os.environ.get("MELLITE_CRASH_FOLDER")) as folder:
        for name, run in plan(Path(folder) / "cassettes", short="--short" in arguments):
            if chosen and chosen.isdisjoint({name, name.partition("-")[0]}):
                continue
            report = run()
            sys.stdout.write(json.dumps(asdict(report)) + "\n")
            sys.stdout.flush()
            failed = failed or bool(report.problems)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
