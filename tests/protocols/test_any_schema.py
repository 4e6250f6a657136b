"""Any JSON Schema is asked for in a form that the vendor takes, or refused by name; what fits it fits that form."""

from __future__ import annotations

import random
from contextlib import suppress
from typing import Any

import jsonschema_rs
import pytest

import mellite
from mellite.errors import InvalidRequest
from tests.protocols.test_output_schemas import SPECS, Maker, faults, sent

WORDS: dict[str, list[tuple[str, Any]]] = {
    "array": [("minItems", 1), ("maxItems", 3), ("uniqueItems", True), ("contains", {"type": "integer"})],
    "object": [("minProperties", 1), ("propertyNames", {"maxLength": 1}), ("dependentRequired", {"a": ["b"]})],
    "string": [("maxLength", 3), ("pattern", "^a"), ("format", "date"), ("format", "uri"), ("format", "of my own")],
    "integer": [("minimum", 1), ("exclusiveMaximum", 9), ("multipleOf", 2)],
    "number": [("maximum", 2.5)],
    "boolean": [],
    "null": [],
}
ANYWHERE: list[tuple[str, Any]] = [("description", "d"), ("title", "t"), ("default", {"a": 1}), ("$comment", "c"),
                                   ("examples", [1]), ("not", {"const": 4}), ("if", {"type": "null"})]  # fmt: skip
LEAVES: list[Any] = [{}, True, {"const": 1}, {"const": {"a": 1}}, {"enum": ["a", None]}, {"enum": [True]},
                     {"enum": [[1]]}, {"type": ["string", "null"]}, {"$ref": "#/$defs/a"}, {"$ref": "#"},
                     {"$ref": "#/$defs/b", "description": "x"}]  # fmt: skip


def schema(rng: random.Random, depth: int = 0) -> Any:
    """Some schema."""
    if depth > 3 or rng.random() < 0.15:
        return rng.choice(LEAVES)
    if rng.random() < 0.25:
        return {rng.choice(["anyOf", "oneOf", "allOf"]): [schema(rng, depth + 1) for _ in range(rng.randrange(1, 3))]}
    kind = rng.choice([*WORDS])
    made = {"type": kind, **dict(rng.sample(WORDS[kind] + ANYWHERE, 2))}
    if kind == "object" and rng.random() < 0.8:
        made["properties"] = {rng.choice("abé$~/ "): schema(rng, depth + 1) for _ in range(rng.randrange(3))}
        made["required"] = [name for name in made["properties"] if rng.random() < 0.7]
        word = rng.choice(
            ["additionalProperties", "additionalProperties", "patternProperties", "unevaluatedProperties"]
        )
        made[word] = {"^x": schema(rng, depth + 1)} if word[0] == "p" else rng.choice([False, False, True, {}])
    if kind == "array" and rng.random() < 0.8:
        made[rng.choice(["items", "prefixItems"])] = schema(rng, depth + 1)
        if "prefixItems" in made:
            made["prefixItems"] = [made["prefixItems"], schema(rng, depth + 1)]
    return made


def output(rng: random.Random) -> mellite.Json | None:
    """Some output type; None for a schema that is none."""
    made = schema(rng)
    if not isinstance(made, dict):
        return None
    again = {"type": "object", "properties": {"n": {"$ref": "#/$defs/b"}}, "additionalProperties": False}
    try:
        return mellite.Json({**made, "$defs": {"a": schema(rng, 2), "b": again}})
    except InvalidRequest:
        return None


def fitting(form: mellite.Json, rng: random.Random) -> list[Any]:
    """Some values that fit a schema, as far as they are found."""
    validator = jsonschema_rs.validator_for(form.schema, validate_formats=True)
    make = Maker(form.schema, rng, full=True)
    values = []
    with suppress(RecursionError):
        values = [make.value() for _ in range(5)]
    return [value for value in values if validator.is_valid(value)]


@pytest.mark.slow
@pytest.mark.parametrize("protocol", sorted({*SPECS} - {"responses"}))
def test_any_schema(protocol: str) -> None:
    """It is a valid schema without what the vendor refuses, and lets all values in full pass; or it is refused."""
    rng = random.Random(protocol)
    native = looked_at = 0
    for _ in range(600):
        form = output(rng)
        if form is None:
            continue
        asked = sent(protocol, form)
        jsonschema_rs.validator_for(asked.schema, offline=True)
        if asked.mode != "native" or not asked.strict:
            continue
        native += 1
        assert faults(protocol, asked.schema) == [], form
        validator = jsonschema_rs.validator_for(asked.schema, validate_formats=True)
        for value in fitting(form, rng):
            looked_at += 1
            whole = value if asked.key is None else {asked.key: value}
            assert validator.is_valid(whole), (form, value, asked.schema)
    assert native > 30
    assert looked_at > 60
