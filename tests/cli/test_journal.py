"""`mellite journal`: look into journals, and decide what came of what nobody knows."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import mellite
from tests.archive.journal.support import Counting
from tests.archive.journal.test_tool_calls import died, program
from tests.cli.programs import invoked


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a journal whose process died when it had paid, and another one with a fork."""
    died(tmp_path / "dead")
    backend = Counting()
    with mellite.journal(tmp_path / "chats"):
        backend.generate("one", system="Be brief.").result()
        backend.generate("two").result()
    with mellite.journal(tmp_path / "chats", fork_at=2):
        backend.generate("one", system="Be brief.").result()
    return tmp_path


def test_list_and_tree(folder: Path) -> None:
    """Every journal with its calls, and which is a fork of which."""
    listed = {os.path.basename(row["path"]): row for row in invoked("journal", "ls", str(folder), "--json").rows}
    assert {name: (row["calls"], row["unsettled"], row["interrupted"]) for name, row in listed.items()} == {
        "chats": (2, 0, 0),
        "chats-fork-1": (1, 0, 0),
        "dead": (3, 1, 1),
    }
    assert len(invoked("journal", "ls", str(folder)).out.splitlines()) == 3
    tree = invoked("journal", "tree", str(folder)).out.splitlines()
    assert tree[0].endswith("chats: 2 calls")
    assert tree[1].startswith("  ")
    assert tree[1].endswith("chats-fork-1: 1 call from call 2 on")
    forks = {
        os.path.basename(row["path"]): row["fork_at"] for row in invoked("journal", "tree", str(folder), "--json").rows
    }
    assert forks == {"chats": None, "chats-fork-1": 2, "dead": None}


def test_show_calls(folder: Path) -> None:
    """One line for each; of one call everything, with its prompt and its answer."""
    lines = invoked("journal", "show", str(folder / "chats")).out.splitlines()
    assert [line[:2].strip() for line in lines] == ["1", "2"]
    assert "'ONE 1'" in lines[0]
    whole = invoked("journal", "show", str(folder / "chats"), "1").out
    assert "Be brief." in whole
    assert "user:\n    one" in whole
    assert "answer:\n    ONE 1" in whole
    (row,) = invoked("journal", "show", str(folder / "chats"), "2", "--json").rows
    assert (row["call"], row["text"], row["state"]) == (2, "TWO 1", "done")
    assert row["request"]["messages"][0]["content"] == [{"type": "text", "text": "two"}]
    tools = invoked("journal", "show", str(folder / "dead"), "--body", "--json").rows
    assert [(row["kind"], row["name"], row["state"]) for row in tools] == [
        ("call", "ByStep", "done"),
        ("tool", "look", "done"),
        ("tool", "pay", "unsettled"),
    ]
    assert invoked("journal", "show", str(folder / "chats"), "9").code == 2
    assert "is not a journal" in invoked("journal", "show", str(folder)).err


def test_resume_info_and_resolve(folder: Path) -> None:
    """What replays and what waits; a decision that the program goes on with when it is started again."""
    path = str(folder / "dead")
    (info,) = invoked("journal", "resume-info", path, "--json").rows
    assert (info["replays"], info["anew"]) == (2, [])
    (waiting,) = info["interrupted"]
    assert (waiting["tool"], waiting["arguments"]) == ("pay", {"amount": 5})
    assert f"call {waiting['call_id']} waits: pay" in invoked("journal", "resume-info", path).out
    number = str(waiting["call_id"])
    for wrong in ((), ("--result", "1", "--again"), ("--result", "paid")):
        assert invoked("journal", "resolve", path, number, *wrong).code == 2
    assert "no call '77'" in invoked("journal", "resolve", path, "77", "--again").err
    with mellite.journal(path):
        assert "open already" in invoked("journal", "resolve", path, number, "--again").err
    assert invoked("journal", "resolve", path, number, "--result", '"seen"').out == f"call {number} has its result\n"
    ended, till, _ = program(folder / "dead")
    assert (ended.value, ended.steps[0].values, till.ran) == ("done", ({"seen": 5}, "seen"), [])


def test_resolve_by_running_it_again(folder: Path) -> None:
    """It had not been done: the tool runs once more."""
    path = folder / "dead"
    (waiting,) = invoked("journal", "resume-info", str(path), "--json").rows[0]["interrupted"]
    done = invoked("journal", "resolve", str(path), str(waiting["call_id"]), "--again", "--json")
    assert done.json == {"call_id": waiting["call_id"], "again": True, "result": None}
    ended, till, journal = program(path)
    assert (ended.value, till.ran, journal.interrupted) == ("done", [("pay", 5)], ())


def test_diff(tmp_path: Path) -> None:
    """Two journals call by call: the first that diverges, answers that changed, and the check for CI."""
    for name, prompts in {"a": ("one", "two"), "b": ("one", "two!", "three")}.items():
        backend = Counting()
        with mellite.journal(tmp_path / name):
            for prompt in prompts:
                backend.generate(prompt).result()
    left, right = str(tmp_path / "a"), str(tmp_path / "b")
    same = invoked("journal", "diff", left, left)
    assert (same.code, same.out) == (0, "the same: 2 calls\n")
    ran = invoked("journal", "diff", left, right)
    assert ran.code == 1
    assert ran.out.startswith("the first request that differs: call 2: two\n")
    assert 'expected "two", received "two!"' in ran.out
    for kind, code in {"request": 1, "calls": 1, "answer": 1}.items():
        assert invoked("journal", "diff", left, right, "--fail-on", kind).code == code, kind
    *pairs, total = invoked("journal", "diff", left, right, "--json").rows
    assert [pair["change"] for pair in pairs] == ["request", "added"]
    assert total["counts"] == {"same": 1, "answer": 0, "request": 1, "removed": 0, "added": 1}
    for other in (tmp_path, tmp_path / "none"):  # 1 would say that they differ
        ran = invoked("journal", "diff", left, str(other))
        assert (ran.code, "is not a journal" in ran.err) == (2, True)


def test_diff_of_tools(tmp_path: Path) -> None:
    """Calls of tools are compared by their arguments and by what they gave."""
    found: list[int] = []

    @mellite.recorded(name="rate")
    def rate_of(currency: str) -> int:
        return found[-1] if currency == "EUR" else 0

    for name, rate in {"a": 1, "b": 2}.items():
        found.append(rate)
        with mellite.journal(tmp_path / name):
            rate_of("EUR")
            rate_of("USD")
    ran = invoked("journal", "diff", str(tmp_path / "a"), str(tmp_path / "b"), "--fail-on", "answer")
    assert (ran.code, ran.out.splitlines()[0].split("\t")) == (1, ["1", "answer", "text", "1", "2"])


def test_a_folder_without_journals(tmp_path: Path) -> None:
    """Nothing is listed, and that is said; a folder that is not there is refused."""
    ran = invoked("journal", "ls", str(tmp_path))
    assert (ran.code, ran.out, ran.err) == (0, "", f"mellite: there are no journals below {str(tmp_path)!r}\n")
    for command in ("ls", "tree"):
        ran = invoked("journal", command, str(tmp_path / "nowhere"))
        assert (ran.code, "does not exist" in ran.err) == (2, True)


def test_resume_info_says_when_the_last_call_began(folder: Path) -> None:
    """In the form of all times in JSON."""
    path = str(folder / "chats")
    last = invoked("journal", "resume-info", path, "--json").json["last"]
    assert last == invoked("journal", "show", path, "--json").rows[-1]["started_at"]


def test_resolve_takes_one_decision(folder: Path) -> None:
    """Neither none nor both."""
    for words in ([], ["--again", "--result", "1"]):
        ran = invoked("journal", "resolve", str(folder / "dead"), "3", *words)
        assert (ran.code, "either --result JSON or --again" in ran.err) == (2, True)
