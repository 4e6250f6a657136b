"""The JSON Schema of the object that an answer is wrapped in, where only objects can be asked for."""

from __future__ import annotations

from collections.abc import Mapping

from ..provider_json import Json, JsonObject
from .plan import WRAPPED

__all__ = ["is_of_objects", "wrapped"]


def is_of_objects(schema: Mapping[str, Json]) -> bool:
    """Tell whether whatever fits a schema is a JSON object, by what stands at its top.

    Example:
        >>> is_of_objects({"type": "object"}), is_of_objects({"anyOf": [{"type": "object"}]})
        (True, False)
    """
    if "anyOf" in schema or "oneOf" in schema or "$ref" in schema:
        return False
    return schema.get("type") == "object" or ("type" not in schema and "properties" in schema)


def wrapped(schema: Mapping[str, Json]) -> JsonObject:
    """Return the schema of an object that holds such a value and nothing else.

    Example:
        >>> wrapped({"type": "integer"})["properties"]
        {'value': {'type': 'integer'}}
    """
    inner = {name: value for name, value in schema.items() if name not in _AT_THE_TOP}
    result: JsonObject = {
        "type": "object",
        "properties": {WRAPPED: _moved(inner)},
        "required": [WRAPPED],
        "additionalProperties": False,
    }
    for name in _AT_THE_TOP:
        if name in schema:
            result[name] = _moved(schema[name])
    return result


_AT_THE_TOP = ("$schema", "$defs", "definitions")


def _moved(node: Json) -> Json:
    """Return a part of a schema with its references as they are once the schema stands below the wrapping."""
    if isinstance(node, Mapping):
        return {name: _reference(value) if name == "$ref" else _moved(value) for name, value in node.items()}
    return [_moved(each) for each in node] if isinstance(node, list) else node


def _reference(value: Json) -> Json:
    if not isinstance(value, str) or not value.startswith("#") or value.startswith(("#/$defs/", "#/definitions/")):
        return value
    return f"#/properties/{WRAPPED}{value[1:]}"
