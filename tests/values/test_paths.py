"""Where a path belongs, anything else is refused by name, before anything is opened."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mellite
from mellite import cassettes, engine
from mellite.backends import Echo
from mellite.errors import InvalidRequest
from mellite.steps import JsonLinesRecorder, SqliteRecorder

TAKERS: dict[str, Callable[[Any], object]] = {
    "Cached": lambda path: mellite.Cached(Echo(), path),
    "log.to": mellite.log.to,
    "journal": mellite.journal,
    "journal into": lambda path: mellite.journal("runs", fork_at=1, into=path),
    "engine.map": lambda path: engine.map([], journal=path),
    "use": cassettes.use,
    "patch": cassettes.patch,
    "load_cassette": cassettes.load_cassette,
    "JsonLinesRecorder": JsonLinesRecorder,
    "SqliteRecorder": SqliteRecorder,
}


@pytest.mark.parametrize("given", [5, b"bytes.json", ["a"], object], ids=repr)
@pytest.mark.parametrize("taker", TAKERS)
def test_not_a_path(taker: str, given: object) -> None:
    """A number, bytes, a list and a class."""
    with pytest.raises(InvalidRequest, match=r"must be the path of .*, a str or a pathlib.Path, not "):
        TAKERS[taker](given)


@pytest.mark.parametrize("given", ["", "a\0b", Path("a\0b")], ids=repr)
@pytest.mark.parametrize("taker", ["Cached", "log.to", "journal", "engine.map", "JsonLinesRecorder", "SqliteRecorder"])
def test_no_path_of_any_system(taker: str, given: object) -> None:
    """A text that no file can be called; cassettes have rules of their own for their names."""
    with pytest.raises(InvalidRequest, match="must be the path of"):
        TAKERS[taker](given)
