"""A real notebook, run by a real kernel: what is in the outputs of its cells, and in the page that is exported of it.

Not in the suite, because it needs Jupyter: ``nox -s notebooks``. With MELLITE_PICTURES, a folder, the notebook and the
page are left there to be looked at.
"""

from __future__ import annotations

import asyncio
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
import pytest
from nbclient import NotebookClient
from nbconvert import HTMLExporter

from tests.notebooks.cells import CELLS

ALLOWED = {"div", "span", "pre"}


class Client(NotebookClient):
    """A client that keeps what was drawn over, too."""

    drawn: list[tuple[int, dict[str, Any]]]

    def process_message(self, msg: dict[str, Any], cell: Any, cell_index: int) -> Any:
        """Keep what a cell displays, and go on."""
        if msg["msg_type"] in {"display_data", "update_display_data"}:
            self.drawn.append((cell_index, msg["content"]["data"]))
        return super().process_message(msg, cell, cell_index)


class Ran(NamedTuple):
    """A notebook that has run."""

    book: Any
    drawn: list[tuple[int, dict[str, Any]]]

    def outputs(self, begins: str) -> list[Any]:
        """The outputs of the one cell whose code has a text in it."""
        (cell,) = [cell for cell in self.book.cells if begins in cell.source]
        return list(cell.outputs)

    def shown(self, begins: str) -> dict[str, str]:
        """The one output of a cell."""
        (output,) = self.outputs(begins)
        return dict(output["data"])

    def frames(self, begins: str) -> list[dict[str, str]]:
        """All that a cell displayed, one after the other."""
        (index,) = [at for at, cell in enumerate(self.book.cells) if begins in cell.source]
        return [data for at, data in self.drawn if at == index]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The notebook, run from top to bottom."""
    folder = tmp_path_factory.mktemp("notebook")
    cassette = folder / "kept.yaml"
    cassette.write_text("interactions: []\nversion: 1\n", encoding="utf-8")
    places = f"CASSETTE, JOURNAL = {str(cassette)!r}, {str(folder / 'runs.db')!r}"
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code) for code in (places, *CELLS)])
    client = Client(book, timeout=60, kernel_name="python3", resources={"metadata": {"path": str(folder)}})
    client.drawn = []
    client.execute()
    return Ran(book, client.drawn)


class Tags(HTMLParser):
    """The tags and attributes of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep it."""
        self.found.add(tag)
        self.attributes |= {name for name, _ in attrs}


def test_every_display_is_plain(ran: Ran) -> None:
    """All that is ever drawn has plain text and HTML, of few tags, and nothing in it acts."""
    bundles = [data for _, data in ran.drawn]
    bundles += [dict(out["data"]) for cell in ran.book.cells for out in cell.outputs if "data" in out]
    assert len(bundles) > 12
    for bundle in bundles:
        if set(bundle) != {"text/plain"}:  # as of a str
            assert set(bundle) == {"text/plain", "text/html"}
            tags = Tags(bundle["text/html"])
            assert (tags.found - ALLOWED, tags.attributes - {"style"}) == (set(), set())


def test_looking_sends_nothing(ran: Ran) -> None:
    """A pending thunk is shown as pending; after an await the same thunk is shown with its text and cost."""
    assert ran.shown("pending = ")["text/plain"].startswith("thunk ○ pending")
    (after,) = [dict(cell.outputs[0]["data"]) for cell in ran.book.cells if cell.source == "pending"]
    assert "thunk ● done · openai:gpt-4o-mini · stop · 17 + 10 tokens" in after["text/plain"]
    assert "&lt;script&gt;" in after["text/html"]


def test_watch_grows(ran: Ran) -> None:
    """A watched thunk is drawn in one place, anew as its text grows, and at the end as it settled."""
    frames = [frame["text/plain"] for frame in ran.frames("watched = ")]
    lengths = [len(re.findall(r"piece \d", frame)) for frame in frames]
    assert lengths == sorted(lengths)
    assert len(set(lengths)) >= 3
    assert "thunk ◐ running" in frames[0]
    assert ran.shown("watched = ")["text/plain"] == frames[-1]
    assert "thunk ● done" in frames[-1]


def test_two_watches(ran: Ran) -> None:
    """Two that are watched at once have a place each, and both end as they settled."""
    texts = [output["data"]["text/plain"] for output in ran.outputs("mellite.watch(model.generate('left'))")]
    assert len(texts) == 2
    assert [("left" in text, "right" in text) for text in texts] == [(True, False), (False, True)]
    assert all("thunk ● done" in text for text in texts)


def test_bar(ran: Ran) -> None:
    """A progress bar grows in its cell; nothing is written to standard error."""
    frames = [frame["text/plain"] for frame in ran.frames("progress=True")]
    (output,) = ran.outputs("progress=True")
    done = [int(re.findall(r"(\d)/6", frame)[0]) for frame in frames]
    assert done == sorted(done)
    assert {0, 6} < set(done)
    assert output["data"]["text/plain"] == frames[-1]
    assert re.search(r"6/6 .*162 tokens.* s$", frames[-1])


def test_others(ran: Ran) -> None:
    """Runs, results, cassettes and journals have their pictures."""
    for cell, words in {
        "run = mellite.run": ("● done", "Oslo"),
        "await mellite.gather(Scripted": ("3 thunks", "BackendError"),
        "mellite.BestOfN": ("BestOfN", "abc"),
        "load_cassette": ("cassette",),
        "mellite.journal": ("journal",),
    }.items():
        bundle = ran.shown(cell)
        for word in words:
            assert word in bundle["text/plain"]
            assert word in bundle["text/html"]


def test_result_in_a_cell(ran: Ran) -> None:
    """`thunk.result()` in a cell, where a loop runs, says to write `await`."""
    (output,) = ran.outputs(".result()")
    assert "await" in output["text"]


def test_export(ran: Ran) -> None:
    """A sanitised HTML export keeps the pictures, and the hostile text is text in it."""
    page, _ = HTMLExporter(sanitize_html=True).from_notebook_node(ran.book)
    if "MELLITE_PICTURES" in os.environ:
        folder = Path(os.environ["MELLITE_PICTURES"])
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "notebook.html").write_text(page, encoding="utf-8")
        nbformat.write(ran.book, folder / "notebook.ipynb")
    assert "<script>alert('hostile')" not in page
    assert "● done" in page
    assert "&lt;tbody" not in page
    assert re.search(r"<span>state</span><span>\u2003+</span>", page)
    assert "&lt;script&gt;alert(" in page


SLOW = """
import anyio, mellite
from mellite.events import TextDelta

class Slow(mellite.Backend):
    async def stream(self, request):
        for number in range(1000):
            yield TextDelta(f"piece {number} ")
            await anyio.sleep(0.05)

thunk = Slow().generate("x")
"""


class Interrupting(Client):
    """A client that interrupts the kernel as soon as a cell has drawn something."""

    interrupting: asyncio.Task[None] | None = None

    def process_message(self, msg: dict[str, Any], cell: Any, cell_index: int) -> Any:
        """Interrupt, once."""
        if msg["msg_type"] == "display_data" and self.interrupting is None:
            self.interrupting = asyncio.ensure_future(self.km.interrupt_kernel())
        return super().process_message(msg, cell, cell_index)


def test_interrupt() -> None:
    """Interrupting a cell that watches cancels the generation, and its picture says so."""
    cells = [nbformat.v4.new_code_cell(code) for code in (SLOW, "await mellite.watch(thunk)", "print(thunk.state)")]
    client = Interrupting(nbformat.v4.new_notebook(cells=cells), timeout=60, kernel_name="python3", allow_errors=True)
    client.drawn = []
    client.execute()
    assert client.interrupting is not None
    picture, error = cells[1].outputs
    assert picture["data"]["text/plain"].startswith("thunk ⊘ cancelled")
    assert "piece 0 " in picture["data"]["text/plain"]
    assert error["output_type"] == "error"
    assert cells[2].outputs[0]["text"] == "cancelled\n"
