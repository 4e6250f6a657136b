"""The pytest plugin, run by pytest in processes of its own: recording, replay, filters, fixtures."""

from __future__ import annotations

import json
from textwrap import dedent

import pytest

from mellite.cassettes.audit import Audit
from tests.plugin.runs import ASYNCIO, Run, greeting, stored
from tests.wire.server import Script

pytest_plugins = ["pytester"]


@pytest.mark.slow
def test_record_and_replay(pytester: pytest.Pytester, script: Script, run: Run) -> None:
    """--mellite-record writes one file for both loops; from then on the test passes without a server."""
    run(greeting(script), "--mellite-record").assert_outcomes(passed=2)
    assert len(script.requests(2)) == 2
    content = stored(pytester)
    assert len(content["interactions"]) == 1  # type: ignore[arg-type]
    assert "sk-very-secret" not in json.dumps(content)
    run(entry_points=True).assert_outcomes(passed=2)
    assert len(script.requests(2)) == 2
    assert [path.name for path in (pytester.path / "cassettes" / "test_it").iterdir()] == ["test_hello.json"]


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["strict", "auto"])
def test_with_pytest_asyncio(pytester: pytest.Pytester, script: Script, run: Run, mode: str) -> None:
    """It works with pytest-asyncio, in both of its modes."""
    source = greeting(script, kind="asyncio" if mode == "strict" else "mellite")
    run(source, *ASYNCIO, "--mellite-record", f"--asyncio-mode={mode}").assert_outcomes(passed=1)
    run(None, *ASYNCIO, f"--asyncio-mode={mode}").assert_outcomes(passed=1)
    assert len(script.requests(1)) == 1


#: What pytest-repeat does with ``--count=2``.
REPEATED = """
    import pytest

    @pytest.fixture
    def __pytest_repeat_step_number(request):
        return request.param

    @pytest.hookimpl(trylast=True)
    def pytest_generate_tests(metafunc):
        metafunc.fixturenames.append("__pytest_repeat_step_number")
        ids = lambda step: f"{step + 1}-2"
        metafunc.parametrize("__pytest_repeat_step_number", range(2), indirect=True, ids=ids)
"""


@pytest.mark.slow
def test_repeated(pytester: pytest.Pytester, script: Script, run: Run) -> None:
    """A test that is repeated to see whether it always passes replays the one cassette that it has."""
    source = greeting(script, "@pytest.mark.parametrize('word', ['hi', '1-2'])")
    run(source.replace("(cassette)", "(cassette, word)"), "--mellite-record").assert_outcomes(passed=4)
    pytester.makeconftest(dedent(REPEATED))
    run().assert_outcomes(passed=8)
    found = sorted(path.name for path in (pytester.path / "cassettes" / "test_it").iterdir())
    assert found == ["test_hello-1-2.json", "test_hello-hi.json"]


@pytest.mark.slow
def test_a_miss(script: Script, run: Run) -> None:
    """Without a cassette the test fails, says how to record one, and asks nobody."""
    result = run(greeting(script))
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["*CassetteMiss*test_hello.json*pytest with --mellite-record*"])
    assert script.requests(0) == []


@pytest.mark.slow
def test_once(script: Script, run: Run) -> None:
    """The mode `once` records what is not there, and replays what is."""
    run(greeting(script), "--mellite-record=once").assert_outcomes(passed=2)
    run(None, "--mellite-record=once").assert_outcomes(passed=2)
    assert len(script.requests(1)) == 1


@pytest.mark.slow
def test_mode_of_another_plugin(pytester: pytest.Pytester, script: Script, run: Run) -> None:
    """Where another plugin has registered --record-mode it means the same."""
    pytester.makepyfile(
        other="""
        def pytest_addoption(parser):
            parser.addoption("--record-mode", default=None)
        """
    )
    run(greeting(script), "-p", "other", "--record-mode=once").assert_outcomes(passed=2)
    run(None, "-p", "other").assert_outcomes(passed=2)
    assert len(script.requests(1)) == 1


@pytest.mark.slow
def test_a_failed_test_keeps_the_old_cassette(pytester: pytest.Pytester, script: Script, run: Run) -> None:
    """What a failing test has recorded does not replace what was recorded well."""
    run(greeting(script), "--mellite-record").assert_outcomes(passed=2)
    before = stored(pytester)
    failing = greeting(script).replace("Hello, you.", "Goodbye.")
    run(failing, "--mellite-record").assert_outcomes(failed=2)
    assert stored(pytester) == before


@pytest.mark.slow
def test_parameters_and_classes(pytester: pytest.Pytester, script: Script, run: Run) -> None:
    """Each parameter and each class has a file of its own, with a name that every system takes."""
    source = f"""
        import mellite, pytest

        class TestGreetings:
            @pytest.mark.parametrize("word", ["hi", "a/../b", "x" * 300])
            def test_hello(self, cassette, word):
                backend = mellite.backend("openai-chat:m", base_url="{script.url}/v1", api_key="k", transport=cassette)
                assert backend.generate(word).result() == "Hello, you."
    """
    run(source, "--mellite-record").assert_outcomes(passed=3)
    names = sorted(path.name for path in (pytester.path / "cassettes" / "test_it").iterdir())
    assert len(names) == 3
    assert all(name.startswith("TestGreetings.test_hello") and len(name) < 150 for name in names)
    run().assert_outcomes(passed=3)


def test_classes_in_classes(pytester: pytest.Pytester, script: Script, run: Run) -> None:
    """Classes of the same name in other classes, or made by a function, do not record over each other."""
    source = f"""
        import mellite

        def made():
            class Greeting:
                def test_hello(self, cassette):
                    backend = mellite.backend("openai-chat:m", base_url="{script.url}/v1", api_key="k")
                    assert backend.generate("hi").result() == "Hello, you."

            return Greeting

        class TestFormal:
            TestGreeting = made()

        class TestCasual:
            TestGreeting = made()

        TestMorning, TestEvening = made(), made()
    """
    run(source, "--mellite-record").assert_outcomes(passed=4)
    folder = pytester.path / "cassettes" / "test_it"
    assert sorted(path.name.removesuffix(".test_hello.json") for path in folder.iterdir()) == [
        "TestCasual.TestGreeting",
        "TestEvening",
        "TestFormal.TestGreeting",
        "TestMorning",
    ]
    assert list(Audit().problems([str(folder)])) == []
    run().assert_outcomes(passed=4)


ONLY_CASE = """
    import mellite, pytest

    BACKEND = mellite.backend("openai-chat:m", base_url="URL/v1", api_key="k")

    @pytest.mark.parametrize("word", ["a", "A", "bC", "Bc"])
    def test_word(cassette, word):
        assert BACKEND.generate(f"word {word}").result() == "Hello, you."

    class TestOne:
        def test_x(self, cassette):
            assert BACKEND.generate("one").result() == "Hello, you."

    class Testone:
        def test_x(self, cassette):
            assert BACKEND.generate("One").result() == "Hello, you."
"""


def test_names_that_differ_in_case_only(pytester: pytest.Pytester, script: Script, run: Run) -> None:
    """Where "a" and "A" are one file, too, each test has one of its own, whichever of them are selected."""
    run(ONLY_CASE.replace("URL", script.url), "--mellite-record").assert_outcomes(passed=6)
    folder = pytester.path / "cassettes" / "test_it"
    names = sorted(path.name for path in folder.iterdir())
    assert len({name.casefold() for name in names}) == len(names) == 6
    assert "test_word-a.json" in names  # as without the other one
    run(None, "test_it.py::test_word[A]").assert_outcomes(passed=1)
    run(None, "-k", "bC or Bc or Testone").assert_outcomes(passed=4, deselected=2)


def test_names_that_differ_in_case_only_and_were_recorded_before(
    pytester: pytest.Pytester, script: Script, run: Run
) -> None:
    """Cassettes stay in use under the names that they had, on a system where these are several files."""
    run(ONLY_CASE.replace("URL", script.url), "--mellite-record", "-k", "word").assert_outcomes(passed=4, deselected=2)
    folder = pytester.path / "cassettes" / "test_it"
    for path in folder.iterdir():
        if path.stem != "test_word-a":
            path.rename(path.with_name(f"{path.stem[:-9]}.json"))
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["test_word-A.json", "test_word-Bc.json", "test_word-a.json", "test_word-bC.json"]
    run(None, "-k", "word").assert_outcomes(passed=4, deselected=2)
    run(None, "-k", "word", "--mellite-record").assert_outcomes(passed=4, deselected=2)
    assert sorted(path.name for path in folder.iterdir()) == names


def test_names_that_differ_in_points_at_their_end(pytester: pytest.Pytester, script: Script, run: Run) -> None:
    """What the name of a file does not keep tells tests apart nevertheless, also before the name of a loop."""
    source = f"""
        import mellite, pytest

        @pytest.mark.anyio
        @pytest.mark.parametrize("word", ["hi", "hi.", "hi-", "...", ""])
        async def test_word(word, cassette, anyio_backend):
            backend = mellite.backend("openai-chat:m", base_url="{script.url}/v1", api_key="k")
            assert await backend.generate(f"word {{word}}") == "Hello, you."
    """
    run(source, "--mellite-record").assert_outcomes(passed=10)
    names = sorted(path.name for path in (pytester.path / "cassettes" / "test_it").iterdir())
    assert len(names) == 5
    assert {"test_word-hi.json", "test_word.json"} <= set(names)
    run().assert_outcomes(passed=10)


def test_what_a_test_sets_in_the_environment_is_not_for_others(script: Script, run: Run) -> None:
    """The mode is that of the variables as they are for the test, and no other test is left out or recorded."""
    source = f"""
        import mellite, os

        BACKEND = mellite.backend("openai-chat:m", base_url="{script.url}/v1", api_key="k")

        def test_first(monkeypatch, request):
            monkeypatch.setenv("RECORD", "once")
            monkeypatch.setenv("RECORDED_TEST", "first")
            assert request.getfixturevalue("cassette").mode == os.environ.get("MODE", "once")
            assert BACKEND.generate("hi").result() == "Hello, you."

        def test_second(cassette):
            assert cassette.mode == os.environ.get("MODE", "none")
            assert BACKEND.generate("hi").result() == "Hello, you."
    """
    run(source, "--mellite-record", MODE="rewrite").assert_outcomes(passed=2)
    run().assert_outcomes(passed=2)


@pytest.mark.slow
def test_a_fixture_of_the_same_name(script: Script, run: Run) -> None:
    """A project may have a fixture of this name that asks for the plugin's, and a test may ask for it later on."""
    source = f"""
        import mellite, pytest

        BACKEND = mellite.backend("openai-chat:m", base_url="{script.url}/v1", api_key="k")

        @pytest.fixture
        def cassette(cassette):
            yield cassette.path

        def test_own(cassette):
            assert cassette.endswith("test_own.json")
            assert BACKEND.generate("hi").result() == "Hello, you."

        def test_later(request):
            assert request.getfixturevalue("cassette").endswith("test_later.json")
            assert BACKEND.generate("hi").result() == "Hello, you."
    """
    run(source, "--mellite-record").assert_outcomes(passed=2)
    run().assert_outcomes(passed=2)
    assert len(script.requests(2)) == 2


@pytest.mark.slow
def test_folder_and_path(pytester: pytest.Pytester, script: Script, run: Run) -> None:
    """The folder may be set for the project, and the path for a test."""
    run(greeting(script, '@pytest.mark.mellite("mine.json")'), "--mellite-record", "-o", "mellite_cassettes=recorded")
    assert stored(pytester, "recorded/mine.json")["version"] == 1


@pytest.mark.slow
def test_one_folder_for_files_of_one_name(pytester: pytest.Pytester, script: Script, run: Run) -> None:
    """In one folder for the project, files of the same name in different folders have cassettes of their own."""
    for place in ("one", "two"):
        (pytester.path / place).mkdir()
        source = greeting(script).replace('"hi"', f'"Say {place}"')
        (pytester.path / place / "test_it.py").write_text(dedent(source))
    one_folder = ("--import-mode=importlib", "-k", "asyncio", "-o", "mellite_cassettes=recorded")
    run(None, "--mellite-record", *one_folder).assert_outcomes(passed=2, deselected=2)
    for place in ("one", "two"):
        assert f"Say {place}" in json.dumps(stored(pytester, f"recorded/{place}/test_it/test_hello.json"))
    run(None, *one_folder).assert_outcomes(passed=2, deselected=2)
    assert len(script.requests(2)) == 2


@pytest.mark.slow
def test_requires(script: Script, run: Run) -> None:
    """Recording is skipped with a reason where a key is missing; replaying needs none."""
    source = greeting(script, '@pytest.mark.mellite(requires=["ACME_API_KEY"])')
    skipped = run(source, "--mellite-record", "-rs")
    skipped.assert_outcomes(skipped=2)
    skipped.stdout.fnmatch_lines(["*recording this test needs ACME_API_KEY*"])
    run(source, "--mellite-record", ACME_API_KEY="x").assert_outcomes(passed=2)
    run().assert_outcomes(passed=2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "outcome"),
    [("warn", {"passed": 1, "warnings": 1}), ("ignore", {"passed": 1}), ("error", {"passed": 1, "errors": 1})],
)
def test_unused(script: Script, run: Run, how: str, outcome: dict[str, int]) -> None:
    """What a cassette holds and nobody asked for is told, or fails the test, or is nobody's business."""
    source = f"""
        import mellite, os, pytest

        @pytest.mark.mellite(unused="{how}")
        def test_hello(cassette):
            backend = mellite.backend("openai-chat:m", base_url="{script.url}/v1", api_key="k", transport=cassette)
            for _ in range(int(os.environ.get("TIMES", 1))):
                backend.generate("hi").result()
    """
    run(source, "--mellite-record", TIMES="2").assert_outcomes(passed=1)
    result = run()
    result.assert_outcomes(**outcome)
    if how != "ignore":
        result.stdout.fnmatch_lines(["*1 of 2 interactions of * were not asked for*"])


@pytest.mark.slow
def test_nothing_is_recorded_in_ci(script: Script, run: Run) -> None:
    """With CI=true recording everything is refused before a test runs, and other modes only replay."""
    refused = run(greeting(script), "--mellite-record", CI="true")
    assert refused.ret == pytest.ExitCode.USAGE_ERROR
    refused.stderr.fnmatch_lines(["*CI='true'*nothing is recorded*"])
    run(None, "--mellite-record=once", CI="true").assert_outcomes(errors=2)
    assert script.requests(0) == []


@pytest.mark.slow
def test_filters(script: Script, run: Run) -> None:
    """RECORDED_TEST and its relatives choose which of the tests with cassettes run, recording or not."""
    source = greeting(script, '@pytest.mark.mellite(tags=["provider:acme"])') + "\n        def test_other(): pass\n"
    run(source, "--mellite-record").assert_outcomes(passed=3)
    run(None, RECORDED_PROVIDER="acme").assert_outcomes(passed=3)
    run(None, RECORDED_TEST="hello").assert_outcomes(passed=3)
    run(None, RECORDED_TEST="goodbye").assert_outcomes(skipped=2, passed=1)
    run(None, "--mellite-record", RECORDED_PROVIDER="other").assert_outcomes(skipped=2, passed=1)
    assert len(script.requests(2)) == 2


@pytest.mark.slow
def test_flags_that_contradict_each_other(run: Run, script: Script) -> None:
    """Recording needs the network."""
    result = run(greeting(script), "--mellite-record", "--mellite-block-network")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*leaves no way to record*"])


@pytest.mark.slow
def test_misspelled_marker(run: Run, script: Script) -> None:
    """An argument that the marker does not take is refused by name."""
    result = run(greeting(script, "@pytest.mark.mellite(requiers=['X'])"))
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["*no argument 'requiers'*requires*"])


@pytest.mark.parametrize(
    ("marks", "words"),
    [
        ("mode='rewite'", "ConfigurationError: mode is one of *did you mean 'rewrite'*"),
        pytest.param("match='poool'", "ConfigurationError: match is one of *not 'poool'*", marks=pytest.mark.slow),
        pytest.param("mode='all'", "RecordingForbidden: the mode 'all' *CI='true'*", marks=pytest.mark.slow),
    ],
    ids=["mode", "match", "ci"],
)
def test_errors_stand_alone(run: Run, script: Script, marks: str, words: str) -> None:
    """What the marker asks wrongly is said in our words, without the code of pytest or of its plugins around them."""
    run(greeting(script), "--mellite-record").assert_outcomes(passed=2)
    environment = {"CI": "true"} if "all" in marks else {}
    result = run(greeting(script, f"@pytest.mark.mellite({marks})"), **environment)
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines([words])
    result.stdout.no_fnmatch_line("*During handling*")
    result.stdout.no_fnmatch_line("*pytest_plugin.py*")


@pytest.mark.slow
def test_scripted(run: Run) -> None:
    """The fixture `scripted` makes backends with the answers of a list."""
    source = """
        def test_two(scripted):
            backend = scripted(["one", ["t", "wo"]])
            assert [backend.generate("?").result() for _ in range(2)] == ["one", "two"]
            assert backend.calls == 2
    """
    run(source).assert_outcomes(passed=1)


@pytest.mark.slow
def test_unused_it_costs_nothing(run: Run) -> None:
    """Where no test uses it, nothing of mellite is loaded but the plugin and what loads public names."""
    source = """
        import sys

        def test_nothing():
            loaded = {name.removeprefix("mellite") for name in sys.modules if name.startswith("mellite")}
            assert loaded == {"", ".pytest_plugin", ".values", ".values.lazily", ".values.noticing"}
    """
    run(source).assert_outcomes(passed=1)


@pytest.mark.slow
def test_marker_is_registered(run: Run) -> None:
    """The marker is known to --markers and --strict-markers."""
    run("def test_nothing(): pass", "--markers").stdout.fnmatch_lines(["*@pytest.mark.mellite(*"])


@pytest.mark.slow
def test_conformance_suites_are_there() -> None:
    """`check_backend` and `check_protocol` come from the plugin, too."""
    from mellite import pytest_plugin
    from mellite.backends import conformance

    assert pytest_plugin.check_backend is conformance.check_backend
    assert pytest_plugin.check_protocol is conformance.check_protocol
    with pytest.raises(AttributeError, match="nothing"):
        pytest_plugin.nothing  # noqa: B018
