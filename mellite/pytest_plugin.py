"""The pytest plugin: a cassette for each test, recording, a guard against live calls, scripted backends.

pytest finds it by itself where mellite is installed. It imports nothing of mellite before a test asks for it.

    @pytest.mark.mellite(requires=["OPENAI_API_KEY"])
    async def test_greeting(cassette):
        backend = mellite.backend("openai-chat:gpt-4o-mini", transport=cassette)
        assert "hello" in (await backend.generate("Say hello.")).lower()

``pytest --mellite-record`` asks the provider and writes ``cassettes/<file>/<test>.json`` beside the test's file; after
that the test needs neither a key nor a network.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final, cast

import pytest

if TYPE_CHECKING:
    from .backends.fake import Answer, Answerer, Scripted
    from .cassettes.modes import Mode
    from .cassettes.using import CassetteTransport
    from .conformance import check_backend as check_backend  # noqa: PLC0414 - for type checkers it is here
    from .conformance import check_protocol as check_protocol  # noqa: PLC0414

__all__ = ["UnusedInteractions"]

_MODES: Final = ("none", "once", "new_episodes", "all", "rewrite")
_ARGUMENTS: Final = frozenset(
    {"path", "mode", "match", "speed", "cut", "deadline", "requires", "tags", "metadata", "unused", "live"}
)
_PASSED_ON: Final = ("match", "speed", "cut", "deadline")


class UnusedInteractions(pytest.PytestWarning):
    """A test has passed without asking all that its cassette holds."""


def __getattr__(name: str) -> object:
    # Not in __all__ or dir(): pytest gets every name that it sees there, and would load half of mellite.
    if name in ("check_backend", "check_protocol"):
        from . import conformance

        return getattr(conformance, name)
    msg = f"module 'mellite.pytest_plugin' has no attribute {name!r}"
    raise AttributeError(msg)


# --- options --------------------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the flags; ``--record-mode`` of another plugin is honoured where there is one."""
    group = parser.getgroup("mellite", "recorded model calls")
    group.addoption(
        "--mellite-record",
        nargs="?",
        const="rewrite",
        default=None,
        metavar="MODE",
        type=lambda value: value.replace("-", "_"),
        choices=_MODES,
        help="record cassettes: rewrite (what the flag alone means), once, new_episodes, all, none",
    )
    group.addoption(
        "--mellite-block-network",
        action="store_true",
        help="let no test reach another machine, but those marked with mellite(live=True)",
    )
    parser.addini("mellite_cassettes", "folder of the cassettes, from the root; else 'cassettes' beside each test file")
    parser.addini("mellite_allowed_hosts", "hosts that tests may reach where the network is blocked", type="args")


def pytest_configure(config: pytest.Config) -> None:
    """Add the marker, and the guard if it was asked for.

    Raises:
        pytest.UsageError: for flags that contradict each other, or what the environment says.
    """
    config.addinivalue_line(
        "markers",
        "mellite(path=None, mode=None, match='cursor', requires=(), tags=(), unused='warn', live=False, ...): "
        "how the test's `cassette` is recorded and replayed; see mellite.pytest_plugin",
    )
    asked = _asked(config)
    blocks = config.getoption("mellite_block_network")
    if asked not in (None, "none"):
        from .cassettes.modes import in_ci

        if blocks:
            msg = f"--mellite-block-network leaves no way to record, and recording ({asked}) was asked for"
            raise pytest.UsageError(msg)
        if asked in ("all", "rewrite") and in_ci(os.environ):
            msg = f"with CI={os.environ['CI']!r} nothing is recorded, and recording ({asked}) was asked for"
            raise pytest.UsageError(msg)
    if blocks:
        config.pluginmanager.register(_Blocking(config), "mellite-block-network")


def _asked(config: pytest.Config) -> str | None:
    """The mode that a flag asks for."""
    own = config.getoption("mellite_record")
    if own is not None:
        return cast("str", own)
    other = config.getoption("record_mode", default=None)
    return other if other in _MODES else None


# --- fixtures -------------------------------------------------------------------------------------


@pytest.fixture
def cassette(request: pytest.FixtureRequest) -> Iterator[CassetteTransport]:
    """The test's own cassette, as a transport: ``mellite.backend(..., transport=cassette)``.

    It replays, and records where ``--mellite-record``, the marker or the environment says so. While it only replays no
    call leaves this machine. A recording is kept if the test passes.
    """
    from .cassettes.using import use

    given = _marked(request.node)
    mode = _mode(request, given)
    path = _path(request, given)
    _select(path, request.node.name, given)
    transport = use(
        path,
        mode=mode,
        metadata={"tags": list(given.get("tags", ())), **given.get("metadata", {})},
        **{name: given[name] for name in _PASSED_ON if name in given},
    )
    if transport.recorder is not None:
        missing = [name for name in given.get("requires", ()) if not os.environ.get(name)]
        if missing:
            pytest.skip(f"recording this test needs {', '.join(missing)}")
    failed_before = request.session.testsfailed
    if transport.recorder is None and not given.get("live"):
        with _no_network("it replays a cassette; run pytest with --mellite-record to record it", request.config):
            yield transport
    else:
        yield transport
    if request.session.testsfailed > failed_before:
        transport.abandon()
        return
    transport.finish()
    if transport.recorder is None and transport.unused:
        _tell_unused(transport, given.get("unused", "warn"))


@pytest.fixture
def scripted() -> Callable[..., Scripted]:
    """Makes a scripted backend: ``scripted(["first answer", "second answer"])``; see `mellite.backends.Scripted`."""

    def make(answers: Sequence[Answer | Answerer], *, delay: float = 0) -> Scripted:
        from .backends.fake import Scripted

        return Scripted(answers, delay=delay)

    return make


def _marked(node: pytest.Item) -> dict[str, Any]:
    """What the markers say, the nearest first.

    Raises:
        pytest.UsageError: for an argument that does not exist.
    """
    given: dict[str, Any] = {}
    for mark in node.iter_markers("mellite"):
        unknown = sorted(mark.kwargs.keys() - _ARGUMENTS)
        if unknown or len(mark.args) > 1:
            what = f"no argument {unknown[0]!r}" if unknown else "one positional argument at most, the path"
            msg = f"{node.nodeid}: the marker mellite takes {what}; there are {', '.join(sorted(_ARGUMENTS))}"
            raise pytest.UsageError(msg)
        said = {**({"path": mark.args[0]} if mark.args else {}), **mark.kwargs}
        given = {**said, **given}
    for name in ("requires", "tags"):
        if isinstance(given.get(name), str):
            given[name] = [given[name]]
    return given


def _mode(request: pytest.FixtureRequest, given: Mapping[str, Any]) -> Mode:
    from .cassettes.modes import mode_of, permitted

    asked = _asked(request.config) or given.get("mode")
    return permitted(mode_of(os.environ, asked), os.environ)


def _select(path: str, test: str, given: Mapping[str, Any]) -> None:
    """Skip a test that RECORDED_PREFIX, RECORDED_PROVIDER, RECORDED_TAGS or RECORDED_TEST leave out."""
    from .cassettes.modes import Selection

    selection = Selection.of(os.environ)
    if selection == Selection():
        return
    folder, name = os.path.split(os.path.splitext(path)[0])
    group = os.path.basename(folder)
    if not selection.has(f"{group}/{name}", test=test, tags=given.get("tags", ())):
        pytest.skip("left out by RECORDED_PREFIX, RECORDED_PROVIDER, RECORDED_TAGS or RECORDED_TEST")


def _path(request: pytest.FixtureRequest, given: Mapping[str, Any]) -> str:
    """Where the cassette of a test is: ``cassettes/<file>/<test>.json``, one for both event loops."""
    node = request.node
    beside = os.path.dirname(str(node.path))
    chosen = request.config.getini("mellite_cassettes")
    folder = os.path.join(str(request.config.rootpath), chosen) if chosen else os.path.join(beside, "cassettes")
    path = given.get("path")
    if path is not None:
        named = os.fspath(path)
        return named if os.path.isabs(named) else os.path.join(folder, named)
    module = os.path.splitext(os.path.basename(str(node.path)))[0]
    owner = f"{node.cls.__name__}." if getattr(node, "cls", None) is not None else ""
    return os.path.join(folder, module, f"{_file_name(owner + _test_name(node))}.json")


def _test_name(node: Any) -> str:
    """The test's name with its parameters, but for the event loop: both loops ask the same."""
    name, bracket, parameters = node.name.partition("[")
    loop = getattr(getattr(node, "callspec", None), "params", {}).get("anyio_backend")
    loop = loop[0] if isinstance(loop, tuple) else loop
    ids = parameters.removesuffix("]").split("-")
    if loop in ids:
        ids.remove(loop)
    rest = "-".join(ids)
    return f"{name}{bracket}{rest}]" if bracket and rest else str(name)


_LONGEST_NAME: Final = 120


def _file_name(name: str) -> str:
    """A file's name that every system takes; what is cut off or replaced still tells tests apart."""
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.")
    if re.fullmatch(r"[A-Za-z0-9_.]+(\[[A-Za-z0-9_.-]+\])?", name) and len(plain) <= _LONGEST_NAME:
        return plain
    return f"{plain[:_LONGEST_NAME]}-{hashlib.sha256(name.encode('utf-8', 'replace')).hexdigest()[:8]}"


def _tell_unused(transport: CassetteTransport, how: str) -> None:
    unused = transport.unused
    what = f"{len(unused)} of {len(unused) + transport.used} interactions of {transport.path!r} were not asked for"
    if how == "error":
        pytest.fail(f"{what}; record it anew if the program asks less now", pytrace=False)
    if how != "ignore":
        warnings.warn(UnusedInteractions(what), stacklevel=2)


# --- no network -----------------------------------------------------------------------------------

#: Why the network is blocked, and the hosts that may be reached all the same; the last says.
_blocked: Final[list[tuple[str, frozenset[str]]]] = []
_hooked: Final[list[bool]] = []


class _Blocking:
    """Blocks the network for every test that is not marked as live."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        if _marked(item).get("live"):
            return (yield)
        with _no_network("--mellite-block-network; mark the test with mellite(live=True) to allow it", self._config):
            return (yield)


@contextmanager
def _no_network(why: str, config: pytest.Config) -> Generator[None]:
    """Refuse every connection to another machine, and every look-up of its name, in all threads."""
    if not _hooked:
        _hooked.append(True)  # an audit hook cannot be taken away again
        sys.addaudithook(_audit)
    allowed = frozenset(config.getini("mellite_allowed_hosts"))
    block = (why, allowed)
    _blocked.append(block)
    try:
        yield
    finally:
        _blocked.remove(block)


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if not _blocked:
        return
    if event == "socket.connect" and isinstance(args[1], tuple):
        host = args[1][0]
    elif event == "socket.getaddrinfo":
        host = args[0]
    else:
        return
    why, allowed = _blocked[-1]
    if not _stays_here(host) and host not in allowed:
        msg = f"this test may not reach {host}: {why}"
        raise OSError(msg)


def _stays_here(host: object) -> bool:
    """Whether a host is this machine, as far as can be told without asking anybody."""
    name = host.decode("ascii", "replace") if isinstance(host, bytes) else host
    if name is None or name in ("", "localhost"):
        return True
    try:
        return ip_address(str(name).partition("%")[0]).is_loopback
    except ValueError:
        return False
