"""docs/reference.md names everything that is public, each with what it is."""

from __future__ import annotations

import types

import pytest

from tests.reference_page import PAGE, PUBLIC, comment_above, first_line, page, rows, table


def test_the_table_is_true() -> None:
    """The page is what its script would write now."""
    text = PAGE.read_text(encoding="utf-8")
    if page(text) != text:
        pytest.fail("docs/reference.md is out of date: run python -m tests.reference_page", pytrace=False)


def test_every_public_module_has_a_section() -> None:
    """The table has each module that users import."""
    assert [line for line in table() if line.startswith("### ")] == [f"### `{name}`" for name in PUBLIC]


def made_up(**things: object) -> types.ModuleType:
    """A module that offers some things."""
    module = types.ModuleType("made_up")
    vars(module).update(things, __all__=[*things])
    return module


def ask(prompt: str) -> str:
    """Ask ``a model`` this | or that.

    And more.
    """
    return prompt


def test_a_row_is_the_first_line_of_a_docstring() -> None:
    """A name stands with its first line, as Markdown; modules are left out."""
    assert list(rows(made_up(ask=ask, module=types))) == ["| `ask()` | Ask `a model` this \\| or that. |"]


def test_a_new_name_changes_the_table() -> None:
    """The table of a module with one more name is another one."""
    assert list(rows(made_up(ask=ask))) != list(rows(made_up(ask=ask, tell=ask)))


def test_a_name_without_words_is_an_error() -> None:
    """Where neither a docstring nor a comment says what a thing is, the page cannot be written."""
    with pytest.raises(LookupError, match="THING"):
        first_line(1, "THING")


def test_a_value_is_described_by_the_comment_above_it() -> None:
    """What has no docstring is described by its comment, of which the first sentence is taken."""
    assert comment_above("ChunkVerdict") == "The verdict on a chunk."
