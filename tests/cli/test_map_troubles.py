"""`mellite map` where something is wrong: rows of a file, a disk that is full, Ctrl-C twice, and SIGTERM."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from mellite.cli.app import app
from tests.engine.provider import provider

ROOT = Path(__file__).parents[2]


@pytest.fixture
def invoke(tmp_path, monkeypatch):
    """Run the command over a file in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def run(name, data, *words):
        (tmp_path / name).write_bytes(data)
        return CliRunner().invoke(app, ["map", name, "-m", "fake:echo", "--out", "a.jsonl", *words])

    return run


def texts(path):
    """The answers in a file of JSON lines."""
    return [json.loads(line)["text"] for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("p.csv", b"prompt,x,x\na,1,2\n", "line 1: two columns are called 'x'"),
        ("p.csv", b'prompt,x\na,1\n"b,1\n', "line 3: unexpected end of data"),
        ("p.csv", b"prompt,x\na,1\nb\n", "line 3: a row has as many cells as the head, which has 2"),
        ("p.jsonl", b'{"prompt": "a"}\n{"q": "b"}\n', "row 2 has no column 'prompt'; it has 'q'"),
        ("p.jsonl", b'{"prompt": "a"}\n{"prompt": null}\n', "row 2 has null in the column 'prompt'"),
        ("p.jsonl", b'{"prompt": "a"}\n{"prompt": b}\n{"prompt": "c"}\n', "p.jsonl, line 2: this is not JSON"),
    ],
)
def test_a_row_that_is_wrong_is_named_and_loses_none_before_it(invoke, tmp_path, name, data, said):
    ran = invoke(name, data)
    assert ran.exit_code == 2
    assert said in ran.output
    assert (tmp_path / "a.jsonl").exists() is ("line 1" not in said)
    if "line 1" not in said:
        assert texts(tmp_path / "a.jsonl") == ["a"]


@pytest.mark.parametrize(
    ("name", "data"),
    [("p.csv", b""), ("p.csv", b"prompt,x\n"), ("p.jsonl", b""), ("p.jsonl", b"\n \n")],
)
def test_an_empty_file_gives_an_empty_one(invoke, tmp_path, name, data):
    assert invoke(name, data).exit_code == 0
    assert (tmp_path / "a.jsonl").read_bytes() == b""


def test_cells_that_are_no_text_stand_in_a_prompt_as_json(invoke, tmp_path):
    """Null is nothing, lists and objects are JSON; a byte order mark is none of the first column."""
    data = b'\xef\xbb\xbf{"a": null, "b": ["\xc3\xb6", 1]}\n{"a": 1.5, "b": true}\n'
    assert invoke("p.jsonl", data, "--template", "<{a}> {b}").exit_code == 0
    assert sorted(texts(tmp_path / "a.jsonl")) == ["<1.5> true", '<> ["ö", 1]']


def limited():
    """Let no file be larger, as on a disk that is full."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))


@pytest.mark.parametrize("words", [[], ["--journal", "kept"]])
def test_a_full_disk_ends_the_map_once_and_keeps_what_was_answered(tmp_path, words):
    """Whether the answers or the journal have no room: one error that names it, and whole rows."""
    (tmp_path / "p.jsonl").write_text("".join([f'{{"prompt": "{number:0200}"}}\n' for number in range(400)]))
    command = [sys.executable, "-m", "mellite", "map", "p.jsonl", "-m", "fake:echo", "--out", "a.jsonl", *words]
    ran = subprocess.run(
        [*command, "--concurrency", "4"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=limited,
    )
    assert ran.returncode == 1
    name = "the journal 'kept'" if words else "a.jsonl"
    assert f"{name}: File too large" in ran.stderr
    assert "Traceback" not in ran.stderr
    rows = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert f"{len(rows)} rows had settled before, now in a.jsonl" in ran.stderr
    assert len([row for row in rows if row["error_type"] is None]) > 20
    assert len([row for row in rows if row["error_type"] is not None]) <= 4


@contextmanager
def stopped(folder, *words):
    """Map 500 prompts in a process, and group, of its own; give that once it has begun, and wait for its end.

    Whatever stops it, a file has all that had settled, and no other file is left.
    """
    (folder / "p.jsonl").write_text("".join([f'{{"prompt": "{number}"}}\n' for number in range(500)]))
    (folder / "served").mkdir()
    with provider(folder / "served", delay=0.2) as served:
        address = {"OPENAI_BASE_URL": served.url, "OPENAI_API_KEY": "sk-test", "PYTHONPATH": str(ROOT)}
        words = [*words, "-m", "openai-chat:gpt-4o-mini", "--out", "a.jsonl", "--concurrency", "5", "--json"]
        process = subprocess.Popen(
            [sys.executable, "-m", "mellite", "map", "p.jsonl", *words],
            cwd=folder,
            env={**os.environ, **address},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            assert process.stdout.readline()  # how far it is, a second after its beginning
            yield process
        finally:
            process.kill()  # where it has not ended by itself
            process.communicate(timeout=60)
    found = texts(folder / "a.jsonl")
    assert 0 < len(found) == len(set(found)) < 500
    assert sorted(path.name for path in folder.iterdir()) == ["a.jsonl", "p.jsonl", "served"]


@pytest.mark.parametrize("words", [[], pytest.param(["--on", "dask", "--workers", "1"], marks=pytest.mark.slow)])
def test_ctrl_c_and_once_more_leave_what_had_settled(tmp_path, words):
    """The first one ends the map, the second changes nothing.

    A terminal sends it to all processes of a command, and no worker has anything to say of it.
    """
    with stopped(tmp_path, *words) as process:
        os.killpg(process.pid, signal.SIGINT)
        said = process.stderr.readline()
        os.killpg(process.pid, signal.SIGINT)
        said += process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert said.startswith("mellite: stopped by Ctrl-C")
    assert "Traceback" not in said


def test_sigterm_ends_a_map_as_ctrl_c_does(tmp_path):
    """What a scheduler sends before it kills loses nothing that had settled."""
    with stopped(tmp_path) as process:
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=60)[1]
    assert process.returncode == 143
    assert said.startswith("mellite: stopped by SIGTERM; what had settled is written")
