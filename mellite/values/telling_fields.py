"""For rich, the fields of a value that were given."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from attrs import Factory, fields

__all__ = ["fields_that_say_something"]


def fields_that_say_something(self: Any) -> Iterator[tuple[str, object]]:
    """Yield the fields of an attrs value that differ from their defaults; the ``__rich_repr__`` of what has many.

    A request has twenty, of which most are None, and `rich.inspect` shows each on a line.
    """
    for each in fields(type(self)):
        default = each.default.factory() if isinstance(each.default, Factory) else each.default  # type: ignore[arg-type]
        value = getattr(self, each.name)
        if (
            each.repr is not False
            and not each.name.startswith("_")
            and (type(value), value) != (type(default), default)
        ):
            yield each.name, value
