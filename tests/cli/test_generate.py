"""`mellite generate`: from cassettes, from a fake, and what it says when something is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from mellite.cassettes.text.directory import djb2_key
from tests.cli.programs import cassette, run

QUESTION = "Say hello."


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """A directory in which the default model of openai and gpt-4o were asked."""
    for model, text in (("", "Hello from anyone.\n"), ("gpt-4o", "Hello from gpt-4o.\n")):
        (tmp_path / f"{djb2_key('openai', model, QUESTION)}.txt").write_text(text)
    return tmp_path


@pytest.mark.slow
def test_text_cassettes(texts: Path) -> None:
    """With a directory of text cassettes the recorded answer is printed, and nothing else."""
    ran = run("generate", QUESTION, "--cassette-dir", str(texts))
    assert (ran.code, ran.out, ran.err) == (0, "Hello from anyone.\n", "")
    ran = run("generate", QUESTION, "--model", "openai:gpt-4o", "--cassette-dir", str(texts))
    assert (ran.code, ran.out, ran.err) == (0, "Hello from gpt-4o.\n", "")


@pytest.mark.slow
@pytest.mark.parametrize("variable", ["MELLITE_CASSETTE_DIR", "MOCHI_LLM_CASSETTE_DIR"])
def test_directory_from_the_environment(texts: Path, variable: str) -> None:
    """Either variable names the directory."""
    assert run("generate", QUESTION, **{variable: str(texts)}).out == "Hello from anyone.\n"


@pytest.mark.slow
def test_stream(texts: Path) -> None:
    """--stream prints the same text; with --json one object for each delta, and then everything."""
    arguments = ["generate", QUESTION, "--cassette-dir", str(texts), "--stream"]
    assert run(*arguments).out == "Hello from anyone.\n"
    *deltas, last = run(*arguments, "--json").rows
    assert [delta["delta"] for delta in deltas] == ["Hello", " from", " anyone."]
    assert (last["text"], last["finish_reason"], last["error"]) == ("Hello from anyone.", "stop", None)


def test_json_of_an_http_cassette(tmp_path: Path) -> None:
    """--json prints usage, ids and all that is known of the answer."""
    recorded = cassette(tmp_path / "hello.json", QUESTION, ["Hello."])
    ran = run("generate", QUESTION, "--model", f"cassette:{recorded}", "--json")
    assert ran.code == 0
    said = ran.json
    assert (said["text"], said["protocol"], said["provider"]) == ("Hello.", "openai-chat", "openai")
    assert (said["usage"]["input_tokens"], said["usage"]["output_tokens"]) == (1000, 100)
    assert (said["response_id"], said["status"], said["streaming"]) == ("chatcmpl-1", 200, True)


@pytest.mark.slow
@pytest.mark.parametrize("how", [[], ["--stream"]])
def test_half_a_character_is_printed_as_an_escape(tmp_path: Path, how: list[str]) -> None:
    """Half a surrogate pair, which no terminal takes, is printed as its escape; the answer is not lost for it."""
    recorded = cassette(tmp_path / "half.json", QUESTION, ["a\ud800b"])
    ran = run("generate", QUESTION, "--model", f"cassette:{recorded}", *how)
    assert (ran.code, ran.out, ran.err) == (0, "a\\ud800b\n", "")


def test_prompt_from_standard_input() -> None:
    """A prompt of "-" is read from standard input; the fake model echoes it."""
    assert run("generate", "-", "--model", "fake:echo", stdin="Hello,\nworld").out == "Hello,\nworld\n"


def test_no_key() -> None:
    """Without a key and without a cassette it says which variable and which command are missing, and ends with 2."""
    ran = run("generate", QUESTION)
    assert (ran.code, ran.out) == (2, "")
    assert "OPENAI_API_KEY" in ran.err
    assert "mellite generate --cassette-dir DIR" in ran.err


def test_no_key_for_a_command_that_needs_a_server(tmp_path: Path) -> None:
    """The advice is for the command that was typed: batches are never answered from cassettes."""
    (tmp_path / "p.csv").write_text("prompt\nHello.\n")
    ran = run("batch", "submit", "p.csv", "-m", "openai:gpt-4o-mini", "--journal", "night", cwd=tmp_path)
    assert (ran.code, ran.out) == (2, "")
    assert "OPENAI_API_KEY" in ran.err
    assert "cassette" not in ran.err


def test_a_miss(texts: Path) -> None:
    """A cassette that is missing is named with its key and its directory; the exit code is 2."""
    ran = run("generate", "Say goodbye.", "--cassette-dir", str(texts))
    assert (ran.code, ran.out) == (2, "")
    assert str(djb2_key("openai", "", "Say goodbye.")) in ran.err
    assert str(texts) in ran.err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--model", "opneai:gpt-4o"], "did you mean 'openai'?"),
        (["--model", "cassete:there"], "did you mean 'cassette:'?"),
        (["--model", "fake:nobody"], "fake:echo"),
        (["--model", "cassette:"], "names no cassette"),
        (["--model", "cassette:none.json"], "there is no cassette 'none.json'"),
    ],
)
def test_usage(arguments: list[str], said: str) -> None:
    """What was asked wrongly is said in one line on standard error, with the exit code 2."""
    ran = run("generate", QUESTION, *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
    assert "Traceback" not in ran.err


def test_a_failure_of_the_provider(tmp_path: Path) -> None:
    """An error of the provider is said, with the exit code 1."""
    recorded = cassette(tmp_path / "busy.json", QUESTION, [(429, '{"error": {"message": "slow down"}}')])
    ran = run("generate", QUESTION, "--model", f"cassette:{recorded}")
    assert (ran.code, ran.out) == (1, "")
    assert "slow down" in ran.err


def test_key() -> None:
    """`cassette key` prints the name of the file of a call."""
    assert run("cassette", "key", "openai", "", QUESTION).out == f"{djb2_key('openai', '', QUESTION)}\n"
