"""The pytest plugin: a cassette for each test, recording, a guard against live calls, scripted backends.

pytest loads it wherever mellite is installed. The plugin imports nothing of mellite before a test uses it.

    @pytest.mark.mellite(requires=["OPENAI_API_KEY"])
    async def test_greeting(cassette):
        assert "hello" in (await my_program.greet()).lower()

The requests of all backends that the program makes go through the cassette. ``pytest --mellite-record`` asks the
provider and writes ``cassettes/<file>/<test>.json`` beside the test's file. After that the test needs neither a key nor
a network.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shlex
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Final, cast

import pytest

if TYPE_CHECKING:
    from .backends.conformance import (
        check_backend as check_backend,  # noqa: PLC0414 - for type checkers it is here
        check_protocol as check_protocol,  # noqa: PLC0414
    )
    from .backends.fake import Answer, Answerer, Scripted
    from .cassettes.for_pytest import CassetteOfTest, Stale
    from .cassettes.modes import Mode
    from .cassettes.opening import CassetteTransport
    from .server.running import RunningServer

__all__ = ["UnusedInteractions"]

_MODES: Final = ("none", "once", "new_episodes", "all", "rewrite")
_PASSED_ON: Final = ("match", "speed", "cut", "deadline")
_ARGUMENTS: Final = frozenset(
    {*_PASSED_ON, "path", "mode", "requires", "tags", "metadata", "unused", "live", "install", "clients"}
)

_LONGEST_NAME: Final = 120

_ADVICE: Final = "to record it, run pytest with --mellite-record"

_NOTHING: Final = (
    "nothing was recorded: no request of this test went through its cassette {path!r}. A backend that was given a "
    "transport= of its own, or a fake, does not use it; nor any backend that is not given it, with install=False; nor "
    "the client of another library, unless the marker says clients='all'. A test that asks no model needs no cassette"
)

#: The outcomes of setup and call of the running attempt, by phase, as pytest and all other plugins see them.
_outcomes: Final = pytest.StashKey[dict[str, str]]()
_has_cassette: Final = pytest.StashKey[bool]()

_stays_here: Callable[[object], bool] | None = None  # whether a host is this machine; None: the guard's own rule
#: What was refused in the running test. Libraries replace our message by one of their own, so it is shown apart.
_refused: Final[list[str]] = []

#: The requests of a test that differ from what is recorded, as JSON.
_stale: Final = pytest.StashKey[list[dict[str, Any]]]()


class UnusedInteractions(pytest.PytestWarning):
    """A test has passed without using all interactions of its cassette."""


def __getattr__(name: str) -> object:
    # These names are not in __all__ or dir(): pytest reads every name there, which would load half of mellite.
    if name in ("check_backend", "check_protocol"):
        from .backends import conformance

        return getattr(conformance, name)
    raise AttributeError(f"module 'mellite.pytest_plugin' has no attribute {name!r}")  # noqa: EM102 - as usual


# --- options --------------------------------------------------------------------------------------


class _Record(argparse.Action):
    """``--mellite-record`` and ``--mellite-record=MODE``.

    Each spelling is an option of its own without a value: an option with an optional value would take the path that
    follows it.
    """

    def __call__(
        self,
        parser: argparse.ArgumentParser,  # noqa: ARG002 - argparse calls it so
        namespace: argparse.Namespace,
        values: object,  # noqa: ARG002
        option_string: str | None = None,
    ) -> None:
        mode = (option_string or "").partition("=")[2]
        setattr(namespace, self.dest, mode.replace("-", "_") or "rewrite")


class _Stale(argparse.Action):
    """``--mellite-stale`` and ``--mellite-stale=FILE``: each spelling an option of its own, as with ``_Record``."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,  # noqa: ARG002
        namespace: argparse.Namespace,
        values: object,  # noqa: ARG002
        option_string: str | None = None,
    ) -> None:
        setattr(namespace, self.dest, (option_string or "").partition("=")[2])


def _spellings(pluginmanager: pytest.PytestPluginManager) -> list[str]:
    """Return how ``--mellite-stale`` is spelled with a file, on the command line, in the environment, in the ini."""
    config: Any = pluginmanager.get_plugin("pytestconfig")
    given = [*config.invocation_params.args, *shlex.split(os.environ.get("PYTEST_ADDOPTS", ""))]
    given += config.getini("addopts")
    return list(dict.fromkeys([word for word in map(str, given) if word.startswith("--mellite-stale=")]))


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Add the flags. The ``--record-mode`` of another plugin is respected as well."""
    group = parser.getgroup("mellite", "recorded model calls")
    group.addoption(
        "--mellite-record",
        *[f"--mellite-record={mode}" for mode in (*_MODES, "new-episodes", "stale")],
        action=_Record,
        nargs=0,
        default=None,
        dest="mellite_record",
        help="record cassettes: rewrite (what the flag alone means), once, new_episodes, all, none; or stale: only the "
        "requests that differ from what is recorded",
    )
    group.addoption(
        "--mellite-stale",
        *_spellings(pluginmanager),
        action=_Stale,
        nargs=0,
        default=None,
        dest="mellite_stale",
        help="replay only, answer a request that differs as the nearest recorded one, and report which ones differ; "
        "with =FILE also as JSON",
    )
    group.addoption(
        "--mellite-block-network",
        action="store_true",
        help="let no test reach another machine, but those marked with mellite(live=True)",
    )
    parser.addini("mellite_cassettes", "folder of all cassettes, from the root; else 'cassettes' beside each test file")
    parser.addini("mellite_allowed_hosts", "hosts that tests may reach where the network is blocked", type="args")


def pytest_configure(config: pytest.Config) -> None:
    """Add the marker, and the network guard if it was asked for.

    Raises:
        pytest.UsageError: for flags that contradict each other, or the environment.
    """
    config.addinivalue_line(
        "markers",
        "mellite(path=None, mode=None, match=None, requires=(), tags=(), unused='warn', live=False, install=True, "
        "clients=(), ...): "
        "how the test's `cassette` is recorded and replayed; see mellite.pytest_plugin",
    )
    asked = _asked(config)
    blocks = config.getoption("mellite_block_network")
    if asked not in (None, "none"):
        from .cassettes.modes import in_ci

        if blocks:
            msg = f"--mellite-block-network leaves no way to record, and recording ({asked}) was asked for"
            raise pytest.UsageError(msg)
        if asked in ("all", "rewrite", "stale") and in_ci(os.environ):
            msg = f"with CI={os.environ['CI']!r} nothing is recorded, and recording ({asked}) was asked for"
            raise pytest.UsageError(msg)
    report = config.getoption("mellite_stale")
    if report is not None:
        if asked not in (None, "none"):
            msg = f"--mellite-stale only replays, and recording ({asked}) was asked for"
            raise pytest.UsageError(msg)
        if not hasattr(config, "workerinput"):  # a process of pytest-xdist, which sends its reports on
            from .archive.stale import StaleReport

            config.pluginmanager.register(StaleReport(report, str(config.rootpath)), "mellite-stale")
    if blocks:
        config.pluginmanager.register(_Blocking(config), "mellite-block-network")


def _asked(config: pytest.Config) -> str | None:
    """Return the mode that a flag asks for."""
    own = config.getoption("mellite_record")
    if own is not None:
        return cast("str", own)
    other = config.getoption("record_mode", default=None)
    return other if other in _MODES else None


# --- fixtures -------------------------------------------------------------------------------------


@pytest.fixture
def cassette(request: pytest.FixtureRequest) -> Iterator[CassetteTransport]:
    """Send the requests of all backends without a transport of their own through a cassette of the test.

    This holds from the beginning of the test to its end, in all threads, and for backends that were made before. With
    ``@pytest.mark.mellite(install=False)`` only backends that are given the cassette use it:
    ``mellite.backend(..., transport=cassette)``. With ``clients="all"``, or names of some, the requests of other
    people's clients go through the cassette as well, see `mellite.cassettes.patch`.

    The cassette is replayed, or recorded if ``--mellite-record``, the marker or the environment says so. While it is
    only replayed, no call leaves this machine and no key is needed. A recording is kept if the test passes. If nothing
    was recorded, the test fails.
    """
    given = _marked(request.node)
    request.node.stash[_has_cassette] = True
    transport = _opened(request, given)
    failed_before = request.session.testsfailed
    with _quiet(request, transport, given), _installed(transport, given):
        yield transport
    if substitutes := transport.substitutes:
        from .archive.stale import stale_calls

        request.node.stash[_stale] = stale_calls(request.node.nodeid, transport.path, substitutes)
    if not _has_passed(request.node) or request.session.testsfailed > failed_before:
        transport.abandon()
        return
    transport.finish()
    if transport.recorder is None:
        _tell_unused(transport, given.get("unused", "warn"))
    elif not transport.recorded + transport.used:
        pytest.fail(_NOTHING.format(path=transport.path), pytrace=False)


def _quiet(
    request: pytest.FixtureRequest, transport: CassetteTransport, given: Mapping[str, Any]
) -> AbstractContextManager[None]:
    """Return the block in which a test that only replays reaches no other machine."""
    if transport.offline and not given.get("live"):
        return _no_network(f"it replays a cassette; {_ADVICE}", request.config)
    return nullcontext()


def _no_network(why: str, config: pytest.Config) -> AbstractContextManager[None]:
    from .loops.no_network import no_network

    return no_network(why, config.getini("mellite_allowed_hosts"), _refused, _stays_here)


@contextmanager
def _installed(transport: CassetteTransport, given: Mapping[str, Any]) -> Generator[None]:
    """Have all backends use the cassette, unless the marker says otherwise, and the clients that it names."""
    with ExitStack() as blocks:
        if given.get("install", True):
            from .wire.transports.default import standing_in

            blocks.enter_context(standing_in(transport.over))
        if given.get("clients"):
            from .cassettes.clients.patching import catching

            blocks.enter_context(catching(transport, given["clients"]))
        yield


def _opened(request: pytest.FixtureRequest, given: Mapping[str, Any]) -> CassetteOfTest:
    """Open the cassette of a test in the mode that was asked for, or skip the test."""
    from .cassettes.for_pytest import cassette_of_test
    from .values.errors import CassetteMiss, MelliteError

    path = _path(request, given)
    transport: CassetteOfTest | None = None
    reports = request.config.getoption("mellite_stale") is not None
    stale: Stale | None = "report" if reports else "record" if _asked(request.config) == "stale" else None
    problem = ""
    try:
        mode = _mode(request, given)
        _select(path, request.node.name, given)
        transport = cassette_of_test(
            path,
            mode,
            stale=stale,
            part=None if given.get("path") is None else _part(request.node),
            metadata={"tags": list(given.get("tags", ())), **given.get("metadata", {})},
            **({"match": "pool", "lenient": True} if given.get("clients") else {}),
            **{name: given[name] for name in _PASSED_ON if name in given},
        )
    except MelliteError as error:
        problem = f"{type(error).__name__}: {error}"
        if stale == "report" and isinstance(error, CassetteMiss):
            from .archive.stale import missing_cassette

            request.node.stash[_stale] = [missing_cassette(request.node.nodeid, path)]
    if transport is None:  # inside the except clause, pytest would show the traceback of the error as well
        pytest.fail(problem, pytrace=False)
    if transport.recorder is not None:
        missing = [name for name in given.get("requires", ()) if not os.environ.get(name)]
        if missing:
            pytest.skip(f"recording this test needs {', '.join(missing)}")
    return transport


@pytest.fixture
def scripted() -> Callable[..., Scripted]:
    """Make scripted backends: ``scripted(["first answer", "second answer"])``; see `mellite.backends.Scripted`."""

    def make(answers: Sequence[Answer | Answerer], *, delay: float = 0) -> Scripted:
        from .backends.fake import Scripted

        return Scripted(answers, delay=delay)

    return make


@pytest.fixture
def mellite_server() -> Generator[Callable[..., RunningServer]]:
    """Start servers that speak as model providers do, to the end of the test: ``mellite_server("chat.json").url``.

    The arguments are those of `mellite.server.running.Settings`: ``source``, ``record``, ``faults``, ``seed``...
    """
    from .server.running import started

    with ExitStack() as servers:
        yield lambda source=None, **settings: servers.enter_context(started(source, **settings))


def _marked(node: pytest.Item) -> dict[str, Any]:
    """Return the arguments of the markers; those of the nearest marker count.

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
    if request.config.getoption("mellite_stale") is not None:
        asked = "none"
    elif asked == "stale":
        asked = "new_episodes"
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
    """Return the path of a test's cassette: ``cassettes/<file>/<test>.json``, one for both event loops."""
    node, chosen = request.node, request.config.getini("mellite_cassettes")
    folder = str(request.config.rootpath / chosen if chosen else node.path.parent / "cassettes")
    if (path := given.get("path")) is None:
        path = f"{os.path.splitext(_file(node))[0]}/{_file_name(_test_name(node))}.json"
    return os.path.join(folder, os.fspath(path))


def _file(node: Any) -> str:
    """Return the name of a test's file; with one folder for all cassettes its path, from the root."""
    path, root = node.path, node.config.rootpath
    is_shared = node.config.getini("mellite_cassettes") and path.is_relative_to(root)
    return str(path.relative_to(root).as_posix() if is_shared else path.name)


def _part(node: Any) -> str:
    """Return the name that the interactions of a test carry in a shared cassette."""
    return f"{_file(node)}::{_test_name(node)}"


def _test_name(node: Any) -> str:
    """Return the test's name with its classes and parameters, without those that ask the same: loops, repetitions."""
    owner = "".join([f"{one.name}." for one in node.listchain() if isinstance(one, pytest.Class)])
    name, bracket, parameters = node.name.partition("[")
    given = getattr(getattr(node, "callspec", None), "params", {})
    loop = given.get("anyio_backend")
    loop = loop[0] if isinstance(loop, tuple) else loop
    ids = parameters.removesuffix("]").split("-")
    if loop in ids:
        ids.remove(loop)
    rest = "-".join(ids)
    if (step := given.get("__pytest_repeat_step_number")) is not None:  # of pytest-repeat, which names it as in "1-5"
        rest = re.sub(rf"-?{step + 1}-\d+$", "", rest)
    return f"{owner}{name}{bracket}{rest}]" if bracket and rest else f"{owner}{name}"


def _file_name(name: str) -> str:
    """Return a valid file name on every system. If something is cut off or replaced, a digest tells tests apart."""
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.")
    if re.fullmatch(r"[A-Za-z0-9_.]+(\[[A-Za-z0-9_.-]+\])?", name) and len(plain) <= _LONGEST_NAME:
        return plain
    return f"{plain[:_LONGEST_NAME]}-{hashlib.sha256(name.encode('utf-8', 'replace')).hexdigest()[:8]}"


def _tell_unused(transport: CassetteTransport, how: str) -> None:
    """Warn or fail if interactions were not used, as the marker says."""
    if not (unused := transport.unused):
        return
    what = f"{len(unused)} of {len(unused) + transport.used} interactions of {transport.path!r} were not asked for"
    if how == "error":
        pytest.fail(f"{what}; record it anew if the program asks less now", pytrace=False)
    if how != "ignore":
        warnings.warn(UnusedInteractions(what), stacklevel=2)


# --- how a test went ------------------------------------------------------------------------------


# First, around all other plugins: one that runs a failed test again changes the outcome in the report.
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember the outcome of each phase. In the report of a failure hide mellite's frames and add what was refused."""
    if call.excinfo is not None and not _develops(item.config):
        from .values.own_frames import hide_own_frames

        hide_own_frames(call.excinfo.value)
    report = yield
    if call.when == "setup":
        item.stash[_outcomes] = {}
    item.stash.setdefault(_outcomes, {})[call.when] = report.outcome
    _tell_refused(report)
    if call.when == "call" and report.passed and not item.stash.get(_has_cassette, False):
        _tell_idle_marker(item)
    if call.when == "teardown" and (found := item.stash.get(_stale, None)):
        vars(report)["mellite_stale"] = found  # which pytest-xdist sends on to where the report is written
    return report


def _tell_idle_marker(item: pytest.Item) -> None:
    """Warn of a marker at a test that uses no cassette, and so does nothing; `live` is for tests without one, too."""
    if any(mark.name == "mellite" and mark.kwargs.keys() != {"live"} for mark in item.own_markers):
        msg = f"{item.nodeid}: the marker mellite did nothing, because the test does not use the fixture 'cassette'"
        item.warn(pytest.PytestWarning(f"{msg}; write it as an argument: def {item.name.partition('[')[0]}(cassette)"))


def _tell_refused(report: pytest.TestReport) -> None:
    """Add what was refused to the report of a failed test."""
    if report.failed and _refused:
        report.sections.append(("mellite", "\n".join(_refused)))
    if report.failed or report.when == "teardown":
        _refused.clear()


def _develops(config: pytest.Config) -> bool:
    """Whether mellite itself is tested, whose own frames are then of interest."""
    return os.path.dirname(os.path.dirname(__file__)) == str(config.rootpath)


def _has_passed(item: pytest.Item) -> bool:
    """Whether this attempt has passed. One that failed, was skipped or is run again has not."""
    outcomes = item.stash.get(_outcomes, {})
    return outcomes.get("setup") == outcomes.get("call") == "passed"


# --- no network -----------------------------------------------------------------------------------


class _Blocking:
    """The part of the plugin that blocks the network for every test that is not marked as live."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        if _marked(item).get("live"):
            return (yield)
        why = "--mellite-block-network; mark the test with mellite(live=True) to allow it"
        with _no_network(why, self._config):
            return (yield)
