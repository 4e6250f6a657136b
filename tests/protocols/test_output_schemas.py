"""Schemas of output types as each protocol sends them: what the vendor takes, and what is read back.

The rules are written down here once more, from the vendors' documents, to check what is sent against.
"""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Literal, TypeVar

import jsonschema_rs
import pytest
from attrs import frozen
from hypothesis import HealthCheck, given, settings, strategies as st

import mellite
from mellite.errors import InvalidRequest, OutputValidationError
from mellite.providers.catalog import find
from mellite.request import Request
from mellite.values.output import converted
from mellite.values.outputs.reading import read_answer
from tests.protocols.output_types import TYPES

SPECS = {
    "chat": "openai-chat:gpt-4o",
    "responses": "openai:gpt-4o",
    "claude": "anthropic:claude-sonnet-4-5",
    "gemini": "google:gemini-2.5-flash",
    "converse": "bedrock:us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "cohere": "cohere:command-a-03-2025",
}
Caught = TypeVar("Caught", bound=Exception)
IDS = [name for name, _, _ in TYPES]


@frozen
class Sent:
    """How one protocol asks for a type."""

    mode: str
    schema: Any
    key: str | None
    strict: bool | None


def sent(protocol: str, output: Any, mode: str | None = None) -> Sent:
    """How a protocol asks for a type."""
    route = find(SPECS[protocol], api_key="sk-test")
    request = Request.of("Hi.", model=route.model, output=output, output_mode=mode)
    _, plan = route.protocol.planned(request)
    body = json.loads(json.dumps(route.protocol.lower(request, stream=False)))
    if plan.mode == "native":
        return Sent("native", *_native(protocol, body, plan.key))
    assert plan.mode == "tool"
    return Sent("tool", *_tool(protocol, body, plan.key))


def _native(protocol: str, body: Any, key: str | None) -> tuple[Any, str | None, bool | None]:
    if protocol == "chat":
        form = body["response_format"]["json_schema"]
        return form["schema"], key, form["strict"]
    if protocol == "responses":
        return body["text"]["format"]["schema"], key, body["text"]["format"]["strict"]
    if protocol == "claude":
        return body["output_config"]["format"]["schema"], key, True
    if protocol == "gemini":
        return body["generationConfig"]["responseJsonSchema"], key, True
    if protocol == "cohere":
        return body["response_format"]["json_schema"], key, True
    return json.loads(body["outputConfig"]["textFormat"]["structure"]["jsonSchema"]["schema"]), key, True


def _tool(protocol: str, body: Any, key: str | None) -> tuple[Any, str | None, bool | None]:
    if protocol == "converse":
        spec = body["toolConfig"]["tools"][0]["toolSpec"]
        return spec["inputSchema"]["json"], key, spec.get("strict")
    tool = body["tools"][0]
    if protocol == "gemini":
        declared = tool["functionDeclarations"][0]
        return declared["parametersJsonSchema"], key, None
    if protocol == "claude":
        return tool["input_schema"], key, tool.get("strict")
    function = tool if protocol == "responses" else tool["function"]
    return function["parameters"], key, function.get("strict")


def caught(do: Callable[[], object], kind: type[Caught]) -> Caught | None:
    """The error of a kind that a function raises, if it does; any other one goes on."""
    try:
        do()
    except kind as error:
        return error
    return None


def nodes(schema: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Every part of a schema that is a schema, with its path."""
    if not isinstance(schema, dict):
        return
    yield path, schema
    for word in ("properties", "$defs"):
        for name, each in schema.get(word, {}).items():
            yield from nodes(each, (*path, word, name))
    for word in ("items", "additionalProperties"):
        yield from nodes(schema.get(word), (*path, word))
    for word in ("anyOf", "oneOf", "prefixItems"):
        for index, each in enumerate(schema.get(word, ())):
            yield from nodes(each, (*path, word, str(index)))


EVERYWHERE = {"type", "description", "title", "properties", "required", "items", "enum", "anyOf", "$ref", "$defs"}
WORDS = {
    "openai": EVERYWHERE | {"additionalProperties", "const", "exclusiveMaximum", "exclusiveMinimum", "format",
                            "maxItems", "maximum", "minItems", "minimum", "multipleOf", "pattern"},
    "closed": EVERYWHERE | {"additionalProperties", "const", "default", "format", "minItems"},
    "gemini": EVERYWHERE | {"additionalProperties", "format", "maxItems", "maximum", "minItems", "minimum",
                            "prefixItems"},
    "cohere": EVERYWHERE | {"additionalProperties", "const", "format"},
}  # fmt: skip
FORMATS = {
    "openai": {"date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uuid"},
    "closed": {"date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uri", "uuid"},
    "gemini": {"date", "date-time", "time"},
    "cohere": {"date", "date-time", "time", "uuid"},
}
VENDORS = {"chat": "openai", "responses": "openai", "claude": "closed", "converse": "closed", "gemini": "gemini",
           "cohere": "cohere"}  # fmt: skip


def faults(protocol: str, schema: dict[str, Any]) -> list[str]:
    """What the vendor would refuse of a schema."""
    vendor = VENDORS[protocol]
    found = []
    if vendor != "gemini" and schema.get("type") != "object":
        found.append("the root is not an object")
    for path, node in nodes(schema):
        found += [f"{path}: {word}" for word in node.keys() - WORDS[vendor]]
        if node.get("format", "date") not in FORMATS[vendor]:
            found.append(f"{path}: format {node['format']}")
        if "$ref" in node and vendor in ("openai", "gemini") and len(node.keys() - {"$defs"}) > 1:
            found.append(f"{path}: something beside $ref")
        if node.get("type") == "object" and vendor != "gemini":
            if node.get("additionalProperties") is not False:
                found.append(f"{path}: open")
            if vendor == "openai" and node.get("required") != list(node.get("properties", {})):
                found.append(f"{path}: not all required")
        if not node.keys() & {"type", "anyOf", "enum", "const", "$ref"} and vendor != "gemini":
            found.append(f"{path}: no type")
        found += [f"{path}: {value!r} listed" for value in node.get("enum", ()) if isinstance(value, (dict, list))]
        if vendor == "closed" and node.get("minItems", 0) not in (0, 1):
            found.append(f"{path}: minItems")
    if vendor in ("closed", "cohere") and _is_cyclic(schema):
        found.append("it refers to itself")
    return found


def _is_cyclic(schema: dict[str, Any]) -> bool:
    uses = {
        name: {ref["$ref"].rsplit("/", 1)[-1] for _, ref in nodes(node) if "$ref" in ref}
        for name, node in {"": {k: v for k, v in schema.items() if k != "$defs"}, **schema.get("$defs", {})}.items()
    }
    seen, todo = set(), [(name, name) for name in uses]
    while todo:
        start, at = todo.pop()
        for following in uses.get(at, ()):
            if following == start:
                return True
            if (start, following) not in seen:
                seen.add((start, following))
                todo.append((start, following))
    return False


@pytest.mark.parametrize(("name", "output", "values"), TYPES, ids=IDS)
@pytest.mark.parametrize("protocol", sorted(SPECS))
def test_what_the_vendor_takes(protocol: str, name: str, output: Any, values: list[Any]) -> None:
    """What is sent natively, or as a strict tool, has nothing that the vendor refuses, and nothing is emptied."""
    asked = sent(protocol, output)
    if (asked.mode == "native" and asked.strict) or (asked.mode == "tool" and asked.strict):
        assert faults(protocol, asked.schema) == []
    for value in values:
        fits(asked, value)


@pytest.mark.parametrize(("name", "output", "values"), TYPES, ids=IDS)
@pytest.mark.parametrize("protocol", sorted(SPECS))
def test_as_a_tool(protocol: str, name: str, output: Any, values: list[Any]) -> None:
    """As a tool every type can be asked for."""
    asked = sent(protocol, output, "tool")
    if asked.strict:
        assert faults(protocol, asked.schema) == []
    for value in values:
        fits(asked, value)


def fits(asked: Sent, value: Any) -> None:
    """Check that a value fits what is sent."""
    whole = value if asked.key is None else {asked.key: value}
    assert jsonschema_rs.validator_for(asked.schema, validate_formats=True).is_valid(whole), (whole, asked.schema)


REFUSED: dict[str, set[str]] = {
    "chat": set(),
    "responses": set(),
    "claude": {
        "dict", "dict of lists", "any dict", "any list", "anything", "tree", "chain", "open", "free", "dict of classes",
        "open schema", "refers to itself", "by pattern", "object values",
    },
    "gemini": {"by pattern", "object values", "refers to itself"},
}  # fmt: skip
REFUSED["converse"] = REFUSED["claude"]
REFUSED["cohere"] = REFUSED["claude"] | {"nothing"}


@pytest.mark.parametrize("protocol", sorted(SPECS))
def test_what_is_refused(protocol: str) -> None:
    """What cannot be held natively is refused by name, where that is wanted; by default it is a tool then."""
    refused = set()
    for name, output, _ in TYPES:
        error = caught(partial(sent, protocol, output, "native"), InvalidRequest)
        if error is not None:
            refused.add(name)
            assert error.parameter == "output"
            assert "natively: " in str(error)
            assert sent(protocol, output).mode == "tool"
    assert refused == REFUSED[protocol]


LOOSE = {"dict", "dict of lists", "any dict", "any list", "anything", "open", "free", "dict of classes", "open schema",
         "by pattern", "object values"}  # fmt: skip


def nested(depth: int) -> Any:
    """A class in a class, so deep."""
    kind: Any = int
    for level in range(depth):
        kind = dataclasses.make_dataclass(f"Level{level}", [("inner", kind)])
    return kind


def many(*, kind: Any, count: int, default: Any = None) -> Any:
    """A class with so many fields of a kind."""
    return dataclasses.make_dataclass("Many", [(f"f{n}", kind, default) for n in range(count)])


@pytest.mark.parametrize(
    ("protocol", "fits_in", "too_much"),
    [
        ("chat", nested(10), nested(11)),
        ("chat", Literal[tuple(map(str, range(1000)))], Literal[tuple(map(str, range(1001)))]),
        ("chat", many(kind=int, count=5000), many(kind=int, count=5001)),
        ("claude", many(kind=int, count=24), many(kind=int, count=25)),
        ("claude", many(kind=int | None, count=16), many(kind=int | None, count=17)),
    ],
)
def test_how_large_a_schema_may_be(protocol: str, fits_in: Any, too_much: Any) -> None:
    """What is above a limit of the vendor is not sent as what answers are held to."""
    assert sent(protocol, fits_in).strict is True
    asked = sent(protocol, too_much)
    assert (asked.mode, asked.strict) == ("native" if protocol == "chat" else "tool", False)


@pytest.mark.parametrize("protocol", ["chat", "responses"])
def test_what_openai_is_not_held_to_strictly(protocol: str) -> None:
    """What OpenAI cannot be held to strictly goes as it is, not strictly."""
    assert {name for name, output, _ in TYPES if not sent(protocol, output).strict} == LOOSE


# Reading back


@pytest.mark.parametrize(("name", "output", "values"), TYPES, ids=IDS)
@pytest.mark.parametrize("protocol", sorted(SPECS))
def test_what_fits_is_read_back(protocol: str, name: str, output: Any, values: list[Any]) -> None:
    """Whatever fits what is sent is read, or is an OutputValidationError; a value in full is read as it is."""
    asked = sent(protocol, output)
    for value in values:
        whole = value if asked.key is None else {asked.key: value}
        read = read_answer(json.dumps(whole), output, mode="native", key=asked.key)
        assert read == converted(value, output)
    make = Maker(asked.schema, random.Random(name))
    for _ in range(20):
        text = json.dumps(make.value())
        error = caught(partial(read_answer, text, output, mode="native", key=asked.key), OutputValidationError)
        assert error is None or error.path is not None


def test_absent_or_null() -> None:
    """A null that stands for a property that is absent is absent; one that the type admits is null."""

    @dataclasses.dataclass
    class Both:
        a: int = 7
        b: int | None = 8

    text = '{"a": null, "b": null}'
    assert read_answer(text, Both) == Both(7, None)
    schema = mellite.Json(
        {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": ["integer", "null"]}}}
    )
    assert read_answer(text, schema) == {"b": None}


class Maker:
    """Makes values that fit a schema, as far as its simple keywords say."""

    def __init__(self, root: Any, rng: random.Random, *, full: bool = False) -> None:
        self.root = root
        self.full = full  # every property is there; RecursionError where such a value has no end
        self.random = rng
        self.depth = 0

    def value(self) -> Any:
        """Some value."""
        return self.of(self.root)

    def of(self, node: Any) -> Any:
        """Some value of a part."""
        if node in ({}, True):
            return self.random.choice([None, 1, "x", [1], {"a": 1}])
        self.depth += 1
        try:
            return self._of(node)
        finally:
            self.depth -= 1

    def _of(self, node: Any) -> Any:
        if "$ref" in node:
            target = self.root
            for step in node["$ref"][1:].split("/")[1:]:
                target = target[step]
            return self.of(target)
        if "const" in node:
            return node["const"]
        if "enum" in node:
            return self.random.choice(node["enum"])
        for word in ("anyOf", "oneOf"):
            if word in node:
                parts = [part for part in node[word] if part.get("type") == "null"] if self.depth > 8 else []
                return self.of(self.random.choice(parts or node[word]))
        kind = node.get("type", "object")
        kind = self.random.choice(kind) if isinstance(kind, list) else kind
        return getattr(self, f"_{kind}")(node)

    def _object(self, node: Any) -> Any:
        made = {}
        for name, each in node.get("properties", {}).items():
            if name in node.get("required", ()) or (self.depth < 8 and (self.full or self.random.random() < 0.6)):
                made[name] = self.of(each)
            elif self.full:
                raise RecursionError  # a value in full would have no end
        more = node.get("additionalProperties")
        if isinstance(more, dict) and self.depth < 8:
            made["other"] = self.of(more)
        return made

    def _array(self, node: Any) -> Any:
        if "prefixItems" in node:
            return [self.of(each) for each in node["prefixItems"]]
        count = 0 if self.depth > 8 else self.random.randrange(3)
        return [self.of(node.get("items", {})) for _ in range(max(count, node.get("minItems", 0)))]

    def _string(self, node: Any) -> Any:
        by_format = {"date": "2026-02-03", "date-time": "2026-02-03T04:05:06Z", "time": "04:05:06", "duration": "PT1S",
                     "uuid": "12345678-1234-5678-1234-567812345678"}  # fmt: skip
        return by_format.get(node.get("format"), self.random.choice(["", "x", "NO", "aGk=", "1.5"]))

    def _integer(self, node: Any) -> Any:
        return self.random.choice([node.get("minimum", 0), 1, 2.0, 10**30, -5])

    def _number(self, node: Any) -> Any:
        return self.random.choice([0, 1.5, 1e300])

    def _boolean(self, node: Any) -> Any:
        return self.random.choice([True, False])

    def _null(self, node: Any) -> Any:
        return None


# Generated types


def _plain() -> st.SearchStrategy[tuple[Any, st.SearchStrategy[Any]]]:
    return st.sampled_from(
        [
            (int, st.integers(-(10**9), 10**9)),
            (str, st.text(max_size=5)),
            (bool, st.booleans()),
            (float, st.floats(allow_nan=False, allow_infinity=False, width=32)),
            (Literal["a", "b"], st.sampled_from(["a", "b"])),
            (Literal[1, "x"] | None, st.sampled_from([1, "x", None])),
        ]
    )


def _built(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    def listed(each: Any) -> Any:
        return list[each[0]], st.lists(each[1], max_size=2)

    def maybe(each: Any) -> Any:
        return each[0] | None if not _is_literal(each[0]) else each[0], st.none() | each[1]

    def mapped(each: Any) -> Any:
        return dict[str, each[0]], st.dictionaries(st.text("ab", min_size=1, max_size=2), each[1], max_size=2)

    def paired(both: Any) -> Any:
        return tuple[both[0][0], both[1][0]], st.tuples(both[0][1], both[1][1]).map(list)

    def classed(fields: Any) -> Any:
        made = [(f"f{index}", kind) for index, (kind, _) in enumerate(fields)]
        values = {f"f{index}": value for index, (_, value) in enumerate(fields)}
        return dataclasses.make_dataclass("Made", made), st.fixed_dictionaries(values)

    return st.one_of(
        inner.map(listed),
        inner.filter(lambda each: not _is_literal(each[0])).map(maybe),
        inner.map(mapped),
        st.tuples(inner, inner).map(paired),
        st.lists(inner, min_size=1, max_size=3).map(classed),
    )


def _is_literal(kind: Any) -> bool:
    return getattr(kind, "__origin__", None) is Literal


KINDS = st.recursive(_plain(), _built, max_leaves=5)


@pytest.mark.slow
@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(KINDS.filter(lambda kind: kind[0] is not str), st.sampled_from(sorted(SPECS)), st.data())
def test_generated_types(kind: Any, protocol: str, data: st.DataObject) -> None:
    """Every value of a generated type fits what is sent for it, and is read back; whatever fits is read or refused."""
    output, values = kind
    value = json.loads(json.dumps(data.draw(values)))
    asked = sent(protocol, output)
    if asked.strict:
        assert faults(protocol, asked.schema) == []
    fits(asked, value)
    whole = value if asked.key is None else {asked.key: value}
    assert read_answer(json.dumps(whole), output, mode="native", key=asked.key) == converted(value, output)
    make = Maker(asked.schema, random.Random(data.draw(st.integers(0, 99))))
    text = json.dumps(make.value())
    error = caught(partial(read_answer, text, output, mode="native", key=asked.key), OutputValidationError)
    assert error is None or error.path is not None
