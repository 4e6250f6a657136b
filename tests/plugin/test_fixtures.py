"""Fixtures of the user's own around a cassette: they fail when they are torn down, or ask for a class or a module."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.plugin.runs import Run, stored
from tests.wire.server import Script

pytest_plugins = ["pytester"]

#: Three tests that pass, each with a fixture that fails after it: within the cassette's life, beside it, and after it.
FAILS = """
    import mellite, pytest

    def ask():
        backend = mellite.backend("openai-chat:m", base_url="URL/v1", api_key="k")
        assert backend.generate("hi").result() == "Hello, you."

    @pytest.fixture
    def within(cassette):
        yield
        ask()
        raise RuntimeError("within")

    @pytest.fixture
    def outside():
        yield
        raise RuntimeError("outside")

    def test_within(within):
        ask()

    def test_beside(cassette, outside):
        ask()

    def test_outside(outside, cassette):
        ask()

    def test_well(cassette):
        ask()
"""

FAILED = ("test_within", "test_beside", "test_outside")


@pytest.mark.slow
def test_a_fixture_that_fails_when_it_is_torn_down(pytester: pytest.Pytester, script: Script, run: Run) -> None:
    """Wherever it stands: the recording is not kept, and what was recorded before stays."""
    folder = pytester.path / "cassettes" / "test_it"
    before = {"version": 1, "metadata": {"note": "a good answer"}, "interactions": []}
    folder.mkdir(parents=True)
    (folder / "test_outside.json").write_text(json.dumps(before))
    result = run(FAILS.replace("URL", script.url), "--mellite-record")
    result.assert_outcomes(passed=4, errors=3)
    assert sorted(path.name for path in folder.iterdir()) == ["test_outside.json", "test_well.json"]
    assert json.loads((folder / "test_outside.json").read_text()) == before


@pytest.mark.slow
def test_what_cannot_be_written_fails_the_test(pytester: pytest.Pytester, script: Script, run: Run) -> None:
    """The recording is written after all fixtures: a test whose recording cannot be is told so like of any fixture."""
    source = """
        import mellite, os

        def test_hello(cassette):
            backend = mellite.backend("openai-chat:m", base_url="URL/v1", api_key="k")
            assert backend.generate("hi").result() == "Hello, you."
            os.makedirs(cassette.path)
    """
    result = run(source.replace("URL", script.url), "--mellite-record")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_hello*", "*InvalidCassette: *is a directory*"])
    assert "pytest_plugin.py" not in result.stdout.str()


MODULE = """
    import os, unittest
    import mellite, pytest

    def ask(what):
        backend = mellite.backend("openai-chat:m", base_url="URL/v1", api_key="k")
        return backend.generate(what).result()

    @pytest.fixture(scope="module")
    def greeting(cassette_factory):
        with cassette_factory("greeting.json", requires="WORD"):
            return ask(os.environ["WORD"])

    def test_one(greeting, cassette):
        assert greeting == ask("one") == "Hello, you."

    def test_two(greeting):
        assert greeting == "Hello, you."

    class Three(unittest.TestCase):
        @pytest.fixture(scope="class", autouse=True)
        @classmethod
        def before(cls, cassette_factory):
            with cassette_factory("greetings/three.json"):
                cls.greeting = ask("three")

        def test_three(self):
            assert self.greeting == "Hello, you."
"""


@pytest.mark.slow
def test_a_cassette_for_a_module_and_a_class(pytester: pytest.Pytester, script: Script, run: Run) -> None:
    """What such a fixture asks is recorded once, beside what its tests ask, and replayed without a model."""
    source = MODULE.replace("URL", script.url)
    run(source, "--mellite-record").assert_outcomes(passed=1, skipped=2)
    run(source, "--mellite-record", WORD="hi").assert_outcomes(passed=3)
    assert len(script.requests(4)) == 4
    for path in ("greeting.json", "greetings/three.json", "test_it/test_one.json"):
        recorded: Any = stored(pytester, f"cassettes/{path}")["interactions"]
        assert len(recorded) == 1
    run(None, WORD="hi").assert_outcomes(passed=3)
    result = run(None, WORD="bye")
    result.assert_outcomes(passed=1, errors=2)
    result.stdout.fnmatch_lines(["*cassette 'greeting': request 0 is not the one that was recorded:*"])
    assert len(script.requests(4)) == 4


@pytest.mark.slow
def test_a_stale_request_of_a_module(pytester: pytest.Pytester, script: Script, run: Run) -> None:
    """It is reported with the test for which the fixture was set up, as is a cassette that is missing."""
    source = MODULE.replace("URL", script.url)
    run(source, "--mellite-record", WORD="hi").assert_outcomes(passed=3)
    (pytester.path / "cassettes" / "greetings" / "three.json").unlink()
    run(None, "--mellite-stale=found.json", WORD="bye").assert_outcomes(passed=2, errors=1)
    calls: Any = stored(pytester, "found.json")["calls"]
    assert [(call["cassette"], call["kind"], call["tests"]) for call in calls] == [
        ("cassettes/greeting.json", "changed", ["test_it.py::test_one"]),
        ("cassettes/greetings/three.json", "missing", ["test_it.py::Three::test_three"]),
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("ask('hi'); raise RuntimeError('halfway')", "*RuntimeError: halfway"),
        ("pass", "*nothing was recorded: no request*'*answer.json'*"),
        ("ask('my key is ghp_' + 'Ab3' * 12)", "*UnsafeCassette*"),
    ],
    ids=["it fails", "nothing is asked", "a secret"],
)
def test_a_block_that_does_not_end_well(
    pytester: pytest.Pytester, script: Script, run: Run, body: str, words: str
) -> None:
    """Nothing of it is kept, and the tests that need it fail."""
    source = f"""
        import mellite, pytest

        def ask(what):
            backend = mellite.backend("openai-chat:m", base_url="{script.url}/v1", api_key="k")
            return backend.generate(what).result()

        @pytest.fixture(scope="session")
        def answer(cassette_factory):
            with cassette_factory("answer.json"):
                {body}

        def test_it(answer):
            pass
    """
    result = run(source, "--mellite-record", "-o", "mellite_cassettes=recorded")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([words])
    assert not list(pytester.path.rglob("*.json"))


def test_an_argument_that_does_not_exist(run: Run) -> None:
    """It is told with those that there are, as the marker does."""
    source = """
        def test_it(cassette_factory):
            with cassette_factory("answer.json", mod="once"):
                pass
    """
    result = run(source)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*cassette_factory takes no argument 'mod'; there are clients, cut, *"])


@pytest.mark.slow
def test_a_report_that_cannot_be_written(pytester: pytest.Pytester, run: Run) -> None:
    """The run does not end well, and says why; tests that fail still tell that they did."""
    (pytester.path / "reports").write_text("a file")
    for outcome, status in (("", pytest.ExitCode.USAGE_ERROR), ("1 / 0", pytest.ExitCode.TESTS_FAILED)):
        result = run(f"def test_it(): {outcome or 'pass'}", "--mellite-stale=reports/found.json")
        assert result.ret == status
        result.stdout.fnmatch_lines(
            ["cannot write the report 'reports/found.json': Not a directory; *", "no request differs*"]
        )
        assert "Traceback" not in result.stderr.str()
