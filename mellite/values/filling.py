"""Make and copy immutable objects of every call by filling their slots, in half the time of their `__init__`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any, TypeVar

from attrs import evolve, fields_dict

__all__ = ["copier", "setters_of"]

T = TypeVar("T")


def setters_of(cls: type) -> tuple[Callable[[Any, object], None], ...]:
    """Return what sets each field of an attrs class with slots, in the order of its fields.

    What is set this way is neither converted nor checked, and every field of a new object has to be set.
    """
    return tuple([getattr(cls, name).__set__ for name in fields_dict(cls)])


def copier(cls: type[T]) -> Callable[[T, Mapping[str, object]], T]:
    """Return a function that copies an object with other values for some fields, like `attrs.evolve` with no check.

    Args:
        cls: an attrs class with slots. Objects of its subclasses are copied by `attrs.evolve`.

    Example:
        >>> from mellite.values.messages import Text
        >>> copier(Text)(Text("Hello."), {"text": "Goodbye."}).text
        'Goodbye.'
    """
    names = tuple(fields_dict(cls))  # type: ignore[arg-type]  # an attrs class it is
    values_of = attrgetter(*names)
    setters = setters_of(cls)
    set_by_name = dict(zip(names, setters, strict=True))

    def copied(old: T, changes: Mapping[str, object]) -> T:
        if type(old) is not cls:
            return evolve(old, **changes)  # type: ignore[misc]  # likewise
        new: T = cls.__new__(cls)
        for set_field, value in zip(setters, values_of(old), strict=True):
            set_field(new, value)
        for name in changes:
            set_by_name[name](new, changes[name])
        return new

    return copied
