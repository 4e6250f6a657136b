"""The pytest plugin keeps tests from the network: which calls it sees, and what it says."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

from tests.plugin.runs import Run, greeting
from tests.wire.server import Script

pytest_plugins = ["pytester"]

BLOCKED = """
    import socket, sys, pytest

    def reach(host):
        sys.audit("socket.connect", None, (host, 443))
        sys.audit("socket.getaddrinfo", host, 443, 0, 0, 0)

    def test_this_machine():
        for host in ("127.0.0.1", "::1", "localhost", b"localhost"):
            reach(host)
        sys.audit("socket.connect", None, "/a/unix/socket")

    @pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", "api.openai.com"])
    def test_elsewhere(host):
        reach(host)

    @pytest.mark.mellite(live=True)
    def test_live():
        reach("api.openai.com")

    def test_allowed():
        reach("models.example")
"""


def test_block_network(run: Run) -> None:
    """--mellite-block-network keeps every test on this machine, but for live ones and hosts that are allowed."""
    run(BLOCKED).assert_outcomes(passed=6)
    blocked = run(None, "--mellite-block-network", "-o", "mellite_allowed_hosts=models.example")
    blocked.assert_outcomes(passed=3, failed=3)
    blocked.stdout.fnmatch_lines(["*this test may not reach 192.0.2.1: --mellite-block-network*"])


def test_no_live_call_by_accident(run: Run, script: Script) -> None:
    """A test that replays reaches no other machine, also past its cassette; after it the network is back."""
    source = greeting(script) + dedent(
        """
        @pytest.mark.mellite(install=False)
        def test_elsewhere(cassette):
            with pytest.raises(mellite.MelliteError, match="may not reach"):
                mellite.backend("openai-chat:m", base_url="https://192.0.2.1", api_key="k").generate("hi").result(20)

        def test_after():
            import sys
            sys.audit("socket.connect", None, ("192.0.2.1", 443))
        """
    ).replace("\n", "\n        ")
    run(source, "--mellite-record", "-k", "hello").assert_outcomes(passed=2, deselected=2)
    path = "cassettes/test_it/test_elsewhere.json"
    Path(path).write_text('{"version": 1, "interactions": []}')
    run().assert_outcomes(passed=4)
