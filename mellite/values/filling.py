"""Make and copy immutable objects of every call by filling their slots, in half the time of their `__init__`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
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
    made: Callable[[T, Mapping[str, object]], T] = _copier(cls)  # type: ignore[arg-type]  # a class has a hash
    return made


@cache
def _copier(cls: type) -> Callable[[Any, Mapping[str, object]], Any]:
    """Write the function out, a line for each field, as attrs does an ``__init__``: a loop takes twice as long."""
    names = tuple(fields_dict(cls))
    setters = dict(zip(names, setters_of(cls), strict=True))
    lines = [
        "def copied(old, changes):",
        "    if type(old) is not cls:",
        "        return evolve(old, **changes)",
        "    new = make(cls)",
        *[f"    set_{name}(new, old.{name})" for name in names],
        "    for name in changes:",
        "        setters[name](new, changes[name])",
        "    return new",
    ]
    known: dict[str, Any] = {f"set_{name}": setter for name, setter in setters.items()}
    known |= {"cls": cls, "evolve": evolve, "make": cls.__new__, "setters": setters}
    exec("\n".join(lines), known)  # noqa: S102 - nothing but the names of fields is in it
    copied: Callable[[Any, Mapping[str, object]], Any] = known["copied"]
    return copied
