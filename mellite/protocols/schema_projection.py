"""Put a JSON Schema into the form that one vendor holds answers to: what it knows, and nothing that it refuses.

What a vendor cannot hold an answer to, and what only narrows the values, goes into the description, for the model to
read; the answer is checked against it when it is read. What the vendor's form has no way to say is refused by name.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Final, Literal

from attrs import field, frozen

from ..values.provider_json import Json, JsonObject

__all__ = ["SchemaRules", "Unheld", "projected"]

#: What is written down the same way for every vendor.
_EVERYWHERE: Final = frozenset({"description", "required", "title", "type"})

#: What a server of schemas has no use for.
_DROPPED: Final = frozenset({"$comment", "$id", "$schema", "deprecated", "readOnly", "writeOnly"})

#: What widens the values beyond what the other keywords say, so that leaving it out would lose some.
_WIDENING: Final = ("patternProperties", "$dynamicRef", "$recursiveRef")

_DEEPEST: Final = 100


class Unheld(Exception):
    """A schema that a vendor cannot hold an answer to.

    Args:
        why: what of it, as the end of a sentence.
        path: where in the schema.
    """

    def __init__(self, why: str, path: Sequence[str]) -> None:
        super().__init__(f"{'.'.join(path)}: {why}" if path else why)


@frozen(kw_only=True)
class SchemaRules:
    """The features of one vendor's JSON Schema, as facts.

    Args:
        keywords: what it has beside types, properties, items and alternatives.
        formats: the formats of texts that it knows.
        all_required: whether every property must be required; one that may be absent becomes nullable.
        some_required: whether every object must have a required property.
        open_objects: whether an object may have keys that the schema does not list.
        cycles: whether a schema may refer to itself: anywhere, in properties that may be absent, or not at all.
        tuples: whether ``prefixItems`` is known.
        bare_references: whether nothing may stand beside a ``$ref``.
        enums: the kinds of values that may be listed.
        one_type: whether a type has to be told for everything.
        min_items: the values of ``minItems`` that are known; None for any.
        most_optional: the most properties that may be absent, in the whole schema.
        most_unions: the most parts that have alternatives.
        most_properties: the most properties of all objects together.
        most_values: the most values that are listed, in all lists together.
        deepest: how deep objects may stand in one another.
    """

    keywords: frozenset[str] = frozenset()
    formats: frozenset[str] = frozenset()
    all_required: bool = False
    some_required: bool = False
    open_objects: bool = False
    cycles: Literal["anywhere", "optional", "never"] = "anywhere"
    tuples: bool = False
    bare_references: bool = False
    enums: tuple[type, ...] = (str, bool, int, float, type(None))
    one_type: bool = True
    min_items: frozenset[int] | None = None
    most_optional: int | None = None
    most_unions: int | None = None
    most_properties: int | None = None
    most_values: int | None = None
    deepest: int | None = None


def projected(schema: Mapping[str, Json], rules: SchemaRules) -> JsonObject:
    """Return a schema in the form of one vendor.

    Raises:
        Unheld: if that form cannot say it.

    Example:
        >>> projected({"type": "integer", "minimum": 1}, SchemaRules())
        {'type': 'integer', 'description': '{"minimum":1}'}
    """
    work = _Projection(schema, rules)
    try:
        result = work.of(schema, ())
    except RecursionError:
        msg = "it is nested too deeply, or made of itself"
        raise Unheld(msg, ()) from None
    definitions = work.definitions()
    if definitions:
        result["$defs"] = definitions
    work.check_limits()
    return result


@frozen
class _Projection:
    """One schema being projected, with the definitions that are referred to."""

    root: Mapping[str, Json]
    rules: SchemaRules
    _defined: dict[str, JsonObject] = field(factory=dict, init=False)
    _names: dict[str, str] = field(factory=dict, init=False)
    _open: dict[str, int] = field(factory=dict, init=False)  # references being followed, and how deep they began
    _counts: Counter[str] = field(factory=Counter, init=False)
    _may_lack: list[bool] = field(factory=list, init=False)  # of the properties around: whether they may be absent

    def definitions(self) -> JsonObject:
        return {self._names[reference]: node for reference, node in self._defined.items()}

    def check_limits(self) -> None:
        rules = self.rules
        for what, most in (
            ("properties that may be absent", rules.most_optional),
            ("parts with alternatives", rules.most_unions),
            ("properties", rules.most_properties),
            ("listed values", rules.most_values),
        ):
            if most is not None and self._counts[what] > most:
                msg = f"it has {self._counts[what]} {what}, and may have {most}"
                raise Unheld(msg, ())

    def of(self, node: Json, path: tuple[str, ...]) -> JsonObject:
        """Return the projection of one part."""
        if node is True or node == {}:
            node = {}
        if not isinstance(node, Mapping):
            msg = f"{json.dumps(node)[:40]} is not a schema of values"
            raise Unheld(msg, path)
        if len(path) > _DEEPEST:
            msg = "it is nested too deeply"
            raise Unheld(msg, path[:3])
        widening = next((name for name in _WIDENING if name in node), None)
        if widening is not None:
            msg = f"{widening!r} has no place in it"
            raise Unheld(msg, path)
        node = self._merged(node, path)
        return self._referring(node, path) if "$ref" in node else self._plain(node, path)

    # References

    def _referring(self, node: Mapping[str, Json], path: tuple[str, ...]) -> JsonObject:
        reference = node["$ref"]
        beside = {name: value for name, value in node.items() if name not in ("$ref", "$defs", "definitions")}
        self._follow(reference, path)
        told = self._told(beside, path)
        pointer: JsonObject = {"$ref": "#" if reference == "#" else f"#/$defs/{self._names[reference]}"}
        if told and self.rules.bare_references:
            return {"anyOf": [pointer], **told}
        return {**pointer, **told}

    def _told(self, beside: JsonObject, path: tuple[str, ...]) -> JsonObject:
        """Return what stands beside a reference: only words, for what narrows the values would need a merge."""
        if any(name in beside for name in ("properties", "items", "anyOf", "oneOf", "type", "prefixItems")):
            msg = "what stands beside '$ref' is more than words"
            raise Unheld(msg, path)
        told: JsonObject = {name: beside[name] for name in ("title", "description") if name in beside}
        words = {name: value for name, value in beside.items() if name not in told and name not in _DROPPED}
        return _with_words(told, words)

    def _follow(self, reference: Json, path: tuple[str, ...]) -> None:
        """Project what is referred to, once."""
        if not isinstance(reference, str) or not reference.startswith("#"):
            msg = f"it refers to {reference!r}, outside of the schema"
            raise Unheld(msg, path)
        if reference == "#" or reference in self._open:
            self._check_cycle(reference, path)
            return
        if reference in self._names:
            return
        target = self._target(reference, path)
        self._names[reference] = _fresh(reference.rsplit("/", 1)[-1], list(self._names.values()))
        self._open[reference] = len(self._may_lack)
        try:
            self._defined[reference] = self.of(target, (*path, "$ref"))
        finally:
            del self._open[reference]

    def _check_cycle(self, reference: str, path: tuple[str, ...]) -> None:
        cycles = self.rules.cycles
        within = self._may_lack[self._open.get(reference, 0) :]
        if cycles == "never" or (cycles == "optional" and not any(within)):
            msg = f"it refers to itself by {reference!r}"
            raise Unheld(msg, path)

    def _target(self, reference: str, path: tuple[str, ...]) -> Json:
        target: Json = self.root
        for step in reference[1:].split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            target = target.get(name) if isinstance(target, Mapping) else None
        if not isinstance(target, Mapping):
            msg = f"{reference!r} refers to nothing"
            raise Unheld(msg, path)
        return target

    def _merged(self, node: Mapping[str, Json], path: tuple[str, ...]) -> Mapping[str, Json]:
        """Return a node with its ``allOf`` as one node."""
        parts = node.get("allOf")
        if parts is None:
            return node
        merged: JsonObject = {name: value for name, value in node.items() if name != "allOf"}
        for part in parts if isinstance(parts, list) else [None]:
            if not isinstance(part, Mapping):
                msg = "'allOf' is not a list of schemas"
                raise Unheld(msg, path)
            if "$ref" in part and len(parts) > 1:
                beside = {name: value for name, value in part.items() if name != "$ref"}
                merged = _joined(merged, self._merged({**self._target(part["$ref"], path), **beside}, path), path)
            else:
                merged = _joined(merged, self._merged(part, path), path)
        return merged

    # What is not a reference

    def _plain(self, node: Mapping[str, Json], path: tuple[str, ...]) -> JsonObject:
        kept: JsonObject = {}
        words: JsonObject = {}
        for name, value in node.items():
            if name in _EVERYWHERE or self._knows(name, value):
                kept[name] = value
            elif name not in _HANDLED and name not in _DROPPED:
                words[name] = value
        self._add_values(kept, words, node, path)
        self._add_alternatives(kept, node, path)
        if _is_of(node, "object"):
            kept.setdefault("type", "object")
            self._add_members(kept, node, path)
        if "properties" not in kept:
            kept.pop("required", None)
        if _is_of(node, "array"):
            kept.setdefault("type", "array")
            self._add_elements(kept, words, node, path)
        if not ("type" in kept or "anyOf" in kept or "enum" in kept or "const" in kept) and self.rules.one_type:
            msg = "anything may stand there"
            raise Unheld(msg, path)
        return _with_words(kept, words)

    def _knows(self, name: str, value: Json) -> bool:
        if name == "format":
            return value in self.rules.formats
        if name == "minItems" and self.rules.min_items is not None:
            return value in self.rules.min_items
        return name in self.rules.keywords and name not in _HANDLED

    def _add_values(self, kept: JsonObject, words: JsonObject, node: Mapping[str, Json], path: tuple[str, ...]) -> None:
        """Write the values that are allowed: as a constant, a list, or in words where they are of other kinds."""
        if "const" in node and "const" in self.rules.keywords and _is_listed(node["const"], self.rules.enums):
            kept["const"] = node["const"]
            kept.setdefault("type", _type_of([node["const"]]))
            return
        values = [node["const"]] if "const" in node else node.get("enum")
        if values is None:
            return
        if not isinstance(values, list) or not values:
            msg = "'enum' lists no values"
            raise Unheld(msg, path)
        kinds = _type_of(values)
        self._counts["listed values"] += len(values)
        if all(_is_listed(value, self.rules.enums) for value in values):
            kept["enum"] = values
            kept.setdefault("type", kinds)
        elif "type" in kept or not {"object", "array"} & set([kinds] if isinstance(kinds, str) else kinds):
            kept.setdefault("type", kinds)
            words["enum"] = values
        else:
            msg = "objects and arrays are listed as values"
            raise Unheld(msg, path)

    def _add_alternatives(self, kept: JsonObject, node: Mapping[str, Json], path: tuple[str, ...]) -> None:
        for name in ("anyOf", "oneOf"):
            if name not in node:
                continue
            parts = node[name]
            if not isinstance(parts, list) or not parts or "anyOf" in kept:
                msg = f"{name!r} cannot stand there"
                raise Unheld(msg, path)
            self._counts["parts with alternatives"] += 1
            kept["anyOf"] = [self.of(part, (*path, f"{name}[{index}]")) for index, part in enumerate(parts)]

    def _add_members(self, kept: JsonObject, node: Mapping[str, Json], path: tuple[str, ...]) -> None:
        properties = node.get("properties")
        more = node.get("additionalProperties", properties is None)
        if node.get("unevaluatedProperties", False) is not False:
            more = True
        if more is not False:
            if not self.rules.open_objects:
                msg = "it has open-ended keys, as a dict has; use a list of a class with a key and a value"
                raise Unheld(msg, path)
            kept["additionalProperties"] = self.of(more, (*path, "*")) if isinstance(more, Mapping) and more else True
        else:
            kept["additionalProperties"] = False
        properties = properties if isinstance(properties, Mapping) else {}
        required = [name for name in node.get("required", ()) if name in properties]
        if properties or more is False:
            kept["properties"] = {
                name: self._member(value, (*path, name), is_required=name in required)
                for name, value in properties.items()
            }
            self._set_required(kept, required, path)

    def _member(self, value: Json, path: tuple[str, ...], *, is_required: bool) -> JsonObject:
        self._counts["properties"] += 1
        if self.rules.deepest is not None and len(self._may_lack) >= self.rules.deepest:
            msg = f"objects stand in one another more than {self.rules.deepest} deep"
            raise Unheld(msg, path)
        self._may_lack.append(not is_required)
        try:
            member = self.of(value, path)
        finally:
            self._may_lack.pop()
        if is_required:
            return member
        self._counts["properties that may be absent"] += 1
        return _nullable(member, bare=self.rules.bare_references) if self.rules.all_required else member

    def _set_required(self, kept: JsonObject, required: list[str], path: tuple[str, ...]) -> None:
        if self.rules.all_required:
            required = list(kept["properties"])
        if self.rules.some_required and not required:
            msg = "no property of it is required"
            raise Unheld(msg, path)
        kept.pop("required", None)
        if required or self.rules.all_required:
            kept["required"] = required

    def _add_elements(
        self, kept: JsonObject, words: JsonObject, node: Mapping[str, Json], path: tuple[str, ...]
    ) -> None:
        first, rest = node.get("prefixItems"), node.get("items")
        if isinstance(rest, list):  # as tuples were written up to draft 7
            first, rest = rest, node.get("additionalItems", True)
        if isinstance(first, list):
            self._add_tuple(kept, words, first, rest, path)
        elif rest is not None and rest is not True:
            kept["items"] = self.of(rest, (*path, "[]"))
        elif self.rules.one_type:
            msg = "anything may stand in it"
            raise Unheld(msg, path)

    def _add_tuple(
        self, kept: JsonObject, words: JsonObject, first: list[Json], rest: Json, path: tuple[str, ...]
    ) -> None:
        """Write an array whose places have types of their own; if need be, as one of which each place may have any."""
        places = [self.of(part, (*path, f"[{index}]")) for index, part in enumerate(first)]
        if rest is not False and rest is not None:
            msg = "a tuple that goes on has no place in it"
            raise Unheld(msg, path)
        if self.rules.tuples:
            kept["prefixItems"] = places
            kept["items"] = False
            return
        kinds = [part for index, part in enumerate(places) if part not in places[:index]]
        kept["items"] = kinds[0] if len(kinds) == 1 else {"anyOf": kinds} if kinds else {"type": "null"}
        for name in ("minItems", "maxItems"):
            words.pop(name, None)
            if self._knows(name, len(first)):
                kept[name] = len(first)
        words["prefixItems"] = first


#: What is looked at by name.
_HANDLED: Final = frozenset(
    {"$defs", "$ref", "additionalItems", "additionalProperties", "allOf", "anyOf", "const", "definitions", "enum",
     "items", "oneOf", "prefixItems", "properties", "unevaluatedProperties"}
)  # fmt: skip

_KINDS: Final[tuple[tuple[type, str], ...]] = (
    (bool, "boolean"), (str, "string"), (int, "integer"), (float, "number"), (type(None), "null"), (list, "array"),
    (dict, "object"),
)  # fmt: skip


def _type_of(values: Sequence[Json]) -> str | list[str]:
    """Return the type of some values, several as a list."""
    names = [next(name for kind, name in _KINDS if isinstance(value, kind)) for value in values]
    kinds = list(dict.fromkeys(names))
    return kinds[0] if len(kinds) == 1 else kinds


def _is_listed(value: Json, kinds: tuple[type, ...]) -> bool:
    return type(value) in kinds


def _is_of(node: Mapping[str, Json], kind: Literal["array", "object"]) -> bool:
    types = node.get("type")
    if types is None:
        words = ("properties",) if kind == "object" else ("items", "prefixItems")
        return any(word in node for word in words)
    return types == kind or (isinstance(types, list) and kind in types)


def _nullable(node: JsonObject, *, bare: bool) -> JsonObject:
    """Return a node that also admits null, which stands for a property that is absent."""
    if _admits_null(node):
        return node
    about: JsonObject = {name: node[name] for name in ("description", "title") if name in node}
    inner = {name: value for name, value in node.items() if name not in about}
    if inner.keys() == {"anyOf"} and (not bare or len(inner["anyOf"]) > 1):
        return {"anyOf": [*inner["anyOf"], {"type": "null"}], **about}
    return {"anyOf": [inner, {"type": "null"}], **about}


def _admits_null(node: Mapping[str, Json]) -> bool:
    kind = node.get("type")
    if kind == "null" or (isinstance(kind, list) and "null" in kind):
        return "enum" not in node or None in node["enum"]
    return any(isinstance(part, Mapping) and _admits_null(part) for part in node.get("anyOf", ()))


def _with_words(node: JsonObject, words: Mapping[str, Json]) -> JsonObject:
    """Put what has no keyword into the description."""
    if words:
        text = json.dumps(words, ensure_ascii=False, separators=(",", ":"), default=str)
        node["description"] = "\n\n".join(filter(None, [node.get("description"), text]))
    return node


def _joined(one: JsonObject, other: Mapping[str, Json], path: tuple[str, ...]) -> JsonObject:
    """Return two nodes that both hold as one."""
    joined = dict(one)
    for name, value in other.items():
        known = joined.get(name)
        if known is None or known == value or name in ("title", "description"):
            joined.setdefault(name, value)
        elif name == "properties" and not known.keys() & value.keys():
            joined[name] = {**known, **value}
        elif name == "required":
            joined[name] = [*known, *[each for each in value if each not in known]]
        else:
            msg = f"two parts of 'allOf' say different things of {name!r}"
            raise Unheld(msg, path)
    return joined


def _fresh(name: str, taken: Collection[str]) -> str:
    """Return a name for a definition that no other one has."""
    fresh, number = name or "part", 2
    while fresh in taken:
        fresh, number = f"{name}_{number}", number + 1
    return fresh
