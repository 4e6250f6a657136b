"""EMPTY: the mapping of nothing that all requests share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NoReturn

__all__ = ["EMPTY"]


def _refuse(*_: Any, **__: Any) -> NoReturn:
    msg = "EMPTY is shared by all requests and cannot be written to; make a dict"
    raise TypeError(msg)


class _Empty(dict[str, Any]):
    """A mapping of nothing that refuses to be written to, and of which copies and pickles give the same one.

    A dict, and not a Mapping written in Python, because every call asks it several times whether it holds anything.
    """

    __slots__ = ()
    __module__ = "mellite.request"  # where a pickle finds EMPTY

    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> str:
        return "EMPTY"


#: A mapping of nothing, which cannot be changed: the default of fields that are mappings.
EMPTY: Final[Mapping[str, Any]] = _Empty()
