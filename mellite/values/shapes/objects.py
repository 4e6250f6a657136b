"""Objects with named fields: classes of every kind, and the parameters of a function."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from attrs import define, field, frozen

from ...values.spelling import did_you_mean
from ..plain_data import plain_data
from ..provider_json import Json, JsonObject
from ..told_errors import error_text
from .mismatches import Mismatch, said
from .nodes import Node, Reading
from .soundness import check_sound
from .writing import Writer

__all__ = ["NO_DEFAULT", "Fields", "Member", "Tag"]

NO_DEFAULT: Final[Any] = object()
"""Stands for the default of a field that has none, or none that can be shown."""


@frozen
class Member:
    """A field of a class, or a parameter of a function.

    Args:
        name: what JSON calls it.
        node: its type.
        argument: what the class or function calls it.
        required: whether it must be given.
        description: what the model is told about it.
        default: what it is when it is not given, where that can be shown.
    """

    name: str
    node: Node
    argument: str = field(kw_only=True)
    required: bool = field(default=True, kw_only=True)
    description: str = field(default="", kw_only=True)
    default: Any = field(default=NO_DEFAULT, kw_only=True)

    def schema(self, writer: Writer) -> JsonObject:
        """Return the schema of the type, with what is said about the field."""
        schema = dict(self.node.schema(writer))
        if self.description:
            schema["description"] = self.description
        if not self.required and (written := self._default()) is not NO_DEFAULT:
            schema["default"] = written
        return schema

    @property
    def is_described(self) -> bool:
        """Whether the model is told what it is for."""
        return bool(self.description) or self.node.is_described

    def is_absent(self, given: Mapping[str, Json]) -> bool:
        """Return whether nothing is given for it.

        A null counts as nothing where the field has a default and its type knows no null: some providers ask for
        every field and have the model write null for one that it leaves out.
        """
        if self.name not in given:
            return True
        return given[self.name] is None and not self.required and "null" not in self.node.kinds

    def _default(self) -> Any:
        """Return the default as JSON, if it is a value of the type that can be written."""
        if self.default is NO_DEFAULT:
            return NO_DEFAULT
        try:
            written = plain_data(self.default)
            check_sound(written)
            self.node.convert(written, Reading())
        except (Mismatch, TypeError, ValueError, RecursionError):
            return NO_DEFAULT
        return (
            NO_DEFAULT if isinstance(written, str) and len(written) >= _SHORTEST_KEY and _is_key(written) else written
        )


#: A text that is shorter than this is not a key, and need not be looked at.
_SHORTEST_KEY: Final = 16


def _is_key(text: str) -> bool:
    """Return whether a default is a key: the schema is sent to a provider."""
    from ..secrets.shapes import looks_secret

    return looks_secret(text)


@frozen
class Tag:
    """A field that says which class of a union an object is of, though it is not an attribute of the class."""

    name: str
    value: Json


@define(eq=False)
class Fields(Node):
    """An object with fields that are known.

    Its members are set when all of them are read: a class may refer to itself.
    """

    name: str
    """What the class or function is called."""
    build: Callable[[dict[str, Any]], Any] | None = field(default=None, kw_only=True)
    """What makes the object of the arguments; None leaves them as they are."""
    named: bool = field(default=True, kw_only=True)
    """Whether it stands under ``$defs``."""
    description: str = field(default="", kw_only=True)
    tag: Tag | None = field(default=None, kw_only=True)
    told_by: frozenset[str] = field(default=frozenset(), kw_only=True)
    """The fields that tell it from the others of a union: the model writes them, though they may have a default."""
    positions: bool = field(default=False, kw_only=True)
    """Whether an array with the values in order is taken as well."""
    members: Sequence[Member] = field(default=(), kw_only=True)
    _names: frozenset[str] | None = field(default=None, init=False)

    @property
    def kinds(self) -> frozenset[str]:
        """An object."""
        return frozenset({"object"})

    @property
    def title(self) -> str:
        """The object, by the name of its class."""
        return f"an object ({self.name})" if self.named else "an object"

    def names(self) -> frozenset[str]:
        """Return the names of all fields, the tag's too."""
        return frozenset([each.name for each in self.members] + ([self.tag.name] if self.tag is not None else []))

    def schema(self, writer: Writer) -> JsonObject:
        """Return a reference to the definition of the class."""
        return writer.refer(self, self.name, lambda: self.root(writer)) if self.named else self.root(writer)

    def root(self, writer: Writer) -> JsonObject:
        """Return the schema of the object itself."""
        head: JsonObject = {"title": self.name} if self.named else {}
        if self.description:
            head["description"] = self.description
        properties: JsonObject = {}
        if self.tag is not None:
            properties[self.tag.name] = {"type": "string" if isinstance(self.tag.value, str) else "integer"}
            properties[self.tag.name]["enum"] = [self.tag.value]
        required = [*properties, *(each.name for each in self.members if each.required or each.name in self.told_by)]
        properties |= {member.name: member.schema(writer) for member in self.members}
        body: JsonObject = {"type": "object", "properties": properties}
        if required:
            body["required"] = required
        return {**head, **body, "additionalProperties": False}

    def convert(self, value: Json, reading: Reading) -> Any:
        """Convert each field, and make the object of them."""
        given = self._given(value)
        done: dict[str, Any] = {}
        missing: list[str] = []
        for member in self.members:
            name = member.name
            if name in given and (given[name] is not None or not member.is_absent(given)):
                try:
                    done[member.argument] = member.node.convert(given[name], reading)
                except Mismatch as error:
                    error.under(name)
                    raise
            elif member.required:
                missing.append(name)
        if missing:
            msg = f"{' and '.join(map(repr, missing))} {'is' if len(missing) == 1 else 'are'} missing"
            raise Mismatch(msg, value)
        return done if self.build is None else self._built(done, value)

    def _given(self, value: Json) -> Mapping[str, Json]:
        """Return what is given for the fields, whose names are checked, and the tag."""
        if self.positions and isinstance(value, (list, tuple)) and len(value) <= len(self.members):
            return {member.name: each for member, each in zip(self.members, value, strict=False)}
        if type(value) is not dict and not isinstance(value, Mapping):
            raise self.wrong(value)
        if self._names is None:
            self._names = self.names()
        if not value.keys() <= self._names:
            raise _unknown_field(value, self._names)
        if self.tag is not None and value.get(self.tag.name, self.tag.value) != self.tag.value:
            other = value[self.tag.name]
            msg = f"expected {self.tag.value!r}, not {said(other)}"
            raise Mismatch(msg, other).under(self.tag.name)
        return value

    def _built(self, arguments: dict[str, Any], value: Json) -> Any:
        assert self.build is not None  # noqa: S101 - the caller has looked
        try:
            return self.build(arguments)
        except Exception as error:
            # A validator or converter of the class itself may raise anything; its words are what the model can act on.
            msg = f"{self.name} refuses it: {_words_of(error) or type(error).__name__}"
            raise Mismatch(msg, value) from error


def _words_of(error: Exception) -> str:
    """Return what an error says, without what attrs' own validators put behind the words: attribute, type and value."""
    args: tuple[object, ...] = error.args
    first = args[0] if len(args) > 1 and type(error).__str__ is BaseException.__str__ else None
    return first if isinstance(first, str) else error_text(error)


def _unknown_field(given: Mapping[str, Json], known: frozenset[str]) -> Mismatch:
    name = next(name for name in given if name not in known)
    there = did_you_mean(name, known, otherwise="the fields are") if known else "it takes no fields"
    return Mismatch(f"there is no field {name!r}; {there}", given[name]).under(name)
