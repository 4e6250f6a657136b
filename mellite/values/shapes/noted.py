"""Notes of `Annotated` beside a type: a description, and limits that values must keep."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, time
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

import msgspec
from attrs import field, frozen

from ..provider_json import Json, JsonObject
from .mismatches import Mismatch, said
from .nodes import Node, Reading
from .scopes import NoShape, Scope
from .writing import Writer

__all__ = ["Noted", "described", "noted"]


@frozen
class Noted(Node):
    """A type with something said about it.

    Args:
        node: the type.
        notes: keywords of JSON Schema that say something and limit nothing.
        limits: `ge`, `max_length` and the like -> the bound.
    """

    node: Node
    notes: Mapping[str, Any]
    limits: Mapping[str, Any] = field(kw_only=True)

    @property
    def kinds(self) -> frozenset[str]:
        """Those of the type."""
        return self.node.kinds

    @property
    def title(self) -> str:
        """That of the type."""
        return self.node.title

    def schema(self, writer: Writer) -> JsonObject:
        """Return the schema of the type with the notes beside it."""
        return {**self.node.schema(writer), **self._keywords(), **self.notes}

    def root(self, writer: Writer) -> JsonObject:
        """Return the written-out schema of the type with the notes beside it."""
        return {**self.node.root(writer), **self._keywords(), **self.notes}

    @property
    def is_described(self) -> bool:
        """Whether a model is told what it is for."""
        return "description" in self.notes or self.node.is_described

    def _keywords(self) -> JsonObject:
        kinds = {"number" if kind == "integer" else kind for kind in self.kinds}
        return {
            keyword: self.limits[limit]
            for (limit, kind), keyword in _KEYWORDS.items()
            if limit in self.limits and kind in kinds
        }

    def convert(self, value: Json, reading: Reading) -> Any:
        """Convert by the type, and check the limits."""
        done = self.node.convert(value, reading)
        for limit, bound in self.limits.items():
            if not _keeps(limit, bound, value, done):
                msg = f"expected {_WORDS[limit].format(bound)}, not {said(value)}"
                raise Mismatch(msg, value)
        return done


def noted(node: Node, metadata: Iterable[object], scope: Scope) -> Node:
    """Return a type with what its `Annotated` says beside it: texts, msgspec.Meta, and what looks like it.

    Raises:
        NoShape: for a pattern that is none.
    """
    words = described(metadata)
    notes: JsonObject = {"description": words} if words else {}
    limits: dict[str, Any] = {}
    for each in _flat(metadata):
        for name in ("title", "examples"):
            if isinstance(value := getattr(each, name, None), (str, list)) and value and not isinstance(each, str):
                notes[name] = value
        if isinstance(each, msgspec.Meta):
            notes |= each.extra_json_schema or {}
        limits |= {name: bound for name in _WORDS if _is_bound(name, bound := getattr(each, name, None))}
    if "pattern" in limits:
        try:
            re.compile(limits["pattern"])
        except re.error as error:
            msg = f"{scope.where}: {limits['pattern']!r} is not a regular expression: {error}"
            raise NoShape(msg) from error
    return Noted(node, notes, limits=limits) if notes or limits else node


def described(metadata: Iterable[object]) -> str:
    """Return the description in what an `Annotated` says beside a type: a text alone, or what carries one.

    Example:
        >>> described(["The city.", msgspec.Meta(ge=1)])
        'The city.'
    """
    found: list[str] = []
    for each in metadata:
        words = each
        for name in ("description", "documentation"):
            if not isinstance(words, str):
                words = getattr(each, name, None)
        if isinstance(words, str):
            found.append(words)
    return "\n".join(found)


def _flat(metadata: Iterable[object]) -> Iterator[object]:
    """Return the metadata, and what those of pydantic's `Field` carry in their turn."""
    for each in metadata:
        yield each
        inner = getattr(each, "metadata", None)
        if isinstance(inner, list):
            yield from inner


def _is_bound(name: str, bound: object) -> bool:
    if name == "pattern":
        return isinstance(bound, str)
    if name == "multiple_of" and bound == 0:
        return False
    return isinstance(bound, (int, float, Decimal))


def _keeps(limit: str, bound: Any, value: Json, done: Any) -> bool:
    """Return whether a value keeps a limit; one that is about values of another kind is kept."""
    if limit in ("min_length", "max_length"):
        if not isinstance(value, (str, list, tuple, Mapping)):
            return True
        return bool(len(value) >= bound if limit == "min_length" else len(value) <= bound)
    if limit == "pattern":
        return not isinstance(value, str) or re.search(bound, value) is not None
    if limit == "tz":
        return not isinstance(done, (datetime, time)) or (done.tzinfo is not None) == bound
    number = done if isinstance(done, (int, float, Decimal)) and not isinstance(done, bool) else None
    return number is None or bool(_COMPARISONS[limit](number, bound))


def _is_multiple(number: Any, bound: Any) -> bool:
    if isinstance(number, Decimal) and abs(number.adjusted()) > _MOST_PLACES:
        return False  # a model may write 1e999999999, whose digits no memory holds
    return Fraction(str(number)) % Fraction(str(bound)) == 0  # exact, where decimals divide up to 28 places only


#: How many digits before or behind the point a number may have that is divided; no double has more.
_MOST_PLACES: Final = 330

_COMPARISONS: Final[Mapping[str, Any]] = {
    "ge": lambda number, bound: number >= bound,
    "gt": lambda number, bound: number > bound,
    "le": lambda number, bound: number <= bound,
    "lt": lambda number, bound: number < bound,
    "multiple_of": _is_multiple,
}

_WORDS: Final[Mapping[str, str]] = {
    "ge": "at least {}",
    "gt": "more than {}",
    "le": "at most {}",
    "lt": "less than {}",
    "multiple_of": "a multiple of {}",
    "min_length": "a length of at least {}",
    "max_length": "a length of at most {}",
    "pattern": "a string that matches {}",
    "tz": "a time zone: {}",
}

_KEYWORDS: Final[Mapping[tuple[str, str], str]] = {
    ("ge", "number"): "minimum",
    ("gt", "number"): "exclusiveMinimum",
    ("le", "number"): "maximum",
    ("lt", "number"): "exclusiveMaximum",
    ("multiple_of", "number"): "multipleOf",
    ("min_length", "string"): "minLength",
    ("max_length", "string"): "maxLength",
    ("pattern", "string"): "pattern",
    ("min_length", "array"): "minItems",
    ("max_length", "array"): "maxItems",
    ("min_length", "object"): "minProperties",
    ("max_length", "object"): "maxProperties",
}
