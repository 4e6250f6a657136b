"""Cassettes of tests: kept only if all went well, shared by several, replayed in the way they were recorded."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from mellite.cassettes import Cassette, CassetteWriter, ReplayTransport, ScriptedTransport, load_cassette
from mellite.cassettes.for_pytest import CassetteOfTest, HeldRecording, cassette_of_test
from mellite.cassettes.secrets.scan import SecretScan
from mellite.errors import CassetteError, CassetteMismatch, CassetteMiss, InvalidCassette, UnsafeCassette
from mellite.wire.transports.default import standing_in
from tests.cassettes.replaying.test_claims import answer, asked, pair

pytestmark = pytest.mark.anyio


def content(path: Path) -> bytes | None:
    """What is in a file; None if there is none."""
    return path.read_bytes() if path.exists() else None


def names_in(folder: Path) -> list[str]:
    """The files in a folder."""
    return sorted(entry.name for entry in folder.iterdir())


def opened(path: Path, mode: Any, part: str | None = None, **replaying: Any) -> CassetteOfTest:
    return cassette_of_test(str(path), mode, part=part, metadata={}, **replaying)


async def record(path: Path, mode: Any, part: str | None, **answers: str) -> CassetteOfTest:
    """Ask these questions of a model that gives these answers, as a test of this name."""
    live = ScriptedTransport([*answers.values()])
    cassette = opened(path, mode, part)
    for question, expected in answers.items():
        assert await answer(cassette.over(lambda: live), asked(f'"{question}"')) == expected  # type: ignore[arg-type]
    cassette.finish()
    return cassette


async def replay(path: Path, part: str | None, *questions: str, mode: Any = "none") -> list[str]:
    cassette = opened(path, mode, part)
    return [await answer(cassette, asked(f'"{question}"')) for question in questions]  # type: ignore[arg-type]


def parts_of(path: Path) -> list[tuple[str, str]]:
    """Whose each interaction is, and its answer."""
    return [(one.extra["mellite"].get("test"), one.response.body.text) for one in load_cassette(path).http]


# --- kept or not ----------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["rewrite", "all", "new_episodes", "once"])
async def test_nothing_is_written_before_it_has_ended_well(tmp_path: Path, mode: Any) -> None:
    """What was there stays as it was until the end of the recording, and for good where that went wrong."""
    path = tmp_path / "case.json"
    if mode != "once":
        await record(path, "all", None, old="1")
    before = content(path)
    live = ScriptedTransport(["2"])
    cassette = opened(path, mode)
    with standing_in(lambda own: cassette.over(lambda: live)):
        assert await answer(cassette.over(lambda: live), asked('"new"')) == "2"  # type: ignore[arg-type]
        assert content(path) == before
    cassette.abandon()
    cassette.finish()
    assert content(path) == before
    assert names_in(tmp_path) == ([] if before is None else ["case.json"])


async def test_what_cannot_be_written_is_told_before_anything_is_sent(tmp_path: Path) -> None:
    """A damaged cassette, or a place where there can be none: nothing is sent, and nothing changed."""
    live = ScriptedTransport(["never"])
    (tmp_path / "damaged.json").write_text("{")
    (tmp_path / "file").write_text("")
    for path, kind in ((tmp_path / "damaged.json", InvalidCassette), (tmp_path / "file" / "case.json", CassetteError)):
        with pytest.raises(kind):
            await opened(path, "all").over(lambda: live).open(asked('"q"'))
    assert live.requests == []
    assert (tmp_path / "damaged.json").read_text() == "{"


async def test_a_secret_is_found_at_once_and_nothing_is_kept(tmp_path: Path) -> None:
    """An interaction that holds one is refused when it comes; the end of the recording says so."""
    live = ScriptedTransport(["fine", "ghp_" + "Ab3" * 12])
    cassette = opened(tmp_path / "case.json", "rewrite")
    for question in ("a", "b"):
        await answer(cassette.over(lambda: live), asked(f'"{question}"'))  # type: ignore[arg-type]
    assert cassette.recorder is not None
    assert len(cassette.recorder.problems) == 1
    with pytest.raises(UnsafeCassette):
        cassette.finish()
    assert names_in(tmp_path) == []


# --- shared ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["rewrite", "all", "new_episodes", "once"])
async def test_each_test_has_its_part(tmp_path: Path, mode: Any) -> None:
    """Tests that share a file replay what they recorded themselves, in any order of the tests, also equal requests."""
    path = tmp_path / "shared.json"
    for part in ("a", "b", "c"):
        await record(path, mode, part, **{part: f"of {part}", part * 2: f"again of {part}"})
    for part in ("c", "a", "b"):
        assert await replay(path, part, part, part * 2) == [f"of {part}", f"again of {part}"]
        with pytest.raises(CassetteMismatch, match=rf"the part of '{part}'(.|\n)*match='pool'"):
            await replay(path, part, part * 2)


async def test_equal_requests_of_several_tests(tmp_path: Path) -> None:
    """A test is never given what another one was answered, where it was answered itself."""
    path = tmp_path / "shared.json"
    for part in ("a", "b"):
        await record(path, "rewrite", part, q=f"of {part}")
    assert [await replay(path, part, "q") for part in ("b", "a")] == [["of b"], ["of a"]]


async def test_what_another_test_recorded(tmp_path: Path) -> None:
    """A test that asks what others have asked need not be recorded itself; nothing of theirs has to be used."""
    path = tmp_path / "shared.json"
    await record(path, "once", "a", p="1", q="2")
    assert (await record(path, "new_episodes", "b", r="3")).used == 0
    assert await replay(path, "never recorded", "q", "r", "p") == ["2", "3", "1"]
    assert await replay(path, "b", "r", "p") == ["3", "1"]
    unused = opened(path, "none", "never recorded")
    assert unused.unused == ()
    unused.check_used()
    assert [one.response.body.text for one in opened(path, "none", "a").unused] == ["1", "2"]
    with pytest.raises(CassetteMiss, match="none of its 3 interactions fits"):
        await replay(path, "never recorded", "s")


async def test_a_part_is_replaced_where_it_stood(tmp_path: Path) -> None:
    """Recording one test anew leaves the others alone; what nobody's name stands on goes."""
    path = tmp_path / "shared.json"
    with CassetteWriter.open(path) as writer:
        writer.append(pair('"old"', "nobody's"))
    assert await replay(path, "a", "old") == ["nobody's"]
    for part in ("a", "b", "c"):
        await record(path, "rewrite", part, q=f"1 {part}", r=f"2 {part}")
    await record(path, "rewrite", "b", r="new", s="new too", t="new as well")
    rest = [[(part, f"{number} {part}") for number in (1, 2)] for part in ("a", "c")]
    assert parts_of(path) == [*rest[0], ("b", "new"), ("b", "new too"), ("b", "new as well"), *rest[1]]


def test_many_at_once(tmp_path: Path) -> None:
    """However many write their parts of one file at once, none is lost, and nothing else is left."""
    path = tmp_path / "shared.json"
    names = [f"test {number}" for number in range(12)]

    def write(name: str) -> None:
        held = HeldRecording(str(path), "rewrite", part=name, metadata={}, scan=SecretScan({}))
        held.append(pair(f'"{name}"', name, [0]))
        held.finish()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(write, names))
    assert sorted(part for part, _ in parts_of(path)) == sorted(names)
    assert names_in(tmp_path) == ["shared.json"]


# --- how it is replayed ---------------------------------------------------------------------------


def at(question: str, started: int, ended: int) -> Any:
    """An interaction that ran from one second to another."""
    one = pair(f'"{question}"', question, [0])
    said = {"started": f"2026-11-21T06:00:{started:02}Z", "endedUs": (ended - started) * 1_000_000}
    return evolve(one, extra={"mellite": said})


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([(0, 1), (1, 2), (5, 6)], "cursor"),
        ([(0, 1), (1, 4), (3, 5)], "pool"),
        ([(0, 9), (1, 2), (3, 4)], "pool"),
        ([(3, 4), (0, 2)], "cursor"),
        ([], "cursor"),
    ],
)
async def test_how_it_was_recorded_says_how_to_replay(spans: list[tuple[int, int]], expected: str) -> None:
    """Where requests overlapped, their order does not count; elsewhere it does, unless somebody says otherwise."""
    cassette = Cassette(tuple([at(str(number), *span) for number, span in enumerate(spans)]))
    assert ReplayTransport(cassette, match=None).match == expected
    assert ReplayTransport(cassette, match="keyed").match == "keyed"
    assert ReplayTransport(cassette).match == "cursor"
    if expected == "pool":
        transport = ReplayTransport(cassette, match=None)
        assert [await answer(transport, asked(f'"{number}"')) for number in (2, 0, 1)] == ["2", "0", "1"]


async def test_what_others_recorded_has_no_times() -> None:
    """A cassette of another tool is replayed in its order."""
    cassette = Cassette((pair("1", "a"), pair("2", "b")))
    assert ReplayTransport(cassette, match=None).match == "cursor"
