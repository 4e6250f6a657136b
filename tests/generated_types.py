"""Types made up by hypothesis, each with values of it: what people write, nested in any way."""

from __future__ import annotations

import dataclasses
import enum
import itertools
import keyword
import uuid
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import reduce
from operator import or_
from typing import Annotated, Any, Literal, NamedTuple, NotRequired, TypedDict

import attrs
import msgspec
from hypothesis import strategies as st

FLOATS = st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)
NAMES = st.from_regex(r"[a-z][a-z_]{0,5}[a-z]", fullmatch=True).filter(lambda name: not keyword.iskeyword(name))
_COUNT = itertools.count()

LEAVES = [
    (type(None), st.none(), {"null"}),
    (bool, st.booleans(), {"boolean"}),
    (int, st.integers(), {"number"}),
    (float, FLOATS, {"number"}),
    (str, TEXTS, {"string"}),
    (bytes, st.binary(max_size=8), {"string"}),
    (datetime, st.datetimes(), {"string"}),
    (date, st.dates(), {"string"}),
    (time, st.times(), {"string"}),
    (timedelta, st.timedeltas(timedelta(-999), timedelta(999)), {"string"}),
    (uuid.UUID, st.uuids(), {"string"}),
    (Decimal, st.decimals(allow_nan=False, allow_infinity=False), {"string", "number"}),
    (Annotated[int, msgspec.Meta(ge=0, lt=9)], st.integers(0, 8), {"number"}),
    (Annotated[str, "a text"], TEXTS, {"string"}),
]


@attrs.frozen
class Made:
    """A type, how values of it are made, and the kinds of JSON that it may be written as."""

    type: Any
    values: st.SearchStrategy[Any]
    kinds: frozenset[str]
    is_hashable: bool = True


def enums() -> st.SearchStrategy[Made]:
    """Enums and literals with their values in any order."""
    values = st.lists(st.one_of(TEXTS, st.integers(-9, 9)), min_size=1, max_size=4, unique=True)

    def literal(each: list[Any]) -> Made:
        kinds = frozenset("string" if isinstance(value, str) else "number" for value in each)
        return Made(Literal[tuple(each)], st.sampled_from(each), kinds)

    def enumeration(each: list[Any]) -> Made:
        made = enum.Enum(f"Enum{next(_COUNT)}", {f"M{index}": value for index, value in enumerate(each)})
        kinds = frozenset("string" if isinstance(value, str) else "number" for value in each)
        return Made(made, st.sampled_from(list(made)), kinds)

    return st.one_of(values.map(literal), values.map(enumeration))


def containers(inner: st.SearchStrategy[Made]) -> st.SearchStrategy[Made]:
    """Lists, tuples, sets and mappings of other types."""
    array, mapping = frozenset({"array"}), frozenset({"object"})
    return st.one_of(
        inner.map(lambda made: Made(list[made.type], st.lists(made.values, max_size=3), array, False)),
        inner.map(
            lambda made: Made(
                tuple[made.type, ...], st.lists(made.values, max_size=3).map(tuple), array, made.is_hashable
            )
        ),
        inner.filter(lambda made: made.is_hashable).map(
            lambda made: Made(frozenset[made.type], st.frozensets(made.values, max_size=3), array)
        ),
        st.lists(inner, max_size=3).map(
            lambda each: Made(
                tuple[tuple(made.type for made in each)] if each else tuple[()],
                st.tuples(*[made.values for made in each]),
                array,
                all(made.is_hashable for made in each),
            )
        ),
        inner.map(
            lambda made: Made(dict[str, made.type], st.dictionaries(TEXTS, made.values, max_size=3), mapping, False)
        ),
        inner.map(
            lambda made: Made(
                dict[int, made.type], st.dictionaries(st.integers(), made.values, max_size=3), mapping, False
            )
        ),
    )


@st.composite
def unions(draw: st.DrawFn, inner: st.SearchStrategy[Made]) -> Made:
    """Unions whose members are written as different kinds of JSON."""
    members: list[Made] = []
    for each in draw(st.lists(inner, min_size=2, max_size=4)):
        if not any(each.kinds & other.kinds for other in members):
            members.append(each)
    kinds = frozenset[str]().union(*[each.kinds for each in members])
    hashable = all(each.is_hashable for each in members)
    return Made(reduce(or_, [each.type for each in members]), st.one_of([m.values for m in members]), kinds, hashable)


Fields = dict[str, tuple[Any, Any]]
"""Name -> type and default; `...` for none. Those without stand first."""


def attrs_class(name: str, fields: Fields) -> Any:
    """An attrs class."""
    made = {
        field: attrs.field(type=kind, kw_only=True, **({} if default is ... else {"default": default}))
        for field, (kind, default) in fields.items()
    }
    return attrs.make_class(name, made, frozen=True)


def dataclass(name: str, fields: Fields) -> Any:
    """A dataclass."""
    made = [
        (field, kind, dataclasses.field(**({} if default is ... else {"default": default})))
        for field, (kind, default) in fields.items()
    ]
    return dataclasses.make_dataclass(name, made, frozen=True)


def struct(name: str, fields: Fields) -> Any:
    """A msgspec Struct with a tag."""
    made = [(field, kind) if default is ... else (field, kind, default) for field, (kind, default) in fields.items()]
    return msgspec.defstruct(name, made, frozen=True, tag=name)


def typed_dict(name: str, fields: Fields) -> Any:
    """A TypedDict."""
    return TypedDict(
        name, {field: kind if default is ... else NotRequired[kind] for field, (kind, default) in fields.items()}
    )


def named_tuple(name: str, fields: Fields) -> Any:
    """A NamedTuple."""
    made: Any = NamedTuple(name, [(field, kind) for field, (kind, _) in fields.items()])
    made._field_defaults = {field: default for field, (_, default) in fields.items() if default is not ...}
    made.__new__.__defaults__ = tuple(made._field_defaults.values())
    return made


@st.composite
def classes(draw: st.DrawFn, inner: st.SearchStrategy[Made]) -> Made:
    """Classes of every kind."""
    members = draw(st.dictionaries(NAMES, inner, max_size=4))
    chosen = dict.fromkeys(members, ...)
    for name, each in members.items():
        if each.is_hashable and draw(st.booleans()):
            chosen[name] = draw(each.values)
    ordered = sorted(members, key=lambda name: chosen[name] is not ...)
    make = draw(st.sampled_from([attrs_class, dataclass, struct, typed_dict, named_tuple]))
    made = make(
        f"{make.__name__.title()}{next(_COUNT)}", {name: (members[name].type, chosen[name]) for name in ordered}
    )
    values = st.fixed_dictionaries({name: members[name].values for name in ordered}).map(lambda each: made(**each))
    hashable = make is not typed_dict and all(each.is_hashable for each in members.values())
    return Made(
        made, values, frozenset({"object", "array"}) if make is named_tuple else frozenset({"object"}), hashable
    )


TYPES: st.SearchStrategy[Made] = st.recursive(
    st.one_of(st.sampled_from([Made(kind, values, frozenset(kinds)) for kind, values, kinds in LEAVES]), enums()),
    lambda inner: st.one_of(containers(inner), unions(inner), classes(inner), classes(inner)),
    max_leaves=8,
)
"""Any type, with values."""
