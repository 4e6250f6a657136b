"""Answers in a given shape: parsing them, the JSON Schema of a Python type, and the strict form of a schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .errors import InvalidRequest, OutputValidationError
from .json_texts import strict_json
from .provider_json import Json, JsonObject
from .shapes import Mismatch, shape_of

__all__ = ["is_object", "parse", "schema_of", "strict_schema"]


def parse(text: str, output: Any) -> Any:
    """Parse the text into the output type that was asked for.

    Raises:
        OutputValidationError: if it does not fit, with the path to the place, the value there and the text.

    Example:
        >>> parse("[1, 2.0]", list[int])
        [1, 2]
    """
    if output is str:
        return text
    validate = getattr(output, "model_validate_json", None)
    if callable(validate) and not hasattr(output, "__pydantic_validator__"):  # a class that reads texts itself
        try:
            return validate(text)
        except Exception as error:
            raise _misfit(text, output, str(error), path="$", value=text) from error
    try:
        return shape_of(output).convert(strict_json(text))
    except Mismatch as error:
        raise _misfit(text, output, str(error), path=error.path, value=error.value) from error
    except (ValueError, RecursionError) as error:
        raise _misfit(text, output, f"it is not JSON: {error}", path="$", value=text) from error
    except InvalidRequest as error:
        raise _misfit(text, output, str(error), path="$", value=text) from error


def _misfit(text: str, output: Any, why: str, *, path: str, value: Json) -> OutputValidationError:
    name = getattr(output, "__name__", str(output))
    msg = f"the answer does not fit the output type {name}: {why}"
    return OutputValidationError(msg, path=path, value=value, partial=text)


def schema_of(kind: Any) -> JsonObject:
    """Return the JSON Schema of a type: properties, enums and literals in the order of the source.

    Types are attrs classes, dataclasses, msgspec Structs, TypedDicts, NamedTuples, pydantic models, enums, literals,
    lists, mappings, unions, and what is made of them. The root is written out, never a reference, because providers
    want to see the object there.

    Raises:
        InvalidRequest: if the type has no JSON Schema.

    Example:
        >>> schema_of(dict[str, int])
        {'type': 'object', 'additionalProperties': {'type': 'integer'}}
    """
    return shape_of(kind).schema()


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
