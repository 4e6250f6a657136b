"""From an annotation to what JSON may stand for it, and to the Python value that is made of it."""

from __future__ import annotations

import collections
import enum
import math
import typing
from collections import abc
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path, PurePath
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Final,
    ForwardRef,
    Literal,
    LiteralString,
    NewType,
    Self,
    TypeVar,
    Union,
    get_args,
    get_origin,
)
from uuid import UUID

import msgspec
from attrs import evolve

from ..provider_json import Json, JsonObject
from ..type_names import type_name
from .classes import Declared, FieldSpec, declared, owner_of, text_of
from .docstrings import read_docstring
from .mismatches import kinds_of
from .nodes import Again, Anything, Choice, Items, Mapped, Node, Row, Scalar, Written
from .noted import described, noted
from .objects import Fields, Member
from .pydantic_models import Model, is_model
from .scopes import NoShape, Scope, filled, type_arguments
from .unions import Either, confused, tag_names
from .writing import Writer

__all__ = ["Reader"]


class Reader:
    """Reads the annotations of one type; a class that comes twice is one node, so that it may refer to itself."""

    def __init__(self) -> None:
        self._classes: dict[Any, Fields] = {}
        self._named_types: list[tuple[Any, Again]] = []
        self._unions: list[tuple[Either, str]] = []

    def read(self, kind: Any, scope: Scope) -> Node:
        """Return what an annotation means.

        Raises:
            NoShape: if it has no JSON form, with the place.
        """
        if isinstance(kind, (str, ForwardRef)):
            return self._named(kind, scope)
        if isinstance(kind, TypeVar) or kind is Self:
            return self._variable(kind, scope)
        if isinstance(kind, NewType):
            return self.read(kind.__supertype__, scope)
        if type(kind).__name__ == "TypeAliasType":
            return self._alias(kind, scope)
        origin = get_origin(kind)
        if type(origin).__name__ == "TypeAliasType":
            return self._alias(kind, scope)
        if origin is Annotated:
            return self._annotated(kind, scope)
        if origin is Union or origin is UnionType:
            again = self._known(kind)
            return again if again is not None and again.is_used else self._union(get_args(kind), scope)
        if origin is Literal:
            return self._literal(kind, scope)
        if _is_qualifier(origin):
            return self.read(get_args(kind)[0], scope)
        return self._plain(kind, origin, scope)

    def finish(self) -> None:
        """Check the unions, when all classes are read to their end.

        Raises:
            NoShape: if two classes of a union cannot be told apart.
        """
        for union, where in self._unions:
            if (two := confused(union.members)) is not None:
                msg = (
                    f"{where}: {two[0].name} and {two[1].name} have the same fields, so that an answer does not say "
                    f"which it is; give each a field such as `kind: Literal[...]`"
                )
                raise NoShape(msg)
            for member in union.members:
                if isinstance(member, Fields):
                    member.told_by |= set(tag_names(union.members))

    def member(self, spec: FieldSpec, scope: Scope, description: str = "") -> Member:
        """Return a field, with its type and what is said about it; what its annotation says wins."""
        annotation, required = _requirement(spec, scope)
        node = self.read(annotation, scope)
        own = _text_in(annotation)
        return Member(
            spec.written,
            node,
            argument=spec.argument,
            required=required,
            description="" if own else spec.description or description,
            default=spec.default,
        )

    def _plain(self, kind: Any, origin: Any, scope: Scope) -> Node:
        """Return what a class means, with or without arguments in brackets."""
        cls = origin or kind
        try:
            leaf = _LEAVES.get(cls)
        except TypeError:
            leaf = None
        if leaf is not None:
            return leaf
        if not isinstance(cls, type):
            raise _refused(kind, scope)
        if cls in _ARRAYS:
            return self._array(kind, _ARRAYS[cls], scope)
        if cls in _MAPPINGS:
            return self._mapping(kind, _MAPPINGS[cls], scope)
        if cls is tuple:
            return self._tuple(kind, scope)
        if issubclass(cls, enum.Enum):
            return _enum(cls, scope)
        return self._class(kind, cls, scope)

    def _class(self, kind: Any, cls: type, scope: Scope) -> Node:
        kind = filled(kind, scope.types)
        key = (kind, repr(kind))  # unions in its brackets are equal in any order, and read in their own
        if key in self._classes:
            return self._classes[key]
        if is_model(cls):
            self._classes[key] = model = Model(cls.__name__, cls=cls)
            model.members = self._fields_of_model(cls, scope)
            return model
        told = declared(cls)
        if told is None:
            raise _refused(kind, scope)
        summary, descriptions = read_docstring(text_of(cls))
        named = "_".join([cls.__name__, *(getattr(each, "__name__", "of") for each in get_args(kind))])
        node = Fields(named, build=told.build, description=summary, tag=told.tag, positions=told.positions)
        self._classes[key] = node
        node.members = self._members(kind, told, scope, descriptions)
        return node

    def _fields_of_model(self, cls: Any, scope: Scope) -> list[Member]:
        """Return the fields of a class that checks itself, as far as they can be read: to tell it from others."""
        members: list[Member] = []
        for name, each in getattr(cls, "model_fields", {}).items():
            try:
                node = self.read(each.annotation, scope)
            except NoShape:
                node = Anything()
            members.append(Member(each.alias or name, node, argument=name, required=each.is_required()))
        return members

    def _members(self, kind: Any, told: Declared, scope: Scope, descriptions: Mapping[str, str]) -> tuple[Member, ...]:
        cls = get_origin(kind) or kind
        types = type_arguments(kind)
        inherited = dict[str, str]()
        for base in reversed(cls.__mro__[1:-1]):
            inherited |= read_docstring(text_of(base))[1]
        members: list[Member] = []
        for spec in told.fields:
            owner = owner_of(cls, spec.name)
            where = f"field {spec.name!r} of {cls.__name__}"
            text = descriptions.get(spec.name) or inherited.get(spec.name, "")
            members.append(self.member(spec, scope.inside(owner, where, {**types.get(owner, {}), Self: kind}), text))
        return tuple(members)

    def _variable(self, kind: Any, scope: Scope) -> Node:
        """Return what a type variable stands for, or `Self`."""
        if scope.types.get(kind, kind) is not kind:
            return self.read(scope.types[kind], scope)
        if not isinstance(kind, TypeVar):
            raise _refused(kind, scope)
        if kind.__constraints__:
            return self._union(kind.__constraints__, scope)
        return Anything() if kind.__bound__ is None else self.read(kind.__bound__, scope)

    def _alias(self, kind: Any, scope: Scope) -> Node:
        alias = get_origin(kind) or kind
        types = {**scope.types, **dict(zip(alias.__type_params__, get_args(kind), strict=False))}
        return self._again(alias.__name__, kind, alias.__value__, evolve(scope, types=types))

    def _annotated(self, kind: Any, scope: Scope) -> Node:
        inner, *notes = get_args(kind)
        return noted(self.read(inner, scope), notes, scope)

    def _union(self, kinds: tuple[Any, ...], scope: Scope) -> Node:
        members: list[Node] = []
        for kind in kinds:
            node = self.read(kind, scope)
            members += node.members if isinstance(node, Either) else [node]
        if len(members) == 1:
            return members[0]
        union = Either(tuple(members))
        self._unions.append((union, scope.where))
        return union

    def _literal(self, kind: Any, scope: Scope) -> Node:
        pairs: list[tuple[Json, Any]] = []
        for value in get_args(kind):
            written = value.value if isinstance(value, enum.Enum) else value
            if not _is_plain(written):
                raise _refused(kind, scope)
            pairs.append((written, value))
        return Choice.of("", pairs)

    def _array(self, kind: Any, make: Callable[[Any], Any], scope: Scope) -> Node:
        item = self.read((get_args(kind) or (Any,))[0], scope)
        return Items(make, item)

    def _tuple(self, kind: Any, scope: Scope) -> Node:
        places = get_args(kind)
        if kind is tuple or get_origin(kind) is None:
            return Items(tuple, Anything())
        if len(places) == 2 and places[1] is Ellipsis:
            return Items(tuple, self.read(places[0], scope))
        return Row(tuple([self.read(place, scope) for place in places]))

    def _mapping(self, kind: Any, make: Callable[[Any], Any], scope: Scope) -> Node:
        of_key, of_value = get_args(kind) or (str, Any)
        key = self.read(of_key, scope)
        if isinstance(key, Anything):
            key = _LEAVES[str]
        if key == _LEAVES[int]:
            key = _INTEGER_KEY
        if key.kinds - {"number", "integer"} != {"string"} and key is not _INTEGER_KEY:
            msg = f"{scope.where}: the keys of a JSON object are strings, so {of_key!r} cannot be one"
            raise NoShape(msg)
        names: JsonObject = {} if key == _LEAVES[str] else _key_names(key)
        return Mapped(key, self.read(of_value, scope), make=make, key_names=names)

    def _named(self, annotation: str | ForwardRef, scope: Scope) -> Node:
        """Return what an annotation in quotes means; one that comes again within itself is referred to by its name."""
        kind = scope.evaluate(annotation)
        if isinstance(kind, type) or get_origin(kind) is Annotated:
            return self.read(kind, scope)
        text = annotation if isinstance(annotation, str) else annotation.__forward_arg__
        return self._again(text, kind, kind, scope)

    def _again(self, name: str, key: Any, kind: Any, scope: Scope) -> Node:
        if (known := self._known(key)) is not None:
            known.is_used = True
            return known
        node = Again(name)
        self._named_types.append((key, node))
        node.target = self.read(kind, scope)
        if node.is_used:
            return node
        self._named_types.remove((key, node))
        return node.target

    def _known(self, key: Any) -> Again | None:
        """Return the type with this name, if it is being read or comes again within itself."""
        same = (node for kind, node in self._named_types if kind is key or (kind == key and repr(kind) == repr(key)))
        return next(same, None)


def _requirement(spec: FieldSpec, scope: Scope) -> tuple[Any, bool]:
    """Return the annotation of a field without Required and NotRequired, and whether the field must be given."""
    annotation, required = spec.annotation, spec.required
    while True:
        if isinstance(annotation, (str, ForwardRef)):
            annotation = scope.evaluate(annotation)
        origin = get_origin(annotation)
        if not _is_qualifier(origin):
            return annotation, required
        if origin in (typing.Required, typing.NotRequired):
            required = origin is typing.Required
        annotation = get_args(annotation)[0]


def _is_qualifier(origin: Any) -> bool:
    """Return whether something says how a field is used, and nothing of its type."""
    # ReadOnly is in `typing` from Python 3.13 on, and in typing_extensions before.
    return origin in _QUALIFIERS or getattr(origin, "_name", None) == "ReadOnly"


def _text_in(annotation: Any) -> bool:
    return get_origin(annotation) is Annotated and bool(described(get_args(annotation)[1:]))


def _enum(cls: type[enum.Enum], scope: Scope) -> Choice:
    for member in cls:
        if not _is_plain(member.value) or (isinstance(member.value, float) and not math.isfinite(member.value)):
            msg = f"{scope.where}: {cls.__name__}.{member.name} has a value that JSON cannot write: {member.value!r}"
            raise NoShape(msg)
    if not len(cls):
        msg = f"{scope.where}: {cls.__name__} has no members, so that no value is one"
        raise NoShape(msg)
    return Choice.of(cls.__name__, [(member.value, member) for member in cls])


def _is_plain(value: object) -> bool:
    return value is None or (isinstance(value, (str, int, float)) and bool(kinds_of(value)))


def _refused(kind: Any, scope: Scope) -> NoShape:
    return NoShape(f"{scope.where}: {type_name(kind)} has no JSON form")


def _key_names(key: Node) -> JsonObject:
    schema = key.schema(Writer())
    return {name: value for name, value in schema.items() if name not in ("type", "title", "description")}


def _decimal(value: Json) -> Decimal:
    read = msgspec.convert(value, Decimal)
    if not read.is_finite():
        raise ValueError
    return read


def _integer_key(text: str) -> int:
    if not text.isascii() or not text.removeprefix("-").isdigit():
        raise ValueError
    return int(text)


_QUALIFIERS: Final = (typing.Required, typing.NotRequired, typing.Final, typing.ClassVar)

_INTEGER_KEY: Final = Written(int, "an integer in quotes", notes={"pattern": "^-?[0-9]+$"}, read=_integer_key)

_LEAVES: Final[Mapping[Any, Node]] = {
    Any: Anything(),
    object: Anything(),
    None: Scalar("null"),
    NoneType: Scalar("null"),
    bool: Scalar("boolean"),
    int: Scalar("integer"),
    float: Scalar("number"),
    str: Scalar("string"),
    LiteralString: Scalar("string"),
    bytes: Written(bytes, "bytes in base64", notes={"contentEncoding": "base64"}),
    datetime: Written(datetime, "a date and time such as 2026-01-31T12:00:00Z", notes={"format": "date-time"}),
    date: Written(date, "a date such as 2026-01-31", notes={"format": "date"}),
    time: Written(time, "a time such as 12:00:00", notes={"format": "time"}),
    timedelta: Written(timedelta, "a duration such as PT1H30M", notes={"format": "duration"}),
    UUID: Written(UUID, "a UUID", notes={"format": "uuid"}),
    Decimal: Written(Decimal, "a decimal number in quotes", notes={"format": "decimal"}, read=_decimal, numbers=True),
    Path: Written(Path, "a path", read=Path),
    PurePath: Written(PurePath, "a path", read=PurePath),
}

_ARRAYS: Final[Mapping[Any, Callable[[Any], Any]]] = {
    list: list,
    set: set,
    frozenset: frozenset,
    collections.deque: collections.deque,
    abc.Sequence: list,
    abc.MutableSequence: list,
    abc.Collection: list,
    abc.Iterable: list,
    abc.Set: frozenset,
    abc.MutableSet: set,
}

_MAPPINGS: Final[Mapping[Any, Callable[[Any], Any]]] = {
    dict: dict,
    collections.OrderedDict: collections.OrderedDict,
    abc.Mapping: dict,
    abc.MutableMapping: dict,
}
