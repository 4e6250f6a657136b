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
