"""Words are found in a log whether its texts are in memory or not: as they come, go, and are too many to be kept."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

import mellite
from mellite.archive.log.choosing import MANY, Wanted
from mellite.archive.log.kept_texts import KeptTexts
from mellite.archive.log.reading import reading
from mellite.backends import Scripted
from mellite.errors import RateLimited
from mellite.events import Finish, ReasoningDelta, TextDelta
from mellite.viewer.sources import source_at
from tests.viewer.many_calls import many_calls
from tests.viewer.viewing import got

TALK = [
    mellite.Message("user", "Where is the Fjord?"),
    mellite.Message("assistant", "In NORWAY."),
    mellite.Message("user", "And its 100% of salt?"),
]

#: A letter twice, small, and once small and once large.
PAIRS = ("ææ", "æÆ")


def talked(path: Path) -> Path:
    """A log of a conversation, of a call that thinks, and of one that fails."""
    with mellite.log.to(path, raw=False):
        Scripted(["Ægir knows."]).generate(TALK).result()
        Scripted([[ReasoningDelta("Hm, whales."), TextDelta("No."), Finish("stop")]]).generate(TALK[:1]).result()
        with pytest.raises(RateLimited):
            Scripted([[RateLimited("Slow down.")]]).generate("Whales?", metadata={"tags": ["odd"]}).result()
    mellite.log.flush()
    return path


@pytest.fixture(scope="module", params=["prepared", "not prepared", "too large"])
def log(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What finds the places of calls, the newest of which is 1, with the texts of the log in memory and without."""
    path = str(talked(tmp_path_factory.mktemp("words") / "log.db"))
    texts = KeptTexts(most=20 if request.param == "too large" else 10_000)
    with reading(path) as read:
        places = {call["id"]: place for place, call in enumerate(read.newest(9), 1)}
    if request.param != "not prepared":
        with reading(path) as read:
            read.keep(texts)

    def found(word: str, offset: int = 0, count: int = 9, **wanted: Any) -> tuple[int, list[int]]:
        with reading(path) as read:
            total, calls = read.chosen(Wanted(word=word, **wanted), offset, count, texts)
        return total, [places[str(call["id"])] for call in calls]

    return found


def test_words(log: Any) -> None:
    """A word is found in any message, in answers, thinking and errors, with other wishes, in any order, in parts."""
    assert log("fjord") == log("FJORD?") == (2, [2, 3])
    assert log("norway.") == log("100%") == log("1") == (1, [3])
    assert log("%") == (1, [3])
    assert log("100_") == log("where%fjord") == log("nowhere") == (0, [])
    assert log("ægir") == log("ÆGIR") == (1, [3])
    assert log("whales") == (2, [1, 2])
    assert log("slow DOWN") == (1, [1])
    assert log("e") == (3, [1, 2, 3])
    assert log("e", order="oldest") == (3, [3, 2, 1])
    assert log("e", 1, 1) == log("e", 1, 1, order="oldest") == (3, [2])
    assert log("e", 3) == (3, [])
    assert log("e", state="done", order="oldest") == (2, [3, 2])
    assert log("whales", tag="odd") == log("whales", state="failed") == (1, [1])
    assert log("whales", order="tokens")[0] == 2


def test_tags(tmp_path: Path) -> None:
    """A tag is found as a whole, by its very letters, whatever is in it and stands beside it."""
    path = tmp_path / "log.db"
    tags = [["a"], ["b", "a"], ["A"], ['x"a'], [',"a"'], ["ab"], ["[", "a\\"], ["é,", 'say "a"', "100%"], []]
    with mellite.log.to(path, raw=False):
        for number, each in enumerate(tags):
            Scripted(["One."]).generate(f"{number}", metadata={"tags": each}).result()
    mellite.log.flush()
    source = source_at(str(path))
    for tag in {tag for each in tags for tag in each} | {"none", '"a"', "100_", "%"}:
        found = source.calls(Wanted(tag=tag, order="oldest"), 0, 99)
        assert [row.prompt for row in found.calls] == [f"{n}" for n, each in enumerate(tags) if tag in each]


def test_what_comes_and_goes(tmp_path: Path) -> None:
    """Calls that are new are found, those that are deleted are not, and a file that was made anew is read anew."""
    path = talked(tmp_path / "log.db")
    source = source_at(str(path))
    source.prepare()

    def found(word: str) -> tuple[int, list[str]]:
        calls = source.calls(Wanted(word=word), 0, 9)
        return calls.total, [row.text for row in calls.calls]

    assert found("fjord") == (2, ["No.", "Ægir knows."])
    with mellite.log.to(path):
        Scripted(["In Chile, too."]).generate([*TALK[:2], mellite.Message("user", "Elsewhere?")]).result()
    mellite.log.flush()
    assert found("FJORD") == (3, ["In Chile, too.", "No.", "Ægir knows."])
    assert found("elsewhere") == (1, ["In Chile, too."])
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("DELETE FROM call_records WHERE number IN (1, 4)")
    connection.close()
    assert found("fjord") == (1, ["No."])
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("DELETE FROM call_records WHERE number = 3")
    connection.close()
    with mellite.log.to(path):
        Scripted(["It has its number."]).generate("A fjord again?").result()
    mellite.log.flush()
    assert found("fjord") == (2, ["It has its number.", "No."])
    for file in tmp_path.iterdir():
        file.unlink()
    with mellite.log.to(path):
        Scripted(["One fjord."]).generate("Which?").result()
        Scripted(["Two."]).generate("Fjords?").result()
        Scripted(["Three."]).generate("Others?").result()
    mellite.log.flush()
    assert found("fjord") == (2, ["Two.", "One fjord."])


def test_a_word_that_many_calls_hold(tmp_path: Path) -> None:
    """What is wanted beside a word that very many calls hold is found in memory as in the file."""
    path = str(many_calls(tmp_path / "log.db", 12_000))
    wanted = [Wanted(word="answer 1"), Wanted(word="ANSWER 1", tag="tenth"), Wanted(word="answer 1", order="slowest")]
    before = [source_at(path).calls(each, 1, 3) for each in wanted]
    held = [n for n in range(12_000) if f"{n % 1000}".startswith("1")]
    assert len(held) > MANY
    assert [each.total for each in before] == [len(held), len([n for n in held if n % 10 == 0]), len(held)]
    source = source_at(path)
    source.prepare()
    assert [source.calls(each, 1, 3) for each in wanted] == before


def test_texts_are_kept_when_calls_were_shown(tmp_path: Path) -> None:
    """A viewer reads the texts when it has shown the first calls; then case does not matter in any script."""
    path = tmp_path / "log.db"
    with mellite.log.to(path):
        Scripted([f"{PAIRS[1]}."]).generate("Say it.").result()
    mellite.log.flush()
    with mellite.viewer.serve(path) as viewer:
        word = f"{viewer.url}api/calls?q={quote(PAIRS[0])}"
        assert got(word).json["total"] == 0
        assert got(f"{viewer.url}api/calls?q={quote(PAIRS[1])}").json["total"] == 1
        until = time.monotonic() + 30
        while got(word).json["total"] == 0:
            assert time.monotonic() < until  # it is asked again at once
