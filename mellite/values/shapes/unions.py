"""Unions: which member a value is read as, and which unions leave that open."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from attrs import frozen

from ..provider_json import Json, JsonObject
from .mismatches import Mismatch, kinds_of, listed, said
from .nodes import Choice, Mapped, Node, Reading, Scalar, Written
from .objects import Fields
from .writing import Writer

__all__ = ["Either", "confused"]


@frozen
class Either(Node):
    """One of several types."""

    members: tuple[Node, ...]

    @property
    def kinds(self) -> frozenset[str]:  # type: ignore[override]
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
            chosen = _by_tag(classes, value) or _by_names(classes, value)
            if not chosen and not others:
                raise _unknown(classes, value)
            fitting = [*chosen, *others]
        return sorted(fitting, key=lambda member: _breadth(member, value))


def confused(members: Sequence[Node]) -> tuple[Fields, Fields] | None:
    """Return two classes of a union that have the same fields and nothing that tells them apart."""
    classes = [member for member in members if isinstance(member, Fields)]
    for index, first in enumerate(classes):
        for second in classes[:index]:
            if first.names() == second.names() and not _told_apart(first, second):
                return second, first
    return None


def _told_apart(first: Fields, second: Fields) -> bool:
    """Return whether a field that both require takes values in one that the other never takes."""
    theirs = _required(second)
    return any(_disjoint(node, theirs[name]) for name, node in _required(first).items() if name in theirs)


def _required(kind: Fields) -> dict[str, Node]:
    nodes: dict[str, Node] = {member.name: member.node for member in kind.members if member.required}
    if kind.tag is not None:
        nodes[kind.tag.name] = Choice.of("", [(kind.tag.value, kind.tag.value)])
    return nodes


def _disjoint(first: Node, second: Node) -> bool:
    if isinstance(first, Choice) and isinstance(second, Choice):
        return first.results.keys().isdisjoint(second.results)
    return first.kinds.isdisjoint(second.kinds)


def _by_tag(classes: Sequence[Fields], value: Json) -> list[Fields]:
    """Return the classes whose tags are the ones in the object; none if no class has a tag, or the tag is unknown."""
    tags = [{name: node for name, node in _required(each).items() if isinstance(node, Choice)} for each in classes]
    if not all(tags):
        return []
    return [
        each
        for each, nodes in zip(classes, tags, strict=True)
        if all(name in value and _takes(node, value[name]) for name, node in nodes.items())
    ]


def _takes(node: Node, value: Json) -> bool:
    try:
        node.convert(value, Reading())
    except Mismatch:
        return False
    return True


def _by_names(classes: Sequence[Fields], value: Json) -> list[Fields]:
    """Return the classes that have all fields of the object, and require no other."""
    given = value.keys()
    return [each for each in classes if each.names() >= given and _required(each).keys() <= given]


def _unknown(classes: Sequence[Fields], value: Json) -> Mismatch:
    """Return the error for an object that none of the classes describes."""
    shared = set[str].intersection(*[set(_required(each)) for each in classes])
    for name in [member for member in _required(classes[0]) if member in shared]:
        nodes = [_required(each)[name] for each in classes]
        tags = [tag for node in nodes if isinstance(node, Choice) for tag in node.values]
        if not all(isinstance(node, Choice) for node in nodes):
            continue
        if name not in value:
            return Mismatch(f"{name!r} is missing, one of {listed(tags)}", value)
        if not any(_takes(node, value[name]) for node in nodes):
            return Mismatch(f"expected one of {listed(tags)}, not {said(value[name])}", value[name]).under(name)
    said_of = "; ".join(f"{each.name} has {', '.join(sorted(each.names()))}" for each in classes)
    return Mismatch(f"the fields are those of none of the classes: {said_of}", value)


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


#: Behind every class, however many fields it has.
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
