"""Fixtures for every test: both loops, no network, nothing left behind, corpora."""

from __future__ import annotations

import gc
import itertools
import logging
import os
import signal
import sys
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).parent.parent
LOOPBACK_NAMES = {"", "localhost", "ip6-localhost"}

outside_contacts: list[str] = []
"""What the running test tried to reach outside this machine, so that swallowing the error does not hide it."""


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """The event loop of an ``@pytest.mark.anyio`` test: each such test runs on both."""
    loop: str = request.param
    return loop


CORPORA = Path(os.environ.get("MELLITE_CORPORA") or ROOT.parent / "shared" / "corpora")


@pytest.fixture(scope="session")
def corpora(request: pytest.FixtureRequest) -> Path:
    """The folder of recorded traffic and test vectors; a test that needs it is skipped where it is absent."""
    if not CORPORA.is_dir():
        tests = f"{request.config.stash[NEEDS_CORPORA]} tests"
        pytest.skip(f"the corpora are not at {CORPORA}: set MELLITE_CORPORA to their folder to run {tests}")
    return CORPORA


NEEDS_CORPORA = pytest.StashKey[int]()
"""How many of the collected tests need the corpora."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where the corpora are absent, keep one of the tests that need them, to be skipped for all of them."""
    needy = [item for item in items if "corpora" in getattr(item, "fixturenames", ())]
    config.stash[NEEDS_CORPORA] = len(needy)
    if CORPORA.is_dir() or not needy:
        return
    others = set(needy[1:])
    config.hook.pytest_deselected(items=needy[1:])
    items[:] = [item for item in items if item not in others]


# A busy machine may hold up any one example: how long it took says nothing about what is tested.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

# A shell starts what it runs in the background with Ctrl-C ignored, and so would every program that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# --- no network -----------------------------------------------------------------------------------


def is_loopback(host: object) -> bool:
    """Whether a host name or address stays on this machine; names that would need a resolver do not."""
    if isinstance(host, bytes):
        host = host.decode("ascii", "replace")
    if host is None or host in LOOPBACK_NAMES:
        return True
    try:
        address = ip_address(str(host).partition("%")[0])
        return (getattr(address, "ipv4_mapped", None) or address).is_loopback
    except ValueError:
        return False


def refuse_outside_contact(event: str, args: tuple[object, ...]) -> None:
    """An audit hook that lets no test connect to, send to or look up another machine.

    An audit hook sees every socket of the process, whichever library opened it; nothing gets around it by accident.
    """
    if event in {"socket.connect", "socket.sendto", "socket.sendmsg"}:
        address = args[1]
        if not isinstance(address, tuple):  # a Unix socket, or a socket that is connected already
            return
        host = address[0]
    elif event == "socket.getaddrinfo":
        host = args[0]
    else:
        return
    if is_loopback(host):
        return
    outside_contacts.append(f"{event} {host!r}")
    msg = f"tests stay on this machine, but this one called {event} for {host!r}: use a loopback server or a cassette"
    raise RuntimeError(msg)


sys.addaudithook(refuse_outside_contact)  # once per process: a hook cannot be taken out again


@pytest.fixture(autouse=True)
def _no_network() -> Iterator[None]:
    """Fails a test that tried to leave this machine, also when the code under test swallowed the refusal."""
    outside_contacts.clear()
    yield
    if outside_contacts:
        pytest.fail(f"tried to leave this machine: {', '.join(outside_contacts)}")


# --- nothing left behind --------------------------------------------------------------------------


class LoopComplaints(logging.Handler):
    """Collects what asyncio only logs: exceptions never retrieved, tasks destroyed while pending."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the text of a record."""
        self.messages.append(self.format(record))


def pytest_collection_finish() -> None:
    """Moves what importing made out of the garbage collector's sight: collecting after each test then costs 1 ms."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish() -> None:
    """Puts it back, for what looks at references when pytest ends."""
    gc.unfreeze()


FREEZE_EVERY = 20
"""After so many tests, what is still alive (reports, caches) is moved out of the collector's sight, too."""

tests_run = itertools.count(1)


@pytest.fixture(autouse=True)
def _nothing_left_behind() -> Iterator[None]:
    """Collects garbage after each test, so that what it leaked fails this test and not a later one.

    A ResourceWarning, or an exception in a ``__del__`` or a thread, is made an error by pytest's own plugins together
    with ``filterwarnings = ["error"]``; what asyncio writes to its log instead is made one here.
    """
    complaints = LoopComplaints()
    logger = logging.getLogger("asyncio")
    logger.addHandler(complaints)
    yield
    gc.collect()
    if next(tests_run) % FREEZE_EVERY == 0:
        gc.freeze()
    logger.removeHandler(complaints)
    if complaints.messages:
        pytest.fail("asyncio complained: " + "\n".join(complaints.messages))
