"""`mellite check`: recorded answers judged again, without generating anything."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mellite.cassettes.text.directory import djb2_key
from tests.cli.programs import COMMAND, cassette, run, surroundings
from tests.terminal import on_terminal


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """A directory of three text cassettes: Paris, a sentence and some JSON."""
    for prompt, text in {"a": "Paris", "b": "The capital is Paris, of course.", "c": '{"city": "Paris"}'}.items():
        (tmp_path / f"{djb2_key('openai', '', prompt)}.txt").write_text(f"{text}\n", encoding="utf-8")
    return tmp_path


def key(prompt: str) -> str:
    """The file of a prompt in `texts`."""
    return f"{djb2_key('openai', '', prompt)}.txt"


@pytest.mark.slow
def test_all_answers_meet_it(texts: Path) -> None:
    """When every answer meets every requirement, the command says so and ends with 0."""
    ran = run("check", str(texts), "--require", "contains=Paris", "--require", "max-words=5")
    assert ran.code == 1  # six words in one of them
    ran = run("check", str(texts), "--require", "contains=Paris", "--require", "max-words=6")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines()[-1] == "3 of 3 answers passed"


@pytest.mark.slow
def test_an_answer_does_not_meet_it(texts: Path) -> None:
    """An answer that fails is named with what it failed and why; the command ends with 1."""
    ran = run("check", str(texts), "--require", "json", "--require", "contains=Paris")
    assert ran.code == 1
    lines = dict(line.split("\t", 1) for line in ran.out.splitlines()[:-1])
    assert lines[key("c")] == "passed"
    assert lines[key("a")].startswith("failed\tThe answer is JSON, and nothing else: it is not JSON")
    assert ran.out.splitlines()[-1] == "1 of 3 answers passed"


@pytest.mark.slow
def test_as_json(texts: Path) -> None:
    """--json prints one object for each answer, with every verdict in the order of the requirements."""
    ran = run("check", str(texts), "--require", "contains=Paris", "--require", "json", "--json")
    assert ran.code == 1
    rows = {row["answer"]: row for row in ran.rows}
    assert {name: row["passed"] for name, row in rows.items()} == {key("a"): False, key("b"): False, key("c"): True}
    first, second = rows[key("a")]["validations"]
    assert (first["requirement"], first["passed"]) == ("The answer contains 'Paris'.", True)
    assert (second["passed"], second["error"]) == (False, None)
    assert "not JSON" in second["reason"]
    assert rows[key("c")]["text"] == '{"city": "Paris"}'


@pytest.mark.slow
def test_one_text_cassette(texts: Path) -> None:
    """One file of the directory can be judged alone."""
    ran = run("check", key("a"), "--require", "full-match=Paris", cwd=texts)
    assert (ran.code, ran.out) == (0, f"{key('a')}\tpassed\n1 of 1 answers passed\n")


REQUIREMENTS = {
    "json": "c",
    "contains=capital": "b",
    "not-contains=city": "ab",
    "regex=^Par": "a",
    "not-regex=^Par": "bc",
    "full-match=P.*s": "a",
    "min-words=2": "bc",
    "max-words=1": "a",
    "min-chars=6": "bc",
    "max-chars=5": "a",
    "one-of=London|Paris": "a",
    "python": "ac",
}


@pytest.mark.slow
@pytest.mark.parametrize("spec", REQUIREMENTS)
def test_requirements(texts: Path, spec: str) -> None:
    """Each requirement that can be written on a command line judges what it says."""
    rows = run("check", str(texts), "--require", spec, "--json").rows
    passed = {row["answer"] for row in rows if row["passed"]}
    assert passed == {key(prompt) for prompt in REQUIREMENTS[spec]}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("jason", "did you mean 'json'?"),
        ("", "there are contains, full-match"),
        ("=x", "there are contains, full-match"),
        ("max-words", "needs a value: max-words=..."),
        ("max-words=", "needs a value"),
        ("max-words=few", "needs a whole number, not 'few'"),
        ("max-words=-1", "whole numbers from 0"),
        ("contains=", "needs a value"),
        ("regex=(", "not a regular expression"),
        ("json=missing.json", "cannot be read"),
        ("python=3", "takes no value"),
        ("tool=", "needs a value"),
    ],
)
def test_requirements_that_are_none(texts: Path, spec: str, told: str) -> None:
    """A requirement that there is not, or with a wrong value, is an error of usage that says what to write."""
    ran = run("check", str(texts), "--require", spec)
    assert (ran.code, ran.out) == (2, "")
    assert told in ran.err


def test_usage(texts: Path) -> None:
    """A cassette that is there, and at least one requirement, have to be given."""
    assert run("check", str(texts)).code == 2
    assert run("check", str(texts / "missing.json"), "--require", "json").code == 2


def test_no_answers(tmp_path: Path) -> None:
    """A directory without an answer is not a success."""
    ran = run("check", str(tmp_path), "--require", "json")
    assert ran.code == 1
    assert "there is no answer in" in ran.err


@pytest.mark.slow
def test_damaged_cassettes(tmp_path: Path) -> None:
    """A damaged cassette is an error that names the file; in a folder it fails, and the others are judged."""
    path = tmp_path / key("a")
    path.write_bytes(b"\xff\xfe")
    cassette(tmp_path / "deeper" / "b.json", "Where?", ["[]"])
    (tmp_path / "package.json").write_text("{}")
    ran = run("check", str(tmp_path), "--require", "json", "--json")
    assert ran.code == 1
    assert [(row["answer"], row["passed"]) for row in ran.rows] == [("deeper/b.json 0", True), (path.name, False)]
    assert str(path) in ran.rows[1]["problem"]
    path = tmp_path / "cassette.json"
    path.write_text('{"version": 1, "interactions": [', encoding="utf-8")
    ran = run("check", str(path), "--require", "json")
    assert (ran.code, ran.out) == (2, "")
    assert str(path) in ran.err


@pytest.mark.slow
def test_http_cassette(tmp_path: Path) -> None:
    """Every answer of an HTTP cassette is judged as its protocol reads it; a failed one meets nothing."""
    error = json.dumps({"error": {"message": "slow down", "type": "rate_limit"}})
    path = cassette(tmp_path / "c.json", "Where?", ["Paris", "In London", (429, error)])
    ran = run("check", str(path), "--require", "contains=Paris", "--json")
    assert ran.code == 1
    assert [(row["answer"], row["passed"], row["text"]) for row in ran.rows] == [
        ("0", True, "Paris"),
        ("1", False, "In London"),
        ("2", False, ""),
    ]
    good = cassette(tmp_path / "good.json", "Where?", ["Paris"])
    assert run("check", str(good), "--require", "contains=Paris", OPENAI_API_KEY="").code == 0


@pytest.mark.slow
def test_unknown_protocol(tmp_path: Path) -> None:
    """An answer that no protocol reads is not passed over: it is named, and the command ends with 1."""
    path = cassette(tmp_path / "c.json", "Where?", ["Paris"], url="https://example.com/weather")
    ran = run("check", str(path), "--require", "contains=Paris")
    assert ran.code == 1
    assert ran.out.splitlines()[0] == "0\tfailed\tit is of no known protocol"
    (row,) = run("check", str(path), "--require", "contains=Paris", "--json").rows
    assert (row["passed"], row["validations"]) == (False, None)


def test_on_a_terminal(texts: Path) -> None:
    """On a terminal the verdicts stand in a table; what a model wrote cannot move the cursor."""
    (texts / key("a")).write_text("Paris\x1b[2J\n", encoding="utf-8")
    seen = on_terminal([*COMMAND, "check", str(texts), "--require", "max-words=3"], **surroundings())
    assert seen.code == 1
    assert "2 of 3 answers passed" in seen.plain
    assert (seen.plain.count("│ passed"), seen.plain.count("│ failed")) == (2, 1)
    assert "\x1b[2J" not in seen.drawn
