"""`mellite map`: a row of answers for each row of a file, and how it ends."""

from __future__ import annotations

import csv
import json
import sys

import pytest
from click.testing import CliRunner

from mellite.cli.app import app
from tests.terminal import on_terminal


@pytest.fixture
def invoke(tmp_path, monkeypatch):
    """Run the command in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def run(*words, given=None):
        return CliRunner().invoke(app, ["map", *words], input=given)

    return run


def rows_of(path):
    """The rows of a file of JSON lines."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_rows_of_a_csv_file_come_with_their_answers(invoke, tmp_path):
    (tmp_path / "p.csv").write_text('id,question,text\n1,"größe, {id}",x\n2,two,y\n', encoding="utf-8-sig")
    ran = invoke("p.csv", "-m", "fake:echo", "--template", "Say {question}", "--out", "a.csv", "--json")
    assert ran.exit_code == 0, ran.output
    assert json.loads(ran.stdout.splitlines()[-1])["done"] == 2
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: row["id"])
    assert [(row["question"], row["input_text"], row["text"]) for row in rows] == [
        ("größe, {id}", "x", "Say größe, {id}"),
        ("two", "y", "Say two"),
    ]
    assert rows[0]["model"] == "echo"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.csv", "p.csv"]


def test_it_goes_on_from_a_journal(invoke, tmp_path):
    given = '{"prompt": "one", "tags": [1]}\n\n{"prompt": "two"}\n'
    for limit, count in (("1", 1), ("2", 2)):
        words = ("-", "-m", "fake:echo", "--out", "a.jsonl", "--journal", "kept", "--limit", limit)
        assert invoke(*words, given=given).exit_code == 0
        rows = rows_of(tmp_path / "a.jsonl")
        assert len(rows) == count
    assert {row["text"] for row in rows} == {"one", "two"}


def test_failed_rows_end_with_1_and_are_written(invoke, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    words = ("-", "-m", "openai:gpt-4o-mini", "--base-url", "http://127.0.0.1:9/v1", "--retries", "0")
    ran = invoke(*words, "--column", "q", "--out", "a.jsonl", given='{"q": "one"}\n')
    assert ran.exit_code == 1
    (row,) = rows_of(tmp_path / "a.jsonl")
    assert (row["text"], row["error_type"]) == (None, "ConnectError")
    written, failed = ran.stderr.splitlines()[-2:]
    assert written == "1 row written to a.jsonl"
    assert failed.startswith(
        "mellite: 1 of them failed; the first error: openai: cannot connect to http://127.0.0.1:9/"
    )


@pytest.mark.parametrize(
    ("words", "given", "said"),
    [
        (["nowhere.csv"], "", "cannot read 'nowhere.csv'"),
        (["p.txt"], "", "is read by its ending"),
        (["-", "--template", "{a}", "--column", "a"], "", "leave one out"),
        (["-", "--on", "nowhere"], "", "'nowhere' is not one of 'local', 'dask', 'ray', 'batch'"),
        (["-"], '{"q": 1}', "row 1 has no column 'prompt'; it has 'q'"),
        (
            ["-", "--template", "{question}"],
            '{"q": 1}',
            "no column 'question', which --template has a place for",
        ),
        (["-"], "{", "standard input, line 1: this is not JSON"),
        (["-"], "[]", "line 1: a row is an object, not list"),
        (["-", "--max-usd", "much"], "", "Invalid value for '--max-usd': 'much'"),
    ],
)
def test_what_is_wrong_ends_with_2(invoke, tmp_path, words, given, said):
    ran = invoke(*words, "-m", "fake:echo", "--out", "a.jsonl", given=given)
    assert ran.exit_code == 2
    assert said in ran.output
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_row_loses_none_before_it(invoke, tmp_path):
    ran = invoke("-", "-m", "fake:echo", "--out", "a.jsonl", given='{"prompt": "kept"}\n{"prompt": \n')
    assert ran.exit_code == 2
    assert "line 2" in ran.output
    assert [row["text"] for row in rows_of(tmp_path / "a.jsonl")] == ["kept"]


def test_answers_never_replace_the_rows_that_are_read(invoke, tmp_path):
    rows = '{"prompt": "one"}\n'
    (tmp_path / "p.jsonl").write_text(rows)
    ran = invoke("p.jsonl", "-m", "fake:echo", "--out", "./p.jsonl")
    assert (ran.exit_code, "is the file that is read" in ran.stderr) == (2, True)
    assert (tmp_path / "p.jsonl").read_text() == rows


def test_what_the_file_system_refuses_is_told_without_a_traceback(invoke, tmp_path):
    """A name that is too long, once its ending for what is not complete yet is added, is told before all else."""
    name = f"{'a' * 245}.jsonl"
    ran = invoke("-", "-m", "fake:echo", "--out", name, given='{"prompt": "one"}\n')
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert ran.stderr == f"mellite: {name!r} cannot be written: File name too long\n"
    assert list(tmp_path.iterdir()) == []


def test_workers_ask_about_the_rows(invoke, tmp_path):
    """With --on dask it has workers of its own, which the bar tells, and which end with it."""
    (tmp_path / "p.csv").write_text("id,prompt\n" + "".join(f"{n},word {n}\n" for n in range(20)), encoding="utf-8")
    words = [str(tmp_path / "p.csv"), "-m", "fake:echo", "--out", str(tmp_path / "a.jsonl"), "--on", "dask"]
    ran = on_terminal([sys.executable, "-m", "mellite", "map", *words, "--workers", "1"])
    assert ran.code == 0, ran.plain
    assert "1 worker" in ran.plain
    assert {row["text"] for row in rows_of(tmp_path / "a.jsonl")} == {f"word {n}" for n in range(20)}
    refused = invoke("p.csv", "-m", "fake:echo", "--out", "a.jsonl", "--workers", "2")
    assert (refused.exit_code, "--on dask and --on ray" in refused.stderr) == (2, True)
