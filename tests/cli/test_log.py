"""`mellite log` and `mellite generate --log`: in a pipe, as JSON, on a terminal, and for files that are not logs."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
from pathlib import Path

import pytest

import mellite
from mellite.backends import Constant, Failing, Scripted
from mellite.cassettes.text import djb2_key
from tests.cli.programs import COMMAND, invoked, run, surroundings
from tests.terminal import on_terminal

TELLING = "\x1b[31mred\x1b[0m\ttab"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A log with five calls."""
    file = tmp_path_factory.mktemp("log") / "log.db"
    with mellite.log.to(file):
        Constant("Bonjour.").generate("Say hello in French.", metadata={"tags": ["greeting"]}).result()
        Constant(TELLING).generate("STRASSE, Straße and 100 %").result()
        with pytest.raises(mellite.MelliteError):
            Failing(ValueError("out of order")).generate("Fail.").result()
        mellite.run(Scripted(["from a run"]), "Run.").result()
        Constant("last").generate("half \ud800 of a pair").result()
    return str(file)


def test_ls(path: str) -> None:
    """One line for each call, the newest first: id, time, model, state, tokens, cost, ms and the question."""
    ran = invoked("log", "ls", "--db", path)
    assert (ran.code, ran.err) == (0, "")
    lines = [line.split("\t") for line in ran.out.splitlines()]
    assert [line[-1] for line in lines] == [
        "half \\ud800 of a pair",
        "Run.",
        "Fail.",
        "STRASSE, Straße and 100 %",
        "Say hello in French.",
    ]
    assert lines[2][3] == "failed: BackendError"
    assert {len(line) for line in lines} == {8}
    assert len(invoked("log", "ls", "-n", "2", MELLITE_LOG_DB=path).out.splitlines()) == 2


def test_ls_as_json(path: str) -> None:
    """The columns of the view ``calls``; what is JSON in the file is JSON here."""
    newest, *_, oldest = invoked("log", "ls", "--db", path, "--json").rows
    assert (newest["text"], newest["replayed"]) == ("last", False)
    assert (oldest["prompt"], oldest["text"], oldest["tags"]) == ("Say hello in French.", "Bonjour.", ["greeting"])


@pytest.mark.parametrize(
    ("word", "found"),
    [("FRENCH", 1), ("bonjour", 1), ("strasse", 1), ("straße", 1), ("100 %", 1), ("%", 1), ("order", 1), ("_", 0)],
)
def test_search(path: str, word: str, found: int) -> None:
    """In prompts, answers and errors; nothing in a word is a wildcard."""
    ran = invoked("log", "search", word, "--db", path, "--json")
    assert (ran.code, len(ran.rows)) == (0 if found else 1, found)


def test_show(path: str) -> None:
    """By the beginning of an id; texts of several lines stand below their names, and escapes do nothing."""
    calls = invoked("log", "ls", "--db", path, "--json").rows
    telling = next(call for call in calls if call["prompt"].startswith("STRASSE"))
    whole = invoked("log", "show", telling["id"][:8], "--db", path, "--json").json
    assert whole["messages"] == [{"role": "user", "content": "STRASSE, Straße and 100 %"}]
    assert whole["message"] == {"role": "assistant", "content": TELLING}
    ran = invoked("log", "show", telling["id"], "--db", path)
    assert "prompt: STRASSE, Straße and 100 %" in ran.out.splitlines()
    assert "\x1b" not in ran.out
    assert invoked("log", "show", "zzzz", "--db", path).code == 1
    assert "more of it" in invoked("log", "show", "", "--db", path).err


def test_show_a_run(path: str) -> None:
    """A run with the calls that it made."""
    parent = next(call["parent"] for call in invoked("log", "ls", "--db", path, "--json").rows if call["parent"])
    shown = invoked("log", "show", parent, "--db", path, "--json").json
    assert (shown["state"], shown["stop_reason"], [call["text"] for call in shown["calls"]]) == (
        "done",
        "answered",
        ["from a run"],
    )
    assert "stop_reason: answered" in invoked("log", "show", parent, "--db", path).out


def test_stats(path: str) -> None:
    """Sums over all calls, and by model."""
    sums = invoked("log", "stats", "--db", path, "--json").json
    assert (sums["calls"], sums["failed"], sums["runs"], sums["replayed"]) == (5, 1, 1, 0)
    assert sums["cost_usd"] is None
    assert invoked("log", "stats", "--db", path).out.splitlines()[-1].split("\t")[:3] == ["all", "5", "1"]


def test_export(path: str) -> None:
    """Every call, the oldest first, with its messages."""
    rows = invoked("log", "export", "--db", path).rows
    assert len(rows) == 5
    assert rows[0]["messages"] == [{"role": "user", "content": "Say hello in French."}]


def test_tail(path: str) -> None:
    """The newest calls, the newest last."""
    last = invoked("log", "tail", "-n", "2", "--db", path, "--json").rows
    assert [row["text"] for row in last] == ["from a run", "last"]
    assert len(invoked("log", "tail", "--db", path).out.splitlines()) == 5


def test_tail_follows(tmp_path: Path) -> None:
    """With --follow each new call is printed when it is there, until Ctrl-C, which ends with 130."""
    path = tmp_path / "log.db"
    with mellite.log.to(path) as log:
        Constant("one").generate("x").result()
        log.flush()
        command = [*COMMAND, "log", "tail", "-f", "--json", "--db", str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=surroundings()) as following:
            assert following.stdout is not None
            assert '"text": "one"' in following.stdout.readline()
            Constant("two").generate("x").result()
            assert '"text": "two"' in following.stdout.readline()
            following.send_signal(signal.SIGINT)
            assert following.wait(20) == 130


def test_generate_with_log(tmp_path: Path) -> None:
    """--log keeps the call; where it cannot be kept, that is said and the answer is there."""
    path = tmp_path / "log.db"
    (tmp_path / f"{djb2_key('openai', 'm', 'Hello.')}.txt").write_text("Hi.\n")
    asked = ("generate", "Hello.", "--model", "openai:m", "--cassette-dir", str(tmp_path))
    ran = run(*asked, "--log", str(path))
    assert (ran.code, ran.out, ran.err) == (0, "Hi.\n", "")
    (call,) = invoked("log", "ls", "--db", str(path), "--json").rows
    assert (call["prompt"], call["text"], call["replayed"]) == ("Hello.", "Hi.", True)
    nowhere = run(*asked, "--log", str(tmp_path / "none" / "log.db"))
    assert (nowhere.code, nowhere.out) == (0, "Hi.\n")
    assert "cannot be written" in nowhere.err


def test_files_that_are_no_logs(tmp_path: Path) -> None:
    """None, a missing one, one of another kind, one of another program, and a damaged one: exit 2, and why."""
    text, other, damaged = tmp_path / "a.txt", tmp_path / "other.db", tmp_path / "damaged.db"
    text.write_text("no database")
    with sqlite3.connect(other) as database:
        database.execute("CREATE TABLE mine (x)")
    database.close()
    with mellite.log.to(damaged):
        Constant("x").generate("y").result()
    damaged.write_bytes(damaged.read_bytes()[:100] + b"\xff" * 5000)
    for file, why in (
        (text, "it is not an SQLite file"),
        (other, "another program"),
        (damaged, "cannot be read"),
        (tmp_path / "missing.db", "No such file"),
    ):
        before = file.read_bytes() if file.exists() else None
        ran = invoked("log", "ls", "--db", str(file))
        assert (ran.code, ran.out) == (2, ""), file
        assert why in ran.err
        assert (file.read_bytes() if file.exists() else None) == before
    assert "MELLITE_LOG_DB" in invoked("log", "ls").err


def test_on_a_terminal(path: str) -> None:
    """A table, with the names of the columns."""
    seen = on_terminal([*COMMAND, "log", "ls", "--db", path])
    assert seen.code == 0
    assert "prompt" in seen.plain
    assert "Say" in seen.plain
