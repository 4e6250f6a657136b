"""Which texts of a JSON value may be shown while they are written, by its schema: those that are free."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Final

from attrs import evolve, field, frozen

from ..provider_json import Json, JsonObject

__all__ = ["Nodes", "elements_of", "is_free_text", "member_of"]

#: The keywords by which a text has only some values, or a format, so that half of it means something else.
_CLOSING: Final = frozenset({"const", "contentEncoding", "enum", "format", "pattern"})
_MOST: Final = 256  # alternatives of one value


@frozen
class Nodes:
    """The parts of a schema that describe one value, each of them alone; none where nothing is known.

    Args:
        alternatives: the parts, without references and unions.
        root: the whole schema, to find definitions in.
    """

    alternatives: tuple[JsonObject, ...] = ()
    root: Mapping[str, Json] = field(factory=dict, repr=False)

    @classmethod
    def of(cls, schema: Mapping[str, Json] | None) -> Nodes:
        """Return the nodes of a whole schema."""
        return NO_NODES if not schema else cls(tuple(islice(_alternatives(schema, schema, ()), _MOST)), schema)

    def at(self, found: list[Json]) -> Nodes:
        """Return the nodes that these parts of the schema stand for."""
        parts = tuple(islice((part for node in found for part in _alternatives(node, self.root, ())), _MOST))
        return evolve(self, alternatives=parts) if parts else NO_NODES


NO_NODES: Final = Nodes()


def member_of(nodes: Nodes, key: str) -> Nodes:
    """Return the nodes of the member of an object."""
    found: list[Json] = []
    for node in nodes.alternatives:
        properties = node.get("properties")
        if isinstance(properties, Mapping) and key in properties:
            found.append(properties[key])
        elif isinstance(node.get("additionalProperties"), Mapping):
            found.append(node["additionalProperties"])
    return nodes.at(found) if found else NO_NODES


def elements_of(nodes: Nodes, index: int) -> Nodes:
    """Return the nodes of the element of an array."""
    found: list[Json] = []
    for node in nodes.alternatives:
        first = node.get("prefixItems")
        if isinstance(first, list) and index < len(first):
            found.append(first[index])
        elif isinstance(node.get("items"), Mapping):
            found.append(node["items"])
    return nodes.at(found) if found else NO_NODES


def is_free_text(nodes: Nodes) -> bool:
    """Tell whether a text may be anything, by one of the alternatives that are texts, or as nothing is known.

    Example:
        >>> is_free_text(Nodes.of({"type": "string"})), is_free_text(Nodes.of({"enum": ["red", "green"]}))
        (True, False)
    """
    texts = [node for node in nodes.alternatives if _may_be_text(node)]
    return not texts or any(not _CLOSING & node.keys() for node in texts)


def _may_be_text(node: JsonObject) -> bool:
    kind = node.get("type")
    if isinstance(kind, str):
        return kind == "string"
    if isinstance(kind, list):
        return "string" in kind
    values = [node["const"]] if "const" in node else node.get("enum")
    if isinstance(values, list):
        return any(isinstance(value, str) for value in values)
    return "properties" not in node and "items" not in node


def _alternatives(node: Json, root: Mapping[str, Json], within: tuple[Json, ...]) -> Iterator[JsonObject]:
    """Give what a node may stand for, with references followed and unions taken apart.

    Args:
        node: a part of the schema.
        root: the whole schema.
        within: the references that are being followed.
    """
    if not isinstance(node, Mapping):
        return
    own: JsonObject = {name: value for name, value in node.items() if name not in _SPREAD}
    spread = [name for name in _SPREAD if name in node]
    if not spread:
        yield own
        return
    for name in spread:
        parts = node[name]
        if name == "$ref":
            if parts in within:
                continue
            within, parts = (*within, parts), [_target(root, parts)]
        for part in parts if isinstance(parts, list) else ():
            for alternative in _alternatives(part, root, within):
                yield {**own, **alternative}


_SPREAD: Final = ("$ref", "anyOf", "oneOf", "allOf")


def _target(root: Mapping[str, Json], reference: Json) -> Json:
    """Return what a reference inside the schema points at; None if there is no such part."""
    if not isinstance(reference, str) or not reference.startswith("#"):
        return None
    target: Json = root
    for step in reference[1:].split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        target = target.get(name) if isinstance(target, Mapping) else None
    return target
