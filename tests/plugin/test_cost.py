"""What the fixture ``cassette`` and a replayed call add to a test, in function calls, which are the same everywhere."""

from __future__ import annotations

import json
from textwrap import dedent
from typing import Final

import pytest

from tests.plugin.runs import Run
from tests.wire.server import Script

pytest_plugins = ["pytester"]

#: As of today, under CPython 3.11 and pytest 9.2; other versions differ by a few. Lower it when the cost falls.
TODAY: Final = 380
SLACK: Final = 1.15

COUNTING = """
    import json, pathlib, sys, pytest

    found = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(item):
        found[item.name] = 0

        def note(frame, event, argument):
            found[item.name] += event == "call"

        sys.setprofile(note)
        try:
            return (yield)
        finally:
            sys.setprofile(None)

    def pytest_sessionfinish():
        pathlib.Path("found.json").write_text(json.dumps(found))
"""


def test_what_a_replayed_test_costs(pytester: pytest.Pytester, script: Script, run: Run) -> None:
    """Calls of Python functions that a replayed test makes over the same test without a cassette and a model."""
    source = f"""
        import mellite, pytest

        @pytest.mark.parametrize("number", range(3))
        def test_recorded(cassette, number):
            backend = mellite.backend("openai-chat:m", base_url="{script.url}/v1", api_key="k")
            assert backend.generate("hi").result() == "Hello, you."

        @pytest.mark.parametrize("number", range(3))
        def test_constant(number):
            backend = mellite.backends.Constant("Hello, you.")
            assert backend.generate("hi").result() == "Hello, you."
    """
    run(source, "--mellite-record").assert_outcomes(passed=6)
    pytester.makeconftest(dedent(COUNTING))
    run().assert_outcomes(passed=6)
    found = json.loads((pytester.path / "found.json").read_text())
    assert found["test_recorded[2]"] - found["test_constant[2]"] <= TODAY * SLACK
