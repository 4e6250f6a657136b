"""pytest --mellite-stale and --mellite-record=stale: which requests differ, and recording only those anew."""

from __future__ import annotations

import json
from collections.abc import Sequence
from textwrap import dedent
from typing import Any

import pytest

from mellite.cassettes import load_cassette
from tests.cli.programs import Ran, run as mellite_in_a_process
from tests.plugin.conftest import SSE
from tests.plugin.runs import Run, stored
from tests.wire.answers import DONE, chunk
from tests.wire.server import LAST, THEN, Script, Server, Step, head, piece

pytest_plugins = ["pytester"]

MODEL = "gpt-4o-mini"
XDIST = ("-p", "xdist.plugin", "-n", "2")


def says(*texts: str) -> list[Step]:
    """What the model answers, one request after the other."""
    steps: list[Step] = []
    for text in texts:
        usage = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
        body = chunk(text, model=MODEL) + chunk(finish="stop", usage=usage, model=MODEL) + DONE
        steps += [*([THEN] if steps else []), head(200, SSE), piece(body), LAST]
    return steps


def asking(
    script: Script, *prompts: str, marks: str = "", test: str = "test_hello", ends: str = "assert answers"
) -> str:
    """A test of somebody's that asks the model one question after the other."""
    return f"""
        import mellite, pytest

        {marks}
        def {test}(cassette):
            backend = mellite.backend("openai-chat:gpt-4o-mini", base_url="{script.url}/v1", api_key="k")
            answers = [backend.generate(each).result() for each in {list(prompts)!r}]
            print("ANSWERS", answers)
            {ends}
    """


def bodies(pytester: pytest.Pytester, path: str = "cassettes/test_it/test_hello.json") -> list[tuple[str, str]]:
    """The prompts and the answers of a cassette."""
    interactions: Any = stored(pytester, path)["interactions"]
    return [
        (
            json.loads(one["request"]["body"])["messages"][-1]["content"],
            one["response"]["body"].partition('"content": "')[2].partition('"')[0],
        )
        for one in interactions
    ]


def reported(pytester: pytest.Pytester) -> Sequence[dict[str, Any]]:
    """The calls of the report."""
    found: Sequence[dict[str, Any]] = json.loads((pytester.path / "report.json").read_text())["calls"]
    return found


@pytest.mark.slow
def test_a_changed_request(pytester: pytest.Pytester, server: Server, run: Run) -> None:
    """It gets the old answer, so that the test goes on; it is reported; and recording asks for it alone."""
    script = server.script(*says("A.", "B.", "C.", "new B."))
    run(asking(script, "a", "b", "c"), "--mellite-record").assert_outcomes(passed=1)
    before = stored(pytester)
    changed = asking(script, "a", "b!", "c")
    run(changed).assert_outcomes(failed=1)
    result = run(None, "--mellite-stale=report.json", "-s")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        [
            "*ANSWERS ?'A.', 'B.', 'C.'?*",
            "*stale cassettes*",
            "cassettes/test_it/test_hello.json: a request differs from the recorded request 1 (test_it.py::test_hello)",
            '  $.messages?0?.content expected "b", received "b!"',
            "1 to record: about 1000 input and 100 output tokens, $0 and the unknown cost of 1;*",
        ]
    )
    (call,) = reported(pytester)
    assert (call["kind"], call["call"], call["tests"]) == ("changed", "1", ["test_it.py::test_hello"])
    assert (call["input_tokens"], call["output_tokens"], call["cost_usd"]) == (1000, 100, None)
    assert stored(pytester) == before
    assert len(script.requests(3)) == 3

    run(None, "--mellite-record=stale").assert_outcomes(passed=1)
    assert len(script.requests(4)) == 4
    assert bodies(pytester) == [("a", "A."), ("b!", "new B."), ("c", "C.")]
    run(None, "--mellite-record=stale").assert_outcomes(passed=1)
    result = run(None, "--mellite-stale", "test_it.py")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["no request differs from what is recorded"])
    assert len(script.requests(4)) == 4
    assert load_cassette(pytester.path / "cassettes/test_it/test_hello.json").metadata


@pytest.mark.slow
@pytest.mark.parametrize(
    "case",
    [
        (["a", "x", "b", "c"], ["added"], [("a", "A."), ("x", "D."), ("b", "B."), ("c", "C.")]),
        (["b", "a", "c"], ["moved", "moved"], [("b", "B."), ("a", "A."), ("c", "C.")]),
        (["a", "c"], ["moved"], [("a", "A."), ("c", "C.")]),
        (["a", "b", "c", "c"], ["added"], [("a", "A."), ("b", "B."), ("c", "C."), ("c", "D.")]),
    ],
)
def test_added_and_moved(
    pytester: pytest.Pytester, server: Server, run: Run, case: tuple[list[str], list[str], list[tuple[str, str]]]
) -> None:
    """Calls that are recorded are not asked for again, wherever they come; one more is."""
    prompts, kinds, after = case
    script = server.script(*says("A.", "B.", "C.", "D."))
    run(asking(script, "a", "b", "c"), "--mellite-record").assert_outcomes(passed=1)
    changed = asking(script, *prompts)
    run(changed, "--mellite-stale=report.json").assert_outcomes(passed=1)
    assert [call["kind"] for call in reported(pytester)] == kinds
    run(None, "--mellite-record=stale").assert_outcomes(passed=1)
    assert bodies(pytester) == after
    run().assert_outcomes(passed=1)
    assert len(script.requests(3)) == 3 + (len(prompts) > 3)


@pytest.mark.slow
def test_with_xdist(pytester: pytest.Pytester, server: Server, run: Run) -> None:
    """The processes of pytest-xdist send what they find to the one that reports; and each records its own."""
    script = server.script(*says("A."))
    names = ("test_one", "test_two", "test_three")
    sources = {name: asking(script, "a", test=name) for name in names}
    pytester.makepyfile(**{name: dedent(source) for name, source in sources.items()})
    run(None, "--mellite-record").assert_outcomes(passed=3)
    for name in names[:2]:
        path = pytester.path / f"{name}.py"
        path.write_text(path.read_text().replace("['a']", "['a!']"))
    result = run(None, *XDIST, "--mellite-stale=report.json")
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["2 to record: about 2000 input and 200 output tokens, *"])
    assert sorted(call["tests"][0] for call in reported(pytester)) == ["test_one.py::test_one", "test_two.py::test_two"]
    run(None, *XDIST, "--mellite-record=stale").assert_outcomes(passed=3)
    assert len(script.requests(5)) == 5
    assert bodies(pytester, "cassettes/test_two/test_two.json") == [("a!", "A.")]
    run(None, *XDIST).assert_outcomes(passed=3)


@pytest.mark.slow
def test_both_loops_and_calls_at_once(pytester: pytest.Pytester, server: Server, run: Run) -> None:
    """A request of both loops is one; what ran at the same time may still come in any order when one is new."""
    script = server.script(*says("A."))
    source = f"""
        import mellite, pytest

        @pytest.mark.anyio
        async def test_hello(cassette):
            backend = mellite.backend("openai-chat:gpt-4o-mini", base_url="{script.url}/v1", api_key="k")
            thunks = [backend.generate(each) for each in PROMPTS]
            await mellite.gather(*thunks)
            assert [await each for each in thunks] == ["A."] * len(thunks)
    """
    run(source.replace("PROMPTS", "'abcd'"), "--mellite-record").assert_outcomes(passed=2)
    assert len(script.requests(8)) == 8  # each loop records
    run(source.replace("PROMPTS", "'dxba'"), "--mellite-stale=report.json").assert_outcomes(passed=2)
    (call,) = reported(pytester)
    assert len(call["tests"]) == 2
    assert '"c", received "x"' in call["request"][0]
    run(None, "--mellite-record=stale").assert_outcomes(passed=2)
    assert len(script.requests(9)) == 9  # the second replays what the first has recorded
    assert sorted(bodies(pytester)) == [("a", "A."), ("b", "A."), ("d", "A."), ("x", "A.")]
    run(source.replace("PROMPTS", "'abxd'")).assert_outcomes(passed=2)


@pytest.mark.slow
def test_a_shared_cassette(pytester: pytest.Pytester, server: Server, run: Run) -> None:
    """Of a file that tests share, only the part of the test is looked at and written."""
    script = server.script(*says("A.", "B.", "C.", "new"))
    mark = '@pytest.mark.mellite(path="all.json")'
    one = asking(script, "a", marks=mark, test="test_a")
    other = asking(script, "b", "c", marks=mark, test="test_b")
    run(one + other, "--mellite-record").assert_outcomes(passed=2)
    run(one.replace("['a']", "['a!']") + other, "--mellite-record=stale").assert_outcomes(passed=2)
    assert bodies(pytester, "cassettes/all.json") == [("a!", "new"), ("b", "B."), ("c", "C.")]
    run().assert_outcomes(passed=2)


@pytest.mark.slow
def test_a_failed_test_keeps_the_cassette(pytester: pytest.Pytester, server: Server, run: Run) -> None:
    """What a failing test has recorded anew replaces nothing."""
    script = server.script(*says("A."))
    run(asking(script, "a"), "--mellite-record").assert_outcomes(passed=1)
    before = stored(pytester)
    run(asking(script, "a!", ends="assert False"), "--mellite-record=stale").assert_outcomes(failed=1)
    assert stored(pytester) == before


@pytest.mark.slow
def test_no_cassette(pytester: pytest.Pytester, server: Server, run: Run) -> None:
    """A test without a cassette fails offline, is reported, and is recorded with what is stale."""
    script = server.script(*says("A."))
    run(asking(script, "a"), "--mellite-stale=report.json").assert_outcomes(errors=1)
    assert [(call["kind"], call["cost_usd"]) for call in reported(pytester)] == [("missing", None)]
    run(None, "--mellite-record=stale").assert_outcomes(passed=1)
    assert bodies(pytester) == [("a", "A.")]


@pytest.mark.slow
def test_flags_that_contradict_each_other(server: Server, run: Run) -> None:
    """It never records where that is not allowed."""
    source = asking(server.script(*says("A.")), "a")
    for flags, words in {
        ("--mellite-stale", "--mellite-record"): "only replays",
        ("--mellite-block-network", "--mellite-record=stale"): "leaves no way to record",
    }.items():
        assert words in "".join(run(source, *flags).errlines)
    assert "nothing is recorded" in "".join(run(source, "--mellite-record=stale", CI="true").errlines)


@pytest.mark.slow
def test_the_command(pytester: pytest.Pytester, server: Server, run: Run) -> None:
    """`mellite cassette stale` runs the tests, lists what differs, and ends with 1 if something does."""
    script = server.script(*says("A."))
    run(asking(script, "a"), "--mellite-record").assert_outcomes(passed=1)

    def stale(*arguments: str) -> Ran:
        given = {"PYTEST_ADDOPTS": "-p no:cacheprovider", "CI": ""}
        return mellite_in_a_process("cassette", "stale", *arguments, cwd=pytester.path, **given)

    ran = stale("--json")
    assert (ran.code, [row["calls"] for row in ran.rows]) == (0, [0])
    pytester.makepyfile(test_it=dedent(asking(script, "a!")))
    ran = stale("test_it.py", "cassettes/test_it", "--", "-q")
    assert ran.code == 1
    assert ran.out.split("\t")[:3] == ["cassettes/test_it/test_hello.json", "changed", "0"]
    assert "1 passed" in ran.err
    assert "pytest --mellite-record=stale" in ran.err
    *calls, total = stale("--json", "test_it.py").rows
    assert [call["tests"] for call in calls] == [["test_it.py::test_hello"]]
    assert (total["total"], total["calls"], total["unknown"]) == (True, 1, 1)
    (pytester.path / "cassettes" / "other").mkdir()
    assert stale("cassettes/other", "--json").code == 0
    assert stale("nowhere").code == 2
    assert stale("--", "--no-such-flag").code == 4
    assert len(script.requests(1)) == 1
