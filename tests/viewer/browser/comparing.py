"""What is compared in one file, in a real browser, is what the server compares: on recorded calls and on random ones.

Not collected with the other tests: `nox -s viewer` installs what it needs and runs it.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from decimal import Decimal
from importlib.resources import files
from itertools import product
from pathlib import Path
from typing import Any

import anyio
import pytest

import mellite
from mellite.archive.entries import Answer, Entry
from mellite.archive.log.choosing import Wanted
from mellite.cassettes import Snapshot
from mellite.values.usage import Usage
from mellite.viewer.differences import Numbered, difference_of
from mellite.viewer.sources import source_at
from tests.archive.journal.support import ByStep
from tests.viewer.browser.driving import Browser, browser
from tests.viewer.viewing import get_weather, journaled, logged, recorded

#: Texts that are long, differ late, or are not ASCII, in which Python and JavaScript count characters differently.
TEXTS = [
    "",
    "Hello.",
    "Hello, you.",
    "x" * 400,
    "x" * 350 + "y" * 400,
    "\U0001f600" * 310,
    "\U0001f600" * 200 + "é" * 200,
]

ROUNDS = 400

#: As a text, because the driver orders the fields of objects by their names.
COMPARED = "return JSON.parse(arguments[0]).map(([left, right]) => compared(left, right))"


@pytest.fixture(scope="module")
def page() -> Iterator[Browser]:
    """A browser."""
    with browser() as opened:
        yield opened


class Chance:
    """Makes calls at random, few of which differ from all others.

    Args:
        seed: where chance begins.
    """

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        # What calls of one comparison have in common.
        self.timed, self.copied, self.text = [self.random.random() < 0.5 for _ in range(3)]
        self.text = self.text and self.random.random() < 0.2

    def one(self, *values: Any) -> Any:
        """Return one of some values."""
        return self.random.choice(values)

    def body(self) -> Any:
        """Return what a request may hold."""
        words = self.one(*TEXTS)
        extra = self.one({}, {"n": self.one(1, 2, True, None, 1.5)}, {"deep": {"a-b": [1, {"c": words}], "é": 0}})
        return {"model": self.one("m", "n"), "messages": [{"role": "user", "content": words}], **extra}

    def entry(self, number: int) -> Entry:
        """Return a call."""
        is_json = self.random.random() < 0.9
        headers = self.one({}, {}, {"x-a": "1"}, {"x-a": "2", "b": "é"})
        method, url = self.one("POST", "POST", "POST", "GET"), self.one("https://a/", "https://a/", "https://b/")
        sent = Snapshot(
            method, url, headers=headers, body=self.body() if is_json else self.one(*TEXTS), is_json=is_json
        )
        begun = number * 10 + self.random.randrange(8)
        return Entry(
            path="",
            name=str(number),
            format="text" if self.text else "http",
            model=self.one("m", None),
            question="?",
            request=None if self.text or self.random.random() < 0.05 else sent,
            status=self.one(200, 200, 200, 500, None),
            body=self.one(b"", b"", b"abc"),
            end=self.one("complete", "complete", "interrupted"),
            span=(begun, begun + self.random.randrange(14)) if self.timed else None,
            lineage=self.one((), (0,), (1,), (0, 1)) if self.copied else self.one(None, (1,)),
            answer=None if self.random.random() < 0.1 else self.answer(),
        )

    def answer(self) -> Answer:
        """Return an answer."""
        counts = self.one((5, 2), (5, 2), (0, 0), (None, 3))
        arguments = self.one({"a": 1, "b": [2]}, {"b": [2], "a": 1}, '{"a": 1}', 1, "1")
        return Answer(
            text=self.one(*TEXTS[:3]),
            thinking=self.one(None, None, "Hm."),
            tool_calls=self.one((), (), (("f", arguments),), (("f", arguments), ("g", None))),
            finish_reason=self.one("stop", "stop", "length"),
            error=self.one(None, None, None, ("RateLimited", "Slow down.")),
            usage=self.one(None, Usage.of(input_tokens=counts[0], output_tokens=counts[1])),
            cost_usd=self.one(None, Decimal(0), Decimal("0.25"), Decimal("0.5")),
        )

    def side(self) -> list[Entry]:
        """Return some calls."""
        return [self.entry(number) for number in range(self.random.choice((1, 1, 2, 3, 5, 8, 40)))]


def alone(tmp_path: Path) -> Path:
    """A page with nothing but what compares."""
    folder = files("mellite.viewer") / "page_files"
    texts = [(folder / name).read_text(encoding="utf-8") for name in ("aligning.js", "comparing.js")]
    script = "\n".join(texts).replace('import { blocksInCommon } from "./aligning.js";', "").replace("export ", "")
    page = tmp_path / "alone.html"
    page.write_text(f'<!doctype html><meta charset="utf-8"><script>{script}</script>', encoding="utf-8")
    return page


def test_calls_at_random(page: Browser, tmp_path: Path) -> None:
    """Of calls that are alike, ran at once or are copies, the page pairs the same and tells the same differences."""
    page.driver.get(alone(tmp_path).as_uri())
    for begin in range(0, ROUNDS, 50):
        asked, wanted = [], []
        for seed in range(begin, begin + 50):
            chance, numbered = Chance(seed), Numbered()
            left, right = chance.side(), chance.side()
            asked.append([[numbered.told(entry) for entry in side] for side in (left, right)])
            wanted.append(difference_of(left, right))
        found = page.script(COMPARED, json.dumps(asked))
        for seed, (one, other) in enumerate(zip(found, json.loads(json.dumps(wanted)), strict=True), begin):
            assert one == other, f"seed {seed}"


def runs_twice(path: Path) -> Path:
    """A journal of two runs of one agent, the second of which asks for other weather and hears other answers."""
    calls = [mellite.ToolCall(f"c{city}", "get_weather", {"city": city}) for city in ("Paris", "Rome", "Bern")]

    async def main() -> None:
        with mellite.journal(path):
            for some, answer in ((calls[:2], "It is **sunny**."), (calls[1:], "It rains.")):
                await mellite.run(ByStep(some, answer), "What is the weather?", tools=[get_weather])

    journaled(path)
    anyio.run(main)
    return path


@pytest.mark.parametrize("kind", ["cassette", "journal", "log"])
def test_one_file_compares_as_the_server_does(page: Browser, tmp_path: Path, kind: str) -> None:
    """Every pair of calls and runs looks the same in the one file and from the server."""
    path = tmp_path / "source"
    if kind == "cassette":
        recorded(path, "One two three.", "One three.", "x" * 1000, "")
    else:
        {"journal": runs_twice, "log": logged}[kind](path)
    file = tmp_path / "page.html"
    file.write_text(mellite.viewer.html(path), encoding="utf-8")
    source = source_at(str(path))
    calls = [row.id for row in source.calls(Wanted(), 0, 6).calls]
    runs = [str(run["id"]) for run in source.runs()]
    assert kind != "journal" or len(runs) == 3
    hashes = [f"#/diff/{one}/{other}" for one, other in [*product(calls, calls), *product(runs, runs)]]
    with mellite.viewer.serve(path) as viewer:
        seen = []
        for url in (viewer.url, file.as_uri()):
            page.open(url)
            shown = []
            for hash in hashes:
                page.go(hash)
                page.script("document.querySelectorAll('.pair').forEach((each) => { each.open = true; })")
                shown.append(page.script("return document.querySelector('#view').innerText"))
            seen.append(shown)
    for hash, served, kept in zip(hashes, *seen, strict=True):
        assert "differ" in served, hash
        assert kept == served, hash
