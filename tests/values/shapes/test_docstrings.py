"""Docstrings of functions: the description of each parameter in three styles, and the rest of the text, all of it."""

from __future__ import annotations

import inspect
from typing import Annotated

import pytest

from mellite import tool
from mellite.values.shapes.docstrings import read_docstring

CASES: dict[str, tuple[str, str, dict[str, str]]] = {
    "none": ("", "", {}),
    "a line": ("Look up.", "Look up.", {}),
    "google": (
        """Look up.

        Longer: with a colon.

        Args:
            x: the first.
            y (int, optional): the second
                goes on. Defaults to 3.

                And has a paragraph.
            z: {"a": 1}

        Returns:
            What is there.
        """,
        "Look up.\n\nLonger: with a colon.\n\nReturns:\n    What is there.",
        {
            "x": "the first.",
            "y": "the second\ngoes on. Defaults to 3.\n\nAnd has a paragraph.",
            "z": '{"a": 1}',
        },
    ),
    "google, a section nobody knows behind it": (
        "Look up.\n\nArgs:\n    x: one.\n\nSide effects:\n    It writes.\n\nMore words.",
        "Look up.\n\nSide effects:\n    It writes.\n\nMore words.",
        {"x": "one."},
    ),
    "google, twice": (
        "Look up.\n\nArgs:\n    x: one.\n\nRaises:\n    OSError: no.\n\nKeyword Args:\n    y: two.",
        "Look up.\n\nRaises:\n    OSError: no.",
        {"x": "one.", "y": "two."},
    ),
    "google, a continuation that is not indented": (
        "Look up.\n\nArgs:\n    x: one\n    and on.\n    y: two.",
        "Look up.",
        {"x": "one\nand on.", "y": "two."},
    ),
    "google, a note that looks like a parameter": (
        "Look up.\n\nArgs:\n    x: one.\n    Note: of both.\n    y: two.",
        "Look up.\n\nArgs:\n    Note: of both.",
        {"x": "one.", "y": "two."},
    ),
    "google, stars and types in brackets": (
        "Args:\n    *x (list[Callable[[int], str]]): one.\n    y(str): two.",
        "",
        {"x": "one.", "y": "two."},
    ),
    "google, nothing below": ("Look up.\n\nArgs:\n\nWords.", "Look up.\n\nArgs:\n\nWords.", {}),
    "numpy": (
        """Look up.

        Parameters
        ----------
        x, y : float
            Both
            of them.
        z
            The third.

        Returns
        -------
        int
            What is there.

        Notes
        -----
        z is odd.
        """,
        "Look up.\n\nReturns\n-------\nint\n    What is there.\n\nNotes\n-----\nz is odd.",
        {"x": "Both\nof them.", "y": "Both\nof them.", "z": "The third."},
    ),
    "numpy, with words behind that belong to nothing": (
        "Look up.\n\nParameters\n----------\nx : int\n    One.\n\nThese are words.",
        "Look up.\n\nParameters\n----------\nThese are words.",
        {"x": "One."},
    ),
    "rest": (
        """Look up.

        :param x: one,
            and on.
        :param int y: two.
        :type x: str
        :returns: what is there.
        """,
        "Look up.\n\n:returns: what is there.",
        {"x": "one,\nand on.", "y": "two."},
    ),
    "two styles": (
        "Look up.\n\n:param x: one.\n\nArgs:\n    y: two.\n\nParameters\n----------\nz : int\n    Three.",
        "Look up.",
        {"x": "one.", "y": "two.", "z": "Three."},
    ),
    "a parameter that is described twice": (
        "Look up.\n\nArgs:\n    x: one.\n\n:param x: two.",
        "Look up.",
        {"x": "one.\ntwo."},
    ),
    "a parameter that is none": (
        "Look up.\n\nArgs:\n    x: one.\n    city: no parameter.\n        Of all.\n\n:param town: none, either.",
        "Look up.\n\nArgs:\n    city: no parameter.\n        Of all.\n\n:param town: none, either.",
        {"x": "one."},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_parts(name: str) -> None:
    """What is said of a parameter goes to it; all else stays in the description."""
    text, rest, said = CASES[name]
    assert read_docstring(text, ["x", "y", "z"]) == (rest, said)


@pytest.mark.parametrize("name", CASES)
def test_nothing_is_lost(name: str) -> None:
    """Each word of a docstring is in the description or at a parameter, but for headings, names and types."""
    text, _, _ = CASES[name]
    rest, said = read_docstring(text, ["x", "y", "z"])
    there = " ".join([rest, *said.values()]).split()
    marks = {"Args:", "Keyword", "Parameters", "x", "y", "z", "x,", "y,", ":", "float", "int", "optional):", "(int,"}
    marks |= {"x:", "y:", "z:", ":param", ":type", "str", "*x", "y(str):", "(list[Callable[[int],", "str]]):"}
    missing = [word for word in text.split() if word not in there and word not in marks and set(word) != {"-"}]
    assert missing == []


def test_a_parameter_left_out_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """Where others are described, one that is not is probably misspelled: the log names the tool and the place."""

    def look(x: int, y: int) -> None:
        """Look.

        Args:
            x: one.
        """

    _ = tool(look).input_schema
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("mellite", "WARNING")
    place = f"{__file__}:{look.__code__.co_firstlineno}"
    assert record.getMessage() == f"tool 'look' ({place}): its docstring describes other parameters, and not y"


def test_nothing_is_told_where_nothing_is_described(caplog: pytest.LogCaptureFixture) -> None:
    """A docstring that describes no parameter is not a mistake, and Annotated describes, too."""

    def look(x: int, y: int) -> None:
        """Look."""

    def see(x: int, y: Annotated[int, "two"]) -> None:
        """See.

        Args:
            x: one.
        """

    assert tool(look).input_schema != tool(see).input_schema
    assert caplog.records == []


def test_descriptions_of_wrapped_functions() -> None:
    """The docstring is that of the function itself, however it is indented."""

    def look(x: int) -> None:
        """Look.

        :param x: one.
        """

    assert tool(look).description == "Look."
    assert inspect.getdoc(look) != tool(look).description
