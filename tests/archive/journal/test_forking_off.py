"""Forks of a journal: what is before a point replays, what is after it is asked anew, and what ran once stays run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import mellite
from mellite.archive.journal.records import read_journal
from mellite.errors import InvalidJournal, InvalidRequest
from tests.archive.journal.support import ByStep, Counting
from tests.archive.journal.test_tool_calls import Till, asks


def ask(journal: mellite.Journal, *names: str) -> tuple[list[str], mellite.Journal]:
    """Ask one call after another in a journal; what came."""
    backend = Counting()
    with journal:
        return [backend.generate(name).result() for name in names], journal


def run_in(journal: mellite.Journal, till: Till) -> mellite.Run[str]:
    """Take three steps with tools in a journal."""
    backend = ByStep(asks("look", amount=1), asks("look", "pay", amount=2), "done")
    with journal:
        run = mellite.run(backend, mellite.Message("user", "Go.", id="the-question"), tools=till.tools)
        run.result()
    return run


def test_a_fork_by_the_number_of_a_call(tmp_path: Path) -> None:
    """Call 2 itself is asked anew; the parent stays as it was, and the fork goes on by itself."""
    path = tmp_path / "run"
    ask(mellite.journal(path), "a", "b", "c")
    before = (path / "records").read_bytes()
    texts, fork = ask(mellite.journal(path, fork_at=2), "a", "B?", "c")
    assert (texts, fork.replayed, fork.live) == (["A 1", "B? 1", "C 1"], 1, 2)
    assert (fork.path, fork.parent) == (f"{path}-fork-1", str(path))
    assert fork.divergence is None
    assert (path / "records").read_bytes() == before
    _, again = ask(mellite.journal(fork.path), "a", "B?", "c")
    assert (again.replayed, again.live, again.parent) == (3, 0, str(path))
    _, second = ask(mellite.journal(path, fork_at=4), "a", "b", "c", "d")
    assert (second.path, second.replayed, second.live) == (f"{path}-fork-2", 3, 1)


def test_a_fork_into_a_directory_goes_on(tmp_path: Path) -> None:
    """Started again, the same program goes on in the same fork; another point is refused there."""
    path, into = tmp_path / "run", tmp_path / "other"
    ask(mellite.journal(path), "a", "b")
    for replayed in (1, 2):
        _, fork = ask(mellite.journal(path, fork_at=2, into=into), "a", "new")
        assert (fork.path, fork.replayed) == (str(into), replayed)
    with pytest.raises(InvalidRequest, match="is not a fork"), mellite.journal(path, fork_at=1, into=into):
        pass
    assert sorted(each.name for each in tmp_path.iterdir()) == ["other", "run"]
    (tmp_path / "third.making").mkdir()
    (tmp_path / "third.making" / "records").write_bytes(b"of a process that died while it made a fork")
    _, fork = ask(mellite.journal(path, fork_at=2, into=tmp_path / "third"), "a", "new")
    assert fork.replayed == 1


def test_a_fork_by_step_by_message_and_by_time(tmp_path: Path) -> None:
    """The step of the run, the message that is asked with first, and the moment lead to a call each."""
    path = tmp_path / "run"
    run_in(mellite.journal(path), Till())
    numbers = {call.step: call.number for call in read_journal(path).calls if call.kind == "call"}
    for point, number in (
        ("run:2", numbers[2]),
        ("message:the-question", 1),
        ("message:1", 1),
        ("message:2", numbers[2]),
        (datetime.now(UTC) + timedelta(days=1), 7),
        (datetime(2000, 1, 1, tzinfo=UTC), 1),
    ):
        with mellite.journal(path, fork_at=point) as fork:
            assert max((call.number for call in fork.calls), default=0) == number - 1


@pytest.mark.parametrize(
    ("point", "why"),
    [
        (0, "numbers 1 to 2"),
        (9, "numbers 1 to 2"),
        ("run:1", "no run in it"),
        ("message:x", "no message"),
        ("later", "is the number"),
        (datetime(2026, 1, 1), "zone"),  # noqa: DTZ001 - that is what is wrong with it
    ],
)
def test_a_point_that_is_none(tmp_path: Path, point: int | str | datetime, why: str) -> None:
    """The error says which there are, and nothing is made."""
    path = tmp_path / "run"
    ask(mellite.journal(path), "a", "b")
    with pytest.raises(InvalidRequest, match=why), mellite.journal(path, fork_at=point):
        pass
    assert [each.name for each in tmp_path.iterdir()] == ["run"]


def test_a_fork_of_nothing(tmp_path: Path) -> None:
    """Only a journal has forks; a directory for one needs a point."""
    with pytest.raises(InvalidJournal, match="is not a journal"), mellite.journal(tmp_path / "none", fork_at=1):
        pass
    with pytest.raises(InvalidRequest, match="fork_at"):
        mellite.journal(tmp_path, into=tmp_path / "x")


def test_a_fork_defers_what_its_parent_ran_once(tmp_path: Path) -> None:
    """Before the point it replays; after it nobody runs it again, until somebody says what is to become of it."""
    path = tmp_path / "run"
    run_in(mellite.journal(path), Till())
    till = Till()
    fork = mellite.journal(path, fork_at="run:2", into=tmp_path / "fork")
    run = run_in(fork, till)
    assert (run.stop_reason, till.ran) == ("pending", [("look", 2)])
    assert [call.name for call in run.pending_calls] == ["pay"]
    (interrupted,) = fork.interrupted
    assert (interrupted.tool, interrupted.arguments) == ("pay", {"amount": 2})
    with mellite.journal(fork.path) as journal:
        journal.resolve(interrupted.call_id, "paid by the parent")
    run = run_in(mellite.journal(fork.path), till)
    assert (run.value, till.ran) == ("done", [("look", 2)])
    late = run_in(mellite.journal(path, fork_at="run:3"), till)
    assert (late.value, till.ran) == ("done", [("look", 2)])
