"""Schemas of tools in Gemini's own form, and which of them that form cannot say."""

from __future__ import annotations

import json
from typing import Any

import pytest
from attrs import frozen

from mellite.protocols.gemini.schema import parameters_of
from mellite.values.output import schema_of

STRING = {"type": "string"}
NUMBER = {"type": "integer"}


@frozen
class Stop:
    """A class with an optional field."""

    name: str
    minutes: int | None = None


@frozen
class Trip:
    """A class with a list of another."""

    stops: list[Stop]
    kind: str = "train"


def projected(**properties: Any) -> Any:
    """The properties as Gemini sees them; None if the schema is sent as it is."""
    schema = {"type": "object", "properties": properties}
    before = json.dumps(schema)
    result = parameters_of(schema)
    assert json.dumps(schema) == before
    assert len(result) == 1
    if "parametersJsonSchema" in result:
        assert result["parametersJsonSchema"] == schema
        return None
    return result["parameters"].get("properties", {})


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (STRING, STRING),
        ({"type": "STRING"}, STRING),
        ({**STRING, "enum": ["a", "b"]}, {**STRING, "enum": ["a", "b"]}),
        ({"enum": ["a", None]}, {**STRING, "enum": ["a"], "nullable": True}),
        ({"const": "a"}, {**STRING, "enum": ["a"]}),
        ({"type": ["integer", "null"]}, {**NUMBER, "nullable": True}),
        ({"type": ["integer", "string"]}, {"anyOf": [NUMBER, STRING]}),
        ({"type": ["array", "string", "null"], "items": NUMBER},
         {"anyOf": [{"type": "array", "items": NUMBER}, STRING], "nullable": True}),
        ({"anyOf": [STRING, {"type": "null"}], "description": "d"}, {**STRING, "description": "d", "nullable": True}),
        ({"oneOf": [STRING, NUMBER, {"type": "null"}]}, {"anyOf": [STRING, NUMBER], "nullable": True}),
        ({"allOf": [STRING], "title": "T"}, {**STRING, "title": "T"}),
        ({"type": "array"}, {"type": "array", "items": STRING}),
        ({"type": "array", "items": {}}, {"type": "array", "items": STRING}),
        ({"items": NUMBER, "minItems": 1, "uniqueItems": True}, {"type": "array", "items": NUMBER, "minItems": 1}),
        ({"type": "object"}, {"type": "object"}),
        ({"properties": {"x": NUMBER}, "required": ["x", "y"]},
         {"type": "object", "properties": {"x": NUMBER}, "required": ["x"]}),
        ({**NUMBER, "required": ["x"], "properties": {}, "maximum": 5, "examples": [1]}, {**NUMBER, "maximum": 5}),
        ({**STRING, "format": "uri", "pattern": "^h"}, {**STRING, "pattern": "^h"}),
        ({**STRING, "format": "date-time"}, {**STRING, "format": "date-time"}),
        ({"type": "number", "format": "double", "exclusiveMinimum": 0}, {"type": "number", "format": "double"}),
    ],
)  # fmt: skip
def test_projection(given: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Each keyword that Gemini knows is kept or put so that it knows it, and what it refuses is left out."""
    assert projected(x=given) == {"x": wanted}


@pytest.mark.parametrize(
    "given",
    [
        {}, True, {"description": "anything"}, {"type": "object", "additionalProperties": NUMBER}, {"not": STRING},
        {"type": "object", "additionalProperties": True}, {"type": "array", "prefixItems": [STRING, NUMBER]},
        {"allOf": [STRING, {"minLength": 1}]}, {"$ref": "https://example.com/a"}, {"$ref": "#/$defs/none"},
        {"type": "object", "patternProperties": {"^x": NUMBER}}, {"enum": [{"a": 1}]}, {"anyOf": 5}, {"type": 5},
        {"enum": [1, 2.5, True]}, {**NUMBER, "enum": [1], "minimum": 0, "default": 1}, {"const": True},
        {"$ref": "#"}, {"$ref": "#/properties/x"}, {"anyOf": [STRING], "oneOf": [NUMBER]},
        {"type": "object", "enum": ["a"]}, {"type": "string", "enum": "ab"}, {"type": ["string", 5]},
    ],
)  # fmt: skip
def test_what_cannot_be_said_is_sent_as_it_is(given: Any) -> None:
    """A schema that Gemini's form has no words for goes out whole as JSON Schema: nothing of it is lost."""
    assert projected(x=given) is None


def test_properties_may_be_called_like_keywords() -> None:
    """A property with the name of a keyword is a property."""
    names = dict.fromkeys(("anyOf", "$ref", "type", "properties", "not", "enum", "required", "const"), STRING)
    assert projected(**names) == names


def test_references_are_followed_unless_they_lead_in_a_circle() -> None:
    """What a reference names stands in its place; a type that holds itself cannot be written so."""
    point = {"type": "object", "properties": {"x": NUMBER}}
    schema = {"type": "object", "properties": {"p": {"$ref": "#/$defs/P", "description": "d"}}, "$defs": {"P": point}}
    assert parameters_of(schema)["parameters"]["properties"] == {"p": {**point, "description": "d"}}
    schema["$defs"] = {"P": {"type": "object", "properties": {"p": {"$ref": "#/$defs/P"}}}}
    assert parameters_of(schema) == {"parametersJsonSchema": schema}


@pytest.mark.parametrize(
    "schema", [{}, {"type": "object"}, {"type": "object", "properties": {}, "additionalProperties": False}]
)
def test_a_tool_without_arguments_has_no_parameters(schema: dict[str, Any]) -> None:
    """Gemini refuses an empty object at the top."""
    assert parameters_of(schema) == {}


def test_the_root_is_an_object() -> None:
    """A root without a type is an object; alternatives there, and what is very deep, go out as they are."""
    assert parameters_of({"properties": {"x": NUMBER}}) == {
        "parameters": {"type": "object", "properties": {"x": NUMBER}}
    }
    either = {
        "anyOf": [{"type": "object", "properties": {"x": NUMBER}}, {"type": "object", "properties": {"y": NUMBER}}]
    }
    assert parameters_of(either) == {"parametersJsonSchema": {**either, "type": "object"}}
    deep: dict[str, Any] = NUMBER
    for _ in range(500):
        deep = {"type": "array", "items": deep}
    assert list(parameters_of({"type": "object", "properties": {"x": deep}})) == ["parametersJsonSchema"]


def test_schemas_of_types_are_said() -> None:
    """The schema that mellite makes of a class of plain fields needs nothing but Gemini's own form."""
    result = parameters_of(schema_of(Trip))["parameters"]["properties"]
    assert result["stops"]["items"]["properties"]["minutes"]["nullable"] is True
    assert result["kind"]["default"] == "train"
