"""Names of types for messages."""

from __future__ import annotations

from typing import Any, Final

__all__ = ["a_type_name", "type_name"]


def type_name(kind: Any) -> str:
    """Return the name of a class; what else stands for a type is written out, as in ``list[int]``.

    Example:
        >>> type_name(int), type_name(list[int]), type_name(int | None)
        ('int', 'list[int]', 'int | None')
    """
    if hasattr(kind, "__origin__"):
        return repr(kind)
    return getattr(kind, "__name__", None) or repr(kind)


def a_type_name(kind: Any) -> str:
    """Return the name of a class with its article.

    Example:
        >>> a_type_name(int), a_type_name(str), a_type_name(type(None))
        ('an int', 'a str', 'None')
    """
    name = type_name(kind)
    if kind is type(None):
        return "None"
    return f"an {name}" if name[:1] in _VOWELS else f"a {name}"


_VOWELS: Final = frozenset("AEIOaeio")  # no U: a Usage, a UUID
