"""The pytest plugin: code that makes its own backends is recorded and replayed, though nothing is handed to it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.plugin.runs import ASYNCIO, Run, stored
from tests.providers.test_responses_websocket import delta, last
from tests.wire.server import Script
from tests.wire.sockets import talking

pytest_plugins = ["pytester"]

PROGRAM = """
    import threading, mellite

    AT_IMPORT = mellite.backend("openai-chat:m")

    def ask(word):
        return mellite.backend("openai-chat:m").generate(word)

    def in_a_thread(word):
        answers = []
        thread = threading.Thread(target=lambda: answers.append(ask(word).result()))
        thread.start()
        thread.join()
        return answers[0]
"""

TESTS = """
    import pytest, mellite, program
    from mellite.cassettes import ScriptedTransport
    from mellite.errors import MelliteError

    pytestmark = pytest.mark.mellite(requires=["OPENAI_API_KEY"])

    @pytest.mark.anyio
    async def test_loops(cassette):
        assert await program.ask("one") == "Hello, you."
        assert [delta async for delta in program.AT_IMPORT.generate("two")] == ["Hello", ", you."]

    def test_threads(cassette):
        assert program.in_a_thread("three") == program.AT_IMPORT.generate("four").result() == "Hello, you."

    def test_a_transport_of_its_own(cassette):
        given = ScriptedTransport(['{"choices": [{"message": {"content": "Mine."}, "finish_reason": "stop"}]}'])
        backend = mellite.backend("openai-chat:m", api_key="k", transport=given)
        assert backend.generate("five").result() == "Mine."
        assert program.ask("six").result() == "Hello, you."

    @pytest.mark.mellite(install=False)
    def test_handed_over(cassette):
        backend = mellite.backend("openai-chat:m", transport=cassette)
        assert backend.generate("seven").result() == "Hello, you."

    def test_after_all():
        from mellite.wire.transports.default import in_place_of

        assert in_place_of(lambda: None) is None
"""


@pytest.mark.slow
def test_nothing_is_handed_over(pytester: pytest.Pytester, script: Script, run: Run) -> None:
    """Recorded with a key, replayed without one: backends made at import time, in threads, on both loops."""
    pytester.makepyfile(program=PROGRAM)
    run(TESTS, "--mellite-record", OPENAI_API_KEY="k", OPENAI_BASE_URL=f"{script.url}/v1").assert_outcomes(passed=6)
    assert len(script.requests(8)) == 8
    folder = pytester.path / "cassettes" / "test_it"
    counts = {path.stem: len(json.loads(path.read_text())["interactions"]) for path in folder.iterdir()}
    assert counts == {"test_loops": 2, "test_threads": 2, "test_a_transport_of_its_own": 1, "test_handed_over": 1}
    for path in folder.iterdir():
        path.write_text(path.read_text().replace(script.url, "https://api.openai.com"))
    run().assert_outcomes(passed=6)
    run(None, "-p", "xdist.plugin", "-n", "2").assert_outcomes(passed=6)
    assert len(script.requests(8)) == 8


@pytest.mark.slow
def test_left_alone(script: Script, run: Run) -> None:
    """With install=False, what is not handed the cassette goes its own way, and is kept from the network."""
    source = f"""
        import mellite, pytest

        @pytest.mark.mellite(install=False)
        def test_it(cassette):
            one = mellite.backend("openai-chat:m", base_url="{script.url}/v1", api_key="k", transport=cassette)
            two = mellite.backend("openai-chat:m", base_url="{script.url}/v1", api_key="k")
            assert one.generate("hi").result() == two.generate("hi").result() == "Hello, you."
            assert cassette.used + cassette.recorded == 1
    """
    run(source, "--mellite-record").assert_outcomes(passed=1)
    run().assert_outcomes(passed=1)
    assert len(script.requests(3)) == 3


@pytest.mark.slow
def test_after_a_failure(run: Run, script: Script) -> None:
    """A test that fails or is interrupted leaves nothing behind for the next."""
    source = f"""
        import mellite, pytest
        from mellite.wire.transports.default import in_place_of

        @pytest.fixture
        def broken(cassette):
            raise RuntimeError("no")

        def test_fails(cassette):
            assert False

        def test_setup_fails(broken):
            pass

        def test_passes(cassette):
            assert in_place_of(lambda: None) is not None
            mellite.backend("openai-chat:m", base_url="{script.url}/v1", api_key="k").generate("hi").result()
    """
    run(source, "--mellite-record").assert_outcomes(passed=1, failed=1, errors=1)
    assert len(script.requests(1)) == 1


@pytest.mark.slow
def test_over_a_websocket(pytester: pytest.Pytester, run: Run) -> None:
    """A backend that asks over a WebSocket is recorded over it, and replayed without a server."""
    with talking([[[delta("Hel"), delta("lo."), last("Hello.")]]]) as server:
        source = f"""
            import mellite, pytest

            BACKEND = mellite.backend("openai-websocket:m", base_url="{server.url}", api_key="sk-test")

            @pytest.mark.asyncio
            async def test_hello(cassette):
                async with BACKEND:
                    assert [text async for text in BACKEND.generate("hi")] == ["Hel", "lo."]
        """
        run(source, *ASYNCIO, "--mellite-record").assert_outcomes(passed=1)
        assert len(server.heard) == 1
    assert len(stored(pytester)["interactions"]) == 1  # type: ignore[arg-type]
    run(None, *ASYNCIO).assert_outcomes(passed=1)


@pytest.mark.slow
def test_beside_pytest_recording(pytester: pytest.Pytester, script: Script, run: Run) -> None:
    """Where its --record-mode says what to do, the cassette does it; a module-wide marker of another plugin is left."""
    pytester.makepyfile(
        other="""
        import pytest

        def pytest_addoption(parser):
            parser.addoption("--record-mode", default=None, choices=("once", "new_episodes", "none", "all", "rewrite"))

        def pytest_configure(config):
            config.addinivalue_line("markers", "vcr: recorded by another plugin")
        """
    )
    source = f"""
        import mellite, pytest
        pytestmark = pytest.mark.vcr

        def test_hello(cassette):
            backend = mellite.backend("openai-chat:m", base_url="{script.url}/v1", api_key="k")
            assert backend.generate("hi").result() == "Hello, you."
    """
    run(source, "-p", "other", "--record-mode=rewrite").assert_outcomes(passed=1)
    run(None, "-p", "other", "--record-mode=none").assert_outcomes(passed=1)
    assert len(script.requests(1)) == 1
    assert Path(pytester.path, "cassettes", "test_it", "test_hello.json").exists()
