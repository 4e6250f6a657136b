"""JSON Schemas of output types, and their strict form."""

from __future__ import annotations

import dataclasses
from typing import Any

import attrs
import pytest

from mellite.errors import InvalidRequest
from mellite.values.output import is_object, schema_of, strict_schema


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
    assert is_object(schema)
    assert set(schema["$defs"]) == {"Inner"}
    assert schema["properties"]["inner"] == {"$ref": "#/$defs/Inner"}


def test_a_type_that_refers_to_itself_keeps_its_definition() -> None:
    """A recursive type is written out and still there to be referred to."""
    schema = schema_of(Tree)
    assert is_object(schema)
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


def test_strict_closes_every_object() -> None:
    """Every object inside is closed too; names of properties are never taken for keywords."""
    schema = {
        "type": "object",
        "properties": {
            "type": {"type": "object", "properties": {}},
            "enum": {"type": "array", "items": {"type": "object"}},
        },
        "required": ["enum", "type"],
        "$defs": {"required": {"type": "object"}},
    }
    closed = {"type": "object", "properties": {}, "additionalProperties": False}
    assert strict_schema(schema) == {
        "type": "object",
        "properties": {"type": closed, "enum": {"type": "array", "items": closed}},
        "required": ["enum", "type"],
        "$defs": {"required": closed},
        "additionalProperties": False,
    }


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {}}, "required": []},
        {"type": "object", "additionalProperties": True},
        {"type": "object", "additionalProperties": {"type": "integer"}},
        {"type": "array", "items": {"type": "object", "properties": {"a": {}}}},
        {"anyOf": [{"type": "object", "properties": {"a": {}}}]},
    ],
)
def test_open_objects_have_no_strict_form(schema: dict[str, Any]) -> None:
    """Optional or open-ended properties anywhere mean that there is no strict form."""
    assert strict_schema(schema) is None
