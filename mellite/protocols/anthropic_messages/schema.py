"""The JSON Schema that Anthropic holds an answer to: objects closed, and what it does not know put into words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from ...values.errors import InvalidRequest
from ...values.provider_json import Json, JsonObject

__all__ = ["held_to"]

#: The keywords that answers are held to; others are refused by the server.
_KNOWN: Final = frozenset(
    {"$defs", "$ref", "allOf", "anyOf", "const", "default", "definitions", "description", "enum", "items", "properties",
     "required", "title", "type"}
)  # fmt: skip
_FORMATS: Final = frozenset(
    {"date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uri", "uuid"}
)

#: Keywords whose values are not schemas.
_VALUES: Final = frozenset({"const", "default", "description", "enum", "required", "title", "type"})


def held_to(schema: Mapping[str, Json]) -> JsonObject:
    """Return the schema as Anthropic takes it.

    Every object is closed. Limits that answers cannot be held to (``minimum``, ``pattern``, ...) go into the
    description, for the model to read; the answer is checked against them when it is parsed.

    Raises:
        InvalidRequest: for an object with open-ended keys, which no answer can be held to.

    Example:
        >>> held_to({"type": "integer", "minimum": 1})
        {'type': 'integer', 'description': '{"minimum":1}'}
    """
    known: JsonObject = {}
    words: JsonObject = {}
    for name, value in schema.items():
        if name == "oneOf":
            known["anyOf"] = [_inner(item) for item in value]
        elif name == "additionalProperties":
            _check_closed(value)
        elif name in ("properties", "$defs", "definitions"):
            known[name] = {key: _inner(item) for key, item in value.items()}
        elif name in _KNOWN and not (name == "items" and isinstance(value, bool)):
            known[name] = value if name in _VALUES else _inner(value)
        elif (name == "format" and value in _FORMATS) or (name == "minItems" and value in (0, 1)):
            known[name] = value
        elif not name.startswith("$"):
            words[name] = value
    if known.get("type") == "object":
        known.setdefault("properties", {})
        known["additionalProperties"] = False
    if words:
        text = json.dumps(words, ensure_ascii=False, separators=(",", ":"), default=str)
        known["description"] = "\n\n".join(filter(None, [known.get("description"), text]))
    return known


def _inner(value: Json) -> Json:
    if isinstance(value, Mapping):
        return held_to(value)
    return [_inner(item) for item in value] if isinstance(value, list) else value


def _check_closed(value: Json) -> None:
    if value is not False:
        msg = (
            "an output type with open-ended keys, such as dict[str, int], is nothing that Anthropic Messages can be "
            "held to; use a list of a class with a key and a value"
        )
        raise InvalidRequest(msg, parameter="output")
