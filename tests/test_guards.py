"""The guards of conftest.py fail a test that leaks or leaves the machine."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

OFFENDERS = """
import asyncio, gc, socket, threading
import pytest
from hypothesis import given, strategies


def test_connects():
    with socket.socket() as s:
        s.connect(("192.0.2.1", 80))


def test_swallows():
    try:
        socket.getaddrinfo("models.example", 443)
    except RuntimeError:
        pass


def test_sends():
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as s:
        s.sendto(b"x", ("2001:db8::1", 53))


def test_leaks_a_socket():
    socket.socket()


def test_leaks_a_generator():
    class Cycle:
        def __del__(self):
            raise ValueError("left behind")

    cycle = Cycle()
    cycle.itself = cycle


def test_leaks_a_thread_error():
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()


def test_leaks_a_task_error():
    async def main():
        async def fail():
            raise ValueError("nobody asks")

        task = asyncio.create_task(fail())
        await asyncio.sleep(0)

    asyncio.run(main())


@pytest.mark.anyio
async def test_never_awaited():
    asyncio.sleep(0)


@given(strategies.booleans())
def test_held_up(value):
    threading.Event().wait(0.25)


def test_fine():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        socket.getaddrinfo("localhost", 80)
"""

MISSPELLED = """
import pytest


@pytest.mark.anyoi
async def test_nothing():
    assert False
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What pytest says about the offenders, run with this project's configuration and conftest.py."""
    folder = tmp_path_factory.mktemp("guarded")
    for name in ("pyproject.toml", "tests/conftest.py"):
        (folder / Path(name).name).write_text((ROOT / name).read_text(encoding="utf-8"))
    (folder / "test_offenders.py").write_text(OFFENDERS)
    (folder / "test_misspelled.py").write_text(MISSPELLED)
    options = ["-p", "no:cacheprovider", "-p", "no:xdist", "-o", "testpaths=.", "--continue-on-collection-errors", "-v"]
    command = [sys.executable, "-m", "pytest", *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("test_connects", "tests stay on this machine, but this one called socket.connect for '192.0.2.1'"),
        ("test_swallows", "tried to leave this machine: socket.getaddrinfo 'models.example'"),
        ("test_sends", "tests stay on this machine, but this one called socket.sendto for '2001:db8::1'"),
        ("test_leaks_a_socket", "ResourceWarning: unclosed <socket"),
        ("test_leaks_a_generator", "ValueError: left behind"),
        ("test_leaks_a_thread_error", "PytestUnhandledThreadExceptionWarning"),
        ("test_leaks_a_task_error", "asyncio complained: Task exception was never retrieved"),
        ("test_never_awaited[asyncio]", "coroutine 'sleep' was never awaited"),
        ("test_never_awaited[trio]", "coroutine 'sleep' was never awaited"),
    ],
)
def test_an_offender_fails(report: str, name: str, reason: str) -> None:
    """A test that leaks, complains or leaves the machine fails, itself and not a later one, and the reason is told."""
    assert re.search(rf"(FAILED|ERROR) \S*::{re.escape(name)}", report), report
    assert reason in report


def test_loopback_is_allowed(report: str) -> None:
    """A server and a client on this machine are not an offence."""
    assert re.search(r"::test_fine PASSED", report), report


def test_an_example_that_is_held_up_is_allowed(report: str) -> None:
    """How long an example of hypothesis took is no offence: a busy machine may hold up any one of them."""
    assert re.search(r"::test_held_up PASSED", report), report


def test_a_misspelled_mark_is_refused(report: str) -> None:
    """A mark that pytest does not know is an error: the test under it would never run as meant."""
    assert "'anyoi' not found in `markers` configuration option" in report
