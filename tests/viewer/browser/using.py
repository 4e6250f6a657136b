"""Go about in the viewer as people do: back and forth, on slow connections, while files change and servers come and go.

Not collected with the other tests: `nox -s viewer` installs what it needs and runs it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

import mellite
from tests.viewer.browser.driving import Browser, browser
from tests.viewer.many_calls import many_calls
from tests.viewer.viewing import journaled, logged, recorded

#: Holds back the answers to what has some words in its address, as a slow connection does, until `let_go()`.
HELD: Final = """
    const [words] = arguments;
    const real = window.fetch;
    window.held = [];
    window.let_go = () => { window.fetch = real; window.held.forEach((go) => go()); };
    window.fetch = async (url, options) => {
        const answer = await real(url, options);
        if (String(url).includes(words)) await new Promise((go) => window.held.push(go));
        return answer;
    };
"""

#: Lets them go, and waits until the page has had the time to show them: another answer has come and was read.
LET_GO: Final = """
    const [done] = arguments;
    window.let_go();
    fetch('api/calls/0?brief=1').then((answer) => answer.json()).then(() => setTimeout(done, 50));
"""

#: "Hello, world."
HEBREW: Final = "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd."


@pytest.fixture(scope="module")
def page() -> Iterator[Browser]:
    """A browser."""
    with browser() as opened:
        opened.size(1280)
        yield opened


def press(page: Browser, *keys: str) -> None:
    """Press keys, wherever the page is."""
    for key in keys:
        ActionChains(page.driver).send_keys(key).perform()


def test_back_to_the_row(page: Browser, tmp_path: Path) -> None:
    """Who comes back from a call finds the list where it was, and goes on from the row, by the browser or by keys."""
    with mellite.viewer.serve(many_calls(tmp_path / "many.db", 2000)) as viewer:
        page.open(viewer.url)
        page.script("document.querySelector('.viewport').scrollTop = 30_000")
        page.until("return document.querySelector('[data-at=\"505\"] a') !== null")
        page.settled()
        opened = page.script("const row = document.querySelector('[data-at=\"505\"] a'); row.click(); return row.hash")
        page.until("return document.querySelector('.call') !== null")
        page.driver.back()
        page.until("return document.activeElement.hash === arguments[0]", opened)
        assert page.script("return document.querySelector('.viewport').scrollTop") == 30_000
        press(page, "j", "j", Keys.ENTER)
        page.until("return document.querySelector('.call') !== null")
        press(page, Keys.ESCAPE)
        page.until("return document.activeElement.closest('[data-at=\"507\"]') !== null")
        press(page, "/", "question 7")
        page.until("return document.querySelector('.found').textContent.startsWith('111 ')")
        page.settled()
        assert page.script("return [document.querySelector('.viewport').scrollTop, document.activeElement.id]") == [
            0,
            "search",
        ]
    assert page.complaints() == []


def test_from_call_to_call(page: Browser, tmp_path: Path) -> None:
    """From a call one goes to the next and the previous one of the list that it was opened from, by keys."""
    with mellite.viewer.serve(many_calls(tmp_path / "many.db", 300)) as viewer:
        page.open(f"{viewer.url}#/?q=question+7")
        ids = page.script("return [...document.querySelectorAll('.rows a')].map((row) => row.hash)")
        assert len(ids) == 11
        press(page, "j", "j", Keys.ENTER)
        page.until("return location.hash === arguments[0] && document.querySelector('.call') !== null", ids[1])
        for key, hash in (("j", ids[2]), ("j", ids[3]), ("k", ids[2]), ("k", ids[1]), ("k", ids[0]), ("k", ids[0])):
            press(page, key)
            page.until("return location.hash === arguments[0]", hash)
            page.settled()
        press(page, Keys.ESCAPE)
        page.until("return document.activeElement.hash === arguments[0]", ids[0])
        page.go("#/call/call-150")  # not from the list
        press(page, "j")
        page.settled()
        assert page.script("return location.hash") == "#/call/call-150"
    assert page.complaints() == []


def test_titles(page: Browser, tmp_path: Path) -> None:
    """Each view has a title of its own, by which one finds it among tabs and in the history."""
    path = journaled(tmp_path / "journal")
    with mellite.viewer.serve(path) as viewer:
        page.open(viewer.url)
        end = f" · …/{tmp_path.name}/journal · mellite view"
        page.until("return document.title === arguments[0]", f"calls{end}")
        run = page.script("return fetch('api/runs').then((answer) => answer.json()).then(({ runs }) => runs[0])")
        for hash, title in (
            ("#/?q=sunny", "calls with sunny"),
            ("#/call/4", "call 4"),
            ("#/timeline/5", "timeline of call 5"),
            ("#/runs", "runs"),
            (f"#/run/{run['id']}", run["name"]),
            ("#/diff/4/5", "4 compared with 5"),
            ("#/costs", "costs"),
            ("#/live", "live"),
            ("#/call/none", "nothing"),
        ):
            page.go(hash)
            assert page.driver.title == title + end
            assert page.script("return document.querySelector('main').getAttribute('aria-label')") == title
    assert [each for each in page.complaints() if "404" not in each] == []


def test_an_answer_that_comes_too_late(page: Browser, tmp_path: Path) -> None:
    """On a slow connection the view that one went to last is shown, and not the one whose answer came last."""
    path = recorded(tmp_path / "chat.json", "The first.", "The second.")
    with mellite.viewer.serve(path) as viewer:
        page.open(viewer.url)
        page.script(HELD, "calls/0")
        page.script("location.hash = '#/call/0'")
        page.until("return window.held.length === 1")
        page.go("#/call/1")
        page.driver.execute_async_script(LET_GO)
        assert "The second." in page.text
        page.script(HELD, "calls?")
        page.script("location.hash = '#/'")
        page.until("return window.held.length === 1")
        page.script("location.hash = '#/runs'")
        page.until("return document.querySelector('.runs') !== null")
        page.driver.execute_async_script(LET_GO)
        assert page.script("return document.querySelector('.runs') !== null")
    assert page.complaints() == []


def test_an_answer_that_breaks_off(page: Browser, tmp_path: Path) -> None:
    """That an answer broke off on its way is said, and the half of it is not shown."""
    path = recorded(tmp_path / "chat.json", "The first.")
    with mellite.viewer.serve(path) as viewer:
        page.open(viewer.url)
        page.script(
            "window.fetch = async () => new Response(new ReadableStream({ start: (body) => {"
            " body.enqueue(new TextEncoder().encode('{\"total\":')); body.error(new TypeError('network error')); } }));"
        )
        page.go("#/call/0")
        assert "this cannot be shown: the answer broke off" in page.text
    assert page.complaints() == []


def test_another_server(page: Browser, tmp_path: Path) -> None:
    """A page whose server was started again says that its address is not valid any more, and where the new one is."""
    path = logged(tmp_path / "log.db")
    with mellite.viewer.serve(path) as viewer:
        page.open(viewer.url)
        port = urlsplit(viewer.url).port or 0
    page.go("#/costs")
    assert "nobody answers; is `mellite view` still running?" in page.text
    with mellite.viewer.serve(path, port=port):
        for hash in ("#/", "#/runs", "#/call/1"):
            page.go(hash)
            page.until("return document.body.innerText.includes('this address is not valid any more: open the one')")
    page.complaints()  # the browser tells of what is refused


def test_calls_that_come_meanwhile(page: Browser, tmp_path: Path) -> None:
    """Calls that come while one scrolls move no call to where another one is shown, and none is left out."""
    path = logged(tmp_path / "log.db", 450)
    with mellite.viewer.serve(path) as viewer:
        page.size(1280, 700)
        page.open(viewer.url)
        logged(path, 30)
        seen: set[str] = set()
        for top in range(0, 480 * 60, 600):
            page.script("document.querySelector('.viewport').scrollTop = arguments[0]", top)
            page.settled()
            page.until("return document.querySelector('.row.waiting') === null")
            hashes = page.script("return [...document.querySelectorAll('.rows a')].map((row) => row.hash)")
            assert len(hashes) == len({*hashes})
            seen |= {*hashes}
        assert page.script("return document.querySelector('.found').textContent") == "480 calls"
        assert len(seen) >= 450
        page.script("document.querySelector('.viewport').scrollTop = 0")
        page.settled()
        newest = page.script("return fetch('api/calls?limit=1').then((answer) => answer.json())")["calls"][0]["id"]
        page.until("return document.querySelector('.rows a').hash === `#/call/${arguments[0]}`", newest)
        page.size(1280)


def test_right_to_left(page: Browser, tmp_path: Path) -> None:
    """What is written from right to left begins on the right, beside what is not."""
    path = recorded(tmp_path / "chat.json", f"{HEBREW}\n\nHello.\n\n- {HEBREW}")
    side = """
        const [start, end] = [...document.querySelectorAll(arguments[0])].map((element) => {
            const [text, box] = [document.createRange(), element.getBoundingClientRect()];
            text.selectNodeContents(element);
            const words = text.getClientRects()[0];
            return words.left - box.left > box.right - words.right ? 'right' : 'left';
        });
        return [start, end];
    """
    with mellite.viewer.serve(path) as viewer:
        page.open(f"{viewer.url}#/call/0")
        assert page.script(side, ".answer .markdown > p") == ["right", "left"]
        assert page.script(side, ".answer li")[0] == "right"
        page.go("#/")
        assert page.script(side, ".rows .words .said")[0] == "right"


def test_filters_after_an_error(page: Browser, tmp_path: Path) -> None:
    """Models and tags among which one chooses are there again when they could not be had once, and new ones too."""
    path = logged(tmp_path / "log.db")
    options = "return [...document.querySelectorAll('#filter-tag option')].map((each) => each.value).sort().join()"
    with mellite.viewer.serve(path) as viewer:
        page.open(f"{viewer.url}#/runs")
        page.script(
            "const real = fetch; window.fetch = (url, options) => String(url).includes('facets')"
            " ? Promise.reject(new TypeError('gone')) : real(url, options);"
        )
        page.go("#/")
        assert page.script(options) == ""
        page.driver.refresh()
        page.until(f"return (() => {{ {options} }})() === ',even,odd'")
        with mellite.log.to(path):
            mellite.backends.Echo().generate("More.", metadata={"tags": ["new"]}).result()
        mellite.log.flush()
        page.go("#/runs")
        page.go("#/")
        page.until(f"return (() => {{ {options} }})() === ',even,new,odd'")
    assert page.complaints() == []


def test_bars_without_the_colours_of_the_page(page: Browser, tmp_path: Path) -> None:
    """The marks of a timeline can be seen where the system has colours of its own, and on paper."""
    with mellite.viewer.serve(recorded(tmp_path / "chat.json", "One two.")) as viewer:
        page.open(f"{viewer.url}#/timeline/0")
        mark = "getComputedStyle(document.querySelector('.mark.text'))"
        drawn = page.script(f"return {mark}.backgroundColor")
        features = [{"name": "forced-colors", "value": "active"}]
        page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        assert page.script("return matchMedia('(forced-colors: active)').matches")
        assert page.script(f"return {mark}.backgroundColor") == drawn
        page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [], "media": ""})
        assert page.script(f"return {mark}.printColorAdjust") == "exact"
