"""Which call of one cassette is which of another: by the copy of a thunk that asked, and by what differs least."""

from __future__ import annotations

import json
from pathlib import Path

import mellite
from mellite.cassettes import ScriptedTransport, use
from tests.archive.test_compare import changes, compared, several
from tests.cli.programs import chat_answer


def copies(path: Path, *calls: tuple[str, str, list[int]], overlap: bool = False) -> Path:
    """A cassette of calls by copies of thunks: prompt, answer, lineage."""
    several(path, *[(prompt, answer) for prompt, answer, _ in calls])
    document = json.loads(path.read_text())
    for number, (one, (_, _, lineage)) in enumerate(zip(document["interactions"], calls, strict=True)):
        started = f"2026-11-21T05:46:{number:02d}.000000Z"
        ended = 30_000_000 if overlap else 500_000
        one["mellite"] = {"started": started, "openedUs": 1, "endedUs": ended, "lineage": lineage}
    path.write_text(json.dumps(document))
    return path


def test_a_copy_is_compared_with_itself(tmp_path: Path) -> None:
    """Samples of one thunk are told apart by their lineage, in whatever order they were driven."""
    for overlap in (True, False):
        left = copies(tmp_path / "a.json", ("q", "x", [0]), ("q", "y", [1]), ("q", "z", [2]), overlap=overlap)
        right = copies(tmp_path / "b.json", ("q", "z", [2]), ("q", "y", [0]), ("q", "y", [1]), overlap=overlap)
        found = compared(left, right)
        assert sorted(changes(found)) == [("answer", "0", "1"), ("same", "1", "2"), ("same", "2", "0")], overlap


def test_changed_samples_stay_with_their_copy(tmp_path: Path) -> None:
    """If the prompt of all samples changed, each is compared with the sample of the same copy."""
    left = copies(tmp_path / "a.json", ("q", "x", [0]), ("q", "y", [1]), ("q", "z", [2]), overlap=True)
    right = copies(tmp_path / "b.json", ("Q", "z", [2]), ("Q", "x", [0]), ("Q", "y", [1]), overlap=True)
    assert changes(compared(left, right)) == [("request", "0", "1"), ("request", "1", "2"), ("request", "2", "0")]
    assert all(not pair.answer for pair in compared(left, right).pairs)


def test_a_changed_request_is_one_change(tmp_path: Path) -> None:
    """Beside a call that was added or lost, a changed request is paired with the one that it differs least from."""
    left = several(tmp_path / "a.json", ("one", "1"), ("two", "2"), ("three", "3"))
    document = json.loads(several(tmp_path / "b.json", ("new", "0"), ("two!", "2"), ("three", "3")).read_text())
    first = document["interactions"][0]
    body = json.loads(first["request"]["body"])
    first["request"]["body"] = json.dumps({**body, "model": "other", "temperature": 0, "seed": 1, "top_p": 1})
    document["interactions"].insert(0, json.loads(left.read_text())["interactions"][0])
    (tmp_path / "b.json").write_text(json.dumps(document))
    assert changes(compared(left, tmp_path / "b.json")) == [
        ("same", "0", "0"),
        ("added", None, "1"),
        ("request", "1", "2"),
        ("same", "2", "3"),
    ]
    assert [change for change, _, _ in changes(compared(tmp_path / "b.json", left))] == [
        "same",
        "removed",
        "request",
        "same",
    ]


def test_recorded_copies(tmp_path: Path) -> None:
    """Recordings by mellite say which copy asked: a thunk and its resample are found again."""
    for name, answers in {"a": ["x", "y"], "b": ["x", "other"]}.items():
        live = ScriptedTransport([chat_answer(each) for each in answers])
        with use(tmp_path / f"{name}.json", mode="rewrite", live=live) as transport:
            thunk = mellite.backend("openai-chat:gpt-4o-mini", api_key="k", transport=transport).generate("q")
            for each in (thunk, *thunk.resample(1)):
                each.result()
    found = compared(tmp_path / "a.json", tmp_path / "b.json")
    assert [pair.change for pair in found.pairs] == ["same", "answer"]
    one, other = [pair.left and pair.left.lineage for pair in found.pairs]
    assert one == ()
    assert other not in ((), None)
