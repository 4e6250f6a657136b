"""Every view in a real browser, in both themes, wide and narrow: what it shows, by keys, on paper, and for everybody.

Not collected with the other tests: `nox -s viewer` installs what it needs and runs it. ``MELLITE_AXE`` names axe-core,
``MELLITE_PICTURES`` a folder that keeps what the views look like.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import anyio
import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

import mellite
from mellite.archive.log.choosing import Wanted
from mellite.viewer.sources import source_at
from tests.viewer.browser.driving import Browser, browser
from tests.viewer.long_calls import long_call
from tests.viewer.many_calls import many_calls
from tests.viewer.viewing import Growing, InPieces, journaled, logged, recorded

AXE: Final = os.environ.get("MELLITE_AXE", "")
PICTURES: Final = Path(os.environ.get("MELLITE_PICTURES") or "viewer-pictures")

#: What axe-core finds that keeps people from reading a page.
SERIOUS: Final = ("serious", "critical")


#: How many milliseconds it takes from another address until the calls of that are there.
FILTERED: Final = """
    const [hash, done] = arguments;
    const before = document.querySelector('.found');
    const began = performance.now();
    const look = () => {
        const found = document.querySelector('.found');
        const isThere = found && found !== before && !found.textContent.startsWith('…');
        if (isThere) done(performance.now() - began); else requestAnimationFrame(look);
    };
    location.hash = hash;
    look();
"""


class Seen(NamedTuple):
    """A view: which source, its address, and words in it."""

    source: str
    hash: str
    words: str


VIEWS: Final = {
    "list": Seen("recordings", "#/", "calls"),
    "call": Seen("journal", "#/call/4", "answer"),
    "tool": Seen("journal", "#/call/2", "tool get_weather"),
    "picture": Seen("recordings", "#/call/{image}", "user"),
    "failed": Seen("recordings", "#/call/{failed}", "failed"),
    "timeline": Seen("journal", "#/timeline/5", "first token after"),
    "recorded": Seen("cassette", "#/timeline/0", "headers after"),
    "runs": Seen("journal", "#/runs", "outside runs"),
    "run": Seen("journal", "#/run/{run}", "step 1"),
    "samples": Seen("journal", "#/run/outside", "MajorityVote"),
    "compared": Seen("cassette", "#/diff/0/1", "1 of 1 differ"),
    "costs": Seen("recordings", "#/costs", "by model"),
    "live": Seen("log", "#/live", "Waiting for calls"),
}


@pytest.fixture(scope="module")
def page() -> Iterator[Browser]:
    """A browser."""
    with browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory, corpora: Path) -> dict[str, Path]:
    """What is looked at: a source of each kind, and recorded answers of real providers."""
    folder = tmp_path_factory.mktemp("views")
    return {
        "cassette": recorded(folder / "chat.json", "One two three.", "One three."),
        "journal": journaled(folder / "journal"),
        "log": logged(folder / "log.db"),
        "recordings": corpora / "opencode" / "recordings",
    }


@pytest.fixture(scope="module")
def urls(paths: dict[str, Path]) -> Iterator[dict[str, str]]:
    """A viewer of each of them."""
    viewers = {name: mellite.viewer.serve(path) for name, path in paths.items()}
    try:
        yield {name: viewer.__enter__().url for name, viewer in viewers.items()}
    finally:
        for viewer in viewers.values():
            viewer.__exit__(None, None, None)


@pytest.fixture(scope="module")
def known(paths: dict[str, Path]) -> dict[str, str]:
    """The ids of a call with a picture, of one that failed, and of a run."""
    recordings, journal = source_at(str(paths["recordings"])), source_at(str(paths["journal"]))
    calls = [(row, recordings.call(row.id)) for row in recordings.calls(Wanted(), 0, 500).calls]
    image = next(row.id for row, call in calls if "'image'" in repr(call and call["messages"]))
    return {
        "image": quote(image, safe=""),
        "failed": quote(next(row.id for row, _ in calls if row.state == "failed"), safe=""),
        "run": next(str(run["id"]) for run in journal.runs() if run["id"] != "outside"),
    }


def problems(page: Browser) -> list[str]:
    """What axe-core finds, run inside the page."""
    if not page.script("return typeof axe !== 'undefined'"):
        page.script(Path(AXE).read_text(encoding="utf-8"))
    found: Any = page.driver.execute_async_script(
        "const done = arguments[0]; axe.run({resultTypes: ['violations']}).then("
        "(found) => done(found.violations.map((each) => [each.impact, each.id, each.nodes.map((node) => node.html)])),"
        "(error) => done([['critical', 'axe', [String(error)]]]))"
    )
    return [f"{id}: {nodes[:3]}" for impact, id, nodes in found if impact in SERIOUS]


@pytest.mark.parametrize("name", VIEWS)
def test_view(page: Browser, urls: dict[str, str], known: dict[str, str], name: str) -> None:
    """A view shows what it should, fits wide and narrow screens, and can be read by everybody in both themes."""
    view = VIEWS[name]
    page.size(1280)
    page.open(urls[view.source] + view.hash.format(**known))
    page.until("return document.body.innerText.includes(arguments[0])", view.words)
    page.script("document.querySelectorAll('.thinking, .raw').forEach((each) => { each.open = true; })")
    for width in (1280, 400):
        page.size(width)
        page.settled()
        wide = page.script("return document.documentElement.scrollWidth")
        assert wide <= width, f"{name} is {wide} pixels wide on a screen of {width}"
        for theme in ("light", "dark"):
            page.theme(theme)
            page.picture(PICTURES / f"{name}-{theme}-{width}.png")
            if AXE:
                assert problems(page) == [], (name, theme, width)
    assert page.complaints() == []
    hosts = {host for host in page.loaded() if host != "data:"}
    assert all(host.startswith("127.0.0.1:") for host in hosts), hosts


def pressed(page: Browser, *keys: str) -> None:
    """Press keys, wherever the page is."""
    for key in keys:
        ActionChains(page.driver).send_keys(key).perform()


def test_by_keys(page: Browser, urls: dict[str, str]) -> None:
    """Calls are searched, chosen and opened without a mouse."""
    page.size(1280)
    page.open(urls["log"])
    pressed(page, "/", "question 1", Keys.ESCAPE)
    page.until("return document.querySelector('.found').textContent === '1 call'")
    page.settled()
    pressed(page, "j", Keys.ENTER)
    page.until("return location.hash.startsWith('#/call/')")
    page.until("return document.body.innerText.includes('Answer 1 of <b>many</b>.')")
    pressed(page, Keys.ESCAPE)
    page.until("return location.hash === '#/?q=question+1'")
    page.settled()
    pressed(page, "d")
    assert page.script("return document.documentElement.dataset.theme") in ("dark", "light")
    pressed(page, "?")
    page.until("return document.querySelector('dialog').open")
    pressed(page, Keys.ESCAPE)
    pressed(page, "$")
    page.until("return document.body.innerText.includes('by tag')")
    page.open(urls["cassette"])
    pressed(page, "j", "x", "j", "x", Keys.ENTER)
    page.until("return document.querySelector('.diff') !== null")
    assert page.script("return document.activeElement.id") == "view"


@pytest.mark.parametrize("hash", ["#/call/%E0%A4%A", "#/call/none", "#/run/none", "#/timeline/none", "#/diff/1/none"])
def test_an_address_that_leads_nowhere(page: Browser, urls: dict[str, str], hash: str) -> None:
    """What is not there is said, with a way back."""
    page.open(urls["journal"])
    page.go(hash)
    page.script("document.querySelector('.nothing a').click()")
    page.until("return document.querySelector('.rows a') !== null")


def test_filters(page: Browser, urls: dict[str, str]) -> None:
    """What is chosen stands in the address, so that it can be kept."""
    page.open(urls["log"])
    page.until("return document.querySelectorAll('#filter-tag option').length === 3")
    page.script(
        "const field = document.querySelector('#filter-tag'); field.value = 'odd';"
        "field.dispatchEvent(new Event('change'))"
    )
    page.until("return document.querySelector('.found').textContent === '1 call'")
    assert page.script("return location.hash") == "#/?tag=odd"
    page.driver.refresh()
    page.until("return document.querySelector('.found')?.textContent === '1 call'")


def test_compare_by_hand(page: Browser, urls: dict[str, str]) -> None:
    """Two calls that are ticked are compared."""
    page.open(urls["cassette"])
    page.until("return document.querySelectorAll('.rows input').length === 2")
    page.script("document.querySelectorAll('.rows input').forEach((each) => each.click())")
    page.script("document.querySelector('.comparing button').click()")
    page.until("return document.querySelector('ins')?.textContent.includes('two')")


def test_a_long_conversation(page: Browser, tmp_path: Path) -> None:
    """A call of 3 MB is there within half a second, and what is far from the screen is made when it comes near it."""
    page.loaded(), page.complaints()  # what was there before, and not here
    path = long_call(tmp_path / "long.json", 3_000_000)
    file = tmp_path / "page.html"
    file.write_text(mellite.viewer.html(path), encoding="utf-8")
    with mellite.viewer.serve(path) as viewer:
        page.size(1280)
        for url in (viewer.url, file.as_uri()):
            times = []
            for _ in range(3):  # other programs of the machine slow one of them down
                page.driver.get("about:blank")
                page.open(url)
                times.append(page.painted("#/call/0", ".call"))
            print(f"a call of 3 MB from {url[:4]}: {min(times):.0f} ms")
            assert min(times) < 500
            assert page.script("return document.querySelectorAll('*').length") < 15_000
            assert "Yes, all of it." in page.text
            places = "document.querySelectorAll('.conversation > .later')"
            assert "The very end." in page.script(f"return [...{places}].pop().textContent")
            turns = page.script("return document.querySelectorAll('.turn').length")
            for _ in range(4):
                page.script(f"{places}[0].scrollIntoView()")
                page.until("return document.querySelectorAll('.turn').length > arguments[0]", turns)
                turns = page.script("return document.querySelectorAll('.turn').length")
            page.script("document.querySelector('.turn.answer').scrollIntoView()")
            page.until(
                "return [...document.querySelectorAll('.turn')].some((e) => e.innerText.includes('The very end.'))"
            )
            assert page.script("return document.querySelectorAll('.turn').length") < 100
            first = page.script("return [...document.querySelectorAll('.turn .parts p')].map((p) => p.textContent)")
            said = [each for each in first if each.startswith("Turn ")]
            assert said[: turns - 2] == [f"Turn {number}." for number in range(turns - 2)]
            page.script("document.querySelectorAll('.raw')[0].open = true")
            page.until("return document.querySelector('.raw .json')?.textContent.includes('messages: ')")
    assert page.complaints() == []


def test_a_long_text(page: Browser, tmp_path: Path) -> None:
    """Of a text of 3 MB the beginning is shown, and all of it when that is wanted, with every line as it was."""
    page.loaded(), page.complaints()
    path = long_call(tmp_path / "long.json", 3_000_000, messages=1)
    with mellite.viewer.serve(path) as viewer:
        page.open(f"{viewer.url}#/call/0")
        shown = "document.querySelector('.long pre')"
        assert page.script(f"return [{shown}.firstChild.length, {shown}.lastChild.hidden]") == [50_000, "until-found"]
        page.script("document.querySelector('.long button').click()")
        assert page.script(f"return {shown}.lastChild.hidden") is False
        text = json.loads(json.loads(path.read_text())["interactions"][0]["request"]["body"])["messages"][0]["content"]
        assert page.script(f"return {shown}.textContent") == text
        copied = page.script(f"getSelection().selectAllChildren({shown}); return getSelection().toString()")
        assert copied.strip() == text
        assert page.script(f"return document.activeElement === {shown}")
    assert page.complaints() == []


#: Makes a link to words of the view, which the browser finds by the means of its search, and shows where hidden.
TO_WORDS: Final = """
    const link = document.createElement('a');
    link.href = `${location.hash}:~:text=${encodeURIComponent(arguments[0])}`;
    link.className = 'to-words';
    link.append('go');
    document.querySelector('h2').append(link);
"""


def test_words_far_in_a_long_text(page: Browser, tmp_path: Path) -> None:
    """A search of the page finds words behind the beginning that is shown, and shows them; another browser says so."""
    page.loaded(), page.complaints()
    path = long_call(tmp_path / "long.json", 3_000_000, messages=1)
    with mellite.viewer.serve(path) as viewer:
        page.open(f"{viewer.url}#/call/0")
        for words, there in (("The very end.", True), ("The very start.", False)):
            assert page.script("return window.find(arguments[0])", words) is there
        assert page.script("return document.querySelector('.rest').hidden") == "until-found"
        page.script(TO_WORDS, "The very end.")
        page.driver.find_element("class name", "to-words").click()
        page.until("return document.querySelector('.rest').hidden === false")
        page.until("return document.body.innerText.includes('The very end.')")
        assert page.script("return document.querySelector('.long button')") is None
        page.script("delete HTMLElement.prototype.onbeforematch")
        page.go("#/runs")
        page.go("#/call/0")
        assert "; a search of the page finds nothing in the others until then" in page.text
    assert page.complaints() == []


def test_replay(page: Browser, urls: dict[str, str]) -> None:
    """A stream is given again in its time: from nothing to all of it."""
    page.open(f"{urls['cassette']}#/timeline/0")
    assert "One two three." in page.text
    page.script(
        "const at = document.querySelector('input[type=range]'); at.value = '10'; at.dispatchEvent(new Event('input'))"
    )
    assert page.script("return document.querySelector('.replayed').textContent") == ""
    page.script("document.querySelector('.controls button').click()")
    page.until("return document.querySelector('.replayed').textContent === 'One two three.'")


def test_live(page: Browser, tmp_path: Path) -> None:
    """A call of a running program appears as it settles."""
    path = logged(tmp_path / "log.db", 1)
    with mellite.viewer.serve(path) as viewer:
        page.open(f"{viewer.url}#/live")
        page.until("return document.querySelector('.found').textContent.startsWith('Waiting')")
        logged(path, 2)
        page.until("return document.body.innerText.includes('Answer 0 of <b>many</b>.')")


def test_growing(page: Browser, tmp_path: Path) -> None:
    """An answer of a running program grows before one's eyes, among other calls and by itself."""
    path = journaled(tmp_path / "journal")
    backend = Growing()

    async def main() -> None:
        with mellite.journal(path):
            await backend.generate("Grow.")

    with mellite.viewer.serve(path) as viewer:
        page.open(f"{viewer.url}#/live")
        page.until("return document.querySelector('.found').textContent.startsWith('Waiting')")
        program = threading.Thread(target=anyio.run, args=(main,))
        program.start()
        page.until("return document.querySelector('.growing')?.textContent === 'One two '")
        page.picture(PICTURES / "growing-light-1280.png")
        page.script("document.querySelector('.row a').click()")
        page.until("return document.querySelector('.answer .growing')?.textContent === 'One two '")
        backend.ended.set()
        page.until("return document.querySelector('.growing') === null && document.body.innerText.includes('copy as')")
        program.join()


def test_growing_long(page: Browser, tmp_path: Path) -> None:
    """Of a long answer the page is told what is new, and shows its end, and no part of a key before that is masked."""
    path = journaled(tmp_path / "journal")
    long = "many words " * 6000
    key = ("The key is sk-abcdefghijklmnop", "qrstuvwxyz, ", "says \N{GRINNING FACE}. ")
    backend = InPieces([long, f"{long}and more. ", *key])

    async def main() -> None:
        with mellite.journal(path):
            await backend.generate("Grow.")

    with mellite.viewer.serve(path) as viewer:
        page.open(f"{viewer.url}#/live")
        page.until("return document.querySelector('.found').textContent.startsWith('Waiting')")
        program = threading.Thread(target=anyio.run, args=(main,))
        program.start()
        ends = (
            "many words ",
            "and more. ",
            "The key is ",
            "[REDACTED], ",
            "[REDACTED], says \N{GRINNING FACE}. ",
        )
        for end in ends:
            page.until("return document.querySelector('.growing')?.textContent.endsWith(arguments[0])", end)
            backend.seen.set()
        assert page.script("return document.querySelector('.growing').textContent.length") < 50_010
        program.join()


def test_one_file(page: Browser, paths: dict[str, Path], tmp_path: Path) -> None:
    """The page that is one file shows the same from the disk, and asks nobody for anything."""
    page.loaded(), page.complaints()  # what was loaded before, and not there
    for name, words in (("journal", "It is sunny."), ("cassette", "One three."), ("log", "Slow down.")):
        file = tmp_path / f"{name}.html"
        file.write_text(mellite.viewer.html(paths[name]), encoding="utf-8")
        page.open(file.as_uri())
        assert "calls" in page.text
        first = page.script("return document.querySelector('.rows a').hash")
        hashes = ["#/call/4"] if name == "journal" else [first]
        for hash in (*hashes, "#/runs", "#/costs", "#/live"):
            page.go(hash)
            if hash in hashes:
                assert words in page.text
        if name == "cassette":
            page.go("#/diff/0/1")
            assert page.script("return document.querySelector('del').textContent").strip() == "two"
            assert "answer: text" in page.text
        if name == "journal":
            page.go("#/runs")
            run, other = page.script("return [...document.querySelectorAll('td a')].map((a) => a.hash.slice(6))")
            page.go(f"#/diff/{run}/{other}")
            assert page.script("return document.querySelectorAll('.pair').length") == 4
            page.go("#/diff/5/6")
            assert "Short?" in page.script("return document.querySelector('del').textContent")
            assert "Which weather?" in page.script("return document.querySelector('ins').textContent")
        assert page.complaints() == []
        assert {host for host in page.loaded() if host != "data:"} <= {"file:"}


def test_words_in_one_file(page: Browser, tmp_path: Path) -> None:
    """Words are found in one file wherever they stand in a text, and what is no text is not looked at."""
    path = recorded(tmp_path / "chat.json", f"{'Much. ' * 1000}A needle.", "One.", "Two.")
    file = tmp_path / "page.html"
    file.write_text(mellite.viewer.html(path), encoding="utf-8")
    page.open(file.as_uri())
    for word, count in (("NEEDLE", 1), ("say+<i>", 3), ("user", 0), ("needles", 0), ("o", 2)):
        page.go(f"#/?q={word}")
        found = page.script("return document.querySelector('.found').textContent")
        assert found == f"{count} call{'' if count == 1 else 's'}"


def test_on_paper(page: Browser, urls: dict[str, str]) -> None:
    """A call can be printed, and a list with all its rows, not only those on the screen."""
    page.open(f"{urls['journal']}#/call/4")
    printed = page.driver.execute_cdp_cmd("Page.printToPDF", {})
    assert len(printed["data"]) > 5000
    page.open(urls["recordings"])
    page.script(
        "window.addEventListener('beforeprint', () => { window.rows = document.querySelectorAll('.rows .row').length })"
    )
    page.driver.execute_cdp_cmd("Page.printToPDF", {})
    assert page.script("return window.rows") > 50 > page.script("return document.querySelectorAll('.rows .row').length")


def test_a_hundred_thousand_calls(page: Browser, tmp_path: Path) -> None:
    """A log of 100,000 calls is there within a second, and is filtered within a fifth of one."""
    path = many_calls(tmp_path / "large.db", 100_000)
    with mellite.viewer.serve(path) as viewer:
        page.size(1280)
        times = []
        for _ in range(3):  # other programs of the machine slow one of them down
            page.driver.get("about:blank")
            page.open(viewer.url)
            times.append(page.script("return performance.getEntriesByName('first-contentful-paint')[0].startTime"))
        painted = min(times)
        assert painted < 1000
        took = {}
        for name, hash in (
            ("state", "#/?state=failed"),
            ("model", "#/?model=scripted"),
            ("word", "#/?q=question+9999"),
        ):
            took[name] = 9000.0
            for _ in range(3):
                page.go("#/")
                took[name] = min(took[name], page.driver.execute_async_script(FILTERED, hash))
        print(f"first paint {painted:.0f} ms, filters {took}")
        page.settled()
        assert page.script("return document.querySelector('.found').textContent") == "11 calls"
        page.go("#/")
        page.script("document.querySelector('.viewport').scrollTop = 1e9")
        page.until("return document.body.innerText.includes('Question 0, also')")
        assert page.script("return document.querySelectorAll('.row').length") < 60
        assert max(took.values()) < 200
