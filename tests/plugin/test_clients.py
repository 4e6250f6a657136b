"""The marker's ``clients=``: what a test asks with somebody else's client is recorded and replayed."""

from __future__ import annotations

import pytest

from tests.plugin.runs import Run, stored
from tests.wire.server import Script

pytest_plugins = ["pytester"]


def asking(script: Script, marks: str) -> str:
    """A test of somebody's whose code asks with httpx2, which knows nothing of mellite."""
    return f"""
        import httpx2, pytest

        @pytest.mark.mellite({marks})
        def test_hello(cassette, tmp_path):
            asked = {{"messages": [{{"role": "user", "content": "hi"}}], "prompt_cache_key": str(tmp_path)}}
            with httpx2.Client(verify=False, headers={{"authorization": "Bearer sk-very-secret-0123456789"}}) as client:
                answer = client.post("{script.url}/v1/chat/completions", json=asked)
            assert "Hello" in answer.text
    """


@pytest.mark.slow
def test_record_and_replay(pytester: pytest.Pytester, script: Script, run: Run) -> None:
    """The calls of other clients are recorded once, and need no server from then on; without the marker not."""
    run(asking(script, 'clients="all"'), "--mellite-record").assert_outcomes(passed=1)
    content = stored(pytester, "cassettes/test_it/test_hello.json")
    assert len(content["interactions"]) == 1  # type: ignore[arg-type]
    assert "very-secret" not in str(content)
    run(None).assert_outcomes(passed=1)
    assert len(script.requests(1)) == 1
    result = run(asking(script, ""), "--mellite-record")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*nothing was recorded*clients='all'*"])


@pytest.mark.slow
def test_no_such_client(script: Script, run: Run) -> None:
    """A name that is misspelled is told, with the nearest one."""
    result = run(asking(script, 'clients=["httpx22"]'), "--mellite-record")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*did you mean 'httpx2'?*"])
