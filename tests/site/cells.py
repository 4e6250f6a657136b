"""Text for the cells of tables, and environments in which no key of this machine shows."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator, Iterable

#: What a program needs of its environment; no provider reads these.
_KEPT = ("PATH", "HOME", "TMPDIR", "SYSTEMROOT", "VIRTUAL_ENV")


def cell(text: str) -> str:
    """Return a text as it stands in a cell: one line, reST's double backquotes as Markdown's, no bare pipe."""
    return " ".join(text.split()).replace("``", "`").replace("|", "\\|")


def code(names: Iterable[str]) -> str:
    """Return names in backquotes, with commas; "none" for none."""
    return ", ".join(f"`{name}`" for name in names) or "none"


@contextlib.contextmanager
def bare_environment() -> Generator[None]:
    """Take all variables away that could name a server, a key or a project, until the block ends."""
    before = dict(os.environ)
    for name in before:
        if name not in _KEPT:
            del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(before)
