"""The pytest plugin: what a failing test shows."""

from __future__ import annotations

import pytest

from tests.plugin.runs import Run

pytest_plugins = ["pytester"]

FAILING = """
    import mellite, pytest

    class Mine(mellite.Backend):
        async def stream(self, request):
            yield mellite.events.TextDelta(text="a")
            raise ValueError("mine")

    ASKED = mellite.backend("openai-chat:m")

    @pytest.mark.anyio
    @pytest.mark.mellite("empty.json")
    async def test_awaited(cassette):
        await ASKED.generate("hi")

    @pytest.mark.mellite("empty.json")
    def test_result(cassette):
        ASKED.generate("hi").result()

    @pytest.mark.anyio
    async def test_own_code():
        await Mine().generate("hi")

    def test_mistake():
        ASKED.generate("hi", temprature=1)

    def test_no_file(cassette):
        pass
"""


@pytest.mark.slow
@pytest.mark.parametrize("everything", [False, True], ids=["short", "--full-trace"])
def test_frames_of_the_library_are_hidden(pytester: pytest.Pytester, run: Run, *, everything: bool) -> None:
    """A traceback shows the lines of the test and of the user's own code, and no file of mellite's; unless asked to."""
    pytester.makefile(".json", **{"cassettes/empty": '{"version": 1, "interactions": []}'})
    result = run(FAILING, "-k", "not trio", *(["--full-trace"] if everything else []))
    result.assert_outcomes(failed=4, errors=1, deselected=2)
    lines = result.stdout.lines
    own = [line for line in lines if line.partition(":")[0].endswith(".py") and "/mellite/" in line.partition(":")[0]]
    assert bool(own) is everything
    assert any('raise ValueError("mine")' in line for line in lines)
    result.stdout.fnmatch_lines_random(
        [
            '>*await ASKED.generate("hi")',
            '>*ASKED.generate("hi").result()',
            '>*await Mine().generate("hi")',
            '>*ASKED.generate("hi", temprature=1)',
            "CassetteMiss: there is no cassette *pytest with --mellite-record*" if not everything else "*CassetteMiss*",
            "E *to record it, run pytest with --mellite-record, or with --mellite-record=new_episodes*",
        ]
    )
    assert "RECORD=true" not in result.stdout.str()


def test_a_marker_that_does_nothing_is_told(run: Run) -> None:
    """A marked test that uses no cassette is warned of, unless the marker only lets it reach the network."""
    result = run("""
        import mellite, pytest
        from mellite.cassettes import ScriptedTransport, use

        ANSWER = '{"choices": [{"message": {"content": "Hi."}, "finish_reason": "stop"}]}'
        PATH = "cassettes/test_it/test_by_another_fixture.json"
        with use(PATH, mode="all", live=ScriptedTransport([ANSWER])) as recording:
            mellite.backend("openai-chat:m", api_key="k", transport=recording).generate("Hello.").result()

        @pytest.mark.mellite(mode="none")
        @pytest.mark.parametrize("number", [1])
        def test_idle(number):
            pass

        @pytest.fixture
        def later(request):
            return request.getfixturevalue("cassette")

        @pytest.mark.mellite(tags=["a"])
        def test_by_another_fixture(later):
            mellite.backend("openai-chat:m").generate("Hello.").result()

        @pytest.mark.mellite(live=True)
        def test_live():
            pass

        @pytest.mark.mellite(mode="none")
        def test_failing():
            assert False

        @pytest.mark.mellite(tags=["a"])
        class TestMany:
            def test_without(self):
                pass
    """)
    result.assert_outcomes(passed=4, failed=1, warnings=1)
    warned = [line for line in result.outlines if "the marker mellite did nothing" in line]
    assert len(warned) == 1
    assert "test_it.py::test_idle[1]: the marker" in warned[0]
    assert "write it as an argument: def test_idle(cassette)" in warned[0]
