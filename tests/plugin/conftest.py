"""Fixtures for tests of the pytest plugin: a model on loopback, and what runs pytest on somebody's tests."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import dedent

import pytest

from tests.plugin.runs import PLUGINS, Run
from tests.wire.answers import STREAM
from tests.wire.server import LAST, Script, Server, head, piece, serve

SSE = {"content-type": "text/event-stream"}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A model that always answers "Hello, you."."""
    with serve() as running:
        yield running


@pytest.fixture
def script(server: Server) -> Script:
    """The model, for one test."""
    return server.script(head(200, SSE), piece(STREAM), LAST)


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs pytest on some tests, in a process of its own."""
    for name in ("CI", "RECORD", "OPENAI_API_KEY", "PYTEST_ADDOPTS"):
        monkeypatch.delenv(name, raising=False)

    def runs(
        source: str | None = None, *arguments: str, entry_points: bool = False, **environment: str
    ) -> pytest.RunResult:
        if source is not None:
            pytester.makepyfile(test_it=dedent(source))
        if not entry_points:
            environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # which takes twice as long
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        plugins = [] if entry_points else PLUGINS
        result = pytester.runpytest_subprocess("-p", "no:cacheprovider", *plugins, *arguments)
        for name in environment:
            monkeypatch.delenv(name)
        return result

    return runs
