"""`mellite sample`: strategies on the command line, over recorded answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mellite.cassettes.text.directory import djb2_key
from tests.cli.programs import COMMAND, cassette, run, surroundings
from tests.terminal import on_terminal

QUESTION = "Toss a coin."


@pytest.fixture
def tosses(tmp_path: Path) -> str:
    """A model that was recorded tossing a coin four times."""
    return f"cassette:{cassette(tmp_path / 'coin.json', QUESTION, ['heads', 'tails', 'tails', 'edge'])}"


@pytest.mark.slow
def test_majority(tosses: str) -> None:
    """The answer that most samples give is printed, and nothing else."""
    ran = run("sample", QUESTION, "-n", "3", "--strategy", "majority", "--model", tosses)
    assert (ran.code, ran.out, ran.err) == (0, "tails\n", "")


def test_rejection(tosses: str) -> None:
    """Samples are asked for until one meets the requirements."""
    ran = run("sample", QUESTION, "-n", "4", "--require", "one-of=tails|edge", "--model", tosses, "--json")
    assert ran.code == 0
    assert (ran.json["value"], ran.json["attempts"], ran.json["stop_reason"]) == ("tails", 2, "accepted")
    assert [sample["status"] for sample in ran.json["samples"]] == ["rejected", "passed"]
    # 1000 x 0.15 + 100 x 0.6 millionths of a dollar, twice
    assert ran.json["cost_usd"] == "0.00042"


@pytest.mark.slow
def test_nothing_is_good_enough(tosses: str) -> None:
    """Without a good answer nothing is printed but why, and the command ends with 1; JSON has all the same."""
    arguments = ["sample", QUESTION, "-n", "2", "--require", "contains=coin", "--model", tosses]
    ran = run(*arguments)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == "mellite: none of 2 samples was good enough (max_samples)\n"
    as_json = run(*arguments, "--json")
    assert (as_json.code, as_json.json["success"], as_json.json["value"]) == (1, False, "heads")


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["best-of-n", "minimum-bayes-risk", "repair", "multi-turn-repair"])
def test_other_strategies(tosses: str, strategy: str) -> None:
    """Every strategy of the library that needs no more than numbers and requirements is there."""
    ran = run("sample", QUESTION, "-n", "2", "--strategy", strategy, "--require", "max-words=1", "--model", tosses)
    assert (ran.code, ran.out) == (0, "heads\n")


@pytest.mark.slow
def test_budgets(tosses: str) -> None:
    """A budget stops it: what is not paid for any more is not sent."""
    arguments = [
        "sample",
        QUESTION,
        "-n",
        "4",
        "--strategy",
        "majority",
        "--concurrency",
        "1",
        "--model",
        tosses,
        "--json",
    ]
    spent = run(*arguments, "--max-tokens", "2000").json
    assert (spent["attempts"], spent["stop_reason"]) == (2, "max_tokens")
    spent = run(*arguments, "--max-usd", "0.0002").json
    assert (spent["attempts"], spent["stop_reason"]) == (1, "max_usd")


@pytest.mark.slow
def test_prompt_from_standard_input(tosses: str) -> None:
    """``-`` reads the prompt from standard input."""
    assert run("sample", "-", "-n", "3", "--strategy", "majority", "--model", tosses, stdin=QUESTION).out == "tails\n"


@pytest.mark.slow
def test_temperature(tmp_path: Path) -> None:
    """--temperature is sent."""
    path = cassette(tmp_path / "c.json", QUESTION, ["heads"], temperature=1.5)
    arguments = ["sample", QUESTION, "-n", "1", "--strategy", "majority", "--model", f"cassette:{path}"]
    assert run(*arguments, "--temperature", "1.5").out == "heads\n"
    assert run(*arguments).code != 0


@pytest.mark.slow
def test_text_cassettes(tmp_path: Path) -> None:
    """Text cassettes answer, too, as for `mellite generate`."""
    (tmp_path / f"{djb2_key('openai', 'gpt-4o-mini', QUESTION)}.txt").write_text("heads 7\n", encoding="utf-8")
    arguments = ["sample", QUESTION, "-n", "3", "--strategy", "majority", "--key", "numeric"]
    assert run(*arguments, "--cassette-dir", str(tmp_path)).out == "heads 7\n"
    assert run(*arguments, MELLITE_CASSETTE_DIR=str(tmp_path)).out == "heads 7\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["-n", "0", "--require", "json"], "'max_samples' must be a whole number of at least 1"),
        (["-n", "0", "--strategy", "majority"], "'n' must be a whole number of at least 1"),
        (["-n", "two"], "not a valid integer"),
        ([], "--strategy rejection needs a --require"),
        (["--strategy", "best-of-n"], "needs a score"),
        (["--strategy", "luck"], "'luck' is not one of"),
        (["--key", "numeric", "--require", "json"], "--key is for --strategy majority"),
        (["--require", "jason"], "did you mean 'json'?"),
        (["--require", "json", "--max-usd", "-1"], "an amount above 0"),
        (["--require", "json", "--deadline", "0"], "seconds above 0"),
        (["--require", "json", "--temperature", "nan"], "temperature"),
    ],
)
def test_usage(tosses: str, arguments: list[str], told: str) -> None:
    """What makes no sense is an error of usage, before anything is sent."""
    ran = run("sample", QUESTION, "--model", tosses, *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert told in ran.err


@pytest.mark.slow
def test_no_answer_at_all(tmp_path: Path) -> None:
    """When every sample failed, the first error is said, and the command ends with 1."""
    error = json.dumps({"error": {"message": "it is broken", "type": "server_error"}})
    path = cassette(tmp_path / "c.json", QUESTION, [(500, error), (500, error)])
    ran = run("sample", QUESTION, "-n", "2", "--strategy", "majority", "--model", f"cassette:{path}")
    assert (ran.code, ran.out) == (1, "")
    assert "none of which gave an answer" in ran.err
    assert "it is broken" in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.slow
def test_on_a_terminal(tosses: str) -> None:
    """On a terminal every sample stands in a table, above the answer; --progress shows a bar meanwhile."""
    arguments = ["sample", QUESTION, "-n", "3", "--strategy", "majority", "--model", tosses, "--progress"]
    seen = on_terminal([*COMMAND, *arguments], **surroundings())
    assert seen.code == 0
    assert "MajorityVote" in seen.plain
    assert "3/3" in seen.plain
    assert "0.00021" in seen.plain
    assert seen.plain.rstrip().endswith("tails")
