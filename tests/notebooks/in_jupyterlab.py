"""JupyterLab in a real browser: a notebook is run from top to bottom there, and what its cells show is looked at.

Not in the suite, because it needs Jupyter and Chromium: ``nox -s notebooks``. With MELLITE_PICTURES, a folder, pictures
of the notebook are left there.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import nbformat
import pytest

from tests.notebooks.cells import CELLS
from tests.viewer.browser.driving import Browser, browser

PICTURES: Final = Path(os.environ.get("MELLITE_PICTURES") or "notebook-pictures")

#: Finds the notebook in JupyterLab.
PANEL: Final = """
    const app = window.jupyterapp;
    const panel = app && [...app.shell.widgets('main')].find((each) => each.content && each.content.widgets);
"""

TOKEN: Final = "looked-at-by-a-test"


@contextmanager
def lab(folder: Path) -> Iterator[str]:
    """JupyterLab as a process of its own that shows a folder, and its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": port,
        "ServerApp.open_browser": False,
        "IdentityProvider.token": TOKEN,
        "ServerApp.root_dir": folder,
        "ServerApp.allow_root": True,
        "LabApp.expose_app_in_browser": True,
        "LabApp.check_for_updates_class": "jupyterlab.NeverCheckForUpdate",
        "LabApp.news_url": None,
    }
    command = [sys.executable, "-m", "jupyterlab", *[f"--{name}={value}" for name, value in settings.items()]]
    own = {
        name: str(folder / name.lower()) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")
    }
    around = {**os.environ, **own}
    with subprocess.Popen(command, cwd=folder, env=around, text=True, stderr=subprocess.PIPE) as process:
        try:
            assert process.stderr is not None
            for line in process.stderr:
                if re.search(r"http://127\.0\.0\.1:\d+/lab\?token=", line):
                    break
            else:
                pytest.fail("JupyterLab has ended")
            yield f"http://127.0.0.1:{port}/lab/tree/book.ipynb?token={TOKEN}"
        finally:
            process.terminate()
            process.wait(30)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """The notebook in the browser, run from top to bottom."""
    folder = tmp_path_factory.mktemp("lab")
    (folder / "kept.yaml").write_text("interactions: []\nversion: 1\n", encoding="utf-8")
    places = "CASSETTE, JOURNAL = 'kept.yaml', 'runs.db'"
    cells = [nbformat.v4.new_code_cell(code) for code in (places, *CELLS)]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), folder / "book.ipynb")
    with lab(folder) as url, browser() as opened:
        opened.size(1280, 5500)
        opened.driver.execute_cdp_cmd("Emulation.setFocusEmulationEnabled", {"enabled": True})
        opened.driver.get(url)
        opened.until(f"{PANEL} return panel && panel.content.widgets.length > 3 && panel.sessionContext.isReady")
        opened.script(f"{PANEL} app.shell.activateById(panel.id)")
        opened.until("return window.jupyterapp.shell.currentWidget !== null")
        opened.script("window.jupyterapp.commands.execute('notebook:run-all-cells')")
        opened.until(
            f"{PANEL} return panel.content.widgets.every((cell) => cell.model.type !== 'code' ||"
            " (cell.model.executionState ?? 'idle') === 'idle' && cell.model.executionCount !== null)"
        )
        yield opened


def shown(page: Browser) -> str:
    """What the outputs of all cells say."""
    text: str = page.script(
        "return [...document.querySelectorAll('.jp-OutputArea-output')].map((each) => each.innerText).join('\\n')"
    )
    return text


def test_all_cells_show_what_they_should(page: Browser) -> None:
    """Thunks, watches, bars, runs, samples, cassettes and journals are drawn, and what a model wrote is text."""
    text = shown(page)
    for words in ("○ pending", "● done", "piece 7", "6/6", "BestOfN", "22 degrees", "cassette", "journal", "await"):
        assert words in text
    assert "<script>alert('hostile')</script> end" in text
    assert page.script("return document.querySelectorAll('.jp-OutputArea-output script').length") == 0
    assert (
        page.script("return document.querySelectorAll('[data-mime-type*=error], [data-mime-type*=stderr]').length") == 0
    )


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_pictures(page: Browser, theme: str) -> None:
    """Tables are tables in both themes, and nothing is wider than the notebook."""
    named = f"JupyterLab {theme.title()}"
    page.script("window.jupyterapp.commands.execute('apputils:change-theme', {theme: arguments[0]})", named)
    page.until("return document.body.dataset.jpThemeName === arguments[0]", named)
    page.picture(PICTURES / f"jupyterlab-{theme}.png")
    wide = page.script(
        "return [...document.querySelectorAll('.jp-RenderedHTMLCommon')]"
        ".filter((each) => each.scrollWidth > each.clientWidth + 1).length"
    )
    assert wide == 0
    tables = page.script(
        "return [...document.querySelectorAll('.jp-RenderedHTMLCommon div')]"
        ".filter((each) => getComputedStyle(each).display === 'table-row').length"
    )
    assert tables >= 9
