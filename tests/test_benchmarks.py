"""The benchmarks run, and say what they measured; how fast anything is, is not a test."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree as ET

import attrs
import pytest

import mellite
from tests.benchmarks.__main__ import chosen
from tests.benchmarks.bench_process import installed
from tests.benchmarks.catalogue import BENCHMARKS
from tests.benchmarks.measure import Row, added, exponent, ratio
from tests.benchmarks.peers.compare import WORKS, Comparison, PeerFailed, environments, started
from tests.benchmarks.peers.environments import PEERS
from tests.benchmarks.plot import svg
from tests.benchmarks.run import Report
from tests.benchmarks.server import running, text
from tests.benchmarks.table import markdown, plain
from tests.pages import ROOT

HELD = Row("unary", "unary call", 0.75, "x", 1.0, 0.8, low=0.7, high=0.8, ours=180.0, floor=240.0, rounds=80)
MISSED = Row("memory", "a <long> stream", 602.0, "MB", 150.0)
SHOWN = Row("cold", "aiohttp", 174.0, "ms")


def made(*rows: Row) -> Report:
    """Make a report of some rows."""
    return Report(
        "2026-11-30T00:00:00+00:00", "CPython 3.11.7", "a machine", 2, (0.1, 0.2), "aiohttp 3", "abc", False, 9.0, rows
    )


@pytest.mark.slow
def test_command_runs(tmp_path: Path) -> None:
    """One benchmark runs with --quick; the JSON has the documented keys, and the exit code says whether bars hold."""
    path = tmp_path / "figures.json"
    command = [sys.executable, "-m", "tests.benchmarks", "--quick", "unary", "--json", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=120)
    figures = json.loads(path.read_text())
    assert set(figures) == {field.name for field in attrs.fields(Report)}
    (row,) = figures["rows"]
    assert set(row) == {*[field.name for field in attrs.fields(Row)], "ok"}
    page = (ROOT / "docs" / "performance.md").read_text()
    assert [key for key in (*figures, *row) if f"`{key}`" not in page] == []
    assert (row["benchmark"], row["what"], row["ok"]) == ("unary", "unary call", row["measured"] <= row["bar"])
    assert done.returncode == (0 if row["ok"] else 1), done.stderr
    assert figures["python"] in done.stdout.splitlines()[0]


def test_unknown_name_is_refused() -> None:
    """A name that does not exist is an error that lists those that do."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks", "unray"], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "unray" in done.stderr
    assert "unary, burst, paced" in done.stderr


def test_bar_is_missed_above_it() -> None:
    """A figure at its bar holds, one above it is missed, and one without a bar is not judged."""
    assert [attrs.evolve(HELD, measured=figure).is_missed for figure in (0.99, 1.0, 1.0001)] == [False, False, True]
    assert made(HELD, MISSED, SHOWN).missed == (MISSED,)
    assert [row["ok"] for row in made(HELD, MISSED, SHOWN).as_json()["rows"]] == [True, False, None]


def test_ratios_are_taken_within_a_round() -> None:
    """A machine that is slow for a round is slow for both clients of it."""
    row = ratio("unary", "call", [10, 100, 12], [20, 200, 20], bar=1.0)
    assert (row.measured, row.low, row.high, row.rounds) == (0.5, 0.5, 0.6, 3)
    assert added("record", "call", [15, 150], [10, 100], of=[20, 200], bar=1.0).measured == pytest.approx(0.25)
    assert added("sampling", "sample", [15, 25], [10, 20], bar=10).measured == pytest.approx(5)


def test_growth_is_an_exponent() -> None:
    """A linear total has the exponent 1, a quadratic one 2."""
    assert exponent({n: 3.0 * n for n in (10, 100, 1_000)}) == pytest.approx(1)
    assert exponent({n: 3.0 * n * n for n in (10, 100, 1_000)}) == pytest.approx(2)


def test_table_says_what_is_missed() -> None:
    """Each row tells its figure, its bar, and whether it holds."""
    heading, held, missed, shown = plain((HELD, MISSED, SHOWN)).splitlines()
    assert heading.split()[:3] == ["benchmark", "what", "measured"]
    assert " ".join(held.split()) == "unary unary call 0.75 x 0.7-0.8 1 0.8 180 us 240 us ok"
    assert missed.endswith("MISSED")
    assert shown.split()[-2:] == ["174", "ms"]
    assert len({line.count("|") for line in markdown((HELD, MISSED, SHOWN)).splitlines()}) == 1


def test_plot_is_drawn_of_what_has_a_bar() -> None:
    """The SVG is well-formed, has a bar for each judged row and the limit once, and leaves out what is not judged."""
    root = ET.fromstring(svg(made(HELD, MISSED, SHOWN)))
    texts = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "a <long> stream" in texts
    assert "aiohttp" not in texts
    assert len(list(root.iter("{http://www.w3.org/2000/svg}rect"))) == 1 + 2
    assert len(list(root.iter("{http://www.w3.org/2000/svg}line"))) == 1


def test_installed_is_counted() -> None:
    """What mellite needs without extras is counted, itself included."""
    distributions, megabytes = installed()
    assert distributions >= 6
    assert megabytes > 1


def test_peers_run_when_they_are_named() -> None:
    """Other clients are compared last, with the flag or by their name, and never by default."""
    assert chosen([], peers=False) == [*BENCHMARKS]
    assert chosen([], peers=True) == [*BENCHMARKS, "peers"]
    assert chosen(["unary"], peers=True) == ["unary", "peers"]
    assert chosen(["peers", "unary"], peers=False) == ["unary", "peers"]


def test_peers_have_pinned_versions() -> None:
    """Every other client has one version, which the table shows, and a program that asks with it."""
    assert all(re.fullmatch(r"[a-z-]+ [0-9.]+", peer.title) for peer in PEERS)
    assert [peer.name for peer in PEERS if find_spec(f"tests.benchmarks.peers.{peer.module}") is None] == []


def test_peer_that_cannot_be_installed_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without an environment a client is told to be absent; the floor and mellite go on."""
    in_the_way = tmp_path / "a file"
    in_the_way.touch()
    pythons, absent = environments(in_the_way, PEERS[:1])
    assert (set(pythons), absent) == ({"floor", "mellite"}, ["openai"])
    assert "openai: " in capsys.readouterr().err


def test_peer_that_fails_leaves_the_rounds() -> None:
    """The others go on, in as many rounds each, and the one that failed is named once."""

    def fails() -> float:
        raise PeerFailed("it ended")

    comparison = Comparison({})
    assert comparison.rounds(3, {"floor": lambda: 1.0, "a": fails, "b": lambda: 2.0}) == {
        "floor": [1.0] * 3,
        "b": [2.0] * 3,
    }
    assert comparison.failed == ["a"]
    with pytest.raises(PeerFailed):
        comparison.rounds(3, {"floor": fails, "b": lambda: 2.0})


def test_clients_take_turns() -> None:
    """A client does what it is told in a process of its own; one that does not start says why."""
    with running() as base:
        with started(Path(sys.executable), "ask_mellite", base) as client:
            for work in WORKS[:2]:
                spent, total = client.turn(work, 1)
                assert 0 < spent < total
            other = attrs.evolve(WORKS[0], said="something else")
            with pytest.raises(PeerFailed, match="the quick brown fox"):
                client.turn(other, 1)
        with started(Path(sys.executable), "ask_nobody", base) as client, pytest.raises(PeerFailed, match="ask_nobody"):
            client.turn(WORKS[0], 1)


def test_server_speaks_messages() -> None:
    """The server sends the same texts to clients of Anthropic Messages, whole and as a stream."""
    with running() as base:
        backend = mellite.backend("anthropic:m", base_url=base, api_key="x")
        assert str(backend.generate("Hi.", model="unary", stream=False).result()) == text(40)
        assert str(backend.generate("Hi.", model="burst-500").result()) == text(500)
