"""Write what the code knows into a page of the documentation, between two marks: options, providers, errors, limits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from attrs import frozen

from tests.pages import ROOT
from tests.site import error_table, limit_table, option_table, provider_table

#: What makes a table, by the page that it stands in and its name there.
TABLES: Final[dict[tuple[str, str], Callable[[], Iterator[str]]]] = {
    ("options.md", "meaning"): option_table.meanings,
    ("options.md", "protocols"): option_table.by_protocol,
    ("limits.md", "limits"): limit_table.rows,
    ("providers.md", "providers"): provider_table.rows,
    ("providers.md", "refusals"): provider_table.refusals,
    ("errors.md", "errors"): error_table.rows,
}


@frozen
class Written:
    """A table in a page.

    Args:
        page: the name of the page, below docs/.
        name: the name of the table, in its marks.
    """

    page: str
    name: str

    @property
    def path(self) -> Path:
        """The file of the page."""
        return ROOT / "docs" / self.page

    def renewed(self, text: str) -> str:
        """Return the text of the page with the table of today in the place of the one that stands there.

        Raises:
            ValueError: if a mark is missing.
        """
        begin, end = f"<!-- {self.name}: written by python -m tests.site -->\n", f"<!-- end of {self.name} -->\n"
        before, mark, rest = text.partition(begin)
        _, other, after = rest.partition(end)
        if not (mark and other):
            msg = f"docs/{self.page} lacks the marks around the table {self.name!r}"
            raise ValueError(msg)
        return before + begin + "\n".join(["", *TABLES[self.page, self.name](), "", ""]) + end + after


ALL: Final = [Written(*key) for key in TABLES]


def write() -> None:
    """Bring every page up to date."""
    for each in ALL:
        each.path.write_text(each.renewed(each.path.read_text(encoding="utf-8")), encoding="utf-8")
