"""JSON Schemas of output types, and their strict form."""

from __future__ import annotations

import dataclasses
from typing import Any

import attrs
import pytest

from mellite.errors import InvalidRequest, OutputValidationError
from mellite.values.output import parse, schema_of
from mellite.values.outputs.reading import answer_in


@attrs.frozen
class Inner:
    """Inside."""

    x: int


@attrs.frozen
class Outer:
    """Outside."""

    inner: Inner
    others: list[Inner]


@dataclasses.dataclass
class Tree:
    """Refers to itself."""

    children: list[Tree]


class Described:
    """Describes itself, as pydantic models do."""

    @classmethod
    def model_json_schema(cls) -> dict[str, Any]:
        """Its schema."""
        return {"type": "object", "title": "mine"}


def test_the_root_is_written_out() -> None:
    """The schema of a class is the object itself, not a reference to it; what it refers to stays."""
    schema = schema_of(Outer)
    assert schema["type"] == "object"
    assert set(schema["$defs"]) == {"Inner"}
    assert schema["properties"]["inner"] == {"$ref": "#/$defs/Inner"}


def test_a_type_that_refers_to_itself_keeps_its_definition() -> None:
    """A recursive type is written out and still there to be referred to."""
    schema = schema_of(Tree)
    assert schema["type"] == "object"
    assert set(schema["$defs"]) == {"Tree"}


def test_types_may_describe_themselves() -> None:
    """A type with model_json_schema is taken at its word."""
    assert schema_of(Described) == {"type": "object", "title": "mine"}


@attrs.frozen
class Unresolvable:
    """A class with an annotation that names nothing."""

    x: Nowhere  # noqa: F821 - on purpose


@pytest.mark.parametrize("kind", [object(), "int", lambda: None, Unresolvable])
def test_what_is_no_type_has_no_schema(kind: Any) -> None:
    """Something without a JSON Schema is InvalidRequest, not a TypeError."""
    with pytest.raises(InvalidRequest, match="no JSON Schema"):
        schema_of(kind)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ({"type": "object"}, "output type {'type': 'object'} has no JSON Schema: it is a mapping; .* mellite.Json"),
        (Inner(1), r"output type Inner\(x=1\) has no JSON Schema: it is an object; give its class, Inner"),
        (Tree([]), r"output type Tree\(children=\[\]\) has no JSON Schema: it is an object; give its class, Tree"),
        (complex, "output type 'complex' has no JSON Schema: complex has no JSON form"),
    ],
)
def test_what_to_give_in_place_of_what_is_no_type(kind: Any, said: str) -> None:
    """A schema, or an object in place of its class: the error says what was meant, and nothing twice."""
    with pytest.raises(InvalidRequest, match=f"^{said}"):
        schema_of(kind)


def test_a_mark_of_byte_order() -> None:
    """One before the JSON is not part of it; anywhere else it is."""
    assert parse("\ufeff[1]", list[int]) == [1]
    assert answer_in("\ufeff[1]") == [1]
    with pytest.raises(OutputValidationError):
        parse("[\ufeff1]", list[int])


def test_types_are_written_out() -> None:
    """An error says which list was wanted."""
    with pytest.raises(OutputValidationError, match=r"the output type list\[int\]: "):
        parse('["a"]', list[int])
