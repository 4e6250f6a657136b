"""Answers in a given shape: parsing them, the JSON Schema of a Python type, and the strict form of a schema."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

import msgspec

from .errors import InvalidRequest, OutputValidationError
from .provider_json import Json, JsonObject

__all__ = ["is_object", "parse", "schema_of", "strict_schema"]


def parse(text: str, output: Any) -> Any:
    """Parse the text into the output type that was asked for.

    Raises:
        OutputValidationError: if it does not fit.
    """
    if output is str:
        return text
    validate = getattr(output, "model_validate_json", None)  # pydantic models parse themselves
    try:
        if validate is not None:
            return validate(text)
        return msgspec.json.decode(text, type=output)
    except Exception as error:
        name = getattr(output, "__name__", str(output))
        msg = f"the answer does not fit the output type {name}: {error}"
        raise OutputValidationError(msg) from error


def schema_of(kind: Any) -> JsonObject:
    """Return the JSON Schema of an attrs class, dataclass, msgspec Struct, TypedDict, pydantic model, list, dict, ...

    Its root is written out, never a reference, because providers want to see the object there.

    Raises:
        InvalidRequest: if the type has no JSON Schema.

    Example:
        >>> schema_of(dict[str, int])
        {'type': 'object', 'additionalProperties': {'type': 'integer'}}
    """
    theirs = getattr(kind, "model_json_schema", None)  # pydantic describes itself
    try:
        schema: JsonObject = dict(cast("Any", theirs)()) if callable(theirs) else msgspec.json.schema(kind)
    except (TypeError, ValueError, NameError, AttributeError, RecursionError) as error:
        msg = f"output type {getattr(kind, '__name__', kind)!r} has no JSON Schema: {error}"
        raise InvalidRequest(msg, parameter="output") from error
    reference = schema.get("$ref")
    if not isinstance(reference, str) or not reference.startswith("#/$defs/"):
        return schema
    name = reference.removeprefix("#/$defs/")
    others = dict(schema["$defs"])
    root = dict(others[name])
    if reference not in json.dumps({"root": root, "defs": {key: others[key] for key in others if key != name}}):
        del others[name]  # it does not refer to itself
    if others:
        root["$defs"] = others
    return root


def is_object(schema: Mapping[str, Json]) -> bool:
    """Return whether a schema describes a JSON object."""
    return schema.get("type") == "object"


def strict_schema(schema: Mapping[str, Json]) -> JsonObject | None:
    """Return the schema with every object closed, as strict modes require; None if that is impossible.

    It is impossible where an object has open-ended or optional properties.

    Example:
        >>> strict_schema({"type": "object"})
        {'type': 'object', 'properties': {}, 'additionalProperties': False}
        >>> strict_schema({"type": "object", "properties": {"a": {"type": "integer"}}}) is None
        True
    """
    try:
        closed: JsonObject = _closed(schema)
    except _Open:
        return None
    return closed


class _Open(Exception):
    pass


def _closed(node: Json) -> Json:
    if isinstance(node, (list, tuple)):
        return [_closed(item) for item in node]
    if not isinstance(node, Mapping):
        return node
    result = {
        name: value if name in ("enum", "const", "default", "examples", "required") else _closed_members(name, value)
        for name, value in node.items()
    }
    if node.get("type") == "object":
        properties = node.get("properties", {})
        if node.get("additionalProperties", False) is not False or set(node.get("required", ())) != set(properties):
            raise _Open
        result.setdefault("properties", {})
        result["additionalProperties"] = False
    return result


def _closed_members(name: str, value: Json) -> Json:
    if name in ("properties", "$defs", "definitions") and isinstance(value, Mapping):  # names of the user's own
        return {key: _closed(item) for key, item in value.items()}
    return _closed(value)
