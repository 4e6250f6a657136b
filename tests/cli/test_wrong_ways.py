"""Commands that are given something wrong, or cannot write: what is said, of what, what to do, and the exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import mellite
from mellite.backends import Echo
from mellite.cli.app import app

ROOT = Path(__file__).parents[2]

MAP = ("map", "q.csv", "-m", "fake:echo", "--out", "a.csv")
ASKED = (*MAP, "--column", "question")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with questions, a log and a file that is none of what mellite writes; the program runs in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MELLITE_LOG_DB", raising=False)
    (tmp_path / "q.csv").write_text("id,question\n1,why\n")
    with mellite.log.to(tmp_path / "calls.db"):
        Echo().generate("Logged.").result()
    mellite.log.flush()
    return tmp_path


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((*MAP, "--template", "{nope}"), "row 1 has no column 'nope', which --template has a place for; it has 'id',"),
        ((*ASKED, "--rpm", "0"), "Invalid value for '--rpm': '0' is not a number above 0"),
        ((*ASKED, "--tpm", "nan"), "Invalid value for '--tpm': 'nan' is not a number above 0"),
        ((*ASKED, "--max-usd", "much"), "Invalid value for '--max-usd': 'much' is not a number from 0 on"),
        ((*ASKED, "--concurrency", "0"), "Invalid value for '--concurrency'"),
        ((*ASKED, "--workers", "2"), "--workers is for --on dask and --on ray, which have workers, not for --on local"),
        ((*ASKED, "--on", "batch", "--scheduler", "a"), "--scheduler is for --on dask and --on ray"),
        (("batch", "status", "none"), "for the journal 'none', which is not there; name the one of `submit`"),
        (("batch", "fetch", ".", "--out", "a.csv"), "no batch was submitted for the journal '.'"),
        (("log", "ls", "calls.db"), "unexpected extra argument (calls.db); a log is named by --db calls.db"),
        (("view", "q.csv", "--html", "a.html"), "a cassette, a journal, a log or a folder of cassettes can be shown"),
    ],
)
def test_what_is_wrong_is_named_as_the_command_names_it(folder, words, said):
    """A message names options of the command, not arguments of functions, and says what there is instead."""
    ran = CliRunner().invoke(app, list(words))
    assert ran.exit_code == 2, ran.output
    assert said in " ".join(ran.output.split())
    assert not (folder / "a.csv").exists()


def test_a_journal_that_is_a_file(folder):
    ran = CliRunner().invoke(app, [*ASKED, "--journal", "q.csv"])
    assert ran.exit_code == 1
    assert "the journal 'q.csv': there is a file of this name, and a journal is a directory" in ran.output


def shell(folder, line):
    """Run a line of a shell in which ``mellite`` is the command."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MELLITE": f"{sys.executable} -m mellite"}
    line = line.replace("mellite", "$MELLITE", 1)
    return subprocess.run(
        ["bash", "-c", line], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        (
            "mellite log export --db calls.db >/dev/full",
            1,
            "standard output cannot be written: No space left on device",
        ),
        ("mellite generate --help >/dev/full", 1, "standard output cannot be written: No space left on device"),
        ("mellite view calls.db --html /dev/full", 1, "/dev/full: No space left on device"),
        ("mellite map - -m fake:echo --out a.csv <&-", 2, "standard input is closed; name a file, or pipe JSON lines"),
        (f"mellite {' '.join(ASKED)} --json >&-", 0, ""),
        ("mellite view calls.db --html - | tail -n 1", 0, ""),
    ],
)
def test_streams_that_are_full_or_closed(folder, line, code, said):
    ran = shell(folder, line)
    assert ran.returncode == code, ran.stderr
    assert ran.stderr.strip() == (f"mellite: {said}" if code == 1 else ran.stderr.strip())
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr
    assert ran.stdout == ("</html>\n" if "tail" in line else "")
