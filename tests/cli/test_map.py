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


@pytest.mark.parametrize(
    ("words", "given", "said"),
    [
        (["nowhere.csv"], "", "cannot read 'nowhere.csv'"),
        (["p.txt"], "", "is read by its ending"),
        (["-", "--template", "{a}", "--column", "a"], "", "leave one out"),
        (["-", "--on", "nowhere"], "", "names no engine"),
        (["-"], '{"q": 1}', "no column 'prompt', but 'q'"),
        (["-"], "{", "standard input, line 1: this is no JSON"),
        (["-"], "[]", "line 1: a row is an object, not list"),
        (["-", "--max-usd", "much"], "", "'usd' must be a number of USD"),
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


def test_workers_ask_about_the_rows(invoke, tmp_path):
    """With --on dask it has workers of its own, which the bar tells, and which end with it."""
    (tmp_path / "p.csv").write_text("id,prompt\n" + "".join(f"{n},word {n}\n" for n in range(20)), encoding="utf-8")
    words = [str(tmp_path / "p.csv"), "-m", "fake:echo", "--out", str(tmp_path / "a.jsonl"), "--on", "dask"]
    ran = on_terminal([sys.executable, "-m", "mellite", "map", *words, "--workers", "1"])
    assert ran.code == 0, ran.plain
    assert "1 worker" in ran.plain
    assert {row["text"] for row in rows_of(tmp_path / "a.jsonl")} == {f"word {n}" for n in range(20)}
    refused = invoke("p.csv", "-m", "fake:echo", "--out", "a.jsonl", "--workers", "2")
    assert (refused.exit_code, "dask and ray" in refused.stderr) == (2, True)
