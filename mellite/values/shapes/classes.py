"""The fields of attrs classes, dataclasses, Structs, TypedDicts and NamedTuples, in the order of the source."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs
import msgspec
from attrs import frozen

from .objects import NO_DEFAULT, Tag
from .scopes import NoShape

__all__ = ["Declared", "FieldSpec", "declared", "owner_of", "text_of"]


@frozen
class FieldSpec:
    """The declaration of one field of a class.

    Args:
        name: the attribute.
        written: what JSON calls it.
        argument: what the class calls it when it is made.
        annotation: its type, as it stands in the source.
        required: whether the class cannot be made without it.
        default: its default, where that is a value.
        description: what its metadata says.
    """

    name: str
    annotation: Any
    written: str = attrs.field(kw_only=True)
    argument: str = attrs.field(kw_only=True)
    required: bool = attrs.field(kw_only=True)
    default: Any = attrs.field(default=NO_DEFAULT, kw_only=True)
    description: str = attrs.field(default="", kw_only=True)


@frozen
class Declared:
    """A class as its source declares it."""

    fields: tuple[FieldSpec, ...]
    build: Callable[[dict[str, Any]], Any]
    tag: Tag | None = attrs.field(default=None, kw_only=True)
    positions: bool = attrs.field(default=False, kw_only=True)


def declared(cls: type) -> Declared | None:
    """Return what a class declares; None if it is of none of the kinds with declared fields.

    Raises:
        NoShape: if it cannot be made of public fields.
    """
    for knows, read in _KINDS:
        if knows(cls):
            return read(cls)
    return None


def owner_of(cls: type, name: str) -> type:
    """Return the class that annotates an attribute: `cls` or one of its bases."""
    return next((base for base in cls.__mro__ if name in inspect.get_annotations(base)), cls)


def text_of(cls: type) -> str:
    """Return the docstring that somebody wrote for a class; not a base's, and not one that was made of its fields."""
    text = vars(cls).get("__doc__")
    if not isinstance(text, str) or text.startswith(f"{cls.__name__}("):
        return ""
    return inspect.cleandoc(text)


def _annotation(cls: type, name: str) -> Any:
    return inspect.get_annotations(owner_of(cls, name)).get(name, Any)


def _described(metadata: Mapping[Any, Any]) -> str:
    text = metadata.get("description", "")
    return text if isinstance(text, str) else ""


def _checked(cls: type, fields: Iterator[FieldSpec]) -> tuple[FieldSpec, ...]:
    """Return the fields that are asked for: a private one with a default is left to the class."""
    kept: list[FieldSpec] = []
    for each in fields:
        if not each.name.startswith("_"):
            kept.append(each)
        elif each.required:
            msg = f"{cls.__name__} has the private field {each.name!r} without a default, which no model is asked for"
            raise NoShape(msg)
    given = {each.argument: None for each in kept}
    try:
        inspect.signature(cls).bind(**given)
    except TypeError as error:
        msg = f"{cls.__name__} cannot be made of its fields: {error}"
        raise NoShape(msg) from error
    except ValueError:  # it has no signature that Python knows
        pass
    return tuple(kept)


def _call(cls: Callable[..., Any]) -> Callable[[dict[str, Any]], Any]:
    return lambda arguments: cls(**arguments)


def _attrs(cls: type) -> Declared:
    def each() -> Iterator[FieldSpec]:
        for item in attrs.fields(cls):
            if item.init:
                simple = item.default is not attrs.NOTHING and not isinstance(item.default, attrs.Factory)  # type: ignore[arg-type]
                stated = _annotation(cls, item.name) if isinstance(item.type, str) else item.type
                yield FieldSpec(
                    item.name,
                    Any if stated is None else stated,
                    written=item.name,
                    argument=item.alias or item.name,
                    required=item.default is attrs.NOTHING,
                    default=item.default if simple else NO_DEFAULT,
                    description=_described(item.metadata),
                )

    return Declared(_checked(cls, each()), _call(cls))


def _dataclass(cls: type) -> Declared:
    def each() -> Iterator[FieldSpec]:
        for item in dataclasses.fields(cls):
            if item.init:
                simple = item.default is not dataclasses.MISSING
                yield FieldSpec(
                    item.name,
                    item.type,
                    written=item.name,
                    argument=item.name,
                    required=not simple and item.default_factory is dataclasses.MISSING,
                    default=item.default if simple else NO_DEFAULT,
                    description=_described(item.metadata),
                )

    return Declared(_checked(cls, each()), _call(cls))


def _struct(cls: Any) -> Declared:
    defaults = cls.__struct_defaults__
    names = cls.__struct_fields__
    padded = (msgspec.NODEFAULT,) * (len(names) - len(defaults)) + defaults
    fields = (
        FieldSpec(
            name,
            _annotation(cls, name),
            written=written,
            argument=name,
            required=default is msgspec.NODEFAULT,
            default=NO_DEFAULT if type(default) is _FACTORY else default,
        )
        for name, written, default in zip(names, cls.__struct_encode_fields__, padded, strict=True)
    )
    config = cls.__struct_config__
    tag = None if config.tag is None else Tag(config.tag_field, config.tag)
    return Declared(_checked(cls, fields), _call(cls), tag=tag, positions=config.array_like)


class _WithFactory(msgspec.Struct):
    made: list[int] = msgspec.field(default_factory=lambda: [])  # noqa: PIE807 - `list` would be kept as such


#: The class of what msgspec keeps for a default that is made anew for each object; it has no public name.
_FACTORY = type(_WithFactory.__struct_defaults__[0])


def _typed_dict(cls: Any) -> Declared:
    # The keys that a total=False leaves open; NotRequired in an annotation that is a text is seen when it is read.
    fields = tuple(
        FieldSpec(name, annotation, written=name, argument=name, required=name in cls.__required_keys__)
        for name, annotation in cls.__annotations__.items()
    )
    return Declared(fields, lambda arguments: arguments)


def _named_tuple(cls: Any) -> Declared:
    fields = tuple(
        FieldSpec(
            name,
            _annotation(cls, name),
            written=name,
            argument=name,
            required=name not in cls._field_defaults,
            default=cls._field_defaults.get(name, NO_DEFAULT),
        )
        for name in cls._fields
    )
    return Declared(fields, _call(cls), positions=True)


def _is_struct(cls: type) -> bool:
    return issubclass(cls, msgspec.Struct)


def _is_typed_dict(cls: Any) -> bool:
    """Return whether a class is a TypedDict, also one of typing_extensions, which is another before Python 3.13."""
    return typing.is_typeddict(cls) or (
        issubclass(cls, dict) and hasattr(cls, "__required_keys__") and hasattr(cls, "__total__")
    )


def _is_named_tuple(cls: type) -> bool:
    return issubclass(cls, tuple) and hasattr(cls, "_fields")


_KINDS: tuple[tuple[Callable[[type], bool], Callable[[Any], Declared]], ...] = (
    (attrs.has, _attrs),
    (dataclasses.is_dataclass, _dataclass),
    (_is_struct, _struct),
    (_is_typed_dict, _typed_dict),
    (_is_named_tuple, _named_tuple),
)
