"""Take out of an answer the nulls that stand only because a provider wanted every property to be there."""

from __future__ import annotations

from collections.abc import Mapping

from ..provider_json import Json
from .free_texts import Nodes, elements_of, member_of

__all__ = ["without_added_nulls"]


def without_added_nulls(value: Json, schema: Mapping[str, Json]) -> Json:
    """Return a value without the members that are null, may be absent by the schema, and may not be null.

    Example:
        >>> without_added_nulls({"a": None}, {"type": "object", "properties": {"a": {"type": "integer"}}})
        {}
    """
    return _cleaned(value, Nodes.of(schema))


def _cleaned(value: Json, nodes: Nodes) -> Json:
    if isinstance(value, list):
        return [_cleaned(each, elements_of(nodes, index)) for index, each in enumerate(value)]
    if not isinstance(value, dict):
        return value
    kept: dict[str, Json] = {}
    for name, each in value.items():
        inner = member_of(nodes, name)
        if each is not None or not _is_added(name, nodes, inner):
            kept[name] = _cleaned(each, inner)
    return kept


def _is_added(name: str, nodes: Nodes, inner: Nodes) -> bool:
    """Tell whether a null can only mean that the member is absent."""
    objects = [node for node in nodes.alternatives if name in node.get("properties", {})]
    may_be_absent = any(name not in node.get("required", ()) for node in objects)
    return may_be_absent and not any(_admits_null(node) for node in inner.alternatives)


def _admits_null(node: Mapping[str, Json]) -> bool:
    kind = node.get("type")
    if kind is not None:
        return kind == "null" or (isinstance(kind, list) and "null" in kind)
    if "const" in node:
        return node["const"] is None
    values = node.get("enum")
    return values is None or None in values
