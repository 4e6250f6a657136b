"""Write the table of public names into docs/reference.md: python -m tests.reference_page.

Run it after a public name was added or the first line of its docstring changed; a test fails until then.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Final

from tests.layer_rules import FACES
from tests.pages import ROOT

ROOMS: Final = ("backends", "cassettes", "engine", "viewer")
"""The rooms that users import by their names."""

INNER: Final = ("engine.batch",)
"""Packages within them that users import by their names."""

PUBLIC: Final = ["mellite", *(f"mellite.{name}" for name in sorted([*ROOMS, *INNER, *FACES]))]
"""The modules that users import."""

PAGE: Final = ROOT / "docs" / "reference.md"
BEGIN: Final = "<!-- public names: written by python -m tests.reference_page -->\n"
END: Final = "<!-- end of public names -->\n"

SOURCES: Final = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "mellite").rglob("*.py"))]


def page(text: str) -> str:
    """Put the table of today into the text of the page, in the place of the one that stands there."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + "\n".join(["", *table(), ""]) + END + after


def table() -> Iterator[str]:
    """Yield the lines of the table: a section for each public module, and in it a line for each of its names."""
    for name in PUBLIC:
        module = importlib.import_module(name)
        yield from (f"### `{name}`", "", first_line(module, name), "", "| name | what it is |", "|---|---|")
        yield from rows(module)
        yield ""


def rows(module: ModuleType) -> Iterator[str]:
    """Yield a row for each public name of a module, other modules and the version aside."""
    for name in sorted(module.__all__, key=str.casefold):
        thing = getattr(module, name)
        if not inspect.ismodule(thing) and name != "__version__":
            call = "()" if inspect.isfunction(thing) else ""
            yield f"| `{name}{call}` | {first_line(thing, name)} |"


def first_line(thing: object, name: str) -> str:
    """Return what one thing is in a sentence: its docstring's first line, or the comment above a value.

    Raises:
        LookupError: if there is neither.
    """
    described = inspect.ismodule(thing) or inspect.isclass(thing) or inspect.isfunction(thing)
    said = (inspect.getdoc(thing) or "").partition("\n")[0] if described else comment_above(name)
    if not said:
        msg = f"nothing says what {name} is: give it a docstring, or a comment that begins with #:"
        raise LookupError(msg)
    return said.replace("``", "`").replace("|", "\\|")


def comment_above(name: str) -> str:
    """Return the first sentence of the ``#:`` comment above the definition of a value; empty if it has none."""
    pattern = re.compile(rf"((?:^#: .*\n)+){name}(?::.*)? = ", re.MULTILINE)
    found = next((match[1] for source in SOURCES if (match := pattern.search(source))), "")
    said = " ".join(line.removeprefix("#: ") for line in found.splitlines())
    return re.split(r"(?<=\.) (?=[A-Z])", said, maxsplit=1)[0]


def write(path: Path = PAGE) -> None:
    """Bring the page up to date."""
    path.write_text(page(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    write()
