"""A journal whose lines are whole, and hold what no mellite writes there: edited by hand, or by another program."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

import mellite
from mellite.archive.journal.records import read_journal
from mellite.errors import InvalidJournal, MelliteError
from mellite.server.journal_answers import JournalAnswers
from tests.archive.journal.support import Counting


def ran(path: Path) -> None:
    """Run a program with a journal."""
    backend = Counting()
    with mellite.journal(path) as journal:
        backend.generate("a").result()
        journal.now()
        journal.random()
        journal.uuid()


def lines_of(path: Path) -> list[Any]:
    """What the lines of a journal say."""
    lines = (path / "records").read_bytes().split(b"\n")
    return [json.loads(line.split(b" ", 3)[3]) for line in lines if line]


def write(path: Path, lines: list[Any]) -> None:
    """Have a journal say something else, with digests that fit."""
    data = [json.dumps(line, separators=(",", ":")).encode() for line in lines]
    (path / "records").write_bytes(b"".join([b"\nmj1 %d %08x %b\n" % (len(one), crc32(one), one) for one in data]))


def places(value: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where the values within a value stand."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, each in inner:
        yield (*before, name)
        yield from places(each, (*before, name))


@pytest.mark.parametrize("odd", [7, [[]], {"a": None}, "x"], ids=json.dumps)
def test_any_value_elsewhere(tmp_path: Path, odd: Any) -> None:
    """Whatever stands anywhere, reading, serving and replaying succeed or end with an error of mellite's."""
    ran(tmp_path)
    known = lines_of(tmp_path)
    refused = 0
    for *within, name in [*places(known)]:
        changed = copy.deepcopy(known)
        at: Any = changed
        for each in within:
            at = at[each]
        at[name] = odd
        write(tmp_path, changed)
        for use in (read_journal, JournalAnswers, ran):
            try:
                use(tmp_path)
            except MelliteError as error:
                refused += isinstance(error, InvalidJournal)
    assert refused > 20


def test_a_value_that_is_not_one(tmp_path: Path) -> None:
    """A time that is no time is an error with the file and where it stands in it."""
    ran(tmp_path)
    changed = lines_of(tmp_path)
    (at,) = [line for line in changed if line["kind"] == "value" and line["name"] == "now"]
    at["body"] = "yesterday"
    write(tmp_path, changed)
    with pytest.raises(InvalidJournal, match=r"it holds no value for now\(\)") as caught:
        ran(tmp_path)
    assert caught.value.path == str(tmp_path / "records")
    assert caught.value.offset
