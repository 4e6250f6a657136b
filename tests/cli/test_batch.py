"""`mellite batch`, and `mellite map --on batch`: the rows of a file in batches, and each answer beside its row."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from mellite.cli.app import app
from tests.engine.batch.service import services


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a file of rows, in an environment whose batch service is a local one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.csv").write_text("id,question,text\n1,one,x\n2,refuse,y\n", encoding="utf-8")
    with services(tmp_path) as served:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
        monkeypatch.setenv("OPENAI_BASE_URL", f"{served.url}/v1")
        yield tmp_path


ASK = ("p.csv", "-m", "openai:gpt-4o-mini", "--template", "Say {question}", "--max-tokens", "9")


def run(*words):
    """Run the command."""
    return CliRunner().invoke(app, words)


def rows_of(path):
    """What a file says of each row."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return sorted([(row["id"], row["input_text"], row["text"], row["error"] is not None) for row in rows])


EXPECTED = [("1", "x", "eno yaS", False), ("2", "y", None, True)]


def test_rows_are_submitted_and_fetched(folder):
    """Each step is a command of its own, and says what it did as JSON."""
    submitted = run("batch", "submit", *ASK, "--journal", "runs", "--json")
    assert submitted.exit_code == 0, submitted.output
    assert json.loads(submitted.stdout)["state"] == "running"
    assert "running" in run("batch", "status", "runs").stdout
    fetched = run("batch", "fetch", "runs", "--out", "a.jsonl", "--wait", "--json")
    assert fetched.exit_code == 1, fetched.output
    assert rows_of(folder / "a.jsonl") == EXPECTED
    assert json.loads(run("batch", "status", "runs", "--json").stdout)["fetched"] is True
    assert run("batch", "cancel", "runs").exit_code == 0
    assert run("batch", "status", "nowhere").exit_code == 2


def test_an_estimate_sends_nothing(folder):
    """What rows would cost is told for single calls and for batches."""
    estimated = run("batch", "estimate", *ASK, "--json")
    assert estimated.exit_code == 0, estimated.output
    assert json.loads(estimated.stdout)["requests"] == 2
    told = run("batch", "estimate", *ASK).stdout
    assert told.startswith("2 requests in 1 batch, ")
    assert "saved $0.0000" in told
    assert not (folder / "service.log").exists()


def test_a_map_on_batch_waits_for_the_answers(folder):
    """`mellite map --on batch` writes what `mellite batch` does, in one go."""
    ran = run("map", *ASK, "--on", "batch", "--out", "a.jsonl", "--json")
    assert ran.exit_code == 1, ran.output
    assert rows_of(folder / "a.jsonl") == EXPECTED
    assert json.loads(ran.stdout.splitlines()[-1])["failures"] == {"InvalidRequest": 1}


@pytest.mark.parametrize("is_there", [False, True], ids=["no folder", "an empty folder"])
def test_without_a_key_no_journal_is_left(folder, monkeypatch, is_there):
    """Nothing was submitted, so there is nothing to keep; a folder of somebody's own stays."""
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.delenv("OPENAI_BASE_URL")
    if is_there:
        (folder / "runs").mkdir()
    refused = run("batch", "submit", *ASK, "--journal", "runs")
    assert (refused.exit_code, "no key" in refused.stderr) == (2, True)
    assert (folder / "runs").is_dir() == is_there
    assert not list(folder.glob("runs/*"))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    assert run("batch", "status", "runs").exit_code == 2
