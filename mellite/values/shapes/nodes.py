"""The plain parts of a type: scalars, dates, enums and literals, lists, tuples and mappings."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import msgspec
from attrs import define, field, frozen

from ..provider_json import Json, JsonObject
from .mismatches import Mismatch, kinds_of, listed, said
from .writing import Writer

__all__ = ["Again", "Anything", "Choice", "Items", "Mapped", "Node", "Reading", "Row", "Scalar", "Written"]


class Reading:
    """One reading of a value: how many members of unions have been tried, so that a value cannot make it endless."""

    MOST_TRIES: Final = 10_000

    def __init__(self) -> None:
        self._tries = 0

    def attempt(self) -> None:
        """Count a member of a union that is tried where another one could fit as well.

        Raises:
            Mismatch: after 10,000 of them.
        """
        self._tries += 1
        if self._tries > self.MOST_TRIES:
            msg = "too many members of unions fit so far; give the classes of the union a tag"
            raise Mismatch(msg, final=True)


class Node(ABC):
    """A type, as far as JSON is concerned."""

    @property
    @abstractmethod
    def kinds(self) -> frozenset[str]:
        """The JSON Schema names of the values that it may take."""

    @property
    def is_described(self) -> bool:
        """Whether a model is told what it is for."""
        return False

    @abstractmethod
    def schema(self, writer: Writer) -> JsonObject:
        """Return its JSON Schema, where it stands inside another one."""

    @abstractmethod
    def convert(self, value: Json, reading: Reading) -> Any:
        """Return the Python value for a JSON value.

        Raises:
            Mismatch: if the value does not fit.
        """

    @property
    @abstractmethod
    def title(self) -> str:
        """The values of this type, as a message calls one of them."""

    def root(self, writer: Writer) -> JsonObject:
        """Return its JSON Schema where it is the whole schema: written out, because providers look for it there."""
        return self.schema(writer)

    def wrong(self, value: Json) -> Mismatch:
        """Return the error for a value of another kind."""
        return Mismatch(f"expected {self.title}, not {said(value)}", value)


@frozen
class Anything(Node):
    """Any JSON."""

    @property
    def kinds(self) -> frozenset[str]:
        """All there are."""
        return frozenset({"null", "boolean", "integer", "number", "string", "array", "object"})

    @property
    def title(self) -> str:
        """What everything is."""
        return "any JSON"

    def schema(self, writer: Writer) -> JsonObject:
        """Return the schema that everything fits."""
        del writer
        return {}

    def convert(self, value: Json, reading: Reading) -> Any:
        """Return the value as it is."""
        del reading
        return value


@frozen
class Scalar(Node):
    """A null, boolean, integer, number or string."""

    kind: str

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds that it may take; every integer is a number."""
        return frozenset({self.kind, "integer"} if self.kind == "number" else {self.kind})

    @property
    def title(self) -> str:
        """The kind, with its article."""
        return {"null": "null", "integer": "an integer"}.get(self.kind, f"a {self.kind}")

    def schema(self, writer: Writer) -> JsonObject:
        """Return the schema of the kind."""
        del writer
        return {"type": self.kind}

    def convert(self, value: Json, reading: Reading) -> Any:
        """Return the value; 3.0 is an integer, because providers send numbers as doubles, and "3" is none."""
        del reading
        if type(value) is _EXACT.get(self.kind):
            return value
        if self.kind not in kinds_of(value):
            raise self.wrong(value)
        if self.kind == "integer":
            return int(value)
        return float(value) if self.kind == "number" else value


#: What Python decodes a kind of JSON to.
_EXACT: Final[Mapping[str, type]] = {
    "null": type(None),
    "boolean": bool,
    "integer": int,
    "number": float,
    "string": str,
}


@frozen
class Written(Node):
    """A value that JSON writes as a string: dates and times, UUIDs, decimals, bytes."""

    type: Any
    words: str
    """What it is, as a message says it."""
    notes: Mapping[str, str] = field(factory=dict, kw_only=True)
    read: Callable[[Json], Any] | None = field(default=None, kw_only=True)
    """What reads it; None if msgspec does."""
    numbers: bool = field(default=False, kw_only=True)
    """Whether a number is taken as well."""

    @property
    def title(self) -> str:
        """The words for it."""
        return self.words

    @property
    def kinds(self) -> frozenset[str]:
        """A string, and for decimals a number."""
        return frozenset({"string", "integer", "number"} if self.numbers else {"string"})

    def schema(self, writer: Writer) -> JsonObject:
        """Return the schema of a string, with its format."""
        del writer
        return {"type": "string", **self.notes}

    def convert(self, value: Json, reading: Reading) -> Any:
        """Read the string."""
        del reading
        if not self.kinds.intersection(kinds_of(value)):
            raise self.wrong(value)
        try:
            return self.read(value) if self.read is not None else msgspec.convert(value, self.type)
        except (msgspec.ValidationError, ValueError, OverflowError, ArithmeticError):
            raise self.wrong(value) from None


@frozen
class Choice(Node):
    """One of several values: a Literal, or the members of an Enum."""

    name: str
    results: Mapping[tuple[str, Json], Any]
    """(kind, value) -> what it stands for, in the order of the source; kinds keep 1 and true apart."""

    @classmethod
    def of(cls, name: str, pairs: Iterable[tuple[Json, Any]]) -> Choice:
        """Make the choice of (JSON value, what it stands for)."""
        results: dict[tuple[str, Json], Any] = {}
        for value, result in pairs:
            results.setdefault((kinds_of(value)[0], value), result)
        return cls(name, results)

    @property
    def values(self) -> list[Json]:
        """The JSON values, in order."""
        return [value for _, value in self.results]

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of its values."""
        return frozenset(kind for value in self.values for kind in kinds_of(value))

    @property
    def title(self) -> str:
        """All that is allowed."""
        return listed(self.values) if len(self.values) == 1 else f"one of {listed(self.values)}"

    def schema(self, writer: Writer) -> JsonObject:
        """Return the schema of the values, in order."""
        del writer
        kinds = {kind for kind, _ in self.results}
        uniform: JsonObject = {"type": kinds.pop()} if len(kinds) == 1 else {}
        title: JsonObject = {"title": self.name} if self.name else {}
        return {**title, **uniform, "enum": self.values}

    def convert(self, value: Json, reading: Reading) -> Any:
        """Return what the value stands for."""
        del reading
        for kind in kinds_of(value):
            if kind not in ("array", "object") and (kind, value) in self.results:
                return self.results[kind, value]
        raise self.wrong(value)


@frozen
class Items(Node):
    """An array of any length with items of one type: list, set, tuple, deque."""

    make: Callable[[Iterable[Any]], Any]
    item: Node

    @property
    def kinds(self) -> frozenset[str]:
        """An array."""
        return frozenset({"array"})

    @property
    def title(self) -> str:
        """An array."""
        return "an array"

    def schema(self, writer: Writer) -> JsonObject:
        """Return the schema of the array."""
        items = self.item.schema(writer)
        return {"type": "array", "items": items} if items else {"type": "array"}

    def convert(self, value: Json, reading: Reading) -> Any:
        """Convert each item."""
        if not isinstance(value, (list, tuple)):
            raise self.wrong(value)
        done = [_within(self.item, item, index, reading) for index, item in enumerate(value)]
        try:
            return self.make(done)
        except TypeError:
            msg = "expected an array of values that can be told apart in a set"
            raise Mismatch(msg, value) from None


@frozen
class Row(Node):
    """An array with one type for each place: ``tuple[int, str]``."""

    items: tuple[Node, ...]

    @property
    def kinds(self) -> frozenset[str]:
        """An array."""
        return frozenset({"array"})

    @property
    def title(self) -> str:
        """The array, with its length."""
        return f"an array of {len(self.items)}"

    def schema(self, writer: Writer) -> JsonObject:
        """Return the schema of an array with this many places."""
        size = len(self.items)
        places = [item.schema(writer) for item in self.items]
        known: JsonObject = {"prefixItems": places} if places else {}
        return {"type": "array", **known, "items": False, "minItems": size, "maxItems": size}

    def convert(self, value: Json, reading: Reading) -> Any:
        """Convert each place."""
        if not isinstance(value, (list, tuple)):
            raise self.wrong(value)
        if len(value) != len(self.items):
            msg = f"expected {self.title}, not one of {len(value)}"
            raise Mismatch(msg, value)
        return tuple(
            [_within(node, each, n, reading) for n, (node, each) in enumerate(zip(self.items, value, strict=True))]
        )


@frozen
class Mapped(Node):
    """An object with keys of the model's choosing: ``dict[str, int]``."""

    key: Node
    value: Node
    make: Callable[[Mapping[Any, Any]], Any] = field(kw_only=True)
    key_names: JsonObject = field(factory=dict, kw_only=True)
    """What JSON Schema says of the keys; nothing for any str."""

    @property
    def kinds(self) -> frozenset[str]:
        """An object."""
        return frozenset({"object"})

    @property
    def title(self) -> str:
        """An object."""
        return "an object"

    def schema(self, writer: Writer) -> JsonObject:
        """Return the schema of an open object."""
        values = self.value.schema(writer)
        names: JsonObject = {"propertyNames": self.key_names} if self.key_names else {}
        return {"type": "object", **names, **({"additionalProperties": values} if values else {})}

    def convert(self, value: Json, reading: Reading) -> Any:
        """Convert each key and each value."""
        if not isinstance(value, Mapping):
            raise self.wrong(value)
        done: dict[Any, Any] = {}
        for name, each in value.items():
            try:
                key = self.key.convert(name, reading)
            except Mismatch as error:
                msg = f"as a key, {error.message}"
                raise Mismatch(msg, name).under(name) from None
            if key in done:  # "1" and "01", for instance
                msg = "as a key, it stands for the same as another one"
                raise Mismatch(msg, name).under(name)
            done[key] = _within(self.value, each, name, reading)
        return self.make(done)


@define(eq=False)
class Again(Node):
    """A type with a name that comes again within itself: ``Json = dict[str, "Json"] | int``."""

    name: str
    target: Node | None = None
    is_used: bool = field(default=False, kw_only=True)

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of the type; none while the type is being read."""
        return frozenset() if self.target is None else self.target.kinds

    @property
    def title(self) -> str:
        """The name."""
        return self.name

    def schema(self, writer: Writer) -> JsonObject:
        """Return a reference to the definition."""
        return writer.refer(self, self.name, lambda: self.root(writer))

    def root(self, writer: Writer) -> JsonObject:
        """Return the definition itself."""
        return {} if self.target is None else self.target.schema(writer)

    def convert(self, value: Json, reading: Reading) -> Any:
        """Convert by the type itself."""
        return value if self.target is None else self.target.convert(value, reading)


def _within(node: Node, value: Json, key: str | int, reading: Reading) -> Any:
    try:
        return node.convert(value, reading)
    except Mismatch as error:
        error.under(key)
        raise
