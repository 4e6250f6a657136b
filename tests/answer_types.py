"""Sixty types that people write, each with a value; and values of any type written out as JSON."""

from __future__ import annotations

import base64
import collections
import dataclasses
import enum
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import (
    Annotated,
    Any,
    Final,
    Generic,
    Literal,
    NamedTuple,
    NewType,
    NotRequired,
    Optional,
    Required,
    TypedDict,
    TypeVar,
    Union,
)

import attrs
import msgspec
import pydantic

T = TypeVar("T")
K = TypeVar("K", bound=str)


class Colour(enum.Enum):
    """Colours, not in the order of the alphabet."""

    RED = "red"
    BLUE = "blue"
    GREEN = "green"


class Level(enum.IntEnum):
    """Levels from the top."""

    HIGH = 3
    MIDDLE = 2
    LOW = 1


class Mixed(enum.Enum):
    """Values of several kinds."""

    TEXT = "1"
    NUMBER = 1
    TRUTH = True
    NOTHING = None
    HALF = 0.5


@attrs.frozen
class City:
    """A city."""

    name: str
    people: int = 0


@attrs.frozen(kw_only=True)
class Reasoned:
    """The reasoning comes before the answer, though it has a default and the answer has none."""

    reasoning: str = ""
    answer: int


@attrs.define
class Validated:
    """Checks and converts what it is given, and keeps some of it to itself."""

    share: float = attrs.field(validator=attrs.validators.le(1.0))
    tags: tuple[str, ...] = attrs.field(converter=tuple, factory=tuple)
    _cache: dict[str, int] = attrs.field(factory=dict)
    length: int = attrs.field(init=False, default=7)
    copy: list[str] = attrs.field(default=attrs.Factory(lambda self: list(self.tags), takes_self=True))


@dataclasses.dataclass(frozen=True)
class Node:
    """Refers to itself."""

    value: int
    children: tuple[Node, ...] = ()


@dataclasses.dataclass(kw_only=True)
class Order:
    """An order, with fields in no order of the alphabet.

    Attributes:
        zip: the code,
            as on the letter.
        city: where it goes.
    """

    zip: str
    city: City
    at: datetime | None = None
    paid: bool = dataclasses.field(default=False, metadata={"description": "whether it is paid"})
    notes: list[str] = dataclasses.field(default_factory=list)


class Cat(msgspec.Struct, tag="cat", frozen=True):
    """Purrs."""

    lives: int = 9


class Dog(msgspec.Struct, tag="dog", frozen=True):
    """Barks."""

    lives: int = 1


class Renamed(msgspec.Struct, rename="camel", frozen=True):
    """Has other names in JSON."""

    first_name: str
    last_name: str | None = None


class Movie(TypedDict, total=False):
    """A film."""

    title: Required[str]
    year: int


class Series(Movie):
    """Many films."""

    seasons: int
    over: NotRequired[bool]


class Point(NamedTuple):
    """A place."""

    y: float
    x: float = 0.0


@attrs.frozen
class Square:
    """One of several shapes, told by its kind."""

    side: float
    kind: Literal["square"] = "square"


@attrs.frozen
class Circle:
    """Another shape."""

    kind: Literal["circle"]
    radius: float


@attrs.frozen
class Round:
    """Holds a circle."""

    circle: Circle


@attrs.frozen
class Line:
    """A third, with fields of its own and no kind."""

    begin: Point
    end: Point


@attrs.frozen
class Box(Generic[T]):
    """Holds something."""

    content: T
    spare: list[T] = attrs.field(factory=list)


@attrs.frozen
class Crate(Box[int]):
    """Holds numbers."""

    weight: float = 1.0


@dataclasses.dataclass(frozen=True)
class Pair(Generic[K, T]):
    """A key and a value."""

    key: K
    value: T


class Profile(pydantic.BaseModel):
    """A model that checks itself."""

    model_config = pydantic.ConfigDict(frozen=True)

    name: str = pydantic.Field(min_length=1, description="the name")
    born: date | None = None
    friends: list[Profile] = []


class Scores(pydantic.RootModel[dict[str, int]]):
    """A model around another type."""


@attrs.frozen
class Mail:
    """Holds a model that checks itself."""

    to: Profile
    text: str


@attrs.frozen
class Left:
    """Refers to Right."""

    right: Right | None = None


@attrs.frozen
class Right:
    """Refers to Left."""

    left: Left | None = None


UserId = NewType("UserId", int)
Tree = Union[dict[str, "Tree"], list["Tree"], int]  # noqa: UP007 - it names itself


@attrs.frozen
class Forest:
    """Holds trees of an alias that names itself."""

    first: Tree
    others: list[Tree]


Percent = Annotated[int, msgspec.Meta(ge=0, le=100, description="a share of a hundred")]
Code = Annotated[str, msgspec.Meta(pattern="^[A-Z]{3}[0-9]+$", min_length=4, max_length=9)]

NOON: Final = datetime(2026, 1, 31, 12, tzinfo=UTC)

TABLE: Final[Mapping[str, tuple[Any, Any]]] = {
    "bool": (bool, True),
    "int": (int, -3),
    "float": (float, 2.5),
    "str": (str, 'Say "hé" \U0001f600.'),
    "none": (None, None),
    "any": (Any, {"a": [1, None, 2.5]}),
    "object": (object, ["x"]),
    "bytes": (bytes, b"\x00\xff"),
    "datetime": (datetime, NOON),
    "date": (date, NOON.date()),
    "time": (time, time(12, 30, 1)),
    "timedelta": (timedelta, timedelta(hours=1, seconds=2.5)),
    "uuid": (uuid.UUID, uuid.UUID(int=7)),
    "decimal": (Decimal, Decimal("0.10")),
    "path": (Path, Path("a/b.txt")),
    "new type": (UserId, 12),
    "enum": (Colour, Colour.BLUE),
    "int enum": (Level, Level.HIGH),
    "enum of several kinds": (Mixed, Mixed.TRUTH),
    "literal": (Literal["b", "a", "c"], "c"),
    "literal of several kinds": (Literal["1", 1, True] | None, True),
    "literal of members": (Literal[Colour.RED, Colour.GREEN], Colour.GREEN),
    "literal of one": (Literal["only"], "only"),
    "list": (list[int], [3, 1, 2]),
    "bare list": (list, [1, "a"]),
    "list of lists": (list[list[bool]], [[True], []]),
    "set": (set[str], {"a", "b"}),
    "frozenset": (frozenset[date], frozenset({NOON.date()})),
    "tuple": (tuple[int, str, bool], (1, "a", False)),
    "tuple of any length": (tuple[float, ...], (1.0, 2.5)),
    "empty tuple": (tuple[()], ()),
    "deque": (collections.deque[int], collections.deque([1, 2])),
    "sequence": (Sequence[int], [1, 2]),
    "dict": (dict[str, int], {"z": 1, "a": 2}),
    "bare dict": (dict, {"z": [1]}),
    "dict with number keys": (dict[int, str], {1: "a", -2: "b"}),
    "dict with enum keys": (dict[Colour, float], {Colour.RED: 0.5}),
    "dict with literal keys": (dict[Literal["x", "y"], int], {"y": 1}),
    "dict with uuid keys": (dict[uuid.UUID, None], {uuid.UUID(int=7): None}),
    "mapping": (Mapping[str, list[int]], {"a": [1]}),
    "optional": (Optional[int], None),  # noqa: UP045 - as people write it
    "union": (int | str | None, "a"),
    "int or float": (int | float, 2.5),
    "union of strings": (datetime | str, "not a date"),
    "union of a list and an object": (list[int] | City, City("Rome", 3)),
    "union by tag": (Cat | Dog, Dog(4)),
    "union by literal": (Circle | Square | None, Square(2.0)),
    "union by fields": (Line | City, Line(Point(1.0), Point(2.0, 3.0))),
    "union of a class and a dict": (City | dict[str, int], {"a": 1}),
    "annotated": (Annotated[list[Percent], msgspec.Meta(max_length=3)], [0, 100]),
    "annotated text": (Code, "ABC1"),
    "annotated optional": (Annotated[float | None, "or nothing"], 0.5),
    "attrs": (City, City("Rome")),
    "attrs, keyword-only": (Reasoned, Reasoned(reasoning="because", answer=42)),
    "attrs with validators": (Validated, Validated(share=0.5, tags=["a"])),
    "dataclass": (Order, Order(zip="1", city=City("Rome", 3), at=NOON, notes=["x"])),
    "dataclass in itself": (Node, Node(1, (Node(2), Node(3, (Node(4),))))),
    "struct": (Cat, Cat(3)),
    "renamed struct": (Renamed, Renamed("Ann", "Lee")),
    "typed dict": (Series, {"title": "x", "seasons": 2}),
    "named tuple": (Point, Point(1.5, 2.5)),
    "generic attrs": (Box[City], Box(City("Rome"), [City("Oslo", 1)])),
    "subclass of a generic": (Crate, Crate(1, [2], 0.5)),
    "generic dataclass": (Pair[str, list[int]], Pair("a", [1])),
    "pydantic": (Profile, Profile(name="Ann", friends=[Profile(name="Bob", born=NOON.date())])),
    "pydantic root": (Scores, Scores({"a": 1})),
    "attrs around pydantic": (Mail, Mail(Profile(name="Ann"), "Hi.")),
    "classes in each other": (Left, Left(Right(Left()))),
    "alias in itself": (Forest, Forest({"a": [1, {"b": 2}]}, [3])),
    "list of a union": (list[Cat | Dog | int], [Cat(1), 2, Dog(3)]),
}
"""Name -> a type, and a value of it."""


def written(value: Any) -> Any:
    """A value as JSON, with every field written out."""
    match value:
        case enum.Enum():
            return value.value
        case bytes():
            return base64.b64encode(value).decode()
        case Path():
            return str(value)
        case pydantic.BaseModel():
            return value.model_dump(mode="json")
        case dict():
            return {key if isinstance(key, str) else str(written(key)): written(each) for key, each in value.items()}
        case tuple() if hasattr(value, "_fields"):
            return {name: written(each) for name, each in zip(value._fields, value, strict=True)}
        case list() | tuple() | set() | frozenset() | collections.deque():
            return [written(each) for each in value]
    fields = declared_fields(value)
    return msgspec.to_builtins(value) if fields is None else {name: written(each) for name, each in fields.items()}


def declared_fields(value: Any) -> dict[str, Any] | None:
    """The fields of an object that are asked for, by the names that they have in JSON."""
    if isinstance(value, msgspec.Struct):
        config = value.__struct_config__
        tag = {} if config.tag is None else {config.tag_field: config.tag}
        names = zip(value.__struct_fields__, value.__struct_encode_fields__, strict=True)
        return tag | {name: getattr(value, field) for field, name in names}
    if attrs.has(type(value)):
        names = [each.name for each in attrs.fields(type(value)) if each.init and not each.name.startswith("_")]
        return {name: getattr(value, name) for name in names}
    if dataclasses.is_dataclass(value):
        return {each.name: getattr(value, each.name) for each in dataclasses.fields(value) if each.init}
    return None
