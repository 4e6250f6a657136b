"""The tables of docs/ say what the code does today."""

from __future__ import annotations

import pytest

from mellite import errors
from mellite.errors import MelliteError
from mellite.request import Options
from tests.site.error_table import TO_DO
from tests.site.option_table import OTHERS, VALUES, documented, every_option
from tests.site.written import ALL, Written


@pytest.mark.parametrize("table", ALL, ids=lambda table: f"{table.page}-{table.name}")
def test_is_current(table: Written) -> None:
    """A page shows the table that the code gives."""
    text = table.path.read_text(encoding="utf-8")
    if table.renewed(text) != text:
        pytest.fail(f"docs/{table.page} is out of date: run python -m tests.site", pytrace=False)


def test_a_page_without_its_marks_is_noticed() -> None:
    """A page that has lost a mark is told of, and not written."""
    with pytest.raises(ValueError, match="lacks the marks"):
        ALL[0].renewed("# Options\n")


def test_every_error_has_something_to_do() -> None:
    """The advice is for the errors that there are, no more and no less."""
    there = {
        name for name, thing in vars(errors).items() if isinstance(thing, type) and issubclass(thing, MelliteError)
    }
    assert there == set(TO_DO)


def test_every_option_has_a_meaning() -> None:
    """The page of options has all that a call takes, and its second table all that is sent as a field of its own."""
    assert {*documented(Options), *OTHERS} == every_option()
    assert set(documented(Options)) - set(VALUES) == {"timeouts", "drop_unsupported"}
