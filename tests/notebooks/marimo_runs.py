"""A notebook of marimo, run by marimo: as a script it prints, and as a notebook it draws in its cells.

Not in the suite, because it needs marimo: ``nox -s notebooks``.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

NOTEBOOK = Path(__file__).parent / "marimo_notebook.py"


def test_script() -> None:
    """As a script, a watch writes its text, a bar draws nothing in a pipe, and nothing is drawn in cells."""
    done = subprocess.run([sys.executable, "-W", "error::RuntimeWarning", NOTEBOOK], capture_output=True, check=True)
    assert done.stdout.decode() == "watched <b>text</b>\n['one', 'two', 'three', 'four']\n"
    assert done.stderr == b""


def test_notebook(tmp_path: Path) -> None:
    """In a notebook, a thunk, a watch and a bar are drawn in the outputs of their cells."""
    book, page = tmp_path / "book.py", tmp_path / "book.html"
    shutil.copy(NOTEBOOK, book)
    command = [sys.executable, "-m", "marimo", "export", "html", book, "-o", page]
    subprocess.run(command, cwd=tmp_path, capture_output=True, check=True)
    written = re.findall(r'"text/html": ("(?:[^"\\]|\\.)*")', page.read_text(encoding="utf-8"))
    outputs = [json.loads(each) for each in written]
    assert len(outputs) == 3
    pending, watched, bar = outputs
    assert "○ pending" in pending
    assert "● done" in watched
    assert "watched &lt;b&gt;text&lt;/b&gt;" in watched
    assert re.search(r"█{24} 4/4 · [\d,]+ tokens", bar)
