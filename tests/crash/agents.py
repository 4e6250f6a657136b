"""Kill an agent with a journal at each of its I/O calls, and start it again until it has ended."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import threading
import traceback
from collections import Counter
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import anyio

import mellite
from mellite.archive.journal.book import Book
from mellite.archive.journal.file import JournalFile
from mellite.archive.journal.records import interrupted_in, read_journal
from mellite.archive.journal.resolving import forget, resolve
from mellite.errors import InvalidJournal
from tests.crash.killing import CALLS, Killer
from tests.crash.model_server import ModelServer, running
from tests.crash.records import Report, noted

IO_CALLS = CALLS | {"connect", "connect_ex", "recv", "send", "sendall", "sendmsg"}
"""The calls before and after which the agent is killed, in any of its threads."""


async def agent(folder: Path, url: str) -> str:
    """Ten steps with three tools at once, and the best of three answers about it."""
    notes = os.open(folder / "notes", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    @mellite.tool
    async def look(place: int) -> dict[str, int]:
        return {"seen": place * 7}

    @mellite.tool(once=True)
    async def note(number: int) -> str:
        os.write(notes, b"%d\n" % number)
        return f"noted {number}"

    try:
        async with (
            mellite.backend("openai-chat:agent", base_url=url, api_key="sk-test") as backend,
            mellite.journal(folder / "journal") as journal,
        ):
            run = mellite.run(backend, "Work.", tools=[look, note], stop_when=mellite.stop.steps(20))
            await run
            if run.stop_reason == "pending":
                return ""
            asked = backend.generate([*run.messages, mellite.Message.user("How did it go?")])
            best = await mellite.BestOfN(3, score=lambda thunk: len(thunk.text)).sample(asked)
            seen = [message.text for message in run.messages]
            return json.dumps([best.value, seen, len(str(journal.uuid("end"))), len(run.steps)])
    finally:
        os.close(notes)


def in_child(folder: Path, url: str, loop: str, *, killed_at: int = 0, loaded: bool = False) -> str | None:
    """Run the agent in a child that is killed at one of its calls; what it came to, or None if it was killed.

    With `loaded`, what it returns is the modules that were loaded for it, as JSON.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        status = 1
        try:
            if killed_at:
                killer = Killer(killed_at, partial(os.kill, os.getpid(), signal.SIGKILL), IO_CALLS)
                threading.setprofile(killer)
                sys.setprofile(killer)
            told = anyio.run(agent, folder, url, backend=loop)
            sys.setprofile(None)
            if loaded:
                told = json.dumps(sorted(sys.modules))
            os.write(writing, told.encode())
            status = 0
        except BaseException:
            traceback.print_exc()
            raise
        finally:
            os._exit(status)
    os.close(writing)
    data = b"".join(iter(lambda: os.read(reading, 65536), b""))
    os.close(reading)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        msg = "the agent failed; its traceback is above"
        raise RuntimeError(msg)
    return None if os.WIFSIGNALED(status) else data.decode()


def settled(journal: Path) -> Counter[str]:
    """The requests whose answers stand in a journal, by the ids that the server gave them."""
    try:
        calls = read_journal(journal).calls
    except InvalidJournal:
        assert not (journal / "journal.json").exists()
        return Counter()
    return Counter(
        [call.folded.start.response_id or "" for call in calls if call.kind == "call" and call.state == "done"]
    )


def decide(folder: Path) -> int:
    """Say of each note of which nobody knows whether it was written what is in the file; how many there were."""
    written = (folder / "notes").read_text().split()
    file = JournalFile(str(folder / "journal"))
    try:
        waiting = interrupted_in(file.index)
        for each in waiting:
            number = each.arguments["number"]
            if str(number) in written:
                resolve(Book(file), each.call_id, f"noted {number}")
            else:
                forget(Book(file), each.call_id)
    finally:
        file.close()
    return len(waiting)


class Whole(NamedTuple):
    """What an agent comes to that nobody kills, and what it asks for that."""

    result: str
    asked: Counter[str]


def at_every_call(folder: Path, loop: str, *, step: int = 1) -> Report:
    """Kill it at each `step`-th of its calls, then once more elsewhere; then let it end."""
    report = Report(f"an agent with a journal killed at every call: {loop}")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with running(folder / "asked") as server:
        place = folder / "loaded"
        place.mkdir()
        for name in json.loads(in_child(place, server.url, loop, loaded=True) or "[]"):
            if name.partition(".")[0] in ("anyio", "asyncio", "httptools", "mellite", "trio"):
                import_module(name)  # here, so that not each child does it
        asked = server.asked()
        place = folder / "0"
        place.mkdir()
        whole = in_child(place, server.url, loop)
        needed = server.asked() - asked
        assert whole, "the agent did not come to its end"
        assert sum(needed.values()) == 13, f"it asked {needed}"
        for turn in range(1, 100_000, step):
            place = folder / str(turn)
            place.mkdir()
            with noted(report, f"call {turn}"):
                alive = one_round(place, server, loop, turn, Whole(whole, needed))
                report.rounds += 1
                if alive:
                    break
            shutil.rmtree(place)
    return report


def one_round(place: Path, server: ModelServer, loop: str, turn: int, whole: Whole) -> bool:
    """Kill it at one call, and once more at another; then let it end. Whether it ended before that call."""
    first = server.asked()
    came = in_child(place, server.url, loop, killed_at=turn)
    kills = 0
    is_first = True
    result = came
    while result is None or result == "":
        if result is None:
            kills += 1
        elif not decide(place):
            msg = "the run waits, and nothing is to be decided"
            raise AssertionError(msg)
        known, before = settled(place / "journal"), server.asked()
        result = in_child(place, server.url, loop, killed_at=1 + turn * 13 % 400 if is_first else 0)
        is_first = False
        asked = server.asked() - before
        again = {id: count for id, count in asked.items() if count > whole.asked[id] - known[id]}
        assert not again, f"{again} stood in the journal, and was asked again"
    assert result == whole.result, "it came to something else"
    most = {id: count for id, count in (server.asked() - first).items() if count > whole.asked[id] * (1 + kills)}
    assert not most, f"{most} was asked more than once more for each kill"
    written = (place / "notes").read_text().split()
    assert sorted(written) == sorted(set(written)), f"{written}: a note was written twice"
    assert len(written) == 9, f"only {written} were written"
    return came is not None
