"""Checks for fields of values that people write by hand: a wrong type or word is told when the value is made."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, TypeAlias

from .errors import InvalidRequest
from .shortened import shortened
from .type_names import type_name

__all__ = ["a_count", "a_kind_of", "one_of"]

#: What attrs calls with the object, the field and its value.
Check: TypeAlias = Callable[[Any, Any, Any], None]


def a_kind_of(kind: type[Any], wanted: str, *, optional: bool = False) -> Check:
    """Return a check that a field is of a type.

    Args:
        kind: the type.
        wanted: what the field must be, as the end of a sentence.
        optional: whether it may be None.
    """

    def check(made: Any, field: Any, value: Any) -> None:
        if not (isinstance(value, kind) or (optional and value is None)):
            _refuse(made, field, wanted, value)

    return check


def a_count(wanted: str) -> Check:
    """Return a check that a field is a whole number of at least 1, or None."""

    def check(made: Any, field: Any, value: Any) -> None:
        if value is not None and (type(value) is not int or value < 1):
            _refuse(made, field, wanted, value)

    return check


def one_of(words: Collection[str]) -> Check:
    """Return a check that a field is one of some words."""

    def check(made: Any, field: Any, value: Any) -> None:
        if type(value) is not str or value not in words:
            _refuse(made, field, f"one of {', '.join(map(repr, words))}", value)

    return check


def _refuse(made: Any, field: Any, wanted: str, value: object) -> None:
    msg = f"{field.name!r} of {type_name(type(made))} must be {wanted}, not {shortened(repr(value))}"
    raise InvalidRequest(msg, parameter=field.name)
