"""The pytest plugin: which recordings are kept, and what is said where none was made."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.plugin.runs import Run, greeting, stored
from tests.wire.server import Script

pytest_plugins = ["pytester"]

TRIES_AGAIN = """
    import pytest

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(item, call):
        report = yield
        if call.when == "call" and report.failed:
            report.outcome = "rerun"      # as the plugins do that try again
        return report

    def pytest_report_teststatus(report):
        if report.outcome == "rerun":
            return "rerun", "R", "RERUN"
"""


@pytest.mark.slow
@pytest.mark.parametrize("flag", ["--mellite-record", "--mellite-record=new-episodes"])
def test_a_path_may_follow_the_flag(script: Script, run: Run, flag: str) -> None:
    """The flag does not take what stands behind it."""
    run(greeting(script), flag, "test_it.py", "-k", "asyncio").assert_outcomes(passed=1, deselected=1)
    assert len(script.requests(1)) == 1


@pytest.mark.slow
def test_a_mode_that_does_not_exist(run: Run) -> None:
    """It is refused, and the modes are named."""
    result = run("def test_nothing(): pass", "--mellite-record=sometimes")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--mellite-record=new_episodes*'sometimes'*"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "mode"),
    [("tried again", "rewrite"), ("tried again", "once"), ("skipped", "rewrite"), ("expected", "all")],
)
def test_an_attempt_that_did_not_pass_is_not_kept(
    pytester: pytest.Pytester, script: Script, run: Run, mode: str, how: str
) -> None:
    """Whether it will be tried again, skipped itself halfway or was expected to fail: nothing of it is written."""
    path = pytester.path / "cassettes" / "test_it" / "test_hello.json"
    before = {"version": 1, "metadata": {"note": "a good answer"}, "interactions": []}
    if mode != "once":
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(before))
    source = greeting(script, '@pytest.mark.xfail(reason="so")' if how == "expected" else "")
    last = 'pytest.skip("enough")' if how == "skipped" else "assert False"
    if how == "tried again":
        pytester.makeconftest(TRIES_AGAIN)
    result = run(f"{source.rstrip()}\n            {last}\n", f"--mellite-record={mode}", "-k", "asyncio")
    assert "1 passed" not in result.stdout.str()
    assert len(script.requests(1)) == 1
    assert (json.loads(path.read_text()) == before) if mode != "once" else not path.exists()


@pytest.mark.slow
def test_nothing_was_recorded(script: Script, run: Run) -> None:
    """A recording through which nothing went fails the test, and says what may be the reason."""
    source = """
        import mellite

        def test_elsewhere(cassette):
            assert mellite.backends.Echo().generate("hi").result() == "hi"
    """
    result = run(source, "--mellite-record")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*nothing was recorded: no request of this test went through its cassette*"])
    run(source, "--mellite-record=once").assert_outcomes(passed=1, errors=1)
    run(greeting(script), "--mellite-record=new_episodes").assert_outcomes(passed=2)
    run(greeting(script), "--mellite-record=new_episodes").assert_outcomes(passed=2)
    assert len(script.requests(1)) == 1


@pytest.mark.slow
def test_what_looks_like_a_secret_is_not_kept(pytester: pytest.Pytester, script: Script, run: Run) -> None:
    """A prompt with a key in it fails the test, and nothing is written."""
    source = greeting(script).replace('"hi"', '"my key is ghp_" + "Ab3" * 12')
    result = run(source, "--mellite-record", "-k", "asyncio")
    result.assert_outcomes(passed=1, errors=1, deselected=1)
    result.stdout.fnmatch_lines(["*UnsafeCassette*"])
    assert not list(pytester.path.rglob("*.json*"))


# --- shared cassettes -----------------------------------------------------------------------------

SHARED = """
    import mellite, os, pytest

    @pytest.mark.parametrize("i", range(3))
    @pytest.mark.mellite(path="shared.json", unused="error")
    def test_one(cassette, i):
        backend = mellite.backend("openai-chat:m", base_url="URL/v1", api_key="k")
        for word in ("hi", os.environ.get("WORD", str(i))):
            assert backend.generate(word).result() == "Hello, you."
"""


@pytest.mark.slow
def test_a_shared_cassette(pytester: pytest.Pytester, script: Script, run: Run) -> None:
    """Several tests record into one file, and each replays what it has recorded, alone or after the others."""
    run(SHARED.replace("URL", script.url), "--mellite-record").assert_outcomes(passed=3)
    run().assert_outcomes(passed=3)
    recorded: Any = stored(pytester, "cassettes/shared.json")["interactions"]
    before = [one["mellite"]["test"] for one in recorded]
    assert before == [f"test_it.py::test_one[{i}]" for i in (0, 0, 1, 1, 2, 2)]
    run(None, "--mellite-record", "-k", "test_one[1]", WORD="new").assert_outcomes(passed=1, deselected=2)
    again: Any = stored(pytester, "cassettes/shared.json")["interactions"]
    assert [one["mellite"]["test"] for one in again] == before
    assert ["new" in one["request"]["body"] for one in again] == [False, False, False, True, False, False]
    run(None, "-k", "test_one[0] or test_one[2]").assert_outcomes(passed=2, deselected=1)


@pytest.mark.slow
def test_workers_share_a_cassette(pytester: pytest.Pytester, script: Script, run: Run) -> None:
    """Tests in several processes record into one file at once, and nothing is lost."""
    source = SHARED.replace("URL", script.url)
    run(source, "-p", "xdist.plugin", "-n", "3", "--mellite-record").assert_outcomes(passed=3)
    assert len(stored(pytester, "cassettes/shared.json")["interactions"]) == 6  # type: ignore[arg-type]
    assert [path.name for path in (pytester.path / "cassettes").iterdir()] == ["shared.json"]
    run(None, "-p", "xdist.plugin", "-n", "3").assert_outcomes(passed=3)


@pytest.mark.slow
def test_calls_that_ran_at_the_same_time(script: Script, run: Run) -> None:
    """They replay in whatever order they come; those that ran one after the other do so in theirs only."""
    source = f"""
        import mellite, os, pytest

        BACKEND = mellite.backend("openai-chat:m", base_url="{script.url}/v1", api_key="k")
        WORDS = os.environ.get("WORDS", "one two three").split()

        @pytest.mark.anyio
        async def test_together(cassette):
            await mellite.gather(*[BACKEND.generate(word) for word in WORDS])
            assert cassette.used + cassette.recorded == 3

        def test_in_order(cassette):
            for word in WORDS:
                BACKEND.generate(word).result()
    """
    run(source, "--mellite-record", "-k", "asyncio or order").assert_outcomes(passed=2, deselected=1)
    run(None, "-k", "asyncio or order").assert_outcomes(passed=2, deselected=1)
    mixed = run(None, "-k", "asyncio or order", WORDS="three one two")
    mixed.assert_outcomes(passed=1, failed=1, deselected=1)
    mixed.stdout.fnmatch_lines(["*CassetteMismatch*", "*match='pool' says that the order does not count*"])
    assert "--mellite-record" in mixed.stdout.str()
