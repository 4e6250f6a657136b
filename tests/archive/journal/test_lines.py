"""The file of a journal: cut and damaged at each byte, written by two, and read while it is written."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

import mellite
from mellite.archive.journal.records import read_journal
from mellite.errors import InvalidJournal, JournalError, JournalInUse
from tests.archive.journal.support import Counting


def written(path: Path) -> bytes:
    """The file of a journal with two calls."""
    backend = Counting()
    with mellite.journal(path):
        backend.generate("a").result()
        backend.generate("b").result()
    return (path / "records").read_bytes()


def test_cut_at_each_byte(tmp_path: Path) -> None:
    """As a crash may leave it: what was whole is there, what was not is asked again, and what is added can be read."""
    data = written(tmp_path)
    ends = [at for at in range(len(data)) if data[at : at + 1] == b"\n"]
    for size in sorted({*range(0, len(data), 89), *ends, *(end + 1 for end in ends)}):
        (tmp_path / "records").write_bytes(data[:size])
        backend = Counting()
        with mellite.journal(tmp_path) as journal:
            whole = sum(call.state == "done" for call in journal.calls)
            assert [backend.generate(name).result() for name in "ab"] == ["A 1", "B 1"]
            assert (journal.replayed, journal.live) == (whole, 2 - whole)
        assert [call.state for call in read_journal(tmp_path).calls] == ["done", "done"]


def test_damaged_at_each_line(tmp_path: Path) -> None:
    """A byte that is another one is an error with the file and the offset, and the file stays as it is."""
    data = written(tmp_path)
    begins = [at + 1 for at in range(len(data) - 1) if data[at : at + 1] == b"\n" and data[at + 1 : at + 2] == b"m"]
    for begin in begins:
        for offset in (begin, begin + 5, data.index(b"{", begin) + 3):
            changed = data[:offset] + b"~" + data[offset + 1 :]
            (tmp_path / "records").write_bytes(changed)
            with pytest.raises(InvalidJournal) as caught, mellite.journal(tmp_path):
                pass
            assert (caught.value.path, caught.value.offset) == (str(tmp_path / "records"), begin)
            assert (tmp_path / "records").read_bytes() == changed


def test_a_head_that_is_none(tmp_path: Path) -> None:
    """Damaged, of another thing, or of a newer mellite; and a directory that holds something else."""
    written(tmp_path / "run")
    head = tmp_path / "run" / "journal.json"
    for text, why in (("{", "cannot be read"), ("[]", "not the head"), (json.dumps({"version": 9}), "newer mellite")):
        head.write_text(text)
        with pytest.raises(InvalidJournal, match=why), mellite.journal(tmp_path / "run"):
            pass
    with pytest.raises(JournalError, match="directory of its own"), mellite.journal(tmp_path):
        pass
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match="cannot write"), mellite.journal(tmp_path / "file"):
        pass


def test_read_while_it_is_written(tmp_path: Path) -> None:
    """Readers wait for nobody, and see what is settled; a second writer is refused."""
    with mellite.journal(tmp_path) as journal:
        Counting().generate("a").result()
        records = read_journal(tmp_path)
        assert [(call.name, call.text, call.messages[0]["role"]) for call in records.calls] == [
            ("Counting", "A 1", "user")
        ]
        assert [call.text for call in journal.calls] == ["A 1"]
        with pytest.raises(JournalInUse), mellite.journal(tmp_path):
            pass
    assert [call.text for call in journal.calls] == ["A 1"]  # also when the block is over


def test_records_hold_checks_and_choices(tmp_path: Path) -> None:
    """The verdicts on a call, and which of the samples was chosen with which scores; once, however often it replays."""
    backend = Counting()
    for _ in range(2):
        with mellite.journal(tmp_path):
            short = mellite.requirements.length(max=9)
            strategy = mellite.BestOfN(2, score=lambda thunk: float(thunk.text[-1]))
            asyncio.run(strategy.sample(backend.generate("x"), [short]))
    records = read_journal(tmp_path)
    assert [[verdict["passed"] for check in call.checks for verdict in check] for call in records.calls] == [[True]] * 2
    (choice,) = records.samplings
    assert choice["strategy"] == "BestOfN"
    assert choice["winner"] == choice["samples"][1]["call"]
    assert [sample["score"] for sample in choice["samples"]] == [1.0, 2.0]
    assert all(len(call.times) == len(call.events) for call in records.calls)
