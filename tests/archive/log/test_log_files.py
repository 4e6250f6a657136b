"""Log files under stress: killed processes, several at once, full disks, files that are not logs, forks, the end."""

from __future__ import annotations

import json
import os
import resource
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import mellite
from mellite.archive.log.schema import opened
from mellite.backends import Constant, Echo
from mellite.steps import SqliteRecorder
from tests.archive.log.logs import program, ran, rows, told

MIB = 2**20

ASK = "import sys, mellite\nfrom mellite.backends import Constant, Echo\n"


def texts(path: str | Path) -> list[str]:
    """The answers that are kept."""
    return [call["text"] for call in told(path, "calls")]


@contextmanager
def file_size_at_most(limit: int) -> Iterator[None]:
    """Let no file grow beyond a size, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_what_settles_is_there_soon_without_a_flush(tmp_path: Path) -> None:
    """At the latest 0.2 s later; here with room for the program that waits for it, and a machine with more to do."""
    path = tmp_path / "log.db"
    with mellite.log.to(path) as log:
        Echo().generate("first").result()
        log.flush()
        text = "import sys; from mellite.cli.app import app; app(['log', 'tail', '-f', '--json', '--db', sys.argv[1]])"
        following = program(text, path)
        assert following.stdout is not None
        told = [following.stdout.readline()]
        for number in range(2):  # the second one wakes the thread again, which had nothing to do
            began = time.monotonic()
            Echo().generate(f"turn {number}").result()
            told.append(following.stdout.readline())
            assert time.monotonic() - began < 3
        following.kill()
        following.communicate(timeout=20)
    assert [json.loads(line)["text"] for line in told] == ["first", "turn 0", "turn 1"]


def test_flushed_rows_survive_a_kill(tmp_path: Path) -> None:
    """SIGKILL at any moment leaves a sound file with all that was flushed."""
    path = tmp_path / "log.db"
    for turn in range(3):
        started = program(
            f"{ASK}import itertools\nmellite.log.to(sys.argv[1])\n"
            "for number in itertools.count():\n"
            "    Echo().generate(f'{sys.argv[2]}.{number}').result()\n"
            "    if number % 5 == 0:\n"
            "        mellite.log.flush()\n"
            "        print(number, flush=True)\n",
            path,
            turn,
        )
        assert started.stdout is not None
        flushed = -1
        for _ in range(3 + turn):
            flushed = int(started.stdout.readline())
        started.send_signal(signal.SIGKILL)
        started.communicate(timeout=20)
        assert {f"{turn}.{number}" for number in range(flushed + 1)} <= set(texts(path))
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]


@pytest.mark.parametrize(
    "end",
    [
        "",
        "sys.exit(3)",
        "raise SystemExit",
        "import threading; threading.Thread(target=lambda: Echo().generate('thread').result()).start()",
    ],
)
def test_the_end_of_a_process_writes_what_is_left(tmp_path: Path, end: str) -> None:
    """However it ends, and also what a thread asks behind the last line."""
    path = tmp_path / "log.db"
    text = f"{ASK}for each in 'ab': Echo().generate(each).result()\n{end}\n"
    _, _, complaints = ran(text, MELLITE_LOG_DB=str(path))
    assert complaints == ""
    assert texts(path) == [*"ab", *(["thread"] if "thread" in end else [])]


def test_what_settles_at_the_very_end_is_there(tmp_path: Path) -> None:
    """A generation that the end of the process cancels, after the log has been closed."""
    path = tmp_path / "log.db"
    text = (
        f"{ASK}import anyio\n"
        "class Waits(mellite.Backend):\n"
        "    async def stream(self, request):\n"
        "        yield mellite.events.TextDelta('so far')\n"
        "        await anyio.sleep_forever()\n"
        "thunk = Waits().generate('x')\n"
        "next(thunk.iter())\n"
        "mellite.log.to(sys.argv[1])\n"
        "Echo().generate('y').result()\n"
        "late = Waits().generate('z')\n"
        "deltas = late.iter()\n"
        "next(deltas)\n"
    )
    code, _, complaints = ran(text, path)
    assert (code, complaints) == (0, "")
    assert [(call["state"], call["text"]) for call in told(path, "calls")] == [("done", "y"), ("cancelled", "so far")]


def test_the_variable_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be set, changed, and taken away at any time; an empty one is none."""
    one, two = tmp_path / "one.db", tmp_path / "two.db"
    for said, text in ((one, "a"), (two, "b"), ("", "c"), (one, "d"), (None, "e")):
        if said is None:
            monkeypatch.delenv("MELLITE_LOG_DB")
        else:
            monkeypatch.setenv("MELLITE_LOG_DB", str(said))
        Echo().generate(text).result()
    mellite.log.flush()
    assert (texts(one), texts(two)) == (["a", "d"], ["b"])


def test_one_file_by_variable_by_call_and_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every row is there once; the log goes on until the last one is closed."""
    path = tmp_path / "log.db"
    monkeypatch.setenv("MELLITE_LOG_DB", str(path))
    with mellite.log.to(path) as first, mellite.log.to(f"{tmp_path}/./log.db"):
        Echo().generate("one").result()
        first.close()
        first.close()
        monkeypatch.delenv("MELLITE_LOG_DB")
        Echo().generate("two").result()
    Echo().generate("three").result()
    assert texts(path) == ["one", "two"]


def test_many_processes_make_one_file(tmp_path: Path) -> None:
    """All of them make its tables at once, one of them over the file of a recorder; no row is lost."""
    path = tmp_path / "log.db"
    SqliteRecorder(path).record_step_start("flow", "step")
    text = (
        f"{ASK}sys.stdin.readline()\n"
        "with mellite.log.to(sys.argv[1]) as log:\n"
        "    for number in range(50): Constant(f'{sys.argv[2]}.{number}').generate('same').result()\n"
        "print(log.lost)\n"
    )
    processes = [program(text, path, number) for number in range(4)]
    for each in processes:
        assert each.stdin is not None
        each.stdin.write("\n")
        each.stdin.flush()
    ended = [each.communicate(timeout=60) for each in processes]
    assert ended == [("0\n", "")] * 4
    assert sorted(texts(path)) == sorted(f"{process}.{number}" for process in range(4) for number in range(50))
    assert rows(path, "SELECT count(*) FROM messages WHERE text = 'same'") == [(1,)]
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]


def test_a_file_that_is_just_being_made_is_a_log(tmp_path: Path) -> None:
    """Whoever looks while another one makes the tables sees all of that or none."""
    together = threading.Barrier(6)

    def make(number: int) -> None:
        for turn in range(15):
            together.wait(30)
            opened(str(tmp_path / f"{turn}.db")).close()

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(make, range(6))) == [None] * 6


def test_looking_at_a_log_takes_no_lock_away(tmp_path: Path) -> None:
    """A process that shows its own log goes on to write it for all to see, though another one has written meanwhile."""
    path = tmp_path / "log.db"
    with mellite.log.to(path) as log:
        Echo().generate("one").result()
        log.flush()
        assert "one" in mellite.viewer.html(path)
        ran(f"{ASK}with mellite.log.to(sys.argv[1]): Echo().generate('two').result()", path)
        Echo().generate("three").result()
        log.flush()
        counting = "import sqlite3, sys; print(*sqlite3.connect(sys.argv[1]).execute('SELECT text FROM calls'))"
        assert ran(counting, path)[1] == "('one',) ('two',) ('three',)\n"
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]


def test_threads(tmp_path: Path) -> None:
    """Rows of many threads are all there, and all may flush at once."""
    path = tmp_path / "log.db"
    with mellite.log.to(path) as log, ThreadPoolExecutor(8) as pool:
        for _ in pool.map(lambda number: Echo().generate(str(number)).result(), range(200)):
            pass
        list(pool.map(lambda _: mellite.log.flush(), range(8)))
        assert (log.written, log.lost) == (200, 0)
    assert sorted(map(int, texts(path))) == list(range(200))


def test_forks(tmp_path: Path) -> None:
    """A child writes what settles in it, and nothing that its parent was about to write; each row is there once."""
    path = tmp_path / "log.db"
    text = (
        f"{ASK}import os, multiprocessing\n"
        "mellite.log.to(sys.argv[1])\n"
        "def ask(text): Echo().generate(text).result()\n"
        "ask('before')\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    ask('child')\n"
        "    mellite.log.flush()\n"
        "    os._exit(0)\n"
        "ask('parent')\n"
        "os.waitpid(child, 0)\n"
        "worker = multiprocessing.get_context('fork').Process(target=ask, args=('worker',))\n"
        "worker.start()\n"
        "worker.join()\n"
        "ask('after')\n"
    )
    code, _, complaints = ran(text, path)
    assert (code, complaints) == (0, "")
    assert sorted(texts(path)) == ["after", "before", "child", "parent", "worker"]
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]


def test_a_full_disk(tmp_path: Path) -> None:
    """Answers come all the same; rows are counted, and when there is room again, it goes on."""
    path = tmp_path / "log.db"
    big = "x" * MIB
    with mellite.log.to(path) as log:
        Echo().generate("first").result()
        log.flush()
        with file_size_at_most(MIB // 2):
            for number in range(3):
                assert Echo().generate(f"{number} {big}").result().startswith(str(number))
                log.flush()
        assert (log.written, log.lost) == (1, 3)
        Echo().generate("last").result()
    assert texts(path) == ["first", "last"]
    assert "cannot be written" in (log.problem or "")
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]


def test_a_disk_that_is_full_from_the_start(tmp_path: Path) -> None:
    """Nothing is lost but what came before there was room."""
    path = tmp_path / "log.db"
    with mellite.log.to(path) as log:
        with file_size_at_most(1000):
            assert Echo().generate("lost").result() == "lost"
            log.flush()
        Echo().generate("kept").result()
    assert (log.written, log.lost) == (1, 1)
    assert texts(path) == ["kept"]


def test_what_is_lost_is_said_once(tmp_path: Path) -> None:
    """A warning of the logger ``mellite``, however many rows are lost."""
    text = (
        f"{ASK}with mellite.log.to(sys.argv[1]) as log:\n"
        "    for _ in range(3):\n"
        "        Echo().generate('x').result()\n"
        "        log.flush()\n"
        "print(log.lost)\n"
    )
    code, out, complaints = ran(text, tmp_path / "none" / "log.db", MELLITE_LOG="warning")
    assert (code, out, complaints.count("cannot be written")) == (0, "3\n", 1)


def test_a_file_that_may_only_be_read(tmp_path: Path) -> None:
    """Also for a user who may write everything: the folder is one in which nothing can be made."""
    with mellite.log.to("/proc/log.db") as log:
        assert Echo().generate("x").result() == "x"
    assert (log.written, log.lost) == (0, 1)
    with mellite.log.to(tmp_path) as log:  # a folder
        assert Echo().generate("x").result() == "x"
    assert (log.written, log.lost) == (0, 1)


def test_files_that_are_no_logs_are_left_as_they_are(tmp_path: Path) -> None:
    """A text, another program's database, a damaged log, one of a later version, half a header."""
    text, other, damaged, later, half = [tmp_path / f"{number}.db" for number in range(5)]
    text.write_text("no database, and dear to somebody")
    half.write_bytes(b"SQLite for")
    with closing(sqlite3.connect(other)) as database:
        database.executescript("CREATE TABLE calls (x); PRAGMA user_version = 1;")
    for path in (damaged, later):
        with mellite.log.to(path):
            Echo().generate("x").result()
    with closing(sqlite3.connect(later)) as database:
        database.execute("PRAGMA user_version = 1000")
    damaged.write_bytes(damaged.read_bytes()[:4096] + b"\x00\xff" * 20_000)
    for path, why in (
        (text, "it is not an SQLite file"),
        (half, "it is not an SQLite file"),
        (other, "another program"),
        (damaged, "malformed"),
        (later, "later version"),
    ):
        before = path.read_bytes()
        with mellite.log.to(path) as log:
            assert Echo().generate("x").result() == "x"
        assert (log.lost, path.read_bytes()) == (1, before), why
        assert why in (log.problem or "")
        assert str(path) in (log.problem or "")


def test_an_empty_file_becomes_a_log(tmp_path: Path) -> None:
    """As one that was made to have a name."""
    (tmp_path / "log.db").touch()
    with mellite.log.to(tmp_path / "log.db"):
        Echo().generate("x").result()
    assert texts(tmp_path / "log.db") == ["x"]


def test_a_log_that_is_moved_away_is_begun_anew(tmp_path: Path) -> None:
    """What settles later is in a new file at the old path."""
    path, moved = tmp_path / "log.db", tmp_path / "old.db"
    with mellite.log.to(path) as log:
        Echo().generate("one").result()
        log.flush()
        for end in ("", "-wal", "-shm"):
            os.rename(f"{path}{end}", f"{moved}{end}")
        Echo().generate("two").result()
    assert (texts(moved), texts(path)) == (["one"], ["two"])


def test_a_program_that_holds_the_file_is_waited_for(tmp_path: Path) -> None:
    """The thread that writes waits, and no answer does."""
    path = tmp_path / "log.db"
    with mellite.log.to(path) as log:
        Echo().generate("one").result()
        log.flush()
        with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
            other.execute("BEGIN IMMEDIATE")
            Echo().generate("two").result(timeout=20)
            timer = threading.Timer(0.5, lambda: other.execute("COMMIT"))
            timer.start()
            log.flush()
            timer.join()
        assert (log.written, log.lost) == (2, 0)


def test_a_reader_that_stops_half_way_holds_nothing_up(tmp_path: Path) -> None:
    """Its half-read cursor is a read transaction, beside which rows are written."""
    path = tmp_path / "log.db"
    with mellite.log.to(path) as log:
        for number in range(3):
            Echo().generate(str(number)).result()
        log.flush()
        with closing(sqlite3.connect(path)) as reader:
            cursor = reader.execute("SELECT * FROM calls")
            cursor.fetchone()
            Echo().generate("later").result()
            log.flush()
            assert log.lost == 0
    assert texts(path)[-1] == "later"


def test_retention(tmp_path: Path) -> None:
    """What is older goes, with the messages that nothing refers to any more; the space is given back."""
    path = tmp_path / "log.db"
    with mellite.log.to(path):
        history = [mellite.Message.user("kept for the later one"), mellite.Message.assistant("old answer")]
        Constant("old " + "x" * MIB).generate(history[:1]).result()
        mellite.run(Echo(), "an old run").result()
        Constant("new").generate([*history, mellite.Message.user("new")]).result()
    old = (datetime.now(UTC) - timedelta(days=8)).isoformat(timespec="microseconds")
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE call_records SET started_at = ? WHERE number < 3", (old,))
        database.execute("UPDATE run_records SET started_at = ?", (old,))
    size = path.stat().st_size
    with mellite.log.to(path, retention=timedelta(days=7)):
        Echo().generate("newest").result()
    assert texts(path) == ["new", "newest"]
    assert told(path, "runs") == []
    assert told(path, "calls")[0]["prompt"].startswith("user: kept for the later one")
    assert rows(path, "SELECT count(*) FROM messages WHERE text LIKE 'old x%' OR text = 'an old run'") == [(0,)]
    assert path.stat().st_size < size - MIB // 2


@pytest.mark.slow
def test_more_than_can_be_written_is_counted(tmp_path: Path) -> None:
    """A file that another program holds for long: what waits is bounded, and the rest is lost, not the memory."""
    path = tmp_path / "log.db"
    text = (
        f"{ASK}import asyncio, os, sqlite3\n"
        "async def main():\n"
        "    log = mellite.log.to(sys.argv[1])\n"
        "    await Echo().generate('first')\n"
        "    log.flush()\n"
        "    other = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "    other.execute('BEGIN IMMEDIATE')\n"
        "    backend = Echo()\n"
        "    for number in range(21_000): await backend.generate('x')\n"
        "    print(log.lost > 0, flush=True)\n"
        "    os._exit(0)\n"
        "asyncio.run(main())\n"
    )
    code, out, complaints = ran(text, path, MELLITE_LOG="warning")
    assert (code, out) == (0, "True\n")
    assert complaints.count("cannot be written") == 1


def test_nothing_of_sqlite_is_loaded_without_a_log() -> None:
    """Who keeps no log pays for none."""
    code, out, _ = ran(
        f"{ASK}Echo().generate('x').result()\nprint([name for name in sys.modules if 'sqlite' in name])\n"
    )
    assert (code, out) == (0, "[]\n")


def test_the_payload_of_a_step_is_json(tmp_path: Path) -> None:
    """Whatever a flow puts into it."""
    path = tmp_path / "log.db"
    recorder = mellite.steps.TelemetryRecorder()
    with mellite.log.to(path):
        recorder.record_step_start("flow", "odd")
        recorder.record_step_end("flow", "odd", "success", {"set": {1}, "half": "\ud800", "none": None})
    (step,) = told(path, "steps")
    assert json.loads(step["payload"]) == {"set": "{1}", "half": "\ud800", "none": None}
