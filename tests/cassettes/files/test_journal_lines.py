"""Journals byte by byte: what is torn counts for nothing, what is damaged is named, and nothing is guessed."""

from __future__ import annotations

import gzip
import hashlib
import os
import sys
from pathlib import Path
from types import FrameType

import msgspec
import pytest

from mellite.cassettes import (
    Body,
    Cassette,
    CassetteWriter,
    HttpInteraction,
    RecordedRequest,
    RecordedResponse,
    load_cassette,
)
from mellite.cassettes.files.journal_lines import encode_record
from mellite.cassettes.files.write import encode_cassette, encode_interaction
from mellite.cassettes.recording.journal import recover
from mellite.errors import CassetteMiss, InvalidCassette

TEXTS = ["1st", "second é", "3rd"]


def answer(text: str) -> HttpInteraction:
    """An interaction with this answer."""
    return HttpInteraction(RecordedRequest("POST", "u"), RecordedResponse(200, body=Body(text)))


def answers(path: Path) -> list[str]:
    """The answers in a cassette; none if there is none."""
    try:
        return [one.response.body.text for one in load_cassette(path).http]
    except CassetteMiss:
        return []


def answers_or_error(path: Path) -> tuple[list[str], InvalidCassette | None]:
    """The answers in a cassette, or what is wrong with it."""
    try:
        return answers(path), None
    except InvalidCassette as error:
        return [], error


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """The journal of a recording that was killed after three interactions."""
    writer = CassetteWriter.open(tmp_path / "case.json")
    for text in TEXTS:
        writer.append(answer(text))
    del writer
    return tmp_path / "case.json.journal"


def test_a_record_that_lost_a_byte(journal: Path) -> None:
    """One byte less anywhere is damage that is named, or one of the newlines between records, which tell nothing."""
    data = journal.read_bytes()
    refused = 0
    for place in range(len(data)):
        journal.write_bytes(data[:place] + data[place + 1 :])
        found, error = answers_or_error(journal.with_suffix(""))
        if error is None:
            assert data[place : place + 1] == b"\n"
            assert found == TEXTS
        else:
            assert error.path == str(journal)
            assert "is left as it is" in str(error)
            refused += 1
    assert refused == len(data) - data.count(b"\n")


def test_cut_off_at_every_byte(journal: Path) -> None:
    """A journal that ends anywhere gives the interactions before it that are whole, and can be recorded into."""
    case = journal.with_suffix("")
    data = journal.read_bytes()
    counts = []
    for end in range(len(data) + 1):
        journal.write_bytes(data[:end])
        found = answers(case)
        counts.append(len(found))
        assert found == TEXTS[: counts[-1]]
    assert counts == sorted(counts)
    assert set(counts) == {0, 1, 2, 3}
    assert counts[-2] == 3  # the last newline is not needed


def test_a_torn_line_does_not_take_the_next_with_it(journal: Path) -> None:
    """What is appended after a line that was cut off is read, and the torn line is gone at the end."""
    case = journal.with_suffix("")
    data = journal.read_bytes()
    start = data.rindex(b"\n", 0, -1)
    for end in [*range(start, start + 45, 4), *range(start + 45, len(data) - 1, 20)]:
        journal.write_bytes(data[:end])
        case.unlink(missing_ok=True)
        kept = answers(case)
        with CassetteWriter.open(case, durable=False) as other:
            with CassetteWriter.open(case, durable=False) as writer:
                (case.parent / "case.json.journal").write_bytes(data[:end])
                writer.append(answer("after"))
            assert answers(case)[-1] == "after"
            other.append(answer("later"))
        assert answers(case)[-2:] == ["after", "later"]
        assert set(answers(case)) <= {*kept, *TEXTS, "after", "later"}
        assert os.listdir(case.parent) == ["case.json"]


def test_every_changed_byte_is_noticed(journal: Path) -> None:
    """A byte that is changed anywhere gives an InvalidCassette that names it, or the other interactions unchanged."""
    case = journal.with_suffix("")
    data = bytearray(journal.read_bytes())
    damaged = 0
    for place in range(len(data)):
        for change in (0x01, 0x80):
            changed = bytearray(data)
            changed[place] ^= change
            journal.write_bytes(changed)
            found, error = answers_or_error(case)
            if error is None:
                assert set(found) <= set(TEXTS), f"byte {place} makes it {found}"
            else:
                damaged += 1
                assert (error.path, error.offset is not None) == (str(journal), True)
                assert (error.offset or 0) <= place
    assert damaged > len(data)


def test_a_damaged_journal_is_left_as_it_is(journal: Path) -> None:
    """A damaged journal is never folded in, nor removed: it is named by every way to open the cassette."""
    case = journal.with_suffix("")
    data = journal.read_bytes().replace(b"second", b"SECOND")
    journal.write_bytes(data)
    for opened in (load_cassette, recover, CassetteWriter.open):
        with pytest.raises(InvalidCassette, match=r"its digest does not fit"):
            opened(case)
    assert journal.read_bytes() == data
    assert os.listdir(case.parent) == [journal.name]


@pytest.mark.parametrize(
    ("tail", "why"),
    [
        (b"\nmj2 2 99914b932bd37a50b983c5e7c90ae93b {}\n", "newer mellite"),
        (b"\nhello\n", "not a line of a journal"),
        (b"\nmj1 2 00000000000000000000000000000000 {}\n", "digest"),
        (encode_record(interaction=5, metadata=6)[:-1] + b"x\n", "digest"),
        (encode_record(key=5), "Expected `str"),
        (b"\nmj1 99999999999999999999 0 {}\n", "not a line of a journal"),
    ],
)
def test_what_no_mellite_wrote(journal: Path, tail: bytes, why: str) -> None:
    """A line of another version, or of another kind, is damage and not something to pass over."""
    data = journal.read_bytes()
    journal.write_bytes(data + tail)
    with pytest.raises(InvalidCassette, match=why) as caught:
        load_cassette(journal.with_suffix(""))
    assert caught.value.offset == len(data) + 1


def test_zeros_at_the_end(journal: Path) -> None:
    """Where the power went before the data were on the disk there may be zeros: they count for nothing."""
    data = journal.read_bytes()
    journal.write_bytes(data + b"\nmj1 30" + bytes(500))
    assert answers(journal.with_suffix("")) == TEXTS
    assert recover(journal.with_suffix(""))
    assert answers(journal.with_suffix("")) == TEXTS


def test_a_journal_without_end(tmp_path: Path) -> None:
    """A journal that is larger than a cassette may be is refused without being read."""
    journal = tmp_path / "case.json.journal"
    with journal.open("wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(InvalidCassette, match=r"1,073,741,824 bytes"):
        load_cassette(tmp_path / "case.json")


def test_a_journal_that_is_no_file(tmp_path: Path) -> None:
    """A directory in the place of the journal is named, and nothing is recorded."""
    (tmp_path / "case.json.journal").mkdir()
    with pytest.raises(InvalidCassette, match="is a directory"):
        load_cassette(tmp_path / "case.json")


def test_folded_in_but_not_removed(tmp_path: Path) -> None:
    """A kill after the file is in its place, and before its journal is gone, does not make interactions twice."""
    path, journal = tmp_path / "case.json", tmp_path / "case.json.journal"
    path.write_bytes(encode_cassette(Cassette((answer("old"),))))
    with CassetteWriter.open(path) as writer:
        writer.append(answer("new"))
        lines = journal.read_bytes()
    journal.write_bytes(lines + encode_record(folded=hashlib.sha256(path.read_bytes()).hexdigest()))
    assert answers(path) == ["old", "new"]
    assert recover(path)
    assert answers(path) == ["old", "new"]
    assert not recover(path)
    journal.write_bytes(lines + encode_record(folded="0" * 64))  # a kill before the file was in its place
    assert answers(path) == ["old", "new", "new"]


def test_nobody_recovers_what_is_being_recorded(tmp_path: Path) -> None:
    """While somebody records, what is in the journal stays there."""
    path = tmp_path / "case.json"
    with CassetteWriter.open(path) as writer:
        writer.append(answer("one"))
        assert not recover(path)
        assert not path.exists()
        assert answers(path) == ["one"]
    assert not recover(path)
    assert not recover(tmp_path / "another.json")


def test_a_compressed_cassette_with_a_journal(tmp_path: Path) -> None:
    """What a compressed file and its journal hold is read together."""
    path = tmp_path / "case.json.gz"
    path.write_bytes(gzip.compress(encode_cassette(Cassette((answer("old"),)))))
    with CassetteWriter.open(path) as writer:
        writer.append(answer("new"))
        assert answers(path) == ["old", "new"]
    assert answers(path) == ["old", "new"]


def test_two_with_one_key(tmp_path: Path) -> None:
    """If two processes wrote an interaction with one key in the same moment, the first in the journal counts."""
    texts = {"winner": "k", "loser": "k", "another": "l", "none": None, "none again": None}
    lines = [
        encode_record(key=key, interaction=msgspec.Raw(encode_interaction(answer(text)))) for text, key in texts.items()
    ]
    (tmp_path / "case.json.journal").write_bytes(b"".join(lines))
    assert answers(tmp_path / "case.json") == ["winner", "another", "none", "none again"]
    assert recover(tmp_path / "case.json")
    assert answers(tmp_path / "case.json") == ["winner", "another", "none", "none again"]


def test_a_journal_that_somebody_removed(tmp_path: Path) -> None:
    """A recording whose journal was removed leaves the journal of the next one alone."""
    path = tmp_path / "case.json"
    first = CassetteWriter.open(path)
    first.append(answer("removed"))
    (tmp_path / "case.json.journal").unlink()
    second = CassetteWriter.open(path)
    second.append(answer("one"))
    first.finish()
    second.append(answer("two"))
    second.finish()
    assert answers(path) == ["one", "two"]
    assert os.listdir(tmp_path) == ["case.json"]


def test_a_temporary_file_that_was_left(tmp_path: Path) -> None:
    """What a process left that was killed while it wrote the file is gone after the next recording."""
    for texts in ([], ["new"]):
        (tmp_path / "case.json.tmp").write_bytes(b"half")
        with CassetteWriter.open(tmp_path / "case.json") as writer:
            for text in texts:
                writer.append(answer(text))
        assert not (tmp_path / "case.json.tmp").exists()
    assert answers(tmp_path / "case.json") == ["new"]


@pytest.mark.parametrize("moment", ["read_records", "read_file"])
def test_folded_in_while_it_is_read(tmp_path: Path, moment: str) -> None:
    """If the journal is folded in between reading it and reading the file, each interaction is read once."""
    path = tmp_path / "case.json"
    path.write_bytes(encode_cassette(Cassette((answer("old"),))))
    writer = CassetteWriter.open(path)
    writer.append(answer("new"))

    def finish(frame: FrameType, event: str, _: object) -> None:
        if event == "return" and frame.f_code.co_name == moment:
            sys.setprofile(None)
            writer.finish()

    sys.setprofile(finish)
    try:
        found = answers(path)
    finally:
        sys.setprofile(None)
    assert found == ["old", "new"]
    assert os.listdir(tmp_path) == ["case.json"]
