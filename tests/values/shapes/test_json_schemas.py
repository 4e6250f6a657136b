"""JSON Schemas that somebody else wrote: checked by jsonschema-rs, or without it by what stands at the top."""

from __future__ import annotations

import pickle
import sys
from typing import Any

import pytest

from mellite.errors import InvalidRequest
from mellite.values.function_tools import Tool
from mellite.values.shapes import Mismatch, SchemaCheck

CITY: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1},
        "kind": {"enum": ["town", "village", 3]},
        "size": {"type": ["integer", "null"]},
        "version": {"const": 1},
        "rows": {"type": "array", "items": {"type": "integer"}},
    },
    "required": ["name"],
    "additionalProperties": False,
}

AT_THE_TOP = [
    ({"name": "x"}, None),
    ({"name": "x", "kind": "town", "size": None, "version": 1.0, "rows": []}, None),
    ({"name": "x", "kind": 3.0, "size": 4.0}, None),
    ({}, "$"),
    ({"name": 3}, "$.name"),
    ({"name": "x", "kind": "city"}, "$.kind"),
    ({"name": "x", "kind": "3"}, "$.kind"),
    ({"name": "x", "size": "4"}, "$.size"),
    ({"name": "x", "size": 4.5}, "$.size"),
    ({"name": "x", "size": True}, "$.size"),
    ({"name": "x", "version": True}, "$.version"),
    ({"name": "x", "rows": {}}, "$.rows"),
    ([], "$"),
    ({"name": "x", "rows": [float("nan")]}, "$.rows[0]"),
]
"""A value, and the path to the first thing that does not fit."""

FURTHER_IN = [({"name": ""}, "$.name"), ({"name": "x", "rows": [1, "2"]}, "$.rows[1]")]


@pytest.fixture(params=["with the extra", "without"])
def check(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> SchemaCheck:
    """A check of cities, as it is with jsonschema-rs and where that is not installed."""
    if request.param == "without":
        monkeypatch.setitem(sys.modules, "jsonschema_rs", None)
    return SchemaCheck(CITY)


def place(check: SchemaCheck, value: Any) -> str | None:
    """Where a value does not fit."""
    try:
        check.read(value)
    except Mismatch as error:
        return pickle.loads(pickle.dumps(error)).path
    return None


@pytest.mark.parametrize(("value", "path"), AT_THE_TOP)
def test_the_top_is_checked(check: SchemaCheck, value: Any, path: str | None) -> None:
    """Types, values and names are checked either way, and the message says where."""
    assert place(check, value) == path


@pytest.mark.parametrize(("value", "path"), FURTHER_IN)
def test_the_rest_needs_the_extra(value: Any, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands further in, and other keywords, are checked by jsonschema-rs alone."""
    assert place(SchemaCheck(CITY), value) == path
    monkeypatch.setitem(sys.modules, "jsonschema_rs", None)
    assert place(SchemaCheck(CITY), value) is None


def test_a_property_that_is_not_there(check: SchemaCheck) -> None:
    """Its name is in the message."""
    with pytest.raises(Mismatch, match="town"):
        check.read({"name": "x", "town": 1})


def test_what_is_allowed_is_told(check: SchemaCheck) -> None:
    """The values that may stand there are in the message, and the value itself only in short."""
    with pytest.raises(Mismatch) as caught:
        check.read({"name": "x", "kind": "y" * 10_000})
    assert '"town"' in str(caught.value)
    assert len(str(caught.value)) < 200
    assert caught.value.value == "y" * 10_000


def test_a_null_for_nothing(check: SchemaCheck) -> None:
    """A null for what may be absent and not null is nothing given; one that the schema allows stays."""
    assert check.read({"name": "x", "rows": None, "size": None}) == {"name": "x", "size": None}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "strin"},
        {"type": ["object", 3]},
        {"properties": []},
        {"properties": {"a": 3}},
        {"required": "name"},
        {"properties": {"a": {"enum": 3}}},
        {"properties": {"a": {"type": "txt"}}},
        {"default": float("inf")},
        {"default": object()},
        {1: 2},
        "object",
    ],
)
@pytest.mark.parametrize("extra", [True, False])
def test_no_schema(schema: Any, extra: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not a schema is a ValueError when the check is made."""
    if not extra:
        monkeypatch.setitem(sys.modules, "jsonschema_rs", None)
    with pytest.raises(ValueError, match="JSON Schema"):
        SchemaCheck(schema)


@pytest.mark.parametrize("reference", ["https://example.com/a.json", "file:///etc/passwd", "other.json"])
def test_nothing_is_fetched(reference: str) -> None:
    """A reference to another document is refused, also where nothing refers to it; no file and no socket is opened."""
    for schema in ({"$ref": reference}, {"type": "object", "$defs": {"unused": {"$ref": reference}}}):
        with pytest.raises(InvalidRequest, match="tool 'far'"):
            Tool.from_schema("far", schema, lambda arguments: arguments)


def test_keywords_that_nobody_knows() -> None:
    """They are passed over, as JSON Schema says."""
    assert SchemaCheck({"type": "object", "x-order": 3, "deprecated": True}).read({"a": 1}) == {"a": 1}


@pytest.mark.parametrize(
    ("draft", "schema", "value", "is_good"),
    [
        ("http://json-schema.org/draft-04/schema#", {"minimum": 1, "exclusiveMinimum": True}, 1, False),
        ("http://json-schema.org/draft-07/schema#", {"items": [{"type": "string"}]}, [1], False),
        ("https://json-schema.org/draft/2020-12/schema", {"prefixItems": [{"type": "string"}]}, [1], False),
        ("http://json-schema.org/draft-07/schema#", {"if": {"type": "string"}, "else": False}, 1, False),
        ("https://json-schema.org/draft/2020-12/schema", {"dependentRequired": {"a": ["b"]}}, {"a": 1}, False),
        (
            "https://json-schema.org/draft/2020-12/schema",
            {"unevaluatedProperties": False, "anyOf": [{}]},
            {"a": 1},
            False,
        ),
        ("https://json-schema.org/draft/2020-12/schema", {"format": "date"}, "no date", True),
        ("http://json-schema.org/draft-07/schema#", {"format": "date"}, "no date", True),
        ("https://json-schema.org/draft/2020-12/schema", {"type": "integer"}, 3.0, True),
        ("https://json-schema.org/draft/2020-12/schema", {"pattern": r"^\d+$"}, "\u0663", False),
    ],
)
def test_drafts(draft: str, schema: dict[str, Any], value: Any, is_good: bool) -> None:
    """The draft that a schema names decides what its keywords mean; formats only say something."""
    check = SchemaCheck({"$schema": draft, "properties": {"it": schema}})
    assert (place(check, {"it": value}) is None) is is_good
