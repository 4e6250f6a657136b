"""What to call a type in a message."""

from __future__ import annotations

from typing import Any

__all__ = ["type_name"]


def type_name(kind: Any) -> str:
    """Return the name of a class; what else stands for a type is written out, as in ``list[int]``.

    Example:
        >>> type_name(int), type_name(list[int]), type_name(int | None)
        ('int', 'list[int]', 'int | None')
    """
    if hasattr(kind, "__origin__"):
        return repr(kind)
    return getattr(kind, "__name__", None) or repr(kind)
