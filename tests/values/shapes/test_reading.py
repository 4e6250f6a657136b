"""Types: the order of the source, names that are found where they stand, what is refused, and unions."""

from __future__ import annotations

import dataclasses
import enum
import gc
import sys
import time
import weakref
from collections.abc import Callable, Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import (
    Annotated,
    Any,
    Generic,
    Literal,
    LiteralString,
    NamedTuple,
    NotRequired,
    Optional,
    Self,
    TypedDict,
    TypeVar,
    Union,
)

import attrs
import msgspec
import pydantic
import pytest
import typing_extensions

from mellite import tool
from mellite.errors import InvalidRequest, OutputValidationError
from mellite.values.output import check_output, parse, schema_of
from mellite.values.shapes import Mismatch, shape_of
from tests.answer_types import (
    Cat,
    Circle,
    City,
    Code,
    Colour,
    Dog,
    Level,
    Line,
    Order,
    Percent,
    Point,
    Profile,
    Reasoned,
    Round,
    Series,
    Square,
    Tree,
    Validated,
)

T = TypeVar("T")


def message(kind: Any, value: Any) -> str:
    """What is said of a value that does not fit."""
    with pytest.raises(Mismatch) as caught:
        shape_of(kind).convert(value)
    return str(caught.value)


def refusal(kind: Any) -> str:
    """What is said of a type that has no JSON form."""
    with pytest.raises(InvalidRequest) as caught:
        check_output(kind)
    assert caught.value.parameter == "output"
    return str(caught.value)


# --- order ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (Reasoned, ["reasoning", "answer"]),
        (Order, ["zip", "city", "at", "paid", "notes"]),
        (Series, ["title", "year", "seasons", "over"]),
        (Point, ["y", "x"]),
        (Square, ["side", "kind"]),
        (Profile, ["name", "born", "friends"]),
    ],
)
def test_properties_come_in_the_order_of_the_source(kind: Any, names: list[str]) -> None:
    """Models write an object in the order of its schema: reasoning that stands first is written first."""
    assert list(schema_of(kind)["properties"]) == names


def test_keyword_only_fields_of_a_struct_keep_their_place() -> None:
    """Also where the class puts those with a default behind the others."""

    class Reply(msgspec.Struct, kw_only=True):
        thoughts: str = ""
        answer: int

    class Longer(Reply, kw_only=True):
        also: bool = False
        last: int

    assert list(schema_of(Longer)["properties"]) == ["thoughts", "answer", "also", "last"]
    assert shape_of(Longer).convert({"answer": 1, "last": 2}) == Longer(answer=1, last=2)


def test_enums_and_literals_keep_their_order() -> None:
    """Of one kind or of several."""
    assert schema_of(Colour)["enum"] == ["red", "blue", "green"]
    assert schema_of(Level) == {"title": "Level", "type": "integer", "enum": [3, 2, 1]}
    assert schema_of(Literal["b", 2, "a", 1, True]) == {"enum": ["b", 2, "a", 1, True]}
    assert schema_of(int | str)["anyOf"] == [{"type": "integer"}, {"type": "string"}]
    assert schema_of(str | int)["anyOf"] == [{"type": "string"}, {"type": "integer"}]


# --- what is asked for ------------------------------------------------------------------------------


def test_only_what_the_class_takes_is_asked_for() -> None:
    """Private fields and init=False are neither in the schema nor set; converters and validators run."""
    assert list(schema_of(Validated)["properties"]) == ["share", "tags", "copy"]
    assert message(Validated, {"share": 0.5, "length": 1}).startswith("$.length: there is no field 'length'")
    assert message(Validated, {"share": 0.5, "_cache": {}}).startswith("$._cache: there is no field")
    made = shape_of(Validated).convert({"share": 1, "tags": ["a"]})
    assert (made.share, made.tags, made.length, made.copy) == (1.0, ("a",), 7, ["a"])
    assert message(Validated, {"share": 1.5}).startswith("$: Validated refuses it: ")


def test_a_private_field_that_must_be_given() -> None:
    """No model is asked for it, so the class cannot be made."""

    @attrs.define
    class Hidden:
        shown: int
        _secret: str

    assert "Hidden has the private field '_secret' without a default" in refusal(Hidden)


def test_whatever_a_class_raises_is_told() -> None:
    """Any exception of a validator is an error at the object's path."""

    def refuse(instance: object, attribute: object, value: object) -> None:
        raise KeyError("never")

    @attrs.frozen
    class Picky:
        x: int = attrs.field(validator=refuse)

    assert message(list[Picky], [{"x": 1}]) == "$[0]: Picky refuses it: 'never'"


def test_what_validators_of_attrs_say_is_told_without_the_field() -> None:
    """They raise with the attribute, the type and the value behind their words, which no model should have to read."""

    @attrs.frozen
    class Address:
        zip: str = attrs.field(validator=attrs.validators.matches_re(r"\d{4}"))
        kind: str = attrs.field(default="home", validator=attrs.validators.in_(["home", "work"]))
        floor: int = attrs.field(default=0, validator=attrs.validators.le(99))

    assert message(Address, {"zip": "x"}) == r"$: Address refuses it: 'zip' must match regex '\\d{4}' ('x' doesn't)"
    refused = "$: Address refuses it: 'kind' must be in ['home', 'work'] (got 'moon')"
    assert message(Address, {"zip": "1234", "kind": "moon"}) == refused
    assert message(Address, {"zip": "1234", "floor": 100}) == "$: Address refuses it: 'floor' must be <= 99: 100"


def test_errors_with_several_arguments_are_told_as_they_print() -> None:
    """An error that prints its arguments in its own way keeps that; one whose first is no text prints them all."""

    def refuse(instance: object, attribute: object, value: int) -> None:
        raise (PermissionError(13, "not yours"), LookupError(7, "is taken"))[value]

    @attrs.frozen
    class Seat:
        x: int = attrs.field(validator=refuse)

    assert message(Seat, {"x": 0}) == "$: Seat refuses it: [Errno 13] not yours"
    assert message(Seat, {"x": 1}) == "$: Seat refuses it: (7, 'is taken')"


def test_descriptions_of_fields() -> None:
    """From the docstring of the class, from the field's metadata, and from Annotated, which wins."""

    @attrs.frozen
    class Trip:
        """A trip.

        Args:
            begin: where it begins.
            end: where it ends.
            days: how long.
        """

        begin: str
        end: str = attrs.field(metadata={"description": "the last place"})
        days: Annotated[int, "in days"] = 1

    schema = schema_of(Trip)
    assert schema["description"] == "A trip."
    said = {name: each.get("description") for name, each in schema["properties"].items()}
    assert said == {"begin": "where it begins.", "end": "the last place", "days": "in days"}
    assert "description" not in schema_of(attrs.make_class("Bare", {"x": attrs.field(type=int)}))


def test_a_dataclass_without_a_docstring_has_no_description() -> None:
    """Python makes one of the fields, which says nothing."""
    bare = dataclasses.make_dataclass("Bare", [("x", int)])
    assert "description" not in schema_of(bare)


# --- names ----------------------------------------------------------------------------------------


def test_local_classes() -> None:
    """A class in a function may refer to itself, and to another one, by a text."""

    @attrs.frozen
    class Leaf:
        size: int

    @attrs.frozen
    class Branch:
        leaves: list[Leaf]
        branches: list[Branch] = attrs.field(factory=list)

    value = {"leaves": [{"size": 1}], "branches": [{"leaves": []}]}
    assert shape_of(Branch).convert(value) == Branch([Leaf(1)], [Branch([])])
    assert set(schema_of(Branch)["$defs"]) == {"Leaf", "Branch"}


def test_a_local_class_is_not_that_of_the_module() -> None:
    """The names of the function around come first, then those of the module, then those of the class's own body."""

    @attrs.frozen
    class City:
        """Not the one that this module has imported."""

        twin: City | None = None
        date: date | None = None

    made = shape_of(City).convert({"twin": {"date": "2026-01-31"}})
    assert made == City(City(date=date(2026, 1, 31)))


def test_a_name_means_what_it_means_in_its_module() -> None:
    """A class of another module keeps its own names, though the class around it has one of the same."""

    @attrs.frozen
    class Circle:
        """Not the one that Square's module has."""

        line: Line
        inner: Round

    assert list(schema_of(Circle)["$defs"]) == ["Line", "Point", "Round", "Circle"]
    inner = schema_of(Circle)["$defs"]["Round"]["properties"]
    assert inner == {"circle": {"$ref": "#/$defs/Circle"}}
    assert list(schema_of(Circle)["$defs"]["Circle"]["properties"]) == ["kind", "radius"]


def test_two_classes_of_one_name() -> None:
    """Each has a definition of its own, with a short name."""

    def made(kind: Any) -> Any:
        return attrs.make_class("Part", {"x": attrs.field(type=kind)})

    schema = schema_of(tuple[made(int), made(str)])
    assert schema["prefixItems"] == [{"$ref": "#/$defs/Part"}, {"$ref": "#/$defs/Part_2"}]
    assert schema["$defs"]["Part_2"]["properties"] == {"x": {"type": "string"}}


def test_an_inherited_annotation_is_read_where_it_stands() -> None:
    """A subclass in another module does not need the names of its base's annotations."""

    @dataclasses.dataclass
    class Extended(Order):
        extra: int = 0

    assert list(schema_of(Extended)["properties"])[-2:] == ["notes", "extra"]


def test_aliases_that_name_themselves() -> None:
    """By the name that whoever asks knows them by."""
    schema = schema_of(Tree)
    assert schema["$defs"]["Tree"] == {key: value for key, value in schema.items() if key != "$defs"}
    assert shape_of(Tree).convert({"a": [1, {}]}) == {"a": [1, {}]}
    assert message(Tree, {"a": [1, {"b": "x"}]}).endswith('not the string "x"')


def test_type_statements() -> None:
    """The aliases of Python 3.12 are read like any other, also where they name themselves."""
    if sys.version_info >= (3, 12):
        names: dict[str, Any] = {}
        exec("type Nested = list[Nested] | int\ntype Few[T] = list[T]", names)
        assert shape_of(names["Nested"]).convert([[1], 2]) == [[1], 2]
        assert schema_of(names["Few"][int]) == {"type": "array", "items": {"type": "integer"}}


@dataclasses.dataclass
class Branch:
    """Has more of its own kind."""

    name: str
    branches: list[Self]


class Offer(typing_extensions.TypedDict):
    """Of typing_extensions, which is not of `typing` before Python 3.13."""

    id: typing_extensions.ReadOnly[int]
    note: NotRequired[LiteralString]


def test_a_class_that_names_itself_as_self() -> None:
    """Self is the class that is read, of a subclass too."""

    @dataclasses.dataclass
    class Twig(Branch):
        """More of the same."""

    for kind in (Branch, Twig):
        read = shape_of(kind).convert({"name": "a", "branches": [{"name": "b", "branches": []}]})
        assert read == kind("a", [kind("b", [])])
        assert type(read.branches[0]) is kind


def test_typed_dicts_of_typing_extensions() -> None:
    """They are read as those of `typing` are; ReadOnly says nothing of a type."""
    assert shape_of(Offer).schema()["properties"] == {"id": {"type": "integer"}, "note": {"type": "string"}}
    assert shape_of(Offer).schema()["required"] == ["id"]
    assert shape_of(Offer).convert({"id": 1.0}) == {"id": 1}
    with pytest.raises(Mismatch, match=r"\$\.id: expected an integer"):
        shape_of(Offer).convert({"id": "1"})


@attrs.frozen
class Place:
    """Somewhere.

    Attributes:
        name: What it is called.
        size: How large it is.
    """

    name: str
    size: int


@attrs.frozen
class Port(Place):
    """A place at the sea.

    Attributes:
        size: How many ships it has room for.
    """

    ships: list[str]


def test_descriptions_are_inherited() -> None:
    """A field is described as the nearest class says that describes it."""
    properties = schema_of(Port)["properties"]
    told = {name: each.get("description") for name, each in properties.items()}
    assert told == {"name": "What it is called.", "size": "How many ships it has room for.", "ships": None}


def test_times_with_and_without_a_zone() -> None:
    """Where a zone is wanted, or none, another time does not fit."""
    aware, naive = (Annotated[datetime, msgspec.Meta(tz=tz)] for tz in (True, False))
    with_zone, without = "2026-01-31T12:00:00Z", "2026-01-31T12:00:00"
    assert shape_of(aware).convert(with_zone).tzinfo is not None
    assert shape_of(naive).convert(without).tzinfo is None
    for kind, value in ((aware, without), (naive, with_zone)):
        assert "a time zone" in message(kind, value)


def test_an_object_that_is_of_no_class_of_a_union() -> None:
    """It is read as the mapping that stands beside the classes, if one does."""
    assert shape_of(Point | Place | dict[str, int]).convert({"north": 1}) == {"north": 1}
    assert "the fields are those of no class" in message(Point | Place, {"north": 1})


Word = TypeVar("Word", int, bool)


def test_type_variables_that_stand_for_nothing() -> None:
    """One with constraints is one of these, another one is anything."""
    assert shape_of(list[Word]).convert([1, True]) == [1, True]
    assert "expected an integer or a boolean" in message(list[Word], ["1"])
    assert shape_of(list[T]).convert(["1", None]) == ["1", None]


def test_keys_of_mappings() -> None:
    """The schema says which keys there may be; any key is a str."""
    assert schema_of(dict[Literal["a", "b"], int])["propertyNames"] == {"enum": ["a", "b"]}
    assert schema_of(dict[int, int])["propertyNames"] == {"pattern": "^-?[0-9]+$"}
    for anything in (dict, dict[str, Any], dict[Any, Any]):
        assert schema_of(anything) == {"type": "object"}
        assert shape_of(anything).convert({"a": [1]}) == {"a": [1]}


def test_multiples_of_numbers_of_any_size() -> None:
    """Whether a number is a multiple is found out exactly; one with a thousand million digits is none."""
    cents = Annotated[float, msgspec.Meta(multiple_of=0.01)]
    assert [shape_of(cents).convert(each) for each in (0.07, 1e300)] == [0.07, 1e300]
    with pytest.raises(Mismatch, match=r"expected a multiple of 0\.01"):
        shape_of(cents).convert(0.075)
    with pytest.raises(Mismatch, match="expected a multiple of 5"):
        shape_of(Annotated[Decimal, msgspec.Meta(multiple_of=5)]).convert("1e999999999")


def test_keys_that_stand_for_the_same() -> None:
    """Two keys that are one in Python are an error: what one of them held would be lost."""
    with pytest.raises(Mismatch, match=r"\$\.?.*01.*: as a key, it stands for the same as another one"):
        shape_of(dict[int, str]).convert({"1": "a", "01": "b"})


def test_generic_classes() -> None:
    """Variables stand for what is in the brackets, also in bases that use the same variable for something else."""

    @attrs.frozen
    class Base(Generic[T]):
        first: T

    @attrs.frozen
    class Derived(Base[list[int]], Generic[T]):
        second: T

    properties = schema_of(Derived[str])["properties"]
    assert properties == {"first": {"type": "array", "items": {"type": "integer"}}, "second": {"type": "string"}}
    assert schema_of(Base)["properties"] == {"first": {}}


def test_generic_classes_in_themselves() -> None:
    """A class that holds itself of the same variable is itself again."""

    @attrs.frozen
    class Chain(Generic[T]):
        value: T
        rest: Chain[T] | None = None

    assert shape_of(Chain[int]).convert({"value": 1, "rest": {"value": 2}}) == Chain(1, Chain(2))
    assert message(Chain[int], {"value": 1, "rest": {"value": "x"}}).startswith("$.rest.value: expected an integer")
    assert shape_of(Chain).convert({"value": [1], "rest": {"value": "x"}}) == Chain([1], Chain("x"))


def test_the_frame_of_a_function_is_let_go() -> None:
    """A tool in a function sees its classes, and does not keep its variables once its schema is made."""

    class Big:
        pass

    def make() -> tuple[Any, Any]:
        big = Big()

        @attrs.frozen
        class Where:
            x: int

        @tool
        def go(where: Where) -> None:
            """Go."""

        return go, weakref.ref(big)

    go, big = make()
    assert go.bind({"where": {"x": 1}})[1]["where"].x == 1
    gc.collect()
    assert big() is None


# --- refused --------------------------------------------------------------------------------------


class Plain:
    """No fields that are declared."""


class Odd(enum.Enum):
    """With a value that JSON has not."""

    PAIR = (1, 2)


class Nothing(enum.Enum):
    """Without members."""


class Endless(enum.Enum):
    """With a number that JSON has not."""

    MOST = float("inf")


@dataclasses.dataclass
class Needs:
    """Takes what is not a field."""

    x: int
    y: dataclasses.InitVar[int]


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (Plain, "Plain has no JSON form"),
        (list[Plain], "Plain has no JSON form"),
        (Callable[[int], str], "Callable[[int], str] has no JSON form"),
        (Iterator[int], "Iterator[int] has no JSON form"),
        (complex, "complex has no JSON form"),
        (type[int], "type[int] has no JSON form"),
        (Odd, "Odd.PAIR has a value that JSON cannot write: (1, 2)"),
        (Nothing, "Nothing has no members, so that no value is one"),
        (Endless, "Endless.MOST has a value that JSON cannot write: inf"),
        (Self, "Self has no JSON form"),
        (Literal[b"x"], """Literal[b'x'] has no JSON form"""),
        (dict[float, int], "the keys of a JSON object are strings"),
        (dict[tuple[int, int], int], "the keys of a JSON object are strings"),
        (Annotated[str, pydantic.Field(pattern="(")], "not a regular expression"),
        ("City", "it is a str"),
        (Needs, "Needs cannot be made of its fields: missing a required argument: 'y'"),
        (
            attrs.make_class("Deep", {"in_": attrs.field(type=list[Plain])}),
            "field 'in_' of Deep: Plain has no JSON form",
        ),
    ],
)
def test_what_has_no_json_form(kind: Any, says: str) -> None:
    """The error names the type, and the field in which it stands."""
    assert says in refusal(kind)


def test_it_is_told_when_the_type_is_given() -> None:
    """Not when the answer comes."""
    from mellite.backends import Echo

    with pytest.raises(InvalidRequest, match="Plain has no JSON form"):
        Echo().generate("Hi.", output=Plain)


# --- unions ---------------------------------------------------------------------------------------


@attrs.frozen
class Kilos:
    """A weight."""

    value: float


@attrs.frozen
class Metres:
    """A length, of the same fields."""

    value: float


@attrs.frozen
class Tagged:
    """Told by a literal with a default."""

    value: float
    kind: Literal["a"] = "a"


@attrs.frozen
class Tagged2:
    """Told from it by another."""

    value: float
    kind: Literal["b", "c"] = "b"


@dataclasses.dataclass
class Recursive:
    """Has a union with itself in it."""

    value: float
    other: Recursive | Lookalike | None = None


@dataclasses.dataclass
class Lookalike:
    """Looks like it."""

    value: float
    other: Recursive | None = None


class Model1(pydantic.BaseModel):
    """A model."""

    value: int


class Model2(pydantic.BaseModel):
    """Another one, of the same fields."""

    value: int


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (Kilos | Metres, ("Kilos", "Metres")),
        (list[Kilos | City | Metres | None], ("Kilos", "Metres")),
        (Recursive, ("Recursive", "Lookalike")),
        (Model1 | Model2, ("Model1", "Model2")),
        (Kilos | Model1, ("Kilos", "Model1")),
    ],
)
def test_classes_that_nothing_tells_apart(kind: Any, names: tuple[str, str]) -> None:
    """Two classes with the same fields and no tag are refused by name when the type is given."""
    said = refusal(kind)
    assert f"{names[0]} and {names[1]} have the same fields" in said


def test_tags() -> None:
    """Literals tell classes apart, also where they have a default: the model is asked to write them."""
    union = Tagged | Tagged2
    definitions = schema_of(union)["$defs"]
    assert [each["required"] for each in definitions.values()] == [["value", "kind"], ["value", "kind"]]
    assert schema_of(Tagged)["required"] == ["value"]
    assert shape_of(union).convert({"value": 1, "kind": "c"}) == Tagged2(1.0, "c")
    assert message(union, {"value": 1}) == '$: \'kind\' is missing, one of "a", "b", "c"'
    assert message(union, {"value": 1, "kind": "d"}) == '$.kind: expected one of "a", "b", "c", not the string "d"'
    assert message(union, {"value": "x", "kind": "a"}) == '$.value: expected a number, not the string "x"'
    assert (
        message(list[Cat | Dog], [{"type": "cow"}]) == '$[0].type: expected one of "cat", "dog", not the string "cow"'
    )
    assert message(Cat | Dog | None, {"lives": 1}) == '$: \'type\' is missing, one of "cat", "dog"'


def test_fields_tell_apart() -> None:
    """So do the fields that are there."""
    assert shape_of(Line | City).convert({"name": "x"}) == City("x")
    said = message(Line | City, {"nam": "x"})
    assert said == "$: the fields are those of no class of the union: Line has begin, end; City has name, people"

    @attrs.frozen
    class Number:
        value: int

    @attrs.frozen
    class Word:
        value: str

    assert shape_of(Number | Word).convert({"value": "x"}) == Word("x")
    assert message(Number | Word, {"value": []}).startswith("$: it is none of the types of the union: ")


@pytest.mark.parametrize(
    ("kind", "value", "read"),
    [
        (int | float, 3, 3),
        (int | float, 2.5, 2.5),
        (float | int, 3, 3),
        (float | None, 3, 3.0),
        (bool | int, True, True),
        (str | Colour, "red", Colour.RED),
        (str | Colour, "violet", "violet"),
        (dict[str, int] | City, {"name": "x"}, City("x")),
        (dict[str, int] | City, {"people": 1}, {"people": 1}),
        (Optional[Circle], None, None),  # noqa: UP045 - as people write it
        (Union[list[int], list[str]], ["a"], ["a"]),  # noqa: UP007 - the same
    ],
)
def test_the_narrowest_member_is_read(kind: Any, value: Any, read: Any) -> None:
    """A member that takes less is asked before one that takes more."""
    got = shape_of(kind).convert(value)
    assert (got, type(got)) == (read, type(read))


# --- strictness -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "value", "says"),
    [
        (int, "3", '$: expected an integer, not the string "3"'),
        (int, 2.5, "$: expected an integer, not the number 2.5"),
        (int, True, "$: expected an integer, not true"),
        (bool, 1, "$: expected a boolean, not the number 1"),
        (bool, "false", '$: expected a boolean, not the string "false"'),
        (str, None, "$: expected a string, not null"),
        (float, "1.5", '$: expected a number, not the string "1.5"'),
        (list[str], "red", '$: expected an array, not the string "red"'),
        (Literal[1, 2], True, "$: expected one of 1, 2, not true"),
        (Literal["only"], "other", '$: expected "only", not the string "other"'),
        (City, {"name": "x", "people": 1.5}, "$.people: expected an integer, not the number 1.5"),
        (City, {"name": "x", "nmae": 1}, "$.nmae: there is no field 'nmae'; did you mean 'name'?"),
        (City, ["x"], "$: expected an object (City), not an array"),
        (dict[str, list[int]], {"a b": [1, None]}, '$["a b"][1]: expected an integer, not null'),
        (dict[int, str], {"x": "a"}, '$.x: as a key, expected an integer in quotes, not the string "x"'),
        (tuple[int, str], [1], "$: expected an array of 2, not one of 1"),
        (Percent, 101, "$: expected at most 100, not the number 101"),
        (Code, "abc1", '$: expected a string that matches ^[A-Z]{3}[0-9]+$, not the string "abc1"'),
        (Order, {"zip": "1"}, "$: 'city' is missing"),
        (Profile, {"name": ""}, "$.name: String should have at least 1 character"),
        (Profile, {"name": "x", "friends": [{"nam": "y"}]}, "$.friends[0].name: Field required"),
        (Profile, {"name": "x", "age": 3}, "$.age: there is no field 'age'"),
        (Model1, {"value": "3"}, "$.value: Input should be a valid integer"),
    ],
)
def test_what_does_not_fit(kind: Any, value: Any, says: str) -> None:
    """The message says where, what was expected, with all that is allowed, and what stands there."""
    assert message(kind, value) == says


def test_whole_numbers_are_integers() -> None:
    """Some providers send every number as a double; JSON Schema, too, calls 3.0 an integer."""
    got = shape_of(list[int | str]).convert([3.0, 1e3])
    assert (got, [type(each) for each in got]) == ([3, 1000], [int, int])
    assert shape_of(Model1).convert({"value": 3.0}) == Model1(value=3)
    assert shape_of(dict[str, Literal[3]]).convert({"a": 3.0}) == {"a": 3}


def test_a_null_for_nothing() -> None:
    """Where a projection made an optional field nullable, null is nothing given; a type that has null keeps it."""
    assert shape_of(City).convert({"name": "x", "people": None}) == City("x")
    assert message(City, {"name": None}) == "$.name: expected a string, not null"
    assert shape_of(Series).convert({"title": "x", "seasons": 1, "year": None}) == {"title": "x", "seasons": 1}
    made = attrs.make_class("Kept", {"x": attrs.field(type=int | None, default=5)})
    assert (shape_of(made).convert({"x": None}).x, shape_of(made).convert({}).x) == (None, 5)


def deep(levels: int) -> Any:
    """A value that is nested."""
    value: Any = 1
    for _ in range(levels):
        value = {"value": 1, "children": [value]}
    return value


@pytest.mark.parametrize("kind", [Any, int, Tree, list[Any], dict[str, Any]])
@pytest.mark.parametrize(
    ("value", "says"),
    [
        (deep(1_000), "nested more than 128 levels deep"),
        ({"a": [float("nan")]}, "$.a[0]: NaN is not a JSON number"),
        ([float("-inf")], "$[0]: -Infinity is not a JSON number"),
        ([10**400], "$[0]: a number of too many digits"),
        ({1: 2}, "a key of a JSON object is a string, not the number 1"),
        ([object()], "$[0]: expected JSON, not a value that is not JSON (object)"),
    ],
)
def test_what_no_type_takes(kind: Any, value: Any, says: str) -> None:
    """Depth, numbers that are none, and what is not JSON are errors, whatever the type: also for any JSON."""
    assert says in message(kind, value)


def test_unions_do_not_explode() -> None:
    """Each level of a hostile value doubles what could be tried: the work is bounded."""
    value: Any = "x"
    for _ in range(60):
        value = {"a": value}
    begin = time.perf_counter()
    assert "too many members of unions" in message(Doubling, value)
    assert time.perf_counter() - begin < 5


Doubling = Union[dict[str, "Doubling"], dict[Literal["a"], "Doubling"], int]  # noqa: UP007 - it names itself


# --- texts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("", "$"),
        ("nothing", "$"),
        ('{"name": "x"', "$"),
        ('{"name": "x"} and more', "$"),
        ('{"name": NaN}', "$"),
        ('{"name": "x", "people": ' + "9" * 5_000 + "}", "$.people"),
        ("[" * 100_000, "$"),
        ('{"name": 3}', "$.name"),
    ],
)
def test_texts_that_do_not_fit(text: str, path: str) -> None:
    """What is not JSON, or not of the type, is one error with the path, the value there and the text."""
    with pytest.raises(OutputValidationError) as caught:
        parse(text, City)
    assert (caught.value.path, caught.value.partial) == (path, text)
    assert "the answer does not fit the output type City" in str(caught.value)


def test_a_value_is_with_its_error() -> None:
    """What stands at the path is at hand."""
    with pytest.raises(OutputValidationError) as caught:
        parse('[{"name": "x"}, {"name": ["y"]}]', list[City])
    assert (caught.value.path, caught.value.value) == ("$[1].name", ["y"])


def test_lone_surrogates_are_read() -> None:
    """A text that no encoder takes is text all the same."""
    assert parse('{"name": "\\ud800"}', City) == City("\ud800")


class Rows(TypedDict):
    """Rows."""

    rows: list[Row]


class Row(NamedTuple):
    """A row, defined below what uses it."""

    number: int
    text: str = ""


def test_rows_are_objects_or_arrays() -> None:
    """A NamedTuple is asked for as an object, by its names; an array in their order is read as well."""
    shape = shape_of(Rows)
    assert shape.schema()["$defs"]["Row"]["type"] == "object"
    read = shape.convert({"rows": [{"number": 1}, [2, "b"], [3]]})
    assert read == {"rows": [Row(1), Row(2, "b"), Row(3)]}
    assert message(Rows, {"rows": [[1, "a", 2]]}) == "$.rows[0]: expected an object (Row), not an array"
