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
import os
import shlex
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, cast

import pytest

if TYPE_CHECKING:
    from .backends.conformance import (
        check_backend as check_backend,  # noqa: PLC0414 - for type checkers it is here
        check_protocol as check_protocol,  # noqa: PLC0414
    )
    from .backends.fake import Answer, Answerer, Scripted
    from .cassettes.for_pytest import CassetteOfTest
    from .cassettes.naming import Place
    from .cassettes.opening import CassetteTransport
    from .cassettes.run_of_tests import RunOfTests
    from .server.running import RunningServer

__all__ = ["UnusedInteractions"]

_MODES: Final = ("none", "once", "new_episodes", "all", "rewrite")

_ADVICE: Final = "to record it, run pytest with --mellite-record"

#: The outcomes of setup and call of the running attempt, by phase, as pytest and all other plugins see them.
_outcomes: Final = pytest.StashKey[dict[str, str]]()
_has_cassette: Final = pytest.StashKey[bool]()

#: The cassette of a test whose recording is written when all fixtures have been torn down, if none of them failed.
_held: Final = pytest.StashKey["CassetteOfTest"]()

#: The test whose fixture ``cassette`` is set up next. An argument ``request`` would cost as much as reading a cassette:
#: pytest makes a fixture of it three times for each test.
_asking: Final[list[pytest.Item]] = []

#: Of the run: what holds for all its tests. Of a module or class: where the cassettes of its tests are, and which of
#: the names in it would have one file with another one.
_run: Final = pytest.StashKey["RunOfTests"]()
_chosen: Final = pytest.StashKey[Mapping[str, str]]()
_place: Final = pytest.StashKey["Place"]()
_alike: Final = pytest.StashKey[frozenset[str]]()

#: What the name of a cassette may lack of a test's.
_NOT_KEPT: Final = str.maketrans("", "", "[]-.")

_stays_here: Callable[[object], bool] | None = None  # whether a host is this machine; None: the guard's own rule
#: What was refused in the running test. Libraries replace our message by one of their own, so it is shown apart.
_refused: Final[list[str]] = []
#: The requests of the running test and its fixtures that differ from what is recorded, as JSON.
_stale: Final[list[dict[str, Any]]] = []


class UnusedInteractions(pytest.PytestWarning):
    """A test has passed without using all interactions of its cassette."""


def __getattr__(name: str) -> object:
    # These names are not in __all__ or dir(): pytest reads every name there, which would load half of mellite.
    if name in ("check_backend", "check_protocol"):
        from .backends import conformance

        return getattr(conformance, name)
    raise AttributeError(f"module 'mellite.pytest_plugin' has no attribute {name!r}")  # noqa: EM102 - as usual


# --- options --------------------------------------------------------------------------------------


class _Spelled(argparse.Action):
    """A flag that is written alone or with a value, as ``--mellite-record`` and ``--mellite-record=MODE``.

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
        action=_Spelled,
        nargs=0,
        default=None,
        dest="mellite_record",
        help="record cassettes: rewrite (what the flag alone means), once, new_episodes, all, none; or stale: only the "
        "requests that differ from what is recorded",
    )
    group.addoption(
        "--mellite-stale",
        *_spellings(pluginmanager),
        action=_Spelled,
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
    """Add the marker, and the network guard if it was asked for. Flags that contradict each other are refused."""
    config.addinivalue_line(
        "markers",
        "mellite(path=None, mode=None, match=None, requires=(), tags=(), unused='warn', live=False, install=True, "
        "clients=(), ...): "
        "how the test's `cassette` is recorded and replayed; see mellite.pytest_plugin",
    )
    config.stash[_chosen] = {name: value for name, value in os.environ.items() if name.startswith("RECORDED_")}
    asked, blocks = _asked(config), config.getoption("mellite_block_network")
    report = config.getoption("mellite_stale")
    if asked not in (None, "none"):
        from .cassettes.modes import why_not

        if msg := why_not(asked, os.environ, blocks=bool(blocks), only_reports=report is not None):
            raise pytest.UsageError(msg)
    if report is not None and not hasattr(config, "workerinput"):  # processes of pytest-xdist send their reports on
        from .archive.stale import StaleReport

        config.pluginmanager.register(StaleReport(report, str(config.rootpath)), "mellite-stale")
    if blocks:
        config.pluginmanager.register(_Blocking(config), "mellite-block-network")


def _asked(config: pytest.Config) -> str | None:
    """Return the mode that a flag asks for."""
    own = config.getoption("mellite_record")
    if own is not None:
        return cast("str", own).replace("-", "_") or "rewrite"
    other = config.getoption("record_mode", default=None)
    return other if other in _MODES else None


# --- fixtures -------------------------------------------------------------------------------------


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[object], request: pytest.FixtureRequest) -> None:
    """Remember which test asks for its cassette."""
    if fixturedef.argname == "cassette":
        _asking[:] = (request.node,)


@pytest.fixture
def cassette() -> Iterator[CassetteTransport]:
    """Send the requests of all backends without a transport of their own through a cassette of the test.

    This holds from the beginning of the test to its end, in all threads, and for backends that were made before. With
    ``@pytest.mark.mellite(install=False)`` only backends that are given the cassette use it:
    ``mellite.backend(..., transport=cassette)``. With ``clients="all"``, or names of some, the requests of other
    people's clients go through the cassette as well, see `mellite.cassettes.patch`.

    The cassette is replayed, or recorded if ``--mellite-record``, the marker or the environment says so. While it is
    only replayed, no call leaves this machine and no key is needed. A recording is kept if the test passes, and all its
    fixtures are set up and torn down without an error. If nothing was recorded, the test fails.
    """
    item = _asking.pop()
    given = _marked(item)
    item.stash[_has_cassette] = True
    transport = _opened(item, given, _run_of(item.config))
    failed_before = item.session.testsfailed
    with _used(transport, given, item.config):
        yield transport
    _note_stale(transport, item.nodeid)
    if not _has_passed(item) or item.session.testsfailed > failed_before:
        transport.abandon()
    elif transport.recorder is None:
        _look_at_use(transport, given.get("unused", "warn"))
    else:
        item.stash[_held] = transport


@pytest.fixture(scope="session")
def cassette_factory(request: pytest.FixtureRequest) -> Callable[..., AbstractContextManager[CassetteTransport]]:
    """Make cassettes for fixtures of classes, modules and the session, where there is no test to name one after.

        @pytest.fixture(scope="module")
        def summary(cassette_factory):
            with cassette_factory("summary.json"):
                return my_program.summarise("a long text")

    What the block asks goes through the cassette; there is one at a time. A relative path is in ``mellite_cassettes``,
    or ``cassettes`` in the root of the tests. The other arguments are the marker's. A good end keeps the recording.
    """
    config = request.config
    folder = os.path.join(config.rootpath, config.getini("mellite_cassettes") or "cassettes")

    @contextmanager
    def made(path: str | os.PathLike[str], **given: Any) -> Generator[CassetteTransport]:
        run, test = _run_of(config), os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
        given = run.arguments("cassette_factory", given)
        transport = _open(run, os.path.join(folder, path), None, given, test)
        with transport, _used(transport, given, config):
            yield transport
        _look_at_use(transport, given.get("unused", "warn"))
        _note_stale(transport, test)

    return made


def _look_at_use(transport: CassetteOfTest, how: str) -> None:
    """Fail if nothing was recorded; warn or fail, as the marker says, if not all was asked for."""
    if transport.recorder is not None:
        if text := transport.nothing:
            pytest.fail(text, pytrace=False)
    elif how != "ignore" and (text := transport.idle):
        if how == "error":
            pytest.fail(f"{text}; record it anew if the program asks less now", pytrace=False)
        warnings.warn(UnusedInteractions(text), stacklevel=2)


def _note_stale(transport: CassetteOfTest, test: str) -> None:
    """Note the requests that differ from what is recorded, for the report of the running test."""
    if substitutes := transport.substitutes:
        from .archive.stale import stale_calls

        _stale.extend(stale_calls(test, transport.path, substitutes))


def _run_of(config: pytest.Config) -> RunOfTests:
    """Return what holds for all tests of this run."""
    run = config.stash.get(_run, None)
    if run is None:
        from .cassettes.run_of_tests import RunOfTests

        run = config.stash[_run] = RunOfTests(
            asked=_asked(config),
            reports=config.getoption("mellite_stale") is not None,
            chosen=config.stash[_chosen],
            environment=os.environ,
        )
    return run


@contextmanager
def _used(transport: CassetteOfTest, given: Mapping[str, Any], config: pytest.Config) -> Generator[None]:
    """Let requests go through the cassette and, where it only replays, to no other machine."""
    with ExitStack() as stack:
        if transport.offline and not given.get("live"):
            stack.enter_context(_no_network(f"it replays a cassette; {_ADVICE}", config))
        if given.get("install", True):
            from .wire.transports.default import standing_in

            stack.enter_context(standing_in(transport.over))
        if given.get("clients"):
            from .cassettes.clients.patching import catching

            stack.enter_context(catching(transport, given["clients"]))
        yield


def _no_network(why: str, config: pytest.Config) -> AbstractContextManager[None]:
    from .loops.no_network import no_network

    return no_network(why, config.getini("mellite_allowed_hosts"), _refused, _stays_here)


def _opened(item: pytest.Item, given: Mapping[str, Any], run: RunOfTests) -> CassetteOfTest:
    """Open the cassette of a test in the mode that was asked for, or skip the test."""
    place = _place_of(item.parent)
    parameters = _parameters(item)
    shared = given.get("path")
    path = place.path(item.name, parameters) if shared is None else os.path.join(place.folder, os.fspath(shared))
    if not run.has(path, item.name, given.get("tags", ())):
        pytest.skip("left out by RECORDED_PREFIX, RECORDED_PROVIDER, RECORDED_TAGS or RECORDED_TEST")
    return _open(run, path, None if shared is None else place.part(item.name, parameters), given, item.nodeid)


def _open(run: RunOfTests, path: str, part: str | None, given: Mapping[str, Any], test: str) -> CassetteOfTest:
    from .values.errors import CassetteMiss, MelliteError

    transport: CassetteOfTest | None = None
    problem = ""
    try:
        transport = run.opened(path, part, given)
    except MelliteError as error:
        problem = f"{type(error).__name__}: {error}"
        if run.stale == "report" and isinstance(error, CassetteMiss):
            from .archive.stale import missing_cassette

            _stale.append(missing_cassette(test, path))
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
    run = _run_of(node.config)
    for mark in node.iter_markers("mellite"):
        try:
            given = {**run.arguments(f"{node.nodeid}: the marker mellite", mark.kwargs, *mark.args), **given}
        except TypeError as error:
            raise pytest.UsageError(str(error)) from None
    return given


def _parameters(node: pytest.Item | pytest.Collector) -> Mapping[str, Any]:
    found: Mapping[str, Any] = getattr(getattr(node, "callspec", None), "params", {})
    return found


def _place_of(collector: Any) -> Place:
    """Return where the cassettes of the tests of a module or class are."""
    place: Place | None = collector.stash.get(_place, None)
    if place is None:
        from .cassettes.naming import Place

        chosen, root, path = collector.config.getini("mellite_cassettes"), collector.config.rootpath, collector.path
        is_below = chosen and path.is_relative_to(root)  # files of one name in different folders are told apart then
        around = [pair for pair in pairwise(collector.listchain()) if isinstance(pair[1], pytest.Class)]
        place = collector.stash[_place] = Place(
            str(root / chosen if chosen else path.parent / "cassettes"),
            path.relative_to(root).as_posix() if is_below else path.name,
            owner="".join([f"{one.name}." for _, one in around]),
            alike=collector.stash.get(_alike, frozenset()),
            is_alike=any(one.name in above.stash.get(_alike, ()) for above, one in around),
        )
    return place


# What is collected, and not what is left of it to run: the name of a cassette does not depend on that.
@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Note which names in a module or class would have one file with another one."""
    report = yield
    names = {one.name for one in report.result or ()} if isinstance(collector, (pytest.Module, pytest.Class)) else ()
    if len({name.lower().translate(_NOT_KEPT) for name in names}) < len(names):  # it may be so: look at them closely
        from .cassettes.naming import alike

        collector.stash[_alike] = alike((one.name, _parameters(one)) for one in report.result)
    return report


# --- how a test went ------------------------------------------------------------------------------


# First, around all other plugins: one that runs a failed test again changes the outcome in the report.
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember the outcome of each phase. In the report of a failure hide mellite's frames and add what was refused."""
    if call.when == "teardown" and (held := item.stash.get(_held, None)) is not None:
        del item.stash[_held]
        _keep(held, call)
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
    if call.when == "teardown" and _stale:
        vars(report)["mellite_stale"] = list(_stale)  # which pytest-xdist sends on to where the report is written
        _stale.clear()
    return report


def _keep(held: CassetteOfTest, call: pytest.CallInfo[None]) -> None:
    """Write the recording of a test, unless a fixture failed when it was torn down. What goes wrong fails the test."""
    try:
        if call.excinfo is None:
            held.finish()
            _look_at_use(held, "ignore")
        else:
            held.abandon()
    except (Exception, pytest.fail.Exception):  # reported as if a fixture had raised it
        call.excinfo = pytest.ExceptionInfo.from_current()


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
