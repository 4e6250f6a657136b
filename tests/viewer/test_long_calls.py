"""Calls of megabytes: the page is told what it shows at once, and timelines are masked over all of their parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest

import mellite
from mellite.archive.log.choosing import Wanted
from mellite.backends import Scripted
from mellite.events import Finish, ReasoningDelta, TextDelta
from mellite.viewer.sources import source_at
from tests.viewer.long_calls import in_parts, long_call
from tests.viewer.viewing import got, journaled, logged, recorded

KEY = "sk-proj-" + "Abcd1234Efgh5678Ijkl9012Mnop3456"


def test_what_the_page_asks_for(tmp_path: Path) -> None:
    """The page is told every text of a call once, and asks for all of it where that is wanted."""
    path = long_call(tmp_path / "long.json", 1_000_000)
    with mellite.viewer.serve(path) as viewer:
        brief, whole = [got(f"{viewer.url}api/calls/0{query}") for query in ("?brief=1", "")]
    assert len(brief.body) < 1_100_000
    assert len(whole.body) > 2_900_000
    told = brief.json
    assert told["messages"] == whole.json["messages"]
    assert told["request"] == {name: value for name, value in whole.json["request"].items() if name != "body"}
    assert {name: whole.json[name] for name in told if name not in ("request", "response")}.items() <= told.items()
    assert whole.json.keys() - told.keys() == {"prompt", "text", "thinking"}


@pytest.mark.parametrize("kind", ["journal", "log"])
def test_brief_calls(tmp_path: Path, kind: str) -> None:
    """Every kind of source tells a call in brief."""
    source = source_at(str({"journal": journaled, "log": logged}[kind](tmp_path / "source")))
    rows = source.calls(Wanted(), 0, 100).calls
    assert rows
    for row in rows:
        brief, whole = source.call(row.id, brief=True), source.call(row.id)
        assert brief is not None
        assert whole is not None
        assert whole.keys() - brief.keys() == {"prompt", "text", "thinking"}
        assert "body" not in (brief["response"] or {})


def parts_of(kind: str, path: Path, texts: list[str]) -> list[str]:
    """What a timeline tells of an answer that came in these parts."""
    if kind == "cassette":
        in_parts(recorded(path, "?"), texts)
    else:
        events: list[Any] = [ReasoningDelta("Hm."), *map(TextDelta, texts), Finish("stop")]

        async def main() -> None:
            with mellite.journal(path):
                await Scripted([events]).generate("Say it.")

        anyio.run(main)
    source = source_at(str(path))
    timeline = source.timeline(source.calls(Wanted(), 0, 1).calls[0].id)
    assert timeline is not None
    return [step["text"] for step in timeline["steps"] if step["kind"] == "text"]


@pytest.mark.parametrize("kind", ["cassette", "journal"])
@pytest.mark.parametrize("size", [1, 5, 100])
def test_a_key_in_several_parts(tmp_path: Path, kind: str, size: int) -> None:
    """A key whose letters came one after the other is masked where the first of them came; the rest stays in place."""
    said = f"It is {KEY}, or [REDACTED], or {KEY[::-1]} or {KEY}! Bye."
    texts = [said[at : at + size] for at in range(0, len(said), size)]
    shown = parts_of(kind, tmp_path / "source", texts)
    assert "".join(shown) == said.replace(KEY, "[REDACTED]")
    if kind == "cassette":  # whose parts are 10 ms apart, so that none is told with another one
        begin, end = said.index(KEY) // size, (said.index(KEY) + len(KEY)) // size
        assert shown[:begin] == texts[:begin]
        assert "[REDACTED]" in shown[begin]
        assert set(shown[begin + 1 : end]) <= {""}
        assert shown[-1] == texts[-1] or size == 100


def test_parts_without_a_key(tmp_path: Path) -> None:
    """The parts of other answers stay as they came."""
    texts = ["One ", "two ", "[REDACTED]", " three"]
    assert parts_of("cassette", tmp_path / "chat.json", texts) == texts
