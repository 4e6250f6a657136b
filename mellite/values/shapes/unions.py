"""Unions: which member a value is read as, and which unions leave that open."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from attrs import frozen

from ..provider_json import Json, JsonObject
from .mismatches import Mismatch, kinds_of, listed, said
from .nodes import Choice, Mapped, Node, Reading, Scalar, Written
from .noted import Noted
from .objects import Fields
from .writing import Writer

__all__ = ["Either", "confused", "tag_names"]


@frozen
class Either(Node):
    """One of several types."""

    members: tuple[Node, ...]

    @property
    def kinds(self) -> frozenset[str]:
        """What any member takes."""
        return frozenset[str]().union(*[member.kinds for member in self.members])

    @property
    def title(self) -> str:
        """All members."""
        return " or ".join([member.title for member in self.members])

    def schema(self, writer: Writer) -> JsonObject:
        """Return the schemas of the members, in order."""
        return {"anyOf": [member.schema(writer) for member in self.members]}

    def convert(self, value: Json, reading: Reading) -> Any:
        """Convert by the one member that the value can be of, or by the first that it fits, the narrowest first."""
        fitting = self._fitting(value)
        if not fitting:
            raise self.wrong(value)
        if len(fitting) == 1:
            return fitting[0].convert(value, reading)
        errors: list[Mismatch] = []
        for member in fitting:
            reading.attempt()
            try:
                return member.convert(value, reading)
            except Mismatch as error:
                if error.final:
                    raise
                errors.append(error)
        raise _told(fitting, errors, value)

    def _fitting(self, value: Json) -> list[Node]:
        """Return the members that a value may be of, by its kind and by the fields of an object."""
        kinds = kinds_of(value)
        fitting = [member for member in self.members if not member.kinds.isdisjoint(kinds)]
        classes = [member for member in fitting if isinstance(member, Fields)]
        if kinds == ("object",) and len(classes) > 1:
            others = [member for member in fitting if not isinstance(member, Fields)]
            fitting = [*_of_class(classes, value, is_last=not others), *others]
        return sorted(fitting, key=lambda member: _breadth(member, value))


def confused(members: Sequence[Node]) -> tuple[Fields, Fields] | None:
    """Return two classes of a union that have the same fields and nothing that tells them apart."""
    classes = [member for member in members if isinstance(member, Fields)]
    for index, first in enumerate(classes):
        for second in classes[:index]:
            if first.names() == second.names() and not _told_apart(first, second):
                return second, first
    return None


def tag_names(members: Sequence[Node]) -> list[str]:
    """Return the fields that tell all classes of a union apart: each has its own values of a Literal or Enum there."""
    classes = [_choices(member) for member in members if isinstance(member, Fields)]
    if len(classes) < 2:
        return []
    shared = [name for name in classes[0] if all(name in each for each in classes)]
    return [name for name in shared if _are_disjoint([each[name] for each in classes])]


def _choices(kind: Fields) -> dict[str, Choice]:
    """Return the fields of a class that take one of several values, the tag first."""
    found = {kind.tag.name: Choice.of("", [(kind.tag.value, kind.tag.value)])} if kind.tag is not None else {}
    return found | {member.name: node for member in kind.members if (node := _choice(member.node)) is not None}


def _choice(node: Node) -> Choice | None:
    while isinstance(node, Noted):
        node = node.node
    return node if isinstance(node, Choice) else None


def _are_disjoint(choices: Sequence[Choice]) -> bool:
    return len({value for each in choices for value in each.results}) == sum(len(each.results) for each in choices)


def _told_apart(first: Fields, second: Fields) -> bool:
    """Return whether the values of one field, or their kinds, tell two classes with the same fields apart."""
    if tag_names([first, second]):
        return True
    theirs = _required(second)
    return any(node.kinds.isdisjoint(theirs[name].kinds) for name, node in _required(first).items() if name in theirs)


def _required(kind: Fields) -> dict[str, Node]:
    tag: dict[str, Node] = {kind.tag.name: Scalar("string")} if kind.tag is not None else {}
    return tag | {member.name: member.node for member in kind.members if member.required}


def _of_class(classes: Sequence[Fields], value: Json, *, is_last: bool) -> list[Fields]:
    """Return the classes that an object may be of: by the field that tells them apart, else by its fields.

    Raises:
        Mismatch: if it is of none, and nothing else may take it.
    """
    for name in tag_names(classes):
        chosen = [each for each in classes if name in value and _takes(_choices(each)[name], value[name])]
        if chosen or not is_last:
            return chosen
        allowed = listed(tag for each in classes for tag in _choices(each)[name].values)
        if name not in value:
            msg = f"{name!r} is missing, one of {allowed}"
            raise Mismatch(msg, value)
        msg = f"expected one of {allowed}, not {said(value[name])}"
        raise Mismatch(msg, value[name]).under(name)
    given = value.keys()
    found = [each for each in classes if each.names() >= given and _required(each).keys() <= given]
    if not found and is_last:
        names = "; ".join(f"{each.name} has {', '.join(sorted(each.names()))}" for each in classes)
        msg = f"the fields are those of no class of the union: {names}"
        raise Mismatch(msg, value)
    return found


def _takes(choice: Choice, value: Json) -> bool:
    try:
        choice.convert(value, Reading())
    except Mismatch:
        return False
    return True


def _breadth(member: Node, value: Json) -> int:
    """Return how much else a member takes beside this value: the narrower is asked first."""
    if isinstance(member, Choice):
        return 0
    if isinstance(member, Fields):
        return 1 + len(member.names() - value.keys()) if isinstance(value, dict) else 1
    if isinstance(member, Written):
        return _BROADER if isinstance(value, str) else _BROADER + 2
    if isinstance(member, Scalar) and (member.kind == "number") == isinstance(value, float):
        return _BROADER + 1
    return _BROADER + (3 if isinstance(member, Mapped) else 2)


#: After every class, however many fields it has.
_BROADER: Final = 1_000_000


def _told(members: Sequence[Node], errors: Sequence[Mismatch], value: Json) -> Mismatch:
    """Return one error for all members: that of the only one which came further than the others, or what each says."""
    inside = [error for error in errors if error.path != "$"]
    if len(inside) == 1:
        return inside[0]
    words = "; ".join(
        dict.fromkeys(f"for {member.title}, {error}" for member, error in zip(members, errors, strict=True))
    )
    return Mismatch(f"it is none of the types of the union: {words}", value)
