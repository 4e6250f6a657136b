"""A Python type as JSON: its schema, and how a value is read."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from attrs import frozen, has

from ..errors import InvalidRequest
from ..provider_json import Json, JsonObject
from ..type_names import type_name
from .annotations import Reader
from .mismatches import Mismatch
from .nodes import Node, Reading
from .scopes import NoShape, Scope
from .soundness import check_sound
from .writing import Writer

__all__ = ["Shape", "read_shape", "shape_of"]

#: How many characters of a value a message shows.
_SHOWN: Final = 80


@frozen
class Shape:
    """A type as JSON."""

    node: Node

    def schema(self) -> JsonObject:
        """Return the JSON Schema: properties, enums and literals in the order of the source, the root written out.

        Example:
            >>> shape_of(dict[str, int]).schema()
            {'type': 'object', 'additionalProperties': {'type': 'integer'}}
        """
        writer = Writer()
        root = self.node.root(writer)
        return {**root, "$defs": writer.definitions} if writer.definitions else root

    def convert(self, value: Json) -> Any:
        """Return the Python value for a JSON value: 3.0 is an int, "3" is not, unknown keys are errors.

        Raises:
            Mismatch: if the value does not fit, with the path and what is expected there.

        Example:
            >>> shape_of(list[int]).convert([1, 2.0])
            [1, 2]
            >>> shape_of(list[int]).convert([1, "2"])
            Traceback (most recent call last):
            mellite.values.shapes.mismatches.Mismatch: $[1]: expected an integer, not the string "2"
        """
        check_sound(value)
        return read_shape(self.node, value)


def read_shape(node: Node, value: Json) -> Any:
    """Convert a value that is sound; a type that nests without end is an error like any other."""
    try:
        return node.convert(value, Reading())
    except RecursionError:
        msg = "nested too deeply to be read here"
        raise Mismatch(msg, value) from None


def shape_of(kind: Any) -> Shape:
    """Return a type as JSON.

    Raises:
        InvalidRequest: if the type, or a type inside it, has no JSON form.

    Example:
        >>> from typing import Literal
        >>> shape_of(Literal["low", "high"]).schema()
        {'type': 'string', 'enum': ['low', 'high']}
    """
    try:
        # Unions are equal in any order, and read and written in their own.
        return _known_shape(kind, "" if isinstance(kind, type) else repr(kind))
    except TypeError:
        return _shape(kind)


def _shape(kind: Any) -> Shape:
    own = getattr(kind, "output_shape", None)
    if isinstance(own, Shape):
        return own
    name = type_name(kind)
    where = f"output type {name!r}"
    advice = _advice(kind)
    if advice is not None:
        msg = f"output type {repr(kind)[:_SHOWN]} has no JSON Schema: {advice}"
        raise InvalidRequest(msg, parameter="output")
    try:
        reader = Reader()
        node = reader.read(kind, Scope(where))
        reader.finish()
    except (NoShape, RecursionError) as error:
        msg = f"{where} has no JSON Schema: {str(error).removeprefix(f'{where}: ')}"
        raise InvalidRequest(msg, parameter="output") from error
    return Shape(node)


def _advice(kind: object) -> str | None:
    """Return what to give in place of a value that is not a type; None for what may be one."""
    if isinstance(kind, str):
        return "it is a str; give the type itself"
    if isinstance(kind, Mapping):
        return "it is a mapping; for a JSON Schema of your own, give mellite.Json(schema)"
    if not isinstance(kind, type) and (has(type(kind)) or dataclasses.is_dataclass(kind)):
        return f"it is an object; give its class, {type(kind).__name__}"
    return None


@lru_cache(maxsize=256)
def _known_shape(kind: Any, _text: str) -> Shape:
    return _shape(kind)
