"""Walk README, tutorial and all other pages in one folder, twice, as a newcomer: python -m tests.newcomer [FOLDER].

Every block is pasted into a prompt, each page into one of its own; shell commands are run. What the first round left in
the folder is there in the second. Ends with 1 if something fails or prints something else than its page shows.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import traceback
from importlib.util import find_spec
from pathlib import Path

from tests.pages import APART, NEEDS, PAGES, ROOT, run_page

_FIRST = [ROOT / "README.md", ROOT / "docs" / "tutorial.md"]

#: In the order in which they are read: README and tutorial, then all others.
WALK = [*_FIRST, *[page for page in PAGES if page not in _FIRST]]


def walk(folder: Path) -> int:
    """Run all pages in the folder, two times, and count the failures."""
    os.chdir(folder)
    failures = 0
    for turn in ("first", "second"):
        for page in WALK:
            name = page.relative_to(ROOT)
            if page.name in NEEDS and find_spec(NEEDS[page.name]) is None:
                continue
            if turn == "second" and page.name in APART:
                continue
            try:
                differing = asyncio.run(run_page(page))
            except Exception:
                failures += 1
                print(f"{name}, {turn} round:\n{traceback.format_exc(limit=-1)}")
                continue
            failures += len(differing)
            for one in differing:
                print(f"{name}:{one.line}, {turn} round, shows\n{one.shown}and prints\n{one.printed}")
    print(f"{len(WALK)} pages, twice: {failures or 'no'} failures")
    return failures


if __name__ == "__main__":
    os.environ.pop("CI", None)  # where nothing is recorded
    if len(sys.argv) > 1:
        sys.exit(min(walk(Path(sys.argv[1])), 1))
    with tempfile.TemporaryDirectory() as fresh:
        sys.exit(min(walk(Path(fresh)), 1))
