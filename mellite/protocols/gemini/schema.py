"""The JSON Schemas that Gemini takes: for tools in a form of its own, for answers in one nearer to JSON Schema.

Gemini before the third generation cannot be held to a type beside tools.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import evolve

from ...values.outputs.plan import OutputPlan
from ...values.provider_json import Json, JsonObject
from ...values.request import Request
from ...values.tools import ToolDefinition
from ..output_modes import Form, Ways, held, planned
from ..schema_projection import SchemaRules
from ..tool_definitions import native_notes
from .models import generation_of

__all__ = ["is_hosted", "parameters_of", "plan", "response_schema"]

_NAMESPACE: Final = "google"

#: What ``responseJsonSchema`` has: https://ai.google.dev/api/generate-content#FIELDS.response_json_schema
_RULES: Final = SchemaRules(
    keywords=frozenset({"maxItems", "maximum", "minItems", "minimum", "propertyOrdering"}),
    formats=frozenset({"date", "date-time", "time"}),
    open_objects=True,
    cycles="optional",
    tuples=True,
    bare_references=True,
    enums=(str, int, float),
    one_type=False,
)
_FORM: Final = Form(who="Gemini", rules=_RULES, objects=False)

#: What Gemini's own schema object has (https://ai.google.dev/api/caching#Schema) and JSON Schema means the same by.
_KEPT: Final = frozenset(
    {
        "default",
        "description",
        "example",
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
        "minItems",
        "minLength",
        "minProperties",
        "minimum",
        "nullable",
        "pattern",
        "propertyOrdering",
        "title",
    }
)
#: What changes which values fit, and has no place there.
_UNSAYABLE: Final = frozenset(
    {"contains", "dependentSchemas", "else", "if", "not", "patternProperties", "prefixItems", "then"}
)
_FORMATS: Final = {
    "string": frozenset({"date-time", "enum"}),
    "number": frozenset({"double", "float"}),
    "integer": frozenset({"int32", "int64"}),
}
_SCALARS: Final = frozenset({"boolean", "integer", "number", "string"})
_DEEPEST: Final = 64


def plan(request: Request) -> tuple[Request, OutputPlan]:
    """Return the request as it has its answer held to the output type, and how that is done.

    Raises:
        InvalidRequest: if the type cannot be asked for.
        UnsupportedOption: for a way that the model does not have.
    """
    generation = generation_of(request.model)
    native: bool | None = True
    tools = True
    if generation is None and "gemma" in (request.model or ""):
        native = tools = False
    elif generation is not None and generation < _BOTH_AT_ONCE:
        native = None
        tools = not any(is_hosted(tool) for tool in request.tools)
    request, way = planned(request, Ways(form=_FORM, native=native, tools=tools, strict_tools=True))
    if way.tool is not None:
        # Not in Gemini's own form: that lists numbers as texts, which they then come back as.
        *others, answer = request.tools
        notes = {_NAMESPACE: {"parametersJsonSchema": answer.input_schema}}
        request = evolve(request, tools=(*others, evolve(answer, strict=None, native=notes)))
    return request, way


_BOTH_AT_ONCE: Final = 3

#: What a function declaration may say besides: whose native notes say more is one of Google's own tools.
_DECLARED: Final = frozenset({"behavior", "parameters", "parametersJsonSchema", "response", "responseJsonSchema"})


def is_hosted(tool: ToolDefinition) -> bool:
    """Tell whether a tool is one of Google's own, such as ``native={"google": {"googleSearch": {}}}``."""
    return bool(native_notes(tool, _NAMESPACE).keys() - _DECLARED)


def response_schema(output: Any) -> JsonObject:
    """Write the schema that the answer is held to.

    Raises:
        InvalidRequest: if it cannot be.
    """
    return held(output, Ways(form=_FORM)).schema


def parameters_of(schema: Mapping[str, Json]) -> JsonObject:
    """Return the fields of a function declaration that say which arguments the function takes.

    That is ``parameters``, in Gemini's own form; ``parametersJsonSchema``, the schema as it is, where that form cannot
    say it (recursive types, dictionaries, tuples, listed numbers, anything goes); and nothing for a tool without
    arguments.

    Example:
        >>> parameters_of({"type": "object", "properties": {"n": {"enum": ["a"]}}, "additionalProperties": False})
        {'parameters': {'type': 'object', 'properties': {'n': {'type': 'string', 'enum': ['a']}}}}
        >>> parameters_of({"type": "object", "properties": {}})
        {}
        >>> list(parameters_of({"type": "object", "additionalProperties": {"type": "integer"}}))
        ['parametersJsonSchema']
    """
    if not any(schema.get(word) for word in ("properties", "additionalProperties", "$ref", "anyOf", "oneOf", "allOf")):
        return {} if not _UNSAYABLE & schema.keys() else {"parametersJsonSchema": {**schema, "type": "object"}}
    root = schema if "type" in schema or "$ref" in schema else {**schema, "type": "object"}
    try:
        projected = _Projection(schema).of(root)
    except _CannotSay:
        projected = {}
    if projected.get("type") == "object" and "anyOf" not in projected:
        return {"parameters": projected}
    return {"parametersJsonSchema": dict(root)}


class _CannotSay(Exception):
    pass


class _Projection:
    """One schema being projected; knows the definitions that it refers to."""

    def __init__(self, root: Mapping[str, Json]) -> None:
        self._root = root
        self._open: list[str] = []  # references being followed: one inside itself is recursive
        self._depth = 0

    def of(self, node: Json) -> JsonObject:
        """Return a node in Gemini's form.

        Raises:
            _CannotSay: if that form has no words for it.
        """
        if not isinstance(node, Mapping) or not node or _UNSAYABLE & node.keys() or self._depth > _DEEPEST:
            raise _CannotSay
        self._depth += 1
        try:
            return self._followed(node) if "$ref" in node else self._node(node)
        finally:
            self._depth -= 1

    def _followed(self, node: Mapping[str, Json]) -> JsonObject:
        reference = node["$ref"]
        if not isinstance(reference, str) or not reference.startswith("#/") or reference in self._open:
            raise _CannotSay
        target: Json = self._root
        for step in reference[2:].split("/"):
            target = target.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(target, Mapping) else None
        if not isinstance(target, Mapping):
            raise _CannotSay
        beside = {name: value for name, value in node.items() if name != "$ref"}
        self._open.append(reference)
        try:
            return self.of({**target, **beside})
        finally:
            self._open.pop()

    def _node(self, node: Mapping[str, Json]) -> JsonObject:
        node = self._without_all_of(node)
        if "$ref" in node:
            return self._followed(node)
        result: JsonObject = {}
        kind, nullable = _type(node)
        variants = self._variants(node)
        if isinstance(kind, list):
            variants = [*variants, *[{**_about(each, node), "type": each} for each in kind]]
        elif kind is not None:
            result["type"] = kind
        result |= {name: value for name, value in node.items() if name in _KEPT and value is not None}
        if "null" in variants:
            nullable = True
            variants = [each for each in variants if each != "null"]
        if nullable:
            result["nullable"] = True
        projected = [self.of(each) for each in variants]
        if len(projected) == 1:
            result = {**projected[0], **result}
        elif projected:
            result["anyOf"] = projected
        self._add_values(result, node)
        self._add_members(result, node)
        if not projected and "type" not in result:
            raise _CannotSay
        return result

    def _without_all_of(self, node: Mapping[str, Json]) -> Mapping[str, Json]:
        parts = node.get("allOf")
        if parts is None:
            return node
        if not isinstance(parts, Sequence) or len(parts) != 1 or not isinstance(parts[0], Mapping):
            raise _CannotSay
        return {**parts[0], **{name: value for name, value in node.items() if name != "allOf"}}

    def _variants(self, node: Mapping[str, Json]) -> list[Json]:
        """Return the alternatives; those that are null as the word."""
        found: list[Json] = []
        for word in ("anyOf", "oneOf"):
            given = node.get(word) or ()
            if not isinstance(given, Sequence) or (given and found):
                raise _CannotSay
            found += ["null" if isinstance(each, Mapping) and each.get("type") == "null" else each for each in given]
        return found

    def _add_values(self, result: JsonObject, node: Mapping[str, Json]) -> None:
        """Which values are allowed: Gemini only lists texts."""
        values = [node["const"]] if "const" in node else node.get("enum")
        kind = result.get("type")
        if values is not None:
            if not isinstance(values, Sequence) or isinstance(values, str) or kind in ("array", "object"):
                raise _CannotSay
            if None in values:
                result["nullable"] = True
            result["type"] = "string"
            result["enum"] = [value for value in values if value is not None]
            if not all(isinstance(value, str) for value in result["enum"]):
                raise _CannotSay  # as texts they would come back as texts
            for name in ("minimum", "maximum", "default"):
                result.pop(name, None)
        elif node.get("format") in _FORMATS.get(str(kind), ()):
            result["format"] = node["format"]

    def _add_members(self, result: JsonObject, node: Mapping[str, Json]) -> None:
        kind = result.get("type")
        if kind == "object":
            if isinstance(node.get("additionalProperties"), Mapping) and node["additionalProperties"]:
                raise _CannotSay
            properties = node.get("properties") or {}
            if not isinstance(properties, Mapping) or (node.get("additionalProperties") is True and not properties):
                raise _CannotSay
            if properties:
                result["properties"] = {name: self.of(value) for name, value in properties.items()}
            given = node.get("required")
            required = [name for name in given if name in properties] if isinstance(given, (list, tuple)) else []
            if required:
                result["required"] = required
        elif kind == "array":
            items = node.get("items")
            result["items"] = self.of(items) if isinstance(items, Mapping) and items else {"type": "string"}


def _type(node: Mapping[str, Json]) -> tuple[Json, bool]:
    """Return the type, several as a list, and whether null is one of them."""
    kind = node.get("type")
    if kind is None:
        kind = "object" if "properties" in node else "array" if "items" in node else None
    if isinstance(kind, str):
        return kind.lower(), False
    if kind is None:
        return None, False
    if not isinstance(kind, Sequence) or not all(isinstance(each, str) for each in kind):
        raise _CannotSay
    kinds = [each for each in kind if each != "null"]
    return kinds if len(kinds) > 1 else next(iter(kinds), None), len(kinds) < len(kind)


def _about(kind: str, node: Mapping[str, Json]) -> JsonObject:
    """Return what a node with several types says about one of them."""
    if kind in _SCALARS:
        return {}
    names = ("items",) if kind == "array" else ("properties", "required", "additionalProperties")
    return {name: node[name] for name in names if name in node}
