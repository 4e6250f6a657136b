"""Sixty output types, each with values as a model writes them in full."""

from __future__ import annotations

import dataclasses
import enum
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple, NotRequired, TypedDict
from uuid import UUID

import attrs
import msgspec

import mellite


class Colour(enum.Enum):
    """In the order of the rainbow."""

    RED = "red"
    GREEN = "green"


class Level(enum.IntEnum):
    """Numbers with names."""

    LOW = 1
    HIGH = 2


class Mixed(enum.Enum):
    """Values of several kinds."""

    WORD = "word"
    NUMBER = 7


@attrs.frozen
class Point:
    x: int
    y: int


@attrs.frozen
class City:
    name: str
    people: int = 0
    nick: str | None = None


@dataclasses.dataclass
class Note:
    text: str
    tags: list[str] = dataclasses.field(default_factory=list)


class Song(msgspec.Struct):
    title: str
    seconds: float
    live: bool = False


class Place(TypedDict):
    name: str
    zip: NotRequired[str]


class Pair(NamedTuple):
    key: str
    count: int = 1


@attrs.frozen
class Tree:
    name: str
    children: list[Tree] = attrs.field(factory=list)


@attrs.frozen
class Link:
    value: int
    next: Link | None = None


@attrs.frozen
class Strict:
    stars: Annotated[int, msgspec.Meta(ge=1, le=5)]
    code: Annotated[str, msgspec.Meta(pattern="^[A-Z]{2}$", max_length=2)]
    few: Annotated[list[int], msgspec.Meta(min_length=1, max_length=3)]


@attrs.frozen
class Times:
    day: date
    at: datetime
    hour: time
    took: timedelta


@attrs.frozen
class Exact:
    id: UUID
    price: Decimal
    data: bytes


@attrs.frozen
class Holder:
    city: City
    point: Point | None
    colour: Colour = Colour.RED
    cities: list[City] = attrs.field(factory=list)


class Circle(msgspec.Struct, tag="circle"):
    radius: float


class Square(msgspec.Struct, tag="square"):
    side: float


@attrs.frozen
class Drawing:
    shapes: list[Circle | Square]
    main: Circle | Square | None = None


@attrs.frozen
class Described:
    """A thing that says what it is."""

    name: Annotated[str, "What it is called."]
    kind: Annotated[Literal["a", "b"], "One of two."] = "a"


@attrs.frozen
class Open:
    name: str
    extra: dict[str, int]


@attrs.frozen
class Nothing:
    """No field at all."""


@attrs.frozen
class Free:
    anything: Any
    name: str = ""


@attrs.frozen
class Person:
    name: str
    age: int


@attrs.frozen
class Animal:
    legs: int


TREE = {"name": "a", "children": [{"name": "b", "children": []}]}
CITY = {"name": "Oslo", "people": 7, "nick": None}
HOLDER = {"city": CITY, "point": {"x": 1, "y": 2}, "colour": "green", "cities": [CITY, {**CITY, "nick": "The Tiger"}]}
OBJECT = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "string"}}, "required": ["a"]}

#: (name, output type, values)
TYPES: list[tuple[str, Any, list[Any]]] = [
    ("int", int, [0, -3, 10**12]),
    ("float", float, [0.5, -2.25, 3]),
    ("bool", bool, [True, False]),
    ("literal", Literal["a", "b"], ["a", "b"]),
    ("numbers", Literal[1, 2], [1, 2]),
    ("mixed literal", Literal["a", 1] | None, ["a", 1, None]),
    ("flags", Literal[True], [True]),
    ("enum", Colour, ["red", "green"]),
    ("int enum", Level, [1, 2]),
    ("mixed enum", Mixed, ["word", 7]),
    ("maybe int", int | None, [4, None]),
    ("int or text", int | str, [4, "four"]),
    ("list of int", list[int], [[], [1, 2]]),
    ("list of lists", list[list[str]], [[["a"], []]]),
    ("list of maybe", list[int | None], [[1, None]]),
    ("set", set[int], [[1, 2]]),
    ("frozenset", frozenset[str], [["a"]]),
    ("tuple", tuple[int, ...], [[1, 2, 3]]),
    ("pair", tuple[int, str], [[1, "a"]]),
    ("alike", tuple[int, int], [[1, 2]]),
    ("dict", dict[str, int], [{}, {"a": 1}]),
    ("dict of lists", dict[str, list[bool]], [{"a": [True]}]),
    ("any dict", dict[str, Any], [{"a": {"b": [1]}}]),
    ("any list", list[Any], [[1, "a", None]]),
    ("anything", Any, [{"a": 1}, [1], "x", None]),
    ("attrs", Point, [{"x": 1, "y": 2}]),
    ("defaults", City, [CITY]),
    ("dataclass", Note, [{"text": "a", "tags": ["b"]}]),
    ("struct", Song, [{"title": "a", "seconds": 1.5, "live": True}]),
    ("typed dict", Place, [{"name": "a", "zip": "1"}]),
    ("named tuple", Pair, [{"key": "a", "count": 2}]),
    ("tree", Tree, [TREE]),
    ("chain", Link, [{"value": 1, "next": {"value": 2, "next": None}}]),
    ("limits", Strict, [{"stars": 5, "code": "NO", "few": [1]}]),
    ("times", Times, [{"day": "2026-01-02", "at": "2026-01-02T03:04:05Z", "hour": "03:04:05Z", "took": "PT90S"}]),
    ("exact", Exact, [{"id": "12345678-1234-5678-1234-567812345678", "price": "1.50", "data": "aGk="}]),
    ("date", date, ["2026-01-02"]),
    ("uuid", UUID, ["12345678-1234-5678-1234-567812345678"]),
    ("decimal", Decimal, ["1.50"]),
    ("nested", Holder, [HOLDER, {**HOLDER, "point": None}]),
    ("list of classes", list[City], [[], [CITY]]),
    ("maybe class", City | None, [CITY, None]),
    ("tagged", Circle | Square, [{"type": "circle", "radius": 1.5}, {"type": "square", "side": 2.5}]),
    (
        "tagged inside",
        Drawing,
        [{"shapes": [{"type": "circle", "radius": 1.5}], "main": {"type": "square", "side": 2.0}}],
    ),
    ("told apart", Person | Animal, [{"name": "a", "age": 1}, {"legs": 4}]),
    ("list of unions", list[Person | Animal], [[{"name": "a", "age": 1}, {"legs": 4}]]),
    ("described", Described, [{"name": "a", "kind": "b"}]),
    ("open", Open, [{"name": "a", "extra": {"b": 1}}]),
    ("nothing", Nothing, [{}]),
    ("free", Free, [{"anything": [1], "name": "a"}]),
    ("dict of classes", dict[str, Point], [{"a": {"x": 1, "y": 2}}]),
    ("schema", mellite.Json(OBJECT), [{"a": 1, "b": "x"}]),
    ("closed schema", mellite.Json({**OBJECT, "additionalProperties": False}), [{"a": 1, "b": "x"}]),
    ("open schema", mellite.Json({**OBJECT, "additionalProperties": True}), [{"a": 1, "b": "x", "c": []}]),
    ("limited schema", mellite.Json({"type": "integer", "minimum": 1, "maximum": 9, "multipleOf": 2}), [2, 8]),
    ("one of", mellite.Json({"oneOf": [{"type": "integer"}, {"type": "string", "minLength": 2}]}), [3, "ab"]),
    (
        "all of",
        mellite.Json(
            {"allOf": [{"$ref": "#/$defs/p"}, {"properties": {"c": {"type": "null"}}}], "$defs": {"p": OBJECT}}
        ),
        [{"a": 1, "b": "x", "c": None}],
    ),
    (
        "references",
        mellite.Json(
            {
                "type": "object",
                "properties": {
                    "one": {"$ref": "#/$defs/n", "description": "One."},
                    "more": {"$ref": "#/properties/one"},
                },
                "required": ["one"],
                "$defs": {"n": {"type": "number", "exclusiveMinimum": 0}},
            }
        ),
        [{"one": 1.5, "more": 2}],
    ),
    ("refers to itself", mellite.Json({"type": "array", "items": {"$ref": "#"}}), [[], [[], [[]]]]),
    (
        "by pattern",
        mellite.Json(
            {"type": "object", "patternProperties": {"^x": {"type": "integer"}}, "additionalProperties": False}
        ),
        [{"x1": 1}],
    ),
    (
        "old tuple",
        mellite.Json({"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "items": False}),
        [[1, "a"]],
    ),
    ("object values", mellite.Json({"enum": [{"a": 1}, [2], "c"]}), [{"a": 1}, [2], "c"]),
]
