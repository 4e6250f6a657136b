"""Sixty types: each has a schema that is one, a written-out value fits it and is read back as it was."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import pytest

from mellite.values.shapes import Mismatch, Shape, shape_of
from tests.answer_types import TABLE, written

JUNK: list[Any] = [
    None,
    True,
    0,
    1,
    -3,
    2.5,
    3.0,
    "",
    "a",
    "3",
    "red",
    "2026-01-31",
    "2026-01-31T12:00:00Z",
    "A" * 50,
    [],
    [1],
    ["a", 1],
    [[]],
    [1, "a", False],
    {},
    {"a": 1},
    {"name": "x"},
    {"name": None},
    {"name": "x", "people": "3"},
    {"kind": "square"},
    {"kind": "square", "side": 1},
    {"kind": "triangle", "side": 1},
    {"type": "cat"},
    {"type": "cow"},
    {"value": 1, "children": [{"value": 2.0, "children": None}]},
    {"y": 1},
    {"title": "x", "seasons": 1.0},
    {"1": "a"},
    {"red": 0.5},
    {"purple": 1},
    {"left": {"right": {"left": None}}},
    {"to": {"name": ""}, "text": "x"},
]


def test_there_are_sixty() -> None:
    """The table has what it says."""
    assert len(TABLE) >= 60


def validator(schema: dict[str, Any]) -> Any:
    """What checks values against a schema, which is checked itself."""
    jsonschema_rs.meta.validate(schema)
    return jsonschema_rs.validator_for(schema, offline=True)


@pytest.mark.parametrize("name", TABLE)
def test_a_value_comes_back(name: str) -> None:
    """The value written out in full fits the schema, and is read back equal and of the same type."""
    kind, value = TABLE[name]
    shape = shape_of(kind)
    assert validator(shape.schema()).is_valid(written(value))
    again = shape.convert(written(value))
    assert (again, type(again)) == (value, type(value))


@pytest.mark.parametrize("name", TABLE)
def test_what_fits_is_read_or_told(name: str) -> None:
    """A value that fits the schema is read, or is an error with a path; what does not fit is always an error."""
    kind, _ = TABLE[name]
    shape = shape_of(kind)
    fits = validator(shape.schema())
    for value in JUNK:
        wrong = misfit(shape, value)
        if wrong is None:
            assert fits.is_valid(value) or name in LENIENT, value
        else:
            assert wrong.path.startswith("$")
            assert str(wrong) == f"{wrong.path}: {wrong.message}"


def misfit(shape: Shape, value: Any) -> Mismatch | None:
    """What is said of a value that does not fit."""
    try:
        shape.convert(value)
    except Mismatch as error:
        return error
    return None


LENIENT = {
    "decimal": "a number is read as well",
    "named tuple": "an array of the values in order is read as well",
    "union by fields": "the same inside",
    "dataclass in itself": "null for a field with a default is nothing given",
    "struct": "the tag may be left out where nothing has to be told apart",
}
"""What reads more than its schema says, and why."""
